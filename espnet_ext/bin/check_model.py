"""Checks that models are whole: configuration, checkpoint, statistics and BPE model, by the sums in these files.

Example:
    % python3 -m espnet_ext.bin.check_model exp/asr_e6 exp/asr_e4/valid.cer_ctc.ave.pth
"""

import argparse

from espnet_ext.errors import run_main


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="+", help="Experiment directory, checkpoint, packed zip or model-zoo tag")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Checks each of them."""
    from espnet_ext.checkpoints.find import find_model_files

    for source in get_parser().parse_args(cmd).source:
        find_model_files(source)


if __name__ == "__main__":
    run_main(main)
