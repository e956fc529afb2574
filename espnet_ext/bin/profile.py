r"""Profiles models: parameters, multiply-accumulates, file sizes, and speed, latency and memory on one thread.

Each experiment directory is measured in ESPnet and in what `espnet_ext.bin.export_onnx` wrote to its folder `onnx`:
ONNX Runtime and sherpa-onnx. Every file runs in a process of its own on noise (the time does not depend on what is
said). RTF is seconds of computing for a second of audio, over utterances of 1, 5 and 15 s.

Example:
    % python3 -m espnet_ext.bin.profile --exp_dirs exp/asr_e2_encrl_raw_en_bpe29 exp/asr_e6_encrl_raw_en_bpe29 \
        --output exp/profile.md
"""

import argparse
from pathlib import Path

from espnet_ext.errors import UserError, run_main


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exp_dirs", nargs="+", type=Path, required=True, help="Experiment directories")
    parser.add_argument("--runs", type=int, default=5, help="How often, after a warm-up")
    parser.add_argument("--output", type=Path, required=True, help="Table (.md); .csv and .png are written beside it")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Measures and writes."""
    args = get_parser().parse_args(cmd)
    if args.runs < 1:
        raise UserError("--runs must be at least 1")
    from espnet_ext.export.profile import find_subjects, measure, model_names, to_rows, write_profile
    from espnet_ext.report.size import model_size

    subjects = list(find_subjects(args.exp_dirs))
    measured = []
    for number, subject in enumerate(subjects, 1):
        print(f"{number}/{len(subjects)} {subject.model}: {subject.runtime} {subject.precision}", flush=True)
        measured.append(measure(subject, args.runs))
    notes: list[str] = []
    sizes = {name: model_size(exp_dir, notes) for exp_dir, name in model_names(args.exp_dirs).items()}
    for note in notes:
        print(note)
    print(write_profile(to_rows(measured, sizes), args.runs, args.output))


if __name__ == "__main__":
    run_main(main)
