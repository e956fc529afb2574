"""EncRL: trains students to match a frozen teacher (step 1 of arXiv 2505.16991).

Example:
    % python3 -m espnet_ext.bin.encrl_train --config conf/encrl.yaml --teacher exp/asr_teacher_raw_en_bpe200 \
          --students e6=conf/e6.yaml e4=conf/e4.yaml --output_dir exp/encrl ... (options of espnet2.bin.asr_train)
"""

from espnet_ext.encrl.task import EncRLTask
from espnet_ext.errors import run_main


def get_parser():
    """Returns the parser: the options of `espnet2.bin.asr_train` and those of EncRL."""
    return EncRLTask.get_parser()


def main(cmd=None):
    """Runs the training."""
    EncRLTask.main(cmd=cmd)


if __name__ == "__main__":
    run_main(main)
