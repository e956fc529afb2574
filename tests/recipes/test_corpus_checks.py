"""Bad corpora are named by file, line, reason and remedy before anything is prepared from them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from espnet_ext.bin.check_corpus import main as check_corpus
from espnet_ext.errors import UserError
from tests.recipes.corpora import UTTS_PER_CHAPTER, contents, shift_last_segment, stm_of


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:30000])


def sph_of(root: Path) -> Path:
    return next((root / "TEDLIUM_release-3/legacy/dev/sph").iterdir())


def trans_of(root: Path) -> Path:
    return next((root / "LibriSpeech/dev-clean").glob("*/*/*.trans.txt"))


def last_line(path: Path) -> str:
    return path.read_text().splitlines()[-1]


def shorten_header(path: Path) -> None:
    old, new = b"sample_coding -s3 pcm\n", b"sample_coding -s26 pcm,embedded-shorten-v2.00\n"
    header, samples = path.read_bytes()[:1024], path.read_bytes()[1024:]
    assert old in header
    path.write_bytes(header.replace(old, new).rstrip(b"\0").ljust(1024, b"\0") + samples)


BAD_CORPORA: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "no split": (lambda d: shutil.rmtree(d / "LibriSpeech/dev-clean"), ["dev-clean does not exist", "OpenSLR 12"]),
    "no speakers": (lambda d: (d / "LibriSpeech/SPEAKERS.TXT").unlink(), ["SPEAKERS.TXT does not exist"]),
    "unknown reader": (lambda d: (d / "LibriSpeech/SPEAKERS.TXT").write_text(""), ["SPEAKERS.TXT: no reader"]),
    "no transcripts": (lambda d: trans_of(d).unlink(), [".trans.txt does not exist"]),
    "transcript without audio": (
        lambda d: append(trans_of(d), "1-7-9999 WORDS\n"),
        [".trans.txt: 1-7-9999: transcript without audio"],
    ),
    "audio without transcript": (
        lambda d: shutil.copy(next(trans_of(d).parent.glob("*.flac")), trans_of(d).parent / "1-7-9999.flac"),
        ["1-7-9999.flac: audio without transcript"],
    ),
    "id twice in a file": (
        lambda d: append(trans_of(d), last_line(trans_of(d)) + "\n"),
        [f".trans.txt, line {UTTS_PER_CHAPTER + 1}: utterance id", "comes twice"],
    ),
    "id in two chapters": (
        lambda d: (
            shutil.copytree(trans_of(d).parent, trans_of(d).parents[1] / "8")
            .joinpath(trans_of(d).name)
            .rename(trans_of(d).parents[1] / "8" / trans_of(d).name.replace("-7.", "-8."))
        ),
        ["-8.trans.txt: utterance id", "comes twice (also in", "-7.trans.txt"],
    ),
    "stm past the audio": (lambda d: shift_last_segment(d, 9), [".stm, line 8", "runs past its audio", "s long"]),
    "stm backwards": (lambda d: shift_last_segment(d, -9), [".stm, line 8", "no time between"]),
    "stm without fields": (lambda d: append(stm_of(d), "talk 1\n"), [".stm, line 9: expected '<talk>", "'talk 1'"]),
    "stm with an id twice": (
        lambda d: append(stm_of(d), last_line(stm_of(d)) + " more\n"),
        [".stm, line 9: utterance id", "comes twice (also", ".stm, line 8"],
    ),
    "stm without sph": (lambda d: sph_of(d).rename(d / "x.sph"), ["sph: no .sph file"]),
    "stm of another talk": (
        lambda d: append(stm_of(d), "Nobody_2010 1 x 0.1 0.9 <F0_M> words\n"),
        ["stm: Nobody_2010: transcript without audio (sph/Nobody_2010.sph)"],
    ),
    "sph without stm": (
        lambda d: shutil.copy(sph_of(d), sph_of(d).with_name("Other.sph")),
        ["Other.sph: audio without transcript (stm/Other.stm)"],
    ),
    "sph truncated": (lambda d: truncate(sph_of(d)), [".sph is truncated", "samples)"]),
    "sph compressed": (lambda d: shorten_header(sph_of(d)), ["compressed with shorten", "sph2pipe -p -f sph"]),
}


@pytest.mark.parametrize("case", BAD_CORPORA)
def test_bad_corpora_are_named_and_nothing_is_changed(own_corpora: Path, case: str):
    spoil, expected = BAD_CORPORA[case]
    spoil(own_corpora)
    before = contents(own_corpora)
    with pytest.raises(UserError) as caught:
        check_corpus(["--layout", "librispeech", str(own_corpora / "LibriSpeech/dev-clean")])
        check_corpus(["--layout", "tedlium", str(own_corpora / "TEDLIUM_release-3/legacy/dev")])
    assert all(part in str(caught.value) for part in expected), str(caught.value)
    assert contents(own_corpora) == before


def test_segments_that_end_a_little_late_and_repeated_lines_pass(own_corpora: Path, capsys: pytest.CaptureFixture[str]):
    shift_last_segment(own_corpora, 0.2)
    append(stm_of(own_corpora), last_line(stm_of(own_corpora)) + "\n")  # join_suffix.py drops it
    check_corpus(["--layout", "tedlium", str(own_corpora / "TEDLIUM_release-3/legacy/dev")])
    assert "2 segments end after the audio" in capsys.readouterr().err
