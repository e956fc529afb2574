"""Loads a teacher of any family by its name."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from espnet_ext.errors import UserError
from espnet_ext.quiet import quiet_espnet
from espnet_ext.teachers.source import ESPNET, FAMILIES, Source

if TYPE_CHECKING:
    from espnet_ext.teachers.teacher import Identity, Teacher
    from espnet_ext.teachers.tokens import Tokens


def load_teacher(name: str, train_mode: bool = False, **options: str) -> "Teacher":
    """Loads a teacher.

    Args:
        name: see `espnet_ext.teachers.source.Source.parse`.
        train_mode: leave dropout on, see `EspnetTeacher`.
        **options: of the family; they overwrite those in `name`.

    Raises:
        UserError: no such family, option or model, a package is missing, or the model cannot be loaded.
    """
    source = Source.parse(name, options)
    modes: dict[str, Any] = {}
    if source.family == ESPNET:
        modes = {"train_mode": train_mode}
    elif train_mode:
        raise UserError(f"teacher {name}: teacher_train_mode serves teachers of ESPnet only")
    return _class_of(source).load(source.location, name, **modes, **source.options)


def identify(name: str) -> "Identity":
    """Returns the hashes of a teacher's weights and configuration, by its files; the model is not loaded.

    Args:
        name: see `load_teacher`.

    Raises:
        UserError: no such family, option or model, or a package is missing.
    """
    source = Source.parse(name)
    return _class_of(source).identify(source.location, **source.options)


def read_tokens(name: str) -> "Tokens | None":
    """Returns the tokens of a teacher's CTC output, by its files; None: it has none, or they are not known.

    Args:
        name: see `load_teacher`.

    Raises:
        UserError: no such family, option or model, or a package is missing.
    """
    source = Source.parse(name)
    return _class_of(source).read_tokens(source.location, **source.options)


def bpe_model(name: str) -> bytes:
    """Returns the model of sentencepiece that makes the tokens of a teacher of text.

    Args:
        name: see `load_teacher`.

    Raises:
        UserError: there is none.
    """
    source = Source.parse(name)
    return _class_of(source).bpe_model(source.location, **source.options)


def writes_text(name: str) -> bool:
    """Tells whether a teacher transcribes, by its files; the model is not loaded. In doubt it does.

    Args:
        name: see `load_teacher`.

    Raises:
        UserError: no such family, option or model, or a package is missing.
    """
    source = Source.parse(name)
    tell = getattr(_class_of(source), "writes_text", None)
    return tell is None or tell(source.location, **source.options)


def _class_of(source: Source) -> Any:
    source.check_packages()
    module, _, name = FAMILIES[source.family].module.partition(":")
    with quiet_espnet():
        return getattr(import_module(module), name)
