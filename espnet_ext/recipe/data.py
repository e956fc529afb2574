"""Stages 1-10: data directories, formatted audio, tokens, statistics; each only where something differs."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet_ext.data.text import read_text
from espnet_ext.errors import UserError
from espnet_ext.files import file_sha256
from espnet_ext.recipe import labels, students
from espnet_ext.recipe.digests import audio_files, digest, source_files, stats_of, text_digest
from espnet_ext.recipe.more_audio import more_audio
from espnet_ext.recipe.processes import locked
from espnet_ext.recipe.statistics import collect, frontend_configs
from espnet_ext.record import Record, plain
from espnet_ext.teachers.source import Source

if TYPE_CHECKING:
    from espnet_ext.recipe.recipe import Recipe

# Options of asr.sh that change the data; the tokens are another step.
_OF_DATA = ("local_data_opts", "post_process_local_data_opts", "min_wav_duration", "max_wav_duration", "lm_train_text")
_OF_TOKENS = ("bpe_train_text", "bpe_nlsyms", "bpe_char_cover", "bpe_input_sentence_size", "oov", "blank", "sos_eos")
_LISTS = ("text", "wav.scp", "segments", "utt2spk", "utt2num_samples")


def prepare(recipe: "Recipe") -> None:
    """Stages 1-9."""
    options = recipe.options
    if options.labels_itself:
        students.link_teacher(recipe)
    has_sets = _has_sets(recipe)
    if not (has_sets and _has_tokens(recipe)):
        lock = Path(options.dumpdir, ".lock")
        try:
            with locked(lock):
                if not has_sets:
                    _prepare_sets(recipe)
                _make_tokens(recipe)
        except BlockingIOError as error:
            raise UserError(
                f"another run is at work with {lock.parent.absolute()}, which stages 1-5 write anew: wait for it, "
                "begin with --stage 10 where the data is prepared, or give another --dumpdir"
            ) from error
    if options.covers(6, 9) and options.has_language_model:
        recipe.say("Stages 6-9: language model")
        recipe.step("lm", recipe.asr(max(6, options.stage), min(9, options.stop_stage)))


def _has_sets(recipe: "Recipe") -> bool:
    """Whether stages 1-4, as far as they are asked for, would make what is there; says so, or what differs."""
    options = recipe.options
    if not options.covers(1, 4):
        return True
    record, last = _sets_record(recipe), min(4, options.stop_stage)
    if record is None or record.content["state"] != "finished":
        return False
    now, stages = _made(recipe), f"Stages {options.stage}-{last}"
    made = record.content["made"].items()
    changes = record.changes(_sets_made_of(recipe))
    edited = [name for name, before in made if now.get(name) != before]
    changes += [f"{name} is not as it was made" for name in edited]
    if changes:
        recipe.say(f"{stages}: again, for these changes: {'; '.join(changes[:3])}")
        _keep_edited(recipe, [Path(name) for name in edited])
    elif last <= record.content["last"]:
        recipe.say(f"{stages}: data is as it was made ({options.data})")
        return True
    return False


def _keep_edited(recipe: "Recipe", paths: list[Path]) -> None:
    """Copies lists that differ from what stages 1-4 made: somebody may have corrected them by hand."""
    folder = Path(recipe.options.dumpdir, "edited")
    edited = [path for path in paths if path.is_file()]
    for path in edited:
        target = folder / path.relative_to(path.anchor)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    # Only stage 1 writes what local/data.sh makes.
    if lost := [path for path in edited if recipe.options.stage == 1 or path.parts[0] != "data"]:
        recipe.say(
            f"What was there is kept in {folder}: {', '.join(map(str, lost[:3]))}. To use lists that you corrected, "
            f"begin with --stage 2 (those in data) or --stage 10 (those in {recipe.options.dumpdir})"
        )


def _sets_record(recipe: "Recipe") -> Record | None:
    return Record.read(recipe.options.data / (recipe.options.train_set + recipe.options.sp))


def _sets_made_of(recipe: "Recipe") -> dict[str, Any]:
    """Returns what stages 1-4 read: options, scripts, and the corpus."""
    options = recipe.options
    own = ("train_set", "valid_set", "test_sets", "unlabelled_set", "audio_format", "fs", "speed_perturb_factors")
    given = {name: getattr(options, name) for name in own} | {k: options.asr[k] for k in _OF_DATA if k in options.asr}
    if options.pseudo_label_sets:  # a key only then: data of before stays
        given["pseudo_label_sets"] = options.pseudo_label_sets
    folders = (Path("local"), Path("../../TEMPLATE/encrl1/local"))
    scripts = [path for folder in folders for path in sorted(folder.glob("*")) if path.is_file()]
    if options.stage == 1:
        corpus = _corpus(recipe)
    else:  # only stage 1 reads it
        record = _sets_record(recipe)
        corpus = record.made_of["corpus"] if record is not None else ""
    made_of = {"options": given, "scripts": {str(path): file_sha256(path) for path in scripts}, "corpus": corpus}
    return made_of | ({"labels": labels.made_of(recipe, formatted=False)} if options.labels_itself else {})


def _prepare_sets(recipe: "Recipe") -> None:
    """Stages 1-4."""
    options = recipe.options
    first, last = options.stage, min(4, options.stop_stage)
    recipe.say(f"Stages {first}-{last}: data (output: {recipe.log_dir / 'data.log'})")
    record = Record.begin(options.data / (options.train_set + options.sp), "data", _sets_made_of(recipe))
    if first == 1:
        os.environ["ENCRL_FS"] = options.fs  # read by check_data
        recipe.step("data_preparation", recipe.asr(1, 1))
        # What the corpus is shows when its lists are there.
        record.content["made_of"] = plain(_sets_made_of(recipe))
    if first <= 3:
        _check_sets(recipe)
    if last > 1:
        words = ("--test_sets", " ".join([*options.test_sets, *more_audio(recipe)]))
        if options.labels_itself and last == 4:
            if first < 4:
                for directory in labels.training_data(recipe):
                    (directory / "text").unlink(missing_ok=True)  # of an earlier run, maybe of other utterances
                recipe.step("data", recipe.asr(max(2, first), 3, *words))
            labels.label_training_data(recipe)  # stage 4 takes what has text
            first = 4
        recipe.step("data", recipe.asr(max(2, first), last, *words))
    record.finish(made=_made(recipe), last=last)


def _check_sets(recipe: "Recipe") -> None:
    """Checks what local/data.sh made, for what this run does with it; asr.sh names sets that are not there."""
    options = recipe.options
    words = ("--audio", "false", "--no_speech", "warning")
    with_text = ("--text", str(options.train_set not in options.labels_itself).lower())
    perturbed = str(bool(options.speed_perturb_factors)).lower()
    checks = [(options.train_set, (*words, *with_text, "--speed_perturb", perturbed))]
    checks += [(name, (*words, "--scored", "true")) for name in options.test_sets]
    more = more_audio(recipe)
    checks += [(name, ("--fs", options.fs, "--nj", str(options.nj), "--text", "false")) for name in more]
    if lacking := next((name for name in more if not Path("data", name).is_dir()), None):
        raise UserError(
            f"{Path('data', lacking).absolute()} is not there, a set of --unlabelled_set or --pseudo_label_sets: "
            "local/data.sh has to make it, of wav.scp, utt2spk, spk2utt and maybe segments"
        )
    for name, given in checks:
        if Path("data", name).is_dir():
            recipe.step("data_check", recipe.verb("check", "data", *given, f"data/{name}"))


def _has_tokens(recipe: "Recipe") -> bool:
    """Whether stage 5, where it is asked for, would make what is there; says so."""
    record = Record.read(_token_record(recipe))
    if not recipe.options.covers(5):
        return True
    if record is None or not record.is_finished or record.changes(_tokens_made_of(recipe)):
        return False
    recipe.say(f"Stage 5: tokens are as they were made ({recipe.names.token_dir})")
    return True


def _token_record(recipe: "Recipe") -> Path:
    """Returns the directory whose record tells of the tokens."""
    names = recipe.names
    return names.token_lists if recipe.options.token_type == "teacher" else names.token_dir


def _tokens_made_of(recipe: "Recipe") -> dict[str, Any]:
    """Returns what stage 5 reads: options, and the text."""
    options = recipe.options
    own = ("token_type", "nbpe", "bpemode", "nlsyms_txt", "cleaner", "g2p")
    given = {name: str(getattr(options, name)) for name in own}
    given |= {name: options.asr[name] for name in _OF_TOKENS if name in options.asr}
    texts = options.asr.get("bpe_train_text", str(options.data / "org" / options.train_set / "text")).split()
    if options.token_type == "teacher":
        texts = [str(options.data / (options.train_set + options.sp) / "text")]
        given |= {"teacher": options.teacher, "files": Source.parse(options.teacher).file_states()}
    elif options.token_type != "bpe":
        texts = [str(options.data / "lm_train.txt")]
    return {"options": given, "inputs": {name: text_digest(Path(name)) for name in texts}}


def _make_tokens(recipe: "Recipe") -> None:
    """Stage 5."""
    if _has_tokens(recipe):
        return
    recipe.say(f"Stage 5: tokens (output: {recipe.log_dir / 'tokens.log'})")
    directory = _token_record(recipe)
    record = Record.begin(directory, "tokens", _tokens_made_of(recipe))
    if recipe.options.token_type == "teacher":
        _copy_tokens(recipe)
    else:
        recipe.step("tokens", recipe.asr(5, 5))
    files = [recipe.names.token_dir / name for name in ("tokens.txt", "bpe.model")]
    record.finish([str(file.relative_to(directory)) for file in files if file.is_file()])


def _copy_tokens(recipe: "Recipe") -> None:
    """Takes the teacher's tokens, and sees whether they spell the transcripts."""
    from espnet_ext.teachers.token_files import check_spelling

    options, names = recipe.options, recipe.names
    for file in names.token_lists.glob("*/tokens.txt"):  # of the teacher as it was
        shutil.rmtree(file.parent)
    words = ("--teacher", options.teacher, "--token_dir", str(names.token_lists))
    recipe.step("tokens", recipe.verb("derive", "tokens", *words))
    texts = read_text(options.data / (options.train_set + options.sp) / "text").values()
    if said := check_spelling(texts, names.token_dir, names.token_type, options.cleaner):
        recipe.say(f"Stage 5: {said}")


def _corpus(recipe: "Recipe") -> str:
    return digest(source_files(path for name in _sets(recipe) if (path := Path("data", name, "wav.scp")).is_file()))


def _made(recipe: "Recipe") -> dict[str, str]:
    """Returns what stages 1-4 left: the lists of every set, and the audio by size and time."""
    found: dict[str, str] = {}
    for name in _sets(recipe):
        for folder in (Path("data", name), recipe.options.data / "org" / name, recipe.options.data / name):
            found |= {str(path): file_sha256(path) for kind in _LISTS if (path := folder / kind).is_file()}
        formatted = recipe.options.data / name / "wav.scp"
        if formatted.is_file():
            found[f"audio of {formatted}"] = digest(stats_of(audio_files(formatted)))
    return found


def _sets(recipe: "Recipe") -> list[str]:
    options = recipe.options
    names = (options.train_set, options.train_set + options.sp, options.valid_set, *options.test_sets)
    return list(dict.fromkeys([*names, *more_audio(recipe)]))


def require_data(recipe: "Recipe") -> None:
    """Raises a `UserError` where stages 1-5 left no utterance to train on."""
    options = recipe.options
    for name in (options.train_set + options.sp, options.valid_set):
        path = options.data / name / "text"
        if not path.is_file() or path.stat().st_size == 0:
            raise UserError(
                f"{path.parent.absolute()} has no utterance: run stages 1-5; stage 4 keeps those between "
                "--min_wav_duration and --max_wav_duration that have a transcript"
            )


def inputs(recipe: "Recipe") -> dict[str, str]:
    """Returns the hashes of what all trainings read: data, tokens, statistics, and the options that go with them."""
    options, names = recipe.options, recipe.names
    found = {}
    for what, name in (("training", options.train_set + options.sp), ("validation", options.valid_set)):
        folder = options.data / name
        found[f"{what} text ({folder}/text)"] = file_sha256(folder / "text")
        found[f"{what} audio ({folder}/wav.scp)"] = recipe.audio.of(folder / "wav.scp")
    for path in (names.token_dir / "tokens.txt", names.token_dir / "bpe.model"):
        if path.is_file():
            found[f"tokens ({path})"] = file_sha256(path)
    return found | {name: getattr(options, name) for name in ("fs", "nlsyms_txt", "cleaner", "g2p", "feats_normalize")}


def collect_statistics(recipe: "Recipe") -> None:
    """Stage 10."""
    if not frontend_configs(recipe):
        recipe.say("Stage 10: no statistics, as nothing is trained")
        return
    require_data(recipe)
    collect(recipe, recipe.names.stats_dir, inputs(recipe), "Stage 10")
