#!/usr/bin/env bash
# Prepares data/{train_clean_5,valid,dev_clean,test_clean} from LibriSpeech recordings: those under $MINI_LIBRISPEECH where it
# is set, else Mini LibriSpeech (OpenSLR 31: train-clean-5, dev-clean-2) and test-clean (OpenSLR 12), downloaded: 0.8 GB.
set -euo pipefail

log() {
    local fname=${BASH_SOURCE[1]##*/}
    echo -e "$(date '+%Y-%m-%dT%H:%M:%S') (${fname}:${BASH_LINENO[0]}:${FUNCNAME[1]}) $*"
}
SECONDS=0

test_clean=true                            # false: prepare no data/test_clean (then give run.sh --test_sets dev_clean).
url=https://www.openslr.org/resources      # A mirror, e.g. https://openslr.elda.org/resources
num_eval=0                                 # Also make smaller evaluation sets, e.g. 300: dev_clean_300, test_clean_300.
nj=4                                       # Parallel processes of the check.

# shellcheck disable=SC2034 # parse_options.sh prints it
help_message=$(cat << EOF
Usage: [MINI_LIBRISPEECH=DIR] $0 [--test_clean true|false] [--num_eval ${num_eval}] [--url ${url}] [--nj ${nj}]
DIR is a directory named LibriSpeech (with SPEAKERS.TXT, train-clean-5, dev-clean or dev-clean-2, test-clean), or holds it.
Without MINI_LIBRISPEECH the corpus is downloaded to downloads/.
From run.sh: --local_data_opts "--test_clean false" --test_sets dev_clean
             --local_data_opts "--num_eval 300" --test_sets "dev_clean_300 test_clean_300"
EOF
)
log "$0 $*"
# shellcheck source=/dev/null
. utils/parse_options.sh

if [ $# -ne 0 ]; then
    log "Error: No positional arguments are required."
    exit 2
fi

# shellcheck source=/dev/null
. ./path.sh

# Prints the split's directory name: OpenSLR 31 calls its part of dev-clean dev-clean-2.
find_split() { # <root> <name>...
    local root=$1 name
    shift
    for name in "$@"; do
        if [ -d "${root}/${name}" ]; then
            echo "${name}"
            return
        fi
    done
}

has_md5() { # <file> <md5>
    [ -e "$1" ] && echo "$2  $1" | md5sum --check --status
}

download() { # <url> <file>, continuing the file
    if command -v curl > /dev/null; then
        curl -fL --retry 3 -C - -o "$2" "$1"
    else
        wget -c -O "$2" "$1"
    fi
}

# Downloads to a .part file that a second call continues, checks it, unpacks beside the target, and moves it there.
fetch() { # <root> <split> <path at OpenSLR> <md5>
    local root=$1 split=$2 archive=downloads/$2.tar.gz partial
    if [ -d "${root}/${split}" ]; then
        return
    fi
    mkdir -p "${root}"
    if [ ! -e "${archive}" ]; then
        log "Downloading ${url}/$3"
        if ! has_md5 "${archive}.part" "$4" && ! download "${url}/$3" "${archive}.part"; then
            log "Error: ${url}/$3 cannot be downloaded. Check the network and run again (it continues), choose a mirror" \
                "with --local_data_opts '--url ...', or set MINI_LIBRISPEECH to a directory that holds LibriSpeech."
            exit 2
        fi
        mv "${archive}.part" "${archive}"
    fi
    if ! has_md5 "${archive}" "$4"; then
        mv "${archive}" "${archive}.bad"
        log "Error: ${archive} does not have the MD5 sum $4 (kept as ${archive}.bad). Run again to download it anew."
        exit 2
    fi
    log "Unpacking ${archive}"
    partial=$(mktemp -d downloads/.unpack.XXXXXX)
    tar -xzf "${archive}" -C "${partial}"
    # every archive lists the speakers of the whole of LibriSpeech
    mv "${partial}/LibriSpeech/SPEAKERS.TXT" "${root}"
    mv "${partial}/LibriSpeech/${split}" "${root}"
    rm -rf "${partial}"
}

if [ -z "${MINI_LIBRISPEECH:-}" ]; then
    root=downloads/LibriSpeech
    rm -rf downloads/.unpack.*
    fetch "${root}" train-clean-5 31/train-clean-5.tar.gz 5df7d4e78065366204ca6845bb08f490
    fetch "${root}" dev-clean-2 31/dev-clean-2.tar.gz 6d7ab67ac6a1d2c993d050e16d61080d
    if "${test_clean}"; then
        fetch "${root}" test-clean 12/test-clean.tar.gz 32fa31d27d2e1cad72775fee3f4849a9
    fi
elif [ ! -d "${MINI_LIBRISPEECH}" ]; then
    log "Error: MINI_LIBRISPEECH=${MINI_LIBRISPEECH} is not a directory (seen from ${PWD}); give an absolute path."
    exit 2
elif [ -d "${MINI_LIBRISPEECH}/LibriSpeech" ]; then
    root=${MINI_LIBRISPEECH%/}/LibriSpeech
else
    root=${MINI_LIBRISPEECH%/}
fi
if [[ ${root} =~ [[:space:]] ]]; then
    log "Error: MINI_LIBRISPEECH='${MINI_LIBRISPEECH}' contains a space, which Kaldi-style lists cannot hold; link it" \
        "to a path without one."
    exit 2
fi
if [ ! -e "${root}/SPEAKERS.TXT" ]; then
    log "Error: ${root}/SPEAKERS.TXT is missing; MINI_LIBRISPEECH must name the directory LibriSpeech or its parent."
    exit 2
fi

train_clean_5=$(find_split "${root}" train-clean-5)
dev_clean=$(find_split "${root}" dev-clean dev-clean-2)
if [ -z "${train_clean_5}" ] || [ -z "${dev_clean}" ]; then
    log "Error: ${root} lacks train-clean-5, or dev-clean (or dev-clean-2), of OpenSLR 31. Add them, or unset" \
        "MINI_LIBRISPEECH to download them."
    exit 2
fi
dsets=(train_clean_5 dev_clean)
if "${test_clean}"; then
    dsets+=(test_clean)
    if [ ! -d "${root}/test-clean" ]; then
        log "Error: ${root} has no test-clean. Add it (OpenSLR 12), or evaluate on dev_clean alone:" \
            "--test_sets dev_clean --local_data_opts \"--test_clean false\""
        exit 2
    fi
fi

# data_prep.sh wants to see a program `flac`, but only the commands it writes for other recipes would use it.
if ! command -v flac > /dev/null; then
    stub=$(mktemp -d)
    trap 'rm -rf "${stub}"' EXIT
    printf '#!/bin/sh\necho "flac is not installed" >&2\nexit 1\n' > "${stub}/flac"
    chmod +x "${stub}/flac"
    PATH=${PATH}:${stub}
fi
for dset in "${dsets[@]}"; do
    split=${dset//_/-}
    if [ "${dset}" = dev_clean ]; then
        split=${dev_clean}
    fi
    "${ENCRL_ROOT}"/tools/espnet/egs2/librispeech/asr1/local/data_prep.sh "${root}/${split}" "data/${dset}"
done
# Validating on 200 utterances of dev-clean keeps an epoch short; WER is reported on the whole set.
num_dev=$(wc -l < data/dev_clean/text)
utils/subset_data_dir.sh data/dev_clean "$((num_dev < 200 ? num_dev : 200))" data/valid
if [ "${num_eval}" -gt 0 ]; then
    for dset in "${dsets[@]:1}"; do
        utils/subset_data_dir.sh "data/${dset}" "${num_eval}" "data/${dset}_${num_eval}"
    done
fi
python3 -m espnet_ext.bin.check_data --fs 16000 --nj "${nj}" "${dsets[@]/#/data/}"

log "Successfully finished. [elapsed=${SECONDS}s]"
