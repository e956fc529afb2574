"""Word and character error rates of a decoded test set by jiwer, for machines without sclite."""

import argparse
from pathlib import Path

from espnet_ext.errors import UserError, run_main
from espnet_ext.report.scores import JIWER_FILE, Score, Utterance, sclite_speaker
from espnet_ext.report.write import write_text


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        description="Score a decoded test set with jiwer where sclite is not installed. Upper and lower case count as "
        "equal, as in sclite. Writes score_wer/result_jiwer.json and score_cer/result_jiwer.json, with the counts and "
        "the speaker of every utterance.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--ref", type=Path, required=True, help="reference text, e.g. dump/raw/test/text, beside utt2spk"
    )
    parser.add_argument(
        "--decode_dir", type=Path, required=True, help="exp/<model>/<inference_tag>/<set>, which holds the text file"
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
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
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

    ref = [references[name].lower() for name in references]
    hyp = [hypotheses[name].lower() for name in references]
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
        identifier = f"{speakers[name]}-{name}".lower() if speakers else name.lower()
        utterances[identifier] = Utterance(sclite_speaker(identifier) if speakers else None, *parts.values())
    totals = (counts.hits, counts.substitutions, counts.deletions, counts.insertions)
    return Score("jiwer", len(ref), units, *totals, sentence_errors=wrong, utterances=utterances)


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
