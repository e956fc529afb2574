"""The tables at the end of a run: all finished experiments of the directory, and the run's own."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.files import file_sha256
from espnet_ext.quiet import quiet_espnet
from espnet_ext.record import RECORD, Record

if TYPE_CHECKING:
    from espnet_ext.recipe.recipe import Recipe
    from espnet_ext.report.results import Results
    from espnet_ext.report.system import System


def report(recipe: "Recipe") -> None:
    """Writes both tables where something in them is new, and shows the run's own."""
    options, output = recipe.options, Path(recipe.options.results)
    own = [model.exp_dir / recipe.names.inference_tag for model in recipe.models]
    finished = _comparable(recipe)
    everything = list(dict.fromkeys([*own, *finished]))
    run_output = output.with_stem(f"{output.stem}_run")
    made_of = {"own": _digests(own), "all": _digests(everything), "results": options.results, "sets": options.test_sets}
    record = next(Record.all(recipe.names.expdir, "."), None)  # where it cannot be read it is written again
    sentence = record.content.get("sentence", "") if record is not None else ""
    if record is None or record.changes(made_of) or not record.is_finished:
        record = Record.begin(recipe.names.expdir, "report", made_of)
        with quiet_espnet():
            _write(recipe, everything, output)
            sentence = _best(_write(recipe, own, run_output))
        record.finish([str(Path.cwd() / path) for path in (output, run_output)], sentence=sentence)
    table = [line for line in run_output.read_text(encoding="utf-8").split("\n\n")[1].splitlines() if line]
    print("\n" + "\n".join(table) + "\n")
    recipe.say(f"Report of this run: {run_output.absolute()}")
    recipe.say(f"Report of all {len(everything)} models in {options.expdir}: {output.absolute()}")
    if sentence:
        recipe.say(sentence)


def _digests(decode_dirs: list[Path]) -> dict[str, str]:
    records = {str(path): [one / RECORD for one in (path, path.parent)] for path in decode_dirs}
    return {name: "".join(file_sha256(file) for file in files if file.is_file()) for name, files in records.items()}


def _comparable(recipe: "Recipe") -> list[Path]:
    """Returns the decoding results in the directory of experiments that are of the present models and test sets."""
    options, expdir = recipe.options, recipe.names.expdir
    wanted = {name: file_sha256(options.data / name / "text") for name in options.decoded_sets}
    found, left_out = [], []
    for record in Record.all(expdir, "*/*", "*/*/*"):
        if record.content["kind"] != "decoding" or record.content["state"] != "finished":
            continue
        texts = record.made_of["scoring"]["text"]
        model = Record.read(record.directory.parent)
        trained = (
            {one["sha256"] for one in (model.content.get("outputs") or {}).values()} if model is not None else set()
        )
        comparable = all(texts.get(name) == text for name, text in wanted.items())
        comparable = comparable and (not trained or record.made_of["decoding"]["model"] in trained)
        (found if comparable else left_out).append(record.directory)
    if left_out:
        recipe.say(
            f"{len(left_out)} of other models, sets or references are in no table: {', '.join(map(str, left_out[:3]))}"
        )
    return found


def _write(recipe: "Recipe", decode_dirs: list[Path], output: Path) -> "Results":
    from espnet_ext.report.results import Results
    from espnet_ext.report.system import systems_of
    from espnet_ext.report.write import write_report

    test_sets = list(dict.fromkeys(recipe.options.test_sets))
    tags = sorted({path.name for path in decode_dirs})
    decoding = f"Decoded with {recipe.options.inference_asr_model}, results in {', '.join(tags)}."
    title = f"Results on {Path.cwd().parent.name}"
    results = Results(title, systems_of(decode_dirs, test_sets), test_sets, decoding, by_start=True)
    figures = (output.with_name(f"{output.stem}_{name}.png") for name in ("wer_vs_params", "training_curves"))
    write_report(results, output, *figures)
    return results


def _best(results: "Results") -> str:
    """Returns the best small model in one sentence, and what to do with it."""

    def rate(system: "System") -> float:
        rates = [system.rate(name, "wer") for name in results.test_sets]
        return sum(rates) / len(rates) if None not in rates else float("inf")

    students = [system for system in results.systems if system.model != "teacher"]
    if not students:
        return ""
    best = min(students, key=lambda system: (rate(system), system.parameters or 0))
    teacher = next((system for system in results.systems if system.model == "teacher"), None)
    size = f" with {best.parameters / 1e6:.2f} million parameters" if best.parameters else ""
    than = f"; the teacher: {rate(teacher):.1f} %" if teacher is not None else ""
    exp_dir = best.runs[0].exp_dir
    return (
        f"Best small model: {best.label}, {rate(best):.1f} % of the words wrong{size}{than}. Try it:\n"
        f"    cd {shlex.quote(str(Path.cwd()))} && . ./path.sh\n"
        f"    python3 -m espnet_ext transcribe --model {shlex.quote(str(exp_dir))} AUDIO"
    )
