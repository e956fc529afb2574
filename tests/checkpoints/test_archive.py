"""Packed models: what is the user's stays, and what an archive from elsewhere may not do."""

import os
import stat
import zipfile

import pytest
import yaml

from espnet_ext.checkpoints.find import find_model_files
from espnet_ext.errors import UserError
from espnet_ext.teachers.load import load_teacher
from tests.checkpoints.packed import (
    CHECKPOINT,
    CONFIG,
    STATISTICS,
    change_yaml,
    damage,
    make_recipe,
    pack_model,
    rewrite,
    tree,
)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    directory = tmp_path_factory.mktemp("packed") / "recipe"
    make_recipe(directory)
    return directory


@pytest.fixture
def archive(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return pack_model(recipe, tmp_path / "keep.zip")


def refused(archive, message):
    with pytest.raises(UserError, match=message):
        find_model_files(archive)
    assert not list(archive.parent.glob("keep.unpacked/*"))  # nothing was unpacked


def test_a_packed_model_is_a_teacher(archive):
    teacher = load_teacher(str(archive))
    assert sum(p.numel() for p in teacher.model.parameters()) > 100
    assert find_model_files(archive) == find_model_files(archive.parent / "." / archive.name)


def test_a_folder_and_files_of_the_user_stay(archive, tmp_path):
    users = tmp_path / "keep.unpacked"
    users.mkdir()
    (users / "thesis.txt").write_text("three years")
    (tmp_path / "keep.lock").write_text("my lock")
    (tmp_path / "keep.complete.json").write_text("{}")
    before = tree(tmp_path)
    with pytest.raises(UserError, match=r"keep\.unpacked holds files that this program has not made.*move it away"):
        find_model_files(archive)
    assert {name: data for name, data in tree(tmp_path).items() if not name.startswith(".")} == before
    (users / "thesis.txt").rename(tmp_path / "thesis.txt")
    users.rmdir()
    assert find_model_files(archive)[1].is_file()
    assert (tmp_path / "keep.lock").read_text() == "my lock"


def test_a_link_to_a_folder_of_the_user_is_not_followed(archive, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "keep.unpacked").symlink_to("mine")
    with pytest.raises(UserError, match=r"keep\.unpacked is no directory of this program"):
        find_model_files(archive)
    assert not list((tmp_path / "mine").iterdir())


def test_what_an_interrupted_call_left_is_replaced(archive, monkeypatch):
    from espnet2.main_funcs import pack_funcs

    whole = pack_funcs.Archiver.extract

    def killed(self, info, path=None):
        if info.filename == STATISTICS:
            raise KeyboardInterrupt
        return whole(self, info, path)

    monkeypatch.setattr(pack_funcs.Archiver, "extract", killed)
    with pytest.raises(KeyboardInterrupt):
        find_model_files(archive)
    monkeypatch.undo()
    assert (archive.parent / "keep.unpacked" / CONFIG).is_file()
    config, _ = find_model_files(archive)
    assert (config.parents[2] / STATISTICS).is_file()


def test_a_small_archive_does_not_fill_the_disk(archive):
    rewrite(archive, lambda files: files.update({"exp/images/a.png": bytes(160 * 2**20)}))
    assert archive.stat().st_size < 2**20
    refused(archive, r"keep\.zip unpacks to 0\.2 GiB, \d+ times its size.*unzip .*keep\.zip -d DIRECTORY")


def test_an_archive_larger_than_the_disk(archive, monkeypatch):
    import shutil

    usage = shutil.disk_usage(archive.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    refused(archive, r"0\.0 GiB free, .*keep\.zip needs .*free space")


def test_an_archive_of_very_many_files(archive):
    rewrite(archive, lambda files: files.update({f"exp/images/{n}": b"" for n in range(1001)}))
    refused(archive, "holds 1005 files, a packed model at most 1000")


@pytest.mark.parametrize("name", ["../outside", "exp/../../outside", "/etc/outside", "exp\\..\\outside"])
def test_names_that_lead_out(archive, name):
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(name, "x")
    refused(archive, "holds a file named .*outside.*, which no packed model has")


def test_links_in_an_archive(archive):
    link = zipfile.ZipInfo("exp/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(link, "/etc/passwd")
    refused(archive, "holds the link 'exp/link'")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice(archive):
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(CONFIG, "encoder: other")
    refused(archive, f"holds '{CONFIG}' twice")


@pytest.mark.parametrize("named", ["{outside}/model.pth", "../model.pth", "exp/asr/not_there.pth"])
def test_meta_names_only_files_of_the_archive(archive, tmp_path, named):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/model.pth").write_bytes(b"PK")
    named = named.format(outside=tmp_path / "outside")
    change_yaml(archive, "meta.yaml", files={"asr_model_file": named})
    refused(archive, f"meta.yaml names {named}, which is no file of the packed model; pack it again")


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 21))


def test_an_archive_that_ends_within_a_checkpoint(archive):
    """A checkpoint is an archive too: what is left looks like one of tensors."""
    data = archive.read_bytes()
    with zipfile.ZipFile(archive) as file:
        info = file.getinfo(STATISTICS)
    archive.write_bytes(data[: info.header_offset])
    assert zipfile.is_zipfile(archive)
    refused(archive, "is no model packed by ESPnet .*, or it is cut off: .*; copy or download it again")


@pytest.mark.parametrize("name", ["meta.yaml", CONFIG])
def test_aliases_of_aliases(archive, name):
    rewrite(archive, lambda files: files.update({name: files[name] + BOMB.encode()}))
    refused(archive, rf"{name} cannot be read: its aliases, e\.g\. \*a1\d, stand for more than")


@pytest.mark.parametrize("how", ["absolute", "relative", "up"])
def test_tokens_are_no_file_of_this_machine(archive, tmp_path, how):
    secret = tmp_path / "secret/tokens.txt"
    secret.parent.mkdir()
    secret.write_text("password\n")
    named = {"absolute": str(secret), "relative": "secret/tokens.txt", "up": "../secret/tokens.txt"}[how]
    change_yaml(archive, CONFIG, token_list=named)
    with pytest.raises(UserError, match=rf"names {named} \(token_list\), a file of this machine that did not come"):
        find_model_files(archive)
    if how == "relative":  # where there is no such file, nothing of this machine is read
        secret.unlink()
        find_model_files(archive)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"bpemodel": "FILE"}, "bpemodel"),
        ({"normalize_conf": {"stats_file": "FILE"}}, "stats_file"),
        ({"frontend_conf": {"upstream": {"ckpt": ["FILE"]}}}, "ckpt"),
        ({"init": "FILE"}, "init"),
        ({"non_linguistic_symbols": "FILE"}, "non_linguistic_symbols"),
    ],
)
def test_other_files_of_this_machine(archive, tmp_path, values, key):
    (tmp_path / "mine.bin").write_bytes(b"x")
    values = yaml.safe_load(yaml.safe_dump(values).replace("FILE", str(tmp_path / "mine.bin")))
    change_yaml(archive, CONFIG, **values)
    with pytest.raises(UserError, match=rf"mine\.bin \({key}\), a file of this machine"):
        find_model_files(archive)


def test_files_in_the_archive_and_those_of_the_training_are_fine(archive, tmp_path):
    (tmp_path / "start.pth").write_bytes(b"x")
    start = str(tmp_path / "start.pth")
    rewrite(archive, lambda files: files.update({"data/tokens.txt": b"a\n"}))
    change_yaml(archive, CONFIG, token_list="data/tokens.txt", init_param=[start], train_shape_file=[start])
    config, _ = find_model_files(archive)
    assert yaml.safe_load(config.read_text())["token_list"] == str(tmp_path / "keep.unpacked/data/tokens.txt")


def test_a_damaged_archive(archive):
    damage(archive)
    refused(archive, rf"keep\.zip is damaged: {CHECKPOINT} in it does not have its sum")


def test_a_pointer_of_git_lfs(archive):
    archive.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    refused(archive, r"keep\.zip is a git-lfs pointer.*git lfs pull")


def test_damage_after_unpacking(archive):
    _, checkpoint = find_model_files(archive)
    damage(checkpoint)
    with pytest.raises(UserError, match=r"checkpoint .*ave\.pth is damaged"):
        load_teacher(str(archive))
    os.utime(archive)  # another version: unpacked anew
    find_model_files(archive)
