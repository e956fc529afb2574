r"""Where a step of EncRL spends its time: the operators with the largest shares, released procedure and ours.

One step after a warm-up, of the procedures of benchmarks/encrl_step.py, under torch.profiler.

Run: python3 benchmarks/encrl_profile.py --data_dir egs2/mini_librispeech/encrl1/dump/raw/train_clean_5 \
         --output docs/results/performance/profile_cpu.md
"""

import argparse
import random
import tempfile
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from encrl_step import MEANING, load_audio, procedures
from espnet_ext.errors import run_main
from espnet_ext.files import atomic
from espnet_ext.report.markdown import layout
from espnet_ext.report.table import Table

SHOWN = ("a1", "b", "c")


def shares(procedure, device: str) -> tuple[dict[str, float], float]:
    """Returns each operator's share of the time of one step, without what it calls, and the seconds of the step."""
    batches = list(procedure.batches(random.Random(0)))
    procedure.step(batches[0])
    activity = ProfilerActivity.CUDA if device == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiler:
        procedure.step(batches[0])
    times = {
        event.key: event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
        for event in profiler.key_averages()
    }
    total = sum(times.values())
    return {name: time / total for name, time in times.items()}, total / 1e6


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="Formatted set (stages 1-5), e.g. dump/raw/train")
    parser.add_argument("--batch_size", type=int, default=16, help="Utterances")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--top", type=int, default=12, help="Operators shown of each procedure")
    parser.add_argument("--output", type=Path, required=True, help="Markdown file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    audio = load_audio(args.data_dir, args.batch_size, args.device, 0)
    measured = {}
    with tempfile.TemporaryDirectory() as directory:
        makers = procedures(audio, args.batch_size, args.device, Path(directory) / "teacher")
        for name in SHOWN:
            measured[name] = shares(makers[name]()[0], args.device)
    shown = {op for share, _ in measured.values() for op in sorted(share, key=share.get)[-args.top :]}
    order = sorted(shown, key=lambda op: -max(share.get(op, 0.0) for share, _ in measured.values()))
    table = Table(["operator", *SHOWN], [], 1)
    for op in order:
        table.rows.append([op, *(f"{100 * share.get(op, 0.0):.1f} %" for share, _ in measured.values())])
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{args.threads} CPU thread(s)"
    text = [
        "# Where a step of EncRL spends its time",
        f"One step over a batch of about {args.batch_size} utterances, {where}, torch {torch.__version__}; shares of "
        "the time of all operators, each without what it calls. Made by `benchmarks/encrl_profile.py`.",
        "\n".join(f"- {name}: {MEANING[name]} ({seconds:.1f} s)" for name, (_, seconds) in measured.items()),
        layout(table),
    ]
    with atomic(args.output) as temporary:
        temporary.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    print("\n\n".join(text))


if __name__ == "__main__":
    run_main(main)
