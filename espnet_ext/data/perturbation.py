"""What speed perturbation needs of audio: stage 2 writes its path into a command of sox, without quotes."""

import re
import shutil
import subprocess
from pathlib import Path

from espnet_ext.errors import UserError

_MAGIC_BYTES = 4
# What a shell splits, expands or takes for its syntax, and what sox takes for an option.
_SPECIAL = re.compile(r"""[\s"'\\$`&|;<>()*?\[]|^[-#~]""", re.ASCII)
_OFFSET = re.compile(r":\d+$")  # perturb_data_dir_speed.sh takes it for a place in an archive of Kaldi


class SoxCheck:
    """Tries sox on one recording of each kind: suffix and first bytes, or program of a command."""

    def __init__(self) -> None:
        """Looks for sox.

        Raises:
            UserError: It is not installed.
        """
        if shutil.which("sox") is None:
            raise UserError("speed perturbation needs the program sox; install it, or give --speed_perturb_factors ''")
        self._problems: dict[tuple[str, bytes], str | None] = {}

    def problem(self, entry: str) -> str | None:
        """Returns why stage 2 or 3 would fail, and the remedy; None where they would not.

        Args:
            entry: Right side of wav.scp, which can be read without perturbation.
        """
        if entry.endswith("|"):
            kind = (entry.split(maxsplit=1)[0], b"")
        elif _SPECIAL.search(entry) or _OFFSET.search(entry):
            return (
                f"speed perturbation writes the path '{entry}' into a command of sox without quotes, which splits or "
                "changes it; link it to a path without blanks and signs of the shell, or do without "
                "--speed_perturb_factors"
            )
        else:
            try:
                with open(entry, "rb") as file:
                    kind = (Path(entry).suffix, file.read(_MAGIC_BYTES))
            except OSError as error:
                return f"audio file {entry} cannot be read ({error.strerror}); restore it, or prepare the data again"
        if kind not in self._problems:
            self._problems[kind] = self._try(entry)
        return self._problems[kind]

    @staticmethod
    def _try(entry: str) -> str | None:
        """Reads the beginning by sox, as the command that stage 2 writes."""
        if entry.endswith("|"):
            command = f"{entry[:-1]} | sox -t wav - -n trim 0 0.01"
            remedy = "let the command write WAV"
        else:
            command = f"sox {entry} -n trim 0 0.01"
            remedy = "convert such files to FLAC, install what sox lacks (on Debian libsox-fmt-all)"
        ran = subprocess.run(command, shell=True, capture_output=True, text=True, errors="replace", check=False)
        if ran.returncode == 0:
            return None
        reason = (ran.stderr.strip() or "no message").rpartition("\n")[2]
        return (
            f"speed perturbation reads audio by sox, which cannot read {entry} ({reason}); {remedy}, or do without "
            "--speed_perturb_factors"
        )
