#!/usr/bin/env bash
# Makes a corpus in the official layout of TED-LIUM 3 (espeak-ng voices, nothing is downloaded) and prepares data/{train,dev,test}
# by the script of egs2/tedlium3. Options are those of make_digits.py:
# ./run.sh --corpus mini_tedlium3 --local_data_opts "--num_train 2000 --snr_db 0,15"
set -euo pipefail

# shellcheck source=/dev/null
. ./path.sh

digits=../../mini_digits/encrl1/local
export PYTHONPATH=${ENCRL_ROOT}/egs2/TEMPLATE/encrl1/local${PYTHONPATH:+:${PYTHONPATH}}
python3 "${digits}/make_digits.py" --out_dir downloads/mini_digits "$@"
python3 "${digits}/talks.py" --digits downloads/mini_digits --out_dir downloads/TEDLIUM_release-3
TEDLIUM3=${PWD}/downloads/TEDLIUM_release-3 ../../tedlium3/encrl1/local/data.sh
