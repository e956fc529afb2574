"""The code of docs/teachers.md works as it stands there."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torchaudio

from espnet_ext.teachers import Teacher
from espnet_ext.teachers import source as registry
from espnet_ext.teachers.load import identify
from espnet_ext.teachers.source import FAMILIES

PAGE = Path(__file__).parents[2] / "docs/teachers.md"
SAMPLES = [16000, 9001]


def blocks() -> dict[str, str]:
    """Returns the code that is marked on the page."""
    marked = re.findall(r"<!-- test: (\w+) -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert [name for name, _ in marked] == ["family", "entry", "use"]
    return dict(marked)


def test_the_family_of_the_page(tmp_path, monkeypatch):
    module = ModuleType("espnet_ext.teachers.torchaudio")
    code = blocks()
    exec(compile(code["family"], str(PAGE), "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(FAMILIES, "torchaudio", None)  # taken out again afterwards
    exec(compile(code["entry"], str(PAGE), "exec"), {"FAMILIES": FAMILIES, "Family": registry.Family})

    monkeypatch.chdir(tmp_path)
    conf = {
        "extractor_mode": "layer_norm",
        "extractor_conv_layer_config": [[8, 20, 20], [8, 20, 16]],
        "extractor_conv_bias": True,
        "encoder_embed_dim": 16,
        "encoder_projection_dropout": 0.0,
        "encoder_pos_conv_kernel": 4,
        "encoder_pos_conv_groups": 2,
        "encoder_num_layers": 4,
        "encoder_num_heads": 2,
        "encoder_attention_dropout": 0.0,
        "encoder_ff_interm_features": 16,
        "encoder_ff_interm_dropout": 0.0,
        "encoder_dropout": 0.0,
        "encoder_layer_norm_first": True,
        "encoder_layer_drop": 0.0,
        "aux_num_out": None,
    }
    torch.manual_seed(0)
    model = torchaudio.models.wav2vec2_model(**conf).eval()
    directory = Path("exp/wav2vec2")
    directory.mkdir(parents=True)
    (directory / "conf.json").write_text(json.dumps(conf))
    torch.save(model.state_dict(), directory / "model.pt")

    speech, lengths = torch.randn(2, 16000, generator=torch.Generator().manual_seed(0)), torch.tensor(SAMPLES)
    scope = {"Teacher": Teacher, "speech": speech, "lengths": lengths}
    exec(compile(code["use"], str(PAGE), "exec"), scope)
    teacher, outputs = scope["teacher"], scope["outputs"]
    assert (teacher.width, teacher.num_layers, teacher.frames_per_sec) == (16, 4, 50)
    for row, samples in enumerate(SAMPLES):
        with torch.no_grad():
            layers, _ = model.extract_features(speech[row : row + 1, :samples])
        frames = int(outputs.lengths[row])
        assert frames == layers[0].size(1)
        torch.testing.assert_close(outputs.encoder[row, :frames], layers[3][0], atol=2e-4, rtol=1e-3)
        torch.testing.assert_close(outputs.of("layer:1/2")[row, :frames], layers[1][0], atol=2e-4, rtol=1e-3)
    assert identify("torchaudio:exp/wav2vec2") == identify("torchaudio:exp/wav2vec2")
    with pytest.raises(registry.UserError, match="has no conf.json"):
        Teacher.from_pretrained("torchaudio:exp")


def test_the_page_names_every_family_and_option():
    text = PAGE.read_text(encoding="utf-8")
    for name, family in FAMILIES.items():
        assert name == "espnet" or f"`{name}:" in text
        assert all(f"| `{name}` | `{option}` |" in text for option in family.options)
