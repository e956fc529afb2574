#!/usr/bin/env bash
# The digits of mini_digits as talks in TED-LIUM 3's layout, for table2 on a CPU. As many hours and the same models as mini_digits.
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh

exec python3 -m espnet_ext run \
    --ngpu 0 --nj 2 --model_nj 2 --lang en --nbpe 29 --train_set train --valid_set dev --test_sets "test" \
    --local_data_opts "--snr_db 5,20" --student_source "encrl scratch" \
    "$@"
