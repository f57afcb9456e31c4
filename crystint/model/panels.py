"""The pieces under a geometry: flat panels, the rotation of PONI, and the checks of what a caller gives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError
from crystint.model.plausible import Quantity, implausible

__all__ = ["Panel", "beam_at", "check_geometry", "check_panels", "farther", "moved", "rotation_matrix"]

_Vector = tuple[float, float, float]
_EDGE_ON = math.sin(math.radians(1.0))
"""sine of the smallest angle under which the sample sees a detector"""


@dataclass(frozen=True)
class Panel:
    """A flat piece of a detector: which pixels of the frame it owns, and where they are in the laboratory.

    The laboratory is PONI's: x, y, z = pyFAI's t2, t1, t3; z is along the beam.

    Raises
    ------
    GeometryError
        When a range is empty or a vector is not three finite numbers.

    Examples
    --------
    >>> import crystint
    >>> panel = crystint.Panel((0, 100), (0, 110), (-5e-3, -5e-3, 0.1), (0.0, 1e-4, 0.0), (1e-4, 0.0, 0.0))
    >>> panel.slow, panel.origin[2]
    ((0, 100), 0.1)
    """

    slow: tuple[int, int]
    """(start, stop) pixels"""
    fast: tuple[int, int]
    """(start, stop) pixels"""
    origin: _Vector
    """(x, y, z) of the outer corner of the panel's first pixel, m"""
    slow_vector: _Vector
    """(x, y, z) of one step along slow, m per px"""
    fast_vector: _Vector
    """(x, y, z) of one step along fast, m per px"""

    def __post_init__(self) -> None:
        for name in ("slow", "fast"):
            start, stop = (int(value) for value in getattr(self, name))
            if not 0 <= start < stop:
                raise GeometryError(f"panel: {name} is ({start}, {stop}), expected 0 <= start < stop")
            object.__setattr__(self, name, (start, stop))
        for name in ("origin", "slow_vector", "fast_vector"):
            object.__setattr__(self, name, _numbers(f"panel: {name}", getattr(self, name), 3))
        area = np.cross(self.slow_vector, self.fast_vector)
        if not np.any(area):
            raise GeometryError("panel: slow_vector and fast_vector are parallel or zero")

    @property
    def slices(self) -> tuple[slice, slice]:
        """Where the panel lies in the frame."""
        return slice(*self.slow), slice(*self.fast)

    def holds(self, slow: NDArray[np.float64], fast: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which positions, px, lie in the panel."""
        inside = (slow >= self.slow[0]) & (slow < self.slow[1])
        return np.asarray(inside & (fast >= self.fast[0]) & (fast < self.fast[1]))

    def lab(self, slow: NDArray[np.float64], fast: NDArray[np.float64]) -> NDArray[np.float64]:
        """x, y, z in m of positions in px of the frame; float64 [3, ...]."""
        slow, fast = slow - self.slow[0], fast - self.fast[0]
        return np.stack(
            [o + s * slow + f * fast for o, s, f in zip(self.origin, self.slow_vector, self.fast_vector, strict=True)]
        )

    def to_dict(self) -> dict[str, Any]:
        """All fields as lists."""
        return {field.name: list(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a panel from what `to_dict` gave."""
        return cls(**{name: tuple(value) for name, value in values.items()})


def farther(panels: Sequence[Panel], shift: float) -> tuple[Panel, ...]:
    """Panels moved along the beam by `shift` m."""
    return moved(panels, np.array([0.0, 0.0, shift]))


def beam_at(panels: Sequence[Panel], beam: tuple[float, float]) -> tuple[Panel, ...]:
    """Panels moved across the beam, which then meets them at (slow, fast) px, or there in the plane of the nearest."""
    slow, fast = beam

    def beside(panel: Panel) -> float:
        return math.hypot(
            *(max(low - at, 0.0, at - high) for at, (low, high) in ((slow, panel.slow), (fast, panel.fast)))
        )

    place = min(panels, key=beside).lab(np.array(slow), np.array(fast))
    return moved(panels, place * np.array([-1.0, -1.0, 0.0]))


def moved(panels: Sequence[Panel], shift: NDArray[np.float64]) -> tuple[Panel, ...]:
    """Panels moved by x, y, z, m."""
    return tuple(replace(panel, origin=tuple(np.array(panel.origin) + shift)) for panel in panels)


def rotation_matrix(rotation: _Vector) -> NDArray[np.float64]:
    """PONI's rotation R3 R2 R1; float64 [3, 3], rows and columns in the order of its axes 1, 2, 3 (y, x,
    z)."""
    (s1, s2, s3), (c1, c2, c3) = np.sin(rotation), np.cos(rotation)
    about1 = np.array([[1, 0, 0], [0, c1, s1], [0, -s1, c1]])
    about2 = np.array([[c2, 0, -s2], [0, 1, 0], [s2, 0, c2]])
    about3 = np.array([[c3, -s3, 0], [s3, c3, 0], [0, 0, 1]])
    return np.asarray(about3 @ about2 @ about1)


def _numbers(name: str, raw: Any, count: int) -> tuple[float, ...]:
    """`raw` as `count` finite floats."""
    try:
        values = tuple(float(value) for value in raw)
    except (TypeError, ValueError):
        values = ()
    if len(values) != count or not all(math.isfinite(value) for value in values):
        raise GeometryError(f"{name} is {raw!r}, expected {count} finite numbers")
    return values


def _plausible(name: str, quantity: Quantity, *values: float) -> None:
    """Raise where one of the values cannot be."""
    for value in values:
        reason = implausible(quantity, value)
        if reason:
            raise GeometryError(f"{name} {reason}")


def _scalar(name: str, raw: Any, quantity: Quantity) -> float:
    """`raw` as a float that can be."""
    try:
        value = float(raw)
    except (TypeError, ValueError):
        raise GeometryError(f"{name} is {raw!r}, expected a number above 0") from None
    _plausible(name, quantity, value)
    return value


def check_panels(panels: Sequence[Panel], shape: tuple[int, int]) -> None:
    """Raise unless every panel lies in the frame, at a place and with pixels that can be, and faces the sample.

    Raises
    ------
    GeometryError
        Naming the panel by its part of the frame.
    """
    for panel in panels:
        name = f"panel slow {panel.slow}, fast {panel.fast}"
        if panel.slow[1] > shape[0] or panel.fast[1] > shape[1]:
            raise GeometryError(f"{name} leaves the frame of {shape[0]} x {shape[1]} pixels")
        middle = panel.lab(np.array(0.5 * sum(panel.slow)), np.array(0.5 * sum(panel.fast)))
        far = float(np.linalg.norm(middle))
        _plausible(f"{name}: its distance", "distance", far)
        steps = np.array(panel.slow_vector), np.array(panel.fast_vector)
        _plausible(f"{name}: its pixel size", "pixel_size", *(float(np.linalg.norm(step)) for step in steps))
        normal = np.cross(*steps)
        _face(name, abs(float(normal @ middle)) / float(np.linalg.norm(normal)) / far)


def _face(name: str, sine: float) -> None:
    if sine < _EDGE_ON:
        raise GeometryError(
            f"{name} is seen edge-on from the sample (under {math.degrees(math.asin(sine)):.2g} degrees); "
            "check its distance, its beam centre and its axes"
        )


def check_geometry(geometry: Any) -> dict[str, Any]:
    """The fields of a geometry as plain Python numbers.

    Raises
    ------
    GeometryError
        When a value is impossible; the message names the field.
    """
    fields: dict[str, Any] = {}
    try:
        shape = tuple(geometry.shape)
        whole = tuple(int(value) for value in shape)
    except (TypeError, ValueError):
        shape, whole = (), ()
    if len(whole) != 2 or whole != shape or min(whole) < 1:
        raise GeometryError(f"shape is {geometry.shape!r}, expected two whole numbers above 0, (slow, fast) pixels")
    fields["shape"] = whole
    fields["pixel_size"] = _numbers("pixel_size", geometry.pixel_size, 2)
    _plausible("pixel_size", "pixel_size", *fields["pixel_size"])
    fields["distance"] = _scalar("distance", geometry.distance, "distance")
    fields["beam_center"] = _numbers("beam_center", geometry.beam_center, 2)
    fields["rotation"] = _numbers("rotation", geometry.rotation, 3)
    _plausible("rotation", "rotation", *fields["rotation"])
    if geometry.wavelength is not None:
        fields["wavelength"] = _scalar("wavelength", geometry.wavelength, "wavelength")
    if geometry.polarization is not None:
        (fields["polarization"],) = _numbers("polarization", (geometry.polarization,), 1)
        if abs(fields["polarization"]) > 1.0:
            raise GeometryError(f"polarization is {geometry.polarization!r}, expected a number from -1 to 1")
    if geometry.panels is not None:
        fields["panels"] = panels = tuple(geometry.panels)
        if not panels:
            raise GeometryError("panels is empty, expected at least one panel, or None for one flat detector")
        check_panels(panels, whole)
        return fields
    aside = [p * (0.5 * n - c) for p, n, c in zip(fields["pixel_size"], whole, fields["beam_center"], strict=True)]
    _face("the detector", fields["distance"] / math.hypot(fields["distance"], *aside))
    return fields
