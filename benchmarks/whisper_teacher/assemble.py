r"""Puts Whisper below a head that was trained on its features: one ESPnet model that takes audio.

Example:
    % python3 benchmarks/whisper_teacher/assemble.py --weights exp/whisper_base.pth --head exp/whisper_head \
        --output_dir exp/asr_whisper_base
"""

import argparse
from pathlib import Path

import torch
from espnet2.tasks.asr import ASRTask

from espnet_ext.checkpoints.find import find_model_files, read_state_dict, save_model
from espnet_ext.config import read_config
from espnet_ext.errors import run_main


def main() -> None:
    """Writes config.yaml and model.pth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="Output of convert.py")
    parser.add_argument("--head", type=Path, required=True, help="Experiment directory of the head")
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args()
    config_file, checkpoint = find_model_files(args.head)
    # SpecAugment was meant for features, not for audio.
    config = read_config(config_file) | {"input_size": 1, "specaug": None, "specaug_conf": {}, "init_param": []}
    state = read_state_dict(checkpoint) | torch.load(args.weights)
    model = ASRTask.build_model(argparse.Namespace(**config))
    model.load_state_dict(state)
    print(save_model(config, model.state_dict(), args.output_dir))


if __name__ == "__main__":
    run_main(main)
