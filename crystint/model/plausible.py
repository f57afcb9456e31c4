"""Whether a length, a wavelength or an angle can be that of an experiment: the one gate for all of them.

What passes here is possible, not right; what does not is nearly always a number in another unit. The limits are wide:
the smallest pixels are of lens-coupled cameras, the largest of wire chambers; the longest instruments for small angles
stand 40 m behind the sample (one stands at 160 m), and 0.01 angstrom are electrons of 900 kV.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from crystint.errors import warn
from crystint.units import energy_of, wavelength_of

__all__ = ["Quantity", "implausible"]

Quantity: TypeAlias = Literal["pixel_size", "distance", "wavelength", "rotation"]

_LIMITS: dict[Quantity, tuple[float, float]] = {
    "pixel_size": (1e-6, 5e-3),
    "distance": (1e-3, 100.0),
    "wavelength": (0.01, 100.0),
    "rotation": (-2.0 * math.pi, 2.0 * math.pi),
}
_EXPECTED: dict[Quantity, str] = {
    "pixel_size": "1 um to 5 mm",
    "distance": "1 mm to less than 100 m",
    "wavelength": "0.01 to 100 angstrom",
    "rotation": "-2 pi to 2 pi",
}
_FAR = 40.0
"""m; few detectors stand beyond it, and many people think in mm"""


def implausible(quantity: Quantity, value: float) -> str:
    """Why a value cannot be, in words that follow the name of the value; "" when it can.

    Parameters
    ----------
    quantity : "pixel_size", "distance", "wavelength", "rotation"
    value : float
        In m, m, angstrom and rad.

    Warns
    -----
    CrystintWarning
        Of a distance above 40 m.
    """
    low, high = _LIMITS[quantity]
    below = value < high if quantity == "distance" else value <= high  # --distance 100 is one of mm
    if low <= value and below:
        if quantity == "distance" and value > _FAR:
            warn(f"the distance is {value:g} m; if it is in mm, write {value:g}mm, or {value * 1e-3:g} in m")
        return ""
    unit = {"wavelength": "angstrom", "rotation": "rad"}.get(quantity, "m")
    if not math.isfinite(value) or (value <= 0.0 and quantity != "rotation"):
        return f"is {value!r}, expected a number above 0 in {unit}: {_EXPECTED[quantity]}"
    hint = {"wavelength": _of_wavelength, "rotation": _of_angle}.get(quantity, _of_length)(value, low, high)
    return f"is {value:g} {unit}, expected {_EXPECTED[quantity]}{hint}"


def _of_length(value: float, low: float, high: float) -> str:
    for unit, metres in (("mm", 1e-3), ("um", 1e-6), ("cm", 1e-2)):
        if low <= value * metres < high:
            return f"; {value:g} m? write {value:g}{unit}, or {value * metres:g} in m"
    return ""


def _of_wavelength(value: float, low: float, high: float) -> str:
    """Of the mistakes that it could be, the one that leads nearest to 1 angstrom."""
    energy = energy_of(value)
    mistakes = {
        value * 1e10: "it looks like metres: multiply by 1e10",
        wavelength_of(value): f"{value:g} eV are {wavelength_of(value):g} angstrom",
        value * 1e-3: f"it is {energy:g} eV: is {energy:g} meant in keV ({value * 1e-3:g} angstrom)?",
        value * 1e3: f"it is {energy:g} eV: is {energy * 1e-3:g} meant in eV ({value * 1e3:g} angstrom)?",
    }
    meant = min(mistakes, key=lambda angstrom: abs(math.log(angstrom)))
    return f"; {mistakes[meant]}" if low <= meant <= high else ""


def _of_angle(value: float, _low: float, _high: float) -> str:
    return f"; {value:g} degrees? write {math.radians(value):.6g}"
