"""The model card: what a model is, how good it is, what it cost, and how to use it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from espnet_ext.autoload import ENCODERS
from espnet_ext.report.markdown import layout
from espnet_ext.report.notes import notes
from espnet_ext.report.results import Results
from espnet_ext.report.size import sample_rate
from espnet_ext.report.system import System
from espnet_ext.report.table import cost_table, error_table, main_table

NO_LICENSE = "FILL IN"
_ESPNET = """## Use

In [ESPnet](https://github.com/espnet/espnet){needed}:

```python
import soundfile
from espnet2.bin.asr_inference import Speech2Text

recognise = Speech2Text.from_pretrained("{repo}", ctc_weight=1.0, beam_size=1)
speech, sample_rate = soundfile.read("speech.wav")  # {sample_rate} Hz, one channel
print(recognise(speech)[0][0])
```
"""
_ONNX = """
In [ONNX Runtime](https://onnxruntime.ai), without PyTorch; the input is the waveform, -1 to 1:

```python
import numpy as np
import onnxruntime
import soundfile
from huggingface_hub import hf_hub_download

session = onnxruntime.InferenceSession(hf_hub_download("{repo}", "onnx/{file}"))
tokens = [line.split()[0] for line in open(hf_hub_download("{repo}", "onnx/tokens.txt"), encoding="utf-8")]
speech, rate = soundfile.read("speech.wav", dtype="float32", always_2d=True)
assert rate == {sample_rate}, "resample first"
speech = speech.mean(axis=1)  # at least {min_samples} samples
log_probs, frames = session.run(None, {{"x": speech[None], "x_lengths": np.array([len(speech)])}})
best = log_probs[0].argmax(-1)
ids = [one for one, before in zip(best, [0, *best]) if one not in (0, before)]
print("".join(tokens[i] for i in ids).replace("\u2581", " ").replace("<space>", " "))
```
"""
_SHERPA = """
In [sherpa-onnx](https://github.com/k2-fsa/sherpa-onnx), on phones and boards: the folder `onnx/sherpa_onnx` has the
files, an example (`python3 run.py speech.wav`) and a README, which names the program for devices without Python:

```bash
sherpa-onnx-offline --omnilingual-asr-model=model.int8.onnx --tokens=tokens.txt speech.wav
```
"""


def front_matter(
    results: Results, student: System, language: str | None, license_name: str | None, dataset: str
) -> str:
    """Returns the card's metadata, between its lines of dashes."""
    scores = [
        # Without the split the sets would be merged into one.
        EvalResult(
            "automatic-speech-recognition", dataset, f"{dataset} {name}", "wer", round(score.wer, 2), dataset_split=name
        )
        for name in results.test_sets
        if (score := student.runs[0].scores[name]["wer"]) is not None
    ]
    data = ModelCardData(
        language=language,
        license=license_name or NO_LICENSE,
        library_name="espnet",
        pipeline_tag="automatic-speech-recognition",
        tags=["espnet", "audio", "automatic-speech-recognition", "ctc", "knowledge-distillation"],
        model_name=student.runs[0].exp_dir.name,
        eval_results=scores or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def make_card(
    results: Results,
    student: System,
    repo: str,
    config: Mapping[str, Any],
    files: list[str],
    min_samples: int,
    teacher: str,
    metadata: str,
) -> str:
    """Returns README.md of the repository.

    Args:
        results: the student and what it is compared with.
        student: the row of the model.
        repo: `user/name`.
        config: of its training.
        files: paths in the repository.
        min_samples: shortest audio that the ONNX files take.
        teacher: of `describe_teacher`.
        metadata: of `front_matter`.
    """
    parts = [
        metadata,
        f"# {repo.split('/')[1]}",
        f"A CTC speech recogniser of {student.parameters / 1e6:.2f} million parameters, {teacher}. "
        f"Trained with [ESPnet](https://github.com/espnet/espnet) and espnet_ext, after *An Effective "
        "Training Framework for Light-Weight Automatic Speech Recognition Models* ([arXiv 2505.16991](https://arxiv.org/abs/2505.16991)).",
        "## Results",
        layout(main_table(results)),
        results.decoding,
        "\n".join(f"- {line}" for line in notes(results)),
    ]
    for name in results.test_sets:
        parts += [f"### {name}: percent of words, by kind of error", layout(error_table(results, name))]
    parts += ["## Training cost", layout(cost_table(results))]
    needed = ", where espnet_ext is installed too" if config["encoder"] in ENCODERS else ", nothing else is needed"
    use = _ESPNET.format(repo=repo, needed=needed, sample_rate=sample_rate(config))
    onnx = next((f"model{kind}.onnx" for kind in (".int8", "") if f"onnx/model{kind}.onnx" in files), None)
    if onnx:
        use += _ONNX.format(repo=repo, file=onnx, sample_rate=sample_rate(config), min_samples=min_samples)
    if any(file.startswith("onnx/sherpa_onnx/") for file in files):
        use += _SHERPA
    return "\n\n".join([*parts, use])


def describe_teacher(exp_dir: Path | None) -> str:
    """Returns in words what a student was made from; `exp_dir` is its teacher's, None for a student from scratch."""
    return "without a teacher" if exp_dir is None else f"made from a larger one: the teacher was `{exp_dir.name}`"
