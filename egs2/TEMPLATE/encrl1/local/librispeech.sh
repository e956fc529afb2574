# shellcheck shell=bash
# Sourced by local/data.sh of the LibriSpeech recipes. The preparation itself is ESPnet's.

# shellcheck source=egs2/TEMPLATE/encrl1/local/corpus.sh
. ../../TEMPLATE/encrl1/local/corpus.sh

# split, path at OpenSLR, MD5 as published there (md5sum.txt), utterances
librispeech_splits="
train-clean-100 12/train-clean-100.tar.gz 2a93770f6d5c6c964bc36631d331a522 28539
train-clean-360 12/train-clean-360.tar.gz c0e676e450a7ff2f54aeade5171606fa 104014
train-other-500 12/train-other-500.tar.gz d1a0fd59409feb2c614ce4d30c387708 148688
dev-clean       12/dev-clean.tar.gz       42e2234ba48799c1f50f24a7926300a1 2703
dev-other       12/dev-other.tar.gz       c8d0bcc9cca99d4f8b62fcc847357931 2864
test-clean      12/test-clean.tar.gz      32fa31d27d2e1cad72775fee3f4849a9 2620
test-other      12/test-other.tar.gz      fb5a50374b501bb3bac4815ee91d3135 2939
train-clean-5   31/train-clean-5.tar.gz   5df7d4e78065366204ca6845bb08f490 1519
dev-clean-2     31/dev-clean-2.tar.gz     6d7ab67ac6a1d2c993d050e16d61080d 1089
"

# Downloads the splits that are not in corpus_dir, where that is allowed.
need_splits() { # <variable> <split>...
    local variable=$1 split path md5 missing=()
    shift
    for split in "$@"; do
        [ -d "${corpus_dir}/${split}" ] || missing+=("${split}")
    done
    if ! ${may_download}; then
        [ -e "${corpus_dir}/SPEAKERS.TXT" ] || die "${corpus_dir}/SPEAKERS.TXT is missing; ${variable} must name the" \
            "directory LibriSpeech or its parent."
        [ ${#missing[@]} -eq 0 ] || die "${variable}: ${corpus_dir} lacks ${missing[*]}. Add what is missing, or unset" \
            "${variable} to download the corpus."
    fi
    for split in "${missing[@]}"; do
        read -r path md5 <<< "$(awk -v split_name="${split}" '$1 == split_name { print $2, $3 }' <<< "${librispeech_splits}")"
        # every archive lists the speakers of the whole of LibriSpeech
        fetch "${path}" "${md5}" LibriSpeech "*.TXT" "${split}"
    done
}

# Checks splits of corpus_dir, then makes a data directory of each, named with _ for -, by ESPnet's script.
prepare_splits() { # <split>...
    local split dset num_utts
    python3 -m espnet_ext check corpus --layout librispeech "${@/#/${corpus_dir}/}"
    # data_prep.sh wants to see a program `flac`, but only the commands it writes for other recipes would use it.
    if ! command -v flac > /dev/null; then
        mkdir "${staging}/.bin"
        printf '#!/bin/sh\necho "flac is not installed" >&2\nexit 1\n' > "${staging}/.bin/flac"
        chmod +x "${staging}/.bin/flac"
        PATH=${PATH}:${PWD}/${staging}/.bin
    fi
    for split in "$@"; do
        dset=${split//-/_}
        "${ENCRL_ROOT}"/tools/espnet/egs2/librispeech/asr1/local/data_prep.sh "${corpus_dir}/${split}" "${staging}/${dset}"
        num_utts=$(awk -v split_name="${split}" '$1 == split_name { print $4 }' <<< "${librispeech_splits}")
        if [ "$(wc -l < "${staging}/${dset}/text")" -ne "${num_utts}" ]; then
            log "Warning: ${corpus_dir}/${split} has $(wc -l < "${staging}/${dset}/text") utterances, the published split" \
                "${num_utts}; is the copy complete?"
        fi
    done
}
