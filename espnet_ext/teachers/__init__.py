"""Teachers of all families behind one interface, and what of their outputs is kept on disk.

teacher = Teacher.from_pretrained("transformers:facebook/wav2vec2-base-960h")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from espnet_ext.teachers.teacher import Teacher

__all__ = ["Teacher"]


def __getattr__(name: str) -> Any:
    """Imports PyTorch only for who asks for a teacher: the recipe reads names of teachers without it."""
    if name == "Teacher":
        from espnet_ext.teachers.teacher import Teacher

        return Teacher
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
