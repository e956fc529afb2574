"""Directories that a command replaces: only those that it made itself."""

import pytest

from espnet_ext.directories import MARKER, make_beside, move_into_place, remove_leftovers, renew
from espnet_ext.errors import UserError
from tests.test_users_folders import users_folder


def test_only_what_carries_the_marker_is_made_anew(tmp_path):
    made = tmp_path / "a/made"
    renew(made)
    (made / "x").touch()
    renew(made)
    assert [path.name for path in made.iterdir()] == [MARKER]
    thesis = users_folder(tmp_path / "mine")
    (tmp_path / "link").symlink_to("mine")
    for path in (tmp_path / "mine", tmp_path / "link", thesis):
        with pytest.raises(UserError, match="so it is not replaced; move it away"):
            renew(path)
    assert thesis.read_text() == "three years"


def test_leftovers_of_others_stay(tmp_path):
    target = tmp_path / "train"
    thesis = users_folder(tmp_path / ".train.mine")
    (tmp_path / ".train.notes").write_text("x")
    left = make_beside(target)
    made = make_beside(target)
    assert not left.exists() and thesis.is_file() and (tmp_path / ".train.notes").is_file()
    (made / "new").touch()
    target.mkdir()
    (target / "old").touch()
    move_into_place(made, target)
    remove_leftovers(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".train.mine", ".train.notes", "train"]
    assert (target / "new").is_file() and not (target / "old").exists()


def test_what_could_not_be_replaced_is_put_back(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target/old").touch()
    with pytest.raises(FileNotFoundError):
        move_into_place(tmp_path / "not_there", tmp_path / "target")
    assert (tmp_path / "target/old").is_file() and len(list(tmp_path.iterdir())) == 1
