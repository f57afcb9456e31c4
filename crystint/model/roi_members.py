"""The pixels of regions of interest on a detector."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError
from crystint.model.geometry import Geometry
from crystint.model.panels import rotation_matrix
from crystint.model.roi import Roi

__all__ = ["PIXEL_CONVENTION", "RoiMembers", "members_of", "phi_at", "phi_axes", "phi_convention"]

PIXEL_CONVENTION = "(slow, fast) px from the outer corner of the first pixel, whose centre is at (0.5, 0.5)"
_ON_AXIS = 1e-9
"""rad: a pixel so near to the beam has no phi of its own"""


@dataclass(frozen=True, slots=True, eq=False)
class RoiMembers:
    """The pixels of regions."""

    names: tuple[str, ...]
    shape: tuple[int, int]
    """(slow, fast)"""
    pixels: tuple[NDArray[np.uint32], ...]
    """uint32 [n] of each region: numbers slow * width + fast, ascending"""
    details: Mapping[str, dict[str, Any]]
    """by name: "pixels", how many there are; "clipped", whether some of it lies off the detector, or touches its border
    where it is azimuthal; and where it has none, "problem", why"""

    def map(self) -> NDArray[Any]:
        """uint8, 16, 32 or 64 [slow, fast]: bit i of a pixel is set where it belongs to region i."""
        bits = next(size for size in (8, 16, 32, 64) if size >= len(self.names))
        image = np.zeros(self.shape, np.dtype(f"u{bits // 8}"))
        flat = image.reshape(-1)
        for bit, pixels in enumerate(self.pixels):
            flat[pixels] |= flat.dtype.type(1 << bit)
        return image


def phi_axes(geometry: Geometry) -> tuple[tuple[float, float], tuple[float, float]]:
    """Unit vectors (slow, fast) on the detector, at the point of normal incidence, along which phi is 0 and 90."""
    if geometry.panels is not None:
        at = geometry.beam_center
        panel = min(geometry.panels, key=lambda one: not one.holds(np.array(at[0]), np.array(at[1])))
        steps = np.array([panel.slow_vector[:2], panel.fast_vector[:2]]).T
    else:
        y, x, _ = rotation_matrix(geometry.rotation)
        steps = np.array([x[:2], y[:2]]) * geometry.pixel_size
    axes = []
    for along in ((1.0, 0.0), (0.0, 1.0)):
        vector = np.linalg.solve(steps, along) if abs(np.linalg.det(steps)) > 0 else np.full(2, np.nan)
        axes.append((float(vector[0] / np.hypot(*vector)), float(vector[1] / np.hypot(*vector))))
    return axes[0], axes[1]


def phi_convention(geometry: Geometry | None) -> str:
    """What phi is, in words."""
    text = (
        "phi = atan2(y, x) in degrees from 0 to 360 of the pixel centre in the laboratory of PONI: z along the beam, x "
        "and y along fast and slow of a detector without rotations, so that phi grows from fast towards slow"
    )
    if geometry is None:
        return text
    zero, ninety = ("({:.6f}, {:.6f})".format(*axis) for axis in phi_axes(geometry))
    return f"{text}; on this detector 0 is along (slow, fast) = {zero} and 90 along {ninety}"


class _Maps:
    """q and phi of all pixels, made when they are needed."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self._q: Floats | None = None
        self._phi: Floats | None = None

    @property
    def q(self) -> Floats:
        """1/angstrom, float64 [slow, fast], NaN in no panel"""
        if self._q is None:
            self._q = self.geometry.q()
        return self._q

    @property
    def phi(self) -> Floats:
        """degrees, float64 [slow, fast], from 0 to below 360"""
        if self._phi is None:
            self._phi = _phi(*self.geometry.positions())
        return self._phi


def phi_at(geometry: Geometry, slow: ArrayLike, fast: ArrayLike) -> Floats:
    """phi, degrees from 0 to below 360, at positions in px from the outer corner; NaN in no panel."""
    return _phi(*geometry._lab(np.asarray(slow, dtype=np.float64), np.asarray(fast, dtype=np.float64)))


def _phi(x: Floats, y: Floats, z: Floats) -> Floats:
    phi = np.degrees(np.arctan2(y, x)) % 360.0
    across = np.hypot(x, y)
    # 360 is that of an angle just below 0
    return np.where((phi == 360.0) | (across <= _ON_AXIS * np.hypot(across, z)), 0.0, phi)


def members_of(
    rois: Sequence[Roi], geometry: Geometry | None, shape: tuple[int, int], *, strict: bool = True
) -> RoiMembers:
    """As `Rois.members`."""
    shape = (int(shape[0]), int(shape[1]))
    if geometry is not None and geometry.shape != shape:
        raise SettingError(f"the geometry is of {geometry.shape}, expected {shape} (slow, fast)")
    maps = None if geometry is None or geometry.wavelength is None else _Maps(geometry)
    lists, details = [], {}
    for number, roi in enumerate(rois):
        problem, clipped, pixels = None, False, np.zeros(0, np.uint32)
        if roi.type == "azimuthal" and maps is None:
            problem = "no pixels before the geometry, with a wavelength, is there"
        elif roi.type == "bitmap" and roi.parameters["shape"] != shape:
            problem = f"its bitmap is {roi.parameters['shape']}, the detector is {shape} (slow, fast)"
            if strict:
                raise SettingError(f"region {number} ({roi.name}): {problem}", f"rois.{number}.shape")
        else:
            pixels, clipped = _pixels(roi, maps, shape)
            if not len(pixels):
                problem = f"no pixel of the detector of {shape[0]} x {shape[1]} px has its centre in it"
                if strict:
                    raise SettingError(f"region {number} ({roi.name}): {problem}", f"rois.{number}")
        lists.append(pixels)
        details[roi.name] = {"pixels": len(pixels), "clipped": clipped} | ({"problem": problem} if problem else {})
    return RoiMembers(tuple(roi.name for roi in rois), shape, tuple(lists), details)


def _pixels(roi: Roi, maps: _Maps | None, shape: tuple[int, int]) -> tuple[NDArray[np.uint32], bool]:
    """Numbers of the pixels of a region, and whether it is clipped."""
    values = roi.parameters
    if roi.type == "box":
        rows, columns = ((values[f"{axis}_min"], values[f"{axis}_max"] + 1) for axis in ("slow", "fast"))
        window = _window(rows, columns, shape)
        inside = np.ones([part.stop - part.start for part in window], bool)
        return _numbers(inside, window, shape), _leaves(rows, columns, shape)
    if roi.type == "circle":
        return _circle(values["center"], values["radius"], shape)
    if roi.type == "polygon":
        return _polygon(np.array(values["corners"]), shape)
    if roi.type == "bitmap":
        return np.concatenate([np.arange(*run, dtype=np.uint32) for run in values["runs"]]), False
    assert maps is not None
    inside = _ring(values, maps)
    border = inside[0].any() or inside[-1].any() or inside[:, 0].any() or inside[:, -1].any()
    return np.flatnonzero(inside).astype(np.uint32), bool(border)


def _window(rows: tuple[int, int], columns: tuple[int, int], shape: tuple[int, int]) -> tuple[slice, slice]:
    """The part of the detector that lies in some rows and columns, both (start, stop)."""
    parts = []
    for (start, stop), size in zip((rows, columns), shape, strict=True):
        start = min(max(start, 0), size)
        parts.append(slice(start, max(min(stop, size), start)))
    return parts[0], parts[1]


def _leaves(rows: tuple[float, float], columns: tuple[float, float], shape: tuple[int, int]) -> bool:
    return any(low < 0 or high > size for (low, high), size in zip((rows, columns), shape, strict=True))


def _numbers(inside: NDArray[np.bool_], window: tuple[slice, slice], shape: tuple[int, int]) -> NDArray[np.uint32]:
    """Numbers of the pixels of a window that are inside."""
    slow, fast = np.nonzero(inside)
    return np.asarray((slow + window[0].start) * shape[1] + (fast + window[1].start), dtype=np.uint32)


def _circle(center: tuple[float, float], radius: float, shape: tuple[int, int]) -> tuple[NDArray[np.uint32], bool]:
    (slow, fast) = center
    rows, columns = ((math.floor(at - radius) - 1, math.ceil(at + radius) + 1) for at in center)
    window = _window(rows, columns, shape)
    across, along = (np.arange(part.start, part.stop) + 0.5 for part in window)
    inside = (across[:, None] - slow) ** 2 + (along[None, :] - fast) ** 2 <= radius * radius
    ends = [(at - radius, at + radius) for at in center]
    return _numbers(inside, window, shape), _leaves(ends[0], ends[1], shape)


def _polygon(corners: Floats, shape: tuple[int, int]) -> tuple[NDArray[np.uint32], bool]:
    """By the rule of even and odd: a centre is inside when an odd number of edges cross its row beyond it. An edge has
    its lower end in slow, and not its upper one; a centre on an edge is beyond it."""
    ends = [(float(part.min()), float(part.max())) for part in corners.T]
    rows, columns = ((math.floor(low), math.ceil(high) + 1) for low, high in ends)
    window = _window(rows, columns, shape)
    across, along = (np.arange(part.start, part.stop) + 0.5 for part in window)
    odd = np.zeros((len(across), len(along)), bool)
    for (slow1, fast1), (slow2, fast2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        at = np.flatnonzero((slow1 > across) != (slow2 > across))
        if slow1 > slow2:
            slow1, fast1, slow2, fast2 = slow2, fast2, slow1, fast1
        # products of half numbers are exact: centres that lie on an edge are so on every machine
        odd[at] ^= (along - fast1) * (slow2 - slow1) < ((across[at] - slow1) * (fast2 - fast1))[:, None]
    return _numbers(odd, window, shape), _leaves(ends[0], ends[1], shape)


def _ring(values: Mapping[str, Any], maps: _Maps) -> NDArray[np.bool_]:
    """bool [slow, fast]"""
    if "q_min" in values:
        low, high = values["q_min"], values["q_max"]
    else:
        low, high = 2.0 * math.pi / values["d_max"], 2.0 * math.pi / values["d_min"]
    with np.errstate(invalid="ignore"):
        inside = (maps.q >= low) & (maps.q < high)
    if "phi_min_deg" not in values or values["phi_max_deg"] - values["phi_min_deg"] >= 360.0:
        return np.asarray(inside)
    start, stop = (values[key] % 360.0 % 360.0 for key in ("phi_min_deg", "phi_max_deg"))
    from_start, to_stop = maps.phi >= start, maps.phi < stop
    return np.asarray(inside & (from_start & to_stop if start < stop else from_start | to_stop))
