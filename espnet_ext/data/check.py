"""Checks a Kaldi-style data directory before hours are spent on it.

Of the audio headers only, and what `espnet_ext.data.audio` says, so that a large corpus takes minutes. Files are read
line by line, several times, so that memory does not grow with the utterances, but for the lengths of recordings where
there are `segments`, and the ids of sets that are scored.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise, repeat
from operator import itemgetter
from pathlib import Path

from espnet_ext.data.audio import Audio
from espnet_ext.data.findings import Count, Findings
from espnet_ext.data.headers import read_headers
from espnet_ext.data.perturbation import SoxCheck
from espnet_ext.data.sclite import fold_case, id_problem, text_problem
from espnet_ext.data.segments import check_segments
from espnet_ext.data.tables import check_last_line, read_keys, read_sorted_rows, shown

# Kaldi's validate_data_dir.sh, which stage 3 runs, takes no line with them.
_ILLEGAL_WORDS = {"<s>", "</s>", "#0"}


@dataclass(frozen=True)
class Use:
    """What the recipe does with a data directory.

    Attributes:
        speech_needed: A transcript without a word is an error; else it is a warning.
        speed_perturb: Stage 2 perturbs the speed, by sox.
        scored: Stage 13 scores it, by sclite.
        audio: Headers of the audio are read too.
        transcribed: It has a file text; EncRL takes audio without.
    """

    speech_needed: bool = True
    speed_perturb: bool = False
    scored: bool = False
    audio: bool = True
    transcribed: bool = True


def has_speech(transcript: str) -> bool:
    """Tells whether a transcript has a word: a letter or digit outside of tags such as `<noise>` or `[laughter]`."""
    words = (word for word in transcript.split() if (word[0], word[-1]) not in (("<", ">"), ("[", "]")))
    return any(character.isalnum() for word in words for character in word)


def check_data_dir(data_dir: Path, fs: int, nj: int = 4, use: Use = Use()) -> Findings:
    """Checks wav.scp, text, utt2spk and (where present) segments of a data directory.

    Args:
        data_dir: E.g. `data/train`.
        fs: Sampling rate the recipe works at, Hz; another one is a warning, since asr.sh resamples in stage 3.
        nj: Files read at the same time.
        use: What is done with it.

    Raises:
        UserError: A file of the directory is missing or not UTF-8.
    """
    findings = Findings()
    paths = {name: data_dir / name for name in ("wav.scp", "text", "utt2spk") if use.transcribed or name != "text"}
    segments = data_dir / "segments"
    if segments.exists():
        paths["segments"] = segments
    in_order = [_is_sorted(path) for path in paths.values()]  # of all, so that a missing file is found before long work
    for path in paths.values():
        check_last_line(path, use.speed_perturb, findings)
    lengths: dict[str, float] = {}
    for recording, audio in _check_recordings(paths["wav.scp"], fs, nj, use, findings):
        if "segments" in paths:
            lengths[recording] = audio.seconds if audio else math.inf
        else:
            findings.num_utts += 1
    if "segments" in paths:
        check_segments(segments, lengths, findings)
    if use.transcribed:
        _check_text(paths["text"], use, findings)
    _check_speakers(paths["utt2spk"], use.scored, findings)
    if all(in_order):
        _compare(paths, findings)
    if not findings.num_utts and not findings.errors:
        listed_in = paths.get("segments", paths["wav.scp"])
        findings.error(f"{listed_in}: no utterance; prepare the data again")
    return findings


def _is_sorted(path: Path) -> bool:
    return all(first <= second for first, second in pairwise(read_keys(path)))


def _check_recordings(path: Path, fs: int, nj: int, use: Use, findings: Findings) -> Iterator[tuple[str, Audio | None]]:
    """Yields the recordings of wav.scp with their headers."""
    sox = SoxCheck() if use.speed_perturb else None
    rows = read_sorted_rows(path, findings, of_paths=True)
    headers = read_headers(rows, nj, str(path), findings) if use.audio else ((*row, None) for row in rows)
    rates: Counter[int] = Counter()
    for recording, entry, audio in headers:
        if audio:
            rates[audio.rate] += 1
        if sox and (audio or not use.audio) and (problem := sox.problem(entry)):
            findings.error(f"{path}: {recording}: {problem}")
        yield recording, audio
    findings.warnings += [
        f"{path.parent}: {count} of {rates.total()} recordings have {rate} Hz, not {fs} Hz; stage 3 resamples them"
        for rate, count in sorted(rates.items())
        if rate != fs
    ]


def _check_text(path: Path, use: Use, findings: Findings) -> None:
    silent, number = Count(), 0
    for utterance, words in read_sorted_rows(path, findings):
        number += 1
        problem = None
        if illegal := _ILLEGAL_WORDS.intersection(words.split()):
            problem = f"stage 3 does not take the word {min(illegal)}; replace or remove it"
        elif not has_speech(words) and use.speech_needed:
            problem = f"transcript with no speech ('{words}'); correct it, or remove the utterance"
        elif not has_speech(words):
            silent.add(f"{utterance} {words}")
        elif use.scored and (reason := text_problem(words)):
            problem = f"{reason}; write it as words, or remove it"
        if problem:
            findings.error(f"{path}: {utterance}: {problem}")
    if silent.number:
        findings.warnings.append(
            f"{path}: {silent.number} of {number} transcripts have no speech and are kept, e.g. '{silent.example}'"
        )


def _check_speakers(path: Path, scored: bool, findings: Findings) -> None:
    identifiers: dict[str, str] = {}
    for utterance, speaker in read_sorted_rows(path, findings):
        if len(speaker.split()) != 1:
            findings.error(f"{path}: {utterance}: expected one speaker without blanks, found '{speaker}'")
        elif scored:  # the identifiers that asr.sh gives to sclite
            identifier = f"{speaker}-{utterance}"
            before = identifiers.setdefault(fold_case(identifier), utterance)
            if reason := id_problem(identifier):
                findings.error(f"{path}: {utterance}: {reason}, found in {identifier}; rename utterance or speaker")
            elif before != utterance:
                findings.error(
                    f"{path}: {utterance}: its identifier {identifier} is that of {before} for sclite, "
                    "which knows no capitals; rename one"
                )


def _compare(paths: dict[str, Path], findings: Findings) -> None:
    """Finds utterances that a file lacks, by reading all files side by side in their order."""
    audio_in = "segments" if "segments" in paths else "wav.scp"
    names = [name for name in (audio_in, "text", "utt2spk") if name in paths]
    rows = heapq.merge(*(zip(read_keys(paths[name]), repeat(name)) for name in names))
    for key, same in groupby(rows, key=itemgetter(0)):
        present = {name for _, name in same}
        for lacks, has, message in (
            ("text", audio_in, "audio without transcript; add its line to text, or remove it"),
            (audio_in, "text", f"transcript without audio; add it to {audio_in}, or remove it"),
            ("utt2spk", audio_in, "no speaker; add its line to utt2spk"),
        ):
            if lacks in names and lacks not in present and has in present:
                findings.error(f"{paths[has]}: {shown(key)}: {message}")
