# shellcheck shell=bash disable=SC2154 # sourced by encrl.sh, whose variables it uses
# Reads and checks the options; those that are not its own go to asr.sh.
asr_options() { # names of the options of asr.sh, one a line
    sed -n '/^# General configuration/,/^help_message/p' asr.sh | sed -nE 's/^([a-z_0-9]+)=.*/\1/p'
}
own_options() {
    sed -n '/^# General configuration/,/^help_message/p' "${here}/encrl.sh" | sed -nE 's/^([a-z_0-9]+)=.*/\1/p'
}
# Set per model by this script.
managed="asr_task asr_tag asr_exp asr_config asr_args asr_stats_dir pretrained_model ignore_init_mismatch use_lightning \
download_model lm_args num_splits_asr num_ref num_inf use_k2 use_streaming use_maskctc"

for arg in "$@"; do
    case "${arg}" in --help | -h)
        recipe=("$@")
        unset 'recipe[-1]'
        [ ${#recipe[@]} -eq 0 ] || printf 'This recipe sets: %s\n\n' "$(printf '%q ' "${recipe[@]}")"
        echo "${help_message}$(asr_options | grep -vxF -e "$(own_options)" -e "$(tr ' ' '\n' <<< "${managed}")" \
            | sed 's/^/--/' | paste -sd' ' | fold -s -w 110 | sed 's/^/    /')"
        exit 0 ;;
    esac
done
asr_opts=() # passed to every call of asr.sh
while [ $# -gt 0 ]; do
    case "$1" in
        --*=*) die "options are of the form --name value, got '$1'" ;;
        --*) name=$(sed 's/^--//; s/-/_/g' <<< "$1") ;;
        *) die "unexpected argument '$1': options are of the form --name value" ;;
    esac
    [ $# -ge 2 ] || die "option $1 needs a value"
    if grep -qxF -- "${name}" <<< "$(own_options)"; then
        printf -v "${name}" '%s' "$2"
    elif grep -qwF -- "${name}" <<< "${managed}"; then
        die "--${name} is set by encrl.sh for each model; see --help for what to use instead"
    elif grep -qxF -- "${name}" <<< "$(asr_options)"; then
        asr_opts+=("--${name}" "$2")
    else
        near=$( (own_options; asr_options) | python3 -c "import sys, difflib
print(*difflib.get_close_matches(sys.argv[1], sys.stdin.read().split(), n=1))" "${name}")
        die "unknown option --${name}${near:+; did you mean --${near}?} (see --help)"
    fi
    shift 2
done

for name in stage stop_stage ngpu nj num_nodes model_nj; do
    [[ ${!name} =~ ^[0-9]+$ ]] || die "--${name} takes a number, not '${!name}'"
done
[ "${model_nj}" -ge 1 ] || die "--model_nj takes a number of at least 1, not ${model_nj}"
for name in train_set valid_set test_sets students; do
    [ -n "${!name}" ] || die "--${name} is empty"
done
[ "${students}" != none ] || students=
for source in ${student_source}; do
    [[ " encrl scratch teacher " == *" ${source} "* ]] || die "--student_source: '${source}' is not encrl, scratch or teacher"
done
[[ " greedy beam lexicon cuda_beam espnet " == *" ${decoder} "* ]] \
    || die "--decoder: '${decoder}' is not greedy, beam, lexicon, cuda_beam or espnet"
[ "${decoder}" != greedy ] || [ -z "${inference_config}" ] || die "--inference_config needs --decoder beam, lexicon or espnet"
for name in finetune teacher_cache list_models gpu_inference verbose skip_export skip_upload_hf; do
    [[ " true false " == *" ${!name} "* ]] || die "--${name} takes true or false, not '${!name}'"
done
[ "${decoder}" != cuda_beam ] || ${gpu_inference} || die "--decoder cuda_beam needs --gpu_inference true"
[ "${feats_type}" = raw ] || die "--feats_type ${feats_type}: EncRL computes features from audio; use raw"
: "${teacher_config:=${conf_dir}/teacher.yaml}" "${encrl_config:=${conf_dir}/encrl.yaml}"
: "${finetune_config:=${conf_dir}/finetune.yaml}" "${scratch_config:=${conf_dir}/scratch.yaml}"
: "${inference_nj:=${nj}}"
[ "${decoder}" != espnet ] || : "${inference_config:=${conf_dir}/decode.yaml}"
[ -z "${inference_config}" ] || [ -f "${inference_config}" ] \
    || die "--inference_config ${inference_config} does not exist in ${PWD}, where relative paths start"
