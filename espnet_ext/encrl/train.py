"""EncRL: trains students to match a frozen teacher (step 1 of arXiv 2505.16991).

A module and no verb: ESPnet's launcher starts it, once for each GPU and machine, as it starts `espnet2.bin.asr_train`,
and hands over all options to ESPnet's parser.

Example:
    % python3 -m espnet_ext.encrl.train --config conf/encrl.yaml --teacher exp/asr_teacher_raw_en_bpe200 \
          --students e6=conf/e6.yaml e4=conf/e4.yaml --output_dir exp/encrl ... (options of espnet2.bin.asr_train)
"""

from espnet_ext.encrl.task import EncRLTask
from espnet_ext.errors import run_main

if __name__ == "__main__":
    run_main(EncRLTask.main)
