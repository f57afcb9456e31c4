"""Pages that are made are up to date; links lead somewhere; every page can be reached; pictures are small."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = sorted([*_TOP, *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _outside_code(path: Path) -> str:
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _outside_code(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _targets(path: Path) -> list[tuple[Path, str]]:
    """Files and anchors that a page links to."""
    found = []
    for link in _LINK.findall(_outside_code(path)):
        if not link.startswith(("http://", "https://", "mailto:")):
            name, _, anchor = link.partition("#")
            found.append(((path.parent / name).resolve() if name else path, anchor))
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for target, anchor in _targets(path):
        assert target.exists(), f"{path.name} links to {target}, which is not there"
        if anchor:
            assert anchor in _anchors(target), f"{path.name} links to #{anchor}, which {target.name} has not"


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        waiting += [target for target, _ in _targets(page)]
    assert set(PAGES) <= reached


_PUBLIC = "separation|stills|correlate|cbc|plot|simulate|compare|stream|online"
_STILL_DEEP = {"crystint.cbc.half_sets", "crystint.correlate.all_pairs"}
"""Functions that are no public names: the old path of their module, which `crystint.moved` keeps, has their name."""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_imports_from_public_packages_alone(path):
    text = path.read_text(encoding="utf-8")
    taken = re.findall(r"^(?:>>> |\.\.\. )?\s*(?:from|import) (crystint[\w.]*)", text, re.MULTILINE)
    deep = {module for module in taken if not re.fullmatch(rf"crystint(\.({_PUBLIC}))?", module)} - _STILL_DEEP
    assert not deep, f"{path.name} takes names from {sorted(deep)}; add them to a public package"


def test_the_kernel_page_is_up_to_date():
    source = ROOT / "docs" / "make_kernels.py"
    spec = importlib.util.spec_from_file_location("make_kernels", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run: python docs/make_kernels.py"


def test_pictures_are_small():
    pictures = sorted((ROOT / "docs" / "images").glob("*.png"))
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < 200_000, f"{picture.name} is too large; see docs/make_pictures.py"


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "tutorials").glob("*.md")), ids=lambda path: path.stem)
def test_a_tutorial_draws_its_own_pictures(path):
    text = path.read_text(encoding="utf-8")
    shown = re.findall(r"\(\.\./images/([\w-]+\.png)\)", text)
    assert shown
    blocks = "".join(re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE))
    for name in shown:
        assert name in blocks, f"no block of {path.name} writes {name}; see docs/make_pictures.py"
