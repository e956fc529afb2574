"""Word and character error rates by jiwer, where sclite is missing or cannot score a set."""

from pathlib import Path

from espnet_ext.data.sclite import fold_case
from espnet_ext.data.text import read_speakers, read_text
from espnet_ext.errors import UserError
from espnet_ext.files import atomic
from espnet_ext.score.results import JIWER_FILE, Score, Utterance, identifier, sclite_speaker


def score(
    references: dict[str, str], hypotheses: dict[str, str], speakers: dict[str, str], characters: bool = False
) -> Score:
    """Counts the errors of every utterance. Upper and lower case of ASCII letters count as equal, as in sclite.

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
        known = fold_case(identifier(name, speakers))
        utterances[known] = Utterance(sclite_speaker(known) if speakers else None, *parts.values())
    totals = (counts.hits, counts.substitutions, counts.deletions, counts.insertions)
    return Score("jiwer", len(ref), units, *totals, sentence_errors=wrong, utterances=utterances)


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


def score_by_jiwer(ref: Path, decoded: Path) -> str:
    """Writes score_wer/result_jiwer.json and score_cer/result_jiwer.json: counts and speaker of every utterance.

    Args:
        ref: the reference text, with `utt2spk` beside it where the speakers are known.
        decoded: directory of the decoded set, which holds the file `text`.

    Returns:
        A line for the user.

    Raises:
        UserError: the two texts are not of the same utterances, or no reference has a word.
    """
    references, hypotheses = read_text(ref), read_text(decoded / "text")
    check_same_utterances(references, hypotheses, ref, decoded / "text")
    if not any(references.values()):
        raise UserError(f"{ref}: no reference word in it; prepare the data again (stages 1-5)")
    speakers = read_speakers(ref, references)
    words, characters = (score(references, hypotheses, speakers, characters=kind) for kind in (False, True))
    for name, counts in (("score_wer", words), ("score_cer", characters)):
        with atomic(decoded / name / JIWER_FILE) as temporary:
            temporary.write_text(counts.to_json(), encoding="utf-8")
    sizes = f"{words.sentences} sentences, {words.words} words; jiwer"
    return f"{decoded}: WER {words.wer:.2f} %  CER {characters.wer:.2f} %  ({sizes})"
