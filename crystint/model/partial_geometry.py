"""What one source tells of a geometry, which need not be all, and where each number stands in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError
from crystint.model.geometry import Geometry
from crystint.model.panels import farther
from crystint.model.plausible import Quantity, implausible

__all__ = ["OPTIONS", "PartialGeometry"]

_NEEDED = ("distance", "beam_center", "pixel_size")
_TILT = 1e-6
"""rad"""
OPTIONS = {
    "distance": "--distance",
    "beam_center": "--beam",
    "pixel_size": "--pixel-size",
    "wavelength": "--wavelength",
}
"""of the command line, by the fields that they set"""


@dataclass(frozen=True, eq=False)
class PartialGeometry:
    """Some fields of a `Geometry`, and the place that each comes from.

    Sources are laid over one another, the more trusted on top: ``options.over(file).over(frames)``.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    """by the names of Geometry's fields, `shape` aside; what the source does not tell is not in it"""
    places: Mapping[str, str] = field(default_factory=dict)
    """of each field, in words: "entry/instrument/detector/distance", "Detector_distance of the mini header"; of a
    field that is not in `values`, why: it is there, and cannot be used"""
    wavelengths: NDArray[np.float64] | None = None
    """float64 [frames], angstrom: of each frame, where that is told; `values` has their mean"""
    panels_at: float | None = None
    """m: the distance at which the panels in `values` stand whose own is not told; that of another source moves them"""

    @classmethod
    def of(cls, geometry: Geometry, place: str) -> Self:
        """What a whole geometry tells, all from one place."""
        names = [each.name for each in fields(geometry) if each.name not in ("shape", "beam_outside")]
        values = {name: value for name in names if (value := getattr(geometry, name)) is not None}
        if geometry.beam_outside:
            values["beam_outside"] = True
        places = {name: place for name in values if name != "beam_outside"}
        return cls(values, places)

    @classmethod
    def of_axes(cls, geometry: Geometry, place: str) -> Self:
        """As `of`, of axes: a detector that they tilt, or one of several planes, may miss the direct beam."""
        tilted = geometry.panels is not None or any(abs(angle) > _TILT for angle in geometry.rotation[:2])
        whole = cls.of(geometry, place)
        values = {name: value for name, value in whole.values.items() if name != "beam_outside" or tilted}
        return cls(values, whole.places)

    def over(self, below: PartialGeometry) -> PartialGeometry:
        """These fields, and those of `below` where they are missing."""
        each = self.wavelengths if "wavelength" in self.values else below.wavelengths
        at = self.panels_at if "panels" in self.values else below.panels_at
        # why a field is missing here says nothing where the other source tells it
        places = {name: place for name, place in self.places.items() if name in self.values or name not in below.values}
        return PartialGeometry({**below.values, **self.values}, {**below.places, **places}, each, at)

    def only(self, name: str) -> PartialGeometry:
        """One of the fields."""
        return self.without(*(other for other in {**self.values, **self.places} if other != name))

    def without(self, *names: str) -> PartialGeometry:
        """The same, but for some fields."""
        return PartialGeometry(
            {name: value for name, value in self.values.items() if name not in names},
            {name: place for name, place in self.places.items() if name not in names},
            None if "wavelength" in names else self.wavelengths,
            self.panels_at,
        )

    def from_file(self, file: str) -> PartialGeometry:
        """The same, with the name of the file in the places."""
        places = {name: f"{file}: {place}" for name, place in self.places.items()}
        return PartialGeometry(self.values, places, self.wavelengths, self.panels_at)

    @property
    def missing(self) -> list[str]:
        """Fields without which there is no geometry and that are not there."""
        return [name for name in _NEEDED if name not in self.values]

    @property
    def reasons(self) -> str:
        """Why fields are missing that are there and cannot be used, in brackets; "" when nothing is known."""
        texts = [self.places[name] for name in self.missing if name in self.places]
        return f" ({'; '.join(texts)})" if texts else ""

    def whole(self, shape: tuple[int, int], name: str = "", *, beam_outside: bool = False) -> Geometry | None:
        """The geometry; None when distance, beam centre or pixel size are missing.

        Parameters
        ----------
        shape : (slow, fast)
        name : str
            Of the file, for messages; "" where the places name it.
        beam_outside : bool
            Allow a direct beam that misses the frame.

        Raises
        ------
        GeometryError
            When a value cannot be; the message names it, its place and the way out.
        """
        if self.missing:
            return None
        self._check(f"{name}: " if name else "")
        values = dict(self.values)
        if "panels" in values and self.panels_at is not None:
            values["panels"] = farther(values["panels"], values["distance"] - self.panels_at)
        outside = values.pop("beam_outside", False) or beam_outside
        try:
            return Geometry(shape=shape, **values, beam_outside=outside)
        except GeometryError as error:
            place = name or self.places.get("beam_center") or self.places.get("distance", "")
            raise GeometryError(f"{place}: {error}" if place else str(error)) from error

    def _check(self, name: str) -> None:
        quantities: tuple[Quantity, ...] = ("distance", "pixel_size", "wavelength")
        for quantity in quantities:
            value = self.values.get(quantity)
            for number in value if isinstance(value, tuple) else (value,):
                reason = "" if number is None else implausible(quantity, number)
                if reason:
                    place = f"{self.places[quantity]}: " if quantity in self.places else ""
                    raise GeometryError(
                        f"{name}{place}{quantity.replace('_', ' ')} {reason}; the right one can be given with "
                        f"{OPTIONS[quantity]} or a geometry file (-g)"
                    )
