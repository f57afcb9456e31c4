"""From sparse frames back to frames."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Buffer, Engine, Kernel, default_engine, engine_named
from crystint.errors import DTypeError, SettingError, ShapeError, described
from crystint.model.mask import marker
from crystint.model.rings import RingMap
from crystint.model.sparse import SparseFrame
from crystint.ops.densify_check import InventedPixels
from crystint.ops.densify_few import FewCounts
from crystint.ops.densify_floor import noise_below, noise_ends
from crystint.ops.detector_buffers import CURVE_DEFINES
from crystint.ops.pixels import PIXEL_TYPES, pixel_defines
from crystint.ops.poisson_tables import normal_knots, poisson_laws, table_defines
from crystint.ops.threshold import counts_at, excess_curve, ring_table

__all__ = ["Densifier", "densifier_of", "densify"]

_ONE_MADE = threading.Lock()
"""Threads that want the same densifier get one that was made once."""

_BLOCK = 32
"""pixels that kernels for CPUs draw together (kernels/strip.h)"""
_STRIP = 4096
"""pixels that one work-item of a CPU puts into a frame"""


def _weights(rings: RingMap) -> NDArray[np.float64]:
    """Smallest and largest normalization in each ring; 1 where it has no pixels."""
    position, weight = rings.position.ravel(), rings.weight.ravel()
    good = np.isfinite(position)
    number = np.clip(np.floor(position[good] + np.float32(0.5)), 0, rings.rings - 1).astype(np.intp)
    # of the dtype of the weights, for which NumPy has a fast way
    least, most = np.full(rings.rings, np.inf, weight.dtype), np.zeros(rings.rings, weight.dtype)
    np.minimum.at(least, number, weight[good])
    np.maximum.at(most, number, weight[good])
    none = most == 0.0
    return np.where(none, 1.0, np.array([least, most], np.float64))


def _halves(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [rings, 2, 2]: mean, and its change per ring, in the inner and the outer half of each ring."""
    mean = table[:, 0]
    halves = np.zeros((len(mean), 2, 2), np.float32)
    step = np.diff(mean)
    step[np.isnan(step)] = 0.0  # an unknown neighbour is left out
    halves[:, :, 0] = mean[:, None]
    halves[1:, 0, 1] = halves[:-1, 1, 1] = step
    halves[np.isnan(mean)] = np.nan
    return halves


def _noisy_halves(
    table: NDArray[np.float32], lowest: NDArray[np.float32], weights: NDArray[np.float64], k: float, noise: float
) -> NDArray[np.float32]:
    """float32 [rings, 2, 4]: what kernels/densify_noisy.cl needs of them."""
    around = np.full((len(table) + 2, 3), np.nan)
    around[1:-1] = lowest[:, :3]
    least = np.fmin(np.fmin(around[:-2], around[2:]), around[1:-1])
    # below all limits: these are concave functions of the weight, and rise with it
    limit = counts_at(least[:, 0], least[:, 1], least[:, 2], weights, k, noise)
    below = (0.9999 * (limit / weights).min(axis=0) - 1e-6).astype(np.float32)
    below[lowest[:, 3] > 1.5] = np.nan  # no noise: all pixels are looked at again
    below[np.isnan(table[:, 0])] = 1e30  # no background: none is
    bits = below.view(np.uint32)
    bits[:] = bits & ~np.uint32(1) | (0.9999 * limit[0] > 1.0)
    halves = np.empty((len(table), 2, 4), np.float32)
    halves[:, :, :2] = _halves(table)
    halves[:, :, 2] = table[:, 1, None] - 1.0
    halves[:, :, 3] = below[:, None]
    return halves


class Densifier:
    """Densify one sparse frame after the other of one detector. Threads may share one.

    Noise is drawn below the picking threshold of the frame's background. Separating the new frame gives another
    background, from other noise: none of it is above the lowest threshold that this may have (`lowest_table`). Where
    that would harm the statistics, the new frame is separated, and what stands out is lowered (`InventedPixels`).

    Parameters
    ----------
    engine : Engine
    rings : RingMap
        Of the separator that made the sparse frames.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> densifier = crystint.Densifier(separator.engine, separator.rings)
    >>> densifier.run(separator.sparsify(data[0]), noise=True, seed=0).shape
    (100, 110)
    """

    def __init__(self, engine: Engine, rings: RingMap) -> None:
        self.engine, self.rings = engine, rings
        position, weight = np.ascontiguousarray(rings.position), np.ascontiguousarray(rings.weight)
        dark = np.zeros(1, np.float32) if rings.dark is None else np.ascontiguousarray(rings.dark)
        self._host_arrays = position, weight, dark  # the device may work in them
        self._position, self._weight, self._dark = map(engine.lend, self._host_arrays)
        self._laws, self._knots = engine.send(poisson_laws()), engine.send(normal_knots())
        self._weights = _weights(rings)
        self._check, self._few_counts = InventedPixels(engine, rings), FewCounts(rings, self._weights[0])
        self._curves: dict[float, Buffer] = {}
        self._own = threading.local()
        self._put_before: tuple[Any, ...] = None, None
        side_by_side = engine.on_cpu and rings.position.size >= _BLOCK
        self._tuning = {"LANES": 8, "STRIP": 512 * _BLOCK} if side_by_side else {"LANES": 1, "STRIP": 1}
        self._local_size = 1 if engine.on_cpu else 128

    def _frame_buffer(self, frame: NDArray[Any]) -> Buffer:
        """Where kernels write a frame: in place, or in memory of the device that this thread uses for all of them."""
        if self.engine.works_in(frame):
            return self.engine.borrow(frame)
        before: Buffer | None = getattr(self._own, "frame", None)
        if before is None or before.dtype != frame.dtype:
            before = self._own.frame = self.engine.empty(frame.size, frame.dtype)
        return before

    def _sent(self, name: str, table: NDArray[np.float32]) -> Buffer:
        """A table of the frame on the device, in memory that this thread uses for all its frames."""
        if not hasattr(self._own, name):
            setattr(self._own, name, self.engine.empty(table.size, table.dtype))
        buffer: Buffer = getattr(self._own, name)
        self.engine.write(buffer, table)
        return buffer

    def _put(
        self,
        index: NDArray[np.uint32],
        value: NDArray[Any],
        frame_buffer: Buffer,
        dtype: np.dtype[Any],
        many: bool = False,
    ) -> tuple[Any, ...]:
        """Start writing the values of some pixels into a frame on the device; what must live until it is done.

        `many`: these arrays may come again, with other frames, and stay on the device.
        """
        if not len(index):
            return ()
        strip = _STRIP if self.engine.on_cpu else 1
        kernel = self.engine.kernel("put_pixels.cl", PIXEL_T=PIXEL_TYPES[dtype][0], STRIP=strip)
        groups = -(-len(index) // (strip * self._local_size))
        alive = self._put_before
        if index is not alive[0] or value is not alive[1]:
            arrays = np.ascontiguousarray(index, np.uint32), np.ascontiguousarray(value, dtype)
            alive = index, value, arrays, [self.engine.lend(array) for array in arrays]
            if many:
                self._put_before = alive
        at, what = alive[3]
        self.engine.launch(kernel, groups, self._local_size, index=at, value=what, n=len(index), frame=frame_buffer)
        return alive

    def run(
        self, sparse: SparseFrame, noise: bool = True, seed: int = 0, *, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """The frame that `sparse` was made from, with the background in place of the pixels that were not picked.

        As `densify`.

        Parameters
        ----------
        out : frame dtype [slow, fast], optional
            C-contiguous array to write to, and to return. None = a new one; one that is used again costs less.
        """
        dtype = sparse.dtype
        if dtype not in PIXEL_TYPES:
            raise DTypeError(f"the sparse frame holds {dtype}, expected one of {', '.join(map(str, PIXEL_TYPES))}")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
            raise SettingError(f"seed is {seed!r}, expected a whole number from 0 to 2^64 - 1")
        if out is not None and out.shape != self.rings.shape:
            raise ShapeError(f"out is {out.shape}, the frame {self.rings.shape} (slow, fast)")
        if out is not None and (out.dtype != dtype or not out.flags.c_contiguous):
            raise DTypeError(f"out is {out.dtype}, expected a C-contiguous array of {dtype}")
        if out is None or (self.engine.on_cpu and not self.engine.works_in(out)):
            frame = self.engine.new_array(self.rings.shape, dtype)
        else:
            frame = out
        snr = noise_below(sparse.snr)
        table = ring_table(sparse.background)
        lowest, few = noise_ends(sparse.background, table, snr, dtype) if noise else (table, None)
        frame_buffer = self._frame_buffer(frame)
        if noise:
            self._start_noisy(sparse, table, lowest, snr, seed, frame_buffer)
        else:
            self._launch(self._kernel("densify_clean.cl", dtype), self._sent("halves", _halves(table)), frame_buffer)
        alive = [self._put(sparse.index, sparse.value, frame_buffer, dtype)]
        if sparse.unusable_index is not None and sparse.unusable_value is not None:
            alive.append(self._put(sparse.unusable_index, sparse.unusable_value, frame_buffer, dtype, many=True))
        self.engine.give_back(frame_buffer, frame)
        del alive
        if noise and few is None:
            self._check.lower(frame, sparse, snr)
        elif few is not None and few.any():
            self._few_counts.lower(frame, sparse, few, lowest, snr)
        if out is None or frame is out:
            return frame
        np.copyto(out, frame)
        return out

    def _start_noisy(
        self,
        sparse: SparseFrame,
        table: NDArray[np.float32],
        lowest: NDArray[np.float32],
        snr: float,
        seed: int,
        frame_buffer: Buffer,
    ) -> None:
        """Start to draw a frame."""
        if snr not in self._curves:
            self._curves[snr] = self.engine.send(excess_curve(snr).astype(np.float32))
        other, fractions = (int(np.nanmax(table[:, column], initial=0.0) > 0) for column in (2, 3))
        defines = {"OTHER": other, "FRACTIONS": fractions, **table_defines(), **CURVE_DEFINES}
        kernel = self._kernel("densify_noisy.cl", sparse.dtype, **defines)
        halves = _noisy_halves(table, lowest, self._weights, snr, sparse.noise)
        self._launch(
            kernel,
            self._sent("noisy_halves", halves),
            frame_buffer,
            table=self._sent("table", table),
            lowest=self._sent("lowest", lowest),
            curve=self._curves[snr],
            k=snr,
            noise2=sparse.noise**2,
            laws=self._laws,
            knots=self._knots,
            seed=seed,
            number=sparse.frame % 2**32,
        )

    def _kernel(self, file: str, dtype: np.dtype[Any], **defines: object) -> Kernel:
        pixels = pixel_defines(dtype, self.rings.valid, dark=self.rings.dark is not None)
        return self.engine.kernel(file, **defines, **self._tuning, **pixels)

    def _launch(self, kernel: Kernel, halves: Buffer, frame_buffer: Buffer, **arguments: Any) -> None:
        dtype = frame_buffer.dtype
        # the all-ones value of unsigned frames is no background; kernels for floats do not look at it
        largest = 0 if dtype.kind == "f" else np.iinfo(dtype).max - (dtype.kind == "u")
        per_group = self._tuning["STRIP"] * self._local_size
        self.engine.launch(
            kernel,
            -(-self.rings.position.size // per_group),
            self._local_size,
            position=self._position,
            weight=self._weight,
            dark=self._dark,
            halves=halves,
            rings=self.rings.rings,
            marker=marker(dtype, self.rings.valid),
            largest=largest,
            pixels=self.rings.position.size,
            frame=frame_buffer,
            **arguments,
        )


def densifier_of(rings: RingMap, engine: Engine | str | None = None) -> Densifier:
    """The densifier of a ring map on a device, which lives as long as the map; threads may ask at the same time.

    Parameters
    ----------
    engine : Engine or str, optional
        None = the default device.
    """
    wanted = default_engine() if engine is None else engine_named(engine) if isinstance(engine, str) else engine
    with _ONE_MADE:
        made = rings.by_device.get(wanted)
        if not isinstance(made, Densifier):
            made = rings.by_device[wanted] = Densifier(wanted, rings)
        return made


def densify(
    sparse: SparseFrame,
    noise: bool = True,
    seed: int = 0,
    *,
    engine: Engine | str | None = None,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """The frame that a sparse frame was made from: its picked pixels exactly, and its background elsewhere.

    What belongs to the device and the rings is kept with ``sparse.background.rings``, which the frames of a file share:
    the first frame of a file takes longer than the others.

    Parameters
    ----------
    sparse : SparseFrame
    noise : bool
        Draw the background from Poisson's law (widened to the ring's variance), never above the picking threshold.
        False: the expected counts, rounded in integer frames.
    seed : int
        The noise of a pixel depends on seed, frame number and pixel number alone.
    engine : Engine or str, optional
        None = the default device.
    out : frame dtype [slow, fast], optional
        C-contiguous array to write to, and to return. None = a new one.

    Returns
    -------
    frame dtype [slow, fast]
        Masked pixels hold the value that marks unusable ones: -1, all ones, or NaN, or that of ``rings.valid``; pixels
        that were unusable in this frame hold what they held.

    Raises
    ------
    DTypeError, SettingError

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> frame = crystint.densify(separator.sparsify(data[0]), noise=True, seed=0)
    >>> frame.shape, frame.dtype
    ((100, 110), dtype('uint16'))
    """
    if not isinstance(sparse, SparseFrame):
        raise SettingError(
            f"sparse is {described(sparse)}, expected a SparseFrame: Separator.sparsify makes one, "
            "crystint.open_sparse opens a file of them"
        )
    return densifier_of(sparse.background.rings, engine).run(sparse, noise, seed, out=out)
