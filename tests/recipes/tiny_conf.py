"""Configurations of models that train in seconds."""

from pathlib import Path

import yaml

ENCODERS = {
    "conformer": {
        "input_layer": "conv2d",
        "macaron_style": True,
        "pos_enc_layer_type": "rel_pos",
        "rel_pos_type": "latest",
        "selfattention_layer_type": "rel_selfattn",
        "activation_type": "swish",
    },
    "torchaudio_conformer": {"mask_padding": False},
}
TRAINING = {
    "batch_type": "numel",
    "batch_bins": 400000,
    "max_epoch": 1,
    "optim": "adam",
    "optim_conf": {"lr": 0.002},
    "keep_nbest_models": 1,
    "num_att_plot": 0,
    "num_workers": 0,
    "log_interval": 1,
}
BEST = {"best_model_criterion": [["valid", "cer_ctc", "min"]]}
CRITERIA = [
    {"loss": "clip", "on": "encoder", "weight": 1.0, "conf": {"pooling": "mean", "normalize": True}},
    {"loss": "kld", "on": "log_probs", "weight": 1.0},
]


def model(encoder: str, num_blocks: int) -> dict:
    """Returns the configuration of a CTC model of width 16."""
    return {
        "frontend_conf": {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 20},
        "encoder": encoder,
        "encoder_conf": {
            "output_size": 16,
            "attention_heads": 2,
            "linear_units": 32,
            "num_blocks": num_blocks,
            "cnn_module_kernel": 7,
            **ENCODERS[encoder],
        },
        "model_conf": {"ctc_weight": 1.0},
    }


def write_tiny_conf(directory: Path, encoder: str) -> None:
    """Writes what `--conf_dir` asks for: a teacher of 2 layers, the student e1, one epoch of each training."""
    directory.mkdir(parents=True)
    configs = {
        "teacher": model(encoder, 2) | TRAINING | BEST,
        "e1": model(encoder, 1),
        "encrl": TRAINING | {"criteria": CRITERIA},
        "finetune": TRAINING | BEST,
        "scratch": TRAINING | BEST,
        "decode": {"beam_size": 1, "ctc_weight": 1.0, "lm_weight": 0.0},
    }
    for name, config in configs.items():
        (directory / f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
