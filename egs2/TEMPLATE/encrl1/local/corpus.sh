# shellcheck shell=bash
# Sourced by local/data.sh of recipes: finds or downloads a corpus, and puts data directories into data/ when all are good.

log() {
    local caller=1
    [ "${FUNCNAME[1]}" != die ] || caller=2
    echo -e "$(date '+%Y-%m-%dT%H:%M:%S') (${BASH_SOURCE[caller]##*/}:${BASH_LINENO[caller - 1]}:${FUNCNAME[caller]}) $*"
}
die() {
    log "Error: $*"
    exit 2
}

# Options of every recipe that downloads.
url=https://www.openslr.org/resources  # A mirror, e.g. https://openslr.elda.org/resources or file:///mirror
remove_archive=false                   # Delete each archive when it is unpacked.
nj=4                                   # Parallel processes of the checks.
# shellcheck disable=SC2034 # in the help of the scripts that source this
common_options="--url URL             mirror of OpenSLR (default: ${url})
  --remove_archive true delete each archive when it is unpacked (default: ${remove_archive})
  --nj N                parallel processes of the checks (default: ${nj})"

# Data directories are made in here; publish moves them to data/.
staging=data/.new
# Set by find_corpus.
corpus_dir=
may_download=false

# Sets corpus_dir to the directory <name>. The variable of the environment names a corpus that is there (the directory <name>
# or its parent); the one in db.sh, which holds otherwise, also where to download it to.
find_corpus() { # <variable> <name>
    local given=${!1:-} place="environment variable $1"
    may_download=false
    if [ -z "${given}" ]; then
        # shellcheck source=/dev/null
        . ./db.sh
        given=${!1:-} place="$1 in db.sh" may_download=true
        [ -n "${given}" ] || die "set $1=<directory that holds $2>, or its value in ${PWD}/db.sh."
    elif [ ! -d "${given}" ]; then
        die "$1=${given} is not a directory (seen from ${PWD}); give an absolute path."
    fi
    [[ ! ${given} =~ [[:space:]] ]] || die "${place}: '${given}' contains a space, which Kaldi-style lists cannot hold;" \
        "link it to a path without one."
    given=${given%/}
    corpus_dir=${given}/$2
    if [ ! -d "${corpus_dir}" ] && { [ "${given##*/}" = "$2" ] || ! ${may_download}; }; then
        corpus_dir=${given}
    fi
}

has_checksum() { # <file> <MD5 or SHA-256>
    local program=md5sum
    [ ${#2} -eq 32 ] || program=sha256sum
    [ -e "$1" ] && echo "$2  $1" | "${program}" --check --status
}

download() { # <url> <file>, continuing the file
    if command -v curl > /dev/null; then
        curl -fL --retry 3 -C - -o "$2" "$1"
    else
        wget -c -O "$2" "$1"
    fi
}

# Downloads to a .part file that a second call continues, checks it, unpacks beside corpus_dir, and moves the directory in the
# archive there, or only those of its parts that match the patterns.
fetch() { # <path at OpenSLR> <MD5 or SHA-256> <directory in the archive> [<pattern>...]
    local parent archive sum=$2 inside=$3 partial pattern source=${url}/$1 target=${corpus_dir}
    [ $# -eq 3 ] || target=${corpus_dir}/${!#}
    parent=$(dirname "${corpus_dir}")
    archive=${parent}/${1##*/}
    mkdir -p "${parent}" || die "${parent} cannot be made; set the corpus in db.sh to another directory."
    exec 9>> "${parent}/.lock"
    if ! flock -n 9; then # recipes may share the directory
        log "Waiting for another download to ${parent}"
        flock 9
    fi
    if [ -d "${target}" ]; then
        return
    fi
    if [ ! -e "${archive}" ]; then
        log "Downloading ${source}"
        if ! has_checksum "${archive}.part" "${sum}" && ! download "${source}" "${archive}.part"; then
            die "${source} cannot be downloaded. Check the network and the disk (df -h ${parent}) and run again (it" \
                "continues), choose a mirror with --local_data_opts '--url ...', or name a corpus that is there."
        fi
        mv "${archive}.part" "${archive}"
    fi
    if ! has_checksum "${archive}" "${sum}"; then
        mv "${archive}" "${archive}.bad"
        die "${archive} does not have the checksum ${sum}: truncated, or another file (kept as ${archive}.bad)." \
            "Run again to download it anew."
    fi
    log "Unpacking ${archive}"
    rm -rf "${parent}"/.encrl_unpack.* # of an interrupted call
    partial=$(mktemp -d "${parent}/.encrl_unpack.XXXXXX")
    tar -xzf "${archive}" -C "${partial}" || die "${archive} cannot be unpacked; is the disk full? (df -h ${parent})"
    shift 3
    if [ $# -eq 0 ]; then
        mv "${partial}/${inside}" "${corpus_dir}"
    fi
    for pattern in "$@"; do # in this order: the last one tells the next call that all is there
        mkdir -p "${corpus_dir}"
        # shellcheck disable=SC2086 # a pattern
        mv -f "${partial}/${inside}"/${pattern} "${corpus_dir}"
    done
    rm -rf "${partial}"
    if ${remove_archive}; then
        rm "${archive}"
    fi
    exec 9>&-
}

stage_data() { # forgets what an interrupted call left
    rm -rf "${staging}"
    mkdir -p "${staging}"
}

# Checks data directories of the staging area, then moves all that were made there to data/. Directories that were put
# together from checked ones need no check of their own. Options go to check_data, whose --fs is that of run.sh.
publish() { # [--option value]... <directory to check>...
    local dir options=()
    while [[ $1 == --* ]]; do
        options+=("$1" "$2")
        shift 2
    done
    python3 -m espnet_ext check data --nj "${nj}" "${options[@]}" "${@/#/${staging}/}"
    for dir in "${staging}"/*; do
        rm -rf "data/${dir##*/}"
        mv "${dir}" data
    done
    rm -rf "${staging}"
}
