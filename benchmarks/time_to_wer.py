r"""When students by EncRL reach the error rate that training from scratch reaches, everything counted.

Reads finished experiments: for each student one trained from scratch and one by EncRL and finetuning. The error rate is
the validation CER of greedy decoding that the trainer reports after every epoch. The cost of EncRL is the teacher cache
(or live teacher) and EncRL up to the epoch in which a student, which can be decoded as it is (--finetune false), is as
good as the best one from scratch; where EncRL does not get there, all of EncRL and finetuning up to such an epoch. A
student by itself is charged the EncRL of all students, so its ratio is what it would at least be alone.

Run, in a recipe directory after ./run.sh --student_source "encrl scratch":
    python3 ../../../benchmarks/time_to_wer.py --expdir exp --students e6 e4 e2 --output exp/time_to_wer
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from espnet_ext.errors import UserError, run_main
from espnet_ext.files import atomic
from espnet_ext.report.lineage import Lineage, Training, trace

_CER = "cer_ctc"


@dataclass
class Curve:
    """Validation CER, percent, after some seconds of training."""

    seconds: list[float]
    cer: list[float]

    def time_to(self, cer: float) -> float | None:
        """Returns the seconds until the error rate is reached, None if it never is."""
        return next((second for second, value in zip(self.seconds, self.cer, strict=True) if value <= cer), None)


def curve(training: Training, key: str, start_sec: float) -> Curve:
    """Returns the error rates of a training that begins after `start_sec` seconds."""
    result, now = Curve([], []), start_sec
    for epoch in training.history:
        now += epoch.total_sec
        result.seconds.append(now)
        result.cer.append(100 * epoch.get("valid", key))
    return result


def find(expdir: Path, student: str, source: str, beside: Sequence[str]) -> Lineage:
    """Returns the one model of a student with a start; of several from scratch the one trained longest.

    Args:
        expdir: where the experiments are.
        student: its name.
        source: `scratch` or `encrl`.
        beside: students that its EncRL run must have trained; others do not count.

    Raises:
        UserError: there is none, or several.
    """
    found = []
    for path in sorted(expdir.glob(f"asr_{student}_*/lineage.yaml")):
        lineage = trace(path.parent, [])
        if lineage.encrl is not None and not set(beside) <= set(lineage.encrl.students):
            continue
        if lineage.model == student and lineage.start.startswith(source) and lineage.training.history:
            found.append(lineage)
    if source == "scratch":
        found = sorted(found, key=lambda lineage: -len(lineage.training.history))[:1]
    if len(found) != 1:
        names = ", ".join(one.training.exp_dir.name for one in found) or "none"
        raise UserError(f"{expdir}: one finished '{source}' training of {student} is needed, there is: {names}")
    return found[0]


def main() -> None:
    """Writes `<output>.md`, `.csv` and `.png`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--expdir", type=Path, default=Path("exp"))
    parser.add_argument("--students", nargs="+", default=["e6", "e4", "e2"])
    parser.add_argument("--output", type=Path, required=True, help="<output>.md, .csv and .png are written")
    args = parser.parse_args()
    rows, points, finetuning_sec, encrl_sec, scratch_sec, encrl = [], [], 0.0, 0.0, 0.0, None
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    for student, colour in zip(args.students, plt.rcParams["axes.prop_cycle"].by_key()["color"], strict=False):
        scratch, aligned = (find(args.expdir, student, source, args.students) for source in ("scratch", "encrl"))
        if aligned.encrl is None or (encrl is not None and aligned.encrl.exp_dir != encrl.exp_dir):
            raise UserError(f"{aligned.training.exp_dir}: the students must come from one EncRL run")
        encrl = aligned.encrl
        curves = {
            "from scratch": curve(scratch.training, _CER, 0.0),
            "EncRL": curve(encrl, f"{student}_{_CER}", encrl.cache_sec or 0.0),
            "finetuning": curve(aligned.training, _CER, encrl.seconds),
        }
        for (name, one), line in zip(curves.items(), (":", "--", "-"), strict=True):
            minutes = [second / 60 for second in one.seconds]
            axes.plot(minutes, one.cer, line, color=colour, marker="o", markersize=3, label=f"{student} {name}")
            points += [(student, name, f"{s:.1f}", f"{c:.2f}") for s, c in zip(one.seconds, one.cer, strict=True)]
        goal, full = min(curves["from scratch"].cer), scratch.training.seconds
        reached = curves["EncRL"].time_to(goal)
        if reached is None:
            reached, encrl_sec = curves["finetuning"].time_to(goal), encrl.seconds
            finetuning_sec += float("inf") if reached is None else reached - encrl.seconds
        else:
            encrl_sec = max(encrl_sec, reached)
        scratch_sec += full
        rows.append((student, goal, full, reached, min(curves["finetuning"].cer)))
    lines = [
        "# Time to the error rate from scratch",
        "",
        f"Validation CER by epoch; EncRL of {', '.join(args.students)} together: {len(encrl.history)} epochs, "
        f"{encrl.seconds:.0f} s"
        + (
            f", {encrl.cache_sec:.0f} s of them the teacher cache"
            if encrl.cache_sec is not None
            else "; what the teacher cache took is not known and not counted"
        )
        + ". Made by `benchmarks/time_to_wer.py`.",
        "",
        "| student | from scratch: best CER, % | seconds | EncRL (+ finetuning): seconds to it | ratio | best CER, % |",
        "|---|---|---|---|---|---|",
    ]
    for student, goal, full, reached, best in rows:
        shown = ("not reached", "-") if reached is None else (f"{reached:.0f}", f"{full / reached:.2f}")
        lines.append(f"| {student} | {goal:.1f} | {full:.0f} | {shown[0]} | {shown[1]} | {best:.1f} |")
    together = encrl_sec + finetuning_sec
    shown = ("not reached", "-") if together == float("inf") else (f"{together:.0f}", f"{scratch_sec / together:.2f}")
    lines.append(f"| all together | | {scratch_sec:.0f} | {shown[0]} | {shown[1]} | |")
    axes.set(xlabel="minutes of training", ylabel="validation CER, %", xscale="log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, handlelength=3)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.output.with_suffix(".png"), dpi=120, bbox_inches="tight")
    with atomic(args.output.with_suffix(".csv")) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows([("student", "training", "seconds", "cer_percent"), *points])
    with atomic(args.output.with_suffix(".md")) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    run_main(main)
