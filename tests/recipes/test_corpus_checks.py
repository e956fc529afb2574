"""Bad corpora are named by file, line, reason and remedy before anything is prepared from them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from espnet_ext.cli import check as check_verb
from espnet_ext.data.tedlium import plain_line
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


def edit(root: Path, field: int, text: str) -> None:
    """Replaces a field of the last line of the .stm file."""
    lines = stm_of(root).read_text().splitlines()
    fields = lines[-1].split()
    fields[field] = text
    stm_of(root).write_text("\n".join([*lines[:-1], " ".join(fields)]) + "\n")


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
    "stm with a time nan": (lambda d: edit(d, 3, "nan"), [".stm, line 8: expected '<talk>", "times in seconds"]),
    "stm with a time inf": (lambda d: edit(d, 4, "inf"), [".stm, line 8: expected '<talk>", "times in seconds"]),
    "stm with a time of python": (lambda d: edit(d, 4, "1_0"), [".stm, line 8: expected '<talk>", "times in seconds"]),
    "stm without label": (
        lambda d: edit(d, 5, "so"),
        [".stm, line 8: expected '<talk>", "a label such as <o,f0,male>"],
    ),
    "stm with half a label": (lambda d: edit(d, 5, "<o,f0"), [".stm, line 8: expected '<talk>", "a label such as"]),
    "stm with a next line": (lambda d: edit(d, 6, "a\x85b"), [".stm, line 8: U+0085 (NEXT LINE)"]),
    "stm not utf-8": (lambda d: stm_of(d).write_bytes(stm_of(d).read_bytes()[:-1] + b"\xe9\n"), ["line 8: not UTF-8"]),
    "stm of a talk with a hyphen": (
        lambda d: edit(d, 0, "A-B_2010"),
        [".stm, line 8: the talk 'A-B_2010' has a hyphen"],
    ),
    "sph truncated": (lambda d: truncate(sph_of(d)), [".sph is truncated", " s are missing"]),
    "sph compressed": (lambda d: shorten_header(sph_of(d)), ["compressed with shorten", "sph2pipe -p -f sph"]),
}


@pytest.mark.parametrize("case", BAD_CORPORA)
def test_bad_corpora_are_named_and_nothing_is_changed(own_corpora: Path, case: str):
    spoil, expected = BAD_CORPORA[case]
    spoil(own_corpora)
    before = contents(own_corpora)
    with pytest.raises(UserError) as caught:
        check_verb.main(["corpus", "--layout", "librispeech", str(own_corpora / "LibriSpeech/dev-clean")])
        check_verb.main(["corpus", "--layout", "tedlium", str(own_corpora / "TEDLIUM_release-3/legacy/dev")])
    assert all(part in str(caught.value) for part in expected), str(caught.value)
    assert contents(own_corpora) == before


def test_segments_that_end_a_little_late_and_repeated_lines_pass(own_corpora: Path, capsys: pytest.CaptureFixture[str]):
    shift_last_segment(own_corpora, 0.2)
    append(stm_of(own_corpora), last_line(stm_of(own_corpora)) + "\n")  # join_suffix.py drops it
    check_verb.main(["corpus", "--layout", "tedlium", str(own_corpora / "TEDLIUM_release-3/legacy/dev")])
    assert "2 segments end after the audio" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("T 1 S 0.5 1.25 <o, f0, male> one  two", "T 1 S 0.5 1.25 <o,f0,male> one  two"),
        ("T 1 S 0.5 1.25 < o,f0,male > one", "T 1 S 0.5 1.25 <o,f0,male> one"),
        ("T 1 S 0.5 1.25 <o,f0,male>one <unk> two", "T 1 S 0.5 1.25 <o,f0,male> one <unk> two"),
        ("T 1 S 0.5 1.25 <F0_M> one <a b> two", "T 1 S 0.5 1.25 <F0_M> one <a b> two"),
        (
            "T 1 S 0.5 1.25 <o, ,> ignore_time_segment_in_scoring",
            "T 1 S 0.5 1.25 <o, ,> ignore_time_segment_in_scoring",
        ),
        (";; LABEL <a b>", ";; LABEL <a b>"),
    ],
)
def test_labels_become_one_word(line: str, plain: str):
    assert plain_line(line) == plain


def test_what_is_ignored_may_be_in_any_encoding(own_corpora: Path, tmp_path: Path):
    noise = b"x 1 y 0 1 <o,,> ignore_time_segment_in_scoring caf\xe9\n"
    stm_of(own_corpora).write_bytes(noise + stm_of(own_corpora).read_bytes().removesuffix(b"\n"))
    options = ("--plain_stm", str(tmp_path / "plain"), str(own_corpora / "TEDLIUM_release-3/legacy/dev"))
    check_verb.main(["corpus", "--layout", "tedlium", *options])
    (written,) = (tmp_path / "plain/dev/stm").iterdir()
    assert written.read_bytes() == stm_of(own_corpora).read_bytes() + b"\n"  # ESPnet's script joins the files
    with pytest.raises(UserError, match="stm exists; remove it"):
        check_verb.main(["corpus", "--layout", "tedlium", *options])
    with pytest.raises(UserError, match="--plain_stm belongs to --layout tedlium"):
        check_verb.main(["corpus", "--layout", "librispeech", *options])
