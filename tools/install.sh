#!/usr/bin/env bash
# Installs what the recipes need into this directory tree: .venv and tools/espnet. path.sh calls it each time; when all is
# there it ends at once. Each step can be interrupted and is continued by the next call. Packages are installed by uv where
# it is found, else by pip; constraints.txt gives both the same versions. Environment variables:
#   PYTHON         Python 3.12 or 3.13 to make .venv with (default: searched for, see find_python.sh)
#   ENCRL_PYTHON   Python of an environment with ESPnet 202611, used instead of a .venv; this package is added to it
#   ESPNET_ROOT    source tree of ESPnet 202611 (default: downloaded, 36 MB)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=${root}/.venv
espnet_version=202611
espnet_sha256=eb5816c4d2e4a18eaa2afacc2f8cf74f93e5534dec0fdcee0b2c89b6f7ddd1fd
needed_gb=9  # of .venv (7.5 GB) and what is unpacked on the way; nearly nothing where uv has the packages already

# All output goes to stderr: path.sh is sourced where stdout is data.
log() { echo "$*" >&2; }
die() { echo "error: $*" >&2; exit 2; }

# Everything that the installation depends on. A copied or moved tree differs, as .venv holds absolute paths.
key() {
    { cat "${root}"/{pyproject.toml,espnet_ext.pth,tools/constraints.txt,tools/install.sh}
      echo "${root}|${ENCRL_PYTHON:-}|${ESPNET_ROOT:-}"; } | cksum
}

installed() {
    [ -x "${ENCRL_PYTHON:-${venv}/bin/python3}" ] && [ -e "${root}/tools/espnet/egs2/TEMPLATE/asr1/asr.sh" ] \
        && [ "$(cat "${root}/tools/.installed" 2> /dev/null)" = "$(key)" ]
}

# ------------------------------------------------------------------ system programs
have_sclite() {
    PATH="${PATH}:/usr/lib/sctk/bin:${ESPNET_ROOT:+${ESPNET_ROOT}/tools/sctk/bin}" command -v sclite > /dev/null
}

missing_packages() { # Debian's names
    have_sclite || echo sctk
    command -v sox > /dev/null || echo sox
    command -v flac > /dev/null || echo flac
    command -v perl > /dev/null || echo perl
    command -v cc > /dev/null || echo gcc libc6-dev # ctc-segmentation is compiled
}

install_system_programs() {
    local packages
    packages=$(missing_packages | xargs)
    if [ -n "${packages}" ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
        log "      apt-get install ${packages}"
        # shellcheck disable=SC2086
        { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${packages}; } \
            < /dev/null >> "${root}/tools/install.log" 2>&1 || log "      apt-get failed; see tools/install.log"
        packages=$(missing_packages | xargs)
    fi
    [ -n "${packages}" ] || return 0
    log "      not found: ${packages}. Debian/Ubuntu: sudo apt-get install ${packages}"
    case " ${packages} " in *" perl "*) die "the scripts of ESPnet need perl; install it and run again" ;; esac
    case " ${packages} " in *" gcc "*) log "      without a C compiler the package ctc-segmentation cannot be installed" ;; esac
    case " ${packages} " in *" sctk "*) log "      without sclite, scores are computed by jiwer and marked so in the table" ;; esac
    case " ${packages} " in *" sox "*) log "      without sox, --speed_perturb_factors does not work" ;; esac
    case " ${packages} " in *" flac "*) log "      without flac, recipes that read LibriSpeech may stop" ;; esac
}

# ------------------------------------------------------------------ Python packages
# Whether uv has what takes the room: it links packages from its cache, where that is on the same disk.
uv_has_torch() {
    local cache version
    command -v uv > /dev/null && cache=$(uv cache dir 2> /dev/null) && [ -d "${cache}" ] || return
    [ "$(stat -c %d "${cache}")" = "$(stat -c %d "${root}")" ] || return
    version=$(sed -n 's/^torch==//p' "${root}/tools/constraints.txt")
    compgen -G "${cache}/archive-v*/*/torch-${version}.dist-info" > /dev/null
}

check_room() { # <GB>
    local free_kb
    free_kb=$(df -Pk "${root}" | awk 'NR == 2 { print $4 }')
    [ "${free_kb}" -ge $(($1 * 1000 * 1000)) ] \
        || die "${root} has $((free_kb / 1000000)) GB of free disk space and the installation takes $1 GB; free some," \
            "or move this directory to a larger disk"
}

# Prints the place that .venv was made for, where that is another one.
moved_from() {
    local place
    [ -z "${ENCRL_PYTHON:-}" ] || return 0
    place=$(sed -n 's/^command = .* -m venv //p' "${venv}/pyvenv.cfg" 2> /dev/null) || return 0
    [ -z "${place}" ] || [ "${place}" = "${venv}" ] || echo "${place%/.venv}"
}

make_venv() {
    if "${venv}/bin/python3" -m pip --version > /dev/null 2>&1 && [ -z "$(moved_from)" ]; then
        return
    fi
    local python
    python=$("${root}/tools/find_python.sh") || exit 2
    rm -rf "${venv}" # before the room is measured
    uv_has_torch || check_room "${needed_gb}"
    log "      .venv from ${python}"
    "${python}" -m venv "${venv}" || die "${python} -m venv failed (message above); choose another with PYTHON=<path>"
}

# Shows the large downloads, which take most of the time; all output is in the log.
progress() {
    tee -a "${root}/tools/install.log" | sed -u -n -E \
        -e 's/^ *(Downloading|Using cached) ([^ ]*\/)?([^ -]+)-([^ -]+)[^ ]* \(([0-9]{2,}\.[0-9]+ [MG]B)\).*/      \3 \4 (\5)/p' \
        -e 's/^ *Downloading ([^ ]+) \(([0-9]{2,}\.[0-9]+[MG]iB)\).*/      \1 (\2)/p' \
        -e 's/^Installing collected packages.*/      unpacking (takes minutes)/p' -e 's/^(ERROR|error):/      &/p' >&2
}

python_is_complete() { # <python>
    "$1" -c "import sys, espnet2, espnet_ext, jiwer, matplotlib, soundfile, torch, torchaudio
sys.exit(None if espnet2.__version__ == '${espnet_version}' else f'espnet is {espnet2.__version__}')" 2>&1
}

# The package that was being written at an interrupt has no list of files yet; pip would take it for installed.
remove_half_installed() { # <site-packages of our own environment>
    find "$1" -maxdepth 1 -name '*.dist-info' ! -exec test -e {}/RECORD \; -exec rm -rf {} +
}

install_packages() { # <python> <option of pip and uv>...
    local python=$1 message pip
    shift
    pip=("${python}" -u -m pip install --progress-bar off)
    if command -v uv > /dev/null; then
        pip=(uv pip install --compile-bytecode --python "${python}") # as pip does; ESPnet imports thousands of files
    fi
    log "      by ${pip[*]}"
    "${pip[@]}" "$@" -e "${root}[train,beam,digits,export,test]" < /dev/null 2>&1 | progress \
        || die "this failed: ${pip[*]}; see ${root}/tools/install.log. If the network or the package index failed, run again: finished" \
            "downloads are kept. If ctc-segmentation failed to compile, install a C compiler and Python's headers" \
            "(Debian/Ubuntu: apt-get install gcc libc6-dev python3-dev)"
    message=$(python_is_complete "${python}") \
        || die "the installed packages do not work: $(tail -n 1 <<< "${message}"). Remove ${venv} and run again"
}

install_python() {
    if [ -n "${ENCRL_PYTHON:-}" ]; then
        local version python
        python=$(dirname "${ENCRL_PYTHON}")/python3 # what the scripts find on PATH
        version=$("${python}" -c 'import espnet2; print(espnet2.__version__)' 2> /dev/null) || version="not installed"
        [ "${version}" = "${espnet_version}" ] \
            || die "ENCRL_PYTHON: ESPnet of ${python} is ${version}, needed is ${espnet_version}; install it there" \
                "(pip install 'espnet[asr,train]==${espnet_version}'), or unset ENCRL_PYTHON to use a .venv"
        install_packages "${python}"
    else
        make_venv
        remove_half_installed "${venv}"/lib/python3*/site-packages
        install_packages "${venv}/bin/python3" -c "${root}/tools/constraints.txt"
    fi
}

# ------------------------------------------------------------------ ESPnet's source tree
check_espnet_root() { # <directory>
    local version
    [ -e "$1/egs2/TEMPLATE/asr1/asr.sh" ] || die "ESPNET_ROOT=$1 is not a source tree of ESPnet (no" \
        "egs2/TEMPLATE/asr1/asr.sh); unset ESPNET_ROOT to download ESPnet ${espnet_version}"
    version=$(cat "$1/version.txt" 2> /dev/null || sed -nE 's/^__version__ = "(.*)"/\1/p' "$1/espnet2/__init__.py")
    [ "${version}" = "${espnet_version}" ] || die "ESPNET_ROOT=$1 is ESPnet ${version:-of unknown version}, needed is" \
        "${espnet_version}; check out that release, or unset ESPNET_ROOT to download it"
}

download_espnet() { # <python> <archive>
    local python=$1 archive=$2 partial
    mkdir -p "$(dirname "${archive}")"
    if [ ! -e "${archive}" ]; then
        rm -rf "${archive}".partial.*
        partial=$(mktemp -d "${archive}.partial.XXXXXX")
        "${python}" -m pip download --no-deps --no-binary espnet --progress-bar off -d "${partial}" \
            "espnet==${espnet_version}" < /dev/null >> "${root}/tools/install.log" 2>&1 \
            || die "cannot download the source of ESPnet ${espnet_version}; see ${root}/tools/install.log. Check the network" \
                "and run again, put espnet-${espnet_version}.tar.gz from another machine at ${archive}, or set ESPNET_ROOT"
        mv "${partial}/espnet-${espnet_version}.tar.gz" "${archive}"
        rm -rf "${partial}"
    fi
    [ "$(sha256sum < "${archive}")" = "${espnet_sha256}  -" ] \
        || die "${archive} is damaged (its SHA-256 is not ${espnet_sha256}); delete it and run again to download it anew"
}

# The archive lacks the links to directories that recipes have in the repository.
restore_links() { # <tree>
    local recipe
    for recipe in "$1"/egs2/*/asr1; do
        case "${recipe}" in */TEMPLATE/*) continue ;; esac
        [ -e "${recipe}/utils" ] || ln -s ../../TEMPLATE/asr1/{utils,steps,scripts,pyscripts} "${recipe}"
    done
}

unpack_espnet() { # <archive> <tree>
    [ -d "$2" ] && return
    rm -rf "$2".partial.*
    local partial
    partial=$(mktemp -d "$2.partial.XXXXXX")
    tar -xzf "$1" -C "${partial}" --no-same-owner || die "cannot unpack $1 (message above); is the disk full?"
    restore_links "${partial}/espnet-${espnet_version}"
    mv "${partial}/espnet-${espnet_version}" "$2" # the last, so that its presence means that all is there
    rmdir "${partial}"
}

install_espnet_tree() { # <python>
    local tree=espnet-${espnet_version} archive=${root}/tools/downloads/espnet-${espnet_version}.tar.gz
    if [ -n "${ESPNET_ROOT:-}" ]; then
        tree=$(cd "${ESPNET_ROOT}" && pwd)
    elif [ ! -d "${root}/tools/${tree}" ]; then
        download_espnet "$1" "${archive}"
        unpack_espnet "${archive}" "${root}/tools/${tree}"
    fi
    # Atomic; other runs may be reading through the link.
    ln -sfn "${tree}" "${root}/tools/.espnet.link"
    mv -fT "${root}/tools/.espnet.link" "${root}/tools/espnet"
}

# ------------------------------------------------------------------
main() {
    case ${ENCRL_PYTHON:-/} in /*) ;; *) die "ENCRL_PYTHON=${ENCRL_PYTHON} is not an absolute path" ;; esac
    installed && return
    case ${root} in *[[:space:]]*) die "'${root}' contains a space, which Kaldi-style scripts cannot handle; move it" ;; esac
    [ -w "${root}/tools" ] || die "${root}/tools is not writable; let someone who may write there run path.sh once"
    if command -v flock > /dev/null; then
        exec 9> "${root}/tools/.install.lock"
        flock -n 9 || { log "Waiting for another call that is installing"; flock 9; }
        installed && return
    fi
    [ -z "${ESPNET_ROOT:-}" ] || check_espnet_root "${ESPNET_ROOT}"
    local state
    state=$(key) # now, in case a file is edited meanwhile
    local before cost="about 5 minutes and ${needed_gb} GB"
    before=$(moved_from)
    [ -z "${before}" ] || [ ! -L "${venv}" ] || die "${venv} is a link to the environment of ${before}. Remove the link to" \
        "install here, or use that environment: ENCRL_PYTHON=$(readlink -f "${venv}")/bin/python3"
    [ -z "${before}" ] || log "This directory was ${before} when it was installed; .venv holds that path, so it is made anew"
    ! uv_has_torch || cost="about a minute: uv has the packages"
    log "Installing into ${root} (once; ${cost}; details: tools/install.log)"
    rm -f "${root}/tools/.installed"
    : > "${root}/tools/install.log"
    log "[1/3] System programs"
    install_system_programs
    log "[2/3] Python packages"
    install_python
    log "[3/3] ESPnet ${espnet_version} source tree${ESPNET_ROOT:+: ${ESPNET_ROOT}}"
    install_espnet_tree "${ENCRL_PYTHON:-${venv}/bin/python3}"
    printf 'export ENCRL_PYTHON=%q ESPNET_ROOT=%q\n' "${ENCRL_PYTHON:-}" "${ESPNET_ROOT:-}" > "${root}/tools/.environment" # for path.sh
    echo "${state}" > "${root}/tools/.installed.partial"
    mv "${root}/tools/.installed.partial" "${root}/tools/.installed"
    log "Installed in ${SECONDS} s"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    main
fi
