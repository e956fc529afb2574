# shellcheck shell=bash disable=SC2154 # sourced by encrl.sh, whose variables it uses
# Stages 14-15: packing, export and upload of one student.
check_uploads() { # before any work: is there all that an upload needs?
    local model name source sources
    if ${skip_upload_hf} || ! in_range 15 15; then return; fi
    [ -n "${hf_repo}" ] || die "--hf_repo is empty; give user/name: a student e6 is uploaded to user/name_e6"
    [[ "${hf_args}" != *"--dry_run true"* ]] || return 0
    [ -n "${hf_license}" ] || die "--hf_license is empty; name the license of the models, e.g. cc-by-4.0"
    sources=${student_source/scratch/}
    [ "$(wc -w <<< "${sources}")" -eq 1 ] \
        || die "--student_source '${student_source}': name encrl or teacher, not both; a student has one repository"
    for model in "${student_models[@]}"; do
        read -r name source _ _ <<< "${model}"
        [ "${source}" != scratch ] || continue
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
    local scratch language=${lang#noinfo}
    scratch=$(student_exp "$1" scratch)
    log "Stage 15: $1 to ${hf_repo}_$1"
    [ -d "${scratch}/${inference_tag}" ] || scratch=
    # shellcheck disable=SC2086
    ${python} -m espnet_ext.bin.upload --exp_dir "$2" --asr_model_file "$3" --compare_to "${teacher_exp}" ${scratch} \
        --inference_tag "${inference_tag}" --test_sets "${test_sets}" --repo "${hf_repo}_$1" \
        ${language:+--language "${language}"} --dataset "$(basename "$(dirname "${PWD}")")" \
        ${hf_license:+--license "${hf_license}"} ${hf_args}
}
