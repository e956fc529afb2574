"""What is refused before any work."""

import pytest

from espnet_ext.errors import UserError
from espnet_ext.recipe.checks import check
from tests.recipes.runs import recipe


@pytest.mark.parametrize("words", ["--stage 12", "--stage 14 --stop_stage 14 --skip_export false"])
def test_a_model_that_is_not_trained_is_missed_before_anything_is_made(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    run = recipe(tmp_path, "--student_source", "scratch", *words.split())
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="does not exist: run stage 11 first.*--students"):
        check(run)
    assert sorted(tmp_path.rglob("*")) == before
