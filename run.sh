#!/usr/bin/env bash
# Runs a recipe: ./run.sh [--corpus NAME] [any option of the recipe]. Needs no installation to choose it or to show --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python=${ENCRL_PYTHON:-.venv/bin/python3}
case " $* " in *" --help "* | *" -h "*) export UV_PYTHON_DOWNLOADS=never ;; esac # an answer needs no download
[ -x "${python}" ] || python=$(tools/find_python.sh)
exec "${python}" -m espnet_ext.cli.corpus "$@"
