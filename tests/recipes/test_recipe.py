"""mini_an4 from data to score with the real asr.sh, sclite and sentencepiece, as a user runs it."""

import fcntl
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from espnet_ext.errors import UserError
from espnet_ext.recipe import checks
from espnet_ext.recipe.options import Options
from espnet_ext.recipe.processes import run_logged
from espnet_ext.recipe.recipe import Recipe
from espnet_ext.recipe.words import read_asr_names, recipe_words
from tests.pages import code_of
from tests.publish.hub import TOKEN, running_hub
from tests.recipes.stages import TEMPLATE
from tests.teachers.foreign import ALPHABET, save, save_openai_whisper

ROOT = Path(__file__).parents[2]
SUFFIX = "raw_en_bpe30"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """A copy of the recipe directory beside links to the rest of the repository."""
    if not (ROOT / "tools/espnet/egs2").exists():
        pytest.skip("needs ESPnet's recipe tree: run tools/install.sh")
    root = tmp_path_factory.mktemp("repository")
    target = root / "egs2/mini_an4/encrl1"
    ignore = shutil.ignore_patterns("data", "dump", "exp", "downloads", "RESULTS*")
    shutil.copytree(ROOT / "egs2/mini_an4/encrl1", target, symlinks=True, ignore=ignore)
    for name in ("egs2/TEMPLATE", "tools", "path.sh", "conf"):
        (root / name).symlink_to(ROOT / name)
    return target


def run(recipe: Path, *options: str, status: int = 0, env: dict[str, str] | None = None) -> str:
    result = subprocess.run(
        ["./run.sh", *options],
        cwd=recipe,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
    )
    assert result.returncode == status, result.stdout[-5000:]
    return result.stdout


def parsed(*options: str) -> Recipe:
    """Returns the run of a command line, in the recipe that is the current directory."""
    return Recipe(Options.parse([*recipe_words(Path("run.sh")), *options], read_asr_names(TEMPLATE / "asr.sh")))


MODELS = ("--students", "e1", "--student_source", "encrl scratch")
UPLOAD = ("--skip_upload_hf", "false", "--hf_repo", "someone/an4")
ALIGNED = ("--encrl_args", "--max_epoch 1", "--stage", "11", "--stop_stage", "11", "--student_source", "encrl")


@pytest.fixture(scope="module")
def finished(recipe) -> Path:
    output = run(recipe, "--stage", "1", "--stop_stage", "13", *MODELS)
    assert "| e1 " in output
    return recipe


def test_every_model_is_trained_decoded_and_scored(finished):
    for name in ("teacher", "e1_encrl", "e1_scratch"):
        exp = finished / f"exp/asr_{name}_{SUFFIX}"
        assert (exp / "valid.cer_ctc.ave.pth").exists()
        record = json.loads((exp / "run.json").read_text())
        assert 0 < record["cost"]["forward"] < sum(record["cost"].values()) < record["seconds"]
        results = list(exp.glob("greedy_*/test/score_wer/result.txt"))
        assert len(results) == 1 and "Sum/Avg" in results[0].read_text()
        assert "### WER" in (exp / "RESULTS.md").read_text()  # ESPnet's own
    table = (finished / "RESULTS.md").read_text()
    assert all(word in table for word in ("encrl", "scratch", "vs scratch"))
    assert (finished / "RESULTS_wer_vs_params.png").stat().st_size > 10_000


def test_scores_are_those_of_asr_sh(finished, monkeypatch):
    """They are made in one process instead of six for each set; the files are the same."""
    monkeypatch.chdir(finished)
    one = parsed("--students", "none")
    (teacher,) = one.models
    folder = teacher.exp_dir / one.names.inference_tag / "test"
    kinds = [folder / f"score_{kind}" for kind in ("wer", "cer", "ter")]
    files = [kind / name for kind in kinds for name in ("ref.trn", "hyp.trn", "result.txt")]
    ours = {path: (path.read_bytes(), path.stat()) for path in files}
    command = one.asr(13, 13, "--asr_exp", str(teacher.exp_dir), "--inference_asr_model", teacher.file)
    assert run_logged(command, Path("exp/log/asr13.log")) == 0
    for path, (content, times) in ours.items():
        assert path.read_bytes() == content, path
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_an_identical_run_keeps_everything_and_is_short(finished):
    checkpoint = finished / f"exp/asr_e1_encrl_{SUFFIX}/checkpoint.pth"
    before = checkpoint.stat().st_mtime_ns
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = run(finished, "--stage", "1", "--stop_stage", "13", *MODELS)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert output.count("already trained") == 4 and output.count("already scored") == 3
    for word in ("data is as it was made", "tokens are as they were made", "statistics are as they were collected"):
        assert word in output
    assert checkpoint.stat().st_mtime_ns == before
    assert (
        now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime < 15
    )  # seconds of the CPU, whatever runs beside it
    assert str(finished / "RESULTS_run.md") in output and "Best small model: e1" in output and "| e1 " in output
    assert f"    cd {finished} && . ./path.sh\n    python3 -m espnet_ext transcribe --model exp/asr_e1" in output
    assert "Decoded with valid.cer_ctc.ave.pth, results in greedy_" in (finished / "RESULTS.md").read_text()


def test_a_notebook_runs_the_recipe(finished):
    """The code of docs/python.md, where all is done: it opens the models from the directory above."""
    root = finished.parents[2]
    code = [sys.executable, "-c", code_of("python.md", of_recipes=True)]
    done = subprocess.run(code, cwd=root, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("already trained") == 4 and done.stdout.count("already scored") == 3
    assert done.stdout.splitlines()[-2:] == ["e1 encrl 16000", "e1 scratch 16000"]


def test_two_runs_of_stage_10_collect_once(finished):
    """The other waits, and finds that all is done."""
    options = ("--stage", "10", "--stop_stage", "10", "--expdir", "exp/two", *MODELS)
    runs = [
        subprocess.Popen(
            ["./run.sh", *options],
            cwd=finished,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(2)
    ]
    said = sorted((run.communicate()[0] for run in runs), key=lambda text: "waiting for it" in text)
    assert [run.returncode for run in runs] == [0, 0], said
    assert "statistics (output:" in said[0] and "waiting for it" not in said[0]
    assert "another run collects statistics in exp/two" in said[1] and "as they were collected" in said[1]
    assert "statistics (output:" not in said[1]


def test_results_accumulate(finished):
    (finished / "exp/run.json").write_text("")  # as a full disk leaves it; nothing but the table hangs on it
    run(finished, "--stage", "13", "--stop_stage", "13", "--students", "none")
    everything, own = ((finished / f"RESULTS{name}.md").read_text() for name in ("", "_run"))
    assert "| e1 " in everything and "| e1 " not in own and "| teacher " in own


def test_corrected_references_are_scored_again_and_nothing_else_is_done(finished):
    options = ("--stage", "12", "--stop_stage", "13", "--students", "none")
    reference = finished / "dump/raw/test/text"
    text = reference.read_text()
    hypothesis = finished / f"exp/asr_teacher_{SUFFIX}/greedy_asr_model_valid.cer_ctc.ave/test/text"
    before = hypothesis.stat().st_mtime_ns
    name, *words = text.splitlines()[0].split()
    try:
        reference.write_text(text.replace(" ".join([name, *words]), " ".join([name, *words, "CORRECTED"]), 1))
        output = run(finished, *options)
        assert "again, for these changes: scoring.text.test" in output and "are in no table" in output
        assert hypothesis.stat().st_mtime_ns == before
        table = (finished / "RESULTS_run.csv").read_text()
    finally:
        reference.write_text(text)
    run(finished, *options)
    assert (finished / "RESULTS_run.csv").read_text() != table


def test_a_failed_decoding_scores_no_text_of_before(finished):
    options = ("--stage", "12", "--stop_stage", "13", "--students", "none", "--inference_tag", "again", "--results", "")
    run(finished, *options)
    exp = finished / f"exp/asr_teacher_{SUFFIX}"
    score = exp / "again/test/score_wer/result.txt"
    before = score.stat().st_mtime_ns
    checkpoint = (exp / "valid.cer_ctc.ave.pth").resolve()
    content, times = checkpoint.read_bytes(), checkpoint.stat()
    checkpoint.write_bytes((exp / "1epoch.pth").read_bytes())  # trained otherwise
    try:
        output = run(finished, "--stage", "13", *options[2:], status=2)
        assert "does not hold the text of the present model" in output and "run stage 12 first" in output
        output = run(finished, *options, "--inference_args", "--batch_sec many", status=2)
        assert (
            "decode_asr_teacher" in output and "batch_sec: takes a finite number, not 'many'" in output.splitlines()[-1]
        )
        assert not (exp / "again/test/text").exists() and score.stat().st_mtime_ns == before
    finally:
        checkpoint.write_bytes(content)
        os.utime(checkpoint, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_data_that_another_run_reads_is_not_written_anew(finished):
    scp = finished / "dump/raw/test/wav.scp"
    before = scp.stat().st_mtime_ns
    with (finished / "dump/.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as a run in its stages 10 to 15 does
        other = ("--max_wav_duration", "19")
        output = run(finished, "--stage", "3", "--stop_stage", "3", *other, *MODELS, status=2)
        assert "another run is at work with" in output and scp.stat().st_mtime_ns == before


def test_students_from_scratch_need_no_teacher(finished):
    options = ("--students", "e1", "--student_source", "scratch", "--scratch_args", "--max_epoch 1")
    output = run(finished, "--stage", "10", "--stop_stage", "11", *options, "--expdir", "exp/alone")
    assert "no student needs a teacher" in output
    experiments = {path.name for path in (finished / "exp/alone").glob("asr_*") if "stats" not in path.name}
    assert experiments == {f"asr_e1_scratch_{SUFFIX}_max_epoch1"}


@pytest.mark.full
def test_override_makes_another_experiment(finished):
    options = ("--students", "e1", "--finetune_args", "--max_epoch 1")
    run(finished, "--stage", "11", "--stop_stage", "11", "--student_source", "encrl", *options)
    exp = finished / f"exp/asr_e1_encrl_{SUFFIX}_max_epoch1"
    assert (exp / "1epoch.pth").exists() and not (exp / "2epoch.pth").exists()


@pytest.mark.full
def test_encrl_of_more_students_serves_as_well(finished):
    output = run(finished, *ALIGNED, "--students", "e2 e1", "--teacher_cache", "true")
    assert "EncRL e2+e1" in output and output.count("teacher cache of") == 2
    assert re.search(r"teacher: WER [\d.]+ %, CER [\d.]+ % \(\d+ utterances of train_dev, greedy\)", output)
    output = run(finished, *ALIGNED, "--students", "e1")
    assert output.count("already trained") == 3  # teacher, EncRL, e1


@pytest.mark.full
def test_audio_without_transcripts_joins_encrl(finished):
    """The test recordings stand for any audio: no transcript."""
    extra = finished / "data/extra"
    shutil.copytree(finished / "data/test", extra, ignore=shutil.ignore_patterns("text", ".backup", "split*"))
    options = ("--unlabelled_set", "extra", "--students", "e1", "--finetune", "false", "--teacher_cache", "true")
    output = run(finished, *ALIGNED[:2], "--stage", "11", "--stop_stage", "11", *options, status=2)
    assert "stage 3" in output and "--unlabelled_set extra" in output
    run(finished, *ALIGNED[:2], "--stage", "3", "--stop_stage", "11", *options)
    (exp,) = finished.glob("exp/encrl_max_epoch1_extra_e1_*")
    heard = {line.split()[0] for line in (finished / "dump/raw/extra/wav.scp").read_text().splitlines()}
    trained = (finished / "dump/raw/train_nodev_extra/speech_shape").read_text().split()[::2]
    assert heard and heard < set(trained)
    assert "train_nodev_extra/teacher_encoder.scp" in (exp / "config.yaml").read_text()


@pytest.mark.full
def test_espnet_decodes_as_well(finished):
    options = (
        "--stage",
        "12",
        "--stop_stage",
        "13",
        "--decoder",
        "espnet",
        "--students",
        "e1",
        "--results",
        "espnet.md",
    )
    run(finished, *options)
    for greedy in finished.glob("exp/asr_teacher_*/greedy_*/test"):
        (espnet,) = greedy.parents[1].glob("decode_*/test")
        ours, theirs = ((folder / "text").read_text().splitlines() for folder in (greedy, espnet))
        assert [line.split()[0] for line in ours] == [line.split()[0] for line in theirs]
        assert "RTF" in (greedy / "logdir/calculate_rtf.log").read_text()


@pytest.mark.full
def test_layers_of_an_existing_teacher_are_used(finished):
    teacher = f"exp/asr_teacher_{SUFFIX}"
    options = ("--teacher", teacher, "--students", "e1", "--student_source", "encrl teacher")
    statistics = finished / f"exp/asr_stats_{SUFFIX}/train/feats_stats.npz"
    statistics.unlink()
    run(finished, "--stage", "10", "--stop_stage", "10", *options, "--finetune", "false")  # no CTC training at all
    assert statistics.exists()
    output = run(finished, "--stage", "11", "--stop_stage", "11", "--verbose", "true", *options)
    assert " Finished" in output
    assert (finished / f"exp/asr_e1_teacher_from_exp_asr_teacher_{SUFFIX}_{SUFFIX}/valid.cer_ctc.ave.pth").exists()
    assert (finished / f"exp/asr_teacher_from_exp_asr_teacher_{SUFFIX}/model.pth").exists()


@pytest.mark.full
@pytest.mark.parametrize("family", ["transformers", "whisper"])
def test_students_of_a_foreign_teacher(finished, tmp_path, family):
    """From the teacher's cache to the table; the same again does nothing, another model at that place is noticed."""

    def make(seed: int) -> str:
        if family == "whisper":
            return f"whisper:{save_openai_whisper(tmp_path / 'tiny.pt', seed)}"
        return f"transformers:{save(tmp_path / 'model', 'wav2vec2_group', seed)}"

    frames = "conf/encrl.yaml conf/tuning/clip_frames.yaml"
    stages = ("--stage", "11", "--stop_stage", "13", "--students", "e1", "--teacher_cache", "true")
    options = (*stages, "--encrl_config", frames, "--encrl_args", "--max_epoch 1", "--teacher", make(0))
    output = run(finished, *options)
    assert re.search(r"teacher: WER .* utterances of train_dev, without capitals and punctuation", output)
    assert output.count("teacher cache of") == 2 and "| e1 " in output
    (linked,) = finished.glob(f"exp/asr_teacher_from_{family}_*/teacher.json")
    again = run(finished, *options)
    assert "teacher cache of" not in again and "already scored" in again
    before = linked.read_text()
    make(1)
    changed = run(finished, *options, status=2)
    assert linked.read_text() != before and "was trained with something else: parents" in changed.splitlines()[-1]


def test_students_with_the_tokens_of_a_foreign_teacher(finished, tmp_path):
    """Aligned and trained on transcripts in one phase, then finetuned with its posteriors, from its cache."""
    teacher = save(tmp_path / "model", "wav2vec2_layer", vocab=ALPHABET)
    options = ("--students", "e1", "--teacher", f"transformers:{teacher}", "--student_source", "encrl")
    refused = run(finished, "--stage", "10", "--stop_stage", "13", *options, status=2)
    assert "compares CTC outputs and needs the same token list" in refused.splitlines()[-1]
    options = (*options, "--token_type", "teacher", "--teacher_cache", "true")
    options = (*options, "--encrl_config", "conf/encrl.yaml conf/tuning/joint.yaml", "--encrl_args", "--max_epoch 1")
    options = (*options, "--finetune_config", "conf/finetune.yaml conf/tuning/ctc_kld.yaml")
    output = run(finished, "--stage", "5", "--stop_stage", "13", *options)
    assert output.count("Stage 11: teacher cache of") == 4 and "| e1 " in output
    (exp,) = finished.glob("exp/asr_e1_encrl_joint_*")
    record = json.loads((exp / "run.json").read_text())
    assert any("asr_teacher_from_transformers" in parent for parent in record["made_of"]["parents"])
    assert [entry["loss"] for entry in record["made_of"]["config"]["criteria"]] == ["ctc", "kld"]
    config = yaml.safe_load((exp / "config.yaml").read_text())
    assert "criteria" not in config and config["token_list"][:4] == ["<blank>", "<unk>", "<space>", "A"]
    again = run(finished, "--stage", "5", "--stop_stage", "13", *options)
    assert "tokens are as they were made" in again and again.count("already trained") == 2


def test_uploaded_student_decodes_without_the_extension(finished, tmp_path):
    """From the packing, by a dry run and a hub on this machine, to stock ESPnet's from_pretrained."""
    upload = ("--skip_upload_hf", "false", "--hf_repo", "someone/an4", "--hf_license", "cc-by-4.0",
              "--students", "e1", "--student_source", "encrl", "--hf_args")  # fmt: skip
    shown = run(
        finished, "--stage", "14", "--stop_stage", "15", "--skip_packing", "false", "--skip_export", "false",
        "--export_args", "--max_wer_loss 1000 --utterances 5", *upload, "--dry_run true",
        env={"HF_ENDPOINT": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert "sherpa_onnx/model.int8.onnx" in shown and "license: cc-by-4.0" in shown and "Nothing is uploaded" in shown
    with running_hub() as hub:
        env = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "home")}
        output = run(finished, "--stage", "15", "--stop_stage", "15", *upload, "--create_repo true", env=env)
        assert "sherpa_onnx/model.int8.onnx" in output and "uploaded: " in output
        files = hub.repos["someone/an4_e1"]
        card = files["README.md"].decode()
        assert "0.05 million parameters, made from a larger one: the teacher was `asr_teacher" in card
        assert (
            "| scratch " in card
            and "license: cc-by-4.0" in card
            and "| e1 " in card
            and 'from_pretrained("someone/an4_e1"' in card
        )
        assert {"meta.yaml", "onnx/model.int8.onnx", "onnx/sherpa_onnx/tokens.txt"} <= set(files)
        code = (
            "import os, sys; sys.modules['espnet_ext'] = None\n"
            "import soundfile; from espnet2.bin.asr_inference import Speech2Text\n"
            "speech, search = soundfile.read(sys.argv[1])[0], dict(ctc_weight=1.0, beam_size=1)\n"
            "hub = Speech2Text.from_pretrained('someone/an4_e1', **search)\n"
            "from_hub = hub(speech)[0][:3]\n"
            "os.chdir(sys.argv[2])\n"  # where paths in the training's configuration start, and none of the hub's
            "assert from_hub == Speech2Text(*sys.argv[3:], **search)(speech)[0][:3]"
        )
        audio = sorted((finished / "dump/raw/test").glob("data/**/*.flac"))[0]
        exp_dir = finished / f"exp/asr_e1_encrl_{SUFFIX}"
        trained = [exp_dir / "config.yaml", exp_dir / "valid.cer_ctc.ave.pth"]
        command = [sys.executable, "-c", code, audio, finished, *trained]
        done = subprocess.run(command, cwd=tmp_path, env=os.environ | env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "options, message",
    [
        (("--finetune_arg", "x"), "did you mean --finetune_args"),
        (("--asr_config", "x"), "set by the recipe"),
        (("--students", "e7"), "conf/e7.yaml does not exist, nor such a section in conf/students.yaml; valid"),
        (("--student_source", "magic"), "'magic' is not"),
        (("--decoder", "magic"), "'magic' is not"),
        (("--inference_config", "conf/decode.yaml"), "needs --decoder beam, lexicon or espnet"),
        (("--nj", "many"), "--nj takes a number"),
        (("--teacher", "no/such/teacher/here"), "no/such/teacher/here does not exist"),
        (("--finetune_config", "conf/none.yaml"), "conf/none.yaml does not exist"),
        (("--teacher", "nemo:parakeet"), "there is no family 'nemo' of teachers; valid names: espnet, owsm_ctc, tr"),
        (("--teacher", "transformers:./none"), "./none does not exist; transformers: takes local directory or user/"),
        (("--teacher", "whisper:base"), "whisper has no CTC output, with which the criteria kld of --encrl_config"),
        (("--teacher", "whisper:base", "--student_source", "teacher"), "students learn from it by EncRL alone"),
        (("--teacher", "conf/techer.yaml"), "conf/techer.yaml does not exist; did you mean conf/teacher.yaml?"),
        (("--finetune_args", "--max_epocs 3"), "unknown key 'max_epocs'; did you mean 'max_epoch'"),
        (("--ngpu", "1"), "no GPU that can be used; use --ngpu 0"),
        (("--stage",), "needs a value"),
        (("--skip_export", "yes"), "--skip_export takes true or false"),
        (("--skip_upload_hf", "false", "--hf_license", "mit"), "--hf_repo is empty"),
        ((*UPLOAD, "--hf_license", "mit", "--student_source", "encrl teacher"), "a student has one repository"),
        (UPLOAD, "--hf_license is empty"),
        (("--stage", "14", "--stop_stage", "14"), "would make nothing: give --skip_packing false"),
        (("--encrl_config", "conf/criteria/mse.yaml"), '--encrl_config "conf/encrl.yaml conf/criteria/mse.yaml"'),
    ],
)
def test_bad_options_are_found_by_the_checks(recipe, options, message, monkeypatch):
    """In this process: a run of its own for each would start Python and ESPnet again and again."""
    monkeypatch.chdir(recipe)
    with pytest.raises(UserError) as error:
        checks.check(parsed(*options))
    assert message in str(error.value).splitlines()[-1]


@pytest.mark.parametrize(
    "options, message",
    [
        (("--finetune_arg", "x"), "did you mean --finetune_args"),
        (("--finetune_args", "--max_epocs 3"), "unknown key 'max_epocs'; did you mean 'max_epoch'"),
    ],
)
def test_bad_options_stop_before_any_work(recipe, options, message):
    output = run(recipe, *options, "--expdir", "exp/bad", status=2)
    assert message in output.splitlines()[-1] and "Stage" not in output


def test_nothing_left_after_filtering_is_said(finished):
    options = ("--max_wav_duration", "0.2", "--dumpdir", "dump_empty")
    output = run(finished, "--stage", "3", "--stop_stage", "10", *options, *MODELS, status=2)
    assert "no utterance is left after filtering" in output.splitlines()[-1]


def test_too_little_text_for_nbpe_is_said(finished):
    options = ("--nbpe", "500", "--stage", "5", "--stop_stage", "5")
    output = run(finished, *options, *MODELS, status=2)
    assert re.search(r"error: tokens failed: --nbpe 500: .* give --nbpe \d+ or fewer", output.splitlines()[-1])
    assert "Traceback" not in output


def test_students_from_scratch_alone_are_packed(finished):
    options = ("--stage", "14", "--stop_stage", "14", "--skip_packing", "false", "--students", "e1")
    output = run(finished, *options, "--student_source", "scratch")
    assert (finished / f"exp/asr_e1_scratch_{SUFFIX}/asr_e1_scratch_{SUFFIX}_valid.cer_ctc.ave.zip").is_file()
    output = run(finished, *options, "--student_source", "encrl scratch")
    assert "students from scratch are left out" in output


def test_help_names_own_options_and_those_of_asr_sh(recipe):
    output = run(recipe, "--help")
    for word in ("--students", "--student_source", "--teacher", "--finetune_args", "--max_wav_duration", "Stages"):
        assert word in output
