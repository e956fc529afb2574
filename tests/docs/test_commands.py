"""Every command, option, file and link that a document names is there."""

import re
import shutil
from pathlib import Path

import pytest

from espnet_ext.conf_dirs import locate
from espnet_ext.config import read_config
from espnet_ext.errors import UserError
from tests.docs.commands import REPO, Block, Command, blocks, commands, documents
from tests.docs.known import (
    COPIED_CORPUS,
    DEFAULT_CORPUS,
    OWN_CORPUS,
    TEMPLATE,
    WrongCommandError,
    all_option_names,
    check_options_of_source,
    check_python,
    check_recipe,
    check_verb,
)

BLOCKS = [block for path in documents() for block in blocks(path)]
BUILTINS = {".", "cd", "export", "source", "set", "for", "unset", "read", "wait", "eval", "exec", "test", "["}
NOT_HERE = {"apt-get", "sudo", "squeue", "qstat", "sbatch", "uv", "docker", "brew", "npm"}  # programs of other machines
TRACKED = ("conf/", "egs2/", "benchmarks/", "tests/", "docs/", "espnet_ext/", "tools/", ".github/")
MADE = re.compile(r"--output(_dir|_file)?$|-o$|>>?$")
needs_espnet = pytest.mark.skipif(not TEMPLATE.exists(), reason="needs ESPnet's recipe tree: run tools/install.sh")


def corpus_of(command: Command) -> str:
    """Name of the recipe that a command means: by its option, or by where it is typed."""
    if "--corpus" in command.words[:-1]:
        return command.words[command.words.index("--corpus") + 1]
    parts = command.directory.relative_to(REPO).parts if command.directory else ("egs2", OWN_CORPUS)
    return parts[1] if parts[:1] == ("egs2",) and len(parts) > 1 else DEFAULT_CORPUS


def check(command: Command) -> None:
    """Raises a `WrongCommandError` where a command cannot be."""
    program, words = command.words[0], command.words[1:]
    name = Path(program).name or program
    if program == "./run.sh":
        if "--corpus" in words[:-1]:
            place = words.index("--corpus")
            words = words[:place] + words[place + 2 :]
        check_recipe(words, corpus_of(command))
    elif name == "encrl":
        check_verb(words, command.abridged)
    elif name in ("python3", "python") and words:
        if words[0].endswith(".py"):
            words = [str(_existing(words[0], command)), *words[1:]]
        check_python(words, command.abridged)
    elif "/" in program and "bin/" not in program:
        check_options_of_source(_existing(program, command), words)
    elif name not in BUILTINS | NOT_HERE and not shutil.which(name) and "bin/" not in program:
        raise WrongCommandError(f"there is no program {program}")


def _existing(word: str, command: Command) -> Path:
    """Returns the file that a word of a command names: where it is typed, in its recipe, or at the root."""
    recipe = REPO / "egs2" / (COPIED_CORPUS if corpus_of(command) == OWN_CORPUS else corpus_of(command)) / "encrl1"
    for directory in (command.directory or recipe, recipe, REPO):
        if is_there(directory / word):
            return directory / word
    raise WrongCommandError(f"{word} does not exist")


def is_there(path: Path) -> bool:
    """Whether a file exists, or is a section of a configuration (docs/recipes.md)."""
    try:
        return path.exists() or bool(read_config(locate(str(path), student=True)))
    except UserError:
        return False


def named(word: str) -> bool:
    """Whether a word names a file of this tree, and not a pattern or something that a user has."""
    return word.startswith(TRACKED) and not re.search(rf"[<>*${{}}\[]|\.\.\.|NAME|{OWN_CORPUS}", word)


def made_by(found: list[Command]) -> set[str]:
    """Returns the files that commands write."""
    pairs = [pair for command in found for pair in zip(command.words, command.words[1:], strict=False)]
    return {word for option, word in pairs if MADE.match(option)} | {
        words[-1] for command in found if (words := command.words)[0] in ("cp", "mkdir", "ln")
    }


@needs_espnet
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_commands_and_their_options_exist(block: Block):
    if not block.is_typed:
        pytest.skip("a file to write")
    wrong = []
    found = list(commands(block))
    assert found, "a block without a command"
    for command in found:
        try:
            check(command)
        except WrongCommandError as error:
            wrong.append(f"{block.where}: {' '.join(command.words)}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(REPO)))
def test_files_that_commands_read_exist(path: Path):
    found = [(block, list(commands(block))) for block in blocks(path) if block.is_typed]
    made = made_by([command for _, several in found for command in several])
    wrong = []
    for block, several in found:
        for command in several:
            for word in re.split(r"[\s=()]", " ".join(command.words)):
                if named(word) and word not in made:
                    try:
                        _existing(word, command)
                    except WrongCommandError as error:
                        wrong.append(f"{block.where}: {error}")
    assert not wrong, "\n".join(wrong)


def prose(path: Path) -> str:
    """Returns a document without its blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


@needs_espnet
@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(REPO)))
def test_options_and_files_in_sentences_exist(path: Path):
    known, wrong = all_option_names(), []
    places = [REPO, *REPO.glob("egs2/*/encrl1"), REPO / "tools/espnet"]
    for code in re.findall(r"`([^`\n]+)`", prose(path)):
        wrong += [f"no option {name}" for name in re.findall(r"(?<![\w-])--[a-z][\w-]+", code) if name not in known]
        for word in re.split(r"[\s:=\"']", code):
            if named(word) and not any(is_there(directory / word) for directory in places):
                wrong.append(f"no file {word}")
    assert not wrong, f"{path.relative_to(REPO)}: {', '.join(wrong)}"


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(REPO)))
def test_links_lead_somewhere(path: Path):
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        file, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        there = (path.parent / file).resolve() if file else path
        if not there.exists():
            wrong.append(target)
        elif anchor and there.suffix == ".md" and anchor not in anchors(there):
            wrong.append(target)
    assert not wrong, f"{path.relative_to(REPO)}: {', '.join(wrong)}"


def anchors(path: Path) -> set[str]:
    """Returns the anchors of the headings of a document, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(path), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@needs_espnet
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("./run.sh --corpus an5", "there is no recipe an5"),
        ("./run.sh --student e6", "did you mean --students"),
        ("./run.sh --students", "needs a value"),
        ("python3 -m espnet_ext experiments run table1 --corpora mini_digits", "--corpora"),
        ("python3 -m espnet_ext experiment list", "no verb experiment"),
        ("encrl experiment list", "no verb experiment"),
        ("python3 -m espnet_ext experiments run all -- --njj 3", "--njj"),
        ("python3 -m espnet_ext.nothing --x 1", "there is no espnet_ext.nothing"),
        ("tests/run.sh --fully", "knows no option --fully"),
        ("tests/runs.sh", "does not exist"),
        ("no_such_program --x", "there is no program"),
        ("cd egs2/mini_an4/encrl1 && . ./path.sh\n./run.sh --decoder none", "'none' is not greedy"),
        ('C=(--nj 1 --sed 3)\n./run.sh "${C[@]}"', "did you mean --seed"),
        ("for x in a b; do ./run.sh --sed 3; done  # each", "did you mean --seed"),
    ],
)
def test_wrong_commands_are_found(text: str, message: str):
    """The checks above can fail."""
    found = list(commands(Block(REPO / "README.md", 1, text, False)))
    with pytest.raises(WrongCommandError, match=re.escape(message)):
        for command in found:
            check(command)
