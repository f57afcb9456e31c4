"""An audit as lines of text, and as values that JSON holds."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.summation.audit import CLASS_DTYPE, ReflectionAudit
from crystint.summation.verdict import CARE, FEW_SPOTS, FEWEST, INVENTED, SAFE, SPOTS, verdicts
from crystint.text_table import text_table

__all__ = ["CLASS_NAMES", "audit_dict", "audit_of", "audit_table", "shell_names", "verdict_lines"]

CLASS_NAMES = ("below 1", "1 - 3", "3 - 10", "above 10")
"""Of the classes of I/sigma."""
_HEAD = ("reflections", "none kept", "<I> raw", "densified", "kept %", "", "<I/sigma> raw", "densified", "CC")
_VAGUE = 50.0
"""A share with a larger standard error, %, is not printed."""
_PLAIN = ("source", "selected", "expected", "cut", "spots", "again", "invented", "unit")


def shell_names(audit: ReflectionAudit) -> list[str]:
    """Of the resolution shells: angstrom, or mm where q is unknown."""
    edges = audit.d if audit.unit == "q" else 1e3 * audit.edges
    digits = 2 if audit.unit == "q" else 1
    names = [f"{edge:.{digits}f}" for edge in edges]
    return [f"{first} - {last}" for first, last in pairwise(names)]


def audit_table(audit: ReflectionAudit) -> str:
    """Reflections by class of I/sigma and by resolution, and what the columns mean."""
    total = audit.total
    if not total["reflections"].any():
        return f"no reflection could be summed ({audit.source}; {audit.cut} are cut off or saturated)"
    which = "expected" if audit.expected else "raw"
    left_out = f"; {audit.cut} that are cut off or saturated are left out" if audit.cut else ""
    lines = [f"{int(total['reflections'][0])} reflections: {audit.source}{left_out}"]
    if audit.selected:
        lines.append("weak ones are not among them: give --reflections MODEL.expt")
    used = np.flatnonzero(audit.by_shell["reflections"])
    shells = [name for number, name in enumerate(shell_names(audit)) if number in used]
    rows = [
        (f"I/sigma {which}", *_HEAD),
        *((name, *cells) for name, cells in zip(CLASS_NAMES, _cells(audit, audit.by_class, by_class=True))),
        ("d, angstrom" if audit.unit == "q" else "radius, mm", *("" for _ in _HEAD)),
        *((name, *cells) for name, cells in zip(shells, _cells(audit, audit.by_shell[used]))),
        ("all", *_cells(audit, total)[0]),
    ]
    lines += text_table(rows, right=range(1, len(_HEAD) + 1))
    lines.append(
        "kept: sum of I densified / sum of I raw; CC: of I raw and densified; I: counts above a local background"
    )
    if not audit.expected:
        lines.append(
            "classes are of I/sigma as measured, which noise shifts: below 1 it chooses the negative ones, and no\n"
            "share is given; shells are free of it"
        )
    return "\n".join(lines)


def _cells(audit: ReflectionAudit, sums: NDArray[np.void], *, by_class: bool = False) -> list[tuple[str, ...]]:
    """A row of cells for each of some sums."""
    percent, error, cc = 100 * audit.kept(sums), 100 * audit.kept_error(sums), audit.cc(sums)
    percent[error > _VAGUE] = error[error > _VAGUE] = np.nan
    if by_class and not audit.expected:
        percent[0] = error[0] = np.nan
    means = [audit.mean(sums, name) for name in ("raw", "dense", "raw_ratio", "dense_ratio")]
    return [
        (
            f"{sums['reflections'][i]}",
            f"{sums['missed'][i]}",
            _number(means[0][i], ".1f"),
            _number(means[1][i], ".1f"),
            _number(percent[i], ".1f"),
            _number(error[i], ".1f", "± "),
            _number(means[2][i], ".2f"),
            _number(means[3][i], ".2f"),
            _number(cc[i], ".4f"),
        )
        for i in range(len(sums))
    ]


def _number(value: float, form: str, before: str = "") -> str:
    return f"{before}{value:{form}}" if np.isfinite(value) else "-" if not before else ""


def verdict_lines(audit: ReflectionAudit) -> list[str]:
    """A line for each use, and the limits."""
    return [
        *map(str, verdicts(audit)),
        f"limits: safe up to {SAFE:g} % of the counts, not usable above {CARE:g} %, within the error; peaks: safe from",
        f"{SPOTS:g} % found again on, not usable below {FEW_SPOTS:g} % or with more than {INVENTED:g} % new ones; "
        f"fewer than {FEWEST} are not judged",
    ]


def audit_dict(audit: ReflectionAudit) -> dict[str, Any]:
    """The audit as JSON-able values; None where there is no number. `audit_of` is the inverse."""
    return {
        **{name: getattr(audit, name) for name in _PLAIN},
        "edges": _list(audit.edges),
        "d": _list(audit.d),
        "classes": [{"I/sigma": name} | row for name, row in zip(CLASS_NAMES, _rows(audit, audit.by_class))],
        "shells": _rows(audit, audit.by_shell),
        "total": _rows(audit, audit.total)[0],
        "verdicts": [{"use": one.use, "answer": one.answer, "why": one.why} for one in verdicts(audit)],
        "sums": {name: [_list(row) for row in audit.sums[name]] for name in CLASS_DTYPE.names or ()},
    }


def _rows(audit: ReflectionAudit, sums: NDArray[np.void]) -> list[dict[str, Any]]:
    columns = {
        "reflections": sums["reflections"],
        "missed": sums["missed"],
        "mean_raw": audit.mean(sums, "raw"),
        "mean_dense": audit.mean(sums, "dense"),
        "kept": audit.kept(sums),
        "kept_error": audit.kept_error(sums),
        "kept_clean": audit.kept(sums, "clean"),
        "snr_raw": audit.mean(sums, "raw_ratio"),
        "snr_dense": audit.mean(sums, "dense_ratio"),
        "cc": audit.cc(sums),
    }
    values = {name: _list(column) for name, column in columns.items()}
    return [dict(zip(values, row)) for row in zip(*values.values(), strict=True)]


def _list(values: NDArray[Any]) -> list[Any]:
    return [value if isinstance(value, int) or np.isfinite(value) else None for value in values.tolist()]


def audit_of(values: Mapping[str, Any]) -> ReflectionAudit:
    """The audit that `audit_dict` described.

    Raises
    ------
    FileError
        When it is none.
    """
    try:
        edges = np.array([np.inf if edge is None else edge for edge in values["edges"]], np.float64)
        columns = {name: np.array(values["sums"][name], np.float64) for name in CLASS_DTYPE.names or ()}
        sums = np.zeros(columns["raw"].shape, CLASS_DTYPE)
        for name, column in columns.items():
            sums[name] = column
        return ReflectionAudit(edges, sums=sums, **{name: values[name] for name in _PLAIN})
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"the audit is damaged: {error}") from None
