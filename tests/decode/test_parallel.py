"""Decoding of several batches at once."""

import time

import numpy as np
import pytest
import torch

from espnet_ext.data.batches import make_batches
from espnet_ext.decode.greedy import decode_batch
from espnet_ext.decode.model import load_model
from espnet_ext.decode.parallel import decode_batches
from tests.tiny import model_conf, save_experiment


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    exp_dir = save_experiment(tmp_path_factory.mktemp("exp") / "asr", token_type="char", **model_conf())
    return load_model(exp_dir, None, "cpu").model


@pytest.fixture
def audio():
    rng = np.random.default_rng(0)
    lengths = [100, *rng.integers(8000, 32000, 30).tolist()]  # one too short for the subsampling
    return {f"u{n}": torch.from_numpy(rng.standard_normal(size).astype("float32")) for n, size in enumerate(lengths)}


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("hooked", [False, True])
def test_threads_find_what_one_batch_after_the_other_finds(model, audio, hooked):
    batches = make_batches({name: len(signal) for name, signal in audio.items()}, 64000, 0.2)
    handle = model.encoder.register_forward_hook(lambda *_: None) if hooked else None
    found = list(decode_batches(model, audio.__getitem__, batches))
    if handle is not None:
        handle.remove()
    assert [batch.names for batch in found] == batches
    for batch in found:
        expected = decode_batch(model, [audio[name] for name in batch.names])
        assert [one.token_ids for one in batch.hypotheses] == [one.token_ids for one in expected]
        assert [one.score for one in batch.hypotheses] == pytest.approx([one.score for one in expected], rel=1e-4)
        assert batch.samples == [len(audio[name]) for name in batch.names]
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_an_error_of_one_batch_ends_all(model, audio):
    read = []

    def fail(name: str) -> torch.Tensor:
        read.append(name)
        time.sleep(0.01)
        raise OSError(f"no {name}")

    with pytest.raises(OSError, match="no u3"):
        list(decode_batches(model, fail, [["u3"], *([name] for name in audio)]))
    assert len(read) < len(audio)
