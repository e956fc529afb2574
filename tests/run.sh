#!/usr/bin/env bash
# Checks the style, then runs the tests; arguments go to pytest: tests/run.sh -m "not slow". Installs on first use.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ./path.sh

echo "ruff and shellcheck"
ruff format --check --quiet . tools/bin/sph2pipe || { echo "error: reformat these files with: ruff format" >&2; exit 1; }
ruff check --quiet . tools/bin/sph2pipe
mapfile -t scripts < <(find path.sh run.sh tests tools/*.sh .ci egs2 -type f \( -name '*.sh' -o -path .ci/run \) \
    -not -path '*/encrl1/downloads/*' -not -path '*/encrl1/exp/*')
shellcheck --exclude=SC1091 "${scripts[@]}"

exec python3 -m pytest --durations 20 "$@"
