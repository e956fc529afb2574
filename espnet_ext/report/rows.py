"""The rows of a report from a YAML file: several seeds, comparisons, and a paper's own numbers.

```yaml
title: Table 1 on mini_digits
test_sets: [test]
rows:
- label: e6 EncRL + finetuning
  decode_dirs: [exp/seed1/asr_e6_encrl/decode, exp/seed2/asr_e6_encrl/decode]   # one per seed
  compare_to: e6 from scratch                                     # optional: the label of another row
  published: {librispeech test-clean: 6.27}                       # optional: percent, on the paper's corpora
  note: free text                                                 # optional
```
"""

from pathlib import Path
from typing import Any

from espnet_ext.config import check_keys, read_config
from espnet_ext.errors import UserError, did_you_mean
from espnet_ext.report.collect import collect
from espnet_ext.report.results import Results
from espnet_ext.report.system import System


def results_of_rows(path: Path, title: str | None = None) -> Results:
    """Reads the file and every directory it names; what is not there yet is a note.

    Args:
        path: YAML as above. Relative paths in it start at the current directory.
        title: heading, instead of that of the file.

    Raises:
        UserError: An unknown key, a missing or ambiguous label, or a value of the wrong kind.
    """
    config = read_config(path)
    check_keys(config, ("title", "test_sets", "rows"), path)
    test_sets = _texts(config.get("test_sets"), f"{path}: test_sets")
    if not test_sets:
        raise UserError(f"{path}: test_sets is empty; name at least one test set")
    entries = config.get("rows")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries) or not entries:
        raise UserError(f"{path}: rows must be a list of '- label: ...' entries")
    systems = [_system(entry, test_sets, f"{path}: row {number}") for number, entry in enumerate(entries, 1)]
    labels = [system.label for system in systems]
    for system in systems:
        if labels.count(system.label) > 1:
            raise UserError(f"{path}: the label '{system.label}' occurs twice; give each row its own")
        if system.compare_to is not None and system.compare_to not in labels:
            near = did_you_mean(system.compare_to, labels)
            raise UserError(f"{path}: '{system.label}': compare_to: there is no row '{system.compare_to}'; {near}")
    folders = dict.fromkeys(run.decode_dir.name for system in systems for run in system.runs)
    decoding = f"Results in {', '.join(folders)}." if folders else ""
    return Results(title or str(config.get("title") or "Results"), systems, test_sets, decoding, by_start=False)


def _system(entry: dict[str, Any], test_sets: list[str], where: str) -> System:
    check_keys(entry, ("label", "decode_dirs", "compare_to", "published", "note"), where)
    if not entry.get("label"):
        raise UserError(f"{where}: has no label; give it a unique one")
    label = str(entry["label"])
    where = f"{where} ('{label}')"
    runs = [
        collect(Path(folder), test_sets) for folder in _texts(entry.get("decode_dirs", []), f"{where}: decode_dirs")
    ]
    sizes = {run.size.parameters for run in runs} - {None}
    if len(sizes) > 1:
        raise UserError(
            f"{where}: decode_dirs are models of different size ({', '.join(map(str, sorted(sizes)))} parameters); "
            f"a row is one model trained with several seeds"
        )
    published = entry.get("published") or {}
    if not isinstance(published, dict) or not all(isinstance(value, int | float) for value in published.values()):
        raise UserError(f"{where}: published must be '{{name of a test set: percent}}'")
    compare_to = entry.get("compare_to")
    return System(
        label, (label,), runs, None if compare_to is None else str(compare_to),
        {str(name): float(value) for name, value in published.items()}, entry.get("note"),
    )  # fmt: skip


def _texts(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str | int) for item in value):
        raise UserError(f"{where} must be a list: [one, two]")
    return [str(item) for item in value]
