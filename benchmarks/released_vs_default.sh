#!/usr/bin/env bash
# What each difference between the released code and our default is worth: EncRL of one student on mini_digits, in each
# variant of conf/tuning, with the same teacher, seed, epochs and finetuning. Needs a finished ./run.sh.
# Run: benchmarks/released_vs_default.sh [student, default e4]   Cost: about 2 minutes a variant on two CPU cores.
set -euo pipefail
cd "$(dirname "$0")/../egs2/mini_digits/encrl1"
student=${1:-e4}
exp_dirs=(exp/asr_teacher_raw_en_bpe29)
for config in conf/encrl.yaml conf/tuning/encrl_*.yaml; do
    ./run.sh --stage 11 --stop_stage 13 --students "${student}" --student_source encrl --encrl_config "${config}" \
        --results exp/released_vs_default_one.md
    tag=$(basename "${config}" .yaml)
    [ "${tag}" = encrl ] || tag="encrl_${tag}"
    exp_dirs+=("exp/asr_${student}_${tag}_raw_en_bpe29")
done
. ./path.sh
python3 -m espnet_ext.bin.report --exp_dirs "${exp_dirs[@]}" --inference_tag decode_asr_model_valid.cer_ctc.ave \
    --inference_asr_model valid.cer_ctc.ave.pth --test_sets test --title "Released code and our default (${student})" \
    --output exp/released_vs_default.md --plot exp/released_vs_default.png --curves exp/released_vs_default_curves.png
