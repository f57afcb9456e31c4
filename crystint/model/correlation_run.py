"""Correlations of many exposures with the rings they are of: what a file of them holds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError
from crystint.html import html_table
from crystint.model.correlation_sums import CorrelationSums, Norm
from crystint.model.labelled_arrays import imported_xarray
from crystint.model.scattering_angle import cos_psi, half_scattering_angle

__all__ = ["CorrelationRun"]


@dataclass(frozen=True, eq=False)
class CorrelationRun:
    """Sums of correlations, and where their rings are. ``a + b`` is what one pass over all exposures would give.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_rings(20, 360, seed=1)
    >>> correlator = correlate.Correlator()
    >>> for exposure in data.values:
    ...     correlator.add(exposure)
    >>> run = correlate.CorrelationRun(correlator.sums, radii=np.array([100.0]), pairs=np.array([[0, 0]]))
    >>> run.correlation.shape, (run + run).sums.number
    ((1, 360), 40)
    """

    sums: CorrelationSums
    """over the exposures"""
    radii: Floats
    """float64 [rings]: px"""
    pairs: NDArray[np.int64]
    """int64 [rows, 2]: the two rings that each row correlates"""
    q: Floats | None = None
    """float64 [rings]: 1/angstrom; None = not known"""
    wavelength: float | None = None
    """angstrom"""
    kind: str = "single"
    """what was correlated, in words: correlations of another kind do not add"""
    norm: Norm = "mask"
    """how they are to be normalised, as `CorrelationSums.mean`"""
    by_intensity: bool = False
    """whether correlations are divided by the mean intensities of their two rings"""
    of_q: bool = False
    """the rings were laid out, and are named, by q instead of by radius"""
    direction: int = 1
    """of the azimuths, as `PolarGrid`: it turns the lags of one ring with another round"""
    provenance: dict[str, Any] = field(default_factory=dict)
    """settings, inputs and version"""

    def __repr__(self) -> str:
        return f"<CorrelationRun: {self.about}; {self.kind}>"

    def _repr_html_(self) -> str:
        rings, unit = self.places, "1/angstrom" if self.of_q else "px"
        facts = {
            "exposures": self.sums.number,
            "rows": len(self.pairs),
            "lags": self.sums.n,
            "rings": f"{rings[0]:g} to {rings[-1]:g} {unit}" if len(rings) else None,
            "kind": self.kind,
            "norm": self.norm,
            "by intensity": self.by_intensity,
            "wavelength (angstrom)": self.wavelength,
        }
        return html_table("CorrelationRun", facts)

    def to_xarray(self) -> Any:
        """The correlations with errors and axes, for xarray, which has to be installed.

        Returns
        -------
        xarray.Dataset
            ``correlation`` and ``error`` of the dimensions ``row`` and ``lag`` (rad). Of each row there are the radii
            of its two rings (px), and their q (1/angstrom) where it is known; of each row and lag ``cos_psi``.

        Raises
        ------
        ImportError
            Without xarray.
        """
        xarray = imported_xarray()
        unit = {"units": "count^2"} if self.counts else {}
        cosine, first, second = self.cos_psi(), self.pairs[:, 0], self.pairs[:, 1]
        axes: dict[str, Any] = {"row": ("row", self.names()), "lag": ("lag", self.sums.lags, {"units": "rad"})}
        for name, values, units in (("radius", self.radii, "pixel"), ("q", self.q, "1/angstrom")):
            if values is not None:
                axes[f"{name}_1"] = ("row", values[first], {"units": units})
                axes[f"{name}_2"] = ("row", values[second], {"units": units})
        if cosine is not None:
            axes["cos_psi"] = (("row", "lag"), cosine)
        data = {
            "correlation": (("row", "lag"), self.correlation, unit),
            "error": (("row", "lag"), self.error, unit),
        }
        facts = {
            "kind": self.kind,
            "norm": self.norm,
            "by_intensity": int(self.by_intensity),
            "number": self.sums.number,
        }
        return xarray.Dataset(data, axes, facts)

    def __add__(self, other: Self) -> Self:
        """Raises SettingError when the two are of other rings, or were made in another way."""
        self.check_adds(other, self.sums.n)
        return replace(self, sums=self.sums + other.sums)

    def check_adds(self, other: Self, azimuths: int, name: str = "these correlations") -> None:
        """Raise SettingError unless another run adds to this one, whose rings have so many samples."""
        crossed = bool((self.pairs[:, 0] != self.pairs[:, 1]).any())
        unlike = [
            what
            for what, same in {
                f"kind ({self.kind}; {other.kind})": self.kind == other.kind,
                f"azimuths ({azimuths}; {other.sums.n})": azimuths == other.sums.n,
                "rings (px; 1/angstrom)": self.of_q == other.of_q,
                "radii": self.of_q or _same(self.radii, other.radii),
                "q": _same(self.q, other.q),
                "pairs of rings": np.array_equal(self.pairs, other.pairs),
                f"wavelength ({self.wavelength}; {other.wavelength})": _same(self.wavelength, other.wavelength),
                f"direction ({self.direction}; {other.direction})": self.direction == other.direction or not crossed,
            }.items()
            if not same
        ]
        if unlike:
            raise SettingError(f"{name} do not add, they differ in {', '.join(unlike)}")

    @property
    def about(self) -> str:
        """What was correlated, in a few words."""
        number, rows = self.sums.number, len(self.pairs)
        what = "pair" if self.kind.startswith("difference") else "exposure"
        return (
            f"{number} {what}{'' if number == 1 else 's'} correlated, {rows} row{'' if rows == 1 else 's'} x "
            f"{self.sums.n} lags"
        )

    @property
    def correlation(self) -> Floats:
        """float64 [rows, n], normalised as the file says."""
        return self.sums.mean(self.norm, by_intensity=self.by_intensity)

    @property
    def error(self) -> Floats:
        """float64 [rows, n]: standard errors."""
        return self.sums.error(self.norm, by_intensity=self.by_intensity)

    @property
    def counts(self) -> bool:
        """Whether the correlation is in counts squared; otherwise it is a pure number."""
        return not self.by_intensity and "scaled" not in self.kind

    @property
    def intensity(self) -> Floats:
        """float64 [rows]: root of the product of the mean intensities of the two rings; NaN without data."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.sums.intensity / self.sums.samples
            return np.asarray(np.sign(mean[:, 0]) * np.sqrt(np.abs(mean[:, 0] * mean[:, 1])))

    def cos_psi(self) -> Floats | None:
        """float64 [rows, n]: cosine of the angle between the scattering vectors; None without q and wavelength."""
        if self.q is None or self.wavelength is None:
            return None
        theta = half_scattering_angle(self.q, self.wavelength)[self.pairs]
        return cos_psi(self.sums.lags[None, :], theta[:, :1], theta[:, 1:])

    @property
    def places(self) -> Floats:
        """float64 [rings]: q of rings that were laid out by q, else radii."""
        return self.q if self.of_q and self.q is not None else self.radii

    def names(self) -> list[str]:
        """What to call each row: its radii, and q where it is known."""
        whole = np.array_equal(self.radii, np.rint(self.radii))
        radius = [f"{value:.0f}" if whole else f"{value:.1f}" for value in self.radii]
        q = [] if self.q is None else [f"{value:.3f}" for value in self.q]

        def name(text: list[str], unit: str, i: int, j: int) -> str:
            return f"{text[i]} {unit}" if i == j else f"{text[i]} × {text[j]} {unit}"

        names = []
        for i, j in self.pairs:
            parts = [] if self.of_q else [name(radius, "px", i, j)]
            names.append(", ".join([*parts, name(q, "1/Å", i, j)] if q else parts))
        return names


def _same(first: Any, second: Any) -> bool:
    if first is None or second is None:
        return first is second
    return np.shape(first) == np.shape(second) and bool(np.allclose(first, second, rtol=1e-9))
