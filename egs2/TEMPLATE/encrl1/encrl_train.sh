# shellcheck shell=bash disable=SC2154 # sourced by encrl.sh, whose variables it uses
# Stage 11: one training, resumed where it was, and the call of EncRL's.
digest() { cat "$@" | sha256sum | cut -d' ' -f1; }
train() { # name shown, experiment, file it starts from or "", command... ; skips what is finished, resumes what is not
    local name=$1 exp_dir=$2 start=$3 key threads progress_pid
    shift 3
    # Inherited by the training itself: of a run that was killed, it may still be going on.
    exec 8> "${exp_dir}/.lock"
    flock -n 8 || { log "Stage 11: ${name}: another process is training in ${exp_dir}; waiting for it"; flock 8; }
    key="$(digest "${exp_dir}/recipe.yaml" ${start:+"${start}"})"
    if [ -f "${exp_dir}/.trained" ]; then
        if [ "$(cat "${exp_dir}/.trained")" = "${key}" ]; then
            log "Stage 11: ${name}: already trained (${exp_dir})"
            exec 8>&-
            return
        fi
        rm "${exp_dir}/.trained"
    fi
    if [ -n "${start}" ]; then
        # A training must not go on from another start than it began with.
        if [ -f "${exp_dir}/checkpoint.pth" ] && [ -f "${exp_dir}/.start" ] \
            && [ "$(cat "${exp_dir}/.start")" != "$(digest "${start}")" ]; then
            die "${exp_dir} was started from another model than ${start} is now; delete it to finetune anew"
        fi
        digest "${start}" > "${exp_dir}/.start"
    fi
    log "Stage 11: ${name} (log: ${exp_dir}/train.log)"
    [ -f "${exp_dir}/checkpoint.pth" ] && ${python} -m espnet_ext.bin.recover --exp_dir "${exp_dir}"
    threads=1
    [ "${ngpu}" -eq 0 ] && threads=$(min "${nj}" "$(env -u OMP_NUM_THREADS nproc)") # nproc obeys that variable
    ${python} -m espnet_ext.bin.progress --exp_dir "${exp_dir}" --name "${name}" --pid $$ &
    progress_pid=$!
    OMP_NUM_THREADS=${threads} step "train_$(basename "${exp_dir}")" "$@"
    kill "${progress_pid}" 2> /dev/null || true
    wait "${progress_pid}" 2> /dev/null || true
    ${python} -m espnet_ext.bin.recover --exp_dir "${exp_dir}" --check_finite true
    echo "${key}" > "${exp_dir}/.trained.tmp" && mv "${exp_dir}/.trained.tmp" "${exp_dir}/.trained"
    exec 8>&-
}
lineage() { # experiment, model, source, parents
    echo "{model: $2, source: $3, parents: [$4]}" > "$1/lineage.yaml.tmp"
    mv "$1/lineage.yaml.tmp" "$1/lineage.yaml"
}
cache_teacher() { # the teacher's outputs for training and validation; sets the data options that give them to EncRL
    local set part cmd=${train_cmd} gpus=0 jobs name dir
    jobs=$(min "${nj}" "$(nproc)")
    [ "${ngpu}" -gt 0 ] && cmd=${cuda_cmd} gpus=${ngpu} jobs=${ngpu}
    for part in train valid; do
        [ "${part}" = train ] && set="${train_set}${sp}" || set=${valid_set}
        dir="${teacher_exp}/cache/${set}"
        log "Stage 11: teacher cache of ${set} (${dir})"
        # shellcheck disable=SC2086
        step "cache_${set}" ${cmd} --gpu "${gpus}" "${dir}.log" ${python} -m espnet_ext.bin.cache_teacher \
            --teacher "${teacher_model}" --config "${encrl_exp}/recipe.yaml" --data_dir "${dumpdir}/${feats_type}/${set}" \
            --output_dir "${dir}" --dtype "${teacher_cache_dtype}" --audio_format "${audio_format}" \
            --nj "${jobs}" --ngpu "${gpus}"
        for name in "${dir}"/*.scp; do
            cached+=("--${part}_data_path_and_name_and_type" "${name},$(basename "${name}" .scp),kaldi_ark")
        done
    done
    cached+=(--allow_variable_data_keys true)
}
train_encrl() { # asr.sh's stage 11 for EncRL, whose task asr.sh cannot call
    local data="${dumpdir}/${feats_type}" type=sound normalize=() bpemodel=none
    [[ "${audio_format}" == *ark* ]] && type=kaldi_ark
    [ "${feats_normalize}" = global_mvn ] \
        && normalize=(--normalize global_mvn --normalize_conf "stats_file=${stats_dir}/train/feats_stats.npz")
    [ "${token_type}" = bpe ] && bpemodel="${token_dir}/bpe.model"
    # shellcheck disable=SC2086
    ${python} -m espnet2.bin.launch --cmd "${cuda_cmd} --name ${encrl_exp}/train.log" --log "${encrl_exp}/train.log" \
        --ngpu "${ngpu}" --num_nodes "${num_nodes}" --init_file_prefix "${encrl_exp}/.dist_init_" \
        --multiprocessing_distributed true -- \
        ${python} -m espnet_ext.bin.encrl_train --config "${encrl_exp}/recipe.yaml" --teacher "${teacher_model}" \
        --students "${student_configs[@]}" --use_preprocessor true --resume true --output_dir "${encrl_exp}" \
        --bpemodel "${bpemodel}" --token_type "${token_type}" --token_list "${token_dir}/tokens.txt" \
        --non_linguistic_symbols "${nlsyms_txt}" --cleaner "${cleaner}" --g2p "${g2p}" \
        --frontend_conf "fs=${fs}" "${normalize[@]}" \
        --train_data_path_and_name_and_type "${data}/${train_set}${sp}/wav.scp,speech,${type}" \
        --train_data_path_and_name_and_type "${data}/${train_set}${sp}/text,text,text" \
        --valid_data_path_and_name_and_type "${data}/${valid_set}/wav.scp,speech,${type}" \
        --valid_data_path_and_name_and_type "${data}/${valid_set}/text,text,text" \
        --train_shape_file "${stats_dir}/train/speech_shape" --valid_shape_file "${stats_dir}/valid/speech_shape" \
        --fold_length 80000 "${cached[@]}" ${encrl_args}
}
