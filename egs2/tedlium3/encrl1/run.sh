#!/usr/bin/env bash
# TED-LIUM 3, 452 hours (OpenSLR 51), for GPUs. Needs TEDLIUM3=<directory that holds TEDLIUM_release-3/>, or downloads it.
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh

exec python3 -m espnet_ext run \
    --ngpu 1 --gpu_inference true --nj 16 --audio_format flac.ark --lang en --nbpe 256 --bpe_nlsyms "[unk]" \
    --speed_perturb_factors "0.9 1.0 1.1" --train_set train --valid_set dev --test_sets "test dev" \
    --bpe_train_text data/train/text --lm_train_text data/train/text \
    "$@"
