r"""Computes the output of a frozen Whisper encoder once, as Kaldi features for training what comes after it.

Example:
    % python3 benchmarks/whisper_teacher/features.py --weights exp/whisper_base.pth --data_dir dump/raw/train_clean_5 \
        --output_dir dump/whisper/train_clean_5
"""

import argparse
import shutil
from pathlib import Path

import kaldiio
import torch
from espnet2.fileio.sound_scp import SoundScpReader
from tqdm import tqdm

from espnet_ext.directories import check_ours, make_beside, move_into_place
from espnet_ext.encoder.frozen_whisper import FrozenWhisperEncoder
from espnet_ext.errors import run_main


def main() -> None:
    """Writes feats.ark, feats.scp, feats_shape, and copies of text and utt2spk."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="Output of convert.py")
    parser.add_argument("--whisper_size", default="base")
    parser.add_argument("--data_dir", type=Path, required=True, help="Data directory with wav.scp")
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args()
    encoder = FrozenWhisperEncoder(1, args.whisper_size).eval()
    state = {key.removeprefix("encoder."): value for key, value in torch.load(args.weights).items()}
    missing, unexpected = encoder.load_state_dict(state, strict=False)
    assert not unexpected and not any(key.startswith("whisper.") for key in missing)

    check_ours(args.output_dir)
    temporary = make_beside(args.output_dir)
    reader = SoundScpReader(str(args.data_dir / "wav.scp"), dtype="float32")
    ark, scp = temporary / "feats.ark", temporary / "feats.scp"
    with (
        kaldiio.WriteHelper(f"ark,scp:{ark},{scp}", compression_method=3) as writer,
        (temporary / "feats_shape").open("w") as shapes,
    ):
        for name in tqdm(reader, total=len(reader), unit="utt"):
            features = encoder.features(torch.from_numpy(reader[name][1]))
            writer(name, features.numpy())
            shapes.write(f"{name} {features.size(0)},{features.size(1)}\n")
    scp.write_text(scp.read_text().replace(str(temporary), str(args.output_dir)))
    for name in ("text", "utt2spk", "spk2utt"):
        shutil.copy(args.data_dir / name, temporary)
    move_into_place(temporary, args.output_dir)


if __name__ == "__main__":
    run_main(main)
