"""Options: what is given where, and every mistake with its remedy."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from espnet_ext.cli import corpus
from espnet_ext.errors import UserError
from espnet_ext.recipe.options import Options
from espnet_ext.recipe.words import espnet_file, help_text, read_asr_names, recipe_words
from tests.recipes.runs import ASR, WORDS, options

ROOT = Path(__file__).parents[2]


def test_later_words_win_and_those_of_asr_sh_are_passed_on():
    run = options("--nj", "3", "--nj", "4", "--max-wav-duration", "30", "--students", "none", "--finetune", "false")
    assert (run.nj, run.inference_nj, run.students, run.finetune) == (4, 4, (), False)
    assert run.asr == {"max_wav_duration": "30"} and run.teacher_config == ("conf/teacher.yaml",)
    assert options("--conf_dir", "conf/paper").encrl_config == ("conf/paper/encrl.yaml",)


@pytest.mark.parametrize(
    "words, message",
    [
        (("--finetune_arg", "x"), "unknown option --finetune_arg; did you mean --finetune_args"),
        (("--max_wav_duratio", "3"), "did you mean --max_wav_duration"),
        (("--asr_config", "x"), "--asr_config is set by the recipe"),
        (("--stage=3",), "of the form --name value"),
        (("stage", "3"), "of the form --name value"),
        (("--stage",), "option --stage needs a value"),
        (("--nj", "many"), "--nj takes a number, not 'many'"),
        (("--model_nj", "0"), "at least 1"),
        (("--skip_export", "yes"), "--skip_export takes true or false, not 'yes'"),
        (("--student_source", "magic"), "'magic' is not encrl, scratch or teacher"),
        (("--decoder", "magic"), "'magic' is not"),
        (("--on_change", "ask"), "'ask' is not redo, keep or fail"),
        (("--inference_config", "conf/decode.yaml"), "needs --decoder beam, lexicon or espnet"),
        (("--decoder", "beam", "--inference_config", "conf/none.yaml"), "conf/none.yaml does not exist"),
        (("--conf_dir", "conf/papr"), "--conf_dir conf/papr: no such directory in .*; did you mean 'conf/paper'"),
        (("--scratch_config", "conf/scrach.yaml"), "--scratch_config: conf/scrach.yaml does not exist in .*'scratch'"),
        (("--encrl_config", "conf/encrl.yaml conf/criteria/ms.yaml"), "conf/criteria/ms.yaml does not exist.*'mse'"),
        (("--stage", "13", "--stop_stage", "10"), "--stage 13 is after --stop_stage 10: nothing would be done"),
        (("--stage", "6", "--stop_stage", "9"), "stages 6-9 make a language model: give --use_lm true or --use_ngram"),
        (("--expdir", "exp/lr=1,2"), "--expdir 'exp/lr=1,2': ESPnet takes ',' in it for its own syntax"),
        (("--dumpdir", "/data/my dump"), "--dumpdir '/data/my dump': ESPnet takes ' ' in it"),
        (("--dumpdir", ""), "--dumpdir '': empty"),
        (("--stage", "16"), "--stage 16: the last stage is 15, so nothing would be done"),
        (("--skip_packing", "flase"), "--skip_packing: 'flase' is not true or false"),
        (("--use_lm", "yes"), "--use_lm: 'yes' is not true or false"),
        (("--bpemode", "unigra"), "--bpemode: 'unigra' is not unigram or bpe"),
        (("--token_type", "cahr"), "--token_type: 'cahr' is not bpe, char, word or teacher"),
        (("--fs", "8x"), "--fs takes a sampling rate in Hz, e.g. 16000 or 16k, not '8x'"),
        (("--train_set", ""), "--train_set is empty"),
        (("--feats_type", "fbank"), "use raw"),
        (("--students", "e6 teacher"), "teacher is the name of the teacher"),
        (("--students", "e6 e4 e6"), "--students: e6 is named twice"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_the_remedy(words, message):
    with pytest.raises(UserError, match=message):
        options(*words)


def test_each_line_of_the_help_can_be_read_alone():
    for item in fields(Options):
        said = item.metadata.get("help", "x." * 9)
        assert len(said) > 12 and said.endswith("."), (item.name, said)
        assert not re.search(r" below|above|as in|^Of |skip", said, re.I) or item.name == "conf_dir", item.name
    shown = help_text([], [])
    assert shown.count("(default: that of --nj)") == 1 and "(default: ) " not in shown and "(default: 0)" not in shown


@pytest.mark.skipif(not (ROOT / "tools/espnet/egs2").exists(), reason="needs ESPnet's recipe tree")
def test_every_recipe_is_read_and_help_names_its_options():
    for run_sh in ROOT.glob("egs2/*/encrl1/run.sh"):
        names = read_asr_names(espnet_file("asr.sh"))
        assert {"max_wav_duration", "use_lm", "local_data_opts"} <= set(names)
        words = recipe_words(run_sh)
        assert Options.parse(words, names).train_set
        shown = help_text(words, names)
        for word in ("--students", "--teacher", "--finetune_args", "--max_wav_duration", "--on_change", "Stages"):
            assert word in shown
        assert "--asr_config" not in shown
    assert len(WORDS) % 2 == 0 and ASR


@pytest.mark.parametrize(
    "name, near",
    [("librispech", "librispeech"), ("an4", "mini_an4"), ("mini-digits", "mini_digits"), ("tedlium", "tedlium3")],
)  # fmt: skip
def test_a_mistyped_corpus_is_named_with_the_nearest(name, near, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert corpus.choose(["--stage", "3", "--corpus", "mini_an4"]) == ("mini_an4", ["--stage", "3"])
    with pytest.raises(UserError, match=rf"there is no egs2/{name}/encrl1/run.sh; did you mean '\w*{near}'"):
        corpus.choose(["--corpus", name])
