"""The directory that a derived model goes to: nobody's training, and no model that somebody else put there."""

from pathlib import Path

from espnet_ext.directories import MARKER
from espnet_ext.errors import UserError
from espnet_ext.record import RECORD

FILES = ("config.yaml", "model.pth")


def claim(output_dir: Path, source: Path | None = None) -> None:
    """Makes a directory, or takes one whose model this program made, and marks it.

    Args:
        output_dir: where `FILES` are going to be written.
        source: directory of the model that they are made of.

    Raises:
        UserError: it is that directory, one of a training, or has such files from elsewhere.
    """
    if source is not None and output_dir.resolve() == source.resolve():
        raise UserError(f"--output_dir {output_dir} is the directory of --source; give another one")
    trained = next((path.name for path in sorted(output_dir.glob("*.pth")) if path.name not in FILES), None)
    foreign = next((name for name in FILES if (output_dir / name).exists()), None)
    if trained or (foreign and not any((output_dir / name).is_file() for name in (MARKER, RECORD))):
        raise UserError(
            f"{output_dir} holds a model that this command has not made ({trained or foreign}), so it is not replaced; "
            "move it away, or give another --output_dir"
        )
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / MARKER).touch()
