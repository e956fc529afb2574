"""A warm-up that is longer than its training is found before the first epoch ends, and no configuration advises one."""

import re
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from espnet_ext.config import read_config
from espnet_ext.report.follow import Display

CONF = Path(__file__).parents[1] / "conf"
# Samples of a pass over librispeech_100 with speeds 0.9, 1 and 1.1, the least data that these configurations are for.
LIBRISPEECH_100 = 304 * 3600 * 16000
NOW = datetime(2026, 1, 1)


@pytest.fixture
def shown(tmp_path, capsys):
    """Shows the start of a training with some options as `progress` does for teacher, EncRL, finetuning and scratch."""

    def run(batches: int, **options) -> str:
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({"max_epoch": 30, "accum_grad": 1} | options))
        display = Display("e6 scratch", tmp_path / "train.log", is_terminal=False)
        sampler = f"[train] Batch sampler: NumElementsBatchSampler(N-batch={batches}, batch_bins=64000000)"
        for text in (sampler, "1/30epoch started"):
            display.line(f"[host] 2026-01-01 00:00:00,000 (abs_task:1) INFO: {text}\n", NOW)
        display.close()
        return capsys.readouterr().out

    return run


def warmup(steps: int | None = None, scheduler: str = "warmuplr") -> dict:
    return {"scheduler": scheduler, "scheduler_conf": {} if steps is None else {"warmup_steps": steps}}


def test_a_warm_up_longer_than_the_training_is_a_warning(shown, tmp_path):
    """As librispeech_100 from scratch with --batch_bins 64000000 had."""
    out = shown(273, **warmup(10000))
    assert out.startswith(
        "warning: e6 scratch: the learning rate warms up for 10000 updates and the whole training has 8190"
    )
    assert (
        "--scheduler_conf warmup_steps=1638 (in --teacher_args, --encrl_args, --finetune_args or --scratch_args)" in out
    )
    assert shown(273, **warmup(8189)) == shown(1092, **warmup(10000)) == ""


@pytest.mark.parametrize(
    "options",
    [
        warmup(1000) | {"accum_grad": 10},
        warmup(1000) | {"num_iters_per_epoch": 30},
        warmup(1000) | {"max_epoch": 3},
        warmup(),  # ESPnet's own value, 25000
        warmup(scheduler="noamlr"),
        warmup(3000, "warmupsteplr"),
        {"scheduler": "piecewiselinearwarmuplr", "scheduler_conf": {"warmup_steps_list": [0, 100, 4000]}},
    ],
)
def test_whatever_makes_it_longer(shown, options):
    assert "so it never gets there" in shown(100, **options)


def test_no_advice_to_do_what_is_done(shown):
    assert "warning" not in shown(1, max_epoch=1, **warmup(1))
    assert "warmup_steps=1 " in shown(1, max_epoch=1, **warmup(2))


@pytest.mark.parametrize("options", [{"scheduler": None}, {"scheduler": "steplr", "scheduler_conf": {"step_size": 1}}])
def test_a_training_without_warm_up_needs_no_warning(shown, options):
    assert shown(1, **options) == ""


@pytest.mark.parametrize("kind", ["teacher", "encrl", "finetune", "scratch"])
def test_advice_for_many_gpus_leaves_room_for_the_warm_up(kind):
    path = CONF / f"{kind}.yaml"
    config, text = read_config(path), path.read_text()
    advised = re.search(rf'--{kind}_args "--batch_bins (\d+) --scheduler_conf warmup_steps=(\d+)"', text)
    assert advised, "larger batches need another warm-up"
    bins, steps = map(int, advised.groups())
    usual = config["scheduler_conf"]["warmup_steps"]
    assert steps == usual * config["batch_bins"] // bins  # warm for as many epochs
    for batch, warm in ((bins, steps), (config["batch_bins"], usual)):
        assert 2 * warm < LIBRISPEECH_100 / batch * config["max_epoch"]
