#!/usr/bin/env bash
# Mini LibriSpeech (OpenSLR 31). Needs MINI_LIBRISPEECH=<directory that holds LibriSpeech/>, or downloads it.
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh

exec python3 -m espnet_ext run \
    --ngpu 0 --nj 1 --lang en --token_type char --train_set train_clean_5 --valid_set valid \
    --test_sets "dev_clean test_clean" --student_source "encrl scratch" \
    "$@"
