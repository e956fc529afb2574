"""Greedy decoding: best paths, batches, the files of a data set."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from espnet_ext.cli import decode as decode_verb
from espnet_ext.data.batches import make_batches
from espnet_ext.decode.greedy import best_paths, decode_batch
from espnet_ext.decode.model import load_model
from espnet_ext.errors import UserError
from tests.tiny import make_batch, model_conf, save_experiment

RTF = Path(__file__).parents[2] / "tools/espnet/egs2/TEMPLATE/asr1/pyscripts/utils/calculate_rtf.py"


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory):
    conf = model_conf(interctc_layer_idx=[1])
    return save_experiment(tmp_path_factory.mktemp("exp") / "asr", token_type="char", **conf)


@pytest.fixture
def data_dir(tmp_path):
    """Five noises of different lengths, one far too short for the subsampling, as stage 4 of asr.sh writes them."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "raw" / "test"
    folder.mkdir(parents=True)
    samples = {"b": 16000, "a-1": 9000, "a_1": 12000, "c": 100, "d": 11000}
    for name, length in samples.items():
        soundfile.write(folder / f"{name}.wav", rng.standard_normal(length) / 10, 16000)
    (folder / "wav.scp").write_text("".join(f"{name} {folder / name}.wav\n" for name in samples))
    (folder / "utt2num_samples").write_text("".join(f"{name} {n}\n" for name, n in samples.items()))
    return folder


def decode(exp_dir, data_dir, output, *options):
    cmd = ["--exp_dir", exp_dir, "--data_dir", data_dir.parent, "--test_sets", "test", "--output_dir", output]
    decode_verb.main([*map(str, cmd), *options])
    return output / "test"


def test_best_paths_equal_the_collapse_of_each_row():
    log_probs = torch.randn(4, 30, 5, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    lengths = torch.tensor([30, 21, 1, 0])
    for hypothesis, row, length in zip(best_paths(log_probs, lengths), log_probs, lengths, strict=True):
        best = row[:length].argmax(-1).tolist()
        assert hypothesis.token_ids == [token for token, _ in itertools.groupby(best) if token != 0]
        assert hypothesis.score == pytest.approx(float(row[:length].max(-1).values.sum()), abs=1e-4)


def test_a_batch_of_equal_lengths_decodes_as_one_by_one(exp_dir):
    model = load_model(exp_dir, None, "cpu").model
    speech = list(make_batch(seconds=(1.0, 1.0, 1.0))["speech"])
    together = decode_batch(model, speech)
    assert any(hypothesis.token_ids for hypothesis in together)
    for hypothesis, signal in zip(together, speech, strict=True):
        alone = decode_batch(model, [signal])[0]
        assert hypothesis.token_ids == alone.token_ids
        assert hypothesis.score == pytest.approx(alone.score, rel=1e-5)


def test_batches_hold_every_utterance_once_within_both_limits():
    lengths = {f"u{n}": n for n in [*range(50, 150, 3), 1, 2000]}
    batches = make_batches(lengths, max_samples=600, max_padding=0.1)
    assert sorted(name for batch in batches for name in batch) == sorted(lengths)
    for batch in batches:
        longest = max(lengths[name] for name in batch)
        assert len(batch) == 1 or len(batch) * longest <= 600
        assert min(lengths[name] for name in batch) >= 0.9 * longest
    assert len(batches) < len(lengths)


def test_a_set_is_written_as_stage_12_does(exp_dir, data_dir, tmp_path):
    folder = decode(exp_dir, data_dir, tmp_path / "greedy")
    names = sorted(["b", "a-1", "a_1", "c", "d"])
    for file in ("text", "token", "token_int", "score"):
        lines = (folder / file).read_text().splitlines()
        assert [line.split()[0] for line in lines] == names
    assert "c" in (folder / "text").read_text().splitlines()  # too short: there, and empty
    ids = [line.split()[1:] for line in (folder / "token_int").read_text().splitlines()]
    tokens = [line.split()[1:] for line in (folder / "token").read_text().splitlines()]
    assert list(map(len, ids)) == list(map(len, tokens)) and sum(map(len, ids)) > 0


def test_words_have_times(exp_dir, data_dir, tmp_path):
    written = decode(exp_dir, data_dir, tmp_path / "out", "--ctm", "true")
    texts = dict(line.partition(" ")[::2] for line in (written / "text").read_text().splitlines())
    samples = dict(line.split() for line in (data_dir / "utt2num_samples").read_text().splitlines())
    words = [line.split() for line in (written / "ctm").read_text().splitlines()]
    for name, text in texts.items():
        mine = [word for word in words if word[0] == name]
        assert [word[4] for word in mine] == text.split()
        times = [(float(start), float(start) + float(duration)) for _, _, start, duration, _ in mine]
        assert times == sorted(times)
        assert all(start < end for start, end in times)
        assert not times or times[-1][1] <= int(samples[name]) / 16000 + 0.05  # rounded up to frames
    assert any(len(text.split()) > 0 for text in texts.values())


def test_beam_search_tells_no_times(exp_dir, data_dir, tmp_path):
    with pytest.raises(UserError, match="--ctm true needs --search greedy"):
        decode(exp_dir, data_dir, tmp_path / "out", "--ctm", "true", "--search", "beam")


def test_lengths_are_read_from_the_audio_where_no_file_tells(exp_dir, data_dir, tmp_path):
    expected = (decode(exp_dir, data_dir, tmp_path / "one") / "token_int").read_text()
    (data_dir / "utt2num_samples").unlink()
    assert (decode(exp_dir, data_dir, tmp_path / "two") / "token_int").read_text() == expected


@pytest.mark.skipif(not RTF.exists(), reason="needs ESPnet's recipe tree: run tools/install.sh")
def test_espnet_reads_the_real_time_factor(exp_dir, data_dir, tmp_path):
    folder = decode(exp_dir, data_dir, tmp_path / "greedy")
    options = ["--log-name", "asr_inference", "--input-shift", "0.0625", "--start-times-marker", "speech length"]
    command = [sys.executable, RTF, "--log-dir", folder / "logdir", *options, "--end-times-marker", "best hypo"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f"Total audio duration: {(16000 + 9000 + 12000 + 100 + 11000) / 16000:.3f}" in output


def test_broken_audio_is_named(exp_dir, data_dir, tmp_path):
    (data_dir / "d.wav").write_bytes(b"RIFF, but cut off")
    with pytest.raises(UserError, match=r"wav\.scp: the audio of d cannot be read"):
        decode(exp_dir, data_dir, tmp_path / "greedy")
    assert not (tmp_path / "greedy/test/text").exists()


def test_a_set_that_is_not_there_is_named_before_the_model_is_loaded(tmp_path, data_dir):
    with pytest.raises(UserError, match=r"none/wav\.scp does not exist"):
        decode_verb.main(
            ["--exp_dir", "none", "--data_dir", str(tmp_path), "--test_sets", "none", "--output_dir", str(tmp_path)]
        )


def add(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: add(d / "wav.scp", f"b {d / 'b.wav'}\n"), r"wav\.scp, line 6: utterance id b comes twice"),
        (lambda d: add(d / "wav.scp", "\n"), r"wav\.scp, line 6: empty line"),
        (lambda d: add(d / "wav.scp", "e\n"), r"wav\.scp: e: nothing follows the id"),
        (lambda d: add(d / "wav.scp", f"\ufeffe {d / 'b.wav'}\n"), r"wav\.scp, line 6: U\+FEFF"),
        (lambda d: add(d / "utt2num_samples", "b 16000\n"), r"utt2num_samples, line 6: utterance id b comes twice"),
        (lambda d: add(d / "utt2num_samples", "e many\n"), r"utt2num_samples: e: 'many' is no number of samples"),
        (lambda d: (d / "wav.scp").write_bytes(b"b \xe9.wav\n"), r"wav\.scp is not UTF-8"),
        (lambda d: (d / "segments").write_text("b1 b 0 0.5\n"), r"segments: recordings are not cut here; .* stage 3"),
    ],
)
def test_a_bad_set_made_by_hand_is_named_before_the_model_is_loaded(tmp_path, data_dir, spoil, message):
    spoil(data_dir)
    with pytest.raises(UserError, match=message):
        decode(Path("none"), data_dir, tmp_path / "greedy")


def test_more_channels_are_refused_with_a_remedy(exp_dir, data_dir, tmp_path):
    soundfile.write(data_dir / "b.wav", np.random.default_rng(0).standard_normal((16000, 2)) / 10, 16000)
    with pytest.raises(UserError, match=r"b has 2 channels, .*remix - \|"):
        decode(exp_dir, data_dir, tmp_path / "greedy")


def test_audio_that_is_not_finite_is_no_utterance_without_words(exp_dir, data_dir, tmp_path):
    signal = np.zeros(16000, np.float32)
    signal[7] = np.inf
    soundfile.write(data_dir / "b.wav", signal, 16000, "FLOAT")
    with pytest.raises(UserError, match="the audio of b holds samples that are not finite"):
        decode(exp_dir, data_dir, tmp_path / "greedy")
    assert not (tmp_path / "greedy/text").exists()


def test_a_model_without_ctc_is_refused(tmp_path):
    conf = model_conf() | {"model_conf": {"ctc_weight": 0.0}, "decoder": "transformer"}
    with pytest.raises(UserError, match="no trained CTC output"):
        load_model(save_experiment(tmp_path / "asr", token_type="char", **conf), None, "cpu")
