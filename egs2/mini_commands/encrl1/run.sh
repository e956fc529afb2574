#!/usr/bin/env bash
# Strings of ten spoken commands (Speech Commands v0.02). Needs SPEECHCOMMANDS=<directory of the unpacked archive>, or
# downloads it.
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh

exec python3 -m espnet_ext run \
    --ngpu 0 --nj 2 --lang en --token_type word --train_set train --valid_set valid --test_sets "test" \
    --lm_train_text data/train/text --feats_normalize utterance_mvn --students "e4" --student_source "encrl scratch" \
    "$@"
