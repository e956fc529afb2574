#!/usr/bin/env bash
# Makes strings of spoken commands from the clips of Speech Commands v0.02 (CC BY 4.0) and prepares data/{train,valid,test}: the
# clips under $SPEECHCOMMANDS where it is set, else the archive, downloaded: 2.4 GB. For each share also data/train_s<percent>,
# the strings of so many of the speakers, and data/train_r<percent>, those of the others, without transcripts.
set -euo pipefail

# shellcheck source=egs2/TEMPLATE/encrl1/local/corpus.sh
. ../../TEMPLATE/encrl1/local/corpus.sh
SECONDS=0

url=http://download.tensorflow.org/data
num_train=4000  # Strings of 3 to 7 commands in each set; of training sets also single ones.
num_valid=200
num_test=1000
snr_db=5,30     # Lowest and highest signal-to-noise ratio in dB; each string draws one.
shares=30,10    # Percent of the training speakers in further training sets.
seed=0          # The same seed gives the same audio.
nj=2
corpus=downloads/mini_commands # Where the strings are written.

# shellcheck disable=SC2034 # parse_options.sh prints it
help_message=$(cat << EOF
Usage: [SPEECHCOMMANDS=DIR] $0 [options]
DIR is the directory speech_commands_v0.02 (with yes, no and so on), or holds it.
Without SPEECHCOMMANDS the clips are where db.sh says (downloads/); what is not there is downloaded and checked by SHA-256.
  --url URL             where speech_commands_v0.02.tar.gz is (default: ${url})
  --remove_archive true delete the archive when it is unpacked (default: ${remove_archive})
  --num_train N, --num_valid N, --num_test N
                        strings in each set (default: ${num_train}, ${num_valid}, ${num_test})
  --snr_db LOW,HIGH     range of the signal-to-noise ratio in dB (default: ${snr_db})
  --shares N,N          percent of the speakers in further training sets (default: ${shares})
  --seed N              seed of the strings (default: ${seed})
  --nj N                parallel processes (default: ${nj})
  --corpus DIR          where the strings are written (default: ${corpus})
EOF
)
log "$0 $*"
# shellcheck source=/dev/null
. ./path.sh
# shellcheck source=/dev/null
. utils/parse_options.sh
[ $# -eq 0 ] || die "No positional arguments are required."

find_corpus SPEECHCOMMANDS speech_commands_v0.02
if ${may_download} && [ ! -d "${corpus_dir}/zero" ]; then
    # The sum is the one in torchaudio.datasets.SPEECHCOMMANDS.
    fetch speech_commands_v0.02.tar.gz af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58 . "[!z]*" zero
fi

export PYTHONPATH=${ENCRL_ROOT}/egs2/TEMPLATE/encrl1/local${PYTHONPATH:+:${PYTHONPATH}}
# shellcheck disable=SC2086 # numbers
python3 local/make_commands.py --clips "${corpus_dir}" --out_dir "${corpus}" --num_train "${num_train}" \
    --num_valid "${num_valid}" --num_test "${num_test}" --snr_db ${snr_db//,/ } --shares ${shares//,/ } --seed "${seed}" --nj "${nj}"

stage_data
for dset in train valid test; do
    mkdir "${staging}/${dset}"
    # <corpus>/<set>/<speaker>/<string>.flac
    find "${corpus}/${dset}" -name '*.flac' | sort | awk -F/ -v dir="${staging}/${dset}" '{
        utt = $NF; sub(/\.flac$/, "", utt)
        print utt, $0 > (dir "/wav.scp")
        print utt, $(NF - 1) > (dir "/utt2spk")
    }'
    find "${corpus}/${dset}" -name '*.trans.txt' -exec cat {} + | sort > "${staging}/${dset}/text"
    utils/utt2spk_to_spk2utt.pl "${staging}/${dset}/utt2spk" > "${staging}/${dset}/spk2utt"
done
for share in ${shares//,/ }; do
    utils/subset_data_dir.sh --spk-list "${corpus}/speakers_${share}" "${staging}/train" "${staging}/train_s${share}"
    cut -d " " -f 1 "${staging}/train/spk2utt" | grep -vxFf "${corpus}/speakers_${share}" > "${staging}/others"
    utils/subset_data_dir.sh --spk-list "${staging}/others" "${staging}/train" "${staging}/train_r${share}"
    rm "${staging}/train_r${share}/text" "${staging}/others"
done
publish train valid test

log "Successfully finished. [elapsed=${SECONDS}s]"
