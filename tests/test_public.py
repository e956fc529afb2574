"""The public names: all are there, and importing the package is cheap."""

import subprocess
import sys

import pytest

import espnet_ext


def test_every_public_name_is_there():
    from espnet_ext.decode.student import Student
    from espnet_ext.recipe.distill import distill
    from espnet_ext.recipe.recipe import Recipe
    from espnet_ext.teachers.teacher import Teacher

    homes = {"Recipe": Recipe, "Student": Student, "Teacher": Teacher, "distill": distill}
    assert sorted(homes) == espnet_ext.__all__
    for name, home in homes.items():
        assert getattr(espnet_ext, name) is home and name in dir(espnet_ext)
    assert espnet_ext.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'Studnet'"):
        espnet_ext.Studnet  # noqa: B018


def test_python_starts_as_fast_as_without_it():
    code = "import sys; before = set(sys.modules); import espnet_ext; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['espnet_ext']\n"
