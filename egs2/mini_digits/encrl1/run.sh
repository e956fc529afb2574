#!/usr/bin/env bash
# Spoken digit strings made by espeak-ng; no download. A quarter of an hour on two CPU cores.
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh

exec python3 -m espnet_ext run \
    --ngpu 0 --nj 2 --model_nj 2 --lang en --nbpe 29 --train_set train --valid_set valid --test_sets "test" \
    --local_data_opts "--snr_db 5,20" --student_source "encrl scratch" \
    "$@"
