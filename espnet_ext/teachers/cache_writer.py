"""Computes and stores the teacher's outputs for a data directory, in shards that are each written once."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from espnet2.fileio.read_text import read_2columns_text
from tqdm import tqdm

from espnet_ext.data.sets import DecodingSet
from espnet_ext.errors import UserError
from espnet_ext.files import atomic
from espnet_ext.teachers.cache import DTYPES, MANIFEST, Manifest, check_stored, data_names
from espnet_ext.teachers.cache_audio import AUDIO, changed_audio, read_audio, write_audio
from espnet_ext.teachers.cache_files import stored_files
from espnet_ext.teachers.cache_shard import Job, Record, shard_is_whole, start_worker, work
from espnet_ext.teachers.load import identify, load_teacher
from espnet_ext.teachers.processes import in_processes

_SPARE_BYTES = 200 * 2**20
_REMEDY = "delete it, or give another --output_dir"


def plan(
    teacher: str,
    data_dir: Path,
    output_dir: Path,
    outputs: Sequence[str],
    dtype: str,
    shard_size: int,
    **options,
) -> Job:
    """Looks at the data and at what a former call has left.

    Args:
        teacher: as in `Job`, like the other arguments.
        data_dir: as in `Job`.
        output_dir: as in `Job`.
        outputs: as in `Job`.
        dtype: key of `espnet_ext.teachers.cache.DTYPES`.
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
    manifest = Manifest(*identify(teacher), dtype, tuple(data_names(outputs)), shards=partition)
    unfinished = output_dir / "shards" / MANIFEST
    if (output_dir / MANIFEST).is_file():
        _check_finished(output_dir, manifest, data)
    elif not unfinished.is_file():
        # That folder is deleted when the cache is complete.
        if any(not path.name.startswith(".") for path in unfinished.parent.glob("*")):
            raise UserError(f"{unfinished.parent} holds files of something else; give another --output_dir")
    elif Manifest.read(unfinished.parent) != manifest:
        raise UserError(
            f"{output_dir} was begun for another teacher, dtype, choice of outputs, data or --shard_size; {_REMEDY}"
        )
    return Job(teacher, data_dir, output_dir, manifest, outputs, shards, **options)


def _check_finished(output_dir: Path, wanted: Manifest, data: DecodingSet) -> None:
    """Checks that a finished cache is what is wanted, whole, and of the audio that is there now."""
    before = Manifest.read(output_dir)
    same = replace(wanted, names=before.names, shards=None)
    core = replace(before, utterances=0, num_bytes=0, seconds=None, shards=None, files={})
    if core != same or not set(before.names) >= set(wanted.names) or before.utterances != len(data.samples):
        raise UserError(
            f"{output_dir} holds a cache of another teacher, dtype or data, or of too few outputs; {_REMEDY}"
        )
    files = check_stored(output_dir, before)
    cached, sources = read_audio(output_dir / AUDIO), read_2columns_text(data.directory / "wav.scp")
    changed, heard = changed_audio(cached, sources, data.read)
    if changed:
        raise UserError(
            f"{output_dir} holds a cache of other audio: {len(changed)} utterances of {data.directory} have other "
            f"samples now, e.g. {changed[0]}; {_REMEDY}"
        )
    # What was compared by content need not be so the next time.
    if heard != cached:
        with atomic(output_dir / AUDIO) as temporary:
            write_audio(temporary, heard)
    if files != before.files:
        replace(before, files=files).write(output_dir)


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
    missing = _missing(job, say)
    _check_before_work(job, missing, say)
    job.manifest.write(job.shards_dir)
    total = sum(len(shard) for shard in job.shards)
    done = total - sum(len(job.shards[shard]) for shard in missing)
    with tqdm(total=total, initial=done, unit="utt", desc=job.data_dir.name, mininterval=2.0) as bar:
        for count in in_processes(start_worker, job, work, missing, num_processes, str(job.output_dir)):
            bar.update(count)
    manifest = _join(job)
    shutil.rmtree(job.shards_dir)
    return manifest


def _missing(job: Job, say: Callable[[str], None]) -> list[int]:
    """Returns the shards that are to be computed."""
    if not job.shards_dir.is_dir():
        return list(range(len(job.shards)))
    data, sources = DecodingSet.open(job.data_dir, job.audio_format), read_2columns_text(job.data_dir / "wav.scp")
    missing = [shard for shard in range(len(job.shards)) if not shard_is_whole(job, shard, sources, data.read)]
    for shard in missing:
        if job.record_file(shard).is_file():
            say(f"{job.output_dir}: shard {shard} is damaged or its audio is another now; it is computed again")
            job.record_file(shard).unlink()
    return missing


def _join(job: Job) -> Manifest:
    """Makes one list of those of the shards, and the manifest."""
    shards = range(len(job.shards))
    records = [Record.read(job.record_file(shard)) for shard in shards]
    files = {name: stored for record in records for name, stored in record.archives.items()}
    size = sum(stored.num_bytes for stored in files.values())
    parts = {f"{name}.scp": [job.list_file(name, shard) for shard in shards] for name in job.manifest.names}
    parts[AUDIO] = [job.audio_file(shard) for shard in shards]
    for name, paths in parts.items():
        lines = sorted(line for path in paths for line in path.read_text(encoding="utf-8").split("\n") if line)
        with atomic(job.output_dir / name) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    files |= stored_files(job.output_dir / f"{name}.scp" for name in job.manifest.names)
    manifest = replace(
        job.manifest,
        utterances=sum(len(shard) for shard in job.shards),
        num_bytes=size,
        seconds=round(sum(record.seconds for record in records), 3),
        files=files,
    )
    manifest.write(job.output_dir)
    return manifest


def _check_before_work(job: Job, missing: Sequence[int], say: Callable[[str], None]) -> None:
    """Checks that the shortest utterance gives a frame and that there is room for all.

    Raises:
        UserError: one of them is not so.
    """
    teacher = load_teacher(job.teacher)
    shortest, samples = min((item for shard in job.shards for item in shard.items()), key=lambda item: item[1])
    rate = DecodingSet.open(job.data_dir, job.audio_format).rate_hz()
    if teacher.count_frames(samples * teacher.sample_rate_hz // rate) == 0:
        raise UserError(
            f"{shortest} ({samples} samples) is too short for one frame of {job.teacher}; raise --min_wav_duration "
            "(stage 4)"
        )
    samples = sum(sum(job.shards[shard].values()) for shard in missing)
    frames = samples / rate * teacher.frames_per_sec
    need = int(frames * teacher.width * DTYPES[job.manifest.dtype][1] * len(job.manifest.names))
    job.output_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(job.output_dir).free
    say(f"{job.output_dir}: needs {need / 2**20:.0f} MiB, {free / 2**20:.0f} MiB are free")
    if free < need + _SPARE_BYTES:
        raise UserError(
            f"{job.output_dir} has {free / 2**30:.1f} GiB free, the cache needs {(need + _SPARE_BYTES) / 2**30:.1f}; "
            "free space, give another --output_dir, or a smaller --dtype"
        )
