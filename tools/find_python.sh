#!/usr/bin/env bash
# Prints the path of a Python 3.12 or 3.13 that can make virtual environments: $PYTHON where it is set, else the first
# found on PATH, among pyenv's versions, or by uv.
set -euo pipefail

# Prints the true path, so that the answer does not depend on pyenv's shims; fails if the interpreter does not fit.
check() { # <interpreter>
    "$1" -c 'import sys
if not (3, 12) <= sys.version_info[:2] < (3, 14):
    sys.exit(f"it is Python {sys.version.split()[0]}")
try:
    import ensurepip, venv
except ImportError as error:
    sys.exit(f"{error} (Debian: apt-get install python3-venv)")
print(sys.executable)' < /dev/null
}

if [ -n "${PYTHON:-}" ]; then
    check "${PYTHON}" && exit
    echo "error: PYTHON=${PYTHON} is not usable; name a Python 3.12 or 3.13, or unset PYTHON to search for one" >&2
    exit 2
fi
# 3.12 first: the versions in constraints.txt were tested with it.
for candidate in python3.12 python3.13 python3 "${PYENV_ROOT:-${HOME}/.pyenv}"/versions/*/bin/python3.1[23]; do
    check "${candidate}" 2> /dev/null && exit
done
if command -v uv > /dev/null; then
    candidate=$(uv python find '>=3.12,<3.14' 2> /dev/null) && check "${candidate}" 2> /dev/null && exit
    echo "uv installs Python 3.12" >&2
    uv python install 3.12 >&2 && candidate=$(uv python find 3.12) && check "${candidate}" && exit
fi
echo "error: found no Python 3.12 or 3.13 with venv. Install one (Debian/Ubuntu: apt-get install python3.12-venv;" \
    "pyenv: pyenv install 3.12; uv: uv python install 3.12), or set PYTHON to its path" >&2
exit 2
