"""What every verb says of itself: at once, and so that each line can be read alone."""

import argparse
import subprocess
import sys

import pytest

from espnet_ext.cli import VERBS, main, module_of
from espnet_ext.cli.options import Parser
from espnet_ext.errors import UserError

PARSED = [verb for verb in VERBS if verb != "run"]  # whose options are those of asr.sh, too


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Returns a parser and those of its actions."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [parser, *(one for action in inner for child in action.choices.values() for one in parsers(child))]


@pytest.mark.parametrize("verb", PARSED)
def test_every_option_has_a_help_that_can_be_read_alone(verb):
    for parser in parsers(module_of(verb).get_parser()):
        assert parser.prog.startswith(f"encrl {verb}") and parser.description
        for action in parser._actions:
            if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
                continue
            said = action.help or ""
            assert len(said) > 8 and said[0].isupper(), (parser.prog, action.dest, said)
            # Words that hang on another line, or on the reader's memory of one.
            assert not said.startswith(("Of ", "As ", "The same", "See ")), (parser.prog, action.dest, said)
            assert "as above" not in said and "ditto" not in said
            if action.dest.endswith("_sec"):
                assert "seconds" in said, (parser.prog, action.dest)


@pytest.mark.parametrize("verb", PARSED)
def test_the_help_is_printed(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        module_of(verb).main(["--help"])
    assert ended.value.code == 0 and "Example" in capsys.readouterr().out or verb in ("check", "derive")


def test_defaults_are_shown_once():
    said = module_of("cache").get_parser().format_help()
    assert "(default: int16)" in " ".join(said.split()) and said.count("500") == 1
    assert "(default: None)" not in said and "(default: [])" not in said
    assert "(default: true)" in module_of("check").get_parser()._actions[1].choices["data"].format_help()


def test_no_help_needs_torch_or_espnet():
    code = (
        "import contextlib, io, sys\n"
        "from espnet_ext.cli import VERBS, module_of\n"
        "for verb in VERBS:\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "        module_of(verb).main(['--help'])\n"
        "print(sorted({'torch', 'espnet2', 'numpy', 'yaml', 'matplotlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_the_verbs_are_listed(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["encrl", *words])
    main()
    assert all(f"    {verb} " in capsys.readouterr().out for verb in list(VERBS)[:1])


def test_an_unknown_verb_and_an_unknown_option_are_answered_with_the_nearest():
    with pytest.raises(UserError, match="no verb 'transcibe'; did you mean 'transcribe'"):
        module_of("transcibe")
    with pytest.raises(UserError, match="unknown option --exp-dir; did you mean '--exp_dir'"):
        module_of("progress").main(["--exp-dir", "x"])


def test_what_is_wrong_with_a_value_is_one_line():
    with pytest.raises(
        UserError, match=r"^--fs: takes a sampling rate in Hz, e.g. 16000 or 16k, not '8x' \(encrl check"
    ):
        module_of("check").main(["data", "x", "--fs", "8x"])
    with pytest.raises(UserError, match=r"--ctm: takes true or false, not 'yes'"):
        module_of("decode").main(["--ctm", "yes"])
    for word in ("nan", "inf", "-inf", "many"):
        with pytest.raises(UserError, match=f"--window_sec: takes a finite number, not '{word}'"):
            module_of("transcribe").main(["--model", "x", f"--window_sec={word}", "y"])
    with pytest.raises(UserError, match="required: --exp_dir"):
        module_of("progress").main([])


def test_a_usage_error_prints_no_usage():
    done = subprocess.run(
        [sys.executable, "-m", "espnet_ext", "check", "data", "x", "--fs", "8x"], capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_a_configuration_gives_defaults(tmp_path):
    from espnet_ext.cli.options import parse_with_config

    (tmp_path / "a.yaml").write_text("search: beam\nbeam_size: 7\nlog_add: false\nlm: x.arpa\n")
    (tmp_path / "b.yaml").write_text("beamsize: 7\n")
    words = ["--exp_dir", "x", "--data_dir", "x", "--test_sets", "x", "--config"]
    decode = module_of("decode")
    args = parse_with_config(decode.get_parser(), [*words, str(tmp_path / "a.yaml"), "--beam_size", "9"])
    assert (args.search, args.beam_size, args.log_add, args.lm.name) == ("beam", 9, False, "x.arpa")
    with pytest.raises(UserError, match=r"b.yaml: unknown key 'beamsize'; did you mean 'beam_size'"):
        parse_with_config(decode.get_parser(), [*words, str(tmp_path / "b.yaml")])


def test_parsers_are_made_alike():
    assert all(isinstance(parser, Parser) for verb in PARSED for parser in parsers(module_of(verb).get_parser()))
