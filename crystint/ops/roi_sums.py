"""What the regions of interest of a frame hold: exact sums, background, signal and its significance."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Buffer, Engine
from crystint.errors import DTypeError, SettingError, check
from crystint.model.peaks import PeakList
from crystint.model.rings import RingMap
from crystint.model.roi_members import RoiMembers
from crystint.model.rois import empty_roi_values
from crystint.model.valid_values import ValidValues
from crystint.ops.pixels import PIXEL_TYPES, largest_valid, pixel_defines
from crystint.ops.roi_background import RingLevels, RoiBackground

__all__ = ["RoiSums"]

_STRIP = 16
_CHUNK = {True: 256, False: 16}
"""strips of a chunk, on a CPU and on others"""
_COLUMNS = 9


class RoiSums:
    """Sums over the regions of the frames of one detector. Threads may share it.

    Parameters
    ----------
    members : RoiMembers
    engine : Engine
        That of the separator, where its frames are to be used.
    rings : RingMap, optional
        Of the separator, for the background; its mask and its valid values are used.
    mask : integer [slow, fast], optional
        Without `rings`: nonzero = masked.
    valid : ValidValues, optional
        Without `rings`: which values are measurements; None = the default of the dtype.
    saturation : float, optional
        Largest valid value.

    Examples
    --------
    >>> import crystint
    >>> from crystint.model.rois import Roi, Rois
    >>> from crystint.ops.roi_sums import RoiSums
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> rois = Rois((Roi.box("left", slow=(0, 99), fast=(0, 20)),))
    >>> sums = RoiSums(rois.members(data.geometry, data.shape), crystint.Engine())
    >>> int(sums.run(data[0])["sum"][0]) == int(data[0][:, :21].sum())
    True
    """

    def __init__(
        self, members: RoiMembers, engine: Engine, *, rings: RingMap | None = None,
        mask: NDArray[Any] | None = None, valid: ValidValues | None = None, saturation: float | None = None,
    ) -> None:  # fmt: skip
        if rings is not None:
            check("the detector of the regions", np.empty(members.shape, np.bool_), rings.shape, [np.dtype(np.bool_)])
            mask, valid = rings.mask, rings.valid
        elif mask is not None:
            check("mask", mask, members.shape, [mask.dtype])
        self.members, self.engine = members, engine
        self._valid, self._saturation = valid, saturation
        bad = None if mask is None else mask.reshape(-1) != 0
        self._free = tuple(pixels if bad is None else pixels[~bad[pixels]] for pixels in members.pixels)
        """uint32 [n] of each region: those that are not masked"""
        self._background = None if rings is None else RoiBackground(rings, self._free)
        self._members = np.array([len(pixels) for pixels in members.pixels], np.uint32)
        self._unmasked = np.array([len(pixels) for pixels in self._free], np.int64)
        self._map = members.map().reshape(-1)
        self._lost: dict[int, NDArray[np.uint32]] = {}
        """of each region: pixels that held no measurement in a frame before"""
        self._idle: list[Engine] = []
        self._lock = threading.Lock()
        self._send()

    def _send(self) -> None:
        """The strips of the regions, on the device."""
        width = self.members.shape[1]
        firsts, bits, chunks = [np.zeros(0, np.uint32)], [np.zeros(0, np.uint16)], [0]
        first_chunk = [0]
        for pixels in self._free:
            row, column = np.divmod(pixels.astype(np.int64), width)
            starts, at = np.unique(row * width + column // _STRIP * _STRIP, return_inverse=True)
            firsts.append(starts.astype(np.uint32))
            bits.append(np.bincount(at, 1 << column % _STRIP, len(starts)).astype(np.uint16))
            before = chunks[-1]
            chunks += [*range(before, before + len(starts), _CHUNK[self.engine.on_cpu])][1:]
            chunks += [before + len(starts)] * bool(len(starts))
            first_chunk.append(len(chunks) - 1)
        self.chunks = len(chunks) - 1
        self._summed = np.flatnonzero(np.diff(first_chunk))
        """regions that have chunks"""
        self._first_chunk = np.array(first_chunk)[self._summed]
        self.pixels, self.width = int(np.prod(self.members.shape)), width
        send = self.engine.send
        self.strip, self.bits = send(np.concatenate(firsts)), send(np.concatenate(bits))
        self.chunk = send(np.array(chunks, np.uint32))

    def start(self, engine: Engine, frame: Buffer, dtype: np.dtype[Any], partial: Buffer, frames: int = 1) -> None:
        """Start to sum up frames on the device.

        Parameters
        ----------
        engine : Engine
            Or a sibling of it.
        frame : Buffer
            [frames, slow, fast]
        dtype : dtype
            Of the frame.
        partial : Buffer
            int64 [frames, size].
        frames : int
        """
        if dtype.kind not in "iu" or dtype not in PIXEL_TYPES:
            raise DTypeError(f"the frame is {dtype}, expected whole counts of 8 to 32 bits for exact sums over regions")
        if not self.chunks:
            return
        local_size = 1 if engine.on_cpu else 64
        defines = pixel_defines(dtype, self._valid, dark=False)
        engine.launch(
            engine.kernel("roi_sums.cl", LOCAL_SIZE=local_size, **defines),
            -(-self.chunks // local_size),
            local_size,
            self,
            frame=frame,
            saturation=largest_valid(dtype, self._saturation),
            partial=partial,
            frames=frames,
        )

    @property
    def size(self) -> int:
        """Numbers in the partial sums of a frame."""
        return _COLUMNS * self.chunks

    def run(
        self,
        frame: NDArray[Any],
        table: NDArray[np.float32] | None = None,
        variance: NDArray[np.float32] | None = None,
        peaks: PeakList | None = None,
        noise: float = 0.0,
    ) -> NDArray[np.void]:
        """What the regions of a frame hold.

        Parameters
        ----------
        frame : uint8, uint16, uint32, int16, int32 [slow, fast]
        table, variance, peaks, noise
            As `values`.

        Returns
        -------
        structured array of `crystint.model.rois.ROI_DTYPE` [regions]

        Raises
        ------
        ShapeError, DTypeError
        """
        check("frame", frame, self.members.shape, PIXEL_TYPES)
        frame = np.ascontiguousarray(frame)
        with self._lock:
            engine = self._idle.pop() if self._idle else self.engine.sibling()
        partial = engine.empty(self.size, np.int64)
        self.start(engine, engine.lend(frame), frame.dtype, partial)
        sums = engine.receive(partial, self.size)
        with self._lock:
            self._idle.append(engine)
        return self.values(sums, frame, table, variance, peaks, noise)

    def values(
        self,
        partial: NDArray[np.int64],
        frame: NDArray[Any],
        table: NDArray[np.float32] | None = None,
        variance: NDArray[np.float32] | None = None,
        peaks: PeakList | None = None,
        noise: float = 0.0,
    ) -> NDArray[np.void]:
        """What the regions of a frame hold, from the partial sums of the device.

        Parameters
        ----------
        partial : int64 [size]
        frame : [slow, fast]
            The same frame.
        table : float32 [rings, 4], optional
            Of the background, as `crystint.ops.threshold.ring_table`; None = the background is not known.
        variance : float32 [rings], optional
            Of the mean of each ring, as `crystint.ops.background.read_table`.
        peaks : PeakList, optional
            Of the frame; None = none were looked for.
        noise : float
            Constant noise of a pixel, counts.

        Returns
        -------
        structured array of `crystint.model.rois.ROI_DTYPE` [regions]
        """
        values = empty_roi_values(len(self._free))
        if self.chunks:
            values[self._summed] = _totals(partial.reshape(-1, _COLUMNS), self._first_chunk, frame.dtype.itemsize)
        values["pixels"] = self._members
        values["masked"] = values["pixels"] - values["npixel"]
        some = values["npixel"] > 0
        values["mean"][some] = values["sum"][some] / values["npixel"][some]
        if peaks is not None:
            values["spots"] = self._spots(peaks)
        if table is not None and self._background is not None:
            if variance is None:
                raise SettingError("variance is None, expected that of the rings of the table")
            self._subtract(values, frame.reshape(-1), RingLevels.of(table, variance), self._background, noise)
        return values

    def _spots(self, peaks: PeakList) -> list[int]:
        """How many peaks have their centre in each region."""
        size = np.array(self.members.shape)
        at = np.floor(np.stack([peaks["slow"], peaks["fast"]], axis=1)).astype(np.int64)
        slow, fast = at[((at >= 0) & (at < size)).all(axis=1)].T
        here = self._map[slow * self.width + fast]
        return [int(np.count_nonzero(here >> here.dtype.type(bit) & 1)) for bit in range(len(self._free))]

    def _subtract(
        self, values: NDArray[np.void], counts: NDArray[Any], levels: RingLevels, of: RoiBackground, noise: float
    ) -> None:
        """Fill in background, signal and its significance."""
        (expected, counting, other), error = of.sums(levels)
        area = values["npixel"].astype(np.float64)
        total = values["sum"].astype(np.float64)
        short = self._unmasked - values["npixel"]
        for region in np.flatnonzero((short > 0) | of.in_the_dark(levels)).tolist():
            pixels = self._free[region]
            absent = self._unusable(region, counts, int(short[region]))
            bare = of.without_background(levels, pixels)
            if len(absent):
                less = levels.of_pixels(*of.places(absent)).sum(axis=1)
                expected[region] -= less[0] + of.dark_of(absent).sum()
                counting[region] -= less[1]
                other[region] -= less[2]
                error[region] = of.error_without(levels, region, absent)
                bare = np.setdiff1d(bare, absent, assume_unique=True)
            expected[region] -= of.dark_of(bare).sum()
            total[region] -= counts[bare].sum(dtype=np.float64)
            area[region] -= len(bare)
        there = area > 0
        signal = total - expected
        variance = counting + other + area * noise * noise + np.maximum(signal, 0.0) + error
        sigma = np.sqrt(np.maximum(variance, 0.0))
        for name, column in (("background", expected), ("signal", signal), ("sigma", sigma)):
            values[name] = np.where(there, column, np.nan)
        sure = there & (sigma > 0)
        values["snr"][sure] = signal[sure] / sigma[sure]

    def _unusable(self, region: int, counts: NDArray[Any], number: int) -> NDArray[np.uint32]:
        """The pixels of a region that are not masked and hold no measurement; `number` of them."""
        pixels = self._free[region]
        if not number:
            return pixels[:0]
        valid = self._valid or ValidValues.of(counts.dtype)
        before = self._lost.get(region)
        if before is not None and len(before) == number and valid.unusable(counts[before]).all():
            return before  # there are as many of them, so these are all
        self._lost[region] = lost = pixels[valid.unusable(counts[pixels])]
        return lost


def _totals(rows: NDArray[np.int64], first: NDArray[np.intp], itemsize: int) -> NDArray[np.void]:
    """The sums of regions from those of chunks; `first`: chunk of each region."""
    values = empty_roi_values(len(first))
    number, over, total, _, _, _ = np.add.reduceat(rows[:, :6], first, axis=0).T
    values["npixel"], values["saturated"], values["sum"] = number, over, total
    values["max"] = np.maximum.reduceat(rows[:, 3], first)
    low, high, above, along, across = np.add.reduceat(rows[:, 4:].astype(np.float64), first, axis=0).T
    values["sum_sq"] = low + high * (4294967296.0 if itemsize == 4 else 65536.0)
    some = total > 0
    values["x"][some], values["y"][some] = along[some] / above[some] + 0.5, across[some] / above[some] + 0.5
    return values
