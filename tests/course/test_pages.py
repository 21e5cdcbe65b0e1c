"""Pages: self-contained, readable, linked to each other."""

import base64
import re
from html.parser import HTMLParser

import nbformat
import pytest
from small_notebooks import PIXEL, code, markdown, picture

from mmlearn_course import pages
from mmlearn_course.kernel import CellError, Run

SENTENCE = "Two curves cross once; the dashed one ends higher than <the other>."


class Page(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def external(text: str) -> list[str]:
    """Everything in a page that a browser would load or run."""
    found = []
    for tag, attrs in Page(text).tags:
        if tag in ("script", "link", "iframe", "object", "embed", "video", "base"):
            found.append(tag)
        for name, value in attrs.items():
            loads = name in ("src", "srcset", "poster", "data", "background")
            loads |= "href" in name and tag != "a"
            if (loads and not (value or "").startswith("data:")) or name[:2] == "on":
                found.append(f"{tag} {name}={value}")
    without_data = re.sub(r"url\(\s*['\"]?data:", "", text)
    return found + re.findall(r"url\(|@import", without_data)


@pytest.fixture
def render(write, tmp_path):
    """Renders a notebook of the given cells; gives the page's text."""

    def render(*cells, titles=None, name="02_page") -> str:
        page = tmp_path / "html" / f"{name}.html"
        pages.render(write(name, *cells), page, titles)
        return page.read_text()

    return render


@pytest.fixture
def rich(render):
    tricks = code("show()")
    tricks.outputs = [
        picture(SENTENCE),
        nbformat.v4.new_output(
            "display_data",
            {
                "text/html": "<table><tr><td onclick='x()'>cell</td></tr></table>"
                "<script src='https://x.org/a.js'></script>"
                "<img src='https://x.org/a.png' alt='remote'>"
                "<div style='background: url(https://x.org/b.png)'>styled</div>"
                "<style>@import 'https://x.org/c.css';</style>"
                "<iframe src='https://x.org'></iframe>"
                "<svg><image href='https://x.org/d.png'/></svg>"
            },
        ),
        nbformat.v4.new_output(
            "display_data",
            {"application/javascript": "alert(1)", "text/plain": "a widget"},
        ),
        nbformat.v4.new_output("stream", name="stdout", text="\x1b[31m<b>\x1b[0m\n"),
    ]
    return render(
        markdown("Features $h_i \\in \\mathbb{R}^d$ and\n\n$$\\sum_{i<3} g_i$$"),
        markdown("\\begin{align}a &= b\\\\c &= d\\end{align}"),
        markdown("$\\nosuchcommand{x<1}$, $\\frac{$ and 3 \\$."),
        markdown("![remote](https://x.org/e.png) ```mermaid\ngraph\n```"),
        code("%matplotlib inline\nprint('hello')  # a comment"),
        tricks,
    )


def test_a_page_loads_nothing(rich):
    assert external(rich) == []


def test_the_check_for_external_loads_sees_them():
    for text in (
        "<script>1</script>",
        "<img src='a.png'>",
        "<p style='background:url(x)'>",
        "<style>@import 'x'</style>",
        "<link rel='stylesheet' href='x'>",
    ):
        assert external(text)
    assert not external("<a href='https://x.org'>x</a><img src='data:image/png,'>")


@pytest.mark.parametrize("stand_in", [True, False])
def test_a_page_from_a_stand_in_says_so_at_its_head_headline_and_figures(
    render, stand_in
):
    said = "STAND-IN DATA: drawn <shapes> instead of pictures"
    load = code("load()", prints=f"not downloaded\n{said}\n" if stand_in else "real\n")
    drawn = code("show()")
    drawn.outputs = [picture(SENTENCE), picture(f"STAND-IN DATA (x). {SENTENCE}")]
    text = render(load, drawn, code("print(1)", "headline", prints="81 %\n"))
    page = Page(text)
    marked = [p for p in page.all("p") if p.get("class") == "standin"]
    assert len(marked) == 2 * stand_in
    head = page.text[: page.text.index("You see in one minute")]
    assert (said in head) == stand_in
    alts = [image["alt"] for image in page.all("img")]
    assert alts[0] == (f"STAND-IN DATA. {SENTENCE}" if stand_in else SENTENCE)
    assert alts[1] == f"STAND-IN DATA (x). {SENTENCE}"


def test_equations_are_mathml_or_their_source(rich):
    displays = [attrs.get("display") for attrs in Page(rich).all("math")]
    assert displays.count("inline") >= 1 and displays.count("block") == 2
    assert "<mi>ℝ</mi>" in rich
    assert '<code class="tex">\\nosuchcommand{x&lt;1}</code>' in rich


@pytest.mark.parametrize(
    "tex", [r"\begin{aligned}a&=b\end{aligned}", r"\text{a} \odot b", r"\hat{y}_\theta"]
)
def test_common_tex_is_converted(tex):
    assert pages.mathml(tex, display=True).startswith('<span class="display"><math')


@pytest.mark.parametrize("tex", [r"\left(", "}", "", r"\x<y>", "&"])
def test_odd_tex_never_fails(tex):
    assert "<y>" not in pages.mathml(tex)


def test_pictures_have_alt_and_caption(rich):
    page = Page(rich)
    images = page.all("img")
    assert [image["alt"] for image in images] == [SENTENCE]
    assert images[0]["src"] == f"data:image/png;base64,{PIXEL}"
    assert len(page.all("figcaption")) == 1
    assert SENTENCE in page.text
    assert "[picture not included: remote]" in page.text


def test_outputs_are_escaped_and_boxed(rich):
    page = Page(rich)
    assert '<pre tabindex="0">&lt;b&gt;' in rich
    assert "\x1b" not in rich
    assert "a widget" in page.text and "alert" not in page.text
    assert 'class="wide" tabindex="0"' in rich
    assert re.search(r'class="\w+">print</span>', rich)  # code is highlighted


def test_the_frame_of_a_page(render):
    titles = {"01_a": "First & <best>", "02_page": "This", "03_c": "Third"}
    text = render(
        markdown("[a](01_a.ipynb#x), [z](09_z.ipynb), [e](exercises/02_e.ipynb)"),
        titles=titles,
    )
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert page.all("html") == [{"lang": "en"}]
    assert "<title>A small notebook</title>" in text
    assert any(m.get("name") == "viewport" for m in page.all("meta"))
    links = [a["href"] for a in page.all("a")]
    assert links[0] == "../index.html"
    assert {"01_a.html#x", "09_z.ipynb", "exercises/02_e.ipynb"} <= set(links)
    assert links[-2:] == ["01_a.html", "03_c.html"]
    assert "First & <best>" in page.text


def test_a_page_alone_has_no_neighbours(render):
    assert not [a for a in Page(render("1")).all("a") if a.get("rel")]


def test_a_local_picture_is_embedded(render, course):
    (course / "data" / "p.png").write_bytes(base64.b64decode(PIXEL))
    text = render(markdown("![A point](../data/p.png)"))
    assert f'src="data:image/png;base64,{PIXEL}"' in text
    assert external(text) == []


def test_the_index(tmp_path):
    error = CellError(3, "1 / 0", "Traceback\nZeroDivisionError: <zero>")
    runs = [
        Run("01_a", "First", "You see <it>.", (4, 4), 65.0, 800_000_000, "81 %"),
        Run("02_b", "Second", "", (2, 4), 3.0, 0, None, error),
    ]
    pages.index(runs, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    page = Page(text)
    assert external(text) == []
    assert [a["href"] for a in page.all("a")] == ["html/01_a.html", "html/02_b.html"]
    for expected in ("First", "You see <it>.", "1 min 5 s", "0.8 GB", "81 %", "Ok"):
        assert expected in page.text
    assert "STAND-IN" not in page.text
    for expected in ("Second", "Failed", "ZeroDivisionError: <zero>", "2 of 4 cells"):
        assert expected in page.text
    assert "1 of 2 ran" in page.text


def test_the_index_says_what_comes_from_a_stand_in(tmp_path):
    said = ("STAND-IN DATA: drawn <shapes>", "STAND-IN DATA: a simulated rig")
    run = Run("01_a", "First", "", (4, 4), 65.0, 0, "81 %", stand_ins=said)
    pages.index([run], tmp_path / "index.html")
    page = Page((tmp_path / "index.html").read_text())
    assert all(one in page.text for one in said)


def test_what_is_no_notebook_is_refused(tmp_path):
    (tmp_path / "x.ipynb").write_text("{}")
    with pytest.raises(ValueError, match="not a notebook"):
        pages.render(tmp_path / "x.ipynb", tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()
