"""What the folder for sherpa-onnx holds beside the models. No torch, no sherpa-onnx."""

GRAPH = "graph.fst"
COMMAND = "sherpa-onnx-offline --tokens=tokens.txt --omnilingual-asr-model=model.int8.onnx"
EXAMPLE = '''#!/usr/bin/env python3
"""Transcribes wav files. Needs: pip install sherpa-onnx soundfile"""

import sys
from pathlib import Path

import sherpa_onnx
import soundfile

here = Path(__file__).parent
recognizer = sherpa_onnx.OfflineRecognizer.from_omnilingual_asr_ctc(
    model=str(here / "model.int8.onnx"), tokens=str(here / "tokens.txt"), num_threads=1
)
graph = here / "graph.fst"
if graph.is_file():  # this constructor takes none
    recognizer.config.ctc_fst_decoder_config = sherpa_onnx.OfflineCtcFstDecoderConfig(str(graph), 3000)
    recognizer.recognizer = type(recognizer.recognizer)(recognizer.config)
for name in sys.argv[1:]:
    samples, sample_rate = soundfile.read(name, dtype="float32", always_2d=True)
    stream = recognizer.create_stream()
    stream.accept_waveform(sample_rate, samples.mean(axis=1))
    recognizer.decode_stream(stream)
    print(name, stream.result.text.strip())
'''
README = """# A CTC model for sherpa-onnx

- `model.onnx` (32-bit), `model.int8.onnx` (8-bit weights), `tokens.txt`
- Python: `python3 run.py file.wav ...` (needs `pip install sherpa-onnx soundfile`)
- Command line: `{command} file.wav`
  (in this folder; the program comes with `pip install sherpa-onnx-bin`)
- Phones and other languages: sherpa-onnx's programs and bindings for Omnilingual ASR CTC models, with these files.

Sampling rate: {sample_rate} Hz (others are resampled by sherpa-onnx). Audio of less than {min_ms:g} ms has no text:
no word is that short. Times that sherpa-onnx reports count
{slot_ms:g} ms a frame; this model's frames are {frame_ms:g} ms, so multiply them by {factor:g}.
{graph}Made by `encrl export --sherpa true`.
"""
WITH_GRAPH = """
`graph.fst` holds the words that may be said, and an n-gram of them. `run.py` uses it. The program does so with
`--ctc.graph=graph.fst`, and without it writes any words. With it, times are wrong: sherpa-onnx counts the graph's steps
without audio as frames.

"""
