"""Word and character error rates of a decoded test set by jiwer, where sclite is missing or cannot score it."""

import argparse
import sys
from pathlib import Path

from espnet_ext.data.sclite import fold_case, id_problem, text_problem
from espnet_ext.data.tables import read_lines
from espnet_ext.errors import UserError, run_main
from espnet_ext.report.scores import JIWER_FILE, Score, Utterance, sclite_speaker
from espnet_ext.report.write import write_text

_NOT_FOR_SCLITE = 3  # exit status


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        description="Score a decoded test set with jiwer where sclite is not installed or cannot score it. Upper and "
        "lower case of ASCII letters count as equal, as in sclite. Writes score_wer/result_jiwer.json and "
        "score_cer/result_jiwer.json, with the counts and the speaker of every utterance.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--ref", type=Path, required=True, help="reference text, e.g. dump/raw/test/text, beside utt2spk"
    )
    parser.add_argument(
        "--decode_dir", type=Path, required=True, help="exp/<model>/<inference_tag>/<set>, which holds the text file"
    )
    parser.add_argument(
        "--check_only",
        choices=["true", "false"],
        default="false",
        help="score nothing; the exit status is 3, and the reason is printed, where sclite would fail or miscount",
    )
    return parser


def read_text(path: Path) -> dict[str, str]:
    """Reads `utterance-id word word ...` lines; an utterance may have no words. Blanks are made single.

    Raises:
        UserError: No such file, or an utterance occurs twice.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; prepare the data (stages 1-5) or decode this set (stage 12)")
    texts: dict[str, str] = {}
    for number, line in read_lines(path):
        words = line.split()
        if not words:
            continue
        if words[0] in texts:
            raise UserError(f"{path}:{number}: utterance {words[0]} occurs twice; decode this set again (stage 12)")
        texts[words[0]] = " ".join(words[1:])
    return texts


def score(
    references: dict[str, str], hypotheses: dict[str, str], speakers: dict[str, str], characters: bool = False
) -> Score:
    """Counts the errors of every utterance.

    Args:
        references: Text by utterance.
        hypotheses: Text by utterance, of the same utterances; may be empty.
        speakers: Speaker by utterance; of all utterances, or empty where the speakers are not known.
        characters: Count characters (a blank is one, as in ESPnet's CER) instead of words.

    Raises:
        ValueError: There is no reference word.
    """
    import jiwer

    ref = [fold_case(references[name]) for name in references]
    hyp = [fold_case(hypotheses[name]) for name in references]
    counts = jiwer.process_characters(ref, hyp) if characters else jiwer.process_words(ref, hyp)
    units = counts.hits + counts.substitutions + counts.deletions
    if units == 0:
        raise ValueError("there is no reference word")
    wrong = sum(one != other for one, other in zip(ref, hyp, strict=True))
    utterances = {}
    for name, chunks in zip(references, counts.alignments, strict=True):
        parts = dict.fromkeys(("equal", "substitute", "delete", "insert"), 0)
        for chunk in chunks:
            parts[chunk.type] += max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
        # The identifier that asr.sh gives to sclite, so that scores of both tools can be compared.
        identifier = fold_case(_identifier(name, speakers))
        utterances[identifier] = Utterance(sclite_speaker(identifier) if speakers else None, *parts.values())
    totals = (counts.hits, counts.substitutions, counts.deletions, counts.insertions)
    return Score("jiwer", len(ref), units, *totals, sentence_errors=wrong, utterances=utterances)


def _identifier(name: str, speakers: dict[str, str]) -> str:
    return f"{speakers[name]}-{name}" if speakers else name


def sclite_obstacle(references: dict[str, str], hypotheses: dict[str, str], speakers: dict[str, str]) -> str | None:
    """Returns the first utterance that sclite would stumble over or miscount, and why; None where it counts all."""
    identifiers: dict[str, str] = {}
    for name in references:
        for kind, text in (("reference", references[name]), ("hypothesis", hypotheses[name])):
            if reason := text_problem(text):
                return f"{kind} of {name}: {reason}"
        identifier = _identifier(name, speakers)
        if reason := id_problem(identifier):
            return f"{identifier}: {reason}"
        before = identifiers.setdefault(fold_case(identifier), name)
        if before != name:
            return f"{identifier}: the same identifier for sclite as that of {before}"
    return None


def read_speakers(ref: Path, references: dict[str, str]) -> dict[str, str]:
    """Returns the speaker of every utterance by `utt2spk` beside the reference text, nothing where that is not there.

    Raises:
        UserError: It lacks an utterance.
    """
    path = ref.with_name("utt2spk")
    if not path.is_file():
        return {}
    speakers = read_text(path)
    missing = next((name for name in references if not speakers.get(name)), None)
    if missing is not None:
        raise UserError(f"{path}: no speaker of utterance {missing}; prepare the data again (stages 1-5)")
    return speakers


def check_same_utterances(references: dict[str, str], hypotheses: dict[str, str], ref: Path, hyp: Path) -> None:
    """Raises a `UserError` that names the utterances only one of the two files has."""
    for missing, here, there in (
        (references.keys() - hypotheses.keys(), ref, hyp),
        (hypotheses.keys() - references.keys(), hyp, ref),
    ):
        if missing:
            names = ", ".join(sorted(missing)[:5]) + (", ..." if len(missing) > 5 else "")
            raise UserError(
                f"{there}: {len(missing)} utterances of {here} are not in it ({names}); "
                f"decode this set again (stage 12)"
            )


def main(cmd: list[str] | None = None) -> None:
    """Runs the command."""
    args = get_parser().parse_args(cmd)
    hyp_file = args.decode_dir / "text"
    references, hypotheses = read_text(args.ref), read_text(hyp_file)
    check_same_utterances(references, hypotheses, args.ref, hyp_file)
    if not any(references.values()):
        raise UserError(f"{args.ref}: no reference word in it; prepare the data again (stages 1-5)")
    speakers = read_speakers(args.ref, references)
    if args.check_only == "true":
        if obstacle := sclite_obstacle(references, hypotheses, speakers):
            print(f"{args.decode_dir}: {obstacle}")
            sys.exit(_NOT_FOR_SCLITE)
        return
    words = score(references, hypotheses, speakers)
    characters = score(references, hypotheses, speakers, characters=True)
    write_text(args.decode_dir / "score_wer" / JIWER_FILE, words.to_json())
    write_text(args.decode_dir / "score_cer" / JIWER_FILE, characters.to_json())
    print(
        f"{args.decode_dir}: WER {words.wer:.2f} %  CER {characters.wer:.2f} %  "
        f"({words.sentences} sentences, {words.words} words; jiwer)"
    )


if __name__ == "__main__":
    run_main(main)
