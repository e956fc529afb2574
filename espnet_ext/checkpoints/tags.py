"""Downloads a model by its tag, `user/name` or `user/name@revision`, from the Hub or ESPnet's model zoo."""

import os
import re
from pathlib import Path

from espnet_ext.checkpoints.archive import asr_files, check_archive, check_meta
from espnet_ext.checkpoints.contained import check_contained
from espnet_ext.config import read_config
from espnet_ext.errors import UserError

_PART = r"\w[\w.-]*"
_TAG = re.compile(rf"{_PART}/{_PART}(@.+)?", re.DOTALL)
# A branch, tag or commit; slashes are part of such names, and of the directories that the downloader makes of them.
_REVISION = re.compile(rf"{_PART}(/{_PART})*")
_HUB = "https://huggingface.co/"


def is_tag(source: str) -> bool:
    """Tells whether a string has the form of a tag.

    Raises:
        UserError: it has, but for a revision that would lead out of the downloader's directory.
    """
    match = _TAG.fullmatch(source)
    if match is None or ".." in source.partition("@")[0]:
        return False
    revision = match[1] and match[1][1:]
    if revision and (_REVISION.fullmatch(revision) is None or ".." in revision):
        raise UserError(f"{source}: {revision} is no revision; give a branch, tag or commit such as main or v1.0")
    return True


def download(tag: str) -> tuple[Path, Path]:
    """Downloads and unpacks a model once, after a look at what came.

    Returns:
        The paths of the configuration and of the checkpoint.

    Raises:
        UserError: no downloader, no such model, or one that names files outside of it.
    """
    try:
        from espnet_model_zoo.downloader import ModelDownloader
    except ImportError as error:
        raise UserError(
            f"{tag} does not exist here; to download it as a model-zoo tag, run: pip install espnet_model_zoo"
        ) from error
    try:
        downloader = ModelDownloader()
        address = downloader.get_url(name=tag)
        if "huggingface.co" in address:
            root = Path(downloader.huggingface_download(name=address.partition(_HUB)[2] or tag))
            _check_snapshot(root, tag)
        else:
            archive = Path(downloader.download(tag))
            root = archive.parent
            check_archive(archive)
        files = downloader.download_and_unpack(tag)
    except UserError:
        raise
    except Exception as error:  # network, authorisation, unknown tag: the library lets all through
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{tag} does not exist here, and downloading it as a model-zoo tag failed: {reason}") from error
    config_file, checkpoint = asr_files(files, tag)
    check_contained(config_file, root, tag)
    return config_file, checkpoint


def _check_snapshot(root: Path, tag: str) -> None:
    """Reads what the downloader is going to read as YAML."""
    if not (root / "meta.yaml").is_file():
        return  # the downloader says what is missing
    # Links are followed to no directory: the files of a snapshot are links into a store beside it.
    names = {str(Path(folder, name).relative_to(root)) for folder, _, files in os.walk(root) for name in files}
    for name in check_meta(read_config(root / "meta.yaml"), names, tag):
        read_config(root / name)
