"""A region of interest: which pixels of a detector are summed up together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.errors import SettingError
from crystint.model.roi_shapes import checked

__all__ = ["Roi", "RoiType"]

RoiType = Literal["box", "circle", "azimuthal", "polygon", "bitmap"]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_RESERVED = (".", "..", "roi_map", "json", "history")
"""names that a file needs for other things"""


@dataclass(frozen=True)
class Roi:
    """A region of interest. A pixel belongs to it by its centre alone, which is at (0.5, 0.5) in the first pixel.

    There is a class method for each type: `box`, `circle`, `azimuthal`, `polygon` and `bitmap`.

    Raises
    ------
    SettingError
        When the name or a parameter cannot be; its `field` is that of the document.

    Examples
    --------
    >>> from crystint import Roi
    >>> Roi.box("beam", slow=(500, 520), fast=(500, 519)).to_dict()["slow_max"]
    520
    >>> Roi.azimuthal("powder", q_min=1.5, q_max=1.7, phi_min_deg=350, phi_max_deg=10).type
    'azimuthal'
    """

    name: str
    """1 to 64 of the characters A-Z a-z 0-9 _ . -"""
    type: RoiType
    """box, circle, azimuthal, polygon or bitmap"""
    parameters: Mapping[str, Any] = field(hash=False)
    """of its type, as in the document; sequences are tuples"""

    def __post_init__(self) -> None:
        name = self.name
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _RESERVED:
            reserved = f"; {name} is taken" if name in _RESERVED and name.strip(".") else ""
            raise SettingError(
                f"name is {name!r}, expected 1 to 64 of the characters A-Z a-z 0-9 _ . -{reserved}", "name"
            )
        if self.type not in get_args(RoiType):
            raise SettingError(f"type is {self.type!r}, expected one of {', '.join(get_args(RoiType))}", "type")
        object.__setattr__(self, "parameters", checked(self.type, self.parameters))

    @classmethod
    def box(cls, name: str, *, slow: tuple[int, int], fast: tuple[int, int]) -> Self:
        """Rows slow[0] to slow[1] and columns fast[0] to fast[1], both ends among them."""
        ends = {f"{axis}_{end}": at for axis, both in (("slow", slow), ("fast", fast)) for end, at in _ends(axis, both)}
        return cls(name, "box", ends)

    @classmethod
    def circle(cls, name: str, *, center: tuple[float, float], radius: float) -> Self:
        """All pixels at most `radius` px from `center`, (slow, fast) px."""
        return cls(name, "circle", {"center": center, "radius": radius})

    @classmethod
    def azimuthal(
        cls, name: str, *, q_min: float | None = None, q_max: float | None = None, d_min: float | None = None,
        d_max: float | None = None, phi_min_deg: float | None = None, phi_max_deg: float | None = None,
    ) -> Self:  # fmt: skip
        """A ring, or a sector of it: q_min <= q < q_max in 1/angstrom, or d_min < d <= d_max in angstrom, and
        phi_min_deg <= phi < phi_max_deg modulo 360.

        phi = atan2(y, x) of the laboratory, see `Geometry`: without rotations 0 is along fast, and 90 along slow. A
        phi_min_deg above phi_max_deg wraps through 0; 360 degrees and more are the whole ring.
        """
        values = {"q_min": q_min, "q_max": q_max, "d_min": d_min, "d_max": d_max}
        values |= {"phi_min_deg": phi_min_deg, "phi_max_deg": phi_max_deg}
        return cls(name, "azimuthal", {key: value for key, value in values.items() if value is not None})

    @classmethod
    def polygon(cls, name: str, corners: ArrayLike) -> Self:
        """Inside of the corners, (slow, fast) px each; where it crosses itself by the rule of even and odd."""
        return cls(name, "polygon", {"corners": np.asarray(corners, dtype=object).tolist()})

    @classmethod
    def bitmap(cls, name: str, image: ArrayLike) -> Self:
        """The pixels of an image [slow, fast] that are not 0."""
        pixels = np.asarray(image)
        if pixels.ndim != 2 or pixels.dtype.kind not in "biuf":
            raise SettingError(f"image is {pixels.dtype} of {pixels.shape}, expected numbers (slow, fast)", "image")
        return cls.of_pixels(name, np.flatnonzero(pixels), (pixels.shape[0], pixels.shape[1]))

    @classmethod
    def of_pixels(cls, name: str, pixels: NDArray[np.integer[Any]], shape: tuple[int, int]) -> Self:
        """A bitmap of pixels by their numbers (slow * width + fast), int [n] ascending."""
        numbers = np.asarray(pixels, dtype=np.int64)
        cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
        starts = numbers[np.r_[0, cuts]] if len(numbers) else numbers
        stops = numbers[np.r_[cuts - 1, -1]] + 1 if len(numbers) else numbers
        runs = tuple(zip(starts.tolist(), stops.tolist(), strict=True))
        return cls(name, "bitmap", {"shape": tuple(shape), "runs": runs})

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values, lengths in px, q in 1/angstrom, d in angstrom; `from_dict` is the inverse."""
        return {"name": self.name, "type": self.type, **{key: _listed(value) for key, value in self.parameters.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a region from what `to_dict` gave.

        Raises
        ------
        SettingError
            When a key is missing or unknown, or a value is impossible.
        """
        if not isinstance(values, Mapping):
            raise SettingError(f"a region is {values!r:.60}, expected a map with a name, a type and its parameters")
        for key in ("name", "type"):
            if key not in values:
                raise SettingError(f"{key} is missing", key)
        return cls(values["name"], values["type"], {key: values[key] for key in values if key not in ("name", "type")})


def _ends(axis: str, both: Any) -> Iterator[tuple[str, Any]]:
    try:
        low, high = both
    except (TypeError, ValueError):
        raise SettingError(f"{axis} is {both!r}, expected two pixel numbers, the first and the last", axis) from None
    yield from (("min", low), ("max", high))


def _listed(value: Any) -> Any:
    """Tuples as lists."""
    return [_listed(each) for each in value] if isinstance(value, tuple) else value
