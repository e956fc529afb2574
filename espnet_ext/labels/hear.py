"""What a teacher hears in a data directory, in shards: each is written once and whole, so a stopped call goes on.

Nothing is judged here, so other thresholds need no second hearing.
"""

import bisect
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from espnet2.fileio.read_text import read_2columns_text
from tqdm import tqdm

from espnet_ext.data.batches import make_batches
from espnet_ext.data.sets import DecodingSet
from espnet_ext.errors import UserError
from espnet_ext.files import atomic
from espnet_ext.labels.measures import Heard
from espnet_ext.teachers.cache_audio import FileStates, HeardAudio, changed_audio
from espnet_ext.teachers.load import identify, load_teacher
from espnet_ext.teachers.processes import in_processes, process_number
from espnet_ext.teachers.source import Source


@dataclass(frozen=True)
class Job:
    """What all processes know.

    Attributes:
        teacher: its name, see `espnet_ext.teachers.source`.
        data_dir: formatted set with wav.scp.
        shards_dir: where the shards are.
        second_speed: of a second hearing; None: there is none.
        batch_sec: most audio in a batch, seconds.
        max_padding: most padding in a batch, as a share of its longest utterance.
        ngpu: GPUs that the processes take in turns; 0: CPU.
        audio_format: of data directories without a file audio_format.
    """

    teacher: str
    data_dir: Path
    shards_dir: Path
    second_speed: float | None = None
    batch_sec: float = 60.0
    max_padding: float = 0.05
    ngpu: int = 0
    audio_format: str = "flac"

    def heard_by(self) -> dict[str, Any]:
        """Returns what decides, beside the audio, what is heard."""
        # Options such as the language change what a decoder writes, and no hash of files.
        return {**identify(self.teacher)._asdict(), "options": Source.parse(self.teacher).options}


def hear(
    job: Job, data: DecodingSet, names: Iterable[str], num_processes: int, shard_size: int
) -> tuple[dict[str, Heard], str]:
    """Lets the teacher transcribe what no former call has.

    Args:
        job: see `Job`.
        data: `job.data_dir`.
        names: utterances that are needed.
        num_processes: how many transcribe at once.
        shard_size: utterances that are written together.

    Returns:
        What was heard, by utterance; and a hash of the audio.

    Raises:
        UserError: the teacher makes no text, audio cannot be read, or a process died.
    """
    names = sorted(names)
    known = _read(job, data, names)
    missing = [name for name in names if name not in known]
    shards = [missing[start : start + shard_size] for start in range(0, len(missing), shard_size)]
    with tqdm(total=len(names), initial=len(known), unit="utt", desc=job.data_dir.name, mininterval=2.0) as bar:
        for count in in_processes(start_worker, job, work, shards, num_processes, str(job.shards_dir)):
            bar.update(count)
    if missing:
        known = _read(job, data, names)
    audio = hashlib.sha256("".join(f"{name} {known[name][1].digest}\n" for name in names).encode()).hexdigest()
    return {name: known[name][0] for name in names}, audio


def _read(job: Job, data: DecodingSet, names: Iterable[str]) -> dict[str, tuple[Heard, HeardAudio]]:
    """Reads the shards there are: what this teacher heard in the audio that is there now."""
    wanted, found = job.heard_by(), {}
    # The last one counts, where audio was heard again because it had changed.
    for path in sorted(job.shards_dir.glob("*.json"), key=lambda path: path.stat().st_mtime_ns):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            serves = content["by"] == wanted and job.second_speed in (None, content["second_speed"])
            for name, (heard, audio) in content["utterances"].items() if serves else ():
                found[name] = (Heard(**heard), HeardAudio(**audio))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is no shard of pseudo-labels ({error!r}); delete it, or move it away") from error
    scp = read_2columns_text(data.directory / "wav.scp")
    sources = {name: scp[name] for name in names if name in found}
    _, same = changed_audio({name: found[name][1] for name in sources}, sources, data.read)
    return {name: (found[name][0], audio) for name, audio in same.items()}


_worker: dict[str, Any] = {}


def start_worker(job: Job, counter: Any) -> None:
    """Loads the teacher once in each process."""
    number = process_number(counter)
    teacher = load_teacher(job.teacher)
    if not teacher.makes_text:
        raise UserError(
            f"teacher {job.teacher} makes no text: it has no decoder, and no CTC output whose tokens are known; give "
            "one that transcribes"
        )
    data = DecodingSet.open(job.data_dir, job.audio_format)
    sources = read_2columns_text(job.data_dir / "wav.scp")
    device = f"cuda:{number % job.ngpu}" if job.ngpu else "cpu"
    rate = data.rate_hz()
    # A short utterance stops a whole batch in some libraries. Faster audio is shorter.
    fastest = rate * max(1.0, job.second_speed or 1.0)
    shortest = bisect.bisect_left(
        range(rate), 1, key=lambda samples: teacher.count_frames(int(samples * teacher.sample_rate_hz / fastest))
    )
    _worker.update(job=job, by=job.heard_by(), teacher=teacher, data=data, sources=sources, device=device)
    _worker.update(rate_hz=rate, shortest=shortest)


def work(names: list[str]) -> int:
    """Transcribes one shard and writes it; returns its utterances."""
    job: Job = _worker["job"]
    found: dict[str, Any] = {}
    samples = {name: _worker["data"].samples[name] for name in names}
    for batch in make_batches(samples, math.ceil(job.batch_sec * _worker["rate_hz"]), job.max_padding):
        found |= _transcribe(batch)
    content = {"by": _worker["by"], "second_speed": job.second_speed, "utterances": found}
    digest = hashlib.sha256(json.dumps([content["by"], job.second_speed, found], sort_keys=True).encode()).hexdigest()
    with atomic(job.shards_dir / f"{digest[:16]}.json") as temporary:
        temporary.write_text(json.dumps(content, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    return len(names)


def _transcribe(batch: list[str]) -> dict[str, Any]:
    """Returns what the teacher makes of some utterances, and the audio as it was, as JSON."""
    job, teacher, rate = _worker["job"], _worker["teacher"], _worker["rate_hz"]
    states, signals, audio = FileStates(), {}, {}
    for name in batch:
        source = _worker["sources"][name]
        state = states[source]  # before it is read: a change while it is read shows later
        signal = _worker["data"].read(name).float()
        audio[name] = HeardAudio.of(signal, state, source)
        if len(signal) >= _worker["shortest"]:
            signals[name] = signal.to(_worker["device"])
    heard = {name: Heard("", None) for name in batch}
    if signals:
        texts = teacher.transcribe(list(signals.values()), rate, list(signals))
        heard |= {name: Heard(one.text, one.confidence) for name, one in zip(signals, texts, strict=True)}
    if signals and job.second_speed is not None:
        # Samples that are said to come faster are played faster.
        texts = teacher.transcribe(list(signals.values()), round(rate * job.second_speed), list(signals))
        heard |= {name: replace(heard[name], second=one.text) for name, one in zip(signals, texts, strict=True)}
    return {name: (asdict(heard[name]), asdict(audio[name])) for name in batch}
