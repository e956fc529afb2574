# shellcheck shell=bash disable=SC2154 # sourced by encrl.sh, whose variables it uses
# Stages 14-15: packing, export and upload of one student.
publishes() { # does the run pack, export or upload?
    { in_range 14 14 && { ! ${skip_export} || [ "$(asr_option skip_packing true)" = false ]; }; } \
        || { in_range 15 15 && ! ${skip_upload_hf}; }
}
check_publication() { # before any work: stages 14-15 alone that would make nothing are a mistake
    [ "${stage}" -ge 14 ] || return 0
    in_range 14 15 || return 0
    publishes || die "stages ${stage}-$(min 15 "${stop_stage}") would make nothing: give --skip_packing false or" \
        "--skip_export false (stage 14), or --skip_upload_hf false (stage 15)"
    [ -n "${students}" ] || die "--students none: stages 14-15 pack, export and upload students"
}
choose_published() { # sets published: the students that a teacher helped; those from scratch where the run has no others
    local model left_out=false
    published=()
    for model in "${student_models[@]}"; do
        if [[ "${model}" != *" scratch "* || " ${student_source} " =~ ^(\ +scratch)+\ +$ ]]; then
            published+=("${model}")
        else
            left_out=true
        fi
    done
    if ${left_out} && publishes; then
        log "Stages 14-15: students from scratch are left out beside others; --student_source scratch publishes them"
    fi
}
check_uploads() { # before any work: is there all that an upload needs?
    local model name sources
    if ${skip_upload_hf} || ! in_range 15 15; then return; fi
    [ -n "${hf_repo}" ] || die "--hf_repo is empty; give user/name: a student e6 is uploaded to user/name_e6"
    [[ "${hf_args}" != *"--dry_run true"* ]] || return 0
    [ -n "${hf_license}" ] || die "--hf_license is empty; name the license of the models, e.g. cc-by-4.0"
    sources=${student_source//scratch/}
    [ "$(wc -w <<< "${sources}")" -le 1 ] \
        || die "--student_source '${student_source}': name encrl or teacher, not both; a student has one repository"
    choose_published > /dev/null
    for model in "${published[@]}"; do
        read -r name _ <<< "${model}"
        # shellcheck disable=SC2086
        ${python} -m espnet_ext.bin.upload --repo "${hf_repo}_${name}" --check_only true ${hf_args} || exit 2
    done
}
pack_and_export() { # experiment, model file
    local zip
    # asr.sh packs both; the first is missing without sclite, the second where EncRL alone made the model.
    [ -f "$1/RESULTS.md" ] || scripts/utils/show_asr_result.sh "$1" > "$1/RESULTS.md"
    mkdir -p "$1/images"
    ${python} -m espnet_ext.bin.check_model "$1/$2" || exit 2
    step "pack_$(basename "$1")" asr 14 14 --asr_exp "$1" --inference_asr_model "$2"
    if [ "$(asr_option skip_packing true)" = false ]; then
        for zip in "$1"/*.zip; do log "Stage 14: ${zip}"; done
    fi
    ${skip_export} && return
    log "Stage 14: ONNX files ($1/onnx)"
    # shellcheck disable=SC2086
    ${python} -m espnet_ext.bin.export_onnx --exp_dir "$1" --asr_model_file "$2" --sherpa true \
        --data_dir "${dumpdir}/${feats_type}/${valid_set}" --audio_format "${audio_format}" \
        --output_dir "$1/onnx" ${export_args}
}
upload_model() { # name, experiment, model file
    local other others=() language=${lang#noinfo}
    log "Stage 15: $1 to ${hf_repo}_$1"
    for other in "${teacher_exp}" "$(student_exp "$1" scratch)"; do
        [[ ! -d "${other}/${inference_tag}" || "${other}" = "$2" ]] || others+=("${other}")
    done
    # shellcheck disable=SC2086
    ${python} -m espnet_ext.bin.upload --exp_dir "$2" --asr_model_file "$3" --compare_to "${others[@]}" \
        --inference_tag "${inference_tag}" --test_sets "${test_sets}" --repo "${hf_repo}_$1" \
        ${language:+--language "${language}"} --dataset "$(basename "$(dirname "${PWD}")")" \
        ${hf_license:+--license "${hf_license}"} ${hf_args}
}
