"""Small CTC models from one large speech recogniser: representation alignment (EncRL), then CTC finetuning.

    Teacher   the large model: `Teacher.from_pretrained(name)`
    Student   a small model, or any CTC model: `Student.from_pretrained(name).transcribe(audio)`
    distill   trains students to match a teacher
    Recipe    a recipe directory and its stages, from data to published models

A name is imported when it is first used. `Student` with an ONNX file needs neither PyTorch nor ESPnet.
"""

# Python imports this module whenever it starts (espnet_ext.pth), so that even `typing` would be felt.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from espnet_ext.decode.student import Student
    from espnet_ext.recipe.distill import distill
    from espnet_ext.recipe.recipe import Recipe
    from espnet_ext.teachers.teacher import Teacher

__all__ = ["Recipe", "Student", "Teacher", "distill"]
_HOMES = {
    "Recipe": "espnet_ext.recipe.recipe",
    "Student": "espnet_ext.decode.student",
    "Teacher": "espnet_ext.teachers.teacher",
    "distill": "espnet_ext.recipe.distill",
}


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used; `__version__` is that of the installed package."""
    if name == "__version__":
        from importlib.metadata import version

        return version("espnet-encrl")
    if name not in _HOMES:
        raise AttributeError(f"module 'espnet_ext' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Returns the public names too, for completion in a notebook."""
    return sorted([*globals(), *__all__, "__version__"])
