"""The paper's encoder: exact size, padding that nothing sees."""

import math

import pytest
import torch
from espnet2.legacy.nets.pytorch_backend.transformer.subsampling import TooShortUttError
from torchaudio.models import Conformer

from espnet_ext.encoder.layers import encoder_layers
from espnet_ext.encoder.torchaudio_conformer import (
    MaskedBatchNorm1d,
    SinusoidalPosition,
    TorchaudioConformerEncoder,
    valid_frames,
)

LENGTHS = torch.tensor([37, 21, 30])


def tiny(mask_padding: bool = True) -> TorchaudioConformerEncoder:
    torch.manual_seed(0)
    return TorchaudioConformerEncoder(6, 8, 2, 16, 2, cnn_module_kernel=5, dropout_rate=0.0, mask_padding=mask_padding)


def make_batch(garbage: float = 100.0) -> torch.Tensor:
    """Returns (3, 37, 6) with garbage as padding."""
    x = torch.randn(3, 37, 6, generator=torch.Generator().manual_seed(1))
    for i, n in enumerate(LENGTHS):
        x[i, n:] = garbage
    return x


def warm(encoder: TorchaudioConformerEncoder) -> TorchaudioConformerEncoder:
    """Gives the batch normalisations statistics other than 0 and 1, and returns the encoder for inference."""
    encoder.train()(make_batch(), LENGTHS)
    return encoder.eval()


def train_results(mask_padding: bool, garbage: float = 0.0, mates: int = 0) -> list[torch.Tensor]:
    """Runs a training step on a batch to which `mates` utterances of nothing but padding are added.

    Returns:
        Valid outputs, gradients at valid frames of the input, gradients of parameters, running statistics.
    """
    encoder = tiny(mask_padding).train()
    x = torch.cat([make_batch(garbage), torch.full((mates, 37, 6), garbage)]).requires_grad_()
    lengths = torch.cat([LENGTHS, torch.zeros(mates, dtype=LENGTHS.dtype)])
    out, olens, _ = encoder(x, lengths)
    valid = torch.cat([out[i, :n] for i, n in enumerate(olens)])
    (valid * torch.linspace(-1, 1, valid.numel()).view_as(valid)).sum().backward()
    gradient = torch.cat([x.grad[i, :n] for i, n in enumerate(lengths)])
    return [valid.detach(), gradient, *(p.grad for p in encoder.parameters()), *encoder.buffers()]


@pytest.mark.parametrize(
    ("num_blocks", "parameters"), [(12, 18_600_192), (6, 9_462_528), (4, 6_416_640), (2, 3_370_752)]
)
def test_sizes_of_the_paper(num_blocks, parameters):
    with torch.device("meta"):
        modules = TorchaudioConformerEncoder(80, num_blocks=num_blocks), torch.nn.Linear(256, 256)
    assert sum(p.numel() for module in modules for p in module.parameters()) == parameters


def test_layers_are_torchaudios():
    encoder = tiny(mask_padding=False).eval()
    reference = Conformer(8, 2, 16, 2, 5).eval()
    reference.load_state_dict(encoder.conformer.state_dict())  # the same names
    x, lengths = torch.randn(2, 9, 8), torch.tensor([9, 5])
    torch.testing.assert_close(encoder.conformer(x, lengths), reference(x, lengths))
    assert encoder_layers(encoder) == list(encoder.conformer.conformer_layers) and len(encoder_layers(encoder)) == 2


def test_position_is_a_plain_sum_for_any_length():
    out = SinusoidalPosition(0.0)(torch.ones(1, 3001, 8))[0]
    for t, i in ((0, 0), (7, 4), (3000, 5)):
        angle = t / 10000 ** (i // 2 * 2 / 8)
        assert out[t, i].item() == pytest.approx(1 + (math.cos(angle) if i % 2 else math.sin(angle)), abs=1e-3)


def test_batch_equals_one_by_one():
    encoder = warm(tiny())
    out, lengths, state = encoder(make_batch(), LENGTHS)
    assert lengths.tolist() == [9, 5, 7]  # ((n - 1) // 2 + 1 - 3) // 2 + 1
    assert out.shape == (3, 9, 8)
    assert state is None
    for i, n in enumerate(LENGTHS):
        alone, length, _ = encoder(make_batch()[i : i + 1, :n], LENGTHS[i : i + 1])
        assert length == lengths[i]
        torch.testing.assert_close(out[i : i + 1, :length], alone)


def test_padding_changes_nothing_in_training():
    expected = train_results(mask_padding=True)
    for garbage, mates in ((100.0, 0), (0.0, 2), (-3.0, 2)):
        for a, b in zip(train_results(True, garbage, mates), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_statistics_are_those_of_the_valid_frames():
    norm, reference = MaskedBatchNorm1d(4), torch.nn.BatchNorm1d(4)
    x, lengths = torch.randn(3, 4, 7) * 3 + 5, torch.tensor([7, 2, 4])
    with valid_frames(lengths, 7):
        out = norm(x)
    frames = torch.cat([x[i, :, :n].T for i, n in enumerate(lengths)])
    torch.testing.assert_close(torch.cat([out[i, :, :n].T for i, n in enumerate(lengths)]), reference(frames))
    torch.testing.assert_close(norm.state_dict(), reference.state_dict())


def test_released_behaviour_depends_on_padding():
    """The tests above can fail: without masking, everything they compare differs."""
    encoder = warm(tiny(mask_padding=False))
    out, lengths, _ = encoder(make_batch(), LENGTHS)
    alone, _, _ = encoder(make_batch()[1:2, :21], LENGTHS[1:2])
    assert not torch.allclose(out[1:2, : lengths[1]], alone, atol=1e-2)
    one, other = train_results(False), train_results(False, mates=2)
    same = [torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(one, other, strict=True)]
    assert not any(same[:2])
    assert not all(same[2:])


def test_same_weights_serve_both_modes():
    ours, released = warm(tiny()), tiny(mask_padding=False).eval()
    released.load_state_dict(ours.state_dict())
    x = make_batch()[:1]
    torch.testing.assert_close(ours(x, LENGTHS[:1]), released(x, LENGTHS[:1]))  # nothing to mask in one utterance


def test_half_precision():
    with torch.autocast("cpu", torch.bfloat16):
        out, _, _ = tiny().train()(make_batch(), LENGTHS)
    out.float().sum().backward()
    assert out.isfinite().all()


def test_too_short_input():
    with pytest.raises(TooShortUttError, match="has 4 frames"):
        tiny()(torch.zeros(1, 4, 6), torch.tensor([4]))
    assert tiny()(torch.zeros(1, 5, 6), torch.tensor([5]))[1].tolist() == [1]
    encoder = tiny()
    out, lengths, _ = encoder(torch.randn(2, 20, 6), torch.tensor([20, 2]))
    out.sum().backward()
    assert lengths.tolist() == [4, 0]
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


def test_bad_dimensions_are_refused():
    with pytest.raises(ValueError, match="multiple of attention_heads 3"):
        TorchaudioConformerEncoder(6, output_size=8, attention_heads=3)


def test_intermediate_outputs_are_those_of_a_shorter_encoder():
    encoder = warm(tiny())
    encoder.interctc_layer_idx = [1]
    (out, [(index, middle)]), olens, _ = encoder(make_batch(), LENGTHS)
    shorter = warm(tiny())
    del shorter.conformer.conformer_layers[1]
    assert index == 1 and out.shape == middle.shape
    torch.testing.assert_close(middle, shorter(make_batch(), LENGTHS)[0])


def test_layers_are_dropped_in_training_only():
    encoder = warm(tiny())
    expected = encoder(make_batch(), LENGTHS)[0]
    encoder.layer_drop_rate = 1.0
    torch.testing.assert_close(encoder(make_batch(), LENGTHS)[0], expected)
    embedded, olens = encoder.train().embed(make_batch(), LENGTHS, True)
    torch.testing.assert_close(encoder(make_batch(), LENGTHS)[0], encoder.position(embedded))


def test_an_intermediate_layer_out_of_range_is_refused():
    with pytest.raises(ValueError, match="interctc_layer_idx"):
        TorchaudioConformerEncoder(6, 8, 2, 16, 2, interctc_layer_idx=[2])
