"""Small tokenizers and tiny models that say what a test wants, and their files."""

from pathlib import Path

import numpy as np
import sentencepiece
import soundfile
import torch

from espnet_ext.cli import export as export_verb
from espnet_ext.decode.model import load_model
from tests.tiny import model_conf, save_experiment

FRAME = 640  # samples


def train_bpe(folder: Path) -> Path:
    """Writes a sentencepiece model with a piece for each byte and some words, `folder/bpe.model`."""
    folder.mkdir(exist_ok=True)
    (folder / "bpe.txt").write_text("one two three one two\nthe cat sat on a mat\n" * 50, encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "bpe.txt"), model_prefix=str(folder / "bpe"), vocab_size=320, byte_fallback=True,
        model_type="bpe", hard_vocab_limit=False, user_defined_symbols=["<laugh>", "▁of▁the"], minloglevel=2,
    )  # fmt: skip
    return folder / "bpe.model"


def pieces_of(bpe_model: Path) -> list[str]:
    """Returns a token list as stage 5 of asr.sh makes it."""
    processor = sentencepiece.SentencePieceProcessor(str(bpe_model))
    pieces = [processor.id_to_piece(number) for number in range(processor.get_piece_size())]
    return ["<blank>", "<unk>", *(piece for piece in pieces if piece not in ("<unk>", "<s>", "</s>")), "<sos/eos>"]


def save_spoken(folder: Path, said: list[str], tokens: list[str], **conf) -> Path:
    """Writes an experiment whose model says some tokens to `<folder>/a.wav`, one in each output frame.

    Args:
        folder: of `asr`, `a.wav`, and the files of a data directory.
        said: different ones of `tokens`.
        tokens: all of them.
        **conf: further options of the experiment, such as `token_type`.
    """
    exp_dir = save_experiment(folder / "asr", tokens=tokens, **conf, **model_conf(1))
    speech = np.random.default_rng(0).normal(size=(len(said) + 1) * FRAME).astype(np.float32) / 10
    soundfile.write(folder / "a.wav", speech, 16000, subtype="FLOAT")
    (folder / "wav.scp").write_text(f"a {folder}/a.wav\n")
    (folder / "text").write_text("a one\n")
    model = load_model(exp_dir, None, "cpu").model
    with torch.no_grad():
        encoded, _ = model.encode(torch.from_numpy(speech)[None], torch.tensor([len(speech)]))
        frames = encoded[0].double()
        assert len(frames) == len(said)
        # Of the tokens that are said, that one whose frame is nearest.
        ids = [tokens.index(token) for token in said]
        weight, bias = model.ctc.ctc_lo.weight, model.ctc.ctc_lo.bias
        weight.zero_()
        bias.fill_(-1e6)
        weight[ids] = (2e4 * (frames - frames.mean(0))).float()
        bias[ids] = (1e4 * (frames.mean(0).square().sum() - frames.square().sum(1))).float()
    torch.save(model.state_dict(), exp_dir / "valid.cer_ctc.ave.pth")
    return exp_dir


def export(folder: Path) -> Path:
    """Exports the experiment of `save_spoken`; returns the ONNX file."""
    options = ["--exp_dir", folder / "asr", "--data_dir", folder, "--output_dir", folder / "onnx"]
    export_verb.main([*map(str, options), "--precisions", "fp32", "--audio_format", "wav", "--tolerance", "10"])
    return folder / "onnx/model.onnx"
