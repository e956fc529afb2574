#!/usr/bin/env bash
# Checks the style, then runs the tests, one process a core. Installs on first use.
#     tests/run.sh --quick        style and unit tests (under 2 minutes on 2 cores)
#     tests/run.sh                what a change needs: also mini_an4 from data to score (under 10 minutes on 2 cores)
#     tests/run.sh --full         all of it: every recipe, runs that are killed, a scheduler, the documents' commands
#     tests/run.sh --quick -x     further arguments go to pytest
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
case "${1:-}" in
    --quick) selection="not slow and not full" ;;
    --full) selection="" ;;
    *) set -- default "$@" ;;
esac
shift
# One thread a process: there is a process for each core.
export OMP_NUM_THREADS=1
exec python3 -m pytest -n auto --dist loadfile --durations 20 -m "${selection}" "$@"
