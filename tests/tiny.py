"""Tiny ESPnet models and experiment directories for tests."""

import os
from argparse import Namespace
from pathlib import Path

import torch
import yaml
from espnet2.tasks.asr import ASRTask

TOKENS = ["<blank>", "<unk>", "▁a", "▁b", "c", "d", "<sos/eos>"]


def model_conf(num_blocks: int = 2, output_size: int = 8, hop_length: int = 160, **encoder_conf) -> dict:
    """Returns the configuration of a tiny conformer CTC model."""
    return {
        "frontend_conf": {"n_fft": 400, "hop_length": hop_length, "n_mels": 20, "fs": "16k"},
        "encoder": "conformer",
        "encoder_conf": {
            "output_size": output_size,
            "attention_heads": 2,
            "linear_units": 16,
            "num_blocks": num_blocks,
            "cnn_module_kernel": 3,
            "macaron_style": True,
            "rel_pos_type": "latest",
            "pos_enc_layer_type": "rel_pos",
            "selfattention_layer_type": "rel_selfattn",
            "dropout_rate": 0.1,
            **encoder_conf,
        },
        "normalize": None,
        "model_conf": {"ctc_weight": 1.0},
    }


def asr_args(tokens: list[str] = TOKENS, **conf) -> Namespace:
    """Returns the options of a stock ASR training."""
    args = vars(ASRTask.get_parser().parse_args([]))
    return Namespace(**{**args, "token_list": list(tokens), **conf})


def save_experiment(exp_dir: Path, seed: int = 0, tokens: list[str] = TOKENS, **conf) -> Path:
    """Writes config.yaml and valid.cer_ctc.ave.pth of an untrained model, as a training would."""
    torch.manual_seed(seed)
    args = asr_args(tokens, **conf)
    model = ASRTask.build_model(args)
    os.makedirs(exp_dir)
    (exp_dir / "config.yaml").write_text(yaml.safe_dump(vars(args)), encoding="utf-8")
    torch.save(model.state_dict(), exp_dir / "valid.cer_ctc.ave.pth")
    return exp_dir


def make_batch(seed: int = 0, seconds: tuple[float, ...] = (1.0, 0.6, 0.8)) -> dict[str, torch.Tensor]:
    """Returns noise as speech, (B, samples), and short transcripts; padding holds zeros and -1 as ESPnet pads."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([int(16000 * s) for s in seconds])
    speech = torch.randn(len(seconds), int(lengths.max()), generator=generator)
    text = torch.randint(2, 6, (len(seconds), 3), generator=generator)
    for i, n in enumerate(lengths):
        speech[i, n:] = 0
    return {
        "speech": speech,
        "speech_lengths": lengths,
        "text": text,
        "text_lengths": torch.full((len(seconds),), 3),
        "utt_id": [f"utt{i}" for i in range(len(seconds))],
    }
