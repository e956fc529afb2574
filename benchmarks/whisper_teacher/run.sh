#!/usr/bin/env bash
# A teacher for mini_librispeech that does not take days on a CPU: the frozen encoder of Whisper base and a CTC head trained
# on train-clean-5. Writes egs2/mini_librispeech/encrl1/exp/asr_whisper_base, to be given to run.sh as --teacher.
# Run: MINI_LIBRISPEECH=... ./run.sh --corpus mini_librispeech --stage 1 --stop_stage 10, then benchmarks/whisper_teacher/run.sh
# Needs: pip install '.[whisper]'. Each step is skipped where its output is there.
set -euo pipefail
cd "$(dirname "$0")/../../egs2/mini_librispeech/encrl1"
. ./path.sh
here=../../../benchmarks/whisper_teacher
features=dump/whisper
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

[ -f exp/whisper_base.pth ] || python3 "${here}/convert.py" --output exp/whisper_base.pth
for set in valid train_clean_5; do
    [ -d "${features}/${set}" ] || python3 "${here}/features.py" --weights exp/whisper_base.pth \
        --data_dir "dump/raw/${set}" --output_dir "${features}/${set}"
done
data=()
for set in train valid; do
    name=${set/train/train_clean_5}
    data+=("--${set}_data_path_and_name_and_type" "${features}/${name}/feats.scp,speech,kaldi_ark"
        "--${set}_data_path_and_name_and_type" "${features}/${name}/text,text,text"
        "--${set}_shape_file" "${features}/${name}/feats_shape")
done
python3 -m espnet2.bin.asr_train --config "${here}/head.yaml" --ngpu 0 --resume true --output_dir exp/whisper_head \
    --use_preprocessor true --token_type char --token_list data/en_token_list/char/tokens.txt "${data[@]}"
python3 "${here}/assemble.py" --weights exp/whisper_base.pth --head exp/whisper_head --output_dir exp/asr_whisper_base
