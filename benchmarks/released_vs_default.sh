#!/usr/bin/env bash
# What each difference between the released code and our default is worth: EncRL of one student on mini_digits with the
# criteria of conf/criteria, the same teacher, seed, epochs and finetuning. Needs a finished ./run.sh.
# Run: benchmarks/released_vs_default.sh [STUDENT [CRITERIA ...]]; default: e4, clip_mse unmasked unnormalised train_mode released
# Cost: about 2 minutes for each criteria on two CPU cores.
set -euo pipefail
cd "$(dirname "$0")/../egs2/mini_digits/encrl1"
student=${1:-e4}
shift || true
[ $# -gt 0 ] || set -- kld clip_mse unmasked unnormalised train_mode released

exp_dirs=(exp/asr_teacher_raw_en_bpe29)
for criteria in "" "$@"; do
    options=(--students "${student}" --student_source encrl --results "")
    [ -z "${criteria}" ] || options+=(--encrl_config "conf/encrl.yaml conf/criteria/${criteria}.yaml")
    ./run.sh --stage 11 --stop_stage 13 "${options[@]}"
    exp_dirs+=("exp/asr_${student}_encrl${criteria:+_${criteria}}_raw_en_bpe29")
done
. ./path.sh
python3 -m espnet_ext.bin.report --exp_dirs "${exp_dirs[@]}" --inference_tag greedy_asr_model_valid.cer_ctc.ave \
    --inference_asr_model valid.cer_ctc.ave.pth --test_sets test --title "Released code and our default (${student})" \
    --output exp/released_vs_default.md --plot exp/released_vs_default_wer_vs_params.png \
    --curves exp/released_vs_default_training_curves.png
