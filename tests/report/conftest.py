"""Experiment directories as ESPnet leaves them: real configuration, real model, real reporter, real scores."""

import argparse
import datetime
import warnings
from pathlib import Path

import pytest
import yaml

from espnet_ext.record import Record

INFERENCE_TAG = "decode"
REFERENCES = {f"utt{n}": "one two three four five six seven eight nine ten" for n in range(4)}


def _config(blocks: int, vocabulary: int = 7) -> dict:
    from espnet2.tasks.asr import ASRTask

    config = ASRTask.get_default_config()
    conf = {"output_size": 8, "attention_heads": 2, "linear_units": 16, "num_blocks": blocks, "input_layer": "conv2d"}
    token_list = ["<blank>", "<unk>", *map(str, range(vocabulary - 3)), "<sos/eos>"]
    return config | {
        "encoder": "conformer", "encoder_conf": conf, "token_list": token_list, "model_conf": {"ctc_weight": 1.0},
        "normalize": "global_mvn", "normalize_conf": {"stats_file": "exp/stats/nowhere.npz"},
    }  # fmt: skip


def _reporter(epochs: list[dict], seconds: float) -> dict:
    """Returns the state of a real reporter whose every epoch took `seconds` (90 % training, 10 % validation)."""
    from espnet2.train.reporter import Reporter

    reporter = Reporter()
    for number, stats in enumerate(epochs, 1):
        reporter.set_epoch(number)
        for phase, share in (("train", 0.9), ("valid", 0.1)):
            with warnings.catch_warnings(), reporter.observe(phase) as sub:
                sub.register(stats, weight=1)
                sub.next()
            reporter.stats[number][phase]["time"] = datetime.timedelta(seconds=share * seconds)
    return reporter.state_dict()


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe directory with a maker of experiment directories, as the current directory."""
    monkeypatch.chdir(tmp_path)
    return Recipe(tmp_path)


def record(folder: Path, model: str, source: str, parents: list[str]) -> None:
    """Writes the run.json of a finished training; `source` ends in `_only` where it had none of its own."""
    init = source.removesuffix("_only")
    content = {"kind": "student", "model": model, "init": init, "finetuned": init == source, "state": "finished"}
    made_of = {"config": {}, "arguments": [], "inputs": {}, "parents": dict.fromkeys(parents, "0" * 64)}
    Record(folder, content | {"made_of": made_of}).write()


class Recipe:
    """Makes what training, decoding and scoring leave behind."""

    def __init__(self, root: Path):
        self.root = root

    def train(self, name: str, blocks: int, epochs: list[dict], seconds: float, lineage: dict | None, **extra) -> Path:
        """Makes `exp/<name>`, with `extra` in its configuration; returns its path relative to the recipe."""
        import torch
        from espnet2.tasks.asr import ASRTask

        folder = self.root / "exp" / name
        folder.mkdir(parents=True)
        config = _config(blocks)
        (folder / "config.yaml").write_text(yaml.safe_dump(config | extra))
        model = ASRTask.build_model(argparse.Namespace(**config | {"normalize": None, "normalize_conf": {}}))
        states = {"model": model.state_dict(), "reporter": _reporter(epochs, seconds)}
        torch.save(states | {"optimizers": [], "schedulers": [], "scaler": None}, folder / "checkpoint.pth")
        if lineage is not None:
            record(folder, **lineage)
        return Path("exp") / name

    def score(
        self, exp_dir: Path, test_set: str, wrong_words: int, references: dict | None = None, speakers: int = 0
    ) -> None:
        """Decodes with `wrong_words` substitutions, from the first word on, and scores with the fallback scorer.

        With `speakers`, the utterances belong to that many speakers in turn.
        """
        from espnet_ext.score.by_jiwer import score_by_jiwer

        references = references or REFERENCES
        ref = self.root / "dump" / test_set / "text"
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text("".join(f"{name} {text}\n" for name, text in references.items()))
        owners = [f"{name} speaker{number % speakers}\n" for number, name in enumerate(references) if speakers]
        if owners:
            (ref.parent / "utt2spk").write_text("".join(owners))
        folder = self.root / exp_dir / INFERENCE_TAG / test_set
        folder.mkdir(parents=True)
        lines = []
        for name, text in references.items():
            words = text.split()
            for place in range(min(wrong_words, len(words))):
                words[place] = "wrong"
                wrong_words -= 1
            lines.append(f"{name} {' '.join(words)}\n")
        (folder / "text").write_text("".join(lines))
        score_by_jiwer(ref, folder)
