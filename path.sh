# Environment of every recipe; sourced, never run. The first use installs everything (tools/install.sh).
ENCRL_ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
export ENCRL_ROOT

export PATH="${ENCRL_ROOT}/.venv/bin:/usr/lib/sctk/bin:${PATH}"
. "${ENCRL_ROOT}/tools/espnet/tools/extra_path.sh"
export PATH="${PWD}/utils:${PATH}"

# Kaldi-style scripts rely on the C collation order.
export LC_ALL=C
export PYTHONIOENCODING=UTF-8
# One thread for each of the parallel jobs; encrl.sh raises it for training on CPU.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
