"""Parts of the model card that are the same for every model."""

from espnet_ext.export.sherpa_files import COMMAND

PAPER = (
    "*An Effective Training Framework for Light-Weight Automatic Speech Recognition Models* "
    "([arXiv 2505.16991](https://arxiv.org/abs/2505.16991))"
)
ESPNET = """In [ESPnet](https://github.com/espnet/espnet){needed}:

```python
import soundfile
from espnet2.bin.asr_inference import Speech2Text

recognise = Speech2Text.from_pretrained("{repo}", ctc_weight=1.0, beam_size=1)
speech, sample_rate = soundfile.read("speech.wav")  # {sample_rate} Hz, one channel
print(recognise(speech)[0][0])
```
"""
ONNX = """
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
speech = speech.mean(axis=1)
log_probs, frames = session.run(None, {{"x": speech[None], "x_lengths": np.array([len(speech)])}})
best = log_probs[0, : frames[0]].argmax(-1)  # no frame where the audio is too short for a word
ids = [one for one, before in zip(best, [0, *best]) if one not in (0, before)]
print("".join(tokens[i] for i in ids).replace("\\u2581", " ").replace("<space>", " "))
```
"""
SHERPA = f"""
In [sherpa-onnx](https://github.com/k2-fsa/sherpa-onnx), on phones and boards: the folder `onnx/sherpa_onnx` has the
files, an example (`python3 run.py speech.wav`) and a README. In that folder, without Python code, by the program of
`pip install sherpa-onnx-bin`:

```bash
{COMMAND} speech.wav
```
"""
CITATION = """```bibtex
@inproceedings{hannan2025effective,
  title={An Effective Training Framework for Light-Weight Automatic Speech Recognition Models},
  author={Abdul Hannan and Alessio Brutti and Shah Nawaz and Mubashir Noman},
  booktitle={Proceedings of Interspeech},
  year={2025},
  pages={3613--3617},
  doi={10.21437/Interspeech.2025-1704},
  eprint={2505.16991},
  archivePrefix={arXiv}
}
@inproceedings{watanabe2018espnet,
  title={{ESPnet}: End-to-End Speech Processing Toolkit},
  author={Shinji Watanabe and Takaaki Hori and Shigeki Karita and Tomoki Hayashi and Jiro Nishitoba and Yuya Unno and
    Nelson {Enrique Yalta Soplin} and Jahn Heymann and Matthew Wiesner and Nanxin Chen and Adithya Renduchintala and
    Tsubasa Ochiai},
  booktitle={Proceedings of Interspeech},
  year={2018},
  pages={2207--2211},
  doi={10.21437/Interspeech.2018-1456}
}
```"""
