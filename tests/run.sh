#!/usr/bin/env bash
# Checks the style, then runs the tests, one process a core. Installs on first use.
#     tests/run.sh                what a change needs: among it mini_an4 from data to score (under 15 minutes on 2 cores)
#     tests/run.sh --full         all of it, also whole runs of the other recipes and of interrupted experiments
#     tests/run.sh -m "not slow"  arguments go to pytest
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ./path.sh

echo "ruff and shellcheck"
ruff format --check --quiet . tools/bin/sph2pipe || { echo "error: reformat these files with: ruff format" >&2; exit 1; }
ruff check --quiet . tools/bin/sph2pipe
mapfile -t scripts < <(find path.sh run.sh tests tools/*.sh .ci egs2 -type f \( -name '*.sh' -o -path .ci/run \) \
    -not -path '*/encrl1/downloads/*' -not -path '*/encrl1/exp/*')
shellcheck --exclude=SC1091 "${scripts[@]}"

selection="not full"
if [ "${1:-}" = --full ]; then
    selection=""
    shift
fi
# One thread a process: there is a process for each core.
export OMP_NUM_THREADS=1
exec python3 -m pytest -n auto --dist loadfile --durations 20 -m "${selection}" "$@"
