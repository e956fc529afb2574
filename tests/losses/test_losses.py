"""Masked losses equal the mean over utterances without padding; paper mode equals the released formulas."""

import math

import pytest
import torch
import torch.nn.functional as F

from espnet_ext.losses import LOSSES
from espnet_ext.losses.clip import ClipLoss

LENGTHS = torch.tensor([7, 3, 5])


def make_inputs(seed: int, dim: int = 6, garbage: float = 1e3) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns student and teacher, (3, 7, dim), with large values in the padding."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 3, 7, dim, generator=generator)
    for i, length in enumerate(LENGTHS):
        student[i, length:] = garbage
        teacher[i, length:] = -garbage
    return student.requires_grad_(), teacher


def gradients(loss: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, student)[0]


@pytest.mark.parametrize(
    "name, conf",
    [("mse", {}), ("mae", {}), ("cosine", {}), ("kld", {}), ("clip", {"pooling": "frame"})],
)
def test_masked_loss_is_the_mean_over_unpadded_utterances(name, conf):
    student, teacher = make_inputs(0)
    loss = LOSSES[name](**conf)
    value = loss(student, teacher, LENGTHS)
    parts = [
        loss(student[i : i + 1, :n], teacher[i : i + 1, :n], torch.tensor([n])) for i, n in enumerate(LENGTHS.tolist())
    ]
    expected = torch.stack(parts).mean()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradients(value, student), gradients(expected, student))
    unmasked = LOSSES[name](**conf, masked=False)(student, teacher, LENGTHS)
    assert not torch.isclose(unmasked, value)  # the padding matters, so the test above can fail


@pytest.mark.parametrize("normalize", [True, False])
def test_masked_clip_pools_valid_frames_only(normalize):
    student, teacher = make_inputs(1)
    loss = ClipLoss(normalize=normalize)
    value = loss(student, teacher, LENGTHS)
    pooled_student = torch.stack([student[i, :n].mean(0) for i, n in enumerate(LENGTHS.tolist())])
    pooled_teacher = torch.stack([teacher[i, :n].mean(0) for i, n in enumerate(LENGTHS.tolist())])
    expected = loss(pooled_student[:, None], pooled_teacher[:, None], torch.ones(3, dtype=torch.long))
    torch.testing.assert_close(value, expected)
    gradient = gradients(value, student)
    torch.testing.assert_close(gradient, gradients(expected, student))
    assert torch.all(gradient[1, 3:] == 0)


def test_paper_clip_equals_the_released_formula():
    """Section 3.3 of the released code: mean over all T, dot products / 0.07, symmetric cross entropy."""
    student, teacher = make_inputs(2, garbage=0.5)
    value = ClipLoss(normalize=False, temperature=0.07, masked=False)(student, teacher, LENGTHS)
    a, b = student.sum(1) / 7, teacher.sum(1) / 7
    logits = torch.empty(3, 3)
    for i in range(3):
        for j in range(3):
            logits[i, j] = (a[i] * b[j]).sum() * (1 / 0.07)
    rows = -torch.stack([logits[i].log_softmax(0)[i] for i in range(3)]).mean()
    columns = -torch.stack([logits[:, i].log_softmax(0)[i] for i in range(3)]).mean()
    torch.testing.assert_close(value, (rows + columns) / 2)


def test_paper_mse_equals_the_released_formula():
    """Mean over B x T x V of the squared difference of log-softmax outputs, padding included."""
    student, teacher = (x.log_softmax(-1) for x in make_inputs(3, garbage=0.5))
    value = LOSSES["mse"](masked=False)(student, teacher, LENGTHS)
    torch.testing.assert_close(value, sum(((student - teacher) ** 2).flatten()) / student.numel())
    value = LOSSES["mae"](masked=False)(student, teacher, LENGTHS)
    torch.testing.assert_close(value, sum((student - teacher).abs().flatten()) / student.numel())


def test_kld_takes_logits_or_log_probs():
    student, teacher = make_inputs(4)
    by_logits = LOSSES["kld"]()(student, teacher, LENGTHS)
    torch.testing.assert_close(by_logits, LOSSES["kld"]()(student.log_softmax(-1), teacher.log_softmax(-1), LENGTHS))
    i, t = 1, 2  # one frame by hand
    p, q = teacher[i, t].softmax(0), student[i, t].softmax(0)
    one = LOSSES["kld"]()(student[i : i + 1, t : t + 1], teacher[i : i + 1, t : t + 1], torch.tensor([1]))
    torch.testing.assert_close(one, (p * (p / q).log()).sum())


def test_learned_temperature_gets_gradient_and_is_bounded():
    student, teacher = make_inputs(5)
    loss = ClipLoss(learn_temperature=True)
    loss(student, teacher, LENGTHS).backward()
    assert loss.log_scale.grad.abs() > 0
    with torch.no_grad():
        loss.log_scale.fill_(50.0)
    vectors = F.normalize(torch.randn(3, 1, 6), dim=-1)
    ones = torch.ones(3, dtype=torch.long)
    torch.testing.assert_close(loss(vectors, vectors, ones), ClipLoss(temperature=0.01)(vectors, vectors, ones))
    assert not list(ClipLoss().parameters())


@pytest.mark.parametrize("conf", [{"pooling": "max"}, {"temperature": 0.0}])
def test_bad_clip_options_are_refused(conf):
    with pytest.raises(ValueError, match=next(iter(conf))):
        ClipLoss(**conf)


def clip_vectors(seed: int, rows: int = 3, dim: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns student and teacher of one frame an utterance, and lengths."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, rows, 1, dim, generator=generator)
    return student, teacher, torch.ones(rows, dtype=torch.long)


def test_queue_adds_negatives_of_earlier_batches_but_never_the_utterance_itself():
    loss = ClipLoss(queue_size=4, temperature=0.5)
    first, second = clip_vectors(0), clip_vectors(1)
    plain = ClipLoss(temperature=0.5)
    ids = torch.tensor([10, 11, 12])
    torch.testing.assert_close(loss(*first, ids), plain(*first))  # nothing in the queue yet
    value = loss(*second, torch.tensor([12, 13, 14]))
    s, t = (F.normalize(x[:, 0], dim=-1) for x in second[:2])
    queued = F.normalize(first[1][:, 0], dim=-1)
    logits = torch.cat([s @ t.T, s @ queued.T], dim=1) / 0.5
    logits[0, 5] = -torch.inf  # utterance 12
    labels = torch.arange(3)
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(t @ s.T / 0.5, labels)) / 2
    torch.testing.assert_close(value, expected)
    assert loss.queue.read()[1].tolist() == [12, 12, 13, 14]  # the oldest two have gone
    loss.eval()
    torch.testing.assert_close(loss(*second, ids), plain(*second))  # validation does not depend on the queue
    with pytest.raises(ValueError, match="ids"):
        loss(*second)


def test_soft_targets_are_the_similarities_of_the_teacher():
    student, teacher, lengths = clip_vectors(2)
    s, t = (F.normalize(x[:, 0], dim=-1) for x in (student, teacher))
    target = 0.7 * torch.eye(3) + 0.3 * (t @ t.T / 0.5).softmax(dim=-1)
    cross = [-(target * (logits / 0.5).log_softmax(dim=-1)).sum(-1).mean() for logits in (s @ t.T, t @ s.T)]
    value = ClipLoss(temperature=0.5, soft_targets=0.3)(student, teacher, lengths)
    torch.testing.assert_close(value, sum(cross) / 2)


def test_sampled_frames_are_contrasted_over_the_batch():
    student, teacher = make_inputs(3)
    loss = ClipLoss(pooling="frame", num_frames=2, temperature=0.5).eval()
    frames = torch.tensor([[1, 5], [0, 2], [1, 3]])  # evenly spaced in 7, 3 and 5 frames
    s, t = (F.normalize(x[torch.arange(3)[:, None], frames].flatten(0, 1), dim=-1) for x in (student, teacher))
    labels = torch.arange(6)
    expected = (F.cross_entropy(s @ t.T / 0.5, labels) + F.cross_entropy(t @ s.T / 0.5, labels)) / 2
    torch.testing.assert_close(loss(student, teacher, LENGTHS), expected)


def test_frame_that_is_sampled_twice_is_no_negative_of_itself():
    student, teacher, lengths = clip_vectors(4)  # one frame each
    once, thrice = (ClipLoss(pooling="frame", num_frames=k, temperature=0.5).eval() for k in (1, 3))
    s, t = (F.normalize(x[:, 0], dim=-1) for x in (student, teacher))

    def direction(rows, columns):
        exp = (rows @ columns.T / 0.5).exp()
        own = exp.diagonal()
        return -(own / (own + 3 * (exp.sum(-1) - own))).log().mean()

    torch.testing.assert_close(once(student, teacher, lengths), ClipLoss(temperature=0.5)(student, teacher, lengths))
    torch.testing.assert_close(thrice(student, teacher, lengths), (direction(s, t) + direction(t, s)) / 2)


def test_training_samples_other_frames_each_time():
    student, teacher = make_inputs(5)
    loss = ClipLoss(pooling="frame", num_frames=2)
    values = {loss(student, teacher, LENGTHS).item() for _ in range(5)}
    assert len(values) > 1 and all(abs(value) < 100 for value in values)  # padding, which is large, is never sampled


def test_siglip_classifies_every_pair():
    student, teacher, lengths = clip_vectors(6)
    s, t = (F.normalize(x[:, 0], dim=-1) for x in (student, teacher))
    logits = 4.0 * s @ t.T - 1.0
    expected = F.binary_cross_entropy_with_logits(logits, torch.eye(3), reduction="sum") / 3
    loss = LOSSES["siglip"](scale=4.0, bias=-1.0)
    torch.testing.assert_close(loss(student, teacher, lengths), expected)
    assert {name for name, _ in loss.named_parameters()} == {"log_scale", "bias"}


def test_kld_weighs_frames_by_the_blank_posterior_of_the_teacher():
    student, teacher = make_inputs(7)
    value = LOSSES["kld"](blank_weight=0.2)(student, teacher, LENGTHS)
    parts = []
    for i, n in enumerate(LENGTHS.tolist()):
        p, q = teacher[i, :n].softmax(-1), student[i, :n].softmax(-1)
        weight = 0.2 * p[:, 0] + (1 - p[:, 0])
        parts.append((weight * (p * (p / q).log()).sum(-1)).sum() / weight.sum())
    torch.testing.assert_close(value, torch.stack(parts).mean())


@pytest.mark.parametrize(
    "name, conf",
    [
        ("clip", {"num_frames": 4}),
        ("clip", {"pooling": "frame", "queue_size": 8}),
        ("clip", {"soft_targets": 1.5}),
        ("clip", {"pooling": "frame", "soft_targets": 0.5}),
        ("siglip", {"scale": 0}),
        ("kld", {"blank_weight": 0}),
        ("kld", {"blank_weight": 0.5, "masked": False}),
    ],
)
def test_options_that_do_not_go_together_are_refused(name, conf):
    with pytest.raises(ValueError, match=next(iter(conf.keys() - {"pooling", "masked"}))):
        LOSSES[name](**conf)


MASKED = [
    ("mse", {}),
    ("mae", {}),
    ("cosine", {}),
    ("kld", {}),
    ("kld", {"blank_weight": 0.3}),
    ("siglip", {}),
    ("clip", {}),
    ("clip", {"normalize": False}),
    ("clip", {"pooling": "frame"}),
    ("clip", {"pooling": "frame", "normalize": False}),
    ("clip", {"pooling": "frame", "num_frames": 4}),
]


@pytest.mark.parametrize("garbage", [math.nan, math.inf])
@pytest.mark.parametrize("name, conf", MASKED)
def test_padding_that_is_not_finite_changes_neither_value_nor_gradient(name, conf, garbage):
    loss = LOSSES[name](**conf).eval()
    results = []
    for padding in (0.0, garbage):
        student, teacher = make_inputs(5, garbage=padding)
        value = loss(student, teacher, LENGTHS)
        results.append((value, gradients(value, student)))
    (clean, clean_gradient), (value, gradient) = results
    assert torch.equal(value, clean) and torch.equal(gradient, clean_gradient)
    assert clean_gradient.abs().sum() > 0
    assert all(torch.all(gradient[i, length:] == 0) for i, length in enumerate(LENGTHS))


def test_ctc_of_padding_that_is_not_finite():
    text, text_lengths = torch.tensor([[1, 2], [3, -1], [2, 4]]), torch.tensor([2, 1, 2])
    results = []
    for padding in (0.0, math.nan):
        student, _ = make_inputs(6, garbage=padding)
        value = LOSSES["ctc"]()(student, LENGTHS, text, text_lengths)
        results.append((value, gradients(value, student)))
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])
