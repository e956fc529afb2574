#!/usr/bin/env bash
# Prepares data/{train,dev,test} from TED-LIUM release 3 (OpenSLR 51) with the scripts of ESPnet's recipe: transcripts without
# the segments that scoring ignores, <unk> as [unk], suffixes joined ("it 's" -> "it's"), training segments a little longer.
set -euo pipefail

# shellcheck source=egs2/TEMPLATE/encrl1/local/corpus.sh
. ../../TEMPLATE/encrl1/local/corpus.sh
SECONDS=0

data_type=legacy  # legacy: dev and test of releases 1 and 2; speaker-adaptation: the other partition of release 3.

# shellcheck disable=SC2034 # parse_options.sh prints it
help_message=$(cat << EOF
Usage: [TEDLIUM3=DIR] $0 [options]
DIR is a directory named TEDLIUM_release-3 (with legacy/ and speaker-adaptation/), or holds it. Without TEDLIUM3 the corpus is
where db.sh says (downloads/); if it is not there it is downloaded (54 GB, more unpacked) and checked by SHA-256.
  --data_type TYPE      legacy or speaker-adaptation (default: ${data_type})
  ${common_options}
From run.sh: --local_data_opts "--data_type speaker-adaptation"
EOF
)
log "$0 $*"
# shellcheck source=/dev/null
. ./path.sh
# shellcheck source=/dev/null
. utils/parse_options.sh
[ $# -eq 0 ] || die "No positional arguments are required."
[[ " legacy speaker-adaptation " == *" ${data_type} "* ]] || die "--data_type: '${data_type}' is not legacy or speaker-adaptation."

find_corpus TEDLIUM3 TEDLIUM_release-3
if ${may_download} && [ ! -d "${corpus_dir}" ]; then
    # OpenSLR publishes no sum; this one is in TensorFlow Datasets and in torchaudio (54320173876 bytes).
    fetch 51/TEDLIUM_release-3.tgz ad1e454d14d1ad550bc2564c462d87c7a7ec83d4dc2b9210f22ab4973b9eccdb TEDLIUM_release-3
fi
missing=()
for dset in train dev test; do
    [ -d "${corpus_dir}/${data_type}/${dset}" ] || missing+=("${data_type}/${dset}")
done
[ ${#missing[@]} -eq 0 ] || die "${corpus_dir} lacks ${missing[*]}. TEDLIUM3 must name the directory TEDLIUM_release-3 or its" \
    "parent; add what is missing, or unset TEDLIUM3 to download the corpus."
corpus_dir=$(cd "${corpus_dir}" && pwd) # ESPnet's scripts run in another directory
num_talks=$(find -L "${corpus_dir}/${data_type}" -name '*.sph' | wc -l)
if [ "${data_type}" = legacy ] && [ "${num_talks}" -ne 2370 ]; then
    log "Warning: ${corpus_dir}/legacy has ${num_talks} talks, the published corpus 2370; is the copy complete?"
fi
plain_stm=$(mktemp -d) # transcripts whose labels are one word, as ESPnet's script takes them
trap 'rm -rf "${plain_stm}"' EXIT
python3 -m espnet_ext check corpus --layout tedlium --nj "${nj}" --plain_stm "${plain_stm}" \
    "${corpus_dir}/${data_type}"/{train,dev,test}

# ESPnet's prepare_data.sh writes data/<set>.orig where it runs, and at its end it sorts the gigabytes of text for language models,
# which CTC models do not need: so it runs in a directory of its own, on a corpus whose LM/ is empty.
stage_data
work=${staging}/.work
recipe=${ENCRL_ROOT}/tools/espnet/egs2/tedlium3/asr1
mkdir -p "${work}/TEDLIUM_release-3/LM"
gzip < /dev/null > "${work}/TEDLIUM_release-3/LM/none.en.gz"
cp -r "${plain_stm}" "${work}/TEDLIUM_release-3/${data_type}"
ln -s "${recipe}/local" "$(readlink -f utils)" "$(readlink -f path.sh)" "${work}"
(cd "${work}" && local/prepare_data.sh . "${data_type}") || die "ESPnet's prepare_data.sh failed, see above."
for dset in train dev test; do
    # A path instead of a pipe through sph2pipe, which is not needed then: libsndfile (stage 3) and sox (stage 2) read SPHERE.
    wav_scp=${work}/data/${dset}.orig/wav.scp
    sed -E "s# sph2pipe -f wav -p ./TEDLIUM_release-3/(\S+) \|\$# ${corpus_dir}/\1#" "${wav_scp}" > "${wav_scp}.new"
    mv "${wav_scp}.new" "${wav_scp}"
    utils/data/modify_speaker_info.sh --seconds-per-spk-max 180 "${work}/data/${dset}.orig" "${staging}/${dset}"
done
publish --no_speech warning train dev test # ESPnet keeps an utterance that is [unk] alone

log "Successfully finished. [elapsed=${SECONDS}s]"
