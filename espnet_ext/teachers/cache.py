"""The teacher's outputs on disk, keyed by utterance, so that EncRL runs no teacher.

A cache is a directory with one Kaldi archive for each output and shard, the lists that ESPnet's `kaldi_ark` loader
reads, and a manifest:

    teacher_encoder.1.ark  teacher_encoder.scp  [teacher_layer_1_2.1.ark  teacher_layer_1_2.scp]
    utt2audio  manifest.json

The lists go into training as data of the names `teacher_encoder` etc., so ESPnet's loader reads and pads them in its
worker processes, ahead of the training. Log-probabilities are not stored: the teacher's CTC head makes them of its
encoder output. `cache_files` and `cache_audio` beside this file find what is not any more as it was written or heard.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from espnet2.fileio.read_text import read_2columns_text
from torch import Tensor

from espnet_ext.encoder.layers import layer_depth
from espnet_ext.errors import UserError
from espnet_ext.files import atomic
from espnet_ext.teachers.cache_audio import AUDIO, changed_audio, read_audio, reader
from espnet_ext.teachers.cache_files import StoredFile, check_files
from espnet_ext.teachers.load import identify

VERSION = 2
MANIFEST = "manifest.json"
# Kaldi's compression methods (compressed-matrix.h) and bytes a value. Kaldi has no half-precision floats; two bytes
# spread over the range of a matrix are about as exact.
DTYPES = {"float32": (None, 4), "int16": (3, 2), "int8": (2, 1)}
ENCODER = "teacher_encoder"


def data_name(output: str) -> str:
    """Returns the name under which the cache holds what an output is made of, see `espnet_ext.encoder.outputs`."""
    depth = layer_depth(output)
    return ENCODER if depth is None else f"teacher_layer_{depth.numerator}_{depth.denominator}"


def data_names(outputs: Iterable[str]) -> list[str]:
    """Returns what a cache must hold for some outputs; the encoder's always, for its lengths."""
    return [ENCODER, *sorted({data_name(output) for output in outputs} - {ENCODER})]


@dataclass(frozen=True)
class Manifest:
    """What a cache was made of; it is used only where teacher and configuration agree and it holds what is needed.

    Attributes:
        teacher_sha256: hash of the teacher's weights.
        config_sha256: hash of what the teacher's configuration and options say of the model and its features.
        dtype: key of `DTYPES`.
        names: outputs, see `data_names`.
        utterances: number of them.
        num_bytes: size of the archives.
        seconds: that the computation took, summed over processes; None where not known.
        shards: hash of the utterances of each shard, by which an unfinished cache is continued.
        files: archives and lists as they were written; empty while the cache is unfinished.
        version: of this format.
    """

    teacher_sha256: str
    config_sha256: str
    dtype: str
    names: tuple[str, ...]
    utterances: int = 0
    num_bytes: int = 0
    seconds: float | None = None
    shards: str | None = None
    files: dict[str, StoredFile] = field(default_factory=dict)
    version: int = VERSION

    def write(self, directory: Path) -> None:
        """Writes `manifest.json`, whose presence says that the cache is whole."""
        with atomic(directory / MANIFEST) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> "Manifest":
        """Reads `manifest.json`.

        Raises:
            UserError: There is none, or one of another version of this program.
        """
        path = directory / MANIFEST
        if not path.is_file():
            raise UserError(f"{directory} is no finished teacher cache (no {MANIFEST}); run encrl cache")
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
            files = {name: StoredFile(**stored) for name, stored in entries.get("files", {}).items()}
            manifest = cls(**{**entries, "names": tuple(entries["names"]), "files": files})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} cannot be read ({error}); delete {directory} and cache again") from error
        if manifest.version != VERSION:
            raise UserError(
                f"{path} is of version {manifest.version}, this needs {VERSION}; delete {directory} and cache again"
            )
        return manifest


def check_stored(directory: Path, manifest: Manifest) -> dict[str, StoredFile]:
    """Checks that a finished cache has all its files, as they were written.

    Returns:
        The files with their present states.

    Raises:
        UserError: names the first one that is not so.
    """
    wrong, present = check_files(directory, manifest.files)
    for name, reason in wrong.items():
        raise UserError(f"{directory}: {name} {reason}; delete {directory} and cache again")
    for name in manifest.names:
        for archive in {value.rpartition(":")[0] for value in read_2columns_text(directory / f"{name}.scp").values()}:
            own = directory / Path(archive).name
            if not Path(archive).exists() or not own.exists() or not own.samefile(archive):
                raise UserError(
                    f"{directory}: {name}.scp lists {archive}, not the archive beside it (was the cache moved?); "
                    f"delete {directory} and cache again"
                )
    return present


def check_cache(scp: Path, teacher: str, outputs: Iterable[str], speech: Path, kind: str = "sound") -> None:
    """Checks that a cache is of this teacher and audio, whole, and holds what the training needs.

    Args:
        scp: list of one of the cached outputs.
        teacher: its name, see `espnet_ext.teachers.source`.
        outputs: that the training needs, see `espnet_ext.encoder.outputs`.
        speech: list of the audio that is trained on.
        kind: type of `speech` for ESPnet's loader, "sound" or "kaldi_ark".

    Raises:
        UserError: It is stale, foreign, damaged or incomplete.
    """
    directory, remedy = scp.parent, "cache again with encrl cache, or train without the cache"
    manifest = Manifest.read(directory)
    checkpoint, config = identify(teacher)
    if manifest.teacher_sha256 != checkpoint:
        raise UserError(f"{directory} was made of other weights than those of {teacher}; {remedy}")
    if manifest.config_sha256 != config:
        raise UserError(f"{directory} was made with another configuration of {teacher}; {remedy}")
    missing = [name for name in data_names(outputs) if name not in manifest.names]
    if missing:
        raise UserError(f"{directory} does not hold {', '.join(missing)}, which the criteria need; {remedy}")
    check_stored(directory, manifest)
    cached, sources = read_2columns_text(directory / f"{ENCODER}.scp"), read_2columns_text(speech)
    absent = [name for name in sources if name not in cached]
    if absent:
        raise UserError(f"{directory} lacks {len(absent)} utterances of the training, e.g. {absent[0]}; {remedy}")
    changed, _ = changed_audio(read_audio(directory / AUDIO), sources, reader(speech, kind))
    if changed:
        raise UserError(
            f"{directory} was made of other audio: {len(changed)} utterances have other samples now, e.g. "
            f"{changed[0]}; delete it and {remedy}"
        )


def cached_outputs(data: dict[str, Any]) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
    """Takes the cached outputs out of a batch.

    Args:
        data: what ESPnet's loader gives beside speech and text: name -> (B, T, D) float, name_lengths -> (B,) int.

    Returns:
        Encoder output, its lengths, and the layers by name; None where the batch has none.
    """
    if ENCODER not in data:
        return None
    layers = {name: value for name, value in data.items() if name.startswith("teacher_layer_") and value.dim() == 3}
    return data[ENCODER], data[f"{ENCODER}_lengths"], layers
