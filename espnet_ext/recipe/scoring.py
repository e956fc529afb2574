"""Stage 13 of asr.sh for all sets of a model in one process: the same files, by ESPnet's tokenizers and sclite.

asr.sh starts ESPnet six times a set. Where sclite is not there or fails on a set, jiwer scores; the table says so.

Example:
    % python3 -m espnet_ext.recipe.scoring --decode_dir exp/asr_e6/greedy --data_dir dump/raw --sets "dev test"
"""

import argparse
import shutil
import subprocess
from pathlib import Path

from espnet_ext.bin import score
from espnet_ext.errors import UserError, run_main
from espnet_ext.report.scores import SCLITE_FILE, read_sclite

KINDS = {"char": "cer", "word": "wer", "bpe": "ter"}


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decode_dir", type=Path, required=True, help="Directory of the decoded sets")
    parser.add_argument("--data_dir", type=Path, required=True, help="Directory of the formatted sets, e.g. dump/raw")
    parser.add_argument("--sets", required=True, help="Names of the sets, separated by spaces")
    parser.add_argument("--bpemodel", type=Path, default=Path("none"), help="A file: error rates of its tokens too")
    parser.add_argument("--nlsyms_txt", default="none", help="List of non-linguistic symbols, which do not count")
    parser.add_argument("--cleaner", default="none", help="Text cleaner of the references")
    parser.add_argument("--hyp_cleaner", default="none", help="Text cleaner of the hypotheses")
    parser.add_argument("--score_opts", default="", help="Options for sclite")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Scores every set."""
    args = get_parser().parse_args(cmd)
    for name in args.sets.split():
        data, decoded = args.data_dir / name, args.decode_dir / name
        for path in decoded.glob("score_*/result*"):
            path.unlink()
        failure = "sclite is not on PATH" if shutil.which("sclite") is None else _sclite(args, data, decoded)
        if failure:
            for path in decoded.glob(f"score_*/{SCLITE_FILE}"):
                path.unlink()
            print(f"{name}: {failure}: scoring by jiwer, marked in the table", flush=True)
            score.main(["--ref", str(data / "text"), "--decode_dir", str(decoded)])


def _sclite(args: argparse.Namespace, data: Path, decoded: Path) -> str:
    """Scores one set; returns why that failed, "" where it did not."""
    references, hypotheses = score.read_text(data / "text"), score.read_text(decoded / "text")
    score.check_same_utterances(references, hypotheses, data / "text", decoded / "text")
    if obstacle := score.sclite_obstacle(references, hypotheses, score.read_speakers(data / "text", references)):
        return f"not by sclite: {obstacle}"
    speakers = [line.split() for line in (data / "utt2spk").read_text(encoding="utf-8").split("\n") if line]
    for kind, short in KINDS.items():
        if kind == "bpe" and not args.bpemodel.is_file():
            continue
        folder = decoded / f"score_{short}"
        folder.mkdir(parents=True, exist_ok=True)
        for text, cleaner, name in ((data / "text", args.cleaner, "ref"), (decoded / "text", args.hyp_cleaner, "hyp")):
            words = _tokenize(args, text, cleaner, kind, folder / f"{name}.words")
            if len(words) != len(speakers):
                raise UserError(
                    f"{text} has {len(words)} utterances, {data / 'utt2spk'} {len(speakers)}; decode this set again"
                )
            lines = [
                f"{said}\t({speaker}-{utterance})\n" for said, (utterance, speaker) in zip(words, speakers, strict=True)
            ]
            (folder / f"{name}.trn").write_text("".join(lines), encoding="utf-8")
        command = ["sclite", *args.score_opts.split(), "-r", str(folder / "ref.trn"), "trn"]
        command += ["-h", str(folder / "hyp.trn"), "trn", "-i", "rm", "-o", "all", "stdout"]
        with (folder / SCLITE_FILE).open("wb") as output:
            status = subprocess.run(command, stdout=output, check=False).returncode
        if status:
            return f"sclite fails (exit status {status})"
        try:
            print(f"{decoded.name} {short}: {read_sclite(folder / SCLITE_FILE).wer:.2f} %", flush=True)
        except UserError as error:
            return f"sclite fails: {error}"
    return ""


def _tokenize(args: argparse.Namespace, text: Path, cleaner: str, kind: str, temporary: Path) -> list[str]:
    """Returns the tokens of every line, by what asr.sh calls."""
    from espnet2.bin import tokenize_text

    words = ["-f", "2-", "--input", str(text), "--output", str(temporary), "--cleaner", cleaner, "--token_type", kind]
    if kind == "bpe":
        words += ["--bpemodel", str(args.bpemodel)]
    else:
        words += ["--non_linguistic_symbols", args.nlsyms_txt, "--remove_non_linguistic_symbols", "true"]
    tokenize_text.main(words)
    found = temporary.read_text(encoding="utf-8").split("\n")[:-1]
    temporary.unlink()
    return found


if __name__ == "__main__":
    run_main(main)
