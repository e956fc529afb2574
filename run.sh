#!/usr/bin/env bash
# Runs a recipe: ./run.sh [--corpus NAME] [any option of the recipe]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

corpora=()
for recipe in egs2/*/encrl1/run.sh; do
    name=${recipe#egs2/}
    corpora+=("${name%%/*}")
done

corpus=mini_digits
help=false
options=()
while [ $# -gt 0 ]; do
    case "$1" in
        --corpus)
            [ $# -ge 2 ] || { echo "error: --corpus needs a name: ${corpora[*]}" >&2; exit 2; }
            corpus=$2
            shift 2
            continue ;;
        --corpus=*) corpus=${1#--corpus=} ;;
        --help | -h) help=true ;;
        *) options+=("$1") ;;
    esac
    shift
done

recipe=egs2/${corpus}/encrl1
if [ -z "${corpus}" ] || [ ! -f "${recipe}/run.sh" ]; then
    near=
    for name in "${corpora[@]}"; do
        # The same name but for the separator or a missing part
        [[ ${name//[-_]/} == *"$(tr -d '_-' <<< "${corpus}")"* ]] && near=${name} && break
    done
    echo "error: --corpus ${corpus}: there is no egs2/${corpus}/encrl1/run.sh${near:+; did you mean ${near}?} Choose one of:" \
        "${corpora[*]}" >&2
    exit 2
fi
if ${help}; then
    echo "Usage: $0 [--corpus NAME] [options of the recipe]"
    echo
    echo "Corpora (default: mini_digits):"
    for name in "${corpora[@]}"; do
        printf '    %-18s %s\n' "${name}" "$(sed -n '2s/^# *//p' "egs2/${name}/encrl1/run.sh")"
    done
    echo
    echo "Options of ${corpus}:"
    options=(--help)
fi

cd "${recipe}"
# The links of the recipe lead into what the first use installs.
. ./path.sh
exec ./run.sh "${options[@]}"
