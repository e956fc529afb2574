# shellcheck shell=bash
# Environment of every recipe; sourced, never run, by each script of ESPnet and ours. The first use installs everything.
ENCRL_ROOT=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
export ENCRL_ROOT
# The jobs of a scheduler inherit no such variables (ESPnet's slurm.conf: --export=PATH).
if [ -n "${SLURM_JOB_ID:-}${PBS_JOBID:-}${JOB_ID:-}" ] && [ -z "${ENCRL_PYTHON:-}${ESPNET_ROOT:-}" ] \
    && [ -f "${ENCRL_ROOT}/tools/.environment" ]; then
    # shellcheck source=/dev/null
    . "${ENCRL_ROOT}/tools/.environment"
fi
case " $* " in
    *" --help "* | *" -h "*) export PYTHONPATH="${ENCRL_ROOT}${PYTHONPATH:+:${PYTHONPATH}}" ;; # shown without an installation
    *) "${ENCRL_ROOT}/tools/install.sh" || return 2 ;;
esac

if [ -n "${ENCRL_PYTHON:-}" ]; then
    PATH="$(dirname "${ENCRL_PYTHON}"):${PATH}"
else
    PATH="${ENCRL_ROOT}/.venv/bin:${PATH}"
fi
# Last: Debian's sclite, and a sph2pipe of ours for where there is no other.
export PATH="${PATH}:/usr/lib/sctk/bin:${ENCRL_ROOT}/tools/bin"
# shellcheck source=/dev/null
[ ! -e "${ENCRL_ROOT}/tools/espnet/tools/extra_path.sh" ] || . "${ENCRL_ROOT}/tools/espnet/tools/extra_path.sh"
export PATH="${PWD}/utils:${PATH}"

# ESPnet's scripts find each other by these names in the directory of a recipe; files of the recipe's own stay.
encrl_link_scripts() {
    local name up=../../.. template=tools/espnet/egs2/TEMPLATE/asr1
    case $(pwd -P) in */egs2/*/encrl1) ;; *) return 0 ;; esac
    [ -e "${up}/${template}/asr.sh" ] || return 0
    for name in asr.sh cmd.sh db.sh pyscripts scripts steps utils conf/pbs.conf conf/queue.conf conf/slurm.conf; do
        [ -e "${name}" ] && continue
        [ "${name%/*}" = "${name}" ] || { mkdir -p conf && up=../../../..; }
        ln -sn "${up}/${template}/${name}" "${name}"
    done 2> /dev/null || true # another run may have made it meanwhile
}
encrl_link_scripts
unset -f encrl_link_scripts

# Kaldi-style scripts rely on the C collation order; Python must write UTF-8 all the same.
export LC_ALL=C
export PYTHONIOENCODING=UTF-8
# One thread for each of the parallel jobs; a recipe raises it for training on CPU.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# Threads that wait by spinning make a training several times slower where another process wants the core.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
# Change or unset it for training on several machines, according to their network.
export NCCL_SOCKET_IFNAME="${NCCL_SOCKET_IFNAME:-^lo,docker,virbr,vmnet,vboxnet}"
