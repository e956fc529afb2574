"""Stages 12-13: every model decoded and scored, where it was not with the present model, data and options."""

import shlex
import shutil
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet_ext.checkpoints.whole import check_checkpoint
from espnet_ext.errors import UserError
from espnet_ext.files import file_sha256
from espnet_ext.recipe.adopt import adopt
from espnet_ext.recipe.digests import text_digest
from espnet_ext.recipe.jobs import Job, Scheduler
from espnet_ext.recipe.lineage import checkpoint_digest
from espnet_ext.recipe.names import Model
from espnet_ext.recipe.processes import locked, run_logged
from espnet_ext.recipe.train import trainings
from espnet_ext.record import Record, differences, plain

if TYPE_CHECKING:
    from espnet_ext.recipe.recipe import Recipe


def decode_and_score(recipe: "Recipe") -> None:
    """Stages 12-13."""
    options = recipe.options
    for training in trainings(recipe):  # of an earlier version
        adopt(recipe, training, training.made_of({}, {}), ("config", "arguments"))
    for model in recipe.models:
        if not model.checkpoint.exists():
            raise UserError(f"{model.checkpoint} does not exist: run stage 11 first")
    if options.covers(13) and not shutil.which("sclite"):
        recipe.say("sclite is not on PATH (tools/install.sh says how to get it): scoring by jiwer, marked in the table")
    read = _read_by_decoding(recipe)
    recipe.terminal.expect(len(recipe.models))
    jobs = [Job(model.title, partial(_decode_model, recipe, model, read)) for model in recipe.models]
    Scheduler(options.model_nj, recipe.say).work(jobs)


def _read_by_decoding(recipe: "Recipe") -> dict[str, Any]:
    """Returns what decoding and scoring read, but for the model."""
    options = recipe.options
    words = options.inference_args.split()
    files = {word: word for word in words if Path(word).is_file()}
    # Its name is as given: where it lies does not tell one decoding from another.
    files |= {name: options.located(name) for name in [options.inference_config] if name}
    decoding: dict[str, Any] = {"decoder": options.decoder, "arguments": words}
    decoding["files"] = {name: file_sha256(Path(file)) for name, file in files.items()}
    decoding["audio"] = {name: recipe.audio.of(options.data / name / "wav.scp") for name in options.decoded_sets}
    if options.decoder == "lexicon":
        decoding["lexicon"] = text_digest(_lexicon(recipe))
    scoring: dict[str, Any] = {"tool": "sclite" if shutil.which("sclite") else "jiwer"}
    scoring["text"] = {name: text_digest(options.data / name / "text") for name in options.decoded_sets}
    names = ("hyp_cleaner", "score_opts", "local_score_opts")
    scoring["options"] = {name: options.asr[name] for name in names if name in options.asr}
    scoring["options"] |= {"nlsyms_txt": options.nlsyms_txt, "cleaner": options.cleaner}
    return {"decoding": decoding, "scoring": scoring}


def _lexicon(recipe: "Recipe") -> Path:
    return recipe.options.data / (recipe.options.train_set + recipe.options.sp) / "text"


def _decode_model(recipe: "Recipe", model: Model, read: dict[str, Any]) -> None:
    directory = model.exp_dir / recipe.names.inference_tag
    with locked(
        directory / ".lock",
        waiting=lambda: recipe.say(
            f"Stages 12-13: {model.title}: another run is at work in {directory}; waiting for it"
        ),
    ):
        _decode_locked(recipe, model, directory, read)


def _decode_locked(recipe: "Recipe", model: Model, directory: Path, read: dict[str, Any]) -> None:
    options, place = recipe.options, recipe.terminal.count(recipe.options.model_nj)
    now = plain({**read, "decoding": {**read["decoding"], "model": checkpoint_digest(model.checkpoint)}})
    texts = [f"{name}/text" for name in options.decoded_sets]
    record = _adopted(recipe, model, directory, now, texts)
    made_of, others = _with_other_sets(record, now)
    damaged = record.damaged() if record is not None else []
    is_decoded = (
        record is not None and record.content["state"] in ("decoded", "finished") and not set(damaged) & set(texts)
    )
    changes = record.changes(made_of) if record is not None else []
    if is_decoded and changes and options.on_change == "keep":
        recipe.say(
            f"Stages 12-13: {model.title}: kept (--on_change keep), though this differs: {'; '.join(changes[:4])}"
        )
        changes, made_of = [], record.made_of
    elif is_decoded and changes and options.on_change == "fail":
        raise UserError(
            f"{directory} was decoded and scored with something else: {'; '.join(changes[:4])}; "
            "--on_change redo does it anew"
        )
    if is_decoded and not changes and not damaged and record.content["state"] == "finished":
        recipe.say(f"Stages 12-13: {model.title}: already scored ({directory})")
        return
    is_decoded = is_decoded and not differences(record.made_of["decoding"], made_of["decoding"])
    stages, work = ("Stage 12", "decoding") if options.stop_stage == 12 else ("Stages 12-13", "decoding and scoring")
    if options.stage > 12:
        stages, work = "Stage 13", "scoring"
    why = f" again, for these changes: {'; '.join(changes[:3])}" if changes else ""
    recipe.say(f"{stages}: {model.title}: {work}{why}{place}")
    began = time.monotonic()
    if not is_decoded:
        if options.stage > 12:
            raise UserError(
                f"{directory} does not hold the text of the present model, data and options: run stage 12 first"
            )
        record = Record.begin(directory, "decoding", made_of, tag=directory.name)
        for name in texts:  # whatever fails from here on, texts of an earlier model must not be scored
            (directory / name).unlink(missing_ok=True)
        if options.decoder == "espnet":
            check_checkpoint(model.checkpoint)  # ESPnet compares no sums
            recipe.step(f"decode_{model.exp_dir.name}", _asr(recipe, model, 12))
        else:
            _decode_ctc(recipe, model, directory)
        record.finish([*texts, *others], state="decoded")
    if options.stop_stage >= 13:
        record.content["made_of"] = made_of
        _score(recipe, model, directory)
        found = [path for name in options.decoded_sets for path in (directory / name).glob("score_?er/result*")]
        record.finish([*texts, *others, *(str(path.relative_to(directory)) for path in found)])
    recipe.terminal.took(time.monotonic() - began)


def _with_other_sets(record: Record | None, now: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Adds sets that were decoded before in the same way; returns their files too."""
    if record is None or record.content["state"] != "finished":
        return now, []
    before, places = record.made_of, (("decoding", "audio"), ("scoring", "text"))
    rest = [{part: {k: v for k, v in side[part].items() if k != key} for part, key in places} for side in (before, now)]
    others = before["decoding"]["audio"].keys() - now["decoding"]["audio"].keys()
    if rest[0] != rest[1] or not others:
        return now, []
    both = {part: {**now[part], key: {**before[part][key], **now[part][key]}} for part, key in places}
    return both, [name for name in record.content["outputs"] if name.startswith(tuple(f"{other}/" for other in others))]


def _adopted(
    recipe: "Recipe", model: Model, directory: Path, made_of: dict[str, Any], texts: list[str]
) -> Record | None:
    """Returns the record; of what an earlier version scored with the present model, a new one."""
    record, mark = Record.read(directory), directory / ".scored"
    if record is not None or not mark.is_file():
        return record
    files = [directory / name for name in texts]
    if mark.stat().st_mtime < model.checkpoint.stat().st_mtime or not all(path.is_file() for path in files):
        return None
    record = Record.begin(directory, "decoding", made_of, tag=directory.name, adopted=True)
    record.finish(texts)
    mark.unlink()
    recipe.say(f"{directory}: scored by an earlier version, taken as of the present data")
    return record


def _asr(recipe: "Recipe", model: Model, stage: int, *words: str) -> list[str]:
    return recipe.asr(stage, stage, "--asr_exp", str(model.exp_dir), "--inference_asr_model", model.file, *words)


def _decode_ctc(recipe: "Recipe", model: Model, directory: Path) -> None:
    """asr.sh's stage 12 for all sets in one job."""
    options, log = recipe.options, directory / "ctc_decode.log"
    gpus = int(options.gpu_inference)
    words = ["--exp_dir", str(model.exp_dir), "--asr_model_file", model.file, "--data_dir", str(options.data)]
    words += ["--test_sets", " ".join(options.decoded_sets), "--audio_format", options.audio_format]
    words += ["--output_dir", str(directory), "--ngpu", str(gpus), "--search", options.decoder]
    words += ["--config", options.located(options.inference_config)] if options.inference_config else []
    words += ["--lexicon_text", str(_lexicon(recipe))] if options.decoder == "lexicon" else []
    kind = "cuda_cmd" if gpus else "decode_cmd"
    call = recipe.submit(kind, gpus, log, "decode", *words, *options.inference_args.split())
    threads = recipe.threads_of_each(options.inference_nj)
    recipe.step(f"decode_{model.exp_dir.name}", call, threads=threads, job_log=log)
    import humanfriendly

    for name in options.decoded_sets:
        logs = directory / name / "logdir"
        call = [*shlex.split(options.python), "pyscripts/utils/calculate_rtf.py", "--log-dir", str(logs)]
        call += ["--log-name", "asr_inference", "--input-shift", str(1000 / humanfriendly.parse_size(options.fs))]
        call += ["--start-times-marker", "speech length", "--end-times-marker", "best hypo"]
        run_logged(call, logs / "calculate_rtf.log", with_errors=False)


def _score(recipe: "Recipe", model: Model, directory: Path) -> None:
    """Stage 13, for all sets in one process."""
    options, names = recipe.options, recipe.names
    given = {"decode_dir": directory, "data_dir": options.data, "test_sets": " ".join(options.decoded_sets)}
    given |= {"bpemodel": names.token_dir / "bpe.model"} if names.token_type == "bpe" else {}
    given |= {"nlsyms_txt": options.nlsyms_txt, "cleaner": options.cleaner}
    given |= {name: options.asr[name] for name in ("hyp_cleaner", "score_opts") if options.asr.get(name)}
    words = [str(word) for name, value in given.items() for word in (f"--{name}", value)]
    said = recipe.step(f"score_{model.exp_dir.name}", recipe.verb("score", *words))
    for line in said.splitlines():
        if "scoring by jiwer" in line and shutil.which("sclite"):
            recipe.say(f"{model.title}: {line}")
    if Path("local/score.sh").is_file():
        call = ["local/score.sh", *options.asr.get("local_score_opts", "").split(), str(model.exp_dir)]
        recipe.step(f"local_score_{model.exp_dir.name}", call)
    run_logged(
        ["scripts/utils/show_asr_result.sh", str(model.exp_dir)], model.exp_dir / "RESULTS.md", with_errors=False
    )
