"""The files of a transformers model: a local directory, or downloaded once from the Hugging Face Hub."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from espnet_ext.checkpoints.tags import is_tag
from espnet_ext.errors import UserError, first_line
from espnet_ext.files import file_sha256

# What a model is made of beside its weights, as transformers writes and reads it.
_DESCRIPTIONS = ("*.json", "*.txt", "*.model")
_WEIGHTS = ("model.safetensors", "model-*.safetensors")
_PICKLED = ("pytorch_model.bin", "pytorch_model-*.bin")
_CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json")


def find_directory(location: str, language: str | None) -> Path:
    """Returns the directory of a model.

    Args:
        location: a directory, or `user/name` or `user/name@revision` of the Hub.
        language: of the adapter of an MMS model.

    Raises:
        UserError: no such model.
    """
    directory = Path(location)
    if not directory.is_dir():
        if directory.exists() or not is_tag(location):
            raise UserError(
                f"teacher transformers:{location} is no directory and no user/name of the Hugging Face Hub; give the "
                "directory that save_pretrained wrote"
            )
        directory = _download(location, language)
    if not (directory / "config.json").is_file():
        raise UserError(f"teacher transformers:{location}: {directory} has no config.json, so it is no model")
    return directory


def identify(directory: Path, language: str | None) -> tuple[str, str]:
    """Returns the hashes of the weights that are loaded and of what else decides the outputs.

    Raises:
        UserError: there are no weights.
    """
    weights = weight_files(directory, language)
    configs = [directory / name for name in _CONFIGS if (directory / name).is_file()]
    said = _joined(configs) + repr(language)
    return _joined(weights), hashlib.sha256(said.encode()).hexdigest()


def weight_files(directory: Path, language: str | None) -> list[Path]:
    """Returns the files of the weights that transformers loads.

    Raises:
        UserError: there are none, or none of the language's adapter.
    """
    found = _matching(directory, _WEIGHTS) or _matching(directory, _PICKLED)
    if not found:
        raise UserError(f"{directory} has no weights ({', '.join((*_WEIGHTS, *_PICKLED))}); copy or download it again")
    if language is not None and _is_adapted(directory):
        adapters = _matching(directory, _adapter(language))
        if not adapters:
            there = sorted(path.name.split(".")[1] for path in directory.glob("adapter.*"))
            raise UserError(
                f"{directory} has no adapter of the language {language}; "
                f"{'it has ' + ', '.join(there) if there else 'it has none at all'}"
            )
        found += adapters[:1]
    return found


def _is_adapted(directory: Path) -> bool:
    return any(directory.glob("adapter.*"))


def _adapter(language: str) -> tuple[str, ...]:
    return f"adapter.{language}.safetensors", f"adapter.{language}.bin"


def _matching(directory: Path, patterns: Sequence[str]) -> list[Path]:
    return sorted(path for pattern in patterns for path in directory.glob(pattern))


def _joined(files: Sequence[Path]) -> str:
    digests = [f"{path.name}:{file_sha256(path)}" for path in files]
    return (
        digests[0].rpartition(":")[2] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    )


def _download(tag: str, language: str | None) -> Path:
    """Downloads what is loaded and nothing else: repositories of MMS hold the adapters of a thousand languages."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name, _, revision = tag.partition("@")
    adapters = [] if language is None else _adapter(language)
    try:
        for weights in (_WEIGHTS, _PICKLED):
            patterns = [*_DESCRIPTIONS, *weights, *adapters]
            directory = Path(snapshot_download(name, revision=revision or None, allow_patterns=patterns))
            if _matching(directory, weights):
                break
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(
            f"teacher transformers:{tag} does not exist here, and downloading it failed: {first_line(error)}; check "
            "the name, or give a local directory"
        ) from error
    return directory
