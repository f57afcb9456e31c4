"""What a scaling of convergent-beam data has given, in one place: for files, reports and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats, Ints32
from crystint.cbc.merging.families import families
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.table.table import CBCTable
from crystint.errors import SettingError, ShapeError
from crystint.html import html_table

__all__ = ["Agreement", "CBCRun", "ReferenceIntensities", "agreement"]


@dataclass(frozen=True, eq=False, repr=False)
class ReferenceIntensities:
    """Intensities to compare with: the truth of a simulation, or those of another program. Made by `truth_of`."""

    stored_name: ClassVar[str] = "Known"
    """what files call the class"""

    hkl: Ints32
    """int32 [m, 3]: one reflection of each family"""
    q2: Floats
    """float64 [m], on any scale"""
    symmetry: str | None = None
    """under which they are families; None = equal indices only"""
    friedel: bool = True
    """whether hkl and -h-k-l are one reflection"""
    maps: ProjectionMap | None = None
    """chi of each frame"""
    intercept: Floats | None = None
    """float64 [streaks], counts"""
    name: str = "true"
    """how pictures call them: true, reference"""

    def __repr__(self) -> str:
        return f"<ReferenceIntensities: {len(self.hkl)} {self.name} reflections, symmetry {self.symmetry or 'none'}>"


@dataclass(frozen=True, eq=False, repr=False)
class CBCRun:
    """A scaled table. |q|^2 is in counts, on the scale on which the mean of chi is 1. Made by `read_run`."""

    table: CBCTable
    """with |q|^2 and chi of each row"""
    maps: ProjectionMap
    """chi of each frame"""
    hkl: Ints32
    """int32 [H, 3]: one reflection of each family that was refined"""
    q2: Floats
    """float64 [H], counts; NaN where the family is seen nowhere"""
    sigma: Floats
    """float64 [H], counts; the share of chi is in it"""
    intercept: Floats
    """float64 [S], counts: of each streak"""
    trace: Floats
    """float64 [iterations + 1]: the criterion before the first iteration and after each"""
    halves: Floats
    """float64 [2, H]: |q|^2 from either half of the streaks; NaN = not in it; may be [2, 0]"""
    rows: NDArray[np.int64]
    """int64 [H]: rows of the table, multiplicity"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """symmetry, friedel, bandwidth, kind, loss, intercept, iterations... plain values"""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """settings, inputs and version"""
    reference: ReferenceIntensities | None = None
    """the truth of a simulation, or what the run is to be compared with"""

    def __post_init__(self) -> None:
        n = len(self.hkl)
        for name in ("q2", "sigma", "rows"):
            if np.shape(getattr(self, name)) != (n,):
                raise ShapeError(f"{name} is {np.shape(getattr(self, name))}, expected {(n,)}, one per reflection")

    def __repr__(self) -> str:
        return (
            f"<CBCRun: {len(self.table)} rows, {len(self.maps.frames)} frames, {len(self.intercept)} streaks,"
            f" {len(self.hkl)} reflections, {max(len(self.trace) - 1, 0)} iterations>"
        )

    def _repr_html_(self) -> str:
        facts = {
            "rows": len(self.table),
            "frames": len(self.maps.frames),
            "streaks": len(self.intercept),
            "reflections": len(self.hkl),
            "symmetry": self.settings.get("symmetry"),
            "bandwidth": self.settings.get("bandwidth"),
            "iterations": max(len(self.trace) - 1, 0),
            "criterion": float(self.trace[-1]) if len(self.trace) else None,
        }
        return html_table("CBCRun", facts)

    @property
    def x(self) -> Floats:
        """float64 [S + H]: intercepts and log |q|^2, as `IntensityScaler` has them; NaN = seen nowhere."""
        with np.errstate(divide="ignore"):
            return np.concatenate([self.intercept, np.log(self.q2)])


@dataclass(frozen=True, eq=False)
class Agreement:
    """Intensities beside those of a reference, on their scale. Made by `agreement`."""

    scaled: Floats
    """float64 [n]: k |q|^2, k by least squares"""
    reference: Floats
    """float64 [n]"""
    sigma: Floats
    """float64 [n]: k sigma"""
    scale: float
    """k"""
    cc: float
    """correlation"""
    cc_log: float
    """correlation of the logarithms, where both are above 0"""
    r: float
    """sum |scaled - reference| / sum reference"""


def agreement(hkl: Ints32, q2: Floats, reference: ReferenceIntensities, sigma: Floats | None = None) -> Agreement:
    """Compare intensities with those of a reference, reflection by reflection.

    Reflections correspond when the symmetry of `reference` makes them one family; those without a partner, and NaN, are
    left out.

    Parameters
    ----------
    hkl : int [n, 3]
    q2 : float64 [n]
    reference : ReferenceIntensities
    sigma : float64 [n], optional
        Of `q2`.

    Returns
    -------
    Agreement

    Raises
    ------
    SettingError
        When fewer than 3 correspond.

    Examples
    --------
    >>> from crystint import cbc
    >>> data = cbc.simulate_cbc(3, d_min=5.0, seed=1)
    >>> scaler, x = cbc.IntensityScaler.of(data.table, data.setup).merge_hkl("mmm").train(bandwidth=2e-3)
    >>> both = cbc.agreement(scaler.hkl, scaler.q2(x), cbc.truth_of(data))
    >>> bool(both.cc > 0.9)
    True
    """
    both = families(np.concatenate([reference.hkl, hkl]), reference.symmetry, friedel=reference.friedel).number
    of_family = np.full(int(both.max(initial=-1)) + 1, np.nan)
    of_family[both[: len(reference.hkl)]] = reference.q2
    partner = of_family[both[len(reference.hkl) :]]
    use = np.isfinite(partner) & np.isfinite(q2)
    if use.sum() < 3:
        raise SettingError(
            f"{int(use.sum())} of {len(hkl)} reflections are among the {len(reference.hkl)} {reference.name} ones,"
            " expected 3 or more: is it the same crystal, in the same indexing and symmetry?"
        )
    x, y = np.asarray(q2, np.float64)[use], partner[use]
    scale = float(x @ y) / float(x @ x)
    error = np.full(len(x), np.nan) if sigma is None else scale * np.asarray(sigma, np.float64)[use]
    above = (x > 0.0) & (y > 0.0)
    return Agreement(
        scaled=scale * x,
        reference=y,
        sigma=error,
        scale=scale,
        cc=_correlation(x, y),
        cc_log=_correlation(np.log(x[above]), np.log(y[above])),
        r=float(np.abs(scale * x - y).sum() / np.abs(y).sum()),
    )


def _correlation(x: Floats, y: Floats) -> float:
    if len(x) < 2 or not (np.ptp(x) > 0.0 and np.ptp(y) > 0.0):
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
