# shellcheck shell=bash disable=SC2154 # sourced by encrl.sh, whose variables it uses
# Jobs: one given to cmd.sh; --model_nj models at once. What fails ends the run as soon as the jobs beside it are done.
submit() { # command of cmd.sh, number of GPUs, its log, command... ; what fails says why in the log of the step
    local cmd=$1 gpus=$2 file=$3
    shift 3
    # shellcheck disable=SC2086 # a command with options
    if ! ${cmd} --gpu "${gpus}" "${file}" "$@"; then
        grep -h '^error: ' "${file}" || tail -n 5 "${file}"
        return 1
    fi
}
jobs_running=() last_job=
trap '[ "${#jobs_running[@]}" -eq 0 ] || { log "Waiting for the models beside it"; wait || true; }' EXIT # whatever ends the run
threads_of_each() { # threads for all -> threads for each of the models at once
    local all
    all=$(min "$1" "$(env -u OMP_NUM_THREADS nproc)") # nproc obeys that variable
    max 1 $((all / model_nj))
}
start_job() { # command... ; at once with one model at a time, else in the background; sets last_job
    last_job=
    if [ "${model_nj}" -eq 1 ]; then
        "$@"
        return
    fi
    _leave_running $((model_nj - 1))
    # Background jobs of a script ignore Ctrl-C unless told otherwise.
    (
        trap - INT
        "$@"
    ) &
    last_job=$!
    jobs_running+=("${last_job}")
}
wait_for_job() { # last_job of an earlier start; "" if that has ended
    while [[ -n "$1" && " ${jobs_running[*]} " == *" $1 "* ]]; do
        _leave_running $((${#jobs_running[@]} - 1))
    done
}
wait_for_jobs() { _leave_running 0; }
_leave_running() { # number of jobs; waits until no more than these run
    local job left failed=false
    while true; do
        left=()
        for job in "${jobs_running[@]}"; do
            if kill -0 "${job}" 2> /dev/null; then left+=("${job}"); else wait "${job}" || failed=true; fi
        done
        jobs_running=("${left[@]}")
        if ${failed} && [ "${#left[@]}" -gt 0 ]; then
            log "A model failed; waiting for ${#left[@]} beside it"
            wait || true
        fi
        ! ${failed} || exit 2 # the job has said why
        [ "${#left[@]}" -gt "$1" ] || return 0
        wait -n || true
    done
}
