#!/usr/bin/env bash
# What each difference between the released code and our default is worth: EncRL of one student on mini_digits, in the
# variants of conf/tuning, with the same teacher, seed, epochs and finetuning. Needs a finished ./run.sh.
# Run: benchmarks/released_vs_default.sh [STUDENT [VARIANT ...]]; default: e4 and all variants, e.g. clip_mse released
# Cost: about 2 minutes a variant on two CPU cores.
set -euo pipefail
cd "$(dirname "$0")/../egs2/mini_digits/encrl1"
student=${1:-e4}
shift || true
configs=("${@/%/.yaml}")
configs=("${configs[@]/#/conf/tuning/encrl_}")
[ $# -gt 0 ] || configs=(conf/tuning/encrl_*.yaml)

exp_dirs=(exp/asr_teacher_raw_en_bpe29)
for config in conf/encrl.yaml "${configs[@]}"; do
    ./run.sh --stage 11 --stop_stage 13 --students "${student}" --student_source encrl --encrl_config "${config}" \
        --results exp/released_vs_default_one.md
    tag=$(basename "${config}" .yaml)
    [ "${tag}" = encrl ] || tag="encrl_${tag}"
    exp_dirs+=("exp/asr_${student}_${tag}_raw_en_bpe29")
done
. ./path.sh
python3 -m espnet_ext.bin.report --exp_dirs "${exp_dirs[@]}" --inference_tag decode_asr_model_valid.cer_ctc.ave \
    --inference_asr_model valid.cer_ctc.ave.pth --test_sets test --title "Released code and our default (${student})" \
    --output exp/released_vs_default.md --plot exp/released_vs_default_wer_vs_params.png \
    --curves exp/released_vs_default_training_curves.png
