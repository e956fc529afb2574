"""Bad data directories are named by file, utterance, reason and remedy, and not changed."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_ext.cli import check as check_verb
from espnet_ext.data.check import Use, check_data_dir, has_speech
from espnet_ext.data.findings import summarise
from espnet_ext.errors import UserError

REPO = Path(__file__).resolve().parents[2]


def noise(seconds: float = 0.5, rate: int = 16000) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(int(seconds * rate))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A good data directory of three utterances, a, b and c."""
    directory = tmp_path / "data" / "train"
    directory.mkdir(parents=True)
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.flac", noise(), 16000)
    (directory / "wav.scp").write_text("".join(f"{name} {tmp_path}/{name}.flac\n" for name in "abc"))
    (directory / "text").write_text("a ONE\nb TWO\nc THREE\n")
    (directory / "utt2spk").write_text("a s\nb s\nc s\n")
    return directory


def replace(path: Path, old: str, new: str) -> None:
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))


def write_nan(path: Path) -> None:
    samples = noise()
    samples[-1] = np.nan
    soundfile.write(path, samples, 16000, format="WAV", subtype="FLOAT")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4000])


BAD_INPUT: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "missing audio": (lambda d: (d.parents[1] / "b.flac").unlink(), ["wav.scp: b:", "b.flac does not exist"]),
    "empty file": (lambda d: (d.parents[1] / "b.flac").write_bytes(b""), ["wav.scp: b:", "b.flac is empty"]),
    "no samples": (lambda d: soundfile.write(d.parents[1] / "b.flac", noise(0), 16000, format="WAV"), ["b:", "no sam"]),
    "not audio": (lambda d: (d.parents[1] / "b.flac").write_text("x" * 99), ["wav.scp: b:", "cannot be read"]),
    "truncated": (lambda d: truncate(d.parents[1] / "b.flac"), ["wav.scp: b:", "b.flac"]),
    "nan": (lambda d: write_nan(d.parents[1] / "b.flac"), ["wav.scp: b:", "NaN"]),
    "failing command": (
        lambda d: replace(d / "wav.scp", f"{d.parents[1]}/b.flac", "no_such_program b.sph |"),
        ["wav.scp: b:", "no_such_program", "failed"],
    ),
    "empty transcript": (lambda d: replace(d / "text", "b TWO", "b"), ["text: b:", "no speech"]),
    "only tags": (lambda d: replace(d / "text", "b TWO", "b <noise> ."), ["text: b:", "no speech"]),
    "no transcript": (lambda d: replace(d / "text", "b TWO\n", ""), ["wav.scp: b:", "audio without transcript"]),
    "no audio": (lambda d: replace(d / "text", "c THREE", "c THREE\nd X"), ["text: d:", "transcript without audio"]),
    "no speaker": (lambda d: replace(d / "utt2spk", "b s\n", ""), ["wav.scp: b:", "utt2spk"]),
    "duplicate": (lambda d: replace(d / "text", "c THREE", "b THREE\nc X"), ["text, line 3", "id b comes twice"]),
    "no utterance": (lambda d: [(d / f).write_text("") for f in ("wav.scp", "text", "utt2spk")], ["no utterance"]),
    "no file": (lambda d: (d / "text").unlink(), ["text does not exist"]),
    "not utf-8": (lambda d: (d / "text").write_bytes(b"a \xe9\n"), ["text is not UTF-8"]),
    "segment after the end": (
        lambda d: (d / "segments").write_text("a a 0 0.4\nb b 3 4\nc c 0 0.4\n"),
        ["segments: b:", "0.50 s long"],
    ),
    "segment that ends long after": (
        lambda d: (d / "segments").write_text("a a 0 0.4\nb b 0.1 9\nc c 0 0.4\n"),
        ["segments: b:", "9 s runs past the end of b (0.50 s long)"],
    ),
    "segment that ends a second late": (
        lambda d: (d / "segments").write_text("a a 0 0.4\nb b 0.1 1.5\nc c 0 0.4\n"),
        ["segments: b:", "1.5 s runs past the end of b (0.50 s long)"],
    ),
    "segment of no sample": (
        lambda d: (d / "segments").write_text("a a 0 0.4\nb b 0.1 0.10001\nc c 0 0.4\n"),
        ["segments: b: no audio between 0.1 s and 0.10001 s of b (0.50 s long)"],
    ),
    "segment without an end": (  # validate_data_dir.sh refuses it in stage 3
        lambda d: (d / "segments").write_text("a a 0 0.4\nb b 0.1 -1\nc c 0 0.4\n"),
        ["segments: b: -1", "(0.50 s long) is refused by stage 3"],
    ),
    "segment until nan": (
        lambda d: (d / "segments").write_text("a a 0 0.4\nb b 0.1 nan\nc c 0 0.4\n"),
        ["segments: b: expected '<recording> <start> <end>'", "'b 0.1 nan'"],
    ),
    "segment until inf": (
        lambda d: (d / "segments").write_text("a a 0 0.4\nb b 0.1 inf\nc c 0 0.4\n"),
        ["segments: b: expected '<recording> <start> <end>'", "'b 0.1 inf'"],
    ),
    "segment of nothing": (
        lambda d: (d / "segments").write_text("a z 0 1\nab a 0 .4\nb b 0 1\nc c 0 1\n"),
        ["segments: a:", "recording z is not in"],
    ),
    "recording without a segment": (  # as well
        lambda d: [
            replace(d / "wav.scp", "c /", f"bb {d.parents[1]}/a.flac\nc /"),
            (d / "segments").write_text("a a 0 .4\nb b 0 .4\nc c 0 .4\n"),
        ],
        ["segments: recording bb of wav.scp has no segment"],
    ),
    "stereo": (
        lambda d: soundfile.write(d.parents[1] / "b.flac", np.stack([noise(), noise()], axis=1), 16000),
        ["wav.scp: b: 2 channels", "b.flac -t wav - remix - |"],
    ),
    "stereo from a command": (
        lambda d: [
            soundfile.write(d.parents[1] / "b.wav", np.stack([noise(), noise()], axis=1), 16000),
            replace(d / "wav.scp", f"{d.parents[1]}/b.flac", f"cat {d.parents[1]}/b.wav |"),
        ],
        ["wav.scp: b: 2 channels", "b.wav | sox -t wav - -t wav - remix - |"],
    ),
    "not in order": (
        lambda d: (d / "text").write_text("b TWO\na ONE\nc THREE\n"),
        ["text, line 2: a comes after b", "utils/fix_data_dir.sh"],
    ),
    "byte order mark": (
        lambda d: (d / "text").write_text("\ufeffa ONE\nb TWO\nc THREE\n"),
        ["text, line 1: U+FEFF (ZERO WIDTH NO-BREAK SPACE) at character 1", "sed -i"],
    ),
    "byte order mark of a joined file": (
        lambda d: (d / "utt2spk").write_text("a s\n\ufeffb s\nc s\n"),
        ["utt2spk, line 2: U+FEFF"],
    ),
    "next line": (
        lambda d: replace(d / "text", "TWO", "TWO\x85x y z"),
        ["text, line 2: U+0085 (NEXT LINE) at character 6", "replace it by a blank"],
    ),
    "line separator": (
        lambda d: replace(d / "text", "TWO", "TWO\u2028x y z"),
        ["text, line 2: U+2028 (LINE SEPARATOR)"],
    ),
    "form feed": (lambda d: replace(d / "text", "TWO", "TWO\fx y z"), ["text, line 2: U+000C (FORM FEED)"]),
    "no-break space": (lambda d: replace(d / "text", "TWO", "TWO\xa0TOO"), ["text, line 2: U+00A0 (NO-BREAK SPACE)"]),
    "ideographic space": (lambda d: replace(d / "text", "b TWO", "b\u3000TWO"), ["line 2: U+3000 (IDEOGRAPHIC SPACE)"]),
    "soft hyphen": (lambda d: replace(d / "text", "TWO", "T\xadWO"), ["text, line 2: U+00AD (SOFT HYPHEN)"]),
    "mark of direction": (
        lambda d: replace(d / "utt2spk", "b s", "b s\u200e"),
        ["line 2: U+200E (LEFT-TO-RIGHT MARK)"],
    ),
    "windows' line ends": (
        lambda d: (d / "utt2spk").write_bytes(b"a s\nb s\r\nc s\n"),
        ["utt2spk, line 2: U+000D (CARRIAGE RETURN)", "sed -i"],
    ),
    "null": (lambda d: replace(d / "text", "TWO", "T\0WO"), ["text, line 2: U+0000 (NULL)"]),
    "no-break space in an id": (
        lambda d: replace(d / "wav.scp", "b /", "b\xa0/"),
        ["wav.scp, line 2: U+00A0 (NO-BREAK SPACE) at character 2"],
    ),
    "kaldi's own word": (
        lambda d: replace(d / "text", "TWO", "<s> TWO"),
        ["text: b: stage 3 does not take the word <s>"],
    ),
    "speaker of two words": (
        lambda d: replace(d / "utt2spk", "b s", "b s t"),
        ["utt2spk: b: expected one speaker", "s t"],
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_named_and_nothing_is_changed(data_dir: Path, case: str):
    spoil, expected = BAD_INPUT[case]
    spoil(data_dir)
    before = {path: path.read_bytes() for path in data_dir.parents[1].rglob("*") if path.is_file()}
    with pytest.raises(UserError) as caught:
        check_verb.main(["data", str(data_dir)])
    assert all(part in str(caught.value) for part in expected), str(caught.value)
    assert "2 problem" not in str(caught.value)
    assert {path: path.read_bytes() for path in data_dir.parents[1].rglob("*") if path.is_file()} == before


def test_good_data_passes(data_dir: Path, capsys: pytest.CaptureFixture[str]):
    check_verb.main(["data", str(data_dir), "--fs", "16k"])
    assert "3 utterances, 0.00 h: ok" in capsys.readouterr().out
    findings = check_data_dir(data_dir, 16000)
    assert findings.seconds == pytest.approx(1.5)


def test_segments_that_end_a_little_late_are_a_warning(data_dir: Path, capsys: pytest.CaptureFixture[str]):
    (data_dir / "segments").write_text("a a 0 0.4\nb b 0.1 0.9\nc c 0 .5\n")
    check_verb.main(["data", str(data_dir)])
    assert "1 segments end after the audio and are cut there, e.g. b (0.9 s of 0.50 s)" in capsys.readouterr().err


def test_a_path_may_hold_other_white_space(data_dir: Path):
    other = data_dir.parents[1] / "at\u202fnoon b.flac"
    (data_dir.parents[1] / "b.flac").rename(other)
    replace(data_dir / "wav.scp", f"{data_dir.parents[1]}/b.flac", str(other))
    assert check_data_dir(data_dir, 16000).errors == []


def test_a_last_line_without_end_is_a_warning(data_dir: Path, capsys: pytest.CaptureFixture[str]):
    (data_dir / "text").write_text("a ONE\nb TWO\nc THR")
    check_verb.main(["data", str(data_dir)])
    assert "text: its last line has no end" in capsys.readouterr().err


def test_ids_that_look_alike_are_told_apart(data_dir: Path):
    """As of names that another system wrote, or with letters of another script."""
    for one, other, written in (("\xe9", "e\u0301", r"(e\u0301)"), ("\u0430", "a", r"(\u0430)")):
        (data_dir / "wav.scp").write_text(f"{one} {data_dir.parents[1]}/b.flac\n")
        (data_dir / "utt2spk").write_text(f"{one} s\n")
        (data_dir / "text").write_text(f"{other} WORDS\n")
        errors = check_data_dir(data_dir, 16000).errors
        assert len(errors) == 2 and any(written in line for line in errors)


def test_words_may_hold_joiners(data_dir: Path):
    replace(data_dir / "text", "TWO", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645")
    assert check_data_dir(data_dir, 16000).errors == []


def test_audio_without_transcripts(data_dir: Path):
    (data_dir / "text").unlink()
    check_verb.main(["data", str(data_dir), "--text", "false"])
    replace(data_dir / "utt2spk", "b s\n", "")
    with pytest.raises(UserError, match="wav.scp: b: no speaker"):
        check_verb.main(["data", str(data_dir), "--text", "false"])


def test_transcripts_of_tags_alone_may_be_a_warning(data_dir: Path, capsys: pytest.CaptureFixture[str]):
    replace(data_dir / "text", "b TWO", "b [unk]")
    check_verb.main(["data", str(data_dir), "--no_speech", "warning"])
    assert "1 of 3 transcripts have no speech and are kept, e.g. 'b [unk]'" in capsys.readouterr().err


def test_pipes_are_read(data_dir: Path):
    replace(data_dir / "wav.scp", f"{data_dir.parents[1]}/b.flac", f"cat {data_dir.parents[1]}/b.flac |")
    assert check_data_dir(data_dir, 16000).errors == []


def test_other_sampling_rate_is_a_warning(data_dir: Path, capsys: pytest.CaptureFixture[str]):
    soundfile.write(data_dir.parents[1] / "b.flac", noise(0.5, 8000), 8000)
    check_verb.main(["data", str(data_dir), "--fs", "16000"])
    assert "1 of 3 recordings have 8000 Hz, not 16000 Hz; stage 3 resamples" in capsys.readouterr().err


def test_the_sampling_rate_is_that_of_the_recipe(
    data_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    for name in "abc":
        soundfile.write(data_dir.parents[1] / f"{name}.flac", noise(0.5, 8000), 8000)
    monkeypatch.setenv("ENCRL_FS", "8k")
    check_verb.main(["data", str(data_dir)])
    assert capsys.readouterr().err == ""
    check_verb.main(["data", str(data_dir), "--fs", "44.1k"])
    assert "3 of 3 recordings have 8000 Hz, not 44100 Hz" in capsys.readouterr().err


def peak_bytes(directory: Path, number: int) -> int:
    """Makes a data directory and returns the most memory that checking its tables took."""
    directory.mkdir()
    names = [f"speaker-{i:06d}" for i in range(number)]
    (directory / "wav.scp").write_text("".join(f"{name} /corpus/of/somebody/{name}.flac\n" for name in names))
    (directory / "text").write_text("".join(f"{name} {'SOME WORDS ' * 10}\n" for name in names))
    (directory / "utt2spk").write_text("".join(f"{name} speaker\n" for name in names))
    del names
    tracemalloc.start()
    findings = check_data_dir(directory, 16000, use=Use(audio=False))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert findings.num_utts == number and not findings.errors
    return peak


def test_memory_does_not_grow_with_the_utterances(tmp_path: Path):
    assert peak_bytes(tmp_path / "large", 8000) < 1.2 * peak_bytes(tmp_path / "small", 500) < 1e6


def test_many_errors_are_counted_not_kept(tmp_path: Path):
    peak_bytes(tmp_path / "data", 500)
    (tmp_path / "data/text").write_text("")
    findings = check_data_dir(tmp_path / "data", 16000, use=Use(audio=False))
    assert findings.num_errors == 500 and len(findings.errors) == 100
    assert "... and 495 more" in summarise(tmp_path, findings)


def test_many_problems_are_counted_and_the_status_is_2(data_dir: Path):
    (data_dir / "text").write_text("".join(f"utt{i} WORD\n" for i in range(9)))
    ran = subprocess.run(
        [sys.executable, "-m", "espnet_ext", "check", "data", data_dir],
        capture_output=True,
        text=True,
        cwd=REPO,
        check=False,
    )
    assert ran.returncode == 2
    assert "12 problem(s)" in ran.stderr
    assert "... and 7 more" in ran.stderr
    assert len(ran.stderr.splitlines()) == 7
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("transcript", "expected"),
    [("ONE", True), ("<noise> ONE", True), ("日本", True), ("", False), ("<unk>", False), ("[laughter] ... -", False)],
)
def test_has_speech(transcript: str, expected: bool):
    assert has_speech(transcript) is expected
