r"""The teacher cache of the assembled model, from the features of its head: Whisper does not run again.

Example:
    % python3 benchmarks/whisper_teacher/cache.py --head exp/whisper_head --teacher exp/asr_whisper_base \
        --features dump/whisper/train_clean_5 --data_dir dump/raw/train_clean_5 \
        --output_dir exp/asr_teacher_from_exp_asr_whisper_base/cache/train_clean_5
"""

import argparse
import shutil
from pathlib import Path

import kaldiio
import torch
from tqdm import tqdm

from espnet_ext.errors import run_main
from espnet_ext.teachers.cache import DTYPES, ENCODER, SAMPLES, Manifest, identify
from espnet_ext.teachers.teacher import load_teacher


@torch.no_grad()
def main() -> None:
    """Writes what encrl cache writes for the assembled model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--head", required=True, help="Experiment directory of the head")
    parser.add_argument("--teacher", required=True, help="Output of assemble.py")
    parser.add_argument("--features", type=Path, required=True, help="Output of features.py")
    parser.add_argument("--data_dir", type=Path, required=True, help="Of their audio, e.g. dump/raw/train_clean_5")
    parser.add_argument("--dtype", default="int16")
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args()
    encoder = load_teacher(args.head).model.encoder
    args.output_dir.mkdir(parents=True, exist_ok=True)
    ark, scp = args.output_dir / f"{ENCODER}.1.ark", args.output_dir / f"{ENCODER}.scp"
    features = kaldiio.load_scp(str(args.features / "feats.scp"))
    with kaldiio.WriteHelper(f"ark,scp:{ark},{scp}", compression_method=DTYPES[args.dtype][0]) as writer:
        for name in tqdm(features, unit="utt"):
            signal = torch.from_numpy(features[name].copy())[None].float()
            out, lengths, _ = encoder(signal, torch.tensor([signal.size(1)]))
            writer(name, out[0, : int(lengths)].numpy())
    shutil.copy(args.data_dir / SAMPLES, args.output_dir)
    Manifest(*identify(args.teacher), args.dtype, (ENCODER,), len(features), ark.stat().st_size).write(args.output_dir)
    print(f"{args.output_dir}: {len(features)} utterances, {ark.stat().st_size / 2**20:.0f} MiB")


if __name__ == "__main__":
    run_main(main)
