#!/usr/bin/env bash
# AN4 as it comes with ESPnet: real recordings, a minute of work; the integration test.
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh

exec python3 -m espnet_ext run \
    --ngpu 0 --nj 2 --model_nj 2 --lang en --nbpe 30 --train_set train_nodev --valid_set train_dev \
    --test_sets "test" --students "e2 e1" --student_source "encrl scratch" \
    "$@"
