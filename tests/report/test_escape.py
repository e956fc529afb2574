"""Users' texts in Markdown and HTML show as they are, in a real Markdown renderer and a real HTML parser."""

from html.parser import HTMLParser
from pathlib import Path

import markdown as renderer
import pytest
import yaml

from espnet_ext.report import html_page, table
from espnet_ext.report import markdown as markdown_page
from espnet_ext.report.escape import markdown, markdown_code
from tests.report.test_report import CTC, run

TEXTS = [
    "a|b",
    r"a\|b\\",
    "`code`",
    "a ` b",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "two\nlines\r\nand\u2028three",
    "[x](y)",
    "![x](javascript:y)",
    "[x]: y",
    "*a* **b** _c_ __d__",
    "2 * 3 * 4",
    "asr_e6_encrl_raw_en_bpe150",
    "&lt;b&gt; &amp; &#124; AT&T",
    "# heading",
    "> quoted",
    "- item",
    "1. item",
    "p<0.001 [1.2, 3.4] (p=0.5)",
    "-25.0 % (p=0.031)",
    "\x1b[31mred",
    "$x^2$ ~~old~~ ~/file",
]


class Cells(HTMLParser):
    """Collects the texts of elements and the names of all tags."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.texts, self.inside = [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in ("td", "th", "li", "h1"):
            self.texts.append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in ("td", "th", "li", "h1")

    def handle_data(self, data):
        if self.inside:
            self.texts[-1] += data


def shown(text: str) -> str:
    return " ".join(text.replace("\x1b", "\ufffd").split())


def test_cells_of_a_markdown_table_show_what_they_hold():
    rows = [[text, f"{text}{other}", "1"] for text, other in zip(TEXTS, reversed(TEXTS), strict=True)]
    cells = Cells(renderer.markdown(markdown_page.layout(table.Table(TEXTS[:3], rows, 2)), extensions=["tables"]))
    assert set(cells.tags) == {"table", "thead", "tbody", "tr", "td", "th"}
    assert [text.strip() for text in cells.texts] == [shown(cell) for row in [TEXTS[:3], *rows] for cell in row]


def test_cells_of_an_html_table_show_what_they_hold():
    rows = [[text, "1"] for text in TEXTS]
    cells = Cells(html_page.layout(table.Table(["a", "b"], rows, 1)))
    assert set(cells.tags) == {"div", "table", "thead", "tbody", "tr", "td", "th"}
    assert cells.texts[2::2] == TEXTS


@pytest.mark.parametrize("text", TEXTS)
def test_lines_show_what_they_hold(text):
    for source in (f"- {markdown(text)}", f"# {markdown(text)}"):
        cells = Cells(renderer.markdown(source, extensions=["tables"]))
        assert set(cells.tags) <= {"ul", "li", "h1"} and len(cells.tags) <= 2
        assert cells.texts[0].strip() == shown(text)


def test_what_needs_no_escape_has_none():
    for text in ("asr_e6_encrl", "2 * min(#{d <= 0} + 1, 3)", "7.50 [5.1, 9.2] (p<0.001)", "-", "-25.0 %", "R&D"):
        assert markdown(text) == text
    assert markdown("[low, high]: x") == r"[low, high\]: x"  # a definition of a link otherwise


@pytest.mark.parametrize("text", ["asr_teacher", "a`b", "``", "`a`", "a\nb", "<b>|*"])
def test_code_shows_what_it_holds(text):
    html = renderer.markdown(f"x {markdown_code(text)} y")
    assert html.startswith("<p>x <code>") and html.count("<code>") == 1
    assert Cells(html.replace("<p>", "<li>")).texts == [f"x {shown(text)} y"]


def test_labels_titles_and_notes_of_a_report(recipe):
    """All that a user names is in the page and the Markdown file as text."""
    from espnet_ext.cli import report

    nasty = r"e2 | <script>x</script> `a` [x](y) $\frac{$"
    exp_dir = recipe.train("asr_x", 1, CTC, 1.0, {"model": nasty, "source": "scratch", "parents": []})
    recipe.score(exp_dir, "test", 1)
    run([exp_dir])  # the figures too
    row = {"label": nasty, "decode_dirs": ["exp/asr_x/decode"], "note": nasty, "published": {"paper": 1.5}}
    (recipe.root / "rows.yaml").write_text(yaml.safe_dump({"title": nasty, "test_sets": ["test"], "rows": [row]}))
    report.main(["--rows", "rows.yaml"])
    source = Path("RESULTS.md").read_text(encoding="utf-8")
    assert "| *published* |" in source
    page = Path("RESULTS.html").read_text(encoding="utf-8")
    # The page's own: five scripts and their data, a link to the configuration, the command of TensorBoard.
    for html, own in ((page, [6, 1, 1]), (renderer.markdown(source, extensions=["tables"]), [0, 0, 0])):
        cells = Cells(html)
        assert [cells.tags.count(tag) for tag in ("script", "a", "code")] == own
        texts = [text.strip() for text in cells.texts]
        assert texts.count(nasty) >= 3  # heading, rows of the tables
        assert f"{nasty}: {nasty}" in texts


def test_no_local_path_in_a_report(recipe, monkeypatch):
    """Absolute directories, notes that name files, and errors of ESPnet that do."""
    exp_dir = recipe.root / recipe.train("asr_x", 1, CTC, 1.0, None)
    config = exp_dir / "config.yaml"
    config.write_text(config.read_text().replace("encoder: conformer", f"encoder: {recipe.root}/none"))
    run([exp_dir])
    (recipe.root / "rows.yaml").write_text(
        f"test_sets: [test]\nrows: [{{label: a, decode_dirs: [{exp_dir}/decode]}}]\n"
    )
    from espnet_ext.cli import report

    report.main(["--rows", "rows.yaml", "--output", "rows.md"])
    other = recipe.root / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    run([exp_dir])
    written = [*recipe.root.glob("*.md"), *recipe.root.glob("*.csv"), *recipe.root.glob("*.html"), *other.glob("*.*")]
    assert len(written) == 12
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert str(recipe.root) not in text, path
        assert "asr_x" in text or "pairwise" in path.name
