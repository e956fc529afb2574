#!/usr/bin/env bash
# One large CTC model (teacher) -> several small ones (students): EncRL, CTC finetuning, decoding, scoring.
# Runs in a recipe directory. Data, CTC training, scoring and packing are ESPnet's own asr.sh, called once per model.
set -euo pipefail
# First, because asr.sh and python3 are there only after the installation that it makes.
. ./path.sh
# shellcheck source=/dev/null
. ./cmd.sh
: "${cuda_cmd:?cmd.sh must set cuda_cmd}" "${train_cmd:?cmd.sh must set train_cmd}" "${decode_cmd:?cmd.sh must set decode_cmd}"

log() { echo "$(date '+%Y-%m-%dT%H:%M:%S') (encrl.sh) $*"; }
die() { echo "error: $*" >&2; exit 2; }
min() { [ "$1" -le "$2" ] && echo "$1" || echo "$2"; }
max() { [ "$1" -ge "$2" ] && echo "$1" || echo "$2"; }

# General configuration
stage=1              # First stage to run.
stop_stage=10000     # Last stage to run.
ngpu=1               # Number of GPUs (0: use the CPU).
num_nodes=1          # The number of nodes.
gpu_inference=false  # Whether to perform gpu decoding.
nj=32                # The number of parallel jobs; also the CPU threads of trainings with --ngpu 0 (at most all cores).
inference_nj=        # The number of parallel jobs in decoding (default: --nj).
model_nj=1           # The number of models trained, decoded or scored at once; they share --nj, and with run.pl the GPUs.
dumpdir=dump         # Directory to dump features.
expdir=exp           # Directory to save experiments.
python=python3       # Specify python to execute espnet commands.
seed=                # Seed of all trainings (default: that of each config); use another --expdir for each.
list_models=false    # Print the models of the run and their directories as YAML, and stop.
verbose=false        # Show the output of asr.sh instead of writing it to <expdir>/log.

# Models. A config may be several files, e.g. "conf/encrl.yaml conf/criteria/clip.yaml": later ones overwrite.
conf_dir=conf        # Directory of the configurations below.
teacher=             # Large model: experiment directory, checkpoint, packed zip or model-zoo tag. Empty: train one.
teacher_config=      # Config of the teacher trained here (default: <conf_dir>/teacher.yaml).
teacher_args=        # Arguments for its training, e.g., "--max_epoch 10". They overwrite the config.
students="e6 e4 e2"  # Names of the students; <conf_dir>/<name>.yaml describes each. none: the teacher alone.
teacher_cache=false  # Compute the teacher's outputs once, to disk (<teacher experiment>/cache), instead of in every epoch.
teacher_cache_dtype=int16 # Of the cached values: float32, int16 or int8.
student_source=encrl # How students start, one or more of: encrl (step 1 of the paper), scratch (random),
                     # teacher (layers of the teacher, no EncRL).
layer_selection=last # Layers taken from the teacher with --student_source teacher: last, first or even.

# Training of the students
finetune=true        # false: leave students as EncRL or the teacher's layers make them.
encrl_config=        # Config of EncRL (default: <conf_dir>/encrl.yaml).
encrl_args=          # Arguments for EncRL, e.g., "--max_epoch 10". They overwrite the config.
encrl_checkpoint=    # File of the EncRL experiment that students start from (default: the best of each student).
finetune_config=     # Config of CTC finetuning (default: <conf_dir>/finetune.yaml).
finetune_args=       # Arguments for finetuning, e.g., "--max_epoch 3". They overwrite the config.
scratch_config=      # Config of training from scratch (default: <conf_dir>/scratch.yaml).
scratch_args=        # Arguments for training from scratch.

# Data, tokens and features (see asr.sh)
train_set=           # Name of training set.
valid_set=           # Name of validation set used for monitoring/tuning network training.
test_sets=           # Names of test sets.
unlabelled_set=      # Name of a set without transcripts (data/<name>, no file text) that joins the training set in EncRL.
lang=noinfo          # The language type of corpus.
token_type=bpe       # Tokenization type (char or bpe).
nbpe=30              # The number of BPE vocabulary.
bpemode=unigram      # Mode of BPE (unigram or bpe).
feats_type=raw       # Feature type; EncRL takes raw audio.
feats_normalize=global_mvn # Normalization layer type.
audio_format=flac    # Audio format: wav, flac, wav.ark, flac.ark.
fs=16k               # Sampling rate.
speed_perturb_factors= # perturbation factors, e.g. "0.9 1.0 1.1" (separated by space).
nlsyms_txt=none      # Non-linguistic symbol list if existing.
cleaner=none         # Text cleaner.
g2p=none             # g2p method.

# Decoding, packing and upload
decoder=greedy       # Decoder: greedy (best CTC path), beam, lexicon (beam over the training set's words), cuda_beam or espnet.
inference_config=    # Config of --decoder beam, lexicon or cuda_beam (of ctc_decode), or espnet (default: <conf_dir>/decode.yaml).
inference_args=      # Arguments for decoding, of ctc_decode or of asr_inference.
inference_tag=       # Suffix to the result dir for decoding.
inference_asr_model=valid.cer_ctc.ave.pth # Model file that is decoded and packed.
results=RESULTS.md   # Comparison table of the run; a CSV and the plots go beside it. Empty: none.
skip_export=true     # Skip writing ONNX files and the sherpa-onnx folder (stage 14).
export_args=         # Arguments for espnet_ext.bin.export_onnx, e.g. "--max_wer_loss 0.2".
skip_upload_hf=true  # Skip uploading to the Hugging Face Hub (stage 15).
hf_repo=             # Stage 15 uploads student NAME to <hf_repo>_NAME.
hf_license=          # License of the uploaded models, as the hub names it, e.g. cc-by-4.0.
hf_args=             # Arguments for espnet_ext.bin.upload, e.g. "--dry_run true" or "--create_repo true".

help_message="Usage: $0 [options]

Stages (asr.sh's numbers):
    1-5    data preparation, speed perturbation, formatting, filtering, token list
    6-9    language model and n-gram; skipped unless --use_lm / --use_ngram true
    10     statistics, once for teacher and students
    11     training: teacher (unless --teacher names one or no student needs it), EncRL of all students, CTC finetuning
    12-13  decoding and scoring of every model; comparison table (--results)
    14     packing (--skip_packing false) and ONNX export (--skip_export false) of every student
    15     upload of every student with a model card (--skip_upload_hf false --hf_repo user/name --hf_license NAME)

Options:
$(sed -n '/^# General configuration/,/^help_message/p' "${BASH_SOURCE[0]}" | sed '$d' \
    | sed -E 's/^([a-z0-9_]+)=("[^"]*"|[^ ]*) *# (.*)/    --\1|\3 (default=\2)/; s/^ +# /|/; s/^# (.*)/\n  \1/' \
    | sed 's/ (default=)$//' | awk -F'|' 'NF == 2 { printf "%-24s %s\n", $1, $2; next } { print }')

Every other option of asr.sh is passed on to it:
"
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=egs2/TEMPLATE/encrl1/encrl_options.sh
. "${here}/encrl_options.sh"
# shellcheck source=egs2/TEMPLATE/encrl1/encrl_names.sh
. "${here}/encrl_names.sh"
# shellcheck source=egs2/TEMPLATE/encrl1/encrl_jobs.sh
. "${here}/encrl_jobs.sh"
# shellcheck source=egs2/TEMPLATE/encrl1/encrl_train.sh
. "${here}/encrl_train.sh"
# shellcheck source=egs2/TEMPLATE/encrl1/encrl_decode.sh
. "${here}/encrl_decode.sh"
# shellcheck source=egs2/TEMPLATE/encrl1/encrl_publish.sh
. "${here}/encrl_publish.sh"

{ # Bash reads a block to its end before it runs it: a later edit of this file does not disturb a run.
# Each step's output goes to a file; the terminal shows the step, its progress and, if it fails, why.
logdir="${expdir}/log"
mkdir -p "${logdir}"
step() { # log name, command...
    local name=$1 file="${logdir}/$1.log" status=0
    shift
    if [ "${verbose}" = true ]; then
        "$@" || die "${name} failed"
        return
    fi
    "$@" > "${file}" 2>&1 || status=$?
    if [ "${status}" -ne 0 ]; then
        ! ${python} -m espnet_ext.bin.explain --log "${file}" || exit 2
        tail -n 30 "${file}" >&2
        grep -h '^error: ' "${file}" >&2 || true
        die "${name} failed (exit status ${status}); whole log: ${PWD}/${file}"
    fi
}
# shellcheck disable=SC2329 # by step and start_job
asr() { # stage, stop stage, options...
    local first=$1 last=$2
    shift 2
    ./asr.sh --use_lm false "${asr_opts[@]}" --stage "${first}" --stop_stage "${last}" \
        --ngpu "${ngpu}" --num_nodes "${num_nodes}" --nj "${nj}" --inference_nj "${inference_nj}" \
        --gpu_inference "${gpu_inference}" \
        --dumpdir "${dumpdir}" --expdir "${expdir}" --python "${python}" \
        --train_set "${train_set}" --valid_set "${valid_set}" --test_sets "${test_sets}" \
        --lang "${lang}" --token_type "${token_type}" --nbpe "${nbpe}" --bpemode "${bpemode}" \
        --feats_type "${feats_type}" --feats_normalize "${feats_normalize}" --audio_format "${audio_format}" \
        --fs "${fs}" --speed_perturb_factors "${speed_perturb_factors}" --nlsyms_txt "${nlsyms_txt}" \
        --cleaner "${cleaner}" --g2p "${g2p}" --asr_stats_dir "${stats_dir}" \
        --inference_config "${inference_config:-${conf_dir}/decode.yaml}" --inference_args "${inference_args}" \
        --inference_tag "${inference_tag}" "$@"
}
# shellcheck disable=SC2329 # by step
check_sets() { # what local/data.sh made, for what this run does with it; asr.sh names sets that are not there
    local perturbed=false set check=("${python}" -m espnet_ext.bin.check_data)
    [ -z "${speed_perturb_factors}" ] || perturbed=true
    if [ -d "data/${train_set}" ]; then
        "${check[@]}" --audio false --no_speech warning --speed_perturb "${perturbed}" "data/${train_set}" || return 1
    fi
    for set in ${test_sets}; do
        [ ! -d "data/${set}" ] || "${check[@]}" --audio false --no_speech warning --scored true "data/${set}" || return 1
    done
    if [ -n "${unlabelled_set}" ] && [ -d "data/${unlabelled_set}" ]; then
        "${check[@]}" --fs "${fs}" --nj "${nj}" --text false "data/${unlabelled_set}"
    fi
}
in_range() { [ "${stage}" -le "$2" ] && [ "${stop_stage}" -ge "$1" ]; } # does the run touch stages $1..$2?

# The teacher's checkpoint: of the training here, or a copy of what --teacher names.
teacher_model="${teacher_exp}/${inference_asr_model}"
[ -n "${teacher}" ] && teacher_model="${teacher_exp}/model.pth"
# All models of this run: "name source experiment file", teacher first
student_models=()
for student in ${students}; do
    for source in ${student_source}; do
        file=model.pth
        if ${finetune} || [ "${source}" = scratch ]; then file=${inference_asr_model}; fi
        student_models+=("${student} ${source} $(student_exp "${student}" "${source}") ${file}")
    done
done
needs_teacher=true # students from scratch do not
[[ -n "${students}" && "${student_source}" = scratch ]] && needs_teacher=false
models=("${student_models[@]}")
${needs_teacher} && models=("teacher teacher ${teacher_exp} ${teacher_model##*/}" "${models[@]}")
student_configs=()
for student in ${students}; do
    student_configs+=("${student}=${conf_dir}/${student}.yaml")
done
needs_encrl=false
[[ -n "${students}" && " ${student_source} " == *" encrl "* ]] && needs_encrl=true
if ${list_models}; then
    list() { xargs <<< "$1" | sed 's/ /, /g'; }
    echo "models:"
    for model in "${models[@]}"; do
        read -r name source exp_dir file <<< "${model}"
        echo "- {name: ${name}, source: ${source}, exp_dir: ${exp_dir}, file: ${file}, decode_dir: ${exp_dir}/${inference_tag}," \
            "configs: [$(list "$(model_configs "${name}" "${source}" "${file}")")]}"
    done
    ${needs_encrl} && echo "encrl: {exp_dir: ${encrl_exp}, configs: [$(list "${encrl_config}")]," \
        "students: [$(list "${student_configs[*]}")]}" || echo "encrl:"
    echo "inference_config: ${inference_config}"
    echo "test_sets: [$(list "${test_sets}")]"
    exit 0
fi

# ------------------------------------------------------------------ checks, before any work
check_publication
check_uploads
# shellcheck disable=SC2206 # a config may be several files
if in_range 1 11; then
    jobs=()
    for student in ${students}; do
        [ -f "${conf_dir}/${student}.yaml" ] \
            || die "--students: ${conf_dir}/${student}.yaml does not exist; each student NAME needs ${conf_dir}/NAME.yaml"
    done
    if ${needs_encrl}; then
        jobs+=(--encrl_job "${encrl_exp}" ${encrl_config} "${student_configs[@]}")
    fi
    for model in "${models[@]}"; do
        read -r name source exp_dir file <<< "${model}"
        configs=$(model_configs "${name}" "${source}" "${file}")
        case "${name} ${source}" in
            teacher*) kind=teacher ;;
            *scratch) kind=scratch ;;
            *) kind=finetune ;;
        esac
        [ -z "${configs}" ] || jobs+=("--${kind}_job" "${exp_dir}" ${configs})
    done
    log "Checking configurations"
    prepare_log="${logdir}/prepare.$$.log" # several runs may share the directory
    ${python} -m espnet_ext.bin.prepare --vocab_size "${nbpe}" ${teacher:+--teacher "${teacher}"} ${seed:+--seed "${seed}"} \
        --teacher_cache "${teacher_cache}" "${jobs[@]}" 2> "${prepare_log}" || { grep '^error: ' "${prepare_log}" >&2 || cat "${prepare_log}" >&2; exit 2; }
    rm "${prepare_log}"
fi

# ------------------------------------------------------------------ stages 1-9: data and tokens
# Stages 1-5 write what the others, of any run, read (maybe where this user may not write).
if in_range 1 5; then
    mkdir -p "${dumpdir}"
    exec 5<> "${dumpdir}/.lock"
    flock -n 5 || die "another run is at work with ${PWD}/${dumpdir}, which stages 1-5 write anew: wait for it, begin with" \
        "--stage 10 where the data is prepared, or give another --dumpdir"
elif [ -r "${dumpdir}/.lock" ]; then
    exec 5< "${dumpdir}/.lock"
else
    exec 5< /dev/null
fi
if in_range 1 9; then
    rm -f "${dumpdir}"/.prepared_* # of espnet_ext.bin.experiments
    log "Stages $(max 1 "${stage}")-$(min 9 "${stop_stage}"): data, token list (output: ${logdir}/data.log)"
    first=${stage}
    if in_range 1 1; then
        export ENCRL_FS=${fs} # read by check_data
        step data_preparation asr 1 1
        first=2
    fi
    ! in_range 1 3 || step data_check check_sets
    [ "${stop_stage}" -lt "${first}" ] || step data asr "${first}" "$(min 9 "${stop_stage}")" \
        --test_sets "${test_sets}${unlabelled_set:+ ${unlabelled_set}}"
fi
flock -n -s 5 || { log "Another run prepares ${PWD}/${dumpdir}; waiting for it"; flock -s 5; }

# ------------------------------------------------------------------ stage 10: statistics
stats_config= # of a model whose front end the statistics are of: the first that is trained here, else a student
for model in "${models[@]}"; do
    read -r name source exp_dir file <<< "${model}"
    if [ -n "$(model_configs "${name}" "${source}" "${file}")" ]; then
        stats_config="${exp_dir}/recipe.yaml"
        break
    fi
done
[ -n "${stats_config}" ] || [ -z "${students}" ] || stats_config="${conf_dir}/${students%% *}.yaml"
if in_range 10 11; then
    for set in "${train_set}${sp}" "${valid_set}"; do
        [ -s "${dumpdir}/${feats_type}/${set}/text" ] || die "${PWD}/${dumpdir}/${feats_type}/${set} has no utterance:" \
            "run stages 1-5; stage 4 keeps those between --min_wav_duration and --max_wav_duration that have a transcript"
    done
fi
if in_range 10 10 && [ -n "${stats_config}" ]; then
    log "Stage 10: statistics (output: ${logdir}/statistics.log)"
    step statistics asr 10 10 --asr_config "${stats_config}" --asr_exp "$(dirname "${stats_config}")"
fi

# ------------------------------------------------------------------ stage 11: training
if in_range 11 11; then
    last_job=
    if ! ${needs_teacher}; then
        log "Stage 11: no student needs a teacher"
    elif [ -n "${teacher}" ]; then
        step "teacher" ${python} -m espnet_ext.bin.link_model --source "${teacher}" --output_dir "${teacher_exp}"
    else
        start_job train teacher "${teacher_exp}" "" asr 11 11 --asr_config "${teacher_exp}/recipe.yaml" \
            --asr_args "${teacher_args}" --asr_exp "${teacher_exp}"
    fi
    teacher_job=${last_job}
    ! ${needs_teacher} || lineage "${teacher_exp}" teacher teacher ""
    for model in "${student_models[@]}"; do # these need no teacher
        # shellcheck disable=SC2086
        [[ "${model}" != *" scratch "* ]] || start_job train_model ${model}
    done
    wait_for_job "${teacher_job}"
    if ${needs_encrl}; then
        check_teacher
        encrl_set="${train_set}${sp}" cached=()
        [ -z "${unlabelled_set}" ] || join_unlabelled
        ! ${teacher_cache} || cache_teacher
        start_job train "EncRL ${students// /+}" "${encrl_exp}" "${teacher_model}" train_encrl
        wait_for_job "${last_job}"
        [ -f "${encrl_exp}/.students" ] || echo "${encrl_tag}_${suffix}${sp} ${students}" > "${encrl_exp}/.students"
    fi
    for model in "${student_models[@]}"; do
        # shellcheck disable=SC2086
        [[ "${model}" == *" scratch "* ]] || start_job train_model ${model}
    done
    wait_for_jobs
fi

# ------------------------------------------------------------------ stages 12-13: decoding, scoring, comparison
exp_dirs=()
if in_range 12 13; then
    last=$(min 13 "${stop_stage}")
    if [ "${last}" -eq 13 ] && ! command -v sclite > /dev/null; then
        log "sclite is not on PATH (tools/install.sh says how to get it): scoring by jiwer, marked in the table"
        last=12
    fi
    for model in "${models[@]}"; do
        read -r _ _ exp_dir file <<< "${model}"
        exp_dirs+=("${exp_dir}")
        [ -e "${exp_dir}/${file}" ] || die "${exp_dir}/${file} does not exist: run stage 11 first"
    done
    for model in "${models[@]}"; do
        # shellcheck disable=SC2086
        start_job decode_and_score "${last}" ${model}
    done
    wait_for_jobs
fi
if in_range 13 13 && [ -n "${results}" ]; then
    ${python} -m espnet_ext.bin.report --exp_dirs "${exp_dirs[@]}" --inference_tag "${inference_tag}" \
        --inference_asr_model "${inference_asr_model}" --test_sets "${test_sets}" \
        --title "Results on $(basename "$(dirname "${PWD}")")" --output "${results}" \
        --plot "${results%.md}_wer_vs_params.png" --curves "${results%.md}_training_curves.png"
fi

# ------------------------------------------------------------------ stages 14-15: packing and upload
if in_range 14 15; then
    choose_published
    for model in "${published[@]}"; do
        read -r name _ exp_dir file <<< "${model}"
        if in_range 14 14; then pack_and_export "${exp_dir}" "${file}"; fi
        if in_range 15 15 && ! ${skip_upload_hf}; then upload_model "${name}" "${exp_dir}" "${file}"; fi
    done
fi
log "Finished"
exit
}
