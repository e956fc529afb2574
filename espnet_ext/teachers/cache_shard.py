"""One shard of a teacher cache: computed and written by one process, whole or not at all."""

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import kaldiio
import torch
from espnet2.fileio.read_text import read_2columns_text
from torch import Tensor

from espnet_ext.data.batches import make_batches
from espnet_ext.data.sets import DecodingSet
from espnet_ext.encoder.outputs import HEAD_OUTPUTS
from espnet_ext.errors import UserError
from espnet_ext.files import atomic
from espnet_ext.teachers.cache import DTYPES, ENCODER, Manifest, data_name
from espnet_ext.teachers.cache_audio import AUDIO, FileStates, HeardAudio, changed_audio, read_audio, write_audio
from espnet_ext.teachers.cache_files import StoredFile, check_files, stored_files
from espnet_ext.teachers.load import load_teacher
from espnet_ext.teachers.processes import process_number


@dataclass(frozen=True)
class Job:
    """What all processes of a cache know.

    Attributes:
        teacher: its name, see `espnet_ext.teachers.source`.
        data_dir: Kaldi directory with wav.scp.
        output_dir: the cache.
        manifest: what it will be.
        outputs: that are needed, see `espnet_ext.encoder.outputs`.
        shards: utterances of each shard.
        batch_sec: most audio in a batch, seconds.
        max_padding: most padding in a batch, as a share of its longest utterance.
        ngpu: GPUs that the processes take in turns; 0: CPU.
        audio_format: of data directories without a file audio_format.
    """

    teacher: str
    data_dir: Path
    output_dir: Path
    manifest: Manifest
    outputs: Sequence[str]
    shards: Sequence[Mapping[str, int]]
    batch_sec: float
    max_padding: float
    ngpu: int
    audio_format: str

    @property
    def shards_dir(self) -> Path:
        """Returns the directory of what an unfinished cache knows of its shards."""
        return self.output_dir / "shards"

    def archive(self, name: str, shard: int) -> Path:
        """Returns the archive of an output."""
        return self.output_dir / f"{name}.{shard}.ark"

    def list_file(self, name: str, shard: int) -> Path:
        """Returns the list of what is in `archive`."""
        return self.shards_dir / f"{name}.{shard}.scp"

    def audio_file(self, shard: int) -> Path:
        """Returns the file that tells of which audio a shard is."""
        return self.shards_dir / f"{AUDIO}.{shard}"

    def record_file(self, shard: int) -> Path:
        """Returns the file whose presence says that a shard is whole, see `Record`."""
        return self.shards_dir / f"{shard}.json"


@dataclass(frozen=True)
class Record:
    """What is known of a shard that was written.

    Attributes:
        seconds: that its computation took.
        archives: its archives.
        lists: its other files: lists of the archives, audio.
    """

    seconds: float
    archives: dict[str, StoredFile]
    lists: dict[str, StoredFile]

    @classmethod
    def read(cls, path: Path) -> "Record | None":
        """Reads a record; None where there is none that can be read."""
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
            files = [
                {name: StoredFile(**stored) for name, stored in entries[key].items()} for key in ("archives", "lists")
            ]
            return cls(float(entries["seconds"]), *files)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


def shard_is_whole(job: Job, shard: int, sources: Mapping[str, str], read: Callable[[str], Tensor]) -> bool:
    """Tells whether a shard of a former call is there, as it was written and of the audio that is there now.

    Args:
        job: the cache.
        shard: number of the shard.
        sources: entries of wav.scp, by utterance.
        read: gives the samples of an utterance.
    """
    record = Record.read(job.record_file(shard))
    if record is None:
        return False
    for directory, files in ((job.output_dir, record.archives), (job.shards_dir, record.lists)):
        wrong, _ = check_files(directory, files)
        if wrong:
            return False
    heard = read_audio(job.audio_file(shard))
    changed, _ = changed_audio(heard, {name: sources[name] for name in job.shards[shard]}, read)
    return not changed


_worker: dict = {}


def start_worker(job: Job, counter) -> None:
    """Loads the teacher once in each process."""
    number = process_number(counter)
    teacher = load_teacher(job.teacher)
    device = f"cuda:{number % job.ngpu}" if job.ngpu else "cpu"
    data = DecodingSet.open(job.data_dir, job.audio_format)
    sources = read_2columns_text(job.data_dir / "wav.scp")
    _worker.update(job=job, teacher=teacher, device=device, data=data, sources=sources, rate_hz=data.rate_hz())


def work(shard: int) -> int:
    """Computes one shard; returns its utterances."""
    job: Job = _worker["job"]
    start = time.perf_counter()
    method, _ = DTYPES[job.manifest.dtype]
    names, writers = job.manifest.names, {}
    for name in names:
        parts = f"ark,scp:{job.archive(name, shard)}.part,{job.list_file(name, shard)}.part"
        writers[name] = kaldiio.WriteHelper(parts, compression_method=method)
    audio: dict[str, HeardAudio] = {}
    try:
        for utterance, outputs in _compute(job.shards[shard], audio):
            for name, value in outputs.items():
                writers[name](utterance, value)
    finally:
        for writer in writers.values():
            writer.close()
    for name in names:
        archive, lines = job.archive(name, shard), job.list_file(name, shard)
        os.replace(f"{archive}.part", archive)
        part = Path(f"{lines}.part")
        part.write_text(part.read_text(encoding="utf-8").replace(f"{archive}.part:", f"{archive}:"), "utf-8")
        os.replace(part, lines)
    write_audio(job.audio_file(shard), audio)
    archives = stored_files(job.archive(name, shard) for name in names)
    lists = stored_files([job.audio_file(shard), *(job.list_file(name, shard) for name in names)])
    record = Record(round(time.perf_counter() - start, 3), archives, lists)
    with atomic(job.record_file(shard)) as temporary:  # last
        temporary.write_text(json.dumps(asdict(record)), encoding="utf-8")
    return len(job.shards[shard])


@torch.no_grad()
def _compute(samples: Mapping[str, int], audio: dict[str, HeardAudio]) -> Iterator[tuple[str, dict]]:
    """Yields (utterance, {name: (T, D) float32 array}) of one shard; puts what the teacher heard into `audio`."""
    job, teacher, device = _worker["job"], _worker["teacher"], _worker["device"]
    rate = _worker["rate_hz"]
    # Hidden outputs are stored, and the head is applied when the cache is used; here only to see whether it is sound.
    names = [name for name in job.outputs if teacher.has_head or name not in HEAD_OUTPUTS]
    for batch in make_batches(dict(samples), math.ceil(job.batch_sec * rate), job.max_padding):
        signals = [_hear(name, audio) for name in batch]
        lengths = torch.tensor([len(signal) for signal in signals], device=device)
        speech = torch.nn.utils.rnn.pad_sequence(signals, batch_first=True).to(device)
        out = teacher(speech, lengths, names, batch, rate)
        for row, name in enumerate(batch):
            if int(out.lengths[row]) == 0:
                raise UserError(f"{name} is too short for one encoder frame; raise --min_wav_duration")
        values = {ENCODER: out.encoder} | {data_name(name): value for name, value in out.layers.items()}
        for row, name in enumerate(batch):
            frames = int(out.lengths[row])
            yield name, {key: value[row, :frames].float().cpu().numpy() for key, value in values.items()}


def _hear(name: str, audio: dict[str, HeardAudio]) -> Tensor:
    """Reads an utterance, (samples,) float32, and notes what was read."""
    data, source = _worker["data"], _worker["sources"][name]
    state = FileStates()[source]  # before it is read: a change while it is read shows later
    signal = data.read(name).float()
    audio[name] = HeardAudio.of(signal, state, source)
    return signal
