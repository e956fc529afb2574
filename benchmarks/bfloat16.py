r"""What `use_amp` saves on a CPU with bfloat16: an update with it and without, in turn, in one process.

Ratios are taken within a round, so what else the machine does changes them little. Weights and audio are random: time
does not depend on them. PyTorch prepares bfloat16 for each new shape of a batch, so both are measured: batches of one
shape, and of another shape each time.

Run: python3 benchmarks/bfloat16.py --output docs/results/performance/bfloat16.md \
         --rounds 8 egs2/mini_commands/encrl1/conf/teacher.yaml egs2/mini_commands/encrl1/conf/students.yaml#e4
"""

import argparse
import statistics
import time
from argparse import Namespace
from pathlib import Path

import torch
from espnet2.tasks.asr import ASRTask

import espnet_ext.autoload  # noqa: F401  (extends ESPnet's model and CTC)
from espnet_ext.config import read_config
from espnet_ext.errors import UserError, run_main
from espnet_ext.files import atomic
from espnet_ext.precision import autocast, has_bfloat16

RATE, TOKENS = 16000, 256
_MODEL = ("frontend_conf", "encoder", "encoder_conf", "model_conf", "specaug", "specaug_conf")


def build(config: str) -> torch.nn.Module:
    """Builds the model that a configuration describes, with random weights."""
    described = {key: value for key, value in read_config(config).items() if key in _MODEL}
    args = {**vars(ASRTask.get_parser().parse_args([])), **described, "normalize": None}
    args["token_list"] = [str(number) for number in range(TOKENS)]
    return ASRTask.build_model(Namespace(**args)).train()


def update(model: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: dict, use_amp: bool) -> float:
    """Does one update; returns its CPU seconds, of all threads."""
    start = time.process_time()
    with autocast("cuda", enabled=use_amp):
        loss = model(**batch)[0]
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.process_time() - start


def measure(config: str, args: argparse.Namespace, same: bool) -> tuple[float, float, list[float]]:
    """Returns the median seconds of float32 and bfloat16, and the ratio of each round."""
    torch.manual_seed(0)
    model = build(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    rounds = []
    for number in range(args.rounds + 1):  # the first is a warm-up
        samples = int(args.seconds * RATE)
        samples += 0 if same else int(torch.randint(-samples // 4, samples // 4, ()))
        batch = {
            "speech": 0.1 * torch.randn(args.batch_size, samples),
            "speech_lengths": torch.full((args.batch_size,), samples),
            "text": torch.randint(2, TOKENS - 1, (args.batch_size, 5)),
            "text_lengths": torch.full((args.batch_size,), 5),
        }
        order = (False, True) if number % 2 else (True, False)
        spent = {use_amp: update(model, optimizer, batch, use_amp) for use_amp in order}
        rounds.append((spent[False], spent[True]))
    rounds = rounds[1:]
    slow, fast = (statistics.median(column) for column in zip(*rounds, strict=True))
    return slow, fast, [one[1] / one[0] for one in rounds]


def main() -> None:
    """Measures each model and writes a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", help="Models: FILE or FILE#SECTION")
    parser.add_argument("--seconds", type=float, default=7.0, help="Length of utterances; where it varies, the middle")
    parser.add_argument("--batch_size", type=int, default=4, help="Utterances")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--output", type=Path, required=True, help="The table, in Markdown")
    args = parser.parse_args()
    if torch.cuda.is_available() or not has_bfloat16():
        raise UserError("this needs a CPU with avx512_bf16 or amx_bf16, and no GPU (CUDA_VISIBLE_DEVICES=)")
    torch.set_num_threads(args.threads)
    lines = [
        "# Bfloat16 on a CPU",
        "",
        f"CTC updates on {args.batch_size} utterances of {args.seconds} s, {args.threads} CPU threads, torch "
        f"{torch.__version__}, median of {args.rounds} rounds. Made by `benchmarks/bfloat16.py`.",
        "",
        "| model | shape of the batches | float32, CPU s | bfloat16, CPU s | ratio | least | most |",
        "|---|---|---|---|---|---|---|",
    ]
    for config in args.configs:
        for same, shape in ((True, "the same"), (False, "another each time")):
            slow, fast, ratios = measure(config, args, same)
            middle, least, most = statistics.median(ratios), min(ratios), max(ratios)
            lines.append(f"| {config} | {shape} | {slow:.3f} | {fast:.3f} | {middle:.2f} | {least:.2f} | {most:.2f} |")
            print(lines[-1], flush=True)
    with atomic(args.output) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_main(main)
