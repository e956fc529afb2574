"""What a reader must know about the numbers, and the reason of every missing one: lines of plain text."""

import platform
from importlib.metadata import version

from espnet_ext.local_paths import public_path, without_local_paths
from espnet_ext.report.bootstrap import RESAMPLES, SEED
from espnet_ext.report.compare import FEW_SPEAKERS, MIN_SPEAKERS
from espnet_ext.report.lineage import Training
from espnet_ext.report.results import Results
from espnet_ext.report.size import SPEECH_SEC
from espnet_ext.report.table import seconds


def notes(results: Results) -> list[str]:
    """Returns the notes, a line each, without paths of this machine: reports are published."""
    lines = [*_statistics(results), *_columns(results), *_costs(results)]
    scores = [score for system in results.systems for name in results.test_sets for score in system.scores(name, "wer")]
    if any(score.tool == "jiwer" for score in scores):
        lines.append(
            "(jiwer): scored by jiwer because sclite was not there or could not; alignments, and so WERs, can differ "
            "slightly."
        )
    for system in results.systems:
        if system.note:
            lines.append(f"{system.label}: {system.note}")
        if not system.runs and not system.published:
            lines.append(f"{system.label}: no decode_dirs given.")
        for run in system.runs:
            where = run.exp_dir.name if results.by_start else f"{system.label} ({public_path(run.exp_dir)})"
            lines += [f"{where}: {note}." for note in run.notes]
    return [without_local_paths(line) for line in lines]


def environment() -> list[str]:
    """Returns the versions that the numbers depend on."""
    packages = [f"{name} {version(name)}" for name in ("espnet", "torch", "torchaudio", "scipy")]
    return [f"python {platform.python_version()}", *packages, f"{platform.system()} {platform.machine()}"]


def _statistics(results: Results) -> list[str]:
    units: dict[str, list[str]] = {}
    few = []
    for name in results.test_sets:
        comparison = results.comparisons[name, "wer"]
        if comparison.units >= 2:
            units.setdefault(f"{comparison.units} {comparison.unit}", []).append(name)
            if comparison.unit != "speakers":
                few.append(
                    f"{name}: fewer than {MIN_SPEAKERS} known speakers ({comparison.speakers}), so utterances are "
                    f"resampled; errors of one speaker depend on each other, and the intervals are too narrow."
                )
            elif comparison.speakers < FEW_SPEAKERS:
                few.append(
                    f"{name}: {comparison.speakers} speakers are few, so intervals are somewhat too narrow and "
                    f"p-values too small (simulated: the 95 % interval covers in 83 to 86 % of cases with 5 speakers, "
                    f"90 to 92 % with 12, 92 % with 20)."
                )
    if not units:
        return []
    what = "; ".join(f"{unit} ({', '.join(names)})" for unit, names in units.items())
    lines = [
        f"[low, high] is the 95 % percentile interval of the bootstrap (Bisani and Ney, ICASSP 2004), {RESAMPLES} "
        f"resamples of {what}, seed {SEED}. It tells how far the number depends on who was recorded, not on the "
        "training's seed.",
        f"p: two-sided paired bootstrap on the same resamples, 2 * min(#{{d <= 0}} + 1, #{{d >= 0}} + 1) / "
        f"{RESAMPLES + 1} with d the difference of the two systems; it cannot be below {2 / (RESAMPLES + 1):g}. Not "
        f"corrected for the number of comparisons.",
    ]
    return lines + few


def _columns(results: Results) -> list[str]:
    lines = [
        "MB: all weights in float32; MB int8: the exported file model.int8.onnx.",
        "RTF: seconds of decoding for one second of audio in stage 12, with reading and front end. It counts on the "
        "machine and on what else ran there.",
        "vs teacher: WER minus that of the teacher, in points.",
    ]
    if results.by_start:
        lines += [
            "start: what the training began with: scratch = random values, encrl = a student aligned with the "
            "teacher, teacher = layers copied from the teacher (the teacher itself: random values); with _only at the "
            "end: decoded as that left it, without finetuning.",
            "vs scratch: 100 * (WER - WER of the same model trained from scratch) / the latter; negative = fewer "
            "errors.",
        ]
    if any(system.compare_to for system in results.systems):
        lines.append("difference: error rate minus that of the system compared to, in points; negative = fewer errors.")
    if any(len(system.runs) > 1 for system in results.systems):
        lines.append(
            "Several seeds: rates and seconds are means over the seeds; 'seeds' = lowest to highest WER (number of "
            "seeds). For the intervals the errors of every speaker are averaged over the seeds first."
        )
    if results.published_sets:
        lines.append(
            f"published: error rate (%) in the paper, on {' / '.join(results.published_sets)}. Other data, so not "
            f"comparable with the numbers measured here; only orders and relative gains can be held against each other."
        )
    lines.append(
        f"MMACs/s: million multiply-accumulates per second of speech, encoder and CTC layer, for an utterance of "
        f"{SPEECH_SEC} s (attention grows with the square of the length, so longer ones cost more per second)."
    )
    return lines


def _costs(results: Results) -> list[str]:
    lines = [
        "training: seconds of the trainer (training and validation of all epochs), own plus the share of EncRL; the "
        "teacher's training is in its own row and column only."
    ]
    runs = [run for system in results.systems for run in system.runs]
    encrl_runs: dict = {run.lineage.encrl.exp_dir: run.lineage.encrl for run in runs if run.lineage.encrl}
    encrl: Training
    for encrl in encrl_runs.values():
        count = len(encrl.students)
        lines.append(
            f"EncRL of {', '.join(encrl.students)} ({encrl.exp_dir.name}) took {seconds(encrl.seconds)} s together"
            f"{f', {seconds(encrl.cache_sec)} s of it for the teacher cache' if encrl.cache_sec else ''}; "
            f"each is charged {seconds(encrl.seconds / count)} s."
        )
    return lines
