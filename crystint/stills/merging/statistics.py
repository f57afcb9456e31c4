"""How good merged intensities are, per resolution shell and overall."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np

from crystint.arrays import Floats
from crystint.errors import ShapeError
from crystint.html import html_table
from crystint.model.facts import counted, resolution_text
from crystint.stills.merging.resolution_limit import AGREEMENT
from crystint.stills.merging.shell_sums import ShellSums

__all__ = ["Shell", "Statistics"]


_NOISE = 10.0
"""an R factor from here on says only that the mean intensity is 0"""
_SLACK = 1e-9


@dataclass(frozen=True)
class Shell:
    """One line of the table; NaN = cannot be made of these data. Definitions: `ShellSums`."""

    d_max: float
    """angstrom"""
    d_min: float
    """angstrom"""
    observations: int
    unique: int
    possible: int
    completeness: float
    """0 to 1"""
    multiplicity: float
    mean_intensity: float
    i_over_sigma: float
    r_merge: float
    r_meas: float
    r_pim: float
    r_split: float
    cc_half: float
    """halves by image"""
    cc_half_observations: float
    """halves by observation"""
    cc_half_variance: float
    """without halves, unweighted"""
    cc_star: float
    cc_reference: float
    r_reference: float
    cc_anomalous: float
    completeness_anomalous: float
    reduced_chi2: float

    @classmethod
    def of(cls, sums: ShellSums, d_max: float, d_min: float) -> Self:
        """The only shell of `sums`."""
        ends: dict[str, Any] = {"d_max": float(d_max), "d_min": float(d_min)}
        for part in fields(cls)[2:]:
            value = np.atleast_1d(getattr(sums, part.name))[0]
            ends[part.name] = int(value) if part.name in ("observations", "unique", "possible") else float(value)
        return cls(**ends)


_TABLE: tuple[tuple[str, str, str, int, int], ...] = (
    # name, title, format, width, factor
    ("observations", "obs", "d", 8, 1),
    ("unique", "unique", "d", 7, 1),
    ("completeness", "compl %", ".1f", 7, 100),
    ("multiplicity", "mult", ".2f", 7, 1),
    ("i_over_sigma", "I/sigma", ".2f", 7, 1),
    ("r_meas", "R_meas", ".4f", 7, 1),
    ("r_pim", "R_pim", ".4f", 7, 1),
    ("r_split", "R_split", ".4f", 7, 1),
    ("cc_half", "CC1/2", ".4f", 7, 1),
    ("cc_half_observations", "by obs", ".4f", 7, 1),
    ("cc_star", "CC*", ".4f", 7, 1),
    ("cc_reference", "CC ref", ".4f", 7, 1),
    ("r_reference", "R ref", ".4f", 7, 1),
    ("cc_anomalous", "CC ano", ".3f", 7, 1),
    ("reduced_chi2", "chi2", ".2f", 6, 1),
)


def _meaningful(name: str, value: float) -> float:
    """The value, NaN where it is an R factor of noise."""
    return float("nan") if name.startswith("r_") and abs(value) >= _NOISE else value


@dataclass(frozen=True, eq=False)
class Statistics:
    """Merging statistics.

    ``a + b``, for different unique reflections in the same shells, is what one pass over both would have given;
    ``Statistics()`` is zero.

    Made by `merge`.
    """

    edges: Floats = field(default_factory=lambda: np.zeros(0))
    """float64 [shells + 1]: angstrom, descending"""
    sums: ShellSums = field(default_factory=ShellSums)
    """of which all is made; those of parts add"""
    wilson_b: float = float("nan")
    """angstrom^2: fall-off of the merged intensities beyond that of average protein atoms; NaN = too few shells"""
    limit: float = float("nan")
    """angstrom: suggested resolution limit, see `resolution_limit`; NaN = cannot be told, or of a sum"""
    within: ShellSums = field(default_factory=ShellSums)
    """of the reflections up to `limit` in one shell, where others are beyond it"""

    def __repr__(self) -> str:
        shells = len(self.edges) - 1
        if shells < 1:
            return "<Statistics: no shells>"
        overall = self.overall
        limit = "" if self.up_to_limit is None else f", suggested limit {self.limit:.2f} angstrom"
        return (
            f"<Statistics: {counted(shells, 'shell')}, {resolution_text(self.edges)}, {overall.unique} unique, "
            f"CC1/2 {overall.cc_half:.4f}, R_meas {overall.r_meas:.4f}{limit}>"
        )

    def _repr_html_(self) -> str:
        if len(self.edges) < 2:
            return html_table("Statistics", {"shells": 0})
        overall = self.overall
        facts = {
            "shells": len(self.edges) - 1,
            "resolution": resolution_text(self.edges),
            "suggested limit (angstrom)": self.limit if np.isfinite(self.limit) else None,
            "Wilson B (angstrom^2)": self.wilson_b if np.isfinite(self.wilson_b) else None,
        }
        for name, title, form, _, factor in _TABLE:
            value = factor * _meaningful(name, getattr(overall, name))
            if np.isfinite(value):
                facts[title] = f"{value:{form}}"
        return html_table("Statistics", facts)

    def __add__(self, other: Self) -> Self:
        if not len(other.edges):
            return self
        if not len(self.edges):
            return other
        if not np.array_equal(self.edges, other.edges):
            raise ShapeError("the two statistics have different resolution shells: make them with the same edges")
        return type(self)(self.edges, self.sums + other.sums)

    @property
    def shells(self) -> tuple[Shell, ...]:
        """One `Shell` each, low resolution first."""
        count = max(len(self.edges) - 1, 0)
        return tuple(Shell.of(self.sums.row(i), self.edges[i], self.edges[i + 1]) for i in range(count))

    @property
    def up_to_limit(self) -> Shell | None:
        """The reflections up to the suggested limit in one shell; None where that leaves none out."""
        return Shell.of(self.within, self.edges[0], self.limit) if np.ndim(self.within.unique) else None

    @property
    def beyond_limit(self) -> tuple[Shell, ...]:
        """Shells of which all is beyond the suggested limit."""
        if not np.isfinite(self.limit):
            return ()
        return tuple(shell for shell in self.shells if shell.d_max <= self.limit * (1.0 + _SLACK))

    @property
    def overall(self) -> Shell:
        """All shells in one."""
        ends = self.edges[[0, -1]] if len(self.edges) else (np.nan, np.nan)
        return Shell.of(self.sums.total, ends[0], ends[1])

    def column(self, name: str) -> Floats:
        """float64 [shells]: one property of `Shell` for all shells."""
        return np.array([getattr(shell, name) for shell in self.shells], dtype=np.float64)

    def table(self) -> str:
        """The statistics as text: a line per shell, one for all, and one up to the suggested limit if that cuts.

        Columns without any number are left out. R factors that mean nothing, above 10, are "-" as well.
        """
        within = self.up_to_limit
        rows = [*self.shells, self.overall, *([] if within is None else [within])]
        shown = [column for column in _TABLE if any(np.isfinite(getattr(row, column[0])) for row in rows)]
        lines = ["  ".join([f"{'d, angstrom':>13s}", *(f"{title:>{width}s}" for _, title, _, width, _ in shown)])]
        for row in rows:
            cells = [f"{row.d_max:6.2f} {row.d_min:6.2f}"]
            for name, _, form, width, factor in shown:
                value = factor * _meaningful(name, getattr(row, name))
                cells.append(f"{value:>{width}{form}}" if np.isfinite(value) else f"{'-':>{width}s}")
            lines.append("  ".join(cells))
        last = [self._limit_text] if np.isfinite(self.limit) else []
        last += [f"Wilson B {self.wilson_b:.1f} angstrom^2"] if np.isfinite(self.wilson_b) else []
        lines += ["", *last] if last else []
        return "\n".join(lines)

    @property
    def _limit_text(self) -> str:
        text = f"Suggested resolution limit {self.limit:.2f} angstrom: CC1/2 of a fit is "
        if self.up_to_limit is None:
            return f"{text}above {AGREEMENT:g} up to the end of the data"
        return f"{text}{AGREEMENT:g} there; the last line is the data up to it"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: shells and overall as dictionaries, None where there is no number."""

        def plain(shell: Shell) -> dict[str, Any]:
            values = {part.name: getattr(shell, part.name) for part in fields(shell)}
            return {name: value if np.isfinite(value) else None for name, value in values.items()}

        within = self.up_to_limit
        return {
            "shells": [plain(shell) for shell in self.shells],
            "overall": plain(self.overall),
            "wilson_b": self.wilson_b if np.isfinite(self.wilson_b) else None,
            "limit": self.limit if np.isfinite(self.limit) else None,
            "up_to_limit": None if within is None else plain(within),
        }
