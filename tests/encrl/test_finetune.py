"""Training of one stock model by criteria: equal to ESPnet's where they say the same, stock in what it leaves."""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
import yaml
from espnet2.tasks.asr import ASRTask

from espnet_ext.encrl.finetune import CriteriaTask
from espnet_ext.encrl.students import ENCRL_KEYS
from espnet_ext.errors import UserError
from tests.tiny import TOKENS, make_batch, model_conf, save_experiment
from tests.trainings import make_data, options

CTC = "[{loss: ctc, conf: {per_frame: false}}]"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = make_data(tmp_path_factory.mktemp("data"))
    state = torch.load(save_experiment(root / "e1", 3, **yaml.safe_load((root / "e1.yaml").read_text())) / STOCK)
    torch.save(state, root / "start.pth")
    return root


STOCK = "valid.cer_ctc.ave.pth"


def train(module: str, data: Path, output_dir: Path, *more: str, epochs: int = 2) -> dict:
    """Trains the student e1; returns the tensors of the last epoch."""
    words = [f"--config={data}/e1.yaml", f"--init_param={data}/start.pth", "--use_preprocessor", "true", *more]
    words += ["--best_model_criterion", "valid,cer_ctc,min", "--output_dir", str(output_dir)]
    command = [sys.executable, "-m", module, *options(data, epochs), *words]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    return torch.load(output_dir / f"{epochs}epoch.pth")


@pytest.mark.slow
def test_plain_ctc_ends_as_espnets_own_training(data, tmp_path):
    """Same batches, start, clipped gradients: same weights; a run that was stopped goes on."""
    theirs = train("espnet2.bin.asr_train", data, tmp_path / "espnet", "--grad_clip", "0.1")
    words = ("espnet_ext.encrl.finetune", data, tmp_path / "ours", "--criteria", CTC, "--grad_clip", "0.1")
    train(*words, epochs=1)
    ours = train(*words)
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, rtol=1e-4, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")
    start = torch.load(data / "start.pth")
    assert not torch.allclose(ours["ctc.ctc_lo.weight"], start["ctc.ctc_lo.weight"])
    configs = [yaml.safe_load((tmp_path / f"{run}/config.yaml").read_text()) for run in ("espnet", "ours")]
    differing = {key for key in configs[0] | configs[1] if configs[0].get(key) != configs[1].get(key)}
    assert differing <= {"output_dir", "max_epoch", "resume"} and configs[1]["token_list"] == TOKENS
    losses = [
        torch.load(tmp_path / f"{run}/checkpoint.pth")["reporter"]["stats"][2]["valid"]["loss"]
        for run in ("espnet", "ours")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.slow
def test_what_distillation_leaves_is_a_stock_experiment(data, tmp_path):
    criteria = "[{loss: ctc}, {loss: kld, on: log_probs}, {loss: cosine, on: encoder}]"
    exp = tmp_path / "exp"
    train("espnet_ext.encrl.finetune", data, exp, "--criteria", criteria, "--teacher", f"{data}/teacher")
    config = yaml.safe_load((exp / "config.yaml").read_text())
    assert not set(ENCRL_KEYS) & config.keys()
    model, _ = ASRTask.build_model_from_file(exp / "config.yaml", exp / STOCK)
    state = torch.load(exp / STOCK)
    assert state.keys() == model.state_dict().keys() == torch.load(data / "start.pth").keys()
    stats = torch.load(exp / "checkpoint.pth")["reporter"]["stats"][2]
    assert {"ctc", "kld", "cosine", "loss", "cer_ctc"} <= stats["valid"].keys()


def build(criteria: list[dict], conf: dict, **changes) -> torch.nn.Module:
    args = vars(CriteriaTask.get_parser().parse_args([]))
    return CriteriaTask.build_model(Namespace(**args | conf | {"token_list": TOKENS, "criteria": criteria} | changes))


def test_no_teacher_is_loaded_where_none_is_needed():
    model = build([{"loss": "ctc"}], model_conf(1), teacher="does/not/exist")
    assert model.teacher is None
    with pytest.raises(UserError, match="does/not/exist"):
        build([{"loss": "kld", "on": "log_probs"}], model_conf(1), teacher="does/not/exist")


def test_tensors_have_stock_names_with_and_without_a_front_end_in_common(tmp_path):
    teacher = str(save_experiment(tmp_path / "teacher", **model_conf(2)))
    for criteria in ([{"loss": "ctc"}], [{"loss": "kld", "on": "log_probs"}]):
        model = build(criteria, model_conf(1), teacher=teacher)
        stock = ASRTask.build_model(
            Namespace(**vars(ASRTask.get_parser().parse_args([])) | model_conf(1) | {"token_list": TOKENS})
        )
        assert model.state_dict().keys() == stock.state_dict().keys()
        model.load_state_dict(stock.state_dict())
        assert all(torch.equal(value, stock.state_dict()[key]) for key, value in model.state_dict().items())
        with pytest.raises(RuntimeError, match="Missing"):
            model.load_state_dict({})


def test_criteria_with_weights_of_their_own_are_refused(tmp_path):
    teacher = str(save_experiment(tmp_path / "teacher", **model_conf(2, output_size=12)))
    for criterion in ({"loss": "cosine", "on": "encoder"}, {"loss": "clip", "on": "encoder"}):
        with pytest.raises(
            UserError, match=f"criterion '{criterion['loss']}' learns weights of its own.*--encrl_config"
        ):
            build([criterion], model_conf(1), teacher=teacher)
    build([{"loss": "kld", "on": "log_probs"}], model_conf(1), teacher=teacher)(**make_batch())
