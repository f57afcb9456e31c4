"""Correlations of many exposures with the rings they are of: what a file of them holds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.correlate.correlation_sums import CorrelationSums, Norm
from crystint.correlate.harmonics import cos_psi, half_scattering_angle
from crystint.errors import SettingError

__all__ = ["CorrelationRun"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CorrelationRun:
    """Sums of correlations, and where their rings are. ``a + b`` is what one pass over all exposures would give."""

    sums: CorrelationSums
    radii: Array
    """float64 [rings]: px"""
    pairs: NDArray[np.int64]
    """int64 [rows, 2]: the two rings that each row correlates"""
    q: Array | None = None
    """float64 [rings]: 1/angstrom; None = not known"""
    wavelength: float | None = None
    """angstrom"""
    kind: str = "single"
    """what was correlated, in words: correlations of another kind do not add"""
    norm: Norm = "mask"
    """how the file has them normalised, as `CorrelationSums.mean`"""
    by_intensity: bool = False
    provenance: dict[str, Any] = field(default_factory=dict)

    def __add__(self, other: Self) -> Self:
        """Raises SettingError when the two are of other rings, or were made in another way."""
        unlike = [
            what
            for what, same in {
                f"kind ({self.kind}; {other.kind})": self.kind == other.kind,
                f"azimuths ({self.sums.n}; {other.sums.n})": self.sums.n == other.sums.n,
                "radii": _same(self.radii, other.radii),
                "q": _same(self.q, other.q),
                "pairs of rings": np.array_equal(self.pairs, other.pairs),
                f"wavelength ({self.wavelength}; {other.wavelength})": _same(self.wavelength, other.wavelength),
            }.items()
            if not same
        ]
        if unlike:
            raise SettingError(f"these correlations do not add, they differ in {', '.join(unlike)}")
        return replace(self, sums=self.sums + other.sums)

    @property
    def correlation(self) -> Array:
        """float64 [rows, n], normalised as the file says."""
        return self.sums.mean(self.norm, by_intensity=self.by_intensity)

    @property
    def error(self) -> Array:
        """float64 [rows, n]: standard errors."""
        return self.sums.error(self.norm, by_intensity=self.by_intensity)

    @property
    def intensity(self) -> Array:
        """float64 [rows]: root of the product of the mean intensities of the two rings; NaN without data."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.sums.intensity / self.sums.samples
            return np.asarray(np.sign(mean[:, 0]) * np.sqrt(np.abs(mean[:, 0] * mean[:, 1])))

    def cos_psi(self) -> Array | None:
        """float64 [rows, n]: cosine of the angle between the scattering vectors; None without q and wavelength."""
        if self.q is None or self.wavelength is None:
            return None
        theta = half_scattering_angle(self.q, self.wavelength)[self.pairs]
        return cos_psi(self.sums.lags[None, :], theta[:, :1], theta[:, 1:])

    def names(self) -> list[str]:
        """What to call each row: its radii or q."""
        values, unit = (self.radii, "px") if self.q is None else (self.q, "1/Å")
        digits = 1 if self.q is None else 3
        text = [f"{value:.{digits}f}" for value in values]
        if self.q is None and np.array_equal(values, np.rint(values)):
            text = [f"{value:.0f}" for value in values]
        return [f"{text[i]} {unit}" if i == j else f"{text[i]} × {text[j]} {unit}" for i, j in self.pairs]


def _same(first: Any, second: Any) -> bool:
    if first is None or second is None:
        return first is second
    return np.shape(first) == np.shape(second) and bool(np.allclose(first, second, rtol=1e-9))
