"""The page of `encrl demo`: its folder, and what Chromium makes of it."""

import base64
import functools
import io
import json
import random
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import soundfile
import torch
import yaml

from espeak import Espeak, Prosody
from espnet_ext.cli import demo as demo_verb
from espnet_ext.cli import export as export_verb
from espnet_ext.data.words import group_words
from espnet_ext.decode.student import Student
from espnet_ext.errors import UserError
from espnet_ext.export import demo
from tests.browser import Browser, require_browser
from tests.decode.spoken import pieces_of, train_bpe
from tests.tiny import model_conf, save_experiment

CHARACTERS = ["<blank>", "<unk>", "<space>", *"ABCDEFGH", "<sos/eos>"]
PHONE, DESK = (390, 844), (1200, 800)
STATUS = "document.getElementById('status').textContent"
WORDS = "[...document.querySelectorAll('#card-{} [data-start]')].map(one => [one.dataset.text, +one.dataset.start, +one.dataset.end])"  # noqa: E501
PLAYED = """fetch(document.getElementById('player').src).then(answer => answer.arrayBuffer()).then(
    buffer => btoa(Array.from(new Uint8Array(buffer), byte => String.fromCharCode(byte)).join('')))"""


@pytest.fixture(scope="module")
def digits():
    """Digits that somebody says, (samples,) float32 at 16 kHz, over and over."""
    espeak = Espeak()
    said = espeak.speak("one two three four five six seven eight nine zero", "en-us", Prosody(rate=150))
    times = np.arange(0, len(said), espeak.sample_rate / 16000)
    speech = np.interp(times, np.arange(len(said)), said).astype(np.float32)
    return np.tile(speech / np.abs(speech).max() / 2, 20)


def export_student(folder, tokens, seed, **conf):
    """Exports a model with random weights, which says many different tokens."""
    exp_dir = save_experiment(folder, seed=seed, tokens=tokens, **conf, **model_conf(2))
    state = torch.load(exp_dir / "valid.cer_ctc.ave.pth")
    state["ctc.ctc_lo.weight"] *= 30
    state["ctc.ctc_lo.bias"][0] += 5
    torch.save(state, exp_dir / "valid.cer_ctc.ave.pth")
    data = folder.with_name("data")
    options = ["--exp_dir", exp_dir, "--data_dir", data, "--output_dir", exp_dir / "onnx", "--audio_format", "wav"]
    export_verb.main([*map(str, options), "--tolerance", "1", "--max_wer_loss", "1000"])
    return exp_dir / "onnx"


@pytest.fixture(scope="module")
def students(tmp_path_factory, digits):
    """Folders of two exported students by name: one of pieces of words and bytes, one of characters."""
    root = tmp_path_factory.mktemp("students")
    (root / "data").mkdir()
    soundfile.write(root / "data/a.wav", digits[:48000], 16000)
    (root / "data/wav.scp").write_text(f"a {root}/data/a.wav\n")
    (root / "data/text").write_text("a one two three\n")
    bpe = train_bpe(root / "bpe")
    found = {"pieces": export_student(root / "pieces", pieces_of(bpe), 0, token_type="bpe", bpemodel=str(bpe))}
    return found | {"letters": export_student(root / "letters", CHARACTERS, 1, token_type="char")}


@pytest.fixture(scope="module")
def folder(students, tmp_path_factory):
    """The page, or no test where there is no network."""
    try:
        demo.runtime_archive()
    except UserError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("demo") / "demo"
    paths = map(str, students.values())
    demo_verb.main(
        ["--onnx_dirs", *paths, "--names", *students, "--output_dir", str(folder), "--title", "Our students: e6 & e2"]
    )
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(folder):
    """Where `python3 -m http.server` would show the page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def speech_file(digits, tmp_path_factory):
    """What the browser's microphone hears."""
    path = tmp_path_factory.mktemp("microphone") / "digits.wav"
    soundfile.write(path, digits[: 10 * 16000], 16000, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def browser(address, speech_file, tmp_path_factory):
    require_browser()
    fake = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    words = (*fake, f"--use-file-for-fake-audio-capture={speech_file}", "--autoplay-policy=no-user-gesture-required")
    started = Browser(tmp_path_factory.mktemp("profile"), *words)
    yield started
    started.close()


@pytest.fixture
def page(browser, address):
    browser.open(address, *PHONE)
    wait_for(browser, "Record something")
    yield browser
    assert browser.complaints() == []


def wait_for(browser, status, seconds=120):
    end = time.monotonic() + seconds
    while not browser.run(STATUS).startswith(status):
        assert time.monotonic() < end, (browser.run("document.body.innerText"), browser.complaints())
        time.sleep(0.05)


def choose(page, path):
    page.type("#file", str(path))
    wait_for(page, "Finished")


def expected(folder, name, samples):
    """What Python makes of the same file and audio."""
    words = Student.from_pretrained(folder / f"{name}.onnx").transcribe(samples, rate=16000).words
    return [[word.text, word.start, word.end] for word in words]


@pytest.mark.slow
@pytest.mark.parametrize("samples", [0, 100, 959, 960, 16000, 52345, 30 * 16000, 34 * 16000 + 7, 75 * 16000])
def test_a_file_has_the_text_and_the_times_that_python_gives(samples, page, folder, digits, tmp_path):
    """Across the borders of windows: of 30 s, with 6 s shared by two."""
    speech = digits[:samples]
    soundfile.write(tmp_path / "a.wav", speech if samples else np.zeros(1, np.float32), 16000, subtype="FLOAT")
    choose(page, tmp_path / "a.wav")
    for name in ("pieces", "letters"):
        found = page.run(WORDS.format(name))
        assert found == expected(folder, name, speech if samples else np.zeros(1, np.float32))
        assert bool(found) == (samples >= 960)  # the model's shortest


@pytest.mark.slow
def test_channels_and_other_rates(page, folder, digits, tmp_path):
    """Channels are averaged; those that cancel each other are not."""
    speech = digits[:32000]
    for other in (speech, -speech):
        soundfile.write(tmp_path / "a.wav", np.stack([speech, other], axis=1), 16000, subtype="FLOAT")
        choose(page, tmp_path / "a.wav")
        assert page.run(WORDS.format("pieces")) == expected(folder, "pieces", speech) != []
    soundfile.write(tmp_path / "a.flac", np.repeat(speech, 3), 48000)
    choose(page, tmp_path / "a.flac")
    played = soundfile.read(io.BytesIO(base64.b64decode(page.run(PLAYED))), dtype="float32")[0]
    assert len(played) == pytest.approx(32000, abs=2)
    assert page.run(WORDS.format("pieces")) == expected(folder, "pieces", played)


@pytest.mark.slow
def test_the_microphone_is_heard_and_transcribed_live(page, folder, digits):
    page.click("#record")
    wait_for(page, "Listening")
    end = time.monotonic() + 120
    while not page.run(WORDS.format("pieces")):  # before the recording ends
        assert time.monotonic() < end
        time.sleep(0.1)
    assert page.run("document.querySelector('#record').textContent") == "Stop"
    time.sleep(2)
    page.click("#record")
    wait_for(page, "Finished")
    played, rate = soundfile.read(io.BytesIO(base64.b64decode(page.run(PLAYED))), dtype="float32")
    assert rate == 16000 and len(played) > 2 * rate
    for name in ("pieces", "letters"):
        assert page.run(WORDS.format(name)) == expected(folder, name, played) != []
    # It is what the file says, from some place on.
    middle = played[len(played) // 2 :][: rate // 2]
    likeness = np.correlate(np.tile(digits[: 10 * rate], 2), middle, "valid") / np.linalg.norm(middle)
    there = int(likeness.argmax())
    assert likeness[there] > 0.9 * np.linalg.norm(np.tile(digits[: 10 * rate], 2)[there:][: len(middle)])


@pytest.mark.slow
def test_students_are_chosen_and_compared(page, folder, digits, tmp_path):
    soundfile.write(tmp_path / "a.wav", digits[:32000], 16000, subtype="FLOAT")
    page.click("#students label:first-of-type input")
    choose(page, tmp_path / "a.wav")
    visible = "['pieces', 'letters'].map(name => document.getElementById('card-' + name).checkVisibility())"
    assert page.run(visible) == [False, True] and page.run(WORDS.format("pieces")) == []
    page.click("#students label:first-of-type input")  # on the same audio
    end = time.monotonic() + 60
    while page.run(WORDS.format("pieces")) != expected(folder, "pieces", digits[:32000]):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert page.run(visible) == [True, True]
    wait_for(page, "Finished")
    megabytes = f"{(folder / 'letters.onnx').stat().st_size / 1e6:.2f} MB"
    facts = page.run("document.querySelector('#card-letters .facts').textContent").split(" · ")
    assert facts[0] == megabytes and facts[1].startswith("WER ") and facts[1].endswith("on data")
    assert facts[2].startswith("RTF 0.")


@pytest.mark.slow
def test_a_file_that_is_no_audio_is_refused(page, tmp_path):
    (tmp_path / "a.txt").write_text("no audio")
    page.type("#file", str(tmp_path / "a.txt"))
    wait_for(page, "a.txt cannot be read")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK])
def test_the_page_fits_and_can_be_read(size, scheme, page, address, digits, tmp_path):
    page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.open(address, *size)
    wait_for(page, "Record something")
    soundfile.write(tmp_path / "a.wav", digits[: 16000 * 8], 16000, subtype="FLOAT")
    choose(page, tmp_path / "a.wav")
    assert page.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    cards = page.run("[...document.querySelectorAll('article')].map(one => one.getBoundingClientRect().top)")
    assert (cards[0] == cards[1]) == (size == DESK)  # side by side where there is room
    # Contrast of WCAG 2.2, 1.4.3: at least 4.5.
    for selector in ("h1", "#status", ".facts", "#card-letters span", "#card-letters small", "button"):
        assert contrast(page, selector) >= 4.5, selector
    # Size of what is touched, 2.5.8: at least 24 pixels.
    sizes = "[...document.querySelectorAll('button, #file, label')].map(one => one.getBoundingClientRect().height)"
    assert min(page.run(sizes)) >= 24
    ink = """new Uint32Array(document.getElementById('wave').getContext('2d').getImageData(0, 0,
        document.getElementById('wave').width, document.getElementById('wave').height).data.buffer).filter(Boolean)"""
    assert page.run(f"{ink}.length") > size[0]
    assert page.run("document.getElementById('wave').getAttribute('aria-label')") == "Waveform of 8.0 seconds"


def contrast(page, selector):
    """Returns the ratio of the luminance of an element's text and of what is behind it."""
    script = f"""(() => {{
        let one = document.querySelector({json.dumps(selector)});
        const context = new OffscreenCanvas(1, 1).getContext('2d', {{willReadFrequently: true}});
        const pixel = colour => {{
            context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
            return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
        }};
        const ink = pixel(getComputedStyle(one).color);
        while (getComputedStyle(one).backgroundColor === 'rgba(0, 0, 0, 0)') one = one.parentElement;
        return [ink, pixel(getComputedStyle(one).backgroundColor)];
    }})()"""
    levels = []
    for colour in page.run(script):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        levels.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(levels) + 0.05) / (min(levels) + 0.05)


@pytest.mark.slow
def test_everything_comes_from_the_folder_and_has_a_name(page, address):
    loaded = page.run("performance.getEntriesByType('resource').map(one => one.name)")
    assert loaded and all(name.startswith(address) for name in loaded)
    assert page.run("[document.title, document.querySelector('h1').textContent]") == ["Our students: e6 & e2"] * 2
    labels = [page.label(selector) for selector in ("#record", "#file", "#students input", "#wave", "#results")]
    assert labels == ["Record", "Audio file", "pieces", "Waveform: no audio yet", "Transcripts"]


@pytest.mark.slow
def test_words_are_those_of_python(page):
    """Of any tokens, also bytes that are no characters; these have a time for each byte here."""
    drawn = random.Random(0)
    pieces = ["▁", "▁a", "b", "▁▁c", "d▁e", "<unk>", "<s>", "</s>", "<space>", "é", "日"]
    pieces += [f"<0x{byte:02X}>" for byte in (0x20, 0x41, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0x80, 0xFF)]
    for token_type in ("bpe", "char", "word", "phn"):
        cases = [[(drawn.choice(pieces), 3 * n) for n in range(drawn.randrange(12))] for _ in range(300)]
        script = f"""import('./words.js').then(({{groupWords}}) => {json.dumps(cases)}.map(tokens =>
            groupWords(tokens, 0.04, "{token_type}").map(({{text, start, end}}) => [text, start, end])))"""
        for found, case in zip(page.run(script), cases, strict=True):
            words = list(group_words(case, 0.04, token_type))
            assert [text for text, _, _ in found] == [word.text for word in words]
            if "\ufffd" not in "".join(word.text for word in words):
                assert found == [[word.text, word.start, word.end] for word in words]


@pytest.mark.slow
def test_the_folder_is_a_space(folder, students):
    assert not list(folder.parent.glob(".demo.*"))
    _, front, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(front)["sdk"] == "static" and yaml.safe_load(front)["title"] == "Our students: e6 & e2"
    assert "http.server" in text
    listed = json.loads((folder / "students.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in listed] == list(students)
    assert (folder / "pieces.onnx").read_bytes() == (students["pieces"] / "model.int8.onnx").read_bytes()


def test_the_page_is_small():
    files = list(demo._WEB.iterdir())
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) < 500


def test_a_directory_without_an_export_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "runtime_archive", lambda: tmp_path / "unread.tgz")
    with pytest.raises(UserError, match="onnx has no exported file; export the model first"):
        demo.write_demo({"e1": tmp_path / "onnx"}, tmp_path / "demo")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["a", "../b"]])
def test_each_student_needs_a_name(names, tmp_path):
    words = ["--onnx_dirs", str(tmp_path / "x"), str(tmp_path / "y"), "--names", *names]
    with pytest.raises(UserError, match="--names"):
        demo_verb.main([*words, "--output_dir", str(tmp_path / "demo")])


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """An installation without tools/, whose cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "site-packages/espnet_ext/export/demo.py"))
    return tmp_path / "espnet_ext"


def test_without_npm_the_remedy_is_told(downloads, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=r"npm is not installed.* put it at .*/espnet_ext/onnxruntime-web-1.30.0.tgz"):
        demo.runtime_archive()
    assert list(downloads.iterdir()) == []


def test_without_a_network_the_remedy_is_told(downloads, monkeypatch):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    monkeypatch.setenv("npm_config_cache", str(downloads / "npm"))
    with pytest.raises(UserError, match=r"npm does not fetch onnxruntime-web@1.30.0 .*`npm pack"):
        demo.runtime_archive()


def test_a_damaged_archive_is_not_used(downloads):
    downloads.mkdir()
    (downloads / "onnxruntime-web-1.30.0.tgz").write_bytes(b"half")
    with pytest.raises(UserError, match="is damaged .* remove it"):
        demo.runtime_archive()
