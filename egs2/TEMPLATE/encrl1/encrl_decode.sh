# shellcheck shell=bash disable=SC2154 # sourced by encrl.sh, whose variables it uses
# Stages 12-13: decoding and scoring of one model.
decoded_sets() { # as asr.sh names their directories
    local set
    for set in ${test_sets}; do
        if [ "${set}" = "${valid_set}" ]; then echo "org/${set}"; else echo "${set}"; fi
    done
}
newer() { # file, model file: is it newer than the model and all that it was decoded with?
    local used
    # shellcheck disable=SC2086 # of the arguments, those that are files, e.g. an n-gram
    for used in "$2" ${inference_config} ${inference_args}; do
        [ ! -f "${used}" ] || [ "$1" -nt "${used}" ] || return 1
    done
}
scored() { # experiment, model file: were all sets scored, to the end, with the present model and decoding configuration?
    local set mark="$1/${inference_tag}/.scored"
    newer "${mark}" "$2" || return 1
    for set in $(decoded_sets); do
        [ -s "$1/${inference_tag}/${set}/text" ] && [ ! "$1/${inference_tag}/${set}/text" -nt "${mark}" ] || return 1
    done
}
decode_ctc() { # experiment, model file; asr.sh's stage 12 for all sets in one job
    local cmd=${decode_cmd} dir="$1/${inference_tag}" gpus=0 set data search=(--search "${decoder}")
    [ -z "${inference_config}" ] || search+=(--config "${inference_config}")
    [ "${decoder}" != lexicon ] || search+=(--lexicon_text "${dumpdir}/${feats_type}/${train_set}${sp}/text")
    ${gpu_inference} && cmd=${cuda_cmd} gpus=1
    # Whatever fails from here on, texts of an earlier model must not be scored.
    for set in $(decoded_sets); do rm -f "${dir}/${set}/text"; done
    # shellcheck disable=SC2086
    OMP_NUM_THREADS=$(threads_of_each "${inference_nj}") \
        submit "${cmd}" "${gpus}" "${dir}/ctc_decode.log" ${python} -m espnet_ext.bin.ctc_decode --exp_dir "$1" \
        --asr_model_file "$2" --data_dir "${dumpdir}/${feats_type}" --test_sets "$(decoded_sets | paste -sd' ')" \
        --audio_format "${audio_format}" --output_dir "${dir}" --ngpu "${gpus}" "${search[@]}" ${inference_args} || return 1
    for set in $(decoded_sets); do
        data="${dir}/${set}/logdir"
        ${python} pyscripts/utils/calculate_rtf.py --log-dir "${data}" --log-name asr_inference \
            --input-shift "$(${python} -c "import humanfriendly as h; print(1000 / h.parse_size('${fs}'))")" \
            --start-times-marker "speech length" --end-times-marker "best hypo" > "${data}/calculate_rtf.log"
    done
}
sclite_can() { # experiment; says of which utterance sclite makes no word
    local set
    for set in $(decoded_sets); do
        ${python} -m espnet_ext.bin.score --ref "${dumpdir}/${feats_type}/${set}/text" \
            --decode_dir "$1/${inference_tag}/${set}" --check_only true || return 1
    done
}
score_by_sclite() { # experiment, model file; fails where sclite cannot, with the reason
    local log_file reason
    log_file="${logdir}/score_$(basename "$1").log"
    reason=$(sclite_can "$1" 2>&1) || { log "not by sclite: ${reason}"; return 1; }
    asr 13 13 --asr_exp "$1" --inference_asr_model "$2" > "${log_file}" 2>&1 \
        || { log "sclite failed, see ${PWD}/${log_file}"; return 1; }
}
score_without_sclite() { # experiment
    local set
    for set in $(decoded_sets); do
        ${python} -m espnet_ext.bin.score --ref "${dumpdir}/${feats_type}/${set}/text" \
            --decode_dir "$1/${inference_tag}/${set}" || return 1
    done
}
decode_and_score() { # last stage, name, source, experiment, model file
    mkdir -p "$4/${inference_tag}"
    exec 6>> "$4/${inference_tag}/.lock"
    flock 6 # several runs may share the model
    decode_unless_scored "$@"
    exec 6>&-
}
decode_unless_scored() { # as decode_and_score
    local last=$1 name=$2 source=$3 exp_dir=$4 file=$5 set
    if scored "${exp_dir}" "${exp_dir}/${file}"; then
        log "Stages 12-13: ${name} ${source}: already scored (${exp_dir})"
        return
    fi
    log "Stages $(max 12 "${stage}")-$(min 13 "${stop_stage}"): ${name} ${source}: decoding and scoring"
    rm -f "${exp_dir}/${inference_tag}/.scored"
    [ "${stage}" -le 12 ] || for set in $(decoded_sets); do
        newer "${exp_dir}/${inference_tag}/${set}/text" "${exp_dir}/${file}" \
            || die "${exp_dir}/${inference_tag}/${set}/text is not there or older than the model: run stage 12 first"
    done
    if [ "${stage}" -le 12 ]; then
        if [ "${decoder}" = espnet ]; then
            ${python} -m espnet_ext.bin.check_model "${exp_dir}/${file}" || exit 2
            step "decode_$(basename "${exp_dir}")" asr 12 12 --asr_exp "${exp_dir}" --inference_asr_model "${file}"
        else
            step "decode_$(basename "${exp_dir}")" decode_ctc "${exp_dir}" "${file}"
        fi
    fi
    if [ "${stop_stage}" -ge 13 ] && { [ "${last}" -eq 12 ] || ! score_by_sclite "${exp_dir}" "${file}"; }; then
        [ "${last}" -eq 12 ] || log "${name} ${source}: scoring by jiwer, marked in the table"
        step "score_jiwer_$(basename "${exp_dir}")" score_without_sclite "${exp_dir}"
    fi
    [ "${stop_stage}" -lt 13 ] || touch "${exp_dir}/${inference_tag}/.scored"
}
