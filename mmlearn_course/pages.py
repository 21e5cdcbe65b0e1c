"""Render executed notebooks as self-contained web pages, and the page that lists them.

A page holds no script and loads nothing: pictures are embedded, equations are MathML,
so that it reads the same offline, on a phone and in ten years.
"""

import base64
import html
import mimetypes
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from bs4 import BeautifulSoup, Tag
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter

from . import notebooks
from .kernel import Run
from .progress import duration, gigabytes

_TEMPLATES = Path(__file__).parent / "templates"
_NOTEBOOK_LINK = re.compile(r"(?:\./)?([\w.-]+)\.ipynb(#.*)?$")
# All that could run or fetch something, in a cell's HTML or an output's.
_ACTIVE = [
    "script",
    "link",
    "iframe",
    "frame",
    "object",
    "embed",
    "video",
    "audio",
    "source",
] + ["base", "meta", "style", "form"]
_LOADING = ("srcset", "background", "poster", "xlink:href", "data")
_PRIORITY = ["image/svg+xml", "image/png", "image/jpeg", "text/html", "text/markdown"]


def render(
    executed: Path,
    page: Path,
    titles: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> None:
    """Render one executed notebook.

    Args:
        executed: The executed notebook.
        page: Where the page goes; it is written atomically.
        titles: Name to title of the notebooks of the run, in order: links between them
            are kept, and the page leads to the previous and the next one.
        folder: Where the notebook's relative pictures are; None for its own folder.

    Raises:
        ValueError: If `executed` is not a notebook.
    """
    nb = notebooks.load(executed)
    # The magics of IPython would be marked as errors of Python.
    nb.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    titles = titles or {}
    about = {
        "title": notebooks.title(nb) or executed.stem,
        "css": _css(),
        "stand_ins": notebooks.stand_ins(nb),
        **_neighbours(executed.stem, titles),
    }
    exporter = _Exporter(
        template_name="mmlearn", extra_template_basedirs=[str(_TEMPLATES)]
    )
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    text, _ = exporter.from_notebook_node(nb, {"page": about})
    notebooks.write_atomically(page, _contain(text, folder or executed.parent, titles))


def index(runs: Sequence[Run], path: Path) -> None:
    """Write the page that lists the notebooks of a run.

    Args:
        runs: What happened; the pages are expected in `html/` beside `path`.
        path: Where the page goes; it is written atomically.
    """
    loader = jinja2.FileSystemLoader(_TEMPLATES / "mmlearn")
    environment = jinja2.Environment(loader=loader, autoescape=True)
    rows = [
        {
            **vars(run),
            "time": duration(run.seconds),
            "memory": gigabytes(run.peak_memory),
        }
        for run in runs
    ]
    text = environment.get_template("overview.html.j2").render(
        css=_css(), runs=rows, ok=sum(run.error is None for run in runs)
    )
    notebooks.write_atomically(path, text + "\n")


class _Exporter(HTMLExporter):
    """nbconvert's HTML exporter, with MathML and without widgets or scripts."""

    @property
    def default_config(self) -> Any:
        config = super().default_config.copy()
        config.NbConvertBase.display_data_priority = [
            *_PRIORITY,
            "text/latex",
            "text/plain",
        ]
        return config

    @jinja2.pass_context
    def markdown2html(self, context: jinja2.runtime.Context, source: str) -> str:
        """Markdown to HTML; nbconvert's filter, with our renderer."""
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = _Renderer(escape=False, attachments=attachments)
        return MarkdownWithMath(renderer=renderer).render(source)


class _Renderer(IPythonRenderer):
    """Writes equations as MathML."""

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return mathml(body, display=True)

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)


def mathml(tex: str, display: bool = False) -> str:
    """Convert TeX to MathML.

    Args:
        tex: The TeX source, without dollar signs.
        display: Whether the equation stands on a line of its own.

    Returns:
        HTML; the escaped source in a `<code>` if it cannot be converted.
    """
    # latex2mathml does not know `aligned`, which means the same inside a display.
    known = re.sub(r"\\(begin|end)\{aligned\}", r"\\\1{align*}", tex.strip())
    try:
        result = convert(known, display="block" if display else "inline")
        # Commands and alignment marks that it does not know are passed through.
        if re.search(r"<mi>(\\|&</mi>|&amp;</mi>)", result):
            raise ValueError(tex)
    except Exception:  # it raises all kinds, and a page must not fail for one equation
        result = f'<code class="tex">{html.escape(tex)}</code>'
    return f'<span class="display">{result}</span>' if display else result


def _contain(text: str, folder: Path, titles: Mapping[str, str]) -> str:
    """Embed or remove all that a page would load; repair links; box wide tables."""
    soup = BeautifulSoup(text, features="html.parser")
    body = soup.body
    for tag in body.find_all(_ACTIVE):
        tag.decompose()
    for tag in body.find_all(True):
        for name in list(tag.attrs):
            styled = name == "style" and "url(" in str(tag[name]).casefold()
            if styled or name in _LOADING or name.startswith("on"):
                del tag[name]
    for image in body.find_all(["img", "image", "use", "input"]):
        _embed(image, folder)
    for link in body.find_all("a", href=True):
        match = _NOTEBOOK_LINK.match(link["href"])
        if match and match[1] in titles:
            link["href"] = f"{match[1]}.html{match[2] or ''}"
    for table in body.find_all("table"):
        if "wide" not in table.parent.get("class", []):
            table.wrap(soup.new_tag("div", attrs={"class": "wide"}))
    for box in body.select("pre, .wide"):
        box["tabindex"] = "0"  # so that the keyboard can scroll it
    return str(soup)


def _embed(image: Tag, folder: Path) -> None:
    """Make a picture a data URI; put its description in its place if it is not here."""
    source = str(image.get("src") or image.get("href") or "")
    if source.startswith(("data:", "#")):
        return
    remote = re.match(r"[a-z][a-z0-9+.-]*:|//", source, re.IGNORECASE)
    file = folder / source
    if source and image.name == "img" and not remote and file.is_file():
        kind = mimetypes.guess_type(file.name)[0] or "image/png"
        data = base64.b64encode(file.read_bytes()).decode("ascii")
        image["src"] = f"data:{kind};base64,{data}"
    else:
        image.replace_with(f"[picture not included: {image.get('alt') or source}]")


def _neighbours(
    name: str, titles: Mapping[str, str]
) -> dict[str, tuple[str, str] | None]:
    """Name and title of the notebooks before and after."""
    names = list(titles)
    at = names.index(name) if name in names else -1
    before = names[at - 1] if at > 0 else None
    after = names[at + 1] if 0 <= at < len(names) - 1 else None
    return {
        "previous": (before, titles[before]) if before else None,
        "next": (after, titles[after]) if after else None,
    }


@cache
def _css() -> str:
    style = (_TEMPLATES / "mmlearn" / "style.css").read_text(encoding="utf-8")
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    plain = ".highlight { background: var(--block); }"
    return (
        f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{style}\n{plain}"
    )
