#!/usr/bin/env bash
# Makes the embedded corpus (espeak-ng voices, nothing is downloaded) and prepares data/{train,valid,test}.
set -euo pipefail

log() {
    local fname=${BASH_SOURCE[1]##*/}
    echo -e "$(date '+%Y-%m-%dT%H:%M:%S') (${fname}:${BASH_LINENO[0]}:${FUNCNAME[1]}) $*"
}
SECONDS=0

num_train=700  # Utterances of 1 to 7 digits in each set.
num_valid=100
num_test=300
snr_db=0,15    # Lowest and highest signal-to-noise ratio in dB; each utterance draws one.
seed=0         # The same seed gives the same audio.
nj=2           # Parallel processes.
corpus=downloads/mini_digits  # Where the audio is written.

# shellcheck disable=SC2034 # parse_options.sh prints it
help_message=$(cat << EOF
Usage: $0 [--num_train ${num_train}] [--num_valid ${num_valid}] [--num_test ${num_test}] [--snr_db ${snr_db}] [--seed ${seed}]
    [--nj ${nj}] [--corpus ${corpus}]
From run.sh: --local_data_opts "--num_train 2000 --snr_db -5,10"
EOF
)
log "$0 $*"
# shellcheck source=/dev/null
. ./path.sh
# shellcheck source=/dev/null
. utils/parse_options.sh

if [ $# -ne 0 ]; then
    log "Error: No positional arguments are required."
    exit 2
fi

export PYTHONPATH=${ENCRL_ROOT}/egs2/TEMPLATE/encrl1/local${PYTHONPATH:+:${PYTHONPATH}}
python3 local/make_digits.py --out_dir "${corpus}" --num_train "${num_train}" --num_valid "${num_valid}" \
    --num_test "${num_test}" --snr_db="${snr_db}" --seed "${seed}" --nj "${nj}"

for dset in train valid test; do
    mkdir -p "data/${dset}"
    # <corpus>/<set>/<speaker>/<utterance>.flac
    find "${corpus}/${dset}" -name '*.flac' | sort | awk -F/ -v dir="data/${dset}" '{
        utt = $NF; sub(/\.flac$/, "", utt)
        print utt, $0 > (dir "/wav.scp")
        print utt, $(NF - 1) > (dir "/utt2spk")
    }'
    find "${corpus}/${dset}" -name '*.trans.txt' -exec cat {} + | sort > "data/${dset}/text"
    utils/utt2spk_to_spk2utt.pl "data/${dset}/utt2spk" > "data/${dset}/spk2utt"
    utils/validate_data_dir.sh --no-feats "data/${dset}"
done
python3 -m espnet_ext check data --nj "${nj}" data/train data/valid data/test

log "Successfully finished. [elapsed=${SECONDS}s]"
