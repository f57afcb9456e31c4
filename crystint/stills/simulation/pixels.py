"""Pixels of simulated stills: shoeboxes about reflections, and whole frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from crystint.arrays import Floats
from crystint.errors import DTypeError
from crystint.model.mask import marker
from crystint.stills.simulation.forward import Truth, attenuated_depth
from crystint.stills.simulation.scene import Scene

__all__ = ["SIDE", "Shoeboxes", "make_frame", "make_shoeboxes", "profiles"]

SIDE = 13
_HALF = SIDE // 2
_REACH = 9
"""Pixels about a spot that it is drawn in, in whole frames."""
_CHUNK = 8192
_BOXES, _FRAME = 22, 23
_ZINGER = 500.0


@dataclass(frozen=True, eq=False)
class Shoeboxes:
    """Pixels about reflections, and pixels of their backgrounds."""

    counts: NDArray[Any]
    """dtype [n, 13, 13]: slow, fast"""
    usable: NDArray[np.bool_]
    """bool [n, 13, 13]: False in gaps, beyond the border, and at or above saturation"""
    slow: NDArray[np.int32]
    """int32 [n]: of the first pixel"""
    fast: NDArray[np.int32]
    """int32 [n]"""
    ring: NDArray[Any]
    """dtype [n, ring_pixels]: pixels without a signal"""
    crowded: NDArray[np.bool_]
    """bool [n]: a neighbour is so near that its spot may reach in"""


def profiles(data: Scene, truth: Truth, slow: NDArray[Any], fast: NDArray[Any], side: int) -> Floats:
    """The profiles of reflections, unnormalised, in boxes of `side` pixels that begin at (slow, fast); [n, side, side].

    With the place x of a pixel and orthonormal e, e' across the ray, the tangential offset is
    |s0 + r| (x.e, x.e') / |x|: products of a column and a row but for |x|.
    """
    s = data.settings
    panel = s.detector.panels[0]
    origin, along_slow, along_fast = (np.array(v) for v in (panel.origin, panel.slow_vector, panel.fast_vector))
    ray = truth.ray
    across = np.stack([-ray[:, 1], ray[:, 0], np.zeros(len(ray))], axis=1)
    size = np.linalg.norm(across, axis=1)[:, None]
    across = np.where(size > 1e-9, across / np.maximum(size, 1e-300), np.array([1.0, 0.0, 0.0]))
    radial = np.cross(across, ray)
    length = 1.0 / data.wavelengths[truth.image] + truth.excitation
    width = s.spot_width(truth.d)
    depth = attenuated_depth(s.thickness, s.attenuation, np.abs(ray[:, 2]))
    heights: Floats = np.zeros((len(truth), side, side))
    steps = (np.arange(s.oversampling) + 0.5) / s.oversampling
    for down in steps:
        for right in steps:
            rows = slow[:, None] + np.arange(side) + down
            columns = fast[:, None] + np.arange(side) + right
            square: Floats | float = 0.0
            exponent: Floats | float = 0.0
            for axis in range(3):
                place_r = origin[axis] - depth[:, None] * ray[:, axis, None] + rows * along_slow[axis]
                place_c = columns * along_fast[axis]
                square = square + (place_r[:, :, None] + place_c[:, None, :]) ** 2
            for direction, scale in ((radial, s.spot_ratio**0.5), (across, s.spot_ratio**-0.5)):
                factor = (length / (width * scale))[:, None]
                start = (direction @ origin) - depth * np.einsum("ij,ij->i", ray, direction)
                part_r = factor * (start[:, None] + rows * (direction @ along_slow)[:, None])
                part_c = factor * (columns * (direction @ along_fast)[:, None])
                exponent = exponent + (part_r[:, :, None] + part_c[:, None, :]) ** 2
            heights += np.exp(-exponent / square)
    return heights / s.oversampling**2


def make_shoeboxes(data: Scene, everything: Truth, dtype: Any = np.uint16, neighbours: bool = True) -> Shoeboxes:
    """Boxes of the listed reflections: Poisson numbers of background + J P, P summing to 1 in the box."""
    dtype = _dtype(dtype)
    s = data.settings
    rows = np.flatnonzero(everything.listed)
    corner = [np.floor(values).astype(np.int32) - _HALF for values in (everything.slow, everything.fast)]
    counts = np.empty((len(rows), SIDE, SIDE), dtype)
    usable = np.empty(counts.shape, bool)
    ring = np.empty((len(rows), s.ring_pixels), dtype)
    crowded = np.zeros(len(rows), bool)
    good = np.pad(s.mask == 0, SIDE + 1)
    strangers, owner = _neighbours(data, everything, rows) if neighbours else (np.zeros(0, int), np.zeros(0, int))
    crowded[owner] = True
    scale = np.empty(len(everything))
    for start in range(0, len(everything), _CHUNK):
        part = np.arange(start, min(start + _CHUNK, len(everything)))
        if neighbours or everything.listed[part].any():
            box = profiles(data, everything.select(part), corner[0][part], corner[1][part], SIDE)
            scale[part] = everything.signal[part] / box.sum(axis=(1, 2))
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        here = slice(start, start + len(part))
        mean = profiles(data, everything.select(part), corner[0][part], corner[1][part], SIDE)
        mean *= scale[part][:, None, None]
        mean += everything.background[part][:, None, None]
        low, high = np.searchsorted(owner, [start, start + len(part)])
        if high > low:
            stranger, host = strangers[low:high], owner[low:high]
            spill = profiles(data, everything.select(stranger), corner[0][rows[host]], corner[1][rows[host]], SIDE)
            np.add.at(mean, host - start, spill * scale[stranger][:, None, None])
        rng = np.random.default_rng([s.seed, _BOXES, start])
        drawn = _zingers(rng, rng.poisson(mean), s.zingers)
        ceiling = _ceiling(dtype, s.saturation)
        counts[here] = np.minimum(drawn, ceiling)
        mean_ring = np.broadcast_to(everything.background[part][:, None], ring[here].shape)
        ring[here] = np.minimum(_zingers(rng, rng.poisson(mean_ring), s.zingers), ceiling)
        at = [np.clip(c[part], -SIDE, n) + SIDE + 1 for c, n in zip(corner, s.shape, strict=True)]
        box_rows, box_columns = (values[:, None] + np.arange(SIDE) for values in at)
        usable[here] = good[box_rows[:, :, None], box_columns[:, None, :]]
        if s.saturation is not None:
            usable[here] &= drawn < s.saturation
    return Shoeboxes(counts, usable, corner[0][rows], corner[1][rows], ring, crowded)


def make_frame(data: Scene, truth: Truth, number: int, dtype: Any = np.int32) -> NDArray[Any]:
    """See `SimulatedStills.image`."""
    dtype = _dtype(dtype)
    s = data.settings
    if not 0 <= number < s.frames:
        raise IndexError(f"frame {number} of a simulation of {s.frames} frames")
    mean = data.background.copy()
    images = np.flatnonzero(data.frame == number)
    low, high = np.searchsorted(truth.image, [images[0], images[-1] + 1])
    here = truth.select(slice(low, high))  # type: ignore[arg-type]
    first = [np.floor(values).astype(np.int64) - _REACH for values in (here.slow, here.fast)]
    side = 2 * _REACH + 1
    box = profiles(data, here, first[0], first[1], side)
    box *= (here.signal / box.sum(axis=(1, 2)))[:, None, None]
    rows, columns = (values[:, None] + np.arange(side) for values in first)
    inside = ((rows >= 0) & (rows < s.shape[0]))[:, :, None] & ((columns >= 0) & (columns < s.shape[1]))[:, None, :]
    at = (rows[:, :, None] * s.shape[1] + columns[:, None, :])[inside]
    mean += np.bincount(at, box[inside], minlength=mean.size).reshape(mean.shape)
    rng = np.random.default_rng([s.seed, _FRAME, number])
    frame = np.minimum(_zingers(rng, rng.poisson(mean), s.zingers), _ceiling(dtype, s.saturation)).astype(dtype)
    frame[s.mask != 0] = marker(dtype)
    return frame


def _zingers(rng: np.random.Generator, counts: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    if share:
        hit = np.flatnonzero(rng.random(counts.shape) < share)
        counts.flat[hit] += np.ceil(rng.exponential(_ZINGER, len(hit))).astype(np.int64)
    return counts


def _ceiling(dtype: np.dtype[Any], saturation: float | None) -> float:
    """Highest value that a pixel can hold; the highest of an unsigned dtype marks unusable pixels."""
    highest = float("inf") if dtype.kind == "f" else int(np.iinfo(dtype).max) - (dtype.kind == "u")
    return highest if saturation is None else min(highest, saturation)


def _dtype(wanted: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(wanted)
    if dtype.kind not in "iuf" or dtype.itemsize < 2:
        raise DTypeError(f"the pixels are to be {dtype}, expected an integer of 2 bytes or more, or a float")
    return dtype


def _neighbours(data: Scene, truth: Truth, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of (row of `truth`, position in `rows`) on one frame whose spots may share pixels; by position."""
    frame = data.frame[truth.image].astype(np.float64)
    place = np.stack([truth.slow, truth.fast, 1e6 * frame], axis=1)
    pairs = KDTree(place).query_pairs(_HALF + _REACH - 3.0, p=np.inf, output_type="ndarray")
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    position = np.full(len(truth), -1, np.intp)
    position[rows] = np.arange(len(rows))
    pairs = pairs[position[pairs[:, 1]] >= 0]
    order = np.argsort(position[pairs[:, 1]], kind="stable")
    return pairs[order, 0], position[pairs[order, 1]]
