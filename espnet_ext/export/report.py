"""What an export says of itself: `report.json` beside the ONNX files."""

import json
from pathlib import Path

from espnet_ext.errors import UserError
from espnet_ext.files import file_sha256

REPORT = "report.json"


def read_report(onnx_dir: Path) -> dict:
    """Returns the report, empty where there is none."""
    path = onnx_dir / REPORT
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def check_made_of(onnx_dir: Path, checkpoint: Path) -> None:
    """Checks that exported files are of the present model.

    Raises:
        UserError: they are of another one.
    """
    if read_report(onnx_dir).get("checkpoint_sha256") != file_sha256(checkpoint):
        raise UserError(
            f"{onnx_dir} was not made of {checkpoint}: make it of the present model (stage 14, --skip_export false), "
            "or remove it"
        )
