"""An exported student is a stock ESPnet model."""

import subprocess
import sys
from argparse import Namespace

import pytest
import torch
import yaml
from espnet2.tasks.asr import ASRTask

from espnet_ext.encrl.export import export_student
from espnet_ext.encrl.task import EncRLTask
from espnet_ext.errors import UserError
from tests.tiny import TOKENS, make_batch, model_conf, save_experiment

# Decodes with the stock recogniser in a process where the extension cannot be imported.
STOCK = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "espnet_ext":
            raise ImportError(name)
sys.meta_path = [Refuse(), *(f for f in sys.meta_path if "espnet_ext" not in type(f).__module__)]
for name in [n for n in sys.modules if n.split(".")[0] == "espnet_ext"]:
    del sys.modules[name]
import torch
from espnet2.bin.asr_inference import Speech2Text
recognise = Speech2Text(sys.argv[1], sys.argv[2], token_type="char", ctc_weight=1.0, beam_size=1)
speech = torch.load(sys.argv[3])
with torch.no_grad():
    out, lengths = recognise.asr_model.encode(speech, torch.tensor([speech.size(1)]))
    torch.save(recognise.asr_model.ctc.log_softmax(out), sys.argv[4])
recognise(speech[0])
assert not any(n.split(".")[0] == "espnet_ext" for n in sys.modules)
"""


@pytest.fixture(scope="module")
def encrl_run(tmp_path_factory):
    """A run of one step with a narrower student, so that a projection exists."""
    root = tmp_path_factory.mktemp("run")
    teacher = save_experiment(root / "teacher", **model_conf(3))
    args = vars(EncRLTask.get_parser().parse_args([]))
    args |= {"token_list": TOKENS, "teacher": str(teacher), "normalize": None}
    args["students"] = {"narrow": model_conf(2, output_size=4), "e1": model_conf(1)}
    args = Namespace(**args)
    torch.manual_seed(0)
    model = EncRLTask.build_model(args).eval()
    exp = root / "encrl"
    exp.mkdir()
    (exp / "config.yaml").write_text(yaml.safe_dump({**vars(args), "best_model_criterion": []}), encoding="utf-8")
    torch.save(model.state_dict(), exp / "valid.narrow_loss.ave.pth")
    return exp, model


@pytest.mark.slow
def test_exported_student_decodes_without_the_extension(encrl_run, tmp_path):
    exp, model = encrl_run
    path = export_student(exp, "narrow", None, tmp_path)
    state = torch.load(path)
    assert not any(word in key for key in state for word in ("projection", "teacher", "students", "losses"))
    speech = make_batch()["speech"][:1]
    torch.save(speech, tmp_path / "speech.pt")
    files = [tmp_path / "config.yaml", path, tmp_path / "speech.pt", tmp_path / "out.pt"]
    subprocess.run([sys.executable, "-c", STOCK, *map(str, files)], check=True)
    student = model.students["narrow"]
    with torch.no_grad():
        feats, lengths = model._features(speech, torch.tensor([speech.size(1)]))
        expected = student.ctc.log_softmax(student.encode(feats, lengths)[0])
    torch.testing.assert_close(torch.load(tmp_path / "out.pt"), expected)


def test_config_is_a_stock_config(encrl_run, tmp_path):
    export_student(encrl_run[0], "e1", "valid.narrow_loss.ave.pth", tmp_path)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert not {"teacher", "students", "criteria"} & set(config)
    assert config["encoder_conf"]["num_blocks"] == 1
    ASRTask.build_model_from_file(tmp_path / "config.yaml", tmp_path / "model.pth")


def test_bad_requests_are_named(encrl_run, tmp_path):
    exp, _ = encrl_run
    with pytest.raises(UserError, match="no student 'e2'; valid names: e1, narrow"):
        export_student(exp, "e2", None, tmp_path)
    with pytest.raises(UserError, match="has not finished"):
        export_student(exp, "e1", None, tmp_path)
    assert not (tmp_path / "model.pth").exists()


def test_the_tokens_themselves_are_in_the_configuration(encrl_run, tmp_path):
    """A training names the file of their list, which does not travel with a model."""
    exp, _ = encrl_run
    told = yaml.safe_load((exp / "config.yaml").read_text())
    (tmp_path / "tokens.txt").write_text("".join(f"{token}\n" for token in TOKENS))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(told | {"token_list": str(tmp_path / "tokens.txt")}))
    (tmp_path / "valid.narrow_loss.ave.pth").symlink_to(exp / "valid.narrow_loss.ave.pth")
    export_student(tmp_path, "narrow", None, tmp_path / "student")
    assert yaml.safe_load((tmp_path / "student/config.yaml").read_text())["token_list"] == TOKENS
