"""From a geometry to rings: the ring of each pixel, its normalization, and the order that keeps a ring together."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import DTypeError, GeometryError, SettingError, ShapeError
from crystint.model.pixel_maps import by_rows
from crystint.model.rings import RingMap
from crystint.model.valid_values import ValidValues
from crystint.units import q_of

if TYPE_CHECKING:
    from crystint.model.geometry import Geometry

__all__ = ["RingLayout", "ring_layout", "ring_map"]

SAMPLE = 128
"""pixels of a ring from which clipping begins, as in kernels/ring_start.h"""
_SHARE_OF_TAILS = 4
"""a quarter of a ring at most is in its tails, or all of it counts as tail"""
_NONE = 65535
"""the ring of masked pixels"""
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
    valid: ValidValues | None = None,
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
    valid : ValidValues, optional
        Which values of the frames are measurements; None = the default of their dtype.

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
        weight *= geometry.polarization_factor()
    for what, array in (("flat", flat), ("normalization", normalization)):
        image = _image(what, array, shape)
        if image is not None:
            weight *= image
    radius, dark_image = geometry.ring_radius(), _image("dark", dark, shape)
    good = np.empty(shape, bool)

    def judge(rows: slice) -> tuple[float, float]:
        """Which pixels can be used, and the smallest and largest radius; NaN in no panel."""
        with np.errstate(invalid="ignore"):
            good[rows] = (weight[rows] > 0) & (weight[rows] < np.inf) & (bits[rows] == 0)  # NaN is neither
        good[rows] &= np.isfinite(radius[rows])
        if dark_image is not None:
            good[rows] &= np.isfinite(dark_image[rows])
        return float(np.fmin.reduce(radius[rows], axis=None)), float(np.fmax.reduce(radius[rows], axis=None))

    ends = np.array(by_rows(shape, judge))
    lowest, highest = float(np.nanmin(ends[:, 0])), float(np.nanmax(ends[:, 1]))
    if not good.any():
        raise GeometryError("no usable pixel is left: the mask, or the normalization, excludes all of the frame")
    width = (highest - lowest) / rings or max(highest, 1.0)
    position, used = np.empty(shape, np.float32), np.empty(shape, np.float32)

    def place(rows: slice) -> None:
        """Position and normalization of the pixels."""
        here = radius[rows]
        for step, by in ((np.subtract, lowest), (np.divide, width), (np.subtract, 0.5)):
            step(here, by, out=here)  # in place: fresh memory costs more than arithmetic
        position[rows], used[rows] = here, weight[rows]
        for image, value in ((position, np.nan), (used, 1.0)):
            np.copyto(image[rows], value, where=~good[rows])

    by_rows(shape, place)
    centre = np.asarray(lowest + (np.arange(rings) + 0.5) * width, dtype=np.float64)
    wavelength = geometry.wavelength
    q = np.full(rings, np.nan)
    if wavelength is not None:
        q = q_of(geometry.ring_two_theta(centre), wavelength)
    bits[(bits == 0) & ~good] |= np.uint32(2)  # NXmx bit 1: dead
    return RingMap(
        position,
        used,
        bits,
        centre,
        np.asarray(q, dtype=np.float64),
        None if dark_image is None else np.where(np.isfinite(dark_image), dark_image, 0.0).astype(np.float32),
        _Recipe(geometry, rings, solid_angle, dark is not None, flat is not None or normalization is not None, valid),
        valid,
    )


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How to make a ring map in another process: a `RingRecipe`.

    The mask of a map has all the pixels without a usable normalization, dark count or radius.
    """

    geometry: Geometry
    rings: int
    solid_angle: bool
    has_dark: bool
    has_images: bool
    """whether the normalization is more than follows from the geometry"""
    valid: ValidValues | None

    @property
    def parts(self) -> tuple[str, ...]:
        return "mask", *["dark"] * self.has_dark, *["weight"] * self.has_images

    def __call__(self, parts: Mapping[str, NDArray[Any]]) -> RingMap:
        use: Any = {"solid_angle": self.solid_angle, "valid": self.valid}
        rings = ring_map(self.geometry, parts["mask"], self.rings, dark=parts.get("dark"), **use)
        return replace(rings, weight=parts.get("weight", rings.weight), recipe=self)


@dataclass(frozen=True, slots=True, eq=False)
class RingLayout:
    """The order in which kernels read the pixels of a frame: see kernels/ring_statistics.cl for each array."""

    order: NDArray[np.int32]
    segment: NDArray[np.int32]
    weight: NDArray[np.float32]
    dark: NDArray[np.float32]
    sample_pixel: NDArray[np.int32]
    sample_value: NDArray[np.float32]
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
    n, width = rings.rings, rings.shape[1]
    group = max(1, min(group, n))
    bands, groups = -(-rings.shape[0] // rows), -(-n // group)
    shape, cells = (bands, groups, group), groups * group
    positions, weights = rings.position.ravel(), rings.weight.ravel()
    count = np.zeros((bands, cells), np.int64)

    def sort(band: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The pixels of a band by ring and number, and (group, band, cache line) of those that it touches."""
        begin = band * rows * width
        here = positions[begin : begin + rows * width]
        with np.errstate(invalid="ignore"):
            ring = np.clip((here + np.float32(0.5)).astype(np.int32), 0, n - 1).astype(np.uint16)
        ring[np.isnan(here)] = _NONE
        used = np.bincount(ring, minlength=_NONE)[:_NONE]
        count[band, : len(used)] = used[:cells]
        by = np.argsort(ring, kind="stable")[: used.sum()].astype(np.int32) + np.int32(begin)
        good = np.flatnonzero(ring != _NONE)
        line = ((ring[good] // np.uint16(group)).astype(np.int64) * bands + band) << 32 | (good + begin) // _LINE
        return by, line[np.diff(line, prepend=-1) != 0]

    with ThreadPoolExecutor() as pool:  # each band stays in cache, and NumPy lets go of the interpreter
        by_ring, lines = zip(*pool.map(sort, range(bands)))
        padded = -(-count // lanes) * lanes
        segment = _starts(padded.reshape(shape).transpose(1, 0, 2).ravel())
        begins = segment[:-1].reshape(groups, bands, group).transpose(1, 0, 2).reshape(bands, cells)
        order, weight = np.full(segment[-1], -1, np.int32), np.full(segment[-1], np.nan, np.float32)
        dark = np.zeros(1 if rings.dark is None else len(order), np.float32)

        def put(band: int) -> NDArray[np.float64]:
            """Put the pixels of a band where they belong.

            Returns sum, maximum and minimum of the normalization, float64 [3, cells].
            """
            by, first = by_ring[band], _starts(count[band])[:-1]
            at = np.arange(len(by)) + np.repeat(begins[band] - first, count[band])
            order[at] = by
            weight[at] = mine = weights[by]
            if rings.dark is not None:
                dark[at] = rings.dark.ravel()[by]
            about = np.tile([[0.0], [-np.inf], [np.inf]], cells)
            some = np.flatnonzero(count[band])
            if len(some):
                about[0, some] = np.add.reduceat(mine, first[some], dtype=np.float64)
                about[1, some] = np.maximum.reduceat(mine, first[some])
                about[2, some] = np.minimum.reduceat(mine, first[some])
            return about

        total, heaviest, lightest = np.stack(list(pool.map(put, range(bands)))).transpose(1, 0, 2)[:, :, :n]

    filler = order[np.argmax(order >= 0)]
    order[order < 0] = filler
    length = count[:, :n].sum(axis=0)
    about = np.ones((n, 4), np.float32)
    some = length > 0
    about[some, 0] = total.sum(axis=0)[some] / length[some]
    about[some, 1], about[some, 2] = heaviest.max(axis=0)[some], lightest.min(axis=0)[some]
    about[:, 3] = length
    rounds = -(-length // (lanes * local_size))
    room = np.minimum(rounds, rounds // _SHARE_OF_TAILS + 8) * lanes * local_size
    run = segment[::group]
    padding = np.flatnonzero((padded > count).reshape(shape).any(axis=2).T.ravel())
    line = np.sort(np.concatenate([*lines, padding << 32 | filler // _LINE]))
    line = line[np.diff(line, prepend=-1) != 0]
    at = _samples(count[:, :n], begins[:, :n])
    sample = np.where(at < 0, -1, order[at])
    return RingLayout(
        order,
        segment.astype(np.int32),
        weight,
        dark,
        sample,
        np.stack(
            [weights[sample], np.zeros_like(weights[sample]) if rings.dark is None else rings.dark.ravel()[sample]], 2
        ),
        about,
        _starts(room).astype(np.int32),
        np.searchsorted(line >> 32, np.arange(len(run))).astype(np.int32),
        ((line & 0xFFFFFFFF) * _LINE).astype(np.int32),
        group,
        bands,
    )


def _starts(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Where the parts of a list begin, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _samples(count: NDArray[np.int64], begins: NDArray[np.int64]) -> NDArray[np.int32]:
    """int32 [rings, SAMPLE]: places of pixels spread evenly over each ring; of small rings all, and then -1.

    Parameters
    ----------
    count, begins : int64 [bands, rings]
        Pixels of a ring in each band, and the place of the first.
    """
    length, i = count.sum(axis=0)[:, None], np.arange(SAMPLE)
    chosen = np.where(length > SAMPLE, i * length // SAMPLE, i)
    per_cell = count.T.ravel()  # ring after ring, band after band
    ends = np.cumsum(per_cell)
    number = np.minimum(_starts(length[:, 0])[:-1, None] + chosen, ends[-1] - 1)
    cell = np.searchsorted(ends, number, side="right")
    places = begins.T.ravel()[cell] + number - (ends - per_cell)[cell]
    return np.where(chosen < length, places, -1).astype(np.int32)
