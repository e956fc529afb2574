"""EncRL with teachers of other libraries, live and from a cache."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from espnet2.train.collate_fn import CommonCollateFn
from espnet2.train.dataset import ESPnetDataset

from espnet_ext.cli import cache as cache_verb
from espnet_ext.encrl.task import EncRLTask
from espnet_ext.errors import UserError
from espnet_ext.teachers import Teacher
from espnet_ext.teachers.load import read_tokens
from tests.teachers.foreign import VOCAB, save, save_openai_whisper, save_owsm_ctc
from tests.tiny import TOKENS, model_conf
from tests.trainings import make_data, options

pytest.importorskip("transformers")
pytest.importorskip("whisper")
FRAMES = [{"loss": "clip", "on": "encoder"}, {"loss": "mse", "on": "layer:1/2"}]
POSTERIORS = [*FRAMES, {"loss": "kld", "on": "log_probs"}]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", params=["transformers", "whisper", "owsm_ctc"])
def teacher(request, tmp_path_factory):
    """Returns the name of a teacher, what is compared with it, and the students' tokens."""
    root = tmp_path_factory.mktemp(request.param)
    if request.param == "transformers":
        name = f"transformers:{save(root / 'model', 'wav2vec2_group')}"
        return name, POSTERIORS, read_tokens(name).token_list()
    if request.param == "whisper":
        return f"whisper:{save_openai_whisper(root / 'tiny.pt')}", FRAMES, TOKENS
    name = f"owsm_ctc:{save_owsm_ctc(root / 'exp')}"
    return name, POSTERIORS, read_tokens(name).token_list()


def student(tokens: list[str]) -> dict:
    conf = model_conf(2)
    return conf | {"model_conf": {**conf["model_conf"], "sym_blank": tokens[0]}}


def build(name: str, criteria: list[dict], tokens: list[str], **changes):
    args = vars(EncRLTask.get_parser().parse_args([]))
    args |= {
        "token_list": tokens,
        "teacher": name,
        "students": {"e2": student(tokens)},
        "criteria": criteria,
        **changes,
    }
    torch.manual_seed(0)
    return EncRLTask.build_model(Namespace(**args)).eval()


def cache(name: str, criteria: list[dict], data: Path, output_dir: Path, *more: str) -> list[tuple[str, str, str]]:
    """Returns the data of a cache, as ESPnet's loader takes them."""
    config = output_dir.parent / "encrl.yaml"
    config.write_text(json.dumps({"criteria": criteria}))
    words = ["--teacher", name, "--data_dir", data, "--output_dir", output_dir, "--config", config, *more]
    cache_verb.main([*map(str, words), "--shard_size", "4"])
    return [(str(path), path.stem, "kaldi_ark") for path in sorted(output_dir.glob("*.scp"))]


def batch(data: Path, cached: list[tuple[str, str, str]]) -> dict[str, torch.Tensor]:
    loaded = ESPnetDataset([(f"{data}/wav.scp", "speech", "sound"), *cached])
    names = [f"utt{i}" for i in range(6)]
    return CommonCollateFn(float_pad_value=0.0, int_pad_value=-1)([loaded[name] for name in names])[1]


def test_cached_and_live_teachers_give_the_same_losses(teacher, data, tmp_path):
    """The live one gets a ragged batch, the cached one was computed utterance by utterance, in two shards."""
    name, criteria, tokens = teacher
    cached = cache(name, criteria, data, tmp_path / "cache", "--dtype", "float32")
    assert [kind for _, kind, _ in cached] == ["teacher_encoder", "teacher_layer_1_2"]
    model = build(name, criteria, tokens)
    _, live, _ = model(**batch(data, []))
    model.teacher.run = None  # of a cache the encoder does not run
    _, stats, _ = model(**batch(data, cached))
    assert stats.keys() == live.keys() >= {"e2_clip", "e2_mse_layer_1_2"}
    for key, value in stats.items():
        torch.testing.assert_close(value, live[key], atol=2e-4, rtol=1e-3, msg=key)


@pytest.mark.parametrize("family", ["transformers", "owsm_ctc"])
def test_posteriors_of_another_order_are_compared_token_by_token(tmp_path, data, family):
    """The blank, what is no text, and what the teacher lacks are where the student has them."""
    name = f"transformers:{save(tmp_path / 'model', 'wavlm')}"
    if family == "owsm_ctc":
        name = f"owsm_ctc:{save_owsm_ctc(tmp_path / 'exp')}"
    tokens = read_tokens(name)
    rate = Teacher.from_pretrained(name).frame_samples  # four times the hop of the student's front end
    own = {"e2": model_conf(2, hop_length=rate // 4)}
    model = build(name, [{"loss": "kld", "on": "log_probs"}], tokens.token_list(), students=own)
    assert model.frame_ratios["e2"] == 1
    given = batch(data, [])
    theirs = model.teacher(given["speech"], given["speech_lengths"], ["logits"]).logits.softmax(-1)
    silent = [tokens.blank, *sorted(tokens.no_text)]
    text = [place for place, symbol in enumerate(tokens.names()) if symbol is not None and place != tokens.blank]
    expected = torch.cat([theirs[..., silent].sum(-1, keepdim=True), theirs[..., text]], dim=-1)
    expected = torch.cat([expected, expected.amin(-1, keepdim=True)], dim=-1)
    expected = expected / expected.sum(-1, keepdim=True)
    seen = []
    model.losses["e2"]["kld"].forward = lambda student, teacher, lengths: (
        seen.append((teacher, lengths)) or student.sum()
    )
    model(**given)
    teacher, lengths = seen[0]
    assert teacher.shape[-1] == len(tokens.token_list()) == 1 + len(text) + 1
    for row, frames in enumerate(lengths.tolist()):
        torch.testing.assert_close(teacher[row, :frames].exp(), expected[row, :frames], atol=1e-5, rtol=1e-3)


def test_what_cannot_be_compared_is_said(tmp_path, data):
    ctc = f"transformers:{save(tmp_path / 'ctc', 'wavlm')}"
    encoder = f"transformers:{save(tmp_path / 'encoder', 'wavlm_encoder')}"
    untold = f"transformers:{save(tmp_path / 'untold', 'wavlm', tokenizer=False)}"
    build(ctc, POSTERIORS, list(VOCAB))
    for name, tokens, message in (
        (ctc, TOKENS, "'kld' on log_probs .* same token list: .* 8 tokens, student e2 7: .*'encoder' only"),
        (encoder, TOKENS, "'kld' on log_probs .* has no CTC head; use criteria on 'encoder' only"),
        (untold, list(VOCAB), "'kld' on log_probs .* the tokens of teacher .* are not known"),
    ):
        with pytest.raises(UserError, match=message):
            build(name, POSTERIORS, tokens)
    blank_last = save(tmp_path / "blank", "wavlm", pad_token_id=7)
    with pytest.raises(UserError, match="the blank is token 7 of teacher .* and token 0 of student e2"):
        build(f"transformers:{blank_last}", POSTERIORS, list(VOCAB))
    with pytest.raises(UserError, match="layers of .* are none of ESPnet's ASR task"):
        build(ctc, FRAMES, TOKENS, student_init="teacher")
    build(ctc, FRAMES, TOKENS, student_init="auto")
    with pytest.raises(UserError, match="teacher_train_mode serves teachers of ESPnet only"):
        build(ctc, FRAMES, TOKENS, teacher_train_mode=True)


def test_a_cache_of_another_teacher_is_refused(tmp_path, data):
    names = [f"transformers:{save(tmp_path / str(seed), 'wavlm_encoder', seed=seed)}" for seed in (0, 1)]
    cached = cache(names[0], FRAMES, data, tmp_path / "cache")
    listed = [(f"{data}/wav.scp", "speech", "sound"), *cached]
    build(names[0], FRAMES, TOKENS, train_data_path_and_name_and_type=listed)
    with pytest.raises(UserError, match="was made of other weights than those of transformers:.*/1"):
        build(names[1], FRAMES, TOKENS, train_data_path_and_name_and_type=listed)


@pytest.mark.slow
@pytest.mark.parametrize("from_cache", [False, True])
def test_a_training_runs_to_its_end(teacher, data, tmp_path, from_cache):
    name, criteria, tokens = teacher
    (tmp_path / "tokens.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    (tmp_path / "e2.yaml").write_text(json.dumps(student(tokens)))
    words = [
        *options(data, 4),
        "--scheduler_conf",
        "warmup_steps=1",
        "--token_list",
        f"{tmp_path}/tokens.txt",
        "--teacher",
        name,
    ]
    words += ["--students", f"e2={tmp_path}/e2.yaml", "--criteria", json.dumps(criteria)]
    if from_cache:
        words += ["--allow_variable_data_keys", "true"]
        for listed in cache(name, criteria, data, tmp_path / "cache"):
            for part in ("train", "valid"):
                words += [f"--{part}_data_path_and_name_and_type", ",".join(listed)]
    output_dir = tmp_path / "exp"
    command = [sys.executable, "-m", "espnet_ext.encrl.train", "--output_dir", str(output_dir), *words]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    epochs = torch.load(output_dir / "checkpoint.pth")["reporter"]["stats"]
    losses = [epoch["valid"]["e2_loss"] for epoch in epochs.values()]
    assert len(losses) == 4 and losses[-1] < losses[0] and (output_dir / "valid.e2_loss.ave.pth").is_file()
