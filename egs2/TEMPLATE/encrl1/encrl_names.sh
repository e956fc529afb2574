# shellcheck shell=bash disable=SC2154,SC2034 # sourced by encrl.sh, whose variables it uses and sets
# Names: of experiments, results and the directory of tokens.
clean() { sed -e 's/--/_/g' -e 's/[ |=/]//g' <<< "$1"; }
suffix="${feats_type}"
[ "${lang}" = noinfo ] || suffix+="_${lang}"
suffix+="_${token_type}"
[ "${token_type}" = bpe ] && suffix+="${nbpe}"
[ -n "${speed_perturb_factors}" ] && sp=_sp || sp=
stats_dir="${expdir}/asr_stats_${suffix}${sp}"
config_tag() { # config files, default name -> "_tag" of each but the default
    local file name
    for file in $1; do
        name=$(basename "${file}" .yaml)
        [ "${name}" = "$2" ] || printf '_%s' "${name}"
    done
}
teacher_tag=$(config_tag "${teacher_config}" teacher)
teacher_exp="${expdir}/asr_teacher${teacher_tag}_${suffix}$(clean "${teacher_args}")${sp}"
teacher_tag+=$(clean "${teacher_args}") # in the names of all that is made from it
if [ -n "${teacher}" ]; then
    # shellcheck disable=SC2001
    teacher_tag="_from_$(sed 's/[^A-Za-z0-9]\+/_/g; s/^_//; s/_$//' <<< "${teacher%/}")"
    teacher_exp="${expdir}/asr_teacher${teacher_tag}"
fi
encrl_tag="encrl$(config_tag "${encrl_config}" encrl)$(clean "${encrl_args}")${unlabelled_set:+_${unlabelled_set}}${teacher_tag}"
encrl_exp="${expdir}/${encrl_tag}_${students// /_}_${suffix}${sp}"
if [ ! -d "${encrl_exp}" ]; then
    # A finished EncRL training of more students serves as well.
    for dir in "${expdir}/${encrl_tag}"_*; do
        read -r tag trained 2> /dev/null < "${dir}/.students" || continue
        [ "${tag}" = "${encrl_tag}_${suffix}${sp}" ] || continue
        [ -f "${dir}/.trained" ] || continue
        missing=$(comm -23 <(tr ' ' '\n' <<< "${students}" | sort) <(tr ' ' '\n' <<< "${trained}" | sort))
        [ -n "${missing}" ] || encrl_exp=${dir}
    done
fi
encrl_of() { # finetuning experiment -> EncRL experiment that its student is of
    local parent tag
    # Trained after EncRL with other students beside it, on which it does not depend: kept.
    if [ -f "$1/checkpoint.pth" ] && parent=$(sed -nE 's/.*parents: \[(.+)\]\}/\1/p' "$1/lineage.yaml") && [ -f "${parent}/.trained" ] \
        && read -r tag _ 2> /dev/null < "${parent}/.students" && [ "${tag}" = "${encrl_tag}_${suffix}${sp}" ]; then
        echo "${parent}"
    else
        echo "${encrl_exp}"
    fi
}
student_start() { # student, source, EncRL experiment -> directory of the model.pth that it starts from
    case "$2" in
        encrl) echo "${3:-${encrl_exp}}/$1${encrl_checkpoint:+_${encrl_checkpoint%.pth}}" ;;
        teacher) echo "${expdir}/layers_$1_${layer_selection}${teacher_tag}_${suffix}${sp}" ;;
    esac
}
model_configs() { # name, source, file -> configurations of its training; none where it is not trained in a run of its own
    if [ "$1" = teacher ]; then
        [ -n "${teacher}" ] || echo "${teacher_config}"
    elif [ "$3" = "${inference_asr_model}" ]; then
        [ "$2" = scratch ] && echo "${conf_dir}/$1.yaml ${scratch_config}" || echo "${conf_dir}/$1.yaml ${finetune_config}"
    fi
}
student_exp() { # student, source
    local tag=$2 args=${finetune_args}
    if ! ${finetune} && [ "$2" != scratch ]; then
        student_start "$@"
        return
    fi
    case "$2" in
        encrl) tag="${encrl_tag}${encrl_checkpoint:+_${encrl_checkpoint%.pth}}" ;;
        teacher)
            [ "${layer_selection}" = last ] || tag+="_${layer_selection}"
            tag+=${teacher_tag} ;;
    esac
    if [ "$2" = scratch ]; then
        tag+=$(config_tag "${scratch_config}" scratch) args=${scratch_args}
    else
        tag+=$(config_tag "${finetune_config}" finetune)
    fi
    echo "${expdir}/asr_$1_${tag}_${suffix}$(clean "${args}")${sp}"
}
if [ -z "${inference_tag}" ]; then
    inference_tag=${decoder}
    if [ -n "${inference_config}" ]; then
        inference_tag=$(basename "${inference_config}" .yaml)
        [ "${decoder}" = espnet ] || inference_tag="${decoder}_${inference_tag}"
    fi
    inference_tag+="$(clean "${inference_args}")_asr_model_${inference_asr_model%.*}"
fi
if [ "${token_type}" = bpe ]; then
    token_dir="bpe_${bpemode}${nbpe}"
else
    token_dir="${token_type}"
fi
[ "${lang}" = noinfo ] && token_dir="data/token_list/${token_dir}" || token_dir="data/${lang}_token_list/${token_dir}"
