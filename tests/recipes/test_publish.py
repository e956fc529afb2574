"""Stages 14-15: which students they take, and that they never end without having made anything."""

from pathlib import Path

import pytest

from espnet_ext.errors import UserError
from espnet_ext.recipe.publish import check_publication, pages, published, upload, write_pages
from tests.recipes.runs import recipe

EXPORT = ("--skip_export", "false")


def chosen(directory: Path, sources: str, *options: str) -> list[str]:
    run = recipe(directory, "--students", "e1", "--student_source", sources, *options)
    check_publication(run)
    return [model.source for model in published(run)]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_students_from_scratch_alone_are_published(tmp_path):
    assert chosen(tmp_path, "scratch", *EXPORT) == ["scratch"]


@pytest.mark.parametrize("sources", ["encrl scratch", "scratch teacher"])
def test_beside_others_they_are_left_out_and_that_is_said(tmp_path, sources, capsys):
    others = [sources.replace("scratch", "").strip()]
    assert chosen(tmp_path, sources, *EXPORT) == others
    said = capsys.readouterr().out
    assert "students from scratch are left out" in said and "--student_source scratch" in said
    assert chosen(tmp_path, sources) == others and capsys.readouterr().out == ""  # publishes nothing, says nothing


@pytest.mark.parametrize(
    "options, message",
    [
        (("--stage", "14", "--stop_stage", "14"), "stages 14-14 would make nothing: give --skip_packing false"),
        (("--stage", "14"), "stages 14-15 would make nothing"),
        (("--stage", "15", *EXPORT), "or --skip_upload_hf false"),
        (("--stage", "14", *EXPORT, "--students", "none"), "--students none"),
        (("--skip_upload_hf", "false", "--hf_license", "mit"), "--hf_repo is empty"),
        (("--skip_upload_hf", "false", "--hf_repo", "user/name"), "--hf_license is empty"),
    ],
)
def test_stages_that_would_make_nothing_are_refused(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        check_publication(recipe(tmp_path, *options))


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--stage", "12", "--stop_stage", "13"),
        ("--stage", "14", *EXPORT),
        ("--stage", "14", "--skip_packing", "false"),
    ],
)
def test_other_runs_are_not_refused(tmp_path, options):
    check_publication(recipe(tmp_path, *options))


def test_an_upload_compares_with_what_there_is(tmp_path):
    """No teacher was trained, and the student is no comparison for itself."""
    shown = []
    for source, there in (("scratch", "asr_e1_scratch_raw_en_char"), ("encrl", "asr_teacher_raw_en_char")):
        run = recipe(tmp_path, "--hf_repo", "user/name", "--students", "e1", "--student_source", source)
        (tmp_path / "exp" / there / run.names.inference_tag).mkdir(parents=True)
        run.show = lambda _, command: shown.append(command)
        upload(run)
    compared = [words[words.index("--compare_to") + 1 : words.index("--inference_tag")] for words in shown]
    assert compared == [[], ["exp/asr_teacher_raw_en_char", "exp/asr_e1_scratch_raw_en_char"]]


def shown(directory: Path, students: str, sources: str) -> dict[str, list[str]]:
    run = recipe(directory, "--students", students, "--student_source", sources)
    return {str(folder): list(models) for folder, models in pages(run).items()}


def test_a_page_for_each_student_and_one_for_all(tmp_path):
    one, other = "exp/asr_e1_encrl_raw_en_char/demo", "exp/asr_e2_encrl_raw_en_char/demo"
    assert shown(tmp_path, "e1", "encrl") == {one: ["e1"]}
    assert shown(tmp_path, "e1 e2", "encrl") == {one: ["e1"], other: ["e2"], "exp/demo": ["e1", "e2"]}
    assert shown(tmp_path, "e1", "encrl teacher")["exp/demo"] == [
        "asr_e1_encrl_raw_en_char",
        "asr_e1_teacher_raw_en_char",
    ]


def test_without_a_page_the_rest_of_the_stage_is_done(tmp_path, capsys):
    run = recipe(tmp_path, "--students", "e1", "--student_source", "encrl")
    write_pages(run)  # there is no export
    said = capsys.readouterr().out
    assert "Stage 14: no page in exp/asr_e1_encrl_raw_en_char/demo" in said


def test_the_page_of_all_students_is_uploaded(tmp_path):
    words = []
    run = recipe(tmp_path, "--hf_repo", "user/name", "--students", "e1 e2", "--hf_space", "user/try", *EXPORT)
    run.show = lambda name, command: words.append((name, command))
    upload(run)
    assert [name for name, _ in words] == ["upload_e1", "upload_e2", "upload_page"]
    assert words[-1][1][3:] == ["publish", "--repo", "user/try", "--demo_dir", "exp/demo"]
