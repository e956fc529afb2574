"""Checks data directories (wav.scp, text, utt2spk, segments) and their audio; changes nothing."""

import argparse
import os
import sys
from pathlib import Path

from espnet_ext.errors import UserError, run_main


def sampling_rate(text: str) -> int:
    """Returns the Hz of `16000` or, as asr.sh writes it, `16k`."""
    number = float(text[:-1]) * 1000 if text.endswith("k") else float(text)
    if number < 1:
        raise ValueError(text)
    return int(number)


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        description="Check that every utterance has readable, non-empty audio and a transcript. Problems are listed "
        "and the exit status is 2; another sampling rate than --fs is only a warning, since asr.sh resamples.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("data_dirs", type=Path, nargs="+", help="e.g. data/train data/test")
    parser.add_argument(
        "--fs",
        type=sampling_rate,
        default=os.environ.get("ENCRL_FS", "16000"),
        help="sampling rate of the recipe in Hz, e.g. 16000 or 16k; run.sh gives its own to local/data.sh in ENCRL_FS",
    )
    parser.add_argument("--nj", type=int, default=4, help="files read at the same time")
    parser.add_argument(
        "--no_speech",
        choices=["error", "warning"],
        default="error",
        help="what a transcript without a word is, i.e. an empty one or one of tags such as <noise> or [unk] alone",
    )
    parser.add_argument(
        "--audio", choices=["true", "false"], default="true", help="read the headers of the audio, which takes long"
    )
    parser.add_argument(
        "--text", choices=["true", "false"], default="true", help="whether the sets have transcripts, the file text"
    )
    parser.add_argument(
        "--speed_perturb",
        choices=["true", "false"],
        default="false",
        help="whether stage 2 perturbs the speed: then sox must read the audio",
    )
    parser.add_argument(
        "--scored",
        choices=["true", "false"],
        default="false",
        help="whether stage 13 scores the sets: then text and ids must hold nothing that sclite takes for its syntax",
    )
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Runs the command."""
    from espnet_ext.data.check import Use, check_data_dir
    from espnet_ext.data.findings import summarise

    args = get_parser().parse_args(cmd)
    use = Use(
        speech_needed=args.no_speech == "error",
        speed_perturb=args.speed_perturb == "true",
        scored=args.scored == "true",
        audio=args.audio == "true",
        transcribed=args.text == "true",
    )
    problems = []
    for data_dir in args.data_dirs:
        findings = check_data_dir(data_dir, args.fs, max(args.nj, 1), use)
        for line in findings.warnings:
            print(f"warning: {line}", file=sys.stderr)
        if findings.errors:
            problems.append(summarise(data_dir, findings))
        else:
            length = f", {findings.seconds / 3600:.2f} h" if use.audio else ""
            print(f"{data_dir}: {findings.num_utts} utterances{length}: ok", flush=True)
    if problems:
        raise UserError("\n".join(problems))


if __name__ == "__main__":
    run_main(main)
