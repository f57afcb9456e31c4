"""The report of an audit: pages to sign."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from crystint.compare.audit_file import AuditRecord
from crystint.plot.comparison import plot_comparison
from crystint.plot.style import ACCENT, GREY, INK, TITLE, new_figure, save_pages, style
from crystint.summation.report import audit_table
from crystint.summation.verdict import verdicts
from crystint.units import readable_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["write_audit"]

_PAGE = (8.27, 11.69)
"""A4, inches"""
_WIDTH = 104
"""characters of a line"""
_LINES = 76
"""lines of a page"""
_FILES = 12
"""files of a kind that are listed; the JSON form has all"""


def write_audit(record: AuditRecord, path: Path, *, overwrite: bool = False) -> None:
    """Write an audit as PDF: what was compared, what came of it, a place to sign, and the picture."""
    lines = _lines(record)
    with style():
        pages = [_page(lines[i : i + _LINES], first=i == 0) for i in range(0, len(lines), _LINES)]
        pages.append(plot_comparison(record.comparison))
        save_pages(pages, path, overwrite=overwrite)


def _page(lines: list[str], *, first: bool) -> Figure:
    figure = new_figure(*_PAGE)
    if first:
        figure.text(0.07, 0.962, "Audit of a compression", **TITLE)
    for number, line in enumerate(lines):
        heading = line.startswith("# ")
        figure.text(
            0.07, 0.938 - 0.0118 * number, line.removeprefix("# ") or " ", fontsize=7.7, family="DejaVu Sans Mono",
            weight="bold" if heading else "normal", va="top", parse_math=False,
            color=ACCENT if line.startswith("  ! ") else INK if not line.startswith("  (") else GREY,
        )  # fmt: skip
    return figure


def _lines(record: AuditRecord) -> list[str]:
    """All text, wrapped."""
    comparison, audit = record.comparison, record.comparison.reflections
    made = record.provenance
    lines = ["# Verdict"]
    exact = "every pixel that must be exact is so" if comparison.exact else "NOT EXACT: the sparse file is wrong"
    lines.append(("  " if comparison.exact else "  ! ") + exact)
    lines += [f"  {one}" for one in ([] if audit is None else verdicts(audit))]
    lines += [f"  ! broken: {one}" for one in record.broken]
    lines += [f"  ! frame {number} was not compared: {why}" for number, why in list(record.missing.items())[:_FILES]]
    if len(record.missing) > _FILES:
        lines.append(f"  ! {len(record.missing)} frames in all were not compared")
    lines += ["", "# What was compared"]
    whole = f"{comparison.frames} frames" + (f", a sample of {comparison.of}" if comparison.of else ", all there are")
    lines.append(f"  {whole}")
    for kind in ("raw", "sparse"):
        files = [one for one in record.files if one["kind"] == kind]
        size = readable_size(sum(one["bytes"] for one in files))
        lines.append(f"  {kind}: {len(files)} file{'s' * (len(files) != 1)}, {size}")
        for one in files[:_FILES]:
            lines.append(f"    {one['file']}  {one['bytes']} bytes")
            lines.append(f"      SHA-256 {one['sha256'] or 'not worked out'}")
        if len(files) > _FILES:
            lines.append(f"    and {len(files) - _FILES} more: the .json form names them all")
    lines += ["", "# How"]
    lines.append("  " + " ".join(made["command"]))
    lines.append("  settings: " + ", ".join(f"{name} = {value}" for name, value in made["settings"].items()))
    lines.append("  " + ", ".join(f"{name} {value}" for name, value in record.versions.items()))
    lines += ["", "# Reflections", *("" if audit is None else audit_table(audit)).splitlines()]
    lines += ["", "# Sizes and pixels", *comparison.summary().splitlines(), ""]
    lines += ["# Signed", "", "  name " + "_" * 40 + "  date " + "_" * 18 + "  signature " + "_" * 18]
    return [part for line in lines for part in _wrapped(line)]


def _wrapped(line: str) -> list[str]:
    if len(line) <= _WIDTH:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, _WIDTH, subsequent_indent=indent, drop_whitespace=True, break_on_hyphens=False)
