"""How much of a reflection is excited: a Gaussian about the Ewald sphere, its width a law of resolution.

The form is that of the Ewald-offset corrections of nXDS (Kabsch 2014, Acta Cryst. D70, 2204) and of CrystFEL's
"offset" model: it is 1 on the sphere whatever the width (`RockingWidth.peak` has the factor that a physical
spectrum would bring).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfc

from crystint.errors import SettingError
from crystint.html import html_table

__all__ = ["RockingWidth", "partiality"]

_SERIES = 0.01
"""half sweep over width below which the average is a Taylor series: its error there is below 1e-13"""


@dataclass(frozen=True)
class RockingWidth:
    """Width R of the rocking curve exp(-(excitation / R)^2) as a law of resolution and wavelength.

    R^2 = domain^2 + (mosaicity / d)^2 + (bandwidth wavelength)^2 / (2 d^4)

    The last term follows from d(excitation)/d(1/wavelength) = cos(2 theta) - 1 = -wavelength^2 / (2 d^2).

    Raises
    ------
    SettingError
        When a term is negative or not finite, or all of them are 0.

    Examples
    --------
    >>> from crystint import stills
    >>> width = stills.RockingWidth(domain=1e-3, mosaicity=2e-3)
    >>> round(float(width.at(2.0, 1.0)), 6)  # 1/angstrom at d = 2, wavelength 1 angstrom
    0.001414
    """

    domain: float
    """1/angstrom: of the reciprocal lattice points themselves"""
    mosaicity: float = 0.0
    """rad, in the same form: sqrt(2) times the RMS misorientation about one axis"""
    bandwidth: float = 0.0
    """relative, RMS (FWHM / 2.355 of a Gaussian spectrum)"""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = float(getattr(self, field.name))
            if not (np.isfinite(value) and value >= 0.0):
                raise SettingError(f"{field.name} is {value!r}, expected a number, 0 or more")
        if not (self.domain or self.mosaicity or self.bandwidth):
            raise SettingError("domain, mosaicity and bandwidth are all 0; a rocking curve needs a width")

    def __repr__(self) -> str:
        terms = f"domain {self.domain:.4g} 1/angstrom, mosaicity {self.mosaicity:.4g} rad"
        return f"<RockingWidth: {terms}, bandwidth {self.bandwidth:.4g}>"

    def _repr_html_(self) -> str:
        facts = {
            "domain (1/angstrom)": self.domain,
            "mosaicity (rad)": self.mosaicity,
            "bandwidth": self.bandwidth,
        }
        return html_table("RockingWidth", facts)

    def at(self, d: ArrayLike, wavelength: ArrayLike) -> NDArray[np.float64]:
        """Width in 1/angstrom for spacings `d` and `wavelength`, both in angstrom, broadcast together."""
        d = np.asarray(d, dtype=np.float64)
        with np.errstate(divide="ignore"):
            s2 = 1.0 / (d * d)
        spectrum = 0.5 * (self.bandwidth * np.asarray(wavelength, dtype=np.float64)) ** 2
        return np.asarray(np.sqrt(self.domain**2 + s2 * (self.mosaicity**2 + spectrum * s2)))

    def peak(self, d: ArrayLike, wavelength: ArrayLike) -> NDArray[np.float64]:
        """Partiality on the sphere itself when the spectrum is spread out: R without its bandwidth over R.

        `partiality` leaves it out, so that 1 is the most there is; for pink beam with a known spectrum it is the
        factor between the two.
        """
        if not (self.domain or self.mosaicity):
            raise SettingError("with domain and mosaicity 0 there is no width without the spectrum to compare with")
        return np.asarray(RockingWidth(self.domain, self.mosaicity).at(d, wavelength) / self.at(d, wavelength))


def partiality(excitation: ArrayLike, width: ArrayLike, sweep: ArrayLike | None = None) -> NDArray[np.float64]:
    """Share of the full intensity, 0 to 1, broadcast over the arguments.

    Parameters
    ----------
    excitation : float [n]
        Distance from the Ewald sphere at the middle of the exposure, 1/angstrom.
    width : float [n]
        R of the rocking curve, 1/angstrom, above 0; see `RockingWidth.at`.
    sweep : float [n], optional
        Change of the excitation over the exposure, 1/angstrom; the result is then the average over it:
        sqrt(pi) R / (2 De) (erf((e + De/2) / R) - erf((e - De/2) / R)).

    Returns
    -------
    float64

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import stills
    >>> stills.partiality(np.array([0.0, 1e-3, 2e-3]), 1e-3).round(4)
    array([1.    , 0.3679, 0.0183])
    """
    width = np.asarray(width, dtype=np.float64)
    x = np.abs(np.asarray(excitation, dtype=np.float64)) / width
    still = np.exp(-x * x)
    if sweep is None:
        return np.asarray(still)
    y = np.abs(0.5 * np.asarray(sweep, dtype=np.float64)) / width
    x, y, still = np.broadcast_arrays(x, y, still)
    # mean of f over x - y .. x + y is f + y^2/6 f'' + y^4/120 f''''
    x2, y2 = x * x, y * y
    series = still * (1.0 + y2 / 3.0 * (2.0 * x2 - 1.0) + y2 * y2 / 30.0 * (4.0 * x2 * x2 - 12.0 * x2 + 3.0))
    wide = np.maximum(y, _SERIES)
    average = 0.25 * np.sqrt(np.pi) / wide * (erfc(x - wide) - erfc(x + wide))
    return np.asarray(np.where(y < _SERIES, series, average))
