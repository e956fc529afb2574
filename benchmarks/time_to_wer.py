r"""When students by EncRL reach the error rate that training from scratch reaches, everything counted.

Reads finished experiments: for each student one trained from scratch and one by EncRL and finetuning. The error rate is
the validation CER of greedy decoding that the trainer reports after every epoch. The cost of EncRL is the teacher cache
(or live teacher) and EncRL up to the epoch in which a student, which can be decoded as it is (--finetune false), is as
good as the best one from scratch; where EncRL does not get there, all of EncRL and finetuning up to such an epoch. A
student by itself is charged the EncRL of all students, so its ratio is what it would at least be alone. From scratch
counts up to its best epoch: what it trained after that in vain does not. Every epoch of a training counts as much as
its median epoch, so that other work on the machine for a while changes nothing.

Run, in a recipe directory after ./run.sh --student_source "encrl scratch" (from scratch until it is no longer better,
e.g. with --scratch_args "--max_epoch 12"):
    python3 ../../../benchmarks/time_to_wer.py --expdir exp --students e6 e4 e2 --output exp/time_to_wer
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

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
    epoch_sec = median(epoch.total_sec for epoch in training.history)
    return Curve(
        [start_sec + number * epoch_sec for number in range(1, len(training.history) + 1)],
        [100 * epoch.get("valid", key) for epoch in training.history],
    )


def variant(model: Lineage) -> str:
    """Returns how a model began: `init` of its `run.json`, and what differs in EncRL, teacher and layers."""
    differs = [model.differs.get(key, "") for key in ("encrl_config", "teacher_config", "layer_selection")]
    return " ".join([model.start, *(word for word in differs if word not in ("", "last"))])


def find(expdir: Path, student: str, start: str, config: str = "") -> Lineage:
    """Returns the one model of a student with a start; of several from scratch the one trained longest.

    Args:
        expdir: where the experiments are.
        student: its name.
        start: as `variant` names it.
        config: a part of the experiment's name.

    Raises:
        UserError: there is none, or several.
    """
    paths = sorted(expdir.glob(f"asr_{student}_*/run.json"))
    found = [trace(path.parent, []) for path in paths if config in path.parent.name]
    found = [one for one in found if (one.model, variant(one)) == (student, start) and one.training.history]
    if start == "scratch":
        found = sorted(found, key=lambda lineage: -len(lineage.training.history))[:1]
    if len(found) != 1:
        names = ", ".join(one.training.exp_dir.name for one in found) or "none"
        raise UserError(
            f"{expdir}: one finished training of {student} with --start {start} is needed, there is: {names}"
        )
    return found[0]


def aligned_together(models: Sequence[Lineage]) -> Training | None:
    """Returns the EncRL run that all students come from; None where they had none.

    Raises:
        UserError: they come from several.
    """
    runs = {one.encrl.exp_dir if one.encrl else None for one in models}
    if len(runs) > 1:
        raise UserError(f"the students must come from one EncRL run, not of {', '.join(map(str, runs))}")
    return models[0].encrl


def main() -> None:
    """Writes `<output>.md`, `.csv` and `.png`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--expdir", type=Path, default=Path("exp"))
    parser.add_argument("--students", nargs="+", default=["e6", "e4", "e2"])
    parser.add_argument(
        "--start",
        default="encrl",
        help='How the finetuned students started, e.g. "encrl encrl_short": init and configurations in their run.json',
    )
    parser.add_argument(
        "--scratch_config", default="", help="Config that the models from scratch were trained with, where several were"
    )
    parser.add_argument("--output", type=Path, required=True, help="<output>.md, .csv and .png are written")
    args = parser.parse_args()
    rows, points, finetuning_sec, encrl_sec, scratch_sec = [], [], 0.0, 0.0, 0.0
    pairs = {
        student: (find(args.expdir, student, "scratch", args.scratch_config), find(args.expdir, student, args.start))
        for student in args.students
    }
    encrl = aligned_together([aligned for _, aligned in pairs.values()])
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    for (student, (scratch, aligned)), colour in zip(
        pairs.items(), plt.rcParams["axes.prop_cycle"].by_key()["color"], strict=False
    ):
        curves, encrl_end = {"from scratch": curve(scratch.training, _CER, 0.0)}, 0.0
        if encrl is not None:
            curves["EncRL"] = curve(encrl, f"{student}_{_CER}", encrl.cache_sec or 0.0)
            encrl_end = curves["EncRL"].seconds[-1]
        curves["finetuning"] = curve(aligned.training, _CER, encrl_end)
        for name, one in curves.items():
            line = {"from scratch": ":", "EncRL": "--", "finetuning": "-"}[name]
            minutes = [second / 60 for second in one.seconds]
            axes.plot(minutes, one.cer, line, color=colour, marker="o", markersize=3, label=f"{student} {name}")
            points += [(student, name, f"{s:.1f}", f"{c:.2f}") for s, c in zip(one.seconds, one.cer, strict=True)]
        goal = min(curves["from scratch"].cer)
        full = curves["from scratch"].time_to(goal)
        epochs = f"{curves['from scratch'].cer.index(goal) + 1} of {len(scratch.training.history)}"
        reached = curves["EncRL"].time_to(goal) if encrl is not None else None
        if reached is None:
            reached, encrl_sec = curves["finetuning"].time_to(goal), encrl_end
            finetuning_sec += float("inf") if reached is None else reached - encrl_end
        else:
            encrl_sec = max(encrl_sec, reached)
        scratch_sec += full
        best = min(cer for name, one in curves.items() if name != "from scratch" for cer in one.cer)
        rows.append((student, goal, epochs, full, reached, best))
    before = "no EncRL"
    if encrl is not None:
        cache = "what the teacher cache took is not known and not counted"
        if encrl.cache_sec is not None:
            cache = f"{encrl.cache_sec:.0f} s of them the teacher cache" if encrl.cache_sec else "live teacher"
        together = ", ".join(args.students)
        before = f"EncRL of {together} together: {len(encrl.history)} epochs, {encrl_end:.0f} s, {cache}"
    lines = [
        "# Time to the error rate from scratch",
        "",
        f"Validation CER by epoch; {before}. Made by `benchmarks/time_to_wer.py --start {args.start}"
        f"{f' --scratch_config {args.scratch_config}' if args.scratch_config else ''}`.",
        "",
        "| student | from scratch: best CER, % | in epoch | seconds "
        "| by EncRL and finetuning: seconds to it | ratio | best CER, % |",
        "|---|---|---|---|---|---|---|",
    ]
    for student, goal, epochs, full, reached, best in rows:
        shown = ("not reached", "-") if reached is None else (f"{reached:.0f}", f"{full / reached:.2f}")
        lines.append(f"| {student} | {goal:.1f} | {epochs} | {full:.0f} | {shown[0]} | {shown[1]} | {best:.1f} |")
    together = encrl_sec + finetuning_sec
    shown = ("not reached", "-") if together == float("inf") else (f"{together:.0f}", f"{scratch_sec / together:.2f}")
    lines.append(f"| all together | | | {scratch_sec:.0f} | {shown[0]} | {shown[1]} | |")
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
