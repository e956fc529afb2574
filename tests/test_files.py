"""Locks and temporary files leave alone what a user has under the same name."""

import os
import subprocess
import sys

import pytest

from espnet_ext.errors import UserError
from espnet_ext.files import atomic, locked

HOLD = """
import sys
from espnet_ext.files import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    input()
"""


def test_a_lock_keeps_another_process_out(tmp_path):
    lock = tmp_path / "a.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    second = subprocess.Popen(
        [sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(timeout=1)
    holder.communicate("\n")
    assert second.communicate("\n")[0] == "held\n"
    assert lock.read_bytes() == b""


def test_a_file_of_the_user_is_no_lock(tmp_path):
    (tmp_path / "a.lock").write_text("my notes")
    with (
        pytest.raises(UserError, match=r"a\.lock is no lock file of this program.*move it away"),
        locked(tmp_path / "a.lock"),
    ):
        pass
    assert (tmp_path / "a.lock").read_text() == "my notes"
    (tmp_path / "b.lock").mkdir()
    with pytest.raises(UserError, match=r"b\.lock is a directory"), locked(tmp_path / "b.lock"):
        pass
    os.mkfifo(tmp_path / "c.lock")
    with pytest.raises(UserError, match=r"c\.lock is no lock file"), locked(tmp_path / "c.lock"):
        pass


def test_a_temporary_name_is_nobody_elses(tmp_path):
    users = tmp_path / f".model.pth.{os.getpid()}"
    users.write_text("mine")
    with atomic(tmp_path / "model.pth") as one, atomic(tmp_path / "model.pth") as two:
        assert one != two and not one.exists()
        one.write_text("first")
        two.write_text("second")
    assert users.read_text() == "mine"
    assert (tmp_path / "model.pth").read_text() == "first"  # the outer one ends last
    assert sorted(path.name for path in tmp_path.iterdir()) == [users.name, "model.pth"]


def test_nothing_is_left_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), atomic(tmp_path / ("x" * 250)) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
