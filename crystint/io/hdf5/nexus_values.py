"""Numbers with units in HDF5 files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError, warn
from crystint.model.facts import range_text

__all__ = [
    "Quantity",
    "electronvolts",
    "groups_of_class",
    "length",
    "metres",
    "number",
    "place_of",
    "quantity",
    "text",
    "unit_of",
]

_METRES = {
    "m": 1.0, "meter": 1.0, "metre": 1.0, "meters": 1.0, "metres": 1.0,
    "cm": 1e-2, "mm": 1e-3, "millimeter": 1e-3, "millimetre": 1e-3,
    "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "micron": 1e-6, "microns": 1e-6,
    "micrometer": 1e-6, "micrometre": 1e-6,
    "nm": 1e-9, "nanometer": 1e-9, "pm": 1e-12,
    "angstrom": 1e-10, "angstroms": 1e-10, "ångström": 1e-10, "å": 1e-10, "a": 1e-10,
}  # fmt: skip
_ELECTRONVOLTS = {"ev": 1.0, "kev": 1e3, "mev": 1e6, "j": 1.0 / 1.602176634e-19}

_MANY = 1000
"""A group of more members has one for each shot, and not one that describes the instrument."""


@dataclass(frozen=True)
class Quantity:
    """A number and its unit, as written."""

    value: float
    unit: str
    """lower case; "" = not recorded"""

    @property
    def metres(self) -> float | None:
        """The number in metres; None when the unit is not a length."""
        scale = _METRES.get(self.unit)
        return None if scale is None else self.value * scale


def text(value: Any) -> str:
    """An attribute or a data set of text as str; "" for anything else."""
    if isinstance(value, np.ndarray) and value.size:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def unit_of(item: h5py.Dataset) -> str:
    """The unit of a data set, lower case; "" = not recorded."""
    return text(item.attrs.get("units")).strip().lower()


def metres(values: NDArray[np.float64], item: h5py.Dataset) -> NDArray[np.float64]:
    """Lengths of a data set in metres; without a unit they are.

    Raises
    ------
    GeometryError
        When the unit is no length.
    """
    return values * _factor(item, _METRES, "m", "length such as m or mm")


def electronvolts(values: NDArray[np.float64], item: h5py.Dataset) -> NDArray[np.float64]:
    """Energies of a data set in eV; without a unit they are, or joules where they are tiny (CXI files).

    Raises
    ------
    GeometryError
        When the unit is no energy.
    """
    tiny = not unit_of(item) and np.nanmax(values) < 1e-10
    return values * _factor(item, _ELECTRONVOLTS, "j" if tiny else "ev", "energy such as eV or keV")


def _factor(item: h5py.Dataset, factors: dict[str, float], default: str, expected: str) -> float:
    """What turns the unit of a data set, or the default where it has none, into metres or eV."""
    unit = unit_of(item) or default
    if unit not in factors:
        raise GeometryError(f"{item.name} is in {unit!r}, expected a unit of {expected}")
    return factors[unit]


def _finite(group: h5py.Group, key: str) -> NDArray[np.float64]:
    """The finite numbers of a data set; none when it is absent or no numbers."""
    item = group.get(key)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iuf" or not item.size:
        return np.empty(0)
    values = np.asarray(item[()], dtype=np.float64).reshape(-1)
    return values[np.isfinite(values)]


def number(group: h5py.Group, key: str) -> float | None:
    """The first finite number of a data set; None when there is none."""
    values = _finite(group, key)
    return float(values[0]) if len(values) else None


def quantity(group: h5py.Group, key: str) -> Quantity | None:
    """The number of a data set and its unit; None when there is none.

    Warns
    -----
    CrystintWarning
        When there are several that differ by more than 1e-4 of themselves; their mean is taken.
    """
    values = _finite(group, key)
    if not len(values):
        return None
    value = float(values[0])
    if np.ptp(values) > 1e-4 * np.abs(values).max():
        value = float(values.mean())
        place = f"{group.file.filename}: {group.name.lstrip('/')}/{key}"
        warn(f"{place} has {len(values)} values, {range_text(values, form='.6g')}; their mean is used, {value:.6g}")
    return Quantity(value, unit_of(group[key]))


def length(group: h5py.Group, key: str) -> float | None:
    """A length in metres, as `quantity` and `metres`; None when it is absent."""
    stored = quantity(group, key)
    return None if stored is None else float(metres(np.array(stored.value), group[key]))


def place_of(group: h5py.Group, *keys: str) -> str:
    """Where numbers stand: the paths of data sets, and which of them tell no unit."""
    places = []
    for key in keys:
        item = group.get(key)
        unit = item is not None and (unit_of(item) or ("_" in key and key.rpartition("_")[2].lower() in ("ev", "a")))
        places.append(f"{group.name}/{key}".lstrip("/") + ("" if unit else ", without a unit"))
    return " and ".join(places)


def groups_of_class(group: h5py.Group, kind: str, depth: int = 3) -> list[h5py.Group]:
    """Groups of a NeXus class within some levels, those nearer the top first; links are not followed."""
    level, matching = [group], []
    for _ in range(depth):
        level = [above[key] for above in level if len(above) <= _MANY for key in above if _is_group(above, key)]
        matching += [item for item in level if text(item.attrs.get("NX_class")) == kind]
    return matching


def _is_group(above: h5py.Group, key: str) -> bool:
    return isinstance(above.get(key, getlink=True), h5py.HardLink) and above.get(key, getclass=True) is h5py.Group
