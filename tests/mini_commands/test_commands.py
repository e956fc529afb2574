"""Strings of commands: splits by speaker, words that are in them, the same files from the same options."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

import strings
from clips import WORDS, by_speaker, read_splits, speaker_of, spoken_part
from espnet_ext.errors import UserError
from make_commands import main
from noise import white_noise
from tests.recipes.corpora import copy_recipe, run

RATE = 16000


def make_clips(root: Path, speakers: int = 24, words: int = 4) -> Path:
    """Makes a tree like the archive's: each word is a tone of its own in the middle of a second."""
    rng = np.random.default_rng(0)
    for number in range(speakers):
        for place in range(words):
            word = WORDS[(number + place) % len(WORDS)]
            samples = 0.001 * rng.standard_normal(RATE)
            samples[6000:11000] += 0.3 * np.sin(np.arange(5000) * (0.1 + 0.05 * WORDS.index(word)))
            (root / word).mkdir(parents=True, exist_ok=True)
            soundfile.write(root / word / f"{number:08x}_nohash_0.wav", samples, RATE)
    return root


def test_speakers_are_split_by_hash_where_there_are_no_lists(tmp_path):
    splits = read_splits(make_clips(tmp_path))
    people = {split: {speaker_of(clip) for clip in clips} for split, clips in splits.items()}
    assert all(people.values()) and sum(map(len, people.values())) == 24
    assert set.union(*people.values()) == {f"{number:08x}" for number in range(24)}
    assert len(people["train"]) > len(people["test"]) + len(people["valid"])


def write_lists(corpus: Path, **speakers: range) -> None:
    for name, numbers in speakers.items():
        people = {f"{number:08x}" for number in numbers}
        lines = [f"{clip.parent.name}/{clip.name}\n" for clip in corpus.glob("*/*.wav") if speaker_of(clip) in people]
        (corpus / f"{name}_list.txt").write_text("".join(lines))


def test_the_lists_of_the_archive_decide(tmp_path):
    corpus = make_clips(tmp_path)
    write_lists(corpus, validation=range(3), testing=range(3, 7))
    people = {split: {speaker_of(clip) for clip in clips} for split, clips in read_splits(corpus).items()}
    assert people["valid"] == {f"{number:08x}" for number in range(3)}
    assert people["test"] == {f"{number:08x}" for number in range(3, 7)}


def test_lists_that_cover_one_split_only_do_not_decide(tmp_path):
    corpus = make_clips(tmp_path)
    write_lists(corpus, testing=range(24))
    assert all(read_splits(corpus).values())


def test_a_speaker_in_two_splits_is_refused(tmp_path):
    corpus = make_clips(tmp_path)
    write_lists(corpus, validation=range(3), testing=range(3, 7))
    lines = (corpus / "validation_list.txt").read_text().splitlines(keepends=True)
    (corpus / "validation_list.txt").write_text("".join(lines[1:]))
    with pytest.raises(UserError, match="into train and valid"):
        read_splits(corpus)


def test_a_directory_without_the_clips_is_named(tmp_path):
    with pytest.raises(UserError, match="speech_commands_v0.02.tar.gz"):
        read_splits(tmp_path)


def test_speakers_with_hardly_a_clip_and_other_words_are_left_out(tmp_path):
    make_clips(tmp_path, words=4)
    for word in WORDS[:2]:
        (tmp_path / word / "ffffffff_nohash_0.wav").touch()
    (tmp_path / "marvin").mkdir()
    (tmp_path / "marvin" / "00000000_nohash_0.wav").touch()
    speakers = by_speaker(sorted(tmp_path.glob("*/*.wav")))
    assert len(speakers) == 24 and all(len(clips) == 4 for clips in speakers.values())


def test_the_word_is_found_between_noise_and_a_weak_click():
    rng = np.random.default_rng(0)
    clip = 0.003 * rng.standard_normal(RATE)
    clip[5000:9000] += 0.2 * np.sin(np.arange(4000) * 0.3)
    clip[-40:] = 0.02
    first, last = spoken_part(clip)
    assert 4200 <= first <= 5000 and 9000 <= last <= 9800


def test_strings_are_of_the_clips_with_pauses_and_levels(monkeypatch):
    tones = [(word, np.pad(np.sin(np.arange(9600) * (0.1 + 0.1 * place)), 3200)) for place, word in enumerate(WORDS)]
    monkeypatch.setattr(strings, "RANGES", strings.Ranges(clean_share=1.0, zeros_share=1.0, other_share=0.0))
    counts = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        text, samples = strings.make_string(tones, [white_noise], (5.0, 30.0), seed % 2 == 1, rng)
        words = text.split()
        counts.add(len(words))
        runs = np.diff(np.flatnonzero(np.abs(np.diff((samples == 0).astype(int)))))
        silences = runs[(runs >= 1500)]
        assert not samples[:1500].any() and not samples[-1500:].any()
        assert len(silences) == len(words) * 2 - 1  # each word, and each pause between two
        assert np.abs(samples).max() <= 0.99
        again = strings.make_string(tones, [white_noise], (5.0, 30.0), seed % 2 == 1, np.random.default_rng(seed))
        assert again[0] == text and np.array_equal(again[1], samples)
    assert counts == {1, *range(3, 8)}


def test_speed_changes_the_length_of_words_in_training_only():
    clip = np.zeros(RATE)
    clip[4000:12000] = np.sin(np.arange(8000) * 0.2)
    lengths = set()
    for seed in range(20):
        change = strings._draw_change(np.random.default_rng(seed))
        lengths.add(len(change(clip)))
    assert min(lengths) < 14400 and max(lengths) > 17600 and all(8000 < length < 20000 for length in lengths)


def test_shares_are_nested():
    speakers = {f"{number:08x}": [] for number in range(50)}
    few, more = strings.shares(speakers, 0.1), strings.shares(speakers, 0.3)
    assert len(few) == 5 and len(more) == 15 and set(few) < set(more)


def digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_options_same_bytes_and_bad_ones_are_named(tmp_path):
    clips = make_clips(tmp_path / "clips")
    options = ["--clips", str(clips), "--num_train", "6", "--num_valid", "2", "--num_test", "3", "--shares", "50"]
    for nj in ("1", "2"):
        main([*options, "--out_dir", str(tmp_path / nj), "--nj", nj])
    assert digest(tmp_path / "1") == digest(tmp_path / "2")
    for path in (tmp_path / "1").glob("*/*/*.trans.txt"):
        for line in path.read_text().splitlines():
            assert set(line.split()[1:]) <= set(WORDS) and line.startswith(path.parent.name)
    with pytest.raises(UserError, match="--num_test 0"):
        main([*options, "--out_dir", str(tmp_path / "3"), "--num_test", "0"])


@pytest.mark.slow
def test_data_sh(tmp_path):
    work = copy_recipe("mini_commands", tmp_path)
    clips = make_clips(tmp_path / "speech_commands_v0.02")
    options = ("--num_train", "20", "--num_valid", "4", "--num_test", "5", "--shares", "30", "--nj", "1")
    run(work, "local/data.sh", *options, SPEECHCOMMANDS=clips)
    read = {path.name: (path / "wav.scp").read_text().splitlines() for path in sorted((work / "data").iterdir())}
    assert [len(lines) for lines in read.values()] == [5, 20, 20 - len(read["train_s30"]), len(read["train_s30"]), 4]
    assert list(read) == ["test", "train", "train_r30", "train_s30", "valid"]
    assert not (work / "data/train_r30/text").exists() and (work / "data/train_s30/text").is_file()
    said = run(work, "local/data.sh", *options, SPEECHCOMMANDS=tmp_path)  # its parent will do
    assert said.count("already made, kept") == 3
    assert "is not a directory" in run(work, "local/data.sh", SPEECHCOMMANDS=tmp_path / "nowhere", status=2)
