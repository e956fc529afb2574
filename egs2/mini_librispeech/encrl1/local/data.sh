#!/usr/bin/env bash
# Prepares data/{train_clean_5,valid,dev_clean,test_clean} from LibriSpeech recordings: those under $MINI_LIBRISPEECH where it
# is set, else Mini LibriSpeech (OpenSLR 31: train-clean-5, dev-clean-2) and test-clean (OpenSLR 12), downloaded: 0.8 GB.
set -euo pipefail

# shellcheck source=egs2/TEMPLATE/encrl1/local/librispeech.sh
. ../../TEMPLATE/encrl1/local/librispeech.sh
SECONDS=0

test_clean=true  # false: prepare no data/test_clean (then give run.sh --test_sets dev_clean).
num_eval=0       # Also make smaller evaluation sets, e.g. 300: dev_clean_300, test_clean_300.

# shellcheck disable=SC2034 # parse_options.sh prints it
help_message=$(cat << EOF
Usage: [MINI_LIBRISPEECH=DIR] $0 [options]
DIR is a directory named LibriSpeech (with SPEAKERS.TXT, train-clean-5, dev-clean or dev-clean-2, test-clean), or holds it.
Without MINI_LIBRISPEECH the corpus is where db.sh says (downloads/); what is not there is downloaded and checked by MD5.
  --test_clean false    do without test-clean
  --num_eval N          also make smaller evaluation sets (default: ${num_eval}, none)
  ${common_options}
From run.sh: --local_data_opts "--test_clean false" --test_sets dev_clean
             --local_data_opts "--num_eval 300" --test_sets "dev_clean_300 test_clean_300"
EOF
)
log "$0 $*"
# shellcheck source=/dev/null
. ./path.sh
# shellcheck source=/dev/null
. utils/parse_options.sh
[ $# -eq 0 ] || die "No positional arguments are required."

find_corpus MINI_LIBRISPEECH LibriSpeech
dev="dev-clean-2" # OpenSLR 31 calls its part of dev-clean so
[ ! -d "${corpus_dir}/dev-clean" ] || dev="dev-clean"
splits=(train-clean-5 "${dev}")
if ${test_clean}; then
    splits+=(test-clean)
    ${may_download} || [ -d "${corpus_dir}/test-clean" ] \
        || log "To evaluate on dev_clean alone: --test_sets dev_clean --local_data_opts \"--test_clean false\""
fi
need_splits MINI_LIBRISPEECH "${splits[@]}"
stage_data
prepare_splits "${splits[@]}"
[ "${dev}" = dev-clean ] || mv "${staging}/dev_clean_2" "${staging}/dev_clean"
# Validating on 200 utterances of dev-clean keeps an epoch short; WER is reported on the whole set.
num_dev=$(wc -l < "${staging}/dev_clean/text")
utils/subset_data_dir.sh "${staging}/dev_clean" "$((num_dev < 200 ? num_dev : 200))" "${staging}/valid"
sets=(train_clean_5 dev_clean)
if ${test_clean}; then
    sets+=(test_clean)
fi
if [ "${num_eval}" -gt 0 ]; then
    for dset in "${sets[@]:1}"; do
        utils/subset_data_dir.sh "${staging}/${dset}" "${num_eval}" "${staging}/${dset}_${num_eval}"
    done
fi
publish "${sets[@]}"

log "Successfully finished. [elapsed=${SECONDS}s]"
