"""The set-up scripts, in a copy of the few files they need; nothing is downloaded and no package is installed."""

import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SOURCE = Path(__file__).parents[1]
SCRIPTS = [
    "pyproject.toml",
    "espnet_ext.pth",
    "path.sh",
    "run.sh",
    "tools/constraints.txt",
    "tools/find_python.sh",
    "tools/install.sh",
    # what chooses a recipe
    "espnet_ext/__init__.py",
    "espnet_ext/errors.py",
    "espnet_ext/cli/__init__.py",
    "espnet_ext/cli/corpus.py",
]


def make_tree(tree: Path, version: str = "202611") -> Path:
    """Writes the files of ESPnet's source tree that matter here, as the source distribution has them."""
    for directory in ("utils", "steps", "scripts", "pyscripts"):
        (tree / "egs2/TEMPLATE/asr1" / directory).mkdir(parents=True)
    (tree / "egs2/TEMPLATE/asr1/asr.sh").write_text("")
    (tree / "egs2/mini_an4/asr1").mkdir(parents=True)
    (tree / "tools").mkdir()
    (tree / "tools/extra_path.sh").write_text("")
    (tree / "version.txt").write_text(version + "\n")
    return tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project directory where nothing is installed."""
    for name in SCRIPTS:
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCE / name, tmp_path / "project" / name)
    return tmp_path / "project"


@pytest.fixture
def installed_root(root: Path) -> Path:
    """A project directory that looks completely installed, with one recipe that prints its arguments."""
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/python3").symlink_to(sys.executable)
    make_tree(root / "tools/espnet-202611")
    (root / "tools/espnet").symlink_to("espnet-202611")
    for corpus in ("mini_an4", "mini_digits"):
        recipe = root / f"egs2/{corpus}/encrl1"
        recipe.mkdir(parents=True)
        (recipe / "path.sh").symlink_to("../../../path.sh")
        (recipe / "run.sh").write_text(f"#!/bin/bash\n# About {corpus}.\nprintf '%s\\n' {corpus} \"$@\"\n")
        (recipe / "run.sh").chmod(0o755)
    call(root, "key > ${root}/tools/.installed")
    return root


def bash(script: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess:
    """Runs a script without the settings of the calling environment."""
    unset = {"ESPNET_ROOT", "ENCRL_PYTHON", "ENCRL_ROOT", "PYTHON"}
    env = {name: value for name, value in os.environ.items() if name not in unset} | variables
    return subprocess.run(["bash", "-c", script], cwd=cwd, env=env, capture_output=True, text=True, timeout=60)


def call(root: Path, commands: str, **variables: str) -> subprocess.CompletedProcess:
    """Runs commands after the definitions of install.sh."""
    return bash(f". tools/install.sh; {commands}", root, **variables)


def make_archive(root: Path) -> tuple[Path, str]:
    """Writes a small source distribution where install.sh keeps it; returns it and its SHA-256."""
    archive = root / "tools/downloads/espnet-202611.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(make_tree(root.parent / "source"), "espnet-202611")
    return archive, hashlib.sha256(archive.read_bytes()).hexdigest()


def test_second_call_is_instant(installed_root):
    seconds = []  # of the CPU, whatever runs beside it
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = bash("tools/install.sh", installed_root)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert min(seconds) < 0.05


@pytest.mark.parametrize(
    "change",
    [
        "echo >> ${root}/tools/constraints.txt",
        "rm ${root}/.venv/bin/python3",
        "rm ${root}/tools/espnet",
        "rm ${root}/tools/.installed",
        "ESPNET_ROOT=/elsewhere",
        "root=$(mktemp -d) && cp -r . ${root} && venv=${root}/.venv",  # the project was moved
    ],
)
def test_a_change_is_noticed(installed_root, change):
    assert call(installed_root, f"installed || exit 8; {change}; installed || exit 9").returncode == 9


def test_path_sh_under_strict_shell_options(installed_root):
    recipe = installed_root / "egs2/mini_an4/encrl1"
    done = bash("set -euo pipefail; . ./path.sh; . ./path.sh; type -P python3; echo $ENCRL_ROOT $LC_ALL $PATH", recipe)
    assert (done.returncode, done.stderr) == (0, "")
    python, rest = done.stdout.splitlines()
    assert python == f"{installed_root}/.venv/bin/python3"
    assert rest.startswith(f"{installed_root} C {recipe}/utils:")


def test_a_schedulers_job_finds_the_environment_of_the_installation(installed_root):
    """ESPnet's slurm.conf passes PATH only."""
    python = f"{installed_root}/.venv/bin/python3"
    call(installed_root, "key > ${root}/tools/.installed", ENCRL_PYTHON=python)
    (installed_root / "tools/.environment").write_text(f"export ENCRL_PYTHON={python} ESPNET_ROOT=''\n")
    script = ". ./path.sh; echo $ENCRL_PYTHON"
    done = bash(script, installed_root / "egs2/mini_an4/encrl1", SLURM_JOB_ID="1")
    assert (done.stdout, done.stderr) == (f"{python}\n", "")


def test_path_sh_passes_a_failure_on(root):
    (root / "egs2/mini_an4/encrl1").mkdir(parents=True)
    script = "set -e; . ../../../path.sh; echo not reached"
    done = bash(script, root / "egs2/mini_an4/encrl1", ESPNET_ROOT="/missing")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ESPNET_ROOT=/missing is not a source tree of ESPnet")


def test_unpacking_restores_the_links(root):
    archive, sha256 = make_archive(root)
    done = call(root, f"espnet_sha256={sha256}; install_espnet_tree python3")
    assert done.returncode == 0, done.stderr
    assert os.readlink(root / "tools/espnet") == "espnet-202611"
    for name in ("utils", "steps", "scripts", "pyscripts"):
        assert (root / "tools/espnet/egs2/mini_an4/asr1" / name).is_dir()
    assert not list((root / "tools").glob("*.partial*"))


def test_interrupted_unpacking_is_repaired(root):
    archive, sha256 = make_archive(root)
    kill = f'espnet_sha256={sha256}; tar() {{ command tar "$@"; kill -9 $$; }}; install_espnet_tree python3'
    assert call(root, kill).returncode == -9
    assert len(list((root / "tools").glob("*.partial*"))) == 1 and not (root / "tools/espnet").exists()
    assert call(root, f"espnet_sha256={sha256}; install_espnet_tree python3").returncode == 0
    assert (root / "tools/espnet/egs2/mini_an4/asr1/utils").is_dir()
    assert not list((root / "tools").glob("*.partial*"))


def test_damaged_archive(root):
    archive, _ = make_archive(root)
    done = call(root, "install_espnet_tree python3")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {archive} is damaged") and "delete it" in done.stderr
    assert not (root / "tools/espnet").exists()


def test_failed_download_names_the_log(root):
    done = call(root, "install_espnet_tree false")
    assert done.returncode == 2
    assert "error: cannot download the source of ESPnet" in done.stderr and "tools/install.log" in done.stderr


def test_link_follows_espnet_root(root, tmp_path):
    checkout = make_tree(tmp_path / "checkout")
    _, sha256 = make_archive(root)
    for variables, target in [({}, "espnet-202611"), ({"ESPNET_ROOT": str(checkout)}, str(checkout))] * 2:
        assert call(root, f"espnet_sha256={sha256}; install_espnet_tree python3", **variables).returncode == 0
        assert os.readlink(root / "tools/espnet") == target


def test_espnet_root_of_another_version(root, tmp_path):
    checkout = make_tree(tmp_path / "checkout", "202511")
    done = call(root, "main", ESPNET_ROOT=str(checkout))
    assert done.returncode == 2
    assert f"ESPNET_ROOT={checkout} is ESPnet 202511, needed is 202611; check out" in done.stderr


def test_encrl_python_without_espnet(root, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin/python3").chmod(0o755)
    done = call(root, "install_python", ENCRL_PYTHON=f"{tmp_path}/bin/python3")
    assert done.returncode == 2
    assert "is not installed, needed is 202611" in done.stderr and "pip install" in done.stderr
    assert "not an absolute path" in call(root, "main", ENCRL_PYTHON="python3").stderr


def test_interrupted_installation_continues(root):
    steps = (
        "install_system_programs() { :; }; install_python() { echo python; }; install_espnet_tree() { echo tree; %s }"
    )
    assert call(root, (steps % "kill -9 $$;") + "; main").returncode == -9
    assert not (root / "tools/.installed").exists()
    done = call(root, (steps % "") + "; main")
    assert done.stdout.split() == ["python", "tree"]
    assert (root / "tools/.installed").exists() and (root / "tools/.environment").exists()


@pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not installed")
def test_concurrent_first_calls_install_once(installed_root):
    (installed_root / "tools/.installed").unlink()
    main = "install_system_programs() { :; }; install_python() { echo once; sleep 1; }; main"
    done = call(installed_root, f"({main}) & ({main}) & ({main}) & wait")
    assert done.stdout.split() == ["once"]
    assert done.stderr.count("Waiting for another call") == 2


def test_missing_programs_name_the_remedy(root):
    missing = "id() { echo 1000; }; missing_packages() { printf '%%s\\n' %s; }; install_system_programs"
    done = call(root, missing % "sctk flac")
    assert done.returncode == 0  # scoring falls back to jiwer
    assert "sudo apt-get install sctk flac" in done.stderr and "jiwer" in done.stderr
    done = call(root, missing % "perl")
    assert done.returncode == 2 and "error: the scripts of ESPnet need perl" in done.stderr


def test_half_installed_package_is_removed(root, tmp_path):
    for name in ("whole", "half"):
        (tmp_path / f"lib/{name}-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "lib/whole-1.0.dist-info/RECORD").write_text("")
    assert call(root, f"remove_half_installed {tmp_path}/lib").returncode == 0
    assert [path.name for path in (tmp_path / "lib").iterdir()] == ["whole-1.0.dist-info"]


@pytest.mark.parametrize("name", ["uv", ""])
def test_uv_installs_where_it_is_found_else_pip(root, tmp_path, name):
    """Both are given the same constraints. A program that prints its arguments stands for either."""
    for program in ("python3", name or "python3"):
        write_program(tmp_path / "bin" / program, f'echo {program} "$@"')
    commands = f"python_is_complete() {{ :; }}; install_packages {tmp_path}/bin/python3 -c constraints.txt"
    done = call(root, commands, PATH=f"{tmp_path}/bin:/usr/bin:/bin")
    assert done.returncode == 0, done.stderr
    words = (root / "tools/install.log").read_text().split()
    first = ["uv", "pip", "install", "--compile-bytecode", "--python", f"{tmp_path}/bin/python3"]
    first = first if name else ["python3", "-u", "-m", "pip", "install"]
    assert words[: len(first)] == first
    assert words[-4:] == ["-c", "constraints.txt", "-e", f"{root}[train,beam,digits,export,test]"]


def test_a_failure_shows_what_the_installer_said(root, tmp_path):
    write_program(tmp_path / "bin/uv", "echo ' Downloading torch (506.1MiB)'; echo 'error: no route'; exit 1")
    done = call(root, "install_packages python3", PATH=f"{tmp_path}/bin:/usr/bin:/bin")
    assert done.returncode == 2 and "      torch (506.1MiB)" in done.stderr and "      error: no route" in done.stderr
    assert "error: this failed: uv pip install --compile-bytecode --python python3; see" in done.stderr


def test_constraints_are_what_the_package_asks_for():
    """Everything that may be installed has one version, and an extra that names a release of torch names the same."""
    lines = (SOURCE / "tools/constraints.txt").read_text().splitlines()
    versions = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    extras = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for requirement in (Requirement(text) for several in extras.values() for text in several):
        if requirement.name != "espnet-encrl":
            assert versions[canonicalize_name(requirement.name)] in requirement.specifier, requirement
    train = {one.name: one for one in map(Requirement, extras["train"])}
    for name in ("torch", "torchaudio"):
        release = ".".join(versions[name].split(".")[:2])
        assert str(train[name].specifier) == f"=={release}.*"


def test_a_moved_tree_is_said_before_anything_is_made_anew(installed_root):
    (installed_root / ".venv/pyvenv.cfg").write_text("command = /usr/bin/python3 -m venv /before/.venv\n")
    main = "install_system_programs() { :; }; install_python() { echo >&2 anew; }; main"
    done = call(installed_root, f"rm tools/.installed; {main}")
    said = done.stderr.splitlines()
    assert said[0] == "This directory was /before when it was installed; .venv holds that path, so it is made anew"
    assert "anew" in said[1:]
    (installed_root / ".venv/pyvenv.cfg").write_text(f"command = python3 -m venv {installed_root}/.venv\n")
    assert "was " not in call(installed_root, f"rm tools/.installed; {main}").stderr


def test_the_environment_of_another_tree_is_not_replaced(installed_root, tmp_path):
    (installed_root / ".venv/pyvenv.cfg").write_text("command = /usr/bin/python3 -m venv /before/.venv\n")
    (installed_root / ".venv").rename(tmp_path / "theirs")
    (installed_root / ".venv").symlink_to(tmp_path / "theirs")
    done = call(installed_root, "rm tools/.installed; install_system_programs() { :; }; main")
    assert done.returncode == 2 and "is a link to the environment of /before. Remove the link" in done.stderr
    assert f"ENCRL_PYTHON={tmp_path}/theirs/bin/python3" in done.stderr
    assert (tmp_path / "theirs/bin/python3").exists() and (installed_root / ".venv").is_symlink()


def test_no_room_is_asked_for_what_uv_has(root, tmp_path):
    write_program(tmp_path / "bin/uv", f"echo {tmp_path}/cache")
    path = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    assert call(root, "uv_has_torch || exit 9", **path).returncode == 9
    (version,) = (line for line in (root / "tools/constraints.txt").read_text().splitlines() if line[:7] == "torch==")
    (tmp_path / f"cache/archive-v0/x/{version.replace('==', '-')}.dist-info").mkdir(parents=True)
    assert call(root, "uv_has_torch || exit 9", **path).returncode == 0


def test_full_disk(root):
    done = call(root, "check_room 999999999")
    assert done.returncode == 2 and "GB of free disk space" in done.stderr


def test_space_in_path(root):
    done = bash("tools/install.sh", root.rename(root.parent / "my project"))
    assert done.returncode == 2 and "contains a space" in done.stderr


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_find_python_skips_what_does_not_work(root, tmp_path):
    write_program(tmp_path / "bin/python3.12", "exit 127")  # a shim of pyenv without a version behind it
    write_program(tmp_path / "bin/python3", f'exec {sys.executable} "$@"')
    done = bash("tools/find_python.sh", root, PATH=f"{tmp_path}/bin:/usr/bin:/bin", PYENV_ROOT="/missing")
    assert done.returncode == 0 and Path(done.stdout.strip()).samefile(sys.executable)


def test_find_python_among_pyenv_versions(root, tmp_path):
    for name in ("python3.12", "python3.13", "python3"):
        write_program(tmp_path / "bin" / name, "exit 127")
    write_program(tmp_path / "pyenv/versions/3.12.9/bin/python3.12", f'exec {sys.executable} "$@"')
    done = bash("tools/find_python.sh", root, PATH=f"{tmp_path}/bin:/usr/bin:/bin", PYENV_ROOT=f"{tmp_path}/pyenv")
    assert done.returncode == 0 and Path(done.stdout.strip()).samefile(sys.executable)


def test_find_python_names_the_remedy(root, tmp_path):
    for name in ("python3.12", "python3.13", "python3"):
        write_program(tmp_path / "bin" / name, 'echo "it is Python 3.9.2" >&2; exit 1')
    path = f"{tmp_path}/bin:/usr/bin:/bin"
    done = bash("tools/find_python.sh", root, PATH=path, PYENV_ROOT="/missing")
    assert done.returncode == 2 and "error: found no Python 3.12 or 3.13" in done.stderr
    done = bash("tools/find_python.sh", root, PATH=path, PYTHON=f"{tmp_path}/bin/python3")
    assert done.returncode == 2 and "it is Python 3.9.2" in done.stderr and f"PYTHON={tmp_path}" in done.stderr


def test_run_sh_passes_options_on(installed_root):
    assert bash("./run.sh", installed_root).stdout.split() == ["mini_digits"]
    for corpus in ("--corpus mini_an4", "--corpus=mini_an4"):
        done = bash(f"./run.sh --stage 10 {corpus} --finetune_args '--max_epoch 3'", installed_root)
        assert done.stdout.splitlines() == ["mini_an4", "--stage", "10", "--finetune_args", "--max_epoch 3"]


def test_run_sh_help_and_unknown_corpus(installed_root):
    done = bash("./run.sh --help", installed_root)
    assert done.returncode == 0 and "mini_an4           About mini_an4." in done.stdout
    assert done.stdout.splitlines()[-2:] == ["mini_digits", "--help"]
    done = bash("./run.sh --corpus an4", installed_root)
    assert done.returncode == 2 and done.stdout == ""
    assert "did you mean 'mini_an4'?" in done.stderr and "mini_an4 mini_digits" in done.stderr
    assert bash("./run.sh --corpus", installed_root).returncode == 2


def test_help_needs_no_installation(root, tmp_path):
    """A fresh clone: ./run.sh --help and a mistyped corpus install nothing."""
    for folder in ("egs2", "espnet_ext"):
        shutil.copytree(SOURCE / folder, root / folder, symlinks=True, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("data", "dump", "exp", "downloads", "RESULTS*"))  # fmt: skip
    for script, directory in (
        ("./run.sh --corpus mini_an4 --help", root),
        ("./run.sh --help", root / "egs2/mini_an4/encrl1"),
    ):
        # The Python of the tests has the package of this tree installed, and imports it when it starts.
        done = bash(script, directory, PYTHON=sys.executable, PYTHONPATH=str(root))
        assert done.returncode == 0, done.stderr
        assert "This recipe sets: --ngpu 0" in done.stdout and "--finetune_args" in done.stdout
    assert (
        "did you mean 'librispeech'?"
        in bash("./run.sh --corpus librispech", root, PYTHON=sys.executable, PYTHONPATH=str(root)).stderr
    )
    assert not (root / ".venv").exists() and not (root / "tools/install.log").exists()


def sph2pipe(*args: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SOURCE / "tools/bin/sph2pipe", *args], capture_output=True)


@pytest.mark.parametrize("subtype", ["PCM_16", "ULAW"])
def test_sph2pipe(tmp_path, subtype):
    samples = np.random.default_rng(0).integers(-30000, 30000, (1600, 2)).astype("int16")
    sphere, wav = tmp_path / "a.sph", tmp_path / "a.wav"
    soundfile.write(sphere, samples, 16000, format="NIST", subtype=subtype)
    assert sphere.read_bytes().startswith(b"NIST_1A")
    done = sph2pipe("-f", "wav", "-p", "-c", "2", str(sphere))
    wav.write_bytes(done.stdout)
    decoded, rate = soundfile.read(wav, dtype="int16")
    expected = soundfile.read(sphere, dtype="int16")[0] if subtype == "ULAW" else samples
    assert rate == 16000 and np.array_equal(decoded, expected[:, 1])


def test_sph2pipe_names_the_unreadable_file(tmp_path):
    (tmp_path / "a.sph").write_bytes(b"no audio")
    done = sph2pipe("-f", "wav", str(tmp_path / "a.sph"))
    assert done.returncode == 2 and b"a.sph" in done.stderr and done.stdout == b""
