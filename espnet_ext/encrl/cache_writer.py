"""Computes and stores the teacher's outputs for a data directory, in shards that are each written once."""

import hashlib
import math
import multiprocessing
import multiprocessing.connection
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

import humanfriendly
import kaldiio
import torch
from tqdm import tqdm

from espnet_ext.decode.greedy import make_batches
from espnet_ext.decode.sets import DecodingSet
from espnet_ext.encrl.agreement import count_frames, describe
from espnet_ext.encrl.cache import (
    DTYPES,
    ENCODER,
    MANIFEST,
    Manifest,
    changed_audio,
    data_name,
    data_names,
    identify,
    write_samples,
)
from espnet_ext.encrl.criteria import Criterion
from espnet_ext.encrl.outputs import compute_outputs
from espnet_ext.encrl.teacher import load_teacher
from espnet_ext.errors import UserError

_SPARE_BYTES = 200 * 2**20
_REMEDY = "delete it, or give another --output_dir"


@dataclass(frozen=True)
class Job:
    """What all processes of a cache know.

    Attributes:
        teacher: experiment directory, checkpoint, packed zip or model-zoo tag.
        data_dir: Kaldi directory with wav.scp.
        output_dir: the cache.
        manifest: what it will be.
        criteria: outputs to store.
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
    criteria: Sequence[Criterion]
    shards: Sequence[Mapping[str, int]]
    batch_sec: float
    max_padding: float
    ngpu: int
    audio_format: str

    def list_file(self, shard: int) -> Path:
        """Returns the file whose presence says that a shard is whole; it lists the encoder outputs."""
        return self.output_dir / "shards" / f"{ENCODER}.{shard}.scp"

    def seconds_file(self, shard: int) -> Path:
        """Returns the file that tells how long a shard took."""
        return self.output_dir / "shards" / f"seconds.{shard}"


def plan(
    teacher: str,
    data_dir: Path,
    output_dir: Path,
    criteria: Sequence[Criterion],
    dtype: str,
    shard_size: int,
    **options,
) -> Job:
    """Looks at the data and at what a former call has left.

    Args:
        teacher: as in `Job`, like the other arguments.
        data_dir: as in `Job`.
        output_dir: as in `Job`.
        criteria: as in `Job`.
        dtype: key of `espnet_ext.encrl.cache.DTYPES`.
        shard_size: utterances a shard.
        **options: further fields of `Job`.

    Raises:
        UserError: No such data or teacher, or `output_dir` holds the cache of something else.
    """
    data = DecodingSet.open(data_dir, options["audio_format"])
    names = sorted(data.samples)
    shards = [
        {name: data.samples[name] for name in names[start : start + shard_size]}
        for start in range(0, len(names), shard_size)
    ]
    partition = hashlib.sha256(repr([list(shard.items()) for shard in shards]).encode()).hexdigest()
    manifest = Manifest(*identify(teacher), dtype, tuple(data_names(criteria)), shards=partition)
    finished, unfinished = output_dir / MANIFEST, output_dir / "shards" / MANIFEST
    if finished.is_file():
        before = Manifest.read(output_dir)
        enough = set(before.names) >= set(manifest.names) and before.utterances == len(names)
        enough = enough and not changed_audio(output_dir, data.samples)
        same = replace(manifest, names=before.names, shards=None)
        if not enough or replace(before, utterances=0, num_bytes=0, seconds=None, shards=None) != same:
            raise UserError(
                f"{output_dir} holds a cache of another teacher, dtype or data, or of too few outputs; {_REMEDY}"
            )
    elif not unfinished.is_file():
        # That folder is deleted when the cache is complete.
        if any(not path.name.startswith(".") for path in unfinished.parent.glob("*")):
            raise UserError(f"{unfinished.parent} holds files of something else; give another --output_dir")
    elif Manifest.read(unfinished.parent) != manifest:
        raise UserError(
            f"{output_dir} was begun for another teacher, dtype, choice of outputs, data or --shard_size; {_REMEDY}"
        )
    return Job(teacher, data_dir, output_dir, manifest, criteria, shards, **options)


def write_cache(job: Job, num_processes: int, say: Callable[[str], None] = print) -> Manifest:
    """Computes what is missing; a `manifest.json` that exists says that everything is there.

    Args:
        job: see `plan`.
        num_processes: how many compute at once.
        say: takes messages for the user.

    Raises:
        UserError: Too little disk, audio that cannot be read, or a process that died.
    """
    if (job.output_dir / MANIFEST).is_file():
        say(f"{job.output_dir}: already complete")
        return Manifest.read(job.output_dir)
    missing = [shard for shard in range(len(job.shards)) if not job.list_file(shard).is_file()]
    _check_before_work(job, missing, say)
    job.manifest.write(job.output_dir / "shards")
    total = sum(len(shard) for shard in job.shards)
    done = total - sum(len(job.shards[shard]) for shard in missing)
    with tqdm(total=total, initial=done, unit="utt", desc=job.data_dir.name, mininterval=2.0) as bar:
        for count in _results(job, missing, min(num_processes, len(missing))):
            bar.update(count)
    for name in job.manifest.names:
        lists = [job.output_dir / "shards" / f"{name}.{shard}.scp" for shard in range(len(job.shards))]
        lines = sorted(line for path in lists for line in path.read_text(encoding="utf-8").splitlines())
        (job.output_dir / f"{name}.scp").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    size = sum(path.stat().st_size for path in job.output_dir.glob("*.ark"))
    seconds = sum(float(job.seconds_file(shard).read_text()) for shard in range(len(job.shards)))
    manifest = replace(job.manifest, utterances=total, num_bytes=size, seconds=round(seconds, 3))
    write_samples(job.output_dir, {name: count for shard in job.shards for name, count in shard.items()})
    manifest.write(job.output_dir)
    shutil.rmtree(job.output_dir / "shards")
    return manifest


def _results(job: Job, missing: Sequence[int], num_processes: int) -> Iterator[int]:
    """Computes shards, here or in processes of their own; yields the utterances of each when it is written."""
    if num_processes <= 1:
        _start_worker(job, None)
        yield from map(_work, missing)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_processes, context, _start_worker, (job, context.Value("i", 0))) as pool:
        try:
            tasks = [pool.submit(_work, shard) for shard in missing]
            for task in as_completed(tasks):
                yield task.result()
        except BrokenProcessPool as error:
            raise UserError(
                f"{job.output_dir}: a process of the cache could not start or was killed, perhaps for its memory; run "
                "again with fewer --nj or a smaller --batch_sec: what is written is kept"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _check_before_work(job: Job, missing: Sequence[int], say: Callable[[str], None]) -> None:
    """Checks that the shortest utterance gives a frame and that there is room for all.

    Raises:
        UserError: one of them is not so.
    """
    teacher = load_teacher(job.teacher)
    shortest, samples = min((item for shard in job.shards for item in shard.items()), key=lambda item: item[1])
    if count_frames(teacher.model, samples) == 0:
        raise UserError(
            f"{shortest} ({samples} samples) is too short for one frame of {job.teacher}; raise --min_wav_duration "
            "(stage 4)"
        )
    described = describe(teacher.model, teacher.args)
    samples = sum(sum(job.shards[shard].values()) for shard in missing)
    frames = samples / described.sample_rate_hz * described.frames_per_sec
    width = teacher.model.encoder.output_size()
    need = int(frames * width * DTYPES[job.manifest.dtype][1] * len(job.manifest.names))
    job.output_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(job.output_dir).free
    say(f"{job.output_dir}: needs {need / 2**20:.0f} MiB, {free / 2**20:.0f} MiB are free")
    if free < need + _SPARE_BYTES:
        raise UserError(
            f"{job.output_dir} has {free / 2**30:.1f} GiB free, the cache needs {(need + _SPARE_BYTES) / 2**30:.1f}; "
            "free space, give another --output_dir, or a smaller --dtype"
        )


_worker: dict = {}


def _start_worker(job: Job, counter) -> None:
    """Loads the teacher once in each process."""
    number = 0
    if counter is not None:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        torch.set_num_threads(1)
        with counter.get_lock():
            number = counter.value
            counter.value += 1
    teacher = load_teacher(job.teacher)
    device = f"cuda:{number % job.ngpu}" if job.ngpu else "cpu"
    teacher.model.to(device)
    _worker.update(job=job, teacher=teacher, device=device, data=DecodingSet.open(job.data_dir, job.audio_format))


def _end_with_parent() -> None:
    """Ends this process when the one that started it was killed: the pool would work on, and without the lock."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _work(shard: int) -> int:
    """Computes one shard; returns its utterances."""
    job: Job = _worker["job"]
    start = time.perf_counter()
    method, _ = DTYPES[job.manifest.dtype]
    arks = {name: job.output_dir / f"{name}.{shard}.ark" for name in job.manifest.names}
    lists = {name: job.output_dir / "shards" / f"{name}.{shard}.scp" for name in job.manifest.names}
    writers = {}
    for name, ark in arks.items():
        parts = f"ark,scp:{ark}.part,{lists[name]}.part"
        writers[name] = kaldiio.WriteHelper(parts, compression_method=method)
    try:
        for utterance, outputs in _compute(job.shards[shard]):
            for name, value in outputs.items():
                writers[name](utterance, value)
    finally:
        for writer in writers.values():
            writer.close()
    job.seconds_file(shard).write_text(f"{time.perf_counter() - start:.3f}\n")
    # The list of the encoder outputs, written last, says that the shard is whole.
    for name in sorted(arks, key=lambda name: name == ENCODER):
        os.replace(f"{arks[name]}.part", arks[name])
        part = Path(f"{lists[name]}.part")
        part.write_text(part.read_text(encoding="utf-8").replace(f"{arks[name]}.part:", f"{arks[name]}:"), "utf-8")
        os.replace(part, lists[name])
    return len(job.shards[shard])


@torch.no_grad()
def _compute(samples: Mapping[str, int]) -> Iterator[tuple[str, dict]]:
    """Yields (utterance, {name: (T, D) float32 array}) of one shard."""
    job, teacher, device = _worker["job"], _worker["teacher"], _worker["device"]
    rate = humanfriendly.parse_size(str((teacher.args.frontend_conf or {}).get("fs", 16000)))
    for batch in make_batches(dict(samples), math.ceil(job.batch_sec * rate), job.max_padding):
        signals = [_worker["data"].read(name).float() for name in batch]
        lengths = torch.tensor([len(signal) for signal in signals], device=device)
        speech = torch.nn.utils.rnn.pad_sequence(signals, batch_first=True).to(device)
        # Hidden outputs only: the head is applied when the cache is used.
        hidden = [criterion for criterion in job.criteria if criterion.depth is not None]
        out = compute_outputs(teacher.model, speech, lengths, hidden)
        values = {ENCODER: out.encoder} | {data_name(c): out.layers[c.depth] for c in hidden}
        for row, name in enumerate(batch):
            frames = int(out.lengths[row])
            if frames == 0:
                raise UserError(f"{name} is too short for one encoder frame; raise --min_wav_duration")
            yield name, {key: value[row, :frames].float().cpu().numpy() for key, value in values.items()}
