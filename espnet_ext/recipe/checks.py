"""What can be found wrong before any work is found before any work."""

import os
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.conf_dirs import require_config
from espnet_ext.errors import UserError
from espnet_ext.recipe import labels
from espnet_ext.recipe.publish import check_publication, published, publishes
from espnet_ext.record import Record
from espnet_ext.teachers.source import FAMILIES, Source
from espnet_ext.teachers.tokens import BLANK

if TYPE_CHECKING:
    from espnet_ext.encrl.criteria import Criterion
    from espnet_ext.recipe.recipe import Recipe
    from espnet_ext.recipe.train import Training


def check(recipe: "Recipe") -> None:
    """Checks options, configurations and the machine.

    Raises:
        UserError: something would fail later.
    """
    options = recipe.options
    check_publication(recipe)
    for name in options.students if options.covers(1, 11) else ():
        require_config("--students", f"{options.conf_dir}/{name}.yaml", options.conf_dir, student=True)
    if options.stage > 11:
        _check_models(recipe)
    if options.covers(11):
        check_teacher(recipe)
        if not options.covers(5):  # else when it is done
            check_tokens(recipe)
    if options.covers(1, 11):
        labels.check(recipe)
        _check_trainings(recipe)
    if options.gpu_inference and options.covers(12):
        check_gpu(recipe, "--gpu_inference true", "--gpu_inference false")


def _check_models(recipe: "Recipe") -> None:
    """Raises a `UserError` where a run that begins after the training has a model that is not trained."""
    options = recipe.options
    for model in recipe.models if options.stage < 14 else published(recipe) if publishes(options) else ():
        if not model.checkpoint.exists():
            raise UserError(
                f"{model.checkpoint} does not exist: run stage 11 first, or give the options that it had "
                "(--teacher, --token_type, --nbpe, --students, --expdir ...), which decide the name"
            )


def _check_trainings(recipe: "Recipe") -> None:
    """Builds what is still to be trained; what is trained must be what the options ask for."""
    from espnet_ext.recipe.train import refused, trainings

    options, todo = recipe.options, []
    for training in trainings(recipe):
        made_of = training.made_of({}, {})
        refused(recipe, training, made_of, ("config", "arguments"))
        record = Record.read(training.exp_dir)
        same = (
            record is not None
            and record.is_finished
            and all(record.made_of[key] == made_of[key] for key in ("config", "arguments"))
        )
        todo += [] if same else [training]
    if not todo:
        return
    if options.ngpu and options.covers(11):
        check_gpu(recipe, f"--ngpu {options.ngpu}", "--ngpu 0 --gpu_inference false")
    if options.stage > 10 and not (recipe.names.stats_dir / "valid" / "text_shape").is_file():
        raise UserError(f"{recipe.names.stats_dir} has no statistics, which training needs: begin with --stage 10")
    recipe.say("Checking configurations")
    from espnet_ext.recipe.configs import check_configs

    check_configs([training.config for training in todo], options.nbpe, Path(options.expdir))


def check_gpu(recipe: "Recipe", option: str, instead: str) -> None:
    """Raises a `UserError` where jobs run on this machine and it has no GPU."""
    if not recipe.commands["cuda_cmd"][0].endswith(("run.pl", "stdout.pl")):
        return  # they run elsewhere
    devices = [*Path("/dev").glob("nvidia[0-9]*"), *Path("/dev").glob("kfd"), *Path("/dev").glob("dxg")]
    if not devices or os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1"):
        raise UserError(f"{option}: this machine has no GPU that can be used; use {instead}")


def check_teacher(recipe: "Recipe") -> None:
    """Raises a `UserError` for a --teacher that cannot serve, without asking a hub for a mistyped path."""
    if not recipe.options.teacher or not recipe.options.needs_teacher:
        return
    if recipe.names.has_foreign_teacher:
        _check_foreign_teacher(recipe)
        return
    source = Source.parse(recipe.options.teacher).location
    if not Path(source).exists() and (not _is_tag(source) or Path(source.split("/")[0]).is_dir()):
        near = _nearest(Path(source))
        raise UserError(f"--teacher: {source} does not exist{near and f'; did you mean {near}?'}")
    record = Record.read(recipe.names.teacher_exp)
    if record is None or record.damaged() or record.made_of.get("teacher") != recipe.options.teacher:
        from espnet_ext.checkpoints.find import find_model_files

        find_model_files(source)


def _check_foreign_teacher(recipe: "Recipe") -> None:
    options, source = recipe.options, Source.parse(recipe.options.teacher)
    family = FAMILIES[source.family]
    source.check_packages()
    is_path = source.location.startswith((".", "/")) or source.family == "owsm_ctc"
    if is_path and not Path(source.location).exists() and not _is_tag(source.location):
        raise UserError(f"--teacher: {source.location} does not exist; {source.family}: takes {family.takes}")
    if not options.students or "teacher" in options.student_source:
        raise UserError(
            f"--teacher {options.teacher}: students learn from it by EncRL alone, as its layers are none of ESPnet's; "
            "name --students, with --student_source encrl or scratch"
        )
    if not family.has_head:
        _refuse_heads(recipe)


def _refuse_heads(recipe: "Recipe") -> None:
    """Raises a `UserError` where something compares with the CTC output of a teacher that has none."""
    options, family = recipe.options, Source.parse(recipe.options.teacher).family
    if options.token_type == "teacher":
        raise UserError(f"--token_type teacher: {family} has no CTC output, so no tokens; use --token_type bpe")
    for training, criteria in _on_posteriors(recipe):
        raise UserError(
            f"--teacher {options.teacher}: {family} has no CTC output, with which the criteria "
            f"{', '.join(criterion.name for criterion in criteria)} of "
            f"{training.config.args_name.replace('_args', '_config')} compare; give criteria on 'encoder' only, e.g. "
            '--encrl_config "conf/encrl.yaml conf/tuning/clip_frames.yaml"'
        )


def _on_posteriors(recipe: "Recipe") -> "Iterator[tuple[Training, list[Criterion]]]":
    """Yields the trainings that compare with the teacher's CTC output, each with the criteria that do."""
    from espnet_ext.recipe.train import trainings

    for training in trainings(recipe):
        criteria = [criterion for criterion in training.config.criteria if criterion.needs_teacher]
        if criteria := [criterion for criterion in criteria if criterion.needs_head]:
            yield training, criteria


def check_tokens(recipe: "Recipe") -> None:
    """Checks that students can be compared with the CTC output of --teacher, once the tokens are there.

    Raises:
        UserError: they are other tokens, or the teacher has no such output.
    """
    options, file = recipe.options, recipe.names.token_dir / "tokens.txt"
    if not options.teacher or not (compared := next(_on_posteriors(recipe), None)):
        return
    from espnet_ext.encrl.agreement import compare_tokens, known_tokens
    from espnet_ext.quiet import quiet_espnet
    from espnet_ext.teachers.load import read_tokens

    criterion = compared[1][0]
    with quiet_espnet():
        theirs = known_tokens(read_tokens(options.teacher), options.teacher, criterion)
    if options.token_type != "teacher" and file.is_file():
        ours = file.read_text(encoding="utf-8").splitlines()
        blank = ours.index(BLANK) if BLANK in ours else 0
        compare_tokens(theirs, ours, blank, options.students[0], options.teacher, criterion)


def _is_tag(source: str) -> bool:
    """Whether a name can be one of a model on a hub: user/name, user/name@revision."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w.-]+)?", source) is not None and not source.endswith(
        (".pth", ".zip")
    )


def _nearest(path: Path) -> str:
    """Returns the path with its first missing part as it is written there, "" where nothing is like it."""
    parts = path.parts
    for place in range(len(parts)):
        if not Path(*parts[: place + 1]).exists():
            parent = Path(*parts[:place])
            found = get_close_matches(
                parts[place], [child.name for child in parent.iterdir()] if parent.is_dir() else [], n=1
            )
            return str(Path(parent, *found, *parts[place + 1 :])) if found else ""
    return ""
