"""What a run of a recipe leaves behind, without training anything. As a program it stands in for a recipe's run.sh."""

import sys
import time
from pathlib import Path

from espnet_ext.experiments.plan import Run
from espnet_ext.recipe.options import Options
from espnet_ext.recipe.recipe import Recipe
from espnet_ext.recipe.train import trainings
from espnet_ext.recipe.words import recipe_words
from espnet_ext.record import Record

ASR = ["seconds", "fail", "beside"]


def finish(run: Run | Recipe) -> None:
    """Makes the directories of all models of a run as they are when it has ended."""
    recipe = run if isinstance(run, Recipe) else run.recipe
    for training in trainings(recipe):
        if Record.read(training.exp_dir) is not None:
            continue  # as the recipe: what a run beside this one may be reading is not written again
        training.exp_dir.mkdir(parents=True, exist_ok=True)
        record = Record.begin(training.exp_dir, training.kind, training.made_of({}, {}), **training.about)
        for name in ("checkpoint.pth", *training.outputs):
            (training.exp_dir / name).write_bytes(b"model")
        record.finish(training.outputs)
    for model in recipe.models:
        sets = recipe.options.decoded_sets
        digest = Record.read(model.exp_dir).content["outputs"][model.file]["sha256"]
        made_of = {"decoding": {"model": digest}, "scoring": {"text": dict.fromkeys(sets, "0" * 64)}}
        directory = model.exp_dir / recipe.names.inference_tag
        if Record.read(directory) is not None:
            continue
        record = Record.begin(directory, "decoding", made_of)
        for name in sets:
            (directory / name / "score_wer").mkdir(parents=True, exist_ok=True)
            (directory / name / "score_wer/result.txt").touch()
        record.finish([f"{name}/score_wer/result.txt" for name in sets])


def wait_for_students(number: int) -> None:
    """Waits until so many students have begun, so that no machine is too slow to show that runs overlap."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        begun = [line for line in Path("events").read_text().splitlines() if line.startswith("begin")]
        if sum(line.split()[1] != "teacher" for line in begun) >= number:
            return
        time.sleep(0.05)


def main() -> None:
    """ "Trains" what is not there for a moment, and notes when that began and ended."""
    words = [*recipe_words(Path("run.sh")), *sys.argv[1:]]
    recipe = Recipe(Options.parse(words, ASR))
    if recipe.options.stop_stage < 11:
        return
    if "fail" in recipe.options.asr:
        sys.exit("error: no luck")
    with Path("events").open("a") as events:
        new = [training.title for training in trainings(recipe) if Record.read(training.exp_dir) is None]
        for moment in ("begin", "end"):
            for title in new:
                events.write(f"{moment} {title.replace(' ', '_')} {time.time()}\n")
            events.flush()
            if moment == "begin":
                time.sleep(float(recipe.options.asr.get("seconds", 0.2)))
                wait_for_students(int(recipe.options.asr.get("beside", 0)) if "teacher" not in new else 0)
    finish(recipe)


if __name__ == "__main__":
    main()
