r"""What a pass of EncRL over some utterances costs: the released procedure and ours, side by side in one process.

Every round runs all procedures once, in turn, on the same utterances and models of the same size (the paper's); ratios
are taken within a round. Weights are random: time does not depend on them.

    a1  released procedure, 6 layers (of which the paper cuts its 4- and 2-layer models)
    a2  released procedure once for each of 6, 4 and 2 layers
    b1  ours, live teacher, one run for each of 6, 4 and 2 layers
    b   ours, live teacher, the three students in one run
    c   ours, cached teacher, the three students in one run

The released procedure is written plainly below, from arXiv 2505.16991 and its code (etf4asr, pretrain_for_ASR.py):
random batches padded to the longest, the teacher in train mode, float32, no cache.

Run: python3 benchmarks/encrl_step.py --data_dir egs2/mini_librispeech/encrl1/dump/raw/train_clean_5 \
         --output docs/results/performance/encrl_step
The released batches hold 64 utterances; with a GPU: --device cuda --batch_size 64 --utterances 512.
"""

import argparse
import csv
import itertools
import math
import random
import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.tasks.asr import ASRTask
from torch import Tensor

import espnet_ext.autoload  # noqa: F401  (registers the paper's encoder)
from espnet_ext.config import read_config
from espnet_ext.data.sets import DecodingSet
from espnet_ext.encrl.model import ESPnetEncRLModel
from espnet_ext.encrl.task import EncRLTask
from espnet_ext.encrl.trainer import StudentGradients
from espnet_ext.errors import UserError, run_main
from espnet_ext.files import atomic
from espnet_ext.teachers.cache import ENCODER

STUDENTS = ("e6", "e4", "e2")
ROOT = Path(__file__).parents[1]
MEBIBYTE = 2**20


class Released:
    """One student by the released procedure."""

    def __init__(self, teacher: ESPnetASRModel, student: ESPnetASRModel, audio: dict[str, Tensor], batch_size: int):
        self.teacher = teacher.train().requires_grad_(False)  # never put into eval()
        self.student = student.train()
        self.audio, self.batch_size = audio, batch_size
        self.optimizer = torch.optim.AdamW(student.parameters(), lr=1e-5)

    def batches(self, shuffle: random.Random) -> Iterator[list[str]]:
        """Random batches of a fixed number of utterances."""
        names = sorted(self.audio)
        shuffle.shuffle(names)
        yield from (names[i : i + self.batch_size] for i in range(0, len(names), self.batch_size))

    def step(self, names: list[str]) -> None:
        """One update."""
        speech, lengths = pad([self.audio[name] for name in names])
        theirs, _ = self.teacher.encode(speech, lengths)
        ours, _ = self.student.encode(speech, lengths)
        pooled_ours, pooled_theirs = ours.mean(dim=1), theirs.mean(dim=1)  # padding included, not normalised
        logits = pooled_ours @ pooled_theirs.T / 0.07
        labels = torch.arange(len(names), device=speech.device)
        clip = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
        mse = F.mse_loss(self.student.ctc.ctc_lo(ours).log_softmax(-1), self.teacher.ctc.ctc_lo(theirs).log_softmax(-1))
        (clip + mse).backward()
        torch.nn.utils.clip_grad_value_(self.student.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


class Ours:
    """Any number of students by ours; batches of similar lengths that hold as much audio as the released ones."""

    def __init__(self, model: ESPnetEncRLModel, audio: dict[str, Tensor], batch_size: int, cached: bool):
        self.model, self.audio = model.train(), audio
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
        self.clipped = StudentGradients(
            model, model.student_parts(), model.skipped_updates, model.broken_losses, 5.0, 2.0, _Unheard()
        )
        self.samples = int(batch_size * statistics.mean(len(signal) for signal in audio.values()))
        self.cache = self._fill_cache() if cached else None

    @torch.no_grad()
    def _fill_cache(self) -> dict[str, Tensor]:
        teacher = self.model.teacher
        cache = {}
        for name, signal in self.audio.items():
            feats = self.model._features(signal[None], torch.tensor([len(signal)], device=signal.device))
            cache[name] = teacher(*feats, ["encoder"]).encoder[0].cpu()
        return cache

    def batches(self, shuffle: random.Random) -> Iterator[list[str]]:
        """Batches of similar lengths, padding counted, in random order."""
        batches, batch = [], []
        for name in sorted(self.audio, key=lambda name: len(self.audio[name])):
            if batch and (len(batch) + 1) * len(self.audio[name]) > self.samples:
                batches.append(batch)
                batch = []
            batch.append(name)
        batches.append(batch)
        shuffle.shuffle(batches)
        yield from batches

    def step(self, names: list[str]) -> None:
        """One update."""
        speech, lengths = pad([self.audio[name] for name in names])
        extra = {}
        if self.cache is not None:
            encoder, frames = pad([self.cache[name] for name in names])
            extra = {ENCODER: encoder.to(speech.device), f"{ENCODER}_lengths": frames.to(speech.device)}
        loss, _, _ = self.model(speech=speech, speech_lengths=lengths, utt_id=names, **extra)
        loss.squeeze().backward()
        torch.nn.utils.clip_grad_norm_(self.clipped.parameters(), float("inf"))
        self.optimizer.step()
        self.optimizer.zero_grad()


class _Unheard:
    """Takes the gradient norms that ESPnet's reporter would average."""

    def register(self, stats: dict) -> None:
        """Drops them."""


def pad(signals: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Returns the signals padded with zeros, (B, longest, ...), and their lengths, (B,)."""
    lengths = torch.tensor([len(signal) for signal in signals], device=signals[0].device)
    return torch.nn.utils.rnn.pad_sequence(signals, batch_first=True), lengths


def load_audio(data_dir: Path, utterances: int, device: str, seed: int) -> dict[str, Tensor]:
    """Reads randomly chosen utterances, (samples,) each."""
    data = DecodingSet.open(data_dir)
    if len(data.samples) < utterances:
        raise UserError(f"{data_dir} has {len(data.samples)} utterances; lower --utterances {utterances}")
    names = random.Random(seed).sample(sorted(data.samples), utterances)
    return {name: data.read(name).float().to(device) for name in names}


def model_conf(layers: str) -> dict:
    """Returns the paper's network, with our front end, for 256 tokens."""
    return {**read_config(str(ROOT / f"conf/paper/students.yaml#{layers}")), "token_list": [str(i) for i in range(256)]}


def build(name: str, device: str) -> ESPnetASRModel:
    """Builds a stock model of the paper's network."""
    args = {**vars(ASRTask.get_parser().parse_args([])), **model_conf(name), "normalize": None}
    return ASRTask.build_model(Namespace(**args)).to(device)


def build_ours(students: tuple[str, ...], teacher: Path, device: str) -> ESPnetEncRLModel:
    """Builds our model with our default criteria and SpecAugment."""
    encrl = read_config(str(ROOT / "conf/encrl.yaml"))
    confs = {name: {k: v for k, v in model_conf(name).items() if k != "token_list"} for name in students}
    args = {
        **vars(EncRLTask.get_parser().parse_args([])),
        **{key: encrl[key] for key in ("criteria", "specaug", "specaug_conf")},
        "students": confs,
        "teacher": str(teacher),
        "token_list": model_conf("e12")["token_list"],
        "normalize": None,
    }
    model = EncRLTask.build_model(Namespace(**args)).to(device)
    model.teacher.model.to(device)
    return model


def run_pass(procedures: list, device: str, seed: int, warm_up: bool) -> tuple[float, float, float]:
    """Runs a pass over the utterances for each of the procedures, or a batch to warm up.

    Returns:
        Seconds, share of padding in the batches, peak memory of the GPU in MiB (nan on the CPU, where the allocator
        keeps what the pass before has freed).
    """
    audio, padded = 0, 0
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    for procedure in procedures:
        for names in itertools.islice(procedure.batches(random.Random(seed)), 1 if warm_up else None):
            procedure.step(names)
            lengths = [len(procedure.audio[name]) for name in names]
            audio, padded = audio + sum(lengths), padded + max(lengths) * len(lengths)
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    memory = torch.cuda.max_memory_allocated() / MEBIBYTE if device == "cuda" else math.nan
    return seconds, 1 - audio / padded, memory


def procedures(audio: dict[str, Tensor], batch_size: int, device: str, directory: Path) -> dict[str, Callable]:
    """Returns what makes each procedure, by name; made anew each time, so that no one's memory is another's."""
    teacher = build("e12", "cpu")
    directory.mkdir()
    config = {**vars(ASRTask.get_parser().parse_args([])), **model_conf("e12"), "normalize": None}
    (directory / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    torch.save(teacher.state_dict(), directory / "valid.cer_ctc.ave.pth")

    def released(*students: str) -> list:
        return [Released(build("e12", device), build(name, device), audio, batch_size) for name in students]

    def ours(*runs: tuple[str, ...], cached: bool = False) -> list:
        return [Ours(build_ours(students, directory, device), audio, batch_size, cached) for students in runs]

    return {
        "a1": lambda: released("e6"),
        "a2": lambda: released(*STUDENTS),
        "b1": lambda: ours(*((name,) for name in STUDENTS)),
        "b": lambda: ours(STUDENTS),
        "c": lambda: ours(STUDENTS, cached=True),
    }


MEANING = {
    "a1": "released procedure, 6 layers",
    "a2": "released procedure, 6 + 4 + 2 layers, one after another",
    "b1": "ours, live teacher, 6 + 4 + 2 layers, one after another",
    "b": "ours, live teacher, three students in one run",
    "c": "ours, cached teacher, three students in one run",
}
RATIOS = (("b", "b1"), ("c", "b1"), ("a2", "c"), ("a1", "c"))


def write_tables(results: dict[str, list], args: Namespace, hours: float, output: Path) -> None:
    """Writes `<output>.csv` with every pass and `<output>.md` with medians and ratios."""
    with atomic(output.with_suffix(".csv")) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("procedure", "round", "audio_sec", "seconds", "padding_share", "peak_memory_mib"))
        for name, passes in results.items():
            writer.writerows(
                (name, i, f"{hours * 3600:.1f}", *(f"{value:.4f}" for value in one)) for i, one in enumerate(passes, 1)
            )
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{args.threads} CPU threads"
    lines = [
        "# A pass of EncRL",
        "",
        f"{args.utterances} utterances ({hours * 60:.1f} min of audio) of {args.data_dir.name}, batches of about "
        f"{args.batch_size}, {where}, torch {torch.__version__}, median of {args.rounds} rounds. Students of 6, 4 and "
        "2 layers and a teacher of 12, the paper's network with 256 tokens. Made by `benchmarks/encrl_step.py`.",
        "",
        "| | procedure | s / pass | s / hour of audio | utterances / s | padding | GPU memory, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, passes in results.items():
        seconds, padding, memory = (statistics.median(column) for column in zip(*passes, strict=True))
        lines.append(
            f"| {name} | {MEANING[name]} | {seconds:.1f} | {seconds / hours:.0f} | {args.utterances / seconds:.2f} | "
            f"{100 * padding:.1f} % | {memory:.0f} |"
        )
    lines += ["", "| ratio of seconds | median | least | most |", "|---|---|---|---|"]
    for one, other in RATIOS:
        ratios = [a[0] / b[0] for a, b in zip(results[one], results[other], strict=True)]
        lines.append(f"| {one} / {other} | {statistics.median(ratios):.2f} | {min(ratios):.2f} | {max(ratios):.2f} |")
    with atomic(output.with_suffix(".md")) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def main() -> None:
    """Runs the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="Formatted set (stages 1-5), e.g. dump/raw/train")
    parser.add_argument("--utterances", type=int, default=48)
    parser.add_argument("--batch_size", type=int, default=16, help="Utterances; the released procedure has 64")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="Tables are written to <output>.md and <output>.csv")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    audio = load_audio(args.data_dir, args.utterances, args.device, args.seed)
    hours = sum(len(signal) for signal in audio.values()) / 16000 / 3600
    results: dict[str, list] = {name: [] for name in MEANING}
    with tempfile.TemporaryDirectory() as directory:
        makers = procedures(audio, args.batch_size, args.device, Path(directory) / "teacher")
        for number in range(args.rounds + 1):  # the first is a warm-up
            for name, make in makers.items():
                result = run_pass(make(), args.device, args.seed + number, warm_up=number == 0)
                if number:
                    results[name].append(result)
                print(f"round {number}/{args.rounds}  {name}  {result[0]:.1f} s", flush=True)
    write_tables(results, args, hours, args.output)


if __name__ == "__main__":
    run_main(main)
