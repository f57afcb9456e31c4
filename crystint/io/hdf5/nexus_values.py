"""Numbers with units in HDF5 files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from crystint.errors import GeometryError

__all__ = ["Quantity", "energy", "find_group", "length", "number", "place_of", "quantity", "text"]

_METRES = {
    "m": 1.0, "meter": 1.0, "metre": 1.0, "meters": 1.0, "metres": 1.0,
    "cm": 1e-2, "mm": 1e-3, "millimeter": 1e-3, "millimetre": 1e-3,
    "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "micron": 1e-6, "microns": 1e-6,
    "micrometer": 1e-6, "micrometre": 1e-6,
    "nm": 1e-9, "nanometer": 1e-9, "pm": 1e-12,
    "angstrom": 1e-10, "angstroms": 1e-10, "ångström": 1e-10, "å": 1e-10, "a": 1e-10,
}  # fmt: skip
_ELECTRONVOLTS = {"ev": 1.0, "kev": 1e3, "mev": 1e6, "j": 1.0 / 1.602176634e-19}


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

    @property
    def electronvolts(self) -> float:
        """The number in eV; without a unit, eV, or joules when it is tiny (CXI files)."""
        if self.unit in _ELECTRONVOLTS:
            return self.value * _ELECTRONVOLTS[self.unit]
        return self.value * _ELECTRONVOLTS["j"] if self.value < 1e-10 else self.value


def text(value: Any) -> str:
    """An attribute or a data set of text as str; "" for anything else."""
    if isinstance(value, np.ndarray) and value.size:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def number(group: h5py.Group, key: str) -> float | None:
    """The first finite number of a data set; None when there is none."""
    stored = quantity(group, key)
    return None if stored is None else stored.value


def quantity(group: h5py.Group, key: str) -> Quantity | None:
    """The first finite number of a data set and its unit; None when there is none."""
    item = group.get(key)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iuf" or not item.size:
        return None
    values = np.asarray(item[()], dtype=np.float64).reshape(-1)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    return Quantity(float(values[0]), text(item.attrs.get("units")).strip().lower())


def length(group: h5py.Group, key: str) -> float | None:
    """A length in metres; without a unit, metres. None when it is absent.

    Raises
    ------
    GeometryError
        When its unit is no length.
    """
    stored = quantity(group, key)
    if stored is None or not math.isfinite(stored.value):
        return None
    if stored.unit and stored.metres is None:
        raise GeometryError(f"{group.name}/{key} is in {stored.unit!r}, expected a unit of length such as m or mm")
    return stored.value if stored.metres is None else stored.metres


def energy(group: h5py.Group, key: str) -> float | None:
    """An energy in eV, which is also meant where it has no unit (joules where it is tiny). None when it is absent.

    Raises
    ------
    GeometryError
        When its unit is no energy.
    """
    stored = quantity(group, key)
    if stored is None:
        return None
    if stored.unit and stored.unit not in _ELECTRONVOLTS:
        raise GeometryError(f"{group.name}/{key} is in {stored.unit!r}, expected a unit of energy such as eV or keV")
    return stored.electronvolts


def place_of(group: h5py.Group, *keys: str) -> str:
    """Where numbers stand: the paths of data sets, and which of them tell no unit."""
    places = []
    for key in keys:
        item = group.get(key)
        unit = item is not None and text(item.attrs.get("units")).strip()
        places.append(f"{group.name}/{key}".lstrip("/") + ("" if unit else ", without a unit"))
    return " and ".join(places)


def find_group(file: h5py.File, usual: Sequence[str], kind: str) -> h5py.Group | None:
    """The first group of the usual paths, else the first of the NeXus class `kind` within three levels."""
    for path in usual:
        item = file.get(path)
        if isinstance(item, h5py.Group):
            return item
    level: list[h5py.Group] = [file]
    for _ in range(3):
        level = [
            group[key]
            for group in level
            for key in group
            if isinstance(group.get(key, getlink=True), h5py.HardLink) and isinstance(group[key], h5py.Group)
        ]
        for group in level:
            if text(group.attrs.get("NX_class")) == kind:
                return group
    return None
