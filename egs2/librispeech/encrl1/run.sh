#!/usr/bin/env bash
# LibriSpeech, 960 hours (OpenSLR 12), for GPUs. Needs LIBRISPEECH=<directory that holds LibriSpeech/>, or downloads it.
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh

exec python3 -m espnet_ext run \
    --ngpu 1 --gpu_inference true --nj 32 --lang en --nbpe 256 --max_wav_duration 30 --train_set train_960 \
    --valid_set dev --test_sets "test_clean test_other dev_clean dev_other" \
    --bpe_train_text data/train_960/text --lm_train_text data/train_960/text \
    "$@"
