"""Checks a Kaldi-style data directory before hours are spent on it.

Headers only, so that a large corpus takes seconds: the samples themselves are read where the header cannot tell (NaN in
floating-point files), and one sample at the end of FLAC files (an interrupted copy keeps a good header).
"""

import math
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from espnet_ext.data.audio import Audio, BadAudioError, read_audio_header
from espnet_ext.errors import UserError


@dataclass
class Findings:
    """What a check found.

    Attributes:
        errors: One line each: file, utterance, reason and remedy.
        warnings: Same; the recipe copes with them.
        num_utts: Utterances with audio.
        seconds: Length of the audio, recordings counted once.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    num_utts: int = 0
    seconds: float = 0.0


def has_speech(transcript: str) -> bool:
    """Tells whether a transcript has a word: a letter or digit outside of tags such as `<noise>` or `[laughter]`."""
    words = (word for word in transcript.split() if (word[0], word[-1]) not in (("<", ">"), ("[", "]")))
    return any(character.isalnum() for word in words for character in word)


def read_table(path: Path, findings: Findings) -> dict[str, str]:
    """Reads `<key> <value>` lines; a key that comes twice is an error and its first value counts."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; run the data preparation (stage 1)") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); convert it with iconv") from error
    table: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        key, value = (*line.split(maxsplit=1), "", "")[:2]
        if not key:
            findings.errors.append(f"{path}, line {number}: empty line; remove it")
        elif key in table:
            findings.errors.append(f"{path}, line {number}: utterance id {key} comes twice; keep one of its lines")
        else:
            table[key] = value.rstrip()
    return table


def _compare(first: Iterable[str], first_name: str, second: dict[str, str], message: str, findings: Findings) -> None:
    findings.errors += [f"{first_name}: {key}: {message}" for key in first if key not in second]


def check_data_dir(data_dir: Path, fs: int, nj: int = 4, speech_needed: bool = True) -> Findings:
    """Checks wav.scp, text, utt2spk and (where present) segments of a data directory.

    Args:
        data_dir: E.g. `data/train`.
        fs: Sampling rate the recipe works at, Hz; another one is a warning, since asr.sh resamples in stage 3.
        nj: Files read at the same time.
        speech_needed: Whether a transcript without a word is an error; else it is a warning.

    Raises:
        UserError: A file of the directory is missing or not UTF-8.
    """
    findings = Findings()
    recordings = read_table(data_dir / "wav.scp", findings)
    text = read_table(data_dir / "text", findings)
    utt2spk = read_table(data_dir / "utt2spk", findings)
    segments_file = data_dir / "segments"
    segments = read_table(segments_file, findings) if segments_file.exists() else None
    utterances, listed_in = (recordings, "wav.scp") if segments is None else (segments, "segments")
    findings.num_utts = len(utterances)
    if not utterances:
        findings.errors.append(f"{data_dir / listed_in}: no utterance; prepare the data again")

    in_text, in_audio = str(data_dir / "text"), str(data_dir / listed_in)
    _compare(utterances, in_audio, text, "audio without transcript; add its line to text, or remove it", findings)
    _compare(text, in_text, utterances, f"transcript without audio; add it to {listed_in}, or remove it", findings)
    _compare(utterances, in_audio, utt2spk, "no speaker; add its line to utt2spk", findings)
    _check_speech(in_text, text, speech_needed, findings)

    headers = read_headers(recordings, nj, str(data_dir / "wav.scp"), findings)
    findings.seconds = sum(audio.seconds for audio in headers.values())
    rates = Counter(audio.rate for audio in headers.values() if audio.rate != fs)
    findings.warnings += [
        f"{data_dir}: {count} of {len(recordings)} recordings have {rate} Hz, not {fs} Hz; stage 3 resamples them"
        for rate, count in sorted(rates.items())
    ]
    if segments is not None:
        _check_segments(segments_file, segments, recordings, headers, findings)
    return findings


def _check_speech(in_text: str, text: dict[str, str], speech_needed: bool, findings: Findings) -> None:
    silent = {utterance: words for utterance, words in text.items() if not has_speech(words)}
    if speech_needed:
        findings.errors += [
            f"{in_text}: {utterance}: transcript with no speech ('{words}'); correct it, or remove the utterance"
            for utterance, words in silent.items()
        ]
    elif silent:
        example = " ".join(next(iter(silent.items())))
        findings.warnings.append(
            f"{in_text}: {len(silent)} of {len(text)} transcripts have no speech and are kept, e.g. '{example}'"
        )


def read_headers(entries: dict[str, str], nj: int, listed_in: str, findings: Findings) -> dict[str, Audio]:
    """Reads the headers of recordings; those that cannot be used become errors and are left out.

    Args:
        entries: Path or command (see `read_audio_header`) by id.
        nj: Files read at the same time.
        listed_in: File or directory that errors name.
        findings: Receives the errors.
    """

    def read(entry: str) -> Audio | BadAudioError:
        try:
            return read_audio_header(entry)
        except BadAudioError as error:
            return error

    headers = {}
    with ThreadPoolExecutor(nj) as pool:
        for key, result in zip(entries, pool.map(read, entries.values()), strict=True):
            if isinstance(result, Audio):
                headers[key] = result
            else:
                findings.errors.append(f"{listed_in}: {key}: {result}")
    return headers


def _check_segments(
    path: Path, segments: dict[str, str], recordings: dict[str, str], headers: dict[str, Audio], findings: Findings
) -> None:
    for utterance, value in segments.items():
        try:
            recording, start, end = value.split()
            start_sec = float(start)
            end_sec = math.inf if float(end) == -1 else float(end)  # format_wav_scp.py reads -1 as "to the end"
        except ValueError:
            findings.errors.append(f"{path}: {utterance}: expected '<recording> <start> <end>', found '{value}'")
            continue
        if recording not in recordings:
            findings.errors.append(f"{path}: {utterance}: its recording {recording} is not in wav.scp; add it")
            continue
        audio = headers.get(recording)
        length_sec = audio.seconds if audio else math.inf
        if not 0 <= start_sec < min(end_sec, length_sec):
            findings.errors.append(
                f"{path}: {utterance}: no audio between {start} s and {end} s of {recording} "
                f"({length_sec:.2f} s long); correct the times"
            )


def summarise(directory: Path, findings: Findings, max_shown: int = 5) -> str:
    """Returns the first errors and their number, for one message."""
    shown = findings.errors[:max_shown]
    more = len(findings.errors) - len(shown)
    lines = [f"{directory}: {len(findings.errors)} problem(s)", *(f"  {line}" for line in shown)]
    return "\n".join(lines + ([f"  ... and {more} more"] if more else []))
