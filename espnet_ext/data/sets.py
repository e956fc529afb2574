"""The utterances of a formatted set: audio by name, as stages 3-5 of asr.sh leave it."""

from dataclasses import dataclass
from pathlib import Path

import kaldiio
import soundfile
import torch
from espnet2.fileio.read_text import read_2columns_text
from espnet2.train.dataset import ESPnetDataset

from espnet_ext.data.findings import Findings, summarise
from espnet_ext.data.tables import read_table
from espnet_ext.errors import UserError


def _read_table(path: Path, of_paths: bool = False) -> dict[str, str]:
    """Reads `<utterance> <value>` lines.

    Raises:
        UserError: One of them cannot be used.
    """
    findings = Findings()
    table = read_table(path, findings, of_paths)
    for key, value in table.items():
        if not value:
            findings.error(f"{path}: {key}: nothing follows the id; complete or remove the line")
    if findings.errors:
        raise UserError(summarise(path, findings))
    return table


@dataclass
class DecodingSet:
    """The utterances of a data directory: audio by name, and samples of each."""

    directory: Path
    audio: ESPnetDataset
    samples: dict[str, int]
    audio_format: str

    @classmethod
    def open(cls, directory: Path, default_audio_format: str = "flac") -> "DecodingSet":
        """Opens a data directory as stages 3-5 of asr.sh write it.

        Raises:
            UserError: It does not exist, has no utterance, a line that cannot be used, or segments.
        """
        scp = directory / "wav.scp"
        if not scp.is_file() or scp.stat().st_size == 0:
            raise UserError(f"{scp} does not exist or is empty; prepare the data (stages 1-5)")
        segments = directory / "segments"
        if segments.exists():
            raise UserError(f"{segments}: recordings are not cut here; let stage 3 of asr.sh cut them (in dump/raw)")
        names = list(_read_table(scp, of_paths=True))
        format_file = directory / "audio_format"
        audio_format = format_file.read_text().strip() if format_file.is_file() else default_audio_format
        kind = "kaldi_ark" if "ark" in audio_format else "sound"
        audio = ESPnetDataset([(str(scp), "speech", kind)])
        counts_file = directory / "utt2num_samples"
        counts = _read_table(counts_file) if counts_file.is_file() else {}
        for name, count in counts.items():
            if not count.isdecimal():
                raise UserError(
                    f"{counts_file}: {name}: '{count}' is no number of samples; remove the file, or correct it"
                )
        data = cls(directory, audio, {}, audio_format)
        # Only an order of decoding hangs on these: a set without the file has them read from its audio.
        data.samples = {name: int(counts[name]) if name in counts else len(data.read(name)) for name in names}
        return data

    def rate_hz(self) -> int:
        """Returns the sampling rate of the first file, which ESPnet's reader forgets.

        Raises:
            UserError: The file cannot be read.
        """
        name, path = next(iter(read_2columns_text(self.directory / "wav.scp").items()))
        try:
            return int(kaldiio.load_mat(path)[0]) if "ark" in self.audio_format else soundfile.info(path).samplerate
        except Exception as error:  # as in read
            raise UserError(f"{self.directory / 'wav.scp'}: the audio of {name} cannot be read: {error}") from error

    def check_rate(self, sample_rate: int) -> None:
        """Compares the sampling rate of the first file with a model's, Hz.

        Raises:
            UserError: They differ.
        """
        if (rate := self.rate_hz()) != sample_rate:
            raise UserError(
                f"{self.directory}: the audio has {rate} Hz, the model takes {sample_rate} Hz; format the set for it "
                f"(stages 3-5 with --fs {sample_rate})"
            )

    def read(self, name: str) -> torch.Tensor:
        """Reads the audio of an utterance, (samples,).

        Raises:
            UserError: It cannot be read, has several channels, or is not finite, of which a model would make no word.
        """
        try:
            _, item = self.audio[name]
        except Exception as error:  # missing, truncated or not an audio file: each library has errors of its own
            raise UserError(f"{self.directory / 'wav.scp'}: the audio of {name} cannot be read: {error}") from error
        signal = torch.as_tensor(item["speech"])
        if signal.dim() != 1:
            raise UserError(
                f"{self.directory / 'wav.scp'}: {name} has {signal.size(1)} channels, the model takes one; prepare "
                "the set again with a file of one channel, or in data/<set>/wav.scp with 'sox FILE -t wav - remix - |'"
            )
        if not signal.isfinite().all():
            raise UserError(
                f"{self.directory / 'wav.scp'}: the audio of {name} holds samples that are not finite; repair the "
                "recording or leave it out, then prepare the data again (stages 1-5)"
            )
        return signal
