"""From tables to calls of run.sh: reading, sharing, order, and bad input."""

import shutil
from pathlib import Path

import pytest
import yaml

from espnet_ext.bin import experiments
from espnet_ext.errors import UserError
from espnet_ext.experiments.matrix import choose, read_tables
from espnet_ext.experiments.plan import Corpus, Plan
from espnet_ext.prepare import Job, prepare

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
def corpus() -> Corpus:
    return Corpus.read(ROOT / "egs2/mini_digits/encrl1")


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
        assert configs and all((corpus.directory / name).is_file() for name in configs)


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
def test_bad_options_stop_before_any_work(options, message):
    with pytest.raises(UserError, match=message):
        experiments.main(options)


def test_data_are_prepared_once_for_all_seeds(tmp_path):
    recipe = tmp_path / "encrl1"
    (recipe / "conf").mkdir(parents=True)
    (recipe / "conf/experiments.yaml").write_text("variants: {ours: {}}\n")
    (recipe / "run.sh").write_text(
        "#!/usr/bin/env bash\n"
        'while [ $# -gt 0 ]; do printf -v "${1#--}" %s "$2"; shift 2; done\n'
        'mkdir -p dump "${expdir}"; echo "${stage}-${stop_stage} ${expdir} ${nbpe}" >> calls\n'
    )
    (recipe / "run.sh").chmod(0o755)
    for seed, nbpe in ((1, "30"), (2, "30"), (2, "30"), (3, "40")):
        experiments._prepare(Plan(Corpus.read(recipe), [], "ours", seed, {"nbpe": nbpe, "nj": str(seed)}))
    calls = (recipe / "calls").read_text().splitlines()
    assert calls == ["1-10 exp/ours_seed1 30", "10-10 exp/ours_seed2 30", "1-10 exp/ours_seed3 40"]


@needs_espnet
def test_finished_runs_notice_changed_configurations_and_find_the_validation_set(tmp_path):
    recipe = tmp_path / "egs2/tiny/encrl1"
    ignore = shutil.ignore_patterns("data", "dump", "exp", "downloads", "RESULTS*")
    shutil.copytree(ROOT / "egs2/mini_digits/encrl1", recipe, symlinks=True, ignore=ignore)
    for name in ("egs2/TEMPLATE", "tools", "path.sh", "conf"):
        (tmp_path / name).symlink_to(ROOT / name)
    row = {"label": "a", "students": "e2", "options": {"student_source": "scratch"}}
    (table,) = read_tables(write(tmp_path / "matrix", row)).values()
    sets = {"test_sets": "valid test", "valid_set": "valid"}
    plan = Plan(Corpus.read(recipe), [table], "ours", 1, sets)
    (run,) = plan.runs
    assert not run.is_done
    prepare(
        [Job(recipe / m["exp_dir"], tuple(str(recipe / c) for c in m["configs"])) for m in run.listing["models"]], 29
    )
    for model in run.models:
        for name in ("checkpoint.pth", model.file):
            (recipe / model.exp_dir / name).touch()
        for name in ("org/valid", "test"):  # as asr.sh names them
            score = recipe / model.decode_dir / name / "score_wer/result.txt"
            score.parent.mkdir(parents=True)
            score.touch()
    run.compare_configurations()
    assert run.is_done
    finetune = recipe / "conf/scratch.yaml"
    text = finetune.read_text()
    finetune.write_text(text.replace("max_epoch: 4", "max_epoch: 5"))
    run.compare_configurations()
    assert not run.is_done
    assert run.open_directories() == {model.exp_dir for model in run.models if model.name == "e2"}  # no teacher
    finetune.write_text(text.replace("optim: adam", "optim: sgd"))
    with pytest.raises(UserError, match=r"was trained with another configuration \(optim\)"):
        run.compare_configurations()


@needs_espnet
def test_dry_run_prints_what_a_user_could_type(capsys):
    experiments.main(["run", "table4", "--dry_run", "true", "--seeds", "3", "--", "--nj", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("./run.sh --stage 11") for line in lines) == 8
    assert any("conf/criteria/clip_mae.yaml" in line and "--seed 3" in line for line in lines)
