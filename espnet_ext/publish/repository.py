"""Puts the files of a model together and uploads them to the Hugging Face Hub."""

import shutil
import zipfile
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
)

from espnet_ext.directories import MARKER, renew
from espnet_ext.errors import UserError
from espnet_ext.export.report import check_made_of
from espnet_ext.publish.clean import clean_folder

ONNX = "onnx"
_REMEDY = (
    "log in with `hf auth login`, or set HF_TOKEN to a token with write access (https://huggingface.co/settings/tokens)"
)


def check_access(repo: str, create: bool, kind: str = "model") -> HfApi:
    """Checks token and repository before any work.

    Args:
        repo: `user/name`, checked by `espnet_ext.publish.card.Facts`.
        create: make the repository if there is none.
        kind: `model`, or `space` for a static page.

    Raises:
        UserError: no token or a refused one, no such repository, or no connection.
    """
    api = HfApi()
    try:
        user = api.whoami()
    except LocalTokenNotFoundError as error:
        raise UserError(f"there is no Hugging Face token; {_REMEDY}") from error
    except HfHubHTTPError as error:
        if error.response.status_code not in (401, 403):
            raise UserError(
                f"{api.endpoint} answers with status {error.response.status_code}; try again later"
            ) from error
        raise UserError(f"the hub refuses the Hugging Face token ({error}); {_REMEDY}") from error
    except Exception as error:  # of whichever HTTP library this huggingface_hub uses
        raise UserError(f"{api.endpoint} cannot be reached: {error}") from error
    if user.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise UserError(f"the Hugging Face token of {user['name']} may only read; {_REMEDY}")
    owners = [user["name"], *(org["name"] for org in user.get("orgs", ()))]
    if repo.split("/")[0] not in owners:
        raise UserError(f"--repo {repo}: {user['name']} may upload to {', '.join(owners)} only")
    try:
        api.repo_info(repo, repo_type=kind)
    except RepositoryNotFoundError as error:
        if not create:
            raise UserError(
                f"--repo {repo}: there is no such repository, or the token may not see it; make it on "
                f"{api.endpoint}/new{'-space' if kind == 'space' else ''}, or give --create_repo true"
            ) from error
        try:
            api.create_repo(repo, repo_type=kind, space_sdk="static" if kind == "space" else None)
        except Exception as failed:
            raise UserError(f"--repo {repo}: the hub does not make it: {failed}") from failed
    except Exception as error:
        raise UserError(f"--repo {repo}: the hub does not tell about it: {error}; try again later") from error
    return api


def stage_files(checkpoint: Path, archive: Path, onnx_dir: Path, folder: Path) -> list[str]:
    """Fills a folder with what the repository will hold, but the card.

    Args:
        checkpoint: the model, which must not be newer than the others.
        archive: zip of ESPnet's stage 14; unpacked, as ESPnet's own upload does, and without paths of this machine.
        onnx_dir: of `encrl export`, made of that checkpoint; left out where there is none.
        folder: made anew.

    Returns:
        The paths in the repository, sorted.

    Raises:
        UserError: no archive, a broken one, or files of an earlier model.
    """
    if not archive.is_file():
        raise UserError(f"{archive} does not exist; pack the model first (stage 14, --skip_packing false)")
    if archive.stat().st_mtime < checkpoint.stat().st_mtime:
        raise UserError(
            f"{archive} is older than {checkpoint}: make it of the present model (stage 14, --skip_packing false)"
        )
    if onnx_dir.is_dir():
        check_made_of(onnx_dir, checkpoint)
    renew(folder)
    try:
        with zipfile.ZipFile(archive) as file:
            if (broken := file.testzip()) is not None:
                raise UserError(f"{archive}: {broken} in it is damaged; remove it and pack again (stage 14)")
            file.extractall(folder)
    except zipfile.BadZipFile as error:
        raise UserError(f"{archive} is damaged ({error}); remove it and pack again (stage 14)") from error
    if onnx_dir.is_dir():
        shutil.copytree(onnx_dir, folder / ONNX, ignore=shutil.ignore_patterns(".*", "*.partial"))
    clean_folder(folder, Path.cwd())
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != MARKER)


def upload(api: HfApi, repo: str, folder: Path, kind: str = "model") -> str:
    """Uploads a folder as one commit, which also removes what an earlier model has left there.

    Files that the hub has already are not sent again, so a second call continues.

    Returns:
        The address of the commit.

    Raises:
        UserError: the hub refuses, or the connection breaks.
    """
    try:
        commit = api.upload_folder(
            repo_id=repo,
            repo_type=kind,
            folder_path=folder,
            commit_message=f"Upload {kind}",
            ignore_patterns=[MARKER],
            delete_patterns=["*.onnx"] if kind == "space" else ["exp/*", "data/*", f"{ONNX}/*"],
        )
    except Exception as error:  # as above, or RuntimeError around it
        raise UserError(f"the upload to {repo} stopped: {error}; run again: what has arrived is kept") from error
    return str(commit.commit_url)
