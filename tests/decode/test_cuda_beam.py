"""Beam search on a GPU by the real decoder; without one, what it refuses."""

import pytest
import torch

from espnet_ext.bin import ctc_decode, tune_decoding
from espnet_ext.decode.cuda_beam import CudaBeamSearch
from espnet_ext.decode.greedy import best_paths
from espnet_ext.decode.model import load_model
from espnet_ext.errors import UserError
from tests.decode.test_ctc_decode import data_dir  # noqa: F401
from tests.tiny import TOKENS, model_conf, save_experiment


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory):
    return save_experiment(tmp_path_factory.mktemp("exp") / "asr", token_type="char", tokens=TOKENS, **model_conf(1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_search_of_sure_frames_is_greedy(exp_dir):
    model = load_model(exp_dir, None, "cuda")
    ids = torch.randint(0, len(TOKENS), (3, 20))
    log_probs = torch.nn.functional.one_hot(ids, len(TOKENS)).float().mul(12.0).log_softmax(dim=-1).cuda()
    lengths = torch.tensor([20, 13, 1], device="cuda")
    found = CudaBeamSearch(model, beam_size=4)(log_probs, lengths)
    assert [one.token_ids for one in found] == [one.token_ids for one in best_paths(log_probs, lengths)]


def test_refused_on_a_cpu_and_with_scores_that_it_does_not_know(exp_dir, data_dir, tmp_path):  # noqa: F811
    cmd = ["--exp_dir", exp_dir, "--data_dir", data_dir.parent, "--test_sets", "test", "--output_dir", tmp_path / "out"]
    cmd = [*map(str, cmd), "--search", "cuda_beam"]
    with pytest.raises(UserError, match="give --ngpu 1"):
        ctc_decode.main(cmd)
    with pytest.raises(UserError, match="knows --beam_size only"):
        ctc_decode.main([*cmd, "--emission_scale", "2"])
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="has no scores to tune"):
        tune_decoding.main(["--exp_dir", str(exp_dir), "--data_dir", str(data_dir), "--search", "cuda_beam",
                            "--output", str(tmp_path / "tuned.yaml")])  # fmt: skip
