#!/usr/bin/env bash
# Prepares data/{train_clean_100,dev,test_clean,test_other,dev_clean,dev_other} from LibriSpeech (OpenSLR 12) as ESPnet's recipe
# does (dev is dev_clean and dev_other), but for its download of text for language models.
set -euo pipefail

# shellcheck source=egs2/TEMPLATE/encrl1/local/librispeech.sh
. ../../TEMPLATE/encrl1/local/librispeech.sh
SECONDS=0

# shellcheck disable=SC2034 # parse_options.sh prints it
help_message=$(cat << EOF
Usage: [LIBRISPEECH=DIR] $0 [options]
DIR is a directory named LibriSpeech, with train-clean-100, dev-*, test-* and SPEAKERS.TXT, or holds it. Without LIBRISPEECH the
corpus is where db.sh says (downloads/); splits that are not there are downloaded (8 GB, as much unpacked) and checked by MD5.
  ${common_options}
From run.sh: --local_data_opts "--url https://openslr.elda.org/resources"
EOF
)
log "$0 $*"
# shellcheck source=/dev/null
. ./path.sh
# shellcheck source=/dev/null
. utils/parse_options.sh
[ $# -eq 0 ] || die "No positional arguments are required."

splits=(train-clean-100 dev-clean dev-other test-clean test-other)
find_corpus LIBRISPEECH LibriSpeech
need_splits LIBRISPEECH "${splits[@]}"
stage_data
prepare_splits "${splits[@]}"
utils/combine_data.sh "${staging}/dev" "${staging}"/dev_{clean,other}
publish "${splits[@]//-/_}"

log "Successfully finished. [elapsed=${SECONDS}s]"
