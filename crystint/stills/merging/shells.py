"""Resolution shells: where they end, and which one a spacing falls into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError

__all__ = ["ResolutionShells"]

_SLACK = 1e-9
"""relative widening of the outer edges, so that the reflections that set them are inside"""


@dataclass(frozen=True, eq=False)
class ResolutionShells:
    """Shells of spacing d. The first holds the longest spacings."""

    edges: NDArray[np.float64]
    """float64 [shells + 1], angstrom, descending; the first may be infinite"""

    def __post_init__(self) -> None:
        edges = np.asarray(self.edges, dtype=np.float64)
        if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) < 0.0).all() or not edges[-1] > 0.0:
            raise SettingError(
                f"resolution shells end at {edges.tolist()} angstrom, expected a descending list above 0"
            )
        object.__setattr__(self, "edges", edges)

    @classmethod
    def of(
        cls,
        d: NDArray[Any],
        count: int = 10,
        *,
        by: Literal["volume", "number"] = "volume",
        d_min: float | None = None,
        d_max: float | None = None,
    ) -> Self:
        """Shells that hold the spacings `d`.

        Parameters
        ----------
        d : float [n]
            angstrom; NaN is left out.
        count
            How many shells (fewer where equal numbers cannot be had).
        by
            "volume": equal volume of reciprocal space, so about equally many possible reflections;
            "number": equally many of `d`.
        d_min, d_max
            Ends, angstrom; None = those of `d`.

        Raises
        ------
        SettingError
            When there are no spacings, or the ends or the count make no sense.
        """
        spacing = np.asarray(d, dtype=np.float64)
        spacing = spacing[np.isfinite(spacing) & (spacing > 0.0)]
        if count < 1:
            raise SettingError(f"{count} resolution shells, expected 1 or more")
        if not len(spacing) and (d_min is None or d_max is None):
            raise SettingError("no reflections with a spacing: resolution shells cannot be made")
        low = (float(spacing.max()) if d_max is None else d_max) * (1.0 + _SLACK)
        high = (float(spacing.min()) if d_min is None else d_min) * (1.0 - _SLACK)
        if not 0.0 < high < low:
            raise SettingError(f"resolution from {low:g} to {high:g} angstrom: d_max must be above d_min, both above 0")
        if by == "volume":
            cube = np.linspace(low**-3.0, high**-3.0, count + 1)
            return cls(np.concatenate([[low], cube[1:-1] ** (-1.0 / 3.0), [high]]))
        inside = np.sort(spacing[(spacing <= low) & (spacing >= high)])[::-1]
        places = np.arange(1, count) * len(inside) // count
        places = places[(places > 0) & (places < len(inside))]
        places = places[inside[places - 1] > inside[places]]
        inner = 0.5 * (inside[places] + inside[places - 1])
        return cls(np.concatenate([[low], np.unique(inner)[::-1], [high]]))

    def __len__(self) -> int:
        return len(self.edges) - 1

    def number(self, d: NDArray[Any]) -> NDArray[np.intp]:
        """intp [n]: shell of each spacing; -1 = in none. A spacing on an inner edge belongs to the lower resolution."""
        spacing = np.asarray(d, dtype=np.float64)
        shell = np.searchsorted(-self.edges, -spacing, side="left") - 1
        shell[spacing == self.edges[0]] = 0
        return np.where((shell >= 0) & (shell < len(self)) & np.isfinite(spacing), shell, -1)
