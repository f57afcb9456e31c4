"""Cells, resolutions and numbers as short text, the same wherever a result shows itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import gemmi
import numpy as np
from numpy.typing import ArrayLike

__all__ = ["cell_text", "counted", "counts_text", "range_text", "resolution_text"]


def cell_text(cell: Sequence[float] | gemmi.UnitCell) -> str:
    """The six parameters of a cell, angstrom and degrees."""
    parameters = cell.parameters if isinstance(cell, gemmi.UnitCell) else cell
    return " ".join(f"{value:.2f}" for value in parameters)


def counted(number: int, what: str) -> str:
    """ "1 image", "2 images"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def counts_text(counts: Mapping[str, int]) -> str:
    """ "3 outliers, 2 saturated": those that are above 0."""
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def range_text(values: ArrayLike, unit: str = "", form: str = ".4g") -> str:
    """Lowest to highest of the finite values, or the one that they all are; empty where none is finite."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return ""
    ends = dict.fromkeys(f"{end:{form}}" for end in (finite.min(), finite.max()))
    return " to ".join(ends) + (f" {unit}" if unit else "")


def resolution_text(d: ArrayLike) -> str:
    """Coarsest to finest of spacings in angstrom; empty where none is finite."""
    spacings = np.asarray(d, dtype=np.float64)
    spacings = spacings[np.isfinite(spacings)]
    return f"{spacings.max():.2f} to {spacings.min():.2f} angstrom" if spacings.size else ""
