"""What is known of tables of experiments: how far each row is, and the report of each table."""

from pathlib import Path

from espnet_ext.checkpoints.history import finished_epochs
from espnet_ext.config import write_config
from espnet_ext.experiments.matrix import Table
from espnet_ext.experiments.plan import Plan, Run
from espnet_ext.quiet import quiet_espnet
from espnet_ext.score.results import find_score


def show_status(tables: list[Table], plans: list[Plan]) -> None:
    """Prints how far each row is: not started, epochs, trained, or its error rates."""
    for plan in plans:
        for table in tables:
            print(f"{table.name}, {plan.variant}, seed {plan.seed}")
            for row in table.rows:
                print(f"    {row.label:60} {_state(plan.run(table, row), row.model)}")


def _state(run: Run, name: str) -> str:
    model = run.model(name)
    if run.is_scored(model):
        folder = run.decode_dir(model)
        scores = [(test_set, find_score(folder, test_set)) for test_set in run.recipe.options.test_sets]
        return "WER " + ", ".join(f"{test_set} {score.wer:.2f} %" for test_set, score in scores if score)
    if model.checkpoint.is_file():
        return "trained, not scored"
    epochs = len(finished_epochs(model.exp_dir)) if model.exp_dir.is_dir() else 0
    return f"{epochs} epochs finished" if epochs else "not started"


def write_reports(tables: list[Table], plans: list[Plan], output_dir: Path | None) -> None:
    """Writes <table>_<variant>.md and what belongs to it, the seeds of a variant together.

    Args:
        tables: what is reported.
        plans: of every variant and seed.
        output_dir: where; None: exp/reports of the recipe.
    """
    with quiet_espnet():
        from espnet_ext.report.rows import results_of_rows
        from espnet_ext.report.write import show_report

    corpus = plans[0].corpus
    folder = output_dir or corpus.directory / "exp" / "reports"
    for table in tables:
        for variant in dict.fromkeys(plan.variant for plan in plans):
            same = [plan for plan in plans if plan.variant == variant]
            rows = []
            for row in table.rows:
                entry = {"label": row.label, "decode_dirs": [plan.decode_dir(table, row) for plan in same]}
                entry |= {key: value for key in ("compare_to", "published", "note") if (value := getattr(row, key))}
                rows.append(entry | ({"published": dict(row.published)} if row.published else {}))
            seeds = ", ".join(str(plan.seed) for plan in same)
            title = f"{table.title} ({corpus.directory.parent.name}, {variant}, seeds {seeds})"
            test_sets = list(same[0].run(table, table.rows[0]).recipe.options.test_sets)
            base = folder / f"{table.name}_{variant}"
            write_config({"title": title, "test_sets": test_sets, "rows": rows}, base.with_suffix(".yaml"))
            figures = (base.with_name(f"{base.name}_{kind}.png") for kind in ("wer_vs_params", "training_curves"))
            show_report(results_of_rows(base.with_suffix(".yaml")), base.with_suffix(".md"), *figures)
