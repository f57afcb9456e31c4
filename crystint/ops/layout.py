"""From a geometry to rings: the ring of each pixel, its normalization, and the order that keeps a ring together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import DTypeError, GeometryError, SettingError, ShapeError
from crystint.model.rings import RingMap
from crystint.units import q_of

if TYPE_CHECKING:
    from crystint.model.geometry import Geometry

__all__ = ["RingLayout", "ring_layout", "ring_map"]

SAMPLE = 128
"""pixels of a ring from which clipping begins, as in kernels/ring_start.h"""
_SHARE_OF_TAILS = 4
"""a quarter of a ring at most is in its tails, or all of it counts as tail"""
_LINE = 16
"""pixels of a cache line, of those with four bytes"""


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


@dataclass(frozen=True, slots=True, eq=False)
class RingLayout:
    """The order in which kernels read the pixels of a frame: see kernels/ring_statistics.cl for each array."""

    order: NDArray[np.int32]
    segment: NDArray[np.int32]
    weight: NDArray[np.float32]
    dark: NDArray[np.float32]
    sample_at: NDArray[np.int32]
    about: NDArray[np.float32]
    room: NDArray[np.int32]
    run: NDArray[np.int32]
    line: NDArray[np.int32]
    group: int
    """rings of a work-group"""
    bands: int
    """bands of rows in which they are read"""

    @property
    def groups(self) -> int:
        """Work-groups."""
        return (len(self.run) - 1) // self.bands


def ring_layout(rings: RingMap, lanes: int, local_size: int, group: int, rows: int) -> RingLayout:
    """Order the pixels by group of `group` rings, band of `rows` rows, ring, and number.

    Each such segment is padded to a multiple of `lanes` with a pixel of normalization NaN.
    """
    n = rings.rings
    group = max(1, min(group, n))
    bands, groups = -(-rings.shape[0] // rows), -(-n // group)
    place = rings.position.ravel()
    pixels = np.flatnonzero(np.isfinite(place)).astype(np.int32)
    ring = np.clip(np.floor(place[pixels] + np.float32(0.5)), 0, n - 1).astype(np.uint16)
    band = (pixels // (rings.shape[1] * rows)).astype(np.uint32)
    block = (ring // np.uint16(group)).astype(np.uint32) * np.uint32(bands) + band
    within = ring % np.uint16(group)
    block = block.astype(np.uint16) if groups * bands < 2**16 else block
    by = np.argsort(within, kind="stable")  # least significant key first: each sort is a quick one
    by = by[np.argsort(block[by], kind="stable")]
    pixels, ring = pixels[by], ring[by]
    part = block[by].astype(np.int64) * group + within[by]
    count = np.bincount(part, minlength=groups * bands * group)
    padded = -(-count // lanes) * lanes
    segment = _starts(padded)
    at = np.arange(len(pixels)) + (segment[:-1] - _starts(count)[:-1])[part]
    order = np.full(segment[-1], pixels[0], np.int32)
    order[at] = pixels
    weight = np.full(len(order), np.nan, np.float32)
    weight[at] = rings.weight.ravel()[pixels]
    dark = np.zeros(1, np.float32)
    if rings.dark is not None:
        dark = np.zeros(len(order), np.float32)
        dark[at] = rings.dark.ravel()[pixels]

    length = np.bincount(ring, minlength=n)
    first = _starts(length)
    by_ring = np.argsort(ring, kind="stable")
    rounds = -(-length // (lanes * local_size))
    room = np.minimum(rounds, rounds // _SHARE_OF_TAILS + 8) * lanes * local_size
    run = segment[::group]
    whose = np.repeat(np.arange(len(run) - 1), np.diff(run))
    line = np.unique(whose.astype(np.int64) << 32 | order // _LINE)
    return RingLayout(
        order,
        segment.astype(np.int32),
        weight,
        dark,
        _samples(at[by_ring], first),
        _about(rings.weight.ravel()[pixels[by_ring]], first),
        _starts(room).astype(np.int32),
        np.searchsorted(line >> 32, np.arange(len(run))).astype(np.int32),
        ((line & 0xFFFFFFFF) * _LINE).astype(np.int32),
        group,
        bands,
    )


def _starts(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Where the parts of a list begin, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _samples(at: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.int32]:
    """int32 [rings, SAMPLE]: places of pixels spread evenly over each ring; of small rings all, and then -1."""
    length, i = np.diff(first)[:, None], np.arange(SAMPLE)
    chosen = np.where(length > SAMPLE, i * length // SAMPLE, i)
    found = at[np.minimum(first[:-1, None] + chosen, len(at) - 1)]
    return np.where(chosen < length, found, -1).astype(np.int32)


def _about(weight: NDArray[np.float32], first: NDArray[np.int64]) -> NDArray[np.float32]:
    """float32 [rings, 4]: mean, largest and smallest normalization, and number of pixels, of each ring."""
    about = np.ones((len(first) - 1, 4), np.float32)
    length = np.diff(first)
    some, begins = length > 0, first[:-1][length > 0]
    about[some, 0] = np.add.reduceat(weight, begins, dtype=np.float64) / length[some]
    about[some, 1], about[some, 2] = np.maximum.reduceat(weight, begins), np.minimum.reduceat(weight, begins)
    about[:, 3] = length
    return about
