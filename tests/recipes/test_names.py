"""Names of experiments (encrl_names.sh): what differs has another name, what is the same is found again."""

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "egs2/TEMPLATE/encrl1/encrl_names.sh"
DEFAULTS = {
    "expdir": "exp", "feats_type": "raw", "lang": "en", "token_type": "char", "nbpe": "30", "bpemode": "unigram",
    "speed_perturb_factors": "", "teacher": "", "teacher_config": "conf/teacher.yaml", "teacher_args": "",
    "encrl_config": "conf/encrl.yaml", "encrl_args": "", "encrl_checkpoint": "", "unlabelled_set": "",
    "students": "e6 e4", "finetune": "true", "finetune_config": "conf/finetune.yaml", "finetune_args": "",
    "scratch_config": "conf/scratch.yaml", "scratch_args": "", "layer_selection": "last", "decoder": "greedy",
    "inference_config": "", "inference_args": "", "inference_tag": "", "inference_asr_model": "valid.cer_ctc.ave.pth",
    "use_lm": "false", "use_ngram": "false",
}  # fmt: skip


def names(directory: Path, *expressions: str, **options: str) -> list[str]:
    """Returns what shell expressions give after the script was sourced."""
    setting = "".join(f"{name}='{value}'\n" for name, value in (DEFAULTS | options).items())
    prints = "".join(f'echo "{expression}"\n' for expression in expressions)
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\nasr_opts=()\n{setting}. '{SCRIPT}'\n{prints}"],
        cwd=directory, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_comes_of_another_teacher_has_another_name(tmp_path):
    made = ("${encrl_exp}", "$(student_start e6 teacher)", "$(student_exp e6 encrl)", "$(student_exp e6 teacher)")
    plain, changed = names(tmp_path, *made), names(tmp_path, *made, teacher_args="--max_epoch 10")
    assert not set(plain) & set(changed)
    scratch = "$(student_exp e6 scratch)"
    assert names(tmp_path, scratch) == names(tmp_path, scratch, teacher_args="--max_epoch 10")


def test_a_student_that_is_finished_keeps_the_encrl_it_came_from(tmp_path):
    """It does not depend on the students beside it, so another set of students trains it no second time."""
    (e4, tag, student) = names(tmp_path, "${encrl_exp}", "${encrl_tag}_${suffix}${sp}", "$(student_exp e4 encrl)",
                               students="e4")  # fmt: skip
    for name in (e4, student):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / ".trained").touch()
    (tmp_path / student / "checkpoint.pth").touch()
    (tmp_path / e4 / ".students").write_text(f"{tag} e4\n")
    (tmp_path / student / "lineage.yaml").write_text(f"{{model: e4, source: encrl, parents: [{e4}]}}\n")
    both, found = names(tmp_path, "${encrl_exp}", f"$(encrl_of {student})")
    assert found == e4 != both
    (tmp_path / student / "checkpoint.pth").unlink()  # not begun: of the present run
    assert names(tmp_path, f"$(encrl_of {student})") == [both]


def test_a_finished_encrl_of_more_students_serves(tmp_path):
    more, tag = names(tmp_path, "${encrl_exp}", "${encrl_tag}_${suffix}${sp}", students="e6 e4 e2")
    (tmp_path / more).mkdir(parents=True)
    (tmp_path / more / ".trained").touch()
    (tmp_path / more / ".students").write_text(f"{tag} e6 e4 e2\n")
    assert names(tmp_path, "${encrl_exp}", students="e4") == [more]
    assert names(tmp_path, "${encrl_exp}", students="e4", encrl_args="--max_epoch 1") != [more]
