"""A data directory with pseudo-labels: what the teacher heard, in the corpus's form, without what is likely wrong."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path

from espnet_ext.data.sets import DecodingSet
from espnet_ext.data.tables import read_lines
from espnet_ext.errors import UserError
from espnet_ext.files import atomic
from espnet_ext.labels.form import Form
from espnet_ext.labels.hear import Job, hear
from espnet_ext.labels.measures import Dropped, Filter, Heard, filters, judge
from espnet_ext.labels.settings import Settings
from espnet_ext.record import Record

_LISTS = ("wav.scp", "utt2spk", "utt2num_samples")
_KINDS = ("feats_type", "audio_format")
TABLE = "labels.md"


@dataclass(frozen=True)
class Limits:
    """How long utterances are that serve for training, seconds; others are not heard."""

    min_sec: float = 0.0
    max_sec: float = float("inf")


@dataclass(frozen=True)
class Judged:
    """The utterances of a set.

    Attributes:
        texts: in the form of the corpus, of those that are kept, by utterance.
        dropped: why the others are not.
        heard: what the teacher made of those within the limits.
        seconds: of all.
        filters: by which they were judged, those of the length first.
    """

    texts: dict[str, str]
    dropped: dict[str, Dropped]
    heard: dict[str, Heard]
    seconds: dict[str, float]
    filters: Sequence[Filter]

    def rows(self) -> list[tuple[str, str, int, float]]:
        """Returns name, limit, utterances and hours of all, of each reason, and of what is kept."""
        counts, seconds = Counter(), Counter()
        for name, dropped in self.dropped.items():
            counts[dropped.reason] += 1
            seconds[dropped.reason] += self.seconds[name]
        kept = sum(self.seconds[name] for name in self.texts)
        rows = [("all", "", len(self.seconds), sum(self.seconds.values()))]
        rows += [(one.name, one.limit, counts[one.name], seconds[one.name]) for one in self.filters]
        return [(*row[:3], row[3] / 3600) for row in [*rows, ("kept", "", len(self.texts), kept)]]

    def table(self) -> str:
        """Returns the counts as a Markdown table."""
        lines = ["| | passes | utterances | hours |", "|---|---|---:|---:|"]
        lines += [f"| {name} | {limit} | {count} | {hours:.2f} |" for name, limit, count, hours in self.rows()]
        return "\n".join(lines) + "\n"

    def summary(self) -> str:
        """Returns the same in one line."""
        rows = self.rows()
        reasons = [f"{name} {count} ({limit} passes)" for name, limit, count, _ in rows[1:-1] if count]
        left = f"; left out: {', '.join(reasons)}" if reasons else ""
        return f"{rows[-1][2]} of {rows[0][2]} utterances kept, {rows[-1][3]:.2f} of {rows[0][3]:.2f} h{left}"


def label(
    job: Job,
    output_dir: Path,
    settings: Settings,
    form: Form,
    limits: Limits,
    made_with: Mapping[str, str],
    num_processes: int = 1,
    shard_size: int = 100,
    say: Callable[[str], None] = print,
) -> None:
    """Writes a data directory of what is kept: the lists of the set, `text`, `utt2score`; and `dropped.tsv`.

    `utt2score` has the teacher's confidence, where it tells one. A directory that is made of the same stays.

    Args:
        job: what is heard.
        output_dir: the directory.
        settings: what is kept.
        form: of the text.
        limits: of the length.
        made_with: hashes of what `form` was made of.
        num_processes: how many transcribe at once.
        shard_size: utterances that are written together.
        say: takes messages for the user.

    Raises:
        UserError: no such set, `output_dir` holds something else, or nothing is kept.
    """
    record = Record.read(output_dir)
    if output_dir.exists() and any(output_dir.iterdir()) and (record is None or record.content["kind"] != "labels"):
        raise UserError(f"{output_dir} holds something else than pseudo-labels; give another --output_dir")
    data = DecodingSet.open(job.data_dir, job.audio_format)
    rate = data.rate_hz()
    seconds = {name: samples / rate for name, samples in data.samples.items()}
    within = [name for name, length in seconds.items() if limits.min_sec < length < limits.max_sec]
    heard, audio = hear(job, data, within, num_processes, shard_size)
    made_of = {
        "config": asdict(settings) | asdict(limits),
        "inputs": {**made_with, f"audio ({job.data_dir}/wav.scp)": audio},
        "parents": {job.teacher: hashlib.sha256(repr(sorted(job.heard_by().items())).encode()).hexdigest()},
    }
    if record is not None and record.is_finished and not record.changes(made_of):
        say(f"{output_dir}: already labelled; {record.content['summary']}")
        return
    judged = _judge(settings, form, limits, seconds, heard)
    say(f"{judged.table()}\n{job.data_dir}: {judged.summary()}")
    if not judged.texts:
        raise UserError(f"no text of {job.data_dir} is kept: {judged.summary()}; lower the thresholds in --config")
    record = Record.begin(output_dir, "labels", made_of)
    record.finish(_write(output_dir, data, judged), summary=judged.summary())


def _judge(
    settings: Settings, form: Form, limits: Limits, seconds: Mapping[str, float], heard: Mapping[str, Heard]
) -> Judged:
    lengths = [Filter("short", f"above {limits.min_sec:g} s", lambda *_: None)] if limits.min_sec > 0 else []
    lengths += [Filter("long", f"below {limits.max_sec:g} s", lambda *_: None)] if isfinite(limits.max_sec) else []
    chosen = filters(settings, form)
    texts, dropped = {}, {}
    for name, length in seconds.items():
        if name not in heard:
            dropped[name] = Dropped("long" if length > limits.min_sec else "short", f"{length:.2f}")
            continue
        text = form(heard[name].text)
        if reason := judge(chosen, text, length, heard[name]):
            dropped[name] = reason
        else:
            texts[name] = text
    return Judged(texts, dropped, dict(heard), dict(seconds), [*lengths, *chosen])


def _write(output_dir: Path, data: DecodingSet, judged: Judged) -> list[str]:
    """Writes the directory; returns the names of its files, `text` last."""
    kept = sorted(judged.texts)  # by code point, which is the order of LC_ALL=C sort
    content: dict[str, list[str]] = {}
    for file in _LISTS:
        path = data.directory / file
        if path.is_file():
            lines = (line for _, line in read_lines(path))
            content[file] = [line for line in lines if line.split(maxsplit=1)[:1] and line.split()[0] in judged.texts]
    content.setdefault("utt2spk", [f"{name} {name}" for name in kept])
    speakers: dict[str, list[str]] = {}
    for name, speaker in (line.split() for line in content["utt2spk"]):
        speakers.setdefault(speaker, []).append(name)
    content["spk2utt"] = [f"{speaker} {' '.join(names)}" for speaker, names in sorted(speakers.items())]
    scores = {name: judged.heard[name].confidence for name in kept}
    if None not in scores.values():
        content["utt2score"] = [f"{name} {score:.4f}" for name, score in scores.items()]
    rows = (
        (name, one.reason, one.value, judged.heard[name].text if name in judged.heard else "")
        for name, one in sorted(judged.dropped.items())
    )
    content["dropped.tsv"] = ["\t".join(" ".join(cell.split()) for cell in row) for row in rows]
    content[TABLE] = judged.table().splitlines()
    content["text"] = [f"{name} {judged.texts[name]}" for name in kept]
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / "utt2score").unlink(missing_ok=True)  # of another teacher
    for file, lines in content.items():
        with atomic(output_dir / file) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    copied = [file for file in _KINDS if (data.directory / file).is_file()]
    for file in copied:
        shutil.copy2(data.directory / file, output_dir / file)
    return [*copied, *content]
