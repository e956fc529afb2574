"""A recipe takes over the tokens of a model from elsewhere."""

import pytest
import yaml

from espnet_ext.cli import derive as derive_verb
from espnet_ext.errors import UserError
from tests.tiny import TOKENS, model_conf, save_experiment


def test_tokens_and_bpe_model_are_where_asr_sh_looks_for_them(tmp_path, capsys):
    recipe = tmp_path / "elsewhere/asr1"
    (recipe / "data").mkdir(parents=True)
    (recipe / "data/bpe.model").write_bytes(b"sentencepiece")
    exp_dir = save_experiment(recipe / "exp/asr", token_type="bpe", bpemodel="data/bpe.model", **model_conf(1))
    target = tmp_path / "here/data/en_token_list"
    for _ in range(2):  # again is no harm
        derive_verb.main(["tokens", "--teacher", str(exp_dir), "--token_dir", str(target)])
        assert capsys.readouterr().out == f"--token_type bpe --nbpe {len(TOKENS)} --bpemode unigram\n"
    folder = target / f"bpe_unigram{len(TOKENS)}"
    assert (folder / "tokens.txt").read_text(encoding="utf-8").split() == TOKENS
    assert (folder / "bpe.model").read_bytes() == b"sentencepiece"
    (folder / "tokens.txt").write_text("others\n")
    with pytest.raises(UserError, match="holds other tokens already"):
        derive_verb.main(["tokens", "--teacher", str(exp_dir), "--token_dir", str(target)])


def test_what_is_missing_is_named(tmp_path):
    exp_dir = save_experiment(tmp_path / "asr", token_type="bpe", bpemodel="data/bpe.model", **model_conf(1))
    with pytest.raises(UserError, match=r"names the BPE model data/bpe\.model, which is not there"):
        derive_verb.main(["tokens", "--teacher", str(exp_dir), "--token_dir", str(tmp_path / "tokens")])
    config = yaml.safe_load((exp_dir / "config.yaml").read_text())
    (exp_dir / "config.yaml").write_text(yaml.safe_dump(config | {"token_type": "phn"}))
    with pytest.raises(UserError, match="has tokens of another kind, not bpe, char, word"):
        derive_verb.main(["tokens", "--teacher", str(exp_dir), "--token_dir", str(tmp_path / "tokens")])
    assert not (tmp_path / "tokens").exists()
