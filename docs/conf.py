"""The site of the documentation: ``make docs``.

The source folder is the repository, so that links between pages mean the same here and in a checkout. The pages are
plain Markdown: what is for the site alone (its contents, the tables of the reference) is added when they are read.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from public_names import PACKAGES, attribute_docstring  # noqa: E402

import crystint  # noqa: E402

project = "crystint"
author = "the crystint developers"
copyright = "2026, the crystint developers"
version = release = crystint.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/**.md", "benchmarks/*.md"]
exclude_patterns = [".venv", "build", "demo", "**/__pycache__"]
root_doc = "docs/index"

myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"
"""The types of arguments and results are in the docstrings, with shapes and units."""
autosummary_generate = False
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "py:obj"
suppress_warnings = ["ref.python"]
"""An attribute that several classes have, such as `slow`, is no link."""

toc_object_entries_show_parents = "hide"
html_theme = "furo"
html_title = f"crystint {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}

CONTENTS = {
    "First steps": ["install", "quickstart", "coming-from"],
    "Tutorials": [
        "Peaks and sparse frames <tutorials/separation>",
        "Still images <tutorials/stills>",
        "Convergent-beam data <tutorials/cbc>",
        "Angular correlation <tutorials/correlate>",
    ],
    "Guide": ["guide/index"],
    "Online": ["online/index", "online-messages", "online-files", "image-tcp"],
    "The page": [
        "page/index",
        "page/image",
        "page/plots",
        "page/regions",
        "page/jobs",
        "page/files",
        "page/alarms",
        "page/keys",
    ],
    "How it works": [
        "background",
        "significance",
        "peaks",
        "densify",
        "regions",
        "indexing",
        "stills",
        "cbc",
        "correlate",
        "kernels",
        "speed",
    ],
    "Reference": [
        "reference/index",
        "formats",
        "sparse-format",
        "dials",
        "validation",
        "vocabulary",
    ],
    "Project": ["/CHANGELOG", "/CONTRIBUTING", "decisions/index", "/benchmarks/*"],
}
"""What the site's contents list, under headings; the pages of a folder are found by its index."""
crystint_contents = CONTENTS
FOLDERS = ("docs/guide/index", "docs/online/index", "docs/reference/index", "docs/decisions/index")
"""Pages that list the others of their folder."""


def _toctree(pages: list[str], caption: str = "") -> str:
    option = f":caption: {caption}\n" if caption else ""
    return "\n".join(["", "```{toctree}", f":hidden:\n:glob:\n{option}", *pages, "```", ""])


def _add_to_page(app: Any, name: str, text: list[str]) -> None:
    """The contents at the foot of the first pages, and the table of names at the head of a page of the reference."""
    if name == root_doc:
        text[0] += "".join(_toctree(pages, caption) for caption, pages in CONTENTS.items())
    elif name == "README":
        text[0] = "---\norphan: true\n---\n\n" + text[0]
    elif name in FOLDERS:
        links = re.findall(r"\]\(([\w-]+)\.md\)", text[0])
        text[0] += _toctree(list(dict.fromkeys(links)))
    elif name.startswith("docs/reference/"):
        names = re.findall(r"^\.\. auto\w+:: (crystint[\w.]*)", text[0], re.MULTILINE)
        table = ["```{eval-rst}", ".. autosummary::", "   :nosignatures:", "", *(f"   {name}" for name in names), "```"]
        head, _, rest = text[0].partition("\n## ")
        text[0] = "\n".join([head, *table, "", f"## {rest}"])


def _describe(app: Any, what: str, name: str, value: object, options: Any, lines: list[str]) -> None:
    """Public data are described where they are assigned, which is another module than the public one.

    Docstrings are written to be read in a terminal: |q| and c_ are no markup.
    """
    if what == "data":
        lines[:] = attribute_docstring(name.rpartition(".")[2], value) or lines
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(`+[^`]*`+)", line)
            parts[::2] = [re.sub(r"\||(?<=\w)_(?!\w)", r"\\\g<0>", text) for text in parts[::2]]
            lines[number] = "".join(parts)


def _unlink_words(app: Any, doctree: nodes.document) -> None:
    """Words in the types of arguments, such as the axes in [slow, fast], are no names of attributes."""
    for node in list(doctree.findall(pending_xref)):
        if node.get("reftype") == "class" and re.fullmatch(r"[a-z]\w*", node["reftarget"]):
            node.replace_self(node.children)


def _find_name(app: Any, env: Any, node: Any, contents: nodes.Node) -> nodes.Node | None:
    """A name in a docstring without its package: `Geometry` is crystint.Geometry, where only one name ends so."""
    if node.get("refdomain") != "py" or node.get("reftype") not in ("obj", "class", "exc", "func"):
        return None
    domain = env.get_domain("py")
    target = node["reftarget"]
    places = [f"{package}.{target}" for package in PACKAGES if f"{package}.{target}" in domain.objects]
    if len(places) != 1:
        return None
    entry = domain.objects[places[0]]
    uri = app.builder.get_relative_uri(node["refdoc"], entry.docname) + "#" + entry.node_id
    return nodes.reference("", "", contents, internal=True, refuri=uri, reftitle=places[0])


def _redirect(app: Any, error: Exception | None) -> None:
    """The site is opened at its folder."""
    if error is None and app.builder.name == "html":
        page = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html"><title>crystint</title>\n'
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def setup(app: Any) -> None:
    """Connect what is done to pages."""
    app.add_config_value("crystint_contents", {}, "env")  # other contents: all pages are read anew
    app.connect("source-read", _add_to_page)
    app.connect("autodoc-process-docstring", _describe, priority=400)  # before napoleon
    app.connect("doctree-read", _unlink_words)
    app.connect("missing-reference", _find_name)
    app.connect("build-finished", _redirect)
