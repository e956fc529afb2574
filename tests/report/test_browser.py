"""The HTML report in a real browser, on a phone and on a desk."""

import math
import re

import pytest

from espnet_ext.cli import report
from tests.browser import Browser, require_browser
from tests.report.conftest import Recipe

pytestmark = pytest.mark.slow
MAIN = "document.querySelector('main > .scroll')"
ROWS = "[...document.querySelectorAll('main > .scroll tbody tr')]"
CHART = "Chart.getChart(document.querySelector('canvas'))"
# Pixels of a canvas that are not transparent.
INK = """[...document.querySelectorAll('canvas')].map(canvas => {
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return new Uint32Array(pixels.buffer).filter(Boolean).length;
})"""
PAUSE = "new Promise(done => setTimeout(done, 50))"
PHONE, DESK = (390, 844), (1400, 900)
STUDENTS = {"e4": 2, "e2": 1}


def epochs(scale: float) -> list[dict]:
    return [{"loss": scale * math.exp(-0.3 * number), "cer_ctc": 0.5} for number in range(3)]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report of a teacher and two students, by EncRL and from scratch, on two sets."""
    root = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_page(Recipe(root))
    return root / "RESULTS.html"


def write_page(recipe: Recipe) -> None:
    found = recipe.train("asr_teacher_x", 3, epochs(3), 50, {"model": "teacher", "source": "teacher", "parents": []})
    criteria = [{f"{student}_{name}": 1.0 for student in STUDENTS for name in ("loss", "mse")}] * 2
    recipe.train("encrl_e4_e2_x", 1, criteria, 20.0, None, teacher=f"{found}/valid.cer_ctc.ave.pth")
    models = [found]
    for name, blocks in STUDENTS.items():
        for source, parents in (("encrl", ["exp/encrl_e4_e2_x"]), ("scratch", [])):
            lineage = {"model": name, "source": source, "parents": parents}
            models.append(recipe.train(f"asr_{name}_{source}_x", blocks, epochs(2), 10.0 + blocks, lineage))
    for wrong, model in zip((3, 5, 30, 8, 12), models, strict=True):
        (model / "train.log").write_text("log")
        for name in ("test_clean", "test_other"):
            recipe.score(model, name, wrong)
    words = ["--inference_tag", "decode", "--inference_asr_model", "valid.cer_ctc.ave.pth"]
    report.main(["--exp_dirs", *map(str, models), *words, "--test_sets", "test_clean test_other"])


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    require_browser()
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_the_page_fits_the_window_and_draws_everything(page, browser, size):
    browser.open(page, *size)
    assert browser.run("innerWidth") == size[0]
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert browser.run(fits)
    if size == PHONE:  # the table is wider, so it scrolls inside itself, and the names of the models stay
        assert browser.run(f"{MAIN}.scrollWidth > {MAIN}.clientWidth")
        left = "document.querySelector('tbody td').getBoundingClientRect().left"
        before = browser.run(left)
        browser.run(f"{MAIN}.scrollLeft = 150")
        assert browser.run(left) == before and browser.run(f"{MAIN}.scrollLeft") == 150
    assert browser.run("[...document.querySelectorAll('details')].some(one => one.open)") is False
    drawn = browser.run(INK)
    assert len(drawn) == 4 and min(drawn) > 1000  # two figures for each set
    browser.run("document.querySelector('#training summary').scrollIntoView()")
    browser.click("#training summary")
    assert browser.run("document.querySelectorAll('#curves canvas').length") == 5  # three starts, loss and mse of EncRL
    assert browser.run(fits)
    assert browser.complaints() == []
    assert browser.run("performance.getEntriesByType('resource').length") == 0


def test_a_heading_sorts_and_a_point_tells_its_values(page, browser):
    browser.open(page, *DESK)
    head = browser.run("[...document.querySelectorAll('main > .scroll th')].slice(0, 6).map(cell => cell.textContent)")
    assert head == ["model", "start", "MB", "RTF", "WER test_clean (%)", "vs teacher test_clean"]
    rates = f"{ROWS}.map(row => parseFloat(row.cells[4].textContent))"
    assert browser.run(rates) == [7.5, 12.5, 75.0, 20.0, 30.0]  # largest model first
    browser.click("main > .scroll th:nth-child(5)")
    browser.run(PAUSE)
    assert browser.run(rates) == [7.5, 12.5, 20.0, 30.0, 75.0]
    browser.click("main > .scroll th:nth-child(5)")
    browser.run(PAUSE)
    assert browser.run(rates) == [75.0, 30.0, 20.0, 12.5, 7.5]
    browser.run("document.querySelector('canvas').scrollIntoView()")
    point = f"{CHART}.getDatasetMeta(2).data[1]"
    box = "document.querySelector('canvas').getBoundingClientRect()"
    place = browser.run(f"[{box}.left + {point}.x, {box}.top + {point}.y]")
    browser.hover(*place)
    browser.run(PAUSE)
    title = browser.run(f"{CHART}.tooltip.title")
    lines = browser.run(f"{CHART}.tooltip.body.flatMap(one => one.lines)")
    assert title == ["e4 scratch"] and lines[0].startswith("WER 75.00 [") and "M parameters" in lines[1]


def test_a_model_has_one_colour_everywhere_and_links_to_its_files(page, browser):
    browser.open(page, *DESK)
    browser.run("document.querySelector('#training').open = true")
    browser.run(PAUSE)
    colours: dict[str, set[str]] = {}
    swatches = f"{ROWS}.map(row => [row.cells[0].textContent, row.querySelector('.swatch').style.background])"
    rows = [(model, "#{:02X}{:02X}{:02X}".format(*map(int, re.findall(r"\d+", colour))))
            for model, colour in browser.run(swatches)]  # fmt: skip
    points = browser.run(
        "data.scatter.flatMap(chart => chart.series.flatMap(one => one.points.map(p => [p.tag, p.colour])))"
    )
    lines = browser.run("data.curves.flatMap(chart => chart.series.map(one => [one.label.split(',')[0], one.colour]))")
    for model, colour in rows + points + lines:
        colours.setdefault(model, set()).add(colour)
    assert set(colours) == {"teacher", "e4", "e2"}
    assert all(len(found) == 1 for found in colours.values()) and len(set.union(*colours.values())) == 3
    links = browser.run(
        "[...document.querySelectorAll('main > .scroll tbody tr:first-child a')].map(a => a.getAttribute('href'))"
    )
    assert links == ["exp/asr_teacher_x/config.yaml", "exp/asr_teacher_x/train.log"]
    browser.click("main > .scroll tbody tr:first-child a:last-of-type")
    assert browser.run("document.body.textContent") == "log"
