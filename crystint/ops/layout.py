"""From a geometry to rings: the ring of each pixel, its normalization, and the order that keeps a ring together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import DTypeError, GeometryError, SettingError, ShapeError
from crystint.model.rings import RingMap
from crystint.units import q_of

if TYPE_CHECKING:
    from crystint.model.geometry import Geometry

__all__ = ["ring_map", "ring_order"]


def _image(what: str, array: NDArray[Any] | None, shape: tuple[int, int]) -> NDArray[np.float64] | None:
    """A calibration image as float64, checked."""
    if array is None:
        return None
    array = np.asarray(array)
    if array.shape != shape:
        hint = "; it looks transposed" if array.shape == shape[::-1] else ""
        raise ShapeError(f"{what} is {array.shape}, the geometry {shape} (slow, fast){hint}")
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"{what} is {array.dtype}, expected real numbers")
    return array.astype(np.float64)


def ring_map(
    geometry: Geometry,
    mask: NDArray[Any] | None = None,
    rings: int = 1000,
    *,
    dark: NDArray[Any] | None = None,
    flat: NDArray[Any] | None = None,
    normalization: NDArray[Any] | None = None,
    solid_angle: bool = True,
) -> RingMap:
    """Divide a detector into rings of equal width.

    The rings reach from the smallest to the largest radius of any pixel of the detector, masked or not, so that they
    depend on the geometry alone. The normalization is the product of solid angle (1 at normal incidence), polarization
    (when the geometry has one), flat and the user's normalization; a pixel where it is not a positive number is masked.

    Parameters
    ----------
    mask : integer or bool [slow, fast]
        Nonzero = masked.
    rings : int
    dark, flat, normalization : real [slow, fast]
        Dark counts, relative efficiency, and any further factor on the expected counts.

    Raises
    ------
    SettingError, ShapeError, DTypeError, GeometryError
        For impossible numbers and images; GeometryError when no usable pixel is left.
    """
    from crystint.model.mask import combine_masks

    if isinstance(rings, bool) or not isinstance(rings, int | np.integer) or not 1 <= rings <= 65534:
        raise SettingError(f"rings is {rings!r}, expected a whole number from 1 to 65534")
    shape = geometry.shape
    bits = combine_masks(mask, shape=shape)
    weight = geometry.solid_angle() if solid_angle else np.ones(shape)
    if geometry.polarization is not None:
        weight = weight * geometry.polarization_factor()
    for what, array in (("flat", flat), ("normalization", normalization)):
        image = _image(what, array, shape)
        if image is not None:
            weight = weight * image
    radius = geometry.ring_radius()
    on_panel = np.isfinite(radius)
    with np.errstate(invalid="ignore"):
        good = (bits == 0) & on_panel & np.isfinite(weight) & (weight > 0)
    dark_image = _image("dark", dark, shape)
    if dark_image is not None:
        good &= np.isfinite(dark_image)
    if not good.any():
        raise GeometryError("no usable pixel is left: the mask, or the normalization, excludes all of the frame")
    lowest, highest = float(radius[on_panel].min()), float(radius[on_panel].max())
    width = (highest - lowest) / rings or max(highest, 1.0)
    position = np.where(good, (radius - lowest) / width - 0.5, np.nan)
    centre = np.asarray(lowest + (np.arange(rings) + 0.5) * width, dtype=np.float64)
    wavelength = geometry.wavelength
    q = np.full(rings, np.nan)
    if wavelength is not None:
        q = q_of(geometry.ring_two_theta(centre), wavelength)
    bits = bits.copy()
    bits[(bits == 0) & ~good] |= np.uint32(2)  # NXmx bit 1: dead
    return RingMap(
        position.astype(np.float32),
        np.where(good, weight, 1.0).astype(np.float32),
        bits,
        centre,
        np.asarray(q, dtype=np.float64),
        None if dark_image is None else np.where(np.isfinite(dark_image), dark_image, 0.0).astype(np.float32),
    )


def ring_order(rings: RingMap, lanes: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pixel numbers ring after ring, ascending inside a ring, each ring padded with -1 to a multiple of `lanes`.

    Returns
    -------
    order : int32 [padded]
    start : int32 [rings + 1]
        Ring r owns ``order[start[r]:start[r + 1]]``; a ring without pixels owns nothing.
    """
    place = rings.position.ravel()
    pixels = np.flatnonzero(np.isfinite(place))
    number = np.clip(np.floor(place[pixels] + np.float32(0.5)), 0, rings.rings - 1).astype(np.uint16)
    by_ring = np.argsort(number, kind="stable")
    count = np.bincount(number, minlength=rings.rings)
    padded = -(-count // lanes) * lanes
    start = np.concatenate([[0], np.cumsum(padded)])
    shift = start[:-1] - np.concatenate([[0], np.cumsum(count)])[:-1]
    order = np.full(start[-1], -1, dtype=np.int32)
    sorted_number = number[by_ring]
    order[np.arange(len(pixels)) + shift[sorted_number]] = pixels[by_ring]
    return order, start.astype(np.int32)
