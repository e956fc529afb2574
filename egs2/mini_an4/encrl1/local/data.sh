#!/usr/bin/env bash
# Prepares data/{train_nodev,train_dev,test} from the recordings in ESPnet's source tree, with its own unmodified scripts
# (local/data_prep.py is a link to one of them).
set -euo pipefail

log() {
    local fname=${BASH_SOURCE[1]##*/}
    echo -e "$(date '+%Y-%m-%dT%H:%M:%S') (${fname}:${BASH_LINENO[0]}:${FUNCNAME[1]}) $*"
}
SECONDS=0

# shellcheck disable=SC2034 # parse_options.sh prints it
help_message="Usage: $0"
log "$0 $*"
# shellcheck source=/dev/null
. ./path.sh
# shellcheck source=/dev/null
. utils/parse_options.sh

if [ $# -ne 0 ]; then
    log "Error: No positional arguments are required."
    exit 2
fi

source_recipe=${ENCRL_ROOT}/tools/espnet/egs2/mini_an4/asr1
if [ ! -e "${source_recipe}/downloads.tar.gz" ]; then
    log "Error: ${source_recipe}/downloads.tar.gz is missing; use the ESPnet source distribution (tools/install.sh)."
    exit 2
fi
if ! command -v sph2pipe > /dev/null; then
    log "Error: sph2pipe, which reads the SPHERE files of AN4, is not on PATH; run tools/install.sh."
    exit 2
fi

if [ ! -e downloads/an4/README ]; then
    log "Unpacking the recordings"
    mkdir -p downloads
    rm -rf downloads/.unpack.* # of an interrupted call
    partial=$(mktemp -d downloads/.unpack.XXXXXX)
    trap 'rm -rf "${partial}"' EXIT
    tar -xzf "${source_recipe}/downloads.tar.gz" -C "${partial}"
    for dir in "${partial}"/downloads/*; do
        rm -rf "downloads/${dir##*/}"
        if [ "${dir##*/}" != an4 ]; then
            mv "${dir}" downloads
        fi
    done
    mv "${partial}/downloads/an4" downloads # the last, so that its presence means that all is there
fi

# Stage 1 of ESPnet's script unpacks, which is done.
"${source_recipe}/local/data.sh" --stage 2
python3 -m espnet_ext check data data/train_nodev data/train_dev data/test

log "Successfully finished. [elapsed=${SECONDS}s]"
