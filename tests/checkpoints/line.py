"""A training of milliseconds: ESPnet's own trainer fits a line. Run by `tests.checkpoints.kill_points` as a command."""

import argparse
import dataclasses
from pathlib import Path

import torch
import yaml
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.train.abs_espnet_model import AbsESPnetModel
from espnet2.train.distributed_utils import DistributedOption
from espnet2.train.trainer import Trainer, TrainerOptions

import espnet_ext.autoload  # noqa: F401  (also where the package is not installed)

CRITERIA = [["valid", "loss", "min"]]


class Line(AbsESPnetModel):
    """Fits y = 2 x with one weight."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)

    def forward(self, x, utt_id):
        loss = (self.linear(x) - 2 * x).square().mean()
        return loss, {"loss": loss.detach()}, torch.tensor(len(utt_id))

    def collect_feats(self, **batch):
        raise NotImplementedError


class Batches(AbsIterFactory):
    """Three batches of two utterances, the same in every epoch."""

    def __init__(self, value: float):
        self.value = value

    def build_iter(self, epoch, shuffle=None):
        return [(["a", "b"], {"x": torch.tensor([[1.0], [self.value + n]])}) for n in range(3)]


def train(exp_dir: Path, max_epoch: int, value: float = 1.0, keep: int = 2) -> None:
    """Runs or resumes a training; writes config.yaml as ESPnet's task does."""
    exp_dir.mkdir(exist_ok=True, parents=True)
    config = {"best_model_criterion": CRITERIA, "keep_nbest_models": keep, "max_epoch": max_epoch, "accum_grad": 1}
    (exp_dir / "config.yaml").write_text(yaml.safe_dump(config))
    defaults = {"float": 0.0, "bool": False, "int": 0, "str": ""}
    options = {f.name: defaults.get(getattr(f.type, "__name__", "")) for f in dataclasses.fields(TrainerOptions)}
    options |= config | {
        "resume": True, "grad_clip": 5.0, "grad_clip_type": 2.0, "train_dtype": "float32", "seed": 0,
        "output_dir": exp_dir, "early_stopping_criterion": CRITERIA[0], "val_scheduler_criterion": CRITERIA[0][:2],
    }  # fmt: skip
    torch.manual_seed(0)
    model = Line()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    Trainer.run(
        model=model, optimizers=[optimizer], schedulers=[None], train_iter_factory=Batches(value),
        valid_iter_factory=Batches(value), plot_attention_iter_factory=None,
        trainer_options=Trainer.build_options(argparse.Namespace(**options)), distributed_option=DistributedOption(),
    )  # fmt: skip


def main(cmd: list[str]) -> None:
    """Trains three epochs; `--output_dir` is the only option."""
    train(Path(cmd[-1]), 3)
