# shellcheck shell=bash disable=SC2154 # sourced by encrl.sh, whose variables it uses
# Stage 11: one training, resumed where it was, and the call of EncRL's.
digest() { cat "$@" | sha256sum | cut -d' ' -f1; }
train() { # as train_locked
    lock_training "$1" "$2"
    train_locked "$@"
}
lock_training() { # name shown, experiment; waits until nothing else trains in it and keeps others out: exec 8>&- lets them in
    local other told=
    exec 8>> "$2/.lock"
    flock -n 8 || { log "Stage 11: $1: another run is training in $2; waiting for it"; flock 8; }
    # The run that started it may have been killed, and the lock with it.
    while other=$(still_training "$2") && [ -n "${other}" ]; do
        [ "${other}" = "${told}" ] || log "Stage 11: $1: ${other} is still training in $2; waiting for its end"
        told=${other}
        sleep 2
    done
}
still_training() { # experiment -> a process on this machine or a job of Slurm or Grid Engine that trains in it
    local pid job
    for pid in $(pgrep -f -- "--output_dir $1( |\$)" 2> /dev/null); do
        if [ "$(readlink "/proc/${pid}/cwd")" = "$(pwd -P)" ]; then
            echo "process ${pid}"
            return
        fi
    done
    # Where slurm.pl and queue.pl keep what the scheduler said of the last job.
    job=$(cat "$1"/q/*.log 2> /dev/null | sed -nE 's/.*(Submitted batch|Your) job ([0-9]+).*/\2/p' | tail -n 1) || true
    [ -n "${job}" ] || return 0
    if [ -n "$(squeue -h -j "${job}" 2> /dev/null)" ] || qstat -j "${job}" > /dev/null 2>&1; then echo "job ${job}"; fi
}
# name shown, experiment, file it starts from or "", command... ; skips what is finished, resumes what is not
train_locked() {
    local name=$1 exp_dir=$2 start=$3 key threads progress_pid pid=${BASHPID} # of this shell, also where it is a subshell
    shift 3
    key="$(digest "${exp_dir}/recipe.yaml" ${start:+"${start}"})"
    if [ -f "${exp_dir}/.trained" ]; then
        if [ "$(cat "${exp_dir}/.trained")" = "${key}" ]; then
            log "Stage 11: ${name}: already trained (${exp_dir})"
            exec 8>&-
            return
        fi
    fi
    if [ -n "${start}" ]; then
        # A training must not go on from another start than it began with.
        if [ -f "${exp_dir}/checkpoint.pth" ] && [ -f "${exp_dir}/.start" ] \
            && [ "$(cat "${exp_dir}/.start")" != "$(digest "${start}")" ]; then
            die "${exp_dir} was started from another model than ${start} is now; delete it to finetune anew"
        fi
        ${python} -m espnet_ext.bin.check_model "${start}" || exit 2 # ESPnet would train on from damaged weights
        digest "${start}" > "${exp_dir}/.start"
    fi
    rm -f "${exp_dir}/.trained"
    log "Stage 11: ${name} (log: ${exp_dir}/train.log)"
    [ -f "${exp_dir}/checkpoint.pth" ] && ${python} -m espnet_ext.bin.recover --exp_dir "${exp_dir}"
    threads=1
    [ "${ngpu}" -eq 0 ] && threads=$(threads_of_each "${nj}")
    # Several trainings at once cannot each update a line of the terminal in place.
    if [ "${model_nj}" -gt 1 ]; then exec 9> >(cat); else exec 9>&1; fi
    ${python} -m espnet_ext.bin.progress --exp_dir "${exp_dir}" --name "${name}" --pid "${pid}" >&9 &
    progress_pid=$!
    exec 9>&-
    OMP_NUM_THREADS=${threads} step "train_$(basename "${exp_dir}")" "$@"
    kill "${progress_pid}" 2> /dev/null || true
    wait "${progress_pid}" 2> /dev/null || true
    ${python} -m espnet_ext.bin.recover --exp_dir "${exp_dir}" --check_finite true
    echo "${key}" > "${exp_dir}/.trained.tmp" && mv "${exp_dir}/.trained.tmp" "${exp_dir}/.trained"
    exec 8>&-
}
# shellcheck disable=SC2086 # --python may be several words
train_model() { # student, source, experiment, model file: its start, and its CTC training where it has one
    local name=$1 source=$2 exp_dir=$3 file=$4 start='' parents='' args=${finetune_args} layers
    mkdir -p "${exp_dir}"
    lock_training "${name} ${source}" "${exp_dir}" # first, because another run may be choosing where its student starts
    case "${source}" in
        encrl)
            parents=$(encrl_of "${exp_dir}")
            start="$(student_start "${name}" encrl "${parents}")/model.pth"
            if ! [ "${start}" -nt "${parents}/.trained" ]; then
                step "export_${name}" ${python} -m espnet_ext.bin.export_student --encrl_exp "${parents}" \
                    --student "${name}" ${encrl_checkpoint:+--checkpoint "${encrl_checkpoint}"} --output_dir "$(dirname "${start}")"
            fi ;;
        teacher)
            start="$(student_start "${name}" teacher)/model.pth" parents=${teacher_exp}
            if ! [ "${start}" -nt "${teacher_model}" ]; then
                layers=$(${python} -c "import sys, yaml
print(yaml.safe_load(open(sys.argv[1]))['encoder_conf']['num_blocks'])" "${conf_dir}/${name}.yaml")
                step "derive_${name}" ${python} -m espnet_ext.bin.derive_student --source "${teacher_model}" \
                    --layers "${layer_selection}:${layers}" --ctc_only true --output_dir "$(dirname "${start}")"
            fi ;;
        scratch) args=${scratch_args} ;;
    esac
    # Tells variants apart in the table.
    [ "${source}" = encrl ] && source=${encrl_tag}
    [ "${source}" = teacher ] && source="teacher${teacher_tag}_${layer_selection}"
    [ "${file}" = "${inference_asr_model}" ] || source+="_only"
    lineage "${exp_dir}" "${name}" "${source}" "${parents}"
    if [ "${file}" != "${inference_asr_model}" ]; then
        exec 8>&-
        return
    fi
    train_locked "${name} ${source}" "${exp_dir}" "${start}" asr 11 11 --asr_config "${exp_dir}/recipe.yaml" \
        --asr_args "${args}" --asr_exp "${exp_dir}" ${start:+--pretrained_model "${start}"}
}
lineage() { # experiment, model, source, parents
    echo "{model: $2, source: $3, parents: [$4]}" > "$1/.lineage.${BASHPID}"
    mv "$1/.lineage.${BASHPID}" "$1/lineage.yaml"
}
check_teacher() { # shows its error rates once, before anything is made of it
    local shown="${teacher_exp}/.checked" data="${dumpdir}/${feats_type}/${valid_set}" cmd=${decode_cmd} gpus=0
    ! ${gpu_inference} || cmd=${cuda_cmd} gpus=1
    if ! [ "${shown}" -nt "${teacher_model}" ]; then
        # Several runs may share the teacher, so each has a log of its own.
        # shellcheck disable=SC2086
        step "check_teacher_$$" submit "${cmd}" "${gpus}" "${logdir}/check_teacher.$$.log" ${python} -m espnet_ext.bin.check_teacher \
            --teacher "${teacher_model}" --data_dir "${data}" --audio_format "${audio_format}" --ngpu "${gpus}" --output "${shown}"
        rm -f "${logdir}"/check_teacher{.,_}$$.log
    fi
    log "Stage 11: teacher: $(cat "${shown}")"
}
show_progress() { # log of a job with a progress bar: shows the disk that it needs and, on a terminal, the bar
    local line told=false
    while kill -0 $$ 2> /dev/null; do
        line=$(tr '\r' '\n' 2> /dev/null < "$1" | grep ' MiB are free' || true)
        if [ -n "${line}" ] && ! ${told}; then
            told=true
            log "Stage 11: ${line}"
        fi
        if ${told} && [ -t 1 ]; then
            printf '\r\e[K%s' "$(tr '\r' '\n' < "$1" | grep -oE '[^ ]+: +[0-9]+%\|.*\]' | tail -n 1)"
        fi
        sleep 1
    done
}
cache_teacher() { # the teacher's outputs for training and validation; sets the data options that give them to EncRL
    local set part cmd=${train_cmd} gpus=0 jobs name dir watcher
    jobs=$(min "${nj}" "$(nproc)")
    [ "${ngpu}" -gt 0 ] && cmd=${cuda_cmd} gpus=${ngpu} jobs=${ngpu}
    for part in train valid; do
        [ "${part}" = train ] && set=${encrl_set} || set=${valid_set}
        dir="${teacher_exp}/cache/${set}"
        log "Stage 11: teacher cache of ${set} (${dir})"
        [ -f "${dir}/manifest.json" ] || rm -f "${dir}.log"
        show_progress "${dir}.log" &
        watcher=$!
        # shellcheck disable=SC2086
        step "cache_${set}" submit "${cmd}" "${gpus}" "${dir}.log" ${python} -m espnet_ext.bin.cache_teacher \
            --teacher "${teacher_model}" --config "${encrl_exp}/recipe.yaml" --data_dir "${dumpdir}/${feats_type}/${set}" \
            --output_dir "${dir}" --dtype "${teacher_cache_dtype}" --audio_format "${audio_format}" \
            --nj "${jobs}" --ngpu "${gpus}"
        kill "${watcher}" 2> /dev/null || true
        wait "${watcher}" 2> /dev/null || true
        [ ! -t 1 ] || printf '\r\e[K'
        for name in "${dir}"/*.scp; do
            cached+=("--${part}_data_path_and_name_and_type" "${name},$(basename "${name}" .scp),kaldi_ark")
        done
    done
    cached+=(--allow_variable_data_keys true)
}
asr_option() { # name, default -> what asr.sh is called with
    local i value=$2
    for ((i = 0; i < ${#asr_opts[@]}; i += 2)); do
        [ "${asr_opts[i]}" != "--$1" ] || value=${asr_opts[i + 1]}
    done
    echo "${value}"
}
join_unlabelled() { # the training set and --unlabelled_set as one; sets encrl_set
    local data="${dumpdir}/${feats_type}" from="${dumpdir}/${feats_type}/${unlabelled_set}" dir twice
    [ -s "${from}/utt2num_samples" ] || die "${PWD}/${from} is not there: --unlabelled_set ${unlabelled_set} is formatted" \
        "in stage 3 from data/${unlabelled_set} (wav.scp, utt2spk, spk2utt; segments where recordings hold several utterances)"
    encrl_set="${train_set}${sp}_${unlabelled_set}"
    dir="${data}/${encrl_set}"
    twice=$(awk 'NR == FNR { seen[$1]; next } $1 in seen { print $1; exit }' "${data}/${train_set}${sp}/utt2spk" "${from}/utt2spk")
    [ -z "${twice}" ] || die "--unlabelled_set ${unlabelled_set}: utterance ${twice} is in ${train_set}${sp} too; rename it"
    exec 7>> "${data}/.${encrl_set}.lock" # several runs may share the data
    flock 7
    if [ "${dir}/speech_shape" -nt "${from}/wav.scp" ] && [ "${dir}/speech_shape" -nt "${stats_dir}/train/speech_shape" ]; then
        exec 7>&-
        return
    fi
    log "Stage 11: ${train_set}${sp} and ${unlabelled_set} together (${dir})"
    local filtered="${from}_within_limits" rate
    rate=$(${python} -c "import humanfriendly as h; print(h.parse_size('${fs}'))")
    step "unlabelled_copy" utils/copy_data_dir.sh --validate_opts --non-print "${from}" "${filtered}"
    awk -v rate="${rate}" -v min="$(asr_option min_wav_duration 0.1)" -v max="$(asr_option max_wav_duration 20)" \
        '$2 > int(min * rate) && $2 < int(max * rate)' "${from}/utt2num_samples" > "${filtered}/utt2num_samples"
    utils/filter_scp.pl "${filtered}/utt2num_samples" "${from}/wav.scp" > "${filtered}/wav.scp"
    step "unlabelled_filter" utils/fix_data_dir.sh "${filtered}"
    step "unlabelled_join" utils/combine_data.sh --extra-files utt2num_samples "${dir}" "${data}/${train_set}${sp}" "${filtered}"
    cat "${stats_dir}/train/speech_shape" "${filtered}/utt2num_samples" > "${dir}/speech_shape.tmp"
    mv "${dir}/speech_shape.tmp" "${dir}/speech_shape"
    exec 7>&-
}
train_encrl() { # asr.sh's stage 11 for EncRL, whose task asr.sh cannot call
    local data="${dumpdir}/${feats_type}" shape="${stats_dir}/train/speech_shape" type=sound normalize=() bpemodel=none
    local job="${encrl_exp}/train.log"
    [[ "${cuda_cmd}" != *queue*.pl* ]] || job=$(basename "${encrl_exp}") # as in asr.sh: Grid Engine takes no slash
    # Audio without transcripts: EncRL needs none, and ESPnet's loader wants a file to hold all utterances or to be left out.
    local text=(--train_data_path_and_name_and_type "${data}/${encrl_set}/text,text,text")
    [ -z "${unlabelled_set}" ] || text=() shape="${data}/${encrl_set}/speech_shape"
    [[ "${audio_format}" == *ark* ]] && type=kaldi_ark
    [ "${feats_normalize}" = global_mvn ] \
        && normalize=(--normalize global_mvn --normalize_conf "stats_file=${stats_dir}/train/feats_stats.npz")
    [ "${token_type}" = bpe ] && bpemodel="${token_dir}/bpe.model"
    # shellcheck disable=SC2086
    ${python} -m espnet2.bin.launch --cmd "${cuda_cmd} --name ${job}" --log "${encrl_exp}/train.log" \
        --ngpu "${ngpu}" --num_nodes "${num_nodes}" --init_file_prefix "${encrl_exp}/.dist_init_" \
        --multiprocessing_distributed true -- \
        ${python} -m espnet_ext.bin.encrl_train --config "${encrl_exp}/recipe.yaml" --teacher "${teacher_model}" \
        --students "${student_configs[@]}" --use_preprocessor true --resume true --output_dir "${encrl_exp}" \
        --bpemodel "${bpemodel}" --token_type "${token_type}" --token_list "${token_dir}/tokens.txt" \
        --non_linguistic_symbols "${nlsyms_txt}" --cleaner "${cleaner}" --g2p "${g2p}" \
        --frontend_conf "fs=${fs}" "${normalize[@]}" \
        --train_data_path_and_name_and_type "${data}/${encrl_set}/wav.scp,speech,${type}" "${text[@]}" \
        --valid_data_path_and_name_and_type "${data}/${valid_set}/wav.scp,speech,${type}" \
        --valid_data_path_and_name_and_type "${data}/${valid_set}/text,text,text" \
        --train_shape_file "${shape}" --valid_shape_file "${stats_dir}/valid/speech_shape" \
        --fold_length 80000 "${cached[@]}" ${encrl_args}
}
