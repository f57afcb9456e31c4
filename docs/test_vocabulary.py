"""Every name in the vocabulary exists, in the package that its row names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "vocabulary.md"
_DEFINED = r"^\s*(?:class|def) {0}\b|^\s*{0}(?::.*)? = |^\s*{0}: "


def _rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "term"]


ROWS = _rows()


@pytest.fixture(scope="module")
def sources() -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in (ROOT / "crystint").rglob("*.py")}


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_names_exist(row, sources):
    package = re.fullmatch(r"`(crystint[\w.]*)`", row[-1])
    folder = ROOT / package[1].replace(".", "/") if package else ROOT / "crystint"
    for name in re.findall(r"`(\w+)`", row[2]):
        pattern = re.compile(_DEFINED.format(name), re.MULTILINE)
        assert any(pattern.search(text) for path, text in sources.items() if folder in path.parents), (
            f"{name} is nowhere defined under {folder.relative_to(ROOT)}"
        )
