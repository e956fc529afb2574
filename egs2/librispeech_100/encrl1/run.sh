#!/usr/bin/env bash
# LibriSpeech, 100 hours (OpenSLR 12), for a GPU. Needs LIBRISPEECH=<directory that holds LibriSpeech/>, or downloads it.
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh

exec python3 -m espnet_ext run \
    --ngpu 1 --gpu_inference true --nj 16 --audio_format flac.ark --lang en --nbpe 256 --max_wav_duration 30 \
    --speed_perturb_factors "0.9 1.0 1.1" --train_set train_clean_100 --valid_set dev \
    --test_sets "test_clean test_other dev_clean dev_other" --bpe_train_text data/train_clean_100/text \
    --lm_train_text data/train_clean_100/text \
    "$@"
