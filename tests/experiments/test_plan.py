"""From tables to calls of run.sh: reading, sharing, order, and bad input."""

import shutil
from pathlib import Path

import pytest
import yaml

from espnet_ext.cli import experiments
from espnet_ext.conf_dirs import require_config
from espnet_ext.errors import UserError
from espnet_ext.experiments.matrix import choose, read_tables
from espnet_ext.experiments.plan import Corpus, Plan
from tests.experiments.finished import finish

ROOT = Path(__file__).parents[2]
needs_espnet = pytest.mark.skipif(
    not (ROOT / "tools/espnet/egs2").exists(), reason="needs ESPnet's recipe tree: run tools/install.sh"
)


def write(directory: Path, *rows: dict, name: str = "table") -> Path:
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.yaml").write_text(yaml.safe_dump({"title": "A table", "rows": list(rows)}))
    return directory


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"students": "e6"}], "row 1 must be a mapping with a label"),
        ([{"label": "a", "student": "e6"}], "unknown key 'student'; did you mean 'students'"),
        ([{"label": "a"}, {"label": "a"}], "used twice"),
        ([{"label": "a", "compare_to": "b"}], "compare_to must be the label of another row"),
        ([{"label": "a", "teacher": "a"}], "teacher must be the label of another row"),
        ([{"label": "a", "students": "e6 e4", "model": "e2"}], "model must be one of e6, e4, or teacher"),
        ([{"label": "a", "prune": {"amout": 0.1}}], "did you mean 'amount'"),
    ],
)
def test_bad_tables_are_named(tmp_path, rows, message):
    with pytest.raises(UserError, match=message):
        read_tables(write(tmp_path / "matrix", *rows))


def test_an_unknown_experiment_is_named_with_the_nearest():
    with pytest.raises(UserError, match="experiment 'tabel1' does not exist; did you mean 'table1'"):
        choose(read_tables(ROOT / "conf/experiments"), ["tabel1"])


def test_every_table_of_the_paper_is_there_with_its_numbers():
    tables = read_tables(ROOT / "conf/experiments")
    published = {
        (name, row.label): list(row.published.values()) for name, table in tables.items() for row in table.rows
    }
    assert published["table1", "6 layers, EncRL + finetuning"] == [6.27, 17.47]
    assert published["table2", "12 layers (reference)"] == [15.28]
    assert published["table3", "2 layers, random layer dropping"] == [43.62]
    assert published["table4", "6 layers, CLIP"] == [9.06]
    assert published["in_text", "12 layers, 7.5 % pruned, not the convolution modules"] == [10.51]


@pytest.fixture
def corpus(monkeypatch) -> Corpus:
    """The recipe of the digits, as the current directory."""
    monkeypatch.chdir(ROOT / "egs2/mini_digits/encrl1")
    return Corpus.read(ROOT / "egs2/mini_digits/encrl1")


def test_a_recipe_without_a_description_of_its_own_takes_the_repositorys():
    corpus = Corpus.read(ROOT / "egs2/librispeech_100/encrl1")
    assert corpus.variant("paper")[0]["conf_dir"] == "conf/paper" and corpus.variant("ours")[1]["kd_epochs"] == 90


@needs_espnet
def test_every_row_of_every_table_has_a_run_in_both_variants(corpus):
    tables = list(read_tables(ROOT / "conf/experiments").values())
    for variant in ("ours", "paper"):
        plan = Plan(corpus, tables, variant, 1, {})
        keys = [run.key for run in plan.runs]
        assert len(keys) == len(set(keys)) < sum(len(table.rows) for table in tables)
        done: list = []
        for run in plan.runs:
            assert all(before in done for before in run.after), run.labels
            done.append(run)
        trained: dict[str, set] = {}  # what each directory of results is of
        for table in tables:
            for row in table.rows:
                decode_dir = plan.decode_dir(table, row)
                assert decode_dir.startswith(f"exp/{variant}_seed1/"), row.label
                if row.students:
                    options = plan.run(table, row).options.items()
                    training = {(key, value) for key, value in options if key.endswith(("_config", "_args"))}
                    trained.setdefault(decode_dir, set()).add(frozenset(training))
        assert all(len(trainings) == 1 for trainings in trained.values()), trained
        configs = {
            name for run in plan.runs for key in run.options if "config" in key for name in run.options[key].split()
        }
        assert configs
        for name in configs:
            require_config("a row", name, corpus.variant(variant)[0]["conf_dir"])


@needs_espnet
def test_rows_with_the_same_options_share_a_run_and_teachers_come_first(corpus, tmp_path):
    encrl = {"students": "e6 e4", "options": {"student_source": "encrl"}}
    rows = [
        {"label": "cut", "students": "e4", "teacher": "big", "options": {"student_source": "teacher"}},
        {"label": "big", "model": "e6", **encrl},
        {"label": "small", "model": "e4", **encrl},
        {"label": "pruned", "prune": {"amount": 0.5}},
    ]
    (table,) = read_tables(write(tmp_path / "matrix", *rows)).values()
    plan = Plan(corpus, [table], "ours", 2, {"nj": "1"})
    runs = {row.label: plan.run(table, row) for row in table.rows}
    assert runs["big"] is runs["small"] and runs["cut"].after == [runs["big"]]
    assert runs["cut"].options["teacher"] == "exp/ours_seed2/asr_e6_encrl_raw_en_bpe29/valid.cer_ctc.ave.pth"
    assert runs["pruned"].prune[:2] == ["--source", "exp/ours_seed2/asr_teacher_raw_en_bpe29/valid.cer_ctc.ave.pth"]
    assert runs["pruned"].options["students"] == "none"
    assert all(run.options["seed"] == "2" and run.options["nj"] == "1" for run in plan.runs)


@needs_espnet
def test_rows_that_are_teachers_of_each_other_are_named(corpus, tmp_path):
    rows = [{"label": "a", "students": "e6", "teacher": "b"}, {"label": "b", "students": "e4", "teacher": "a"}]
    tables = list(read_tables(write(tmp_path / "matrix", *rows)).values())
    with pytest.raises(UserError, match="a -> b -> a"):
        Plan(corpus, tables, "ours", 1, {})


def test_a_missing_parameter_is_named(corpus, tmp_path):
    row = {"label": "a", "students": "e6", "options": {"scratch_args": "--max_epoch {many}"}}
    tables = list(read_tables(write(tmp_path / "matrix", row)).values())
    with pytest.raises(UserError, match=r"needs the parameter 'many'; give it in .*experiments\.yaml"):
        Plan(corpus, tables, "ours", 1, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["run", "--corpus", "mini_digit"], "mini_digit/encrl1/run.sh does not exist"),
        (["run", "--variants", "our"], "did you mean 'ours'"),
        (["run", "--", "--nj"], "as --name value"),
    ],
)
def test_bad_options_stop_before_any_work(options, message, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=message):
        experiments.main(options)


@needs_espnet
def test_finished_runs_notice_changed_configurations(tmp_path, monkeypatch):
    recipe = tmp_path / "egs2/tiny/encrl1"
    ignore = shutil.ignore_patterns("data", "dump", "exp", "downloads", "RESULTS*")
    shutil.copytree(ROOT / "egs2/mini_digits/encrl1", recipe, symlinks=True, ignore=ignore)
    for name in ("egs2/TEMPLATE", "tools", "path.sh", "conf"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(recipe)
    row = {"label": "a", "students": "e2", "options": {"student_source": "scratch"}}
    (table,) = read_tables(write(tmp_path / "matrix", row)).values()

    def run():
        (one,) = Plan(Corpus.read(recipe), [table], "ours", 1, {"test_sets": "valid test", "valid_set": "valid"}).runs
        return one

    assert not run().is_done and run().open_directories() == {
        "exp/ours_seed1/asr_e2_scratch_raw_en_bpe29"
    }  # no teacher
    finish(run())
    run().check()
    assert run().is_done
    scratch = recipe / "conf/scratch.yaml"
    text = scratch.read_text()
    scratch.write_text(text.replace("max_epoch: 4", "max_epoch: 5"))
    run().check()
    assert not run().is_done
    scratch.write_text(text.replace("optim: adam", "optim: sgd"))
    with pytest.raises(UserError, match=r"was trained with something else: config.optim: adam, now sgd"):
        run().check()
    scratch.write_text(text)
    assert run().is_done
    (model,) = run().models
    model.checkpoint.write_bytes(b"trained further")
    assert not run().is_done


@needs_espnet
def test_dry_run_prints_what_a_user_could_type(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    experiments.main(["run", "table4", "--dry_run", "true", "--seeds", "3", "--", "--nj", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("./run.sh --stage 11") for line in lines) == 8
    assert any("conf/criteria/clip_mae.yaml" in line and "--seed 3" in line for line in lines)
