"""Peaks of neighbouring frames that are one spot: joined while the frames come by.

See docs/peaks.md, "Spots through frames"; the oracle is tests/oracles/joining.py.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from crystint.errors import DTypeError, SettingError, ShapeError
from crystint.model.peaks import PEAK_DTYPE, PeakFlag, PeakList, empty_peaks
from crystint.model.scan import Scan
from crystint.model.spots import SpotList, empty_spots

__all__ = ["SpotJoiner", "in_order", "join_peaks", "linked", "valleys"]

_DIP = 0.5
"""Two spots, where the intensity falls below this part of the lower of the two maxima beside it ..."""
_DIP_SIGMA = 3.0
"""... and by more than as many standard deviations of the difference."""
_WEAK = 2.0
"""A spot without a peak on one frame goes on when that before or after has less significance than so often SNR_peak."""


def join_peaks(
    peaks: PeakList,
    *,
    snr: float = 5.0,
    scan: Scan | None = None,
    missing: Collection[int] = (),
    min_frames: int = 1,
) -> SpotList:
    """Join the peaks of neighbouring frames of a rotation scan to spots, each with a centroid in three dimensions.

    Parameters
    ----------
    peaks : PeakList [n]
        Of all frames.
    snr : float
        SNR_peak that they were found with.
    scan : Scan, optional
        Tells which frames begin where the one before ends; only their peaks are joined. None = all of them do.
    missing : collection of int
        Frames that could not be read: a spot goes on over one of them.
    min_frames : int
        Spots with peaks on fewer frames are left out.

    Returns
    -------
    SpotList
        Structured array of `crystint.SPOT_DTYPE`, sorted by first frame, then by z, slow and fast.

    Raises
    ------
    DTypeError, SettingError, ShapeError
        When `peaks` is no peak list, `min_frames` is not at least 1, or the scan has fewer frames than the peaks.

    Examples
    --------
    >>> import crystint, numpy as np
    >>> data = crystint.simulate.simulate((100, 110), background=2.0, peaks=6, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> peaks = np.concatenate([separator.peaks(data[0], number=number) for number in range(3)])
    >>> spots = crystint.join_peaks(peaks)
    >>> len(spots) == len(peaks) // 3, set(spots["n_frames"].tolist()), spots["z"].round(6).max()
    (True, {3}, np.float64(1.5))
    """
    if getattr(peaks, "dtype", None) != PEAK_DTYPE:
        raise DTypeError(f"the peak list is {getattr(peaks, 'dtype', peaks)!r}, expected the columns of PEAK_DTYPE")
    if isinstance(min_frames, bool) or not isinstance(min_frames, int | np.integer) or min_frames < 1:
        raise SettingError(f"min_frames is {min_frames!r}, expected a whole number of at least 1")
    order = np.argsort(peaks["frame"], kind="stable")
    frames = int(peaks["frame"].max()) + 1 if len(peaks) else 0
    if scan is not None and len(scan) < frames:
        raise ShapeError(f"the scan has {len(scan)} frames, but there are peaks on frame {frames - 1}")
    frames = frames if scan is None else len(scan)
    follows = np.ones(frames, bool) if scan is None else scan.follows
    ends = np.searchsorted(peaks["frame"][order], np.arange(frames + 1))
    joiner, absent, lists = SpotJoiner(snr, min_frames=int(min_frames)), frozenset(missing), [empty_spots()]
    for number in range(frames):
        if number in absent:
            lists.append(joiner.missing())
        else:
            own = peaks[order[ends[number] : ends[number + 1]]]
            lists.append(joiner.add(number, own, goes_on=bool(follows[number])))
    lists.append(joiner.end())
    return in_order(np.concatenate(lists))


def in_order(spots: SpotList) -> SpotList:
    """Sorted by first frame, then by z, slow and fast."""
    sorted_spots: SpotList = spots[np.lexsort((spots["fast"], spots["slow"], spots["z"], spots["frame0"]))]
    return sorted_spots


def linked(before: PeakList, after: PeakList) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which peaks of two neighbouring frames are one: rows of `before` and of `after`, each at most once.

    Two peaks can be one when the centre of one lies in the box of the other. The nearest are joined first; of equally
    near ones those of the lower rows.
    """
    none = np.zeros(0, np.intp)
    if not len(before) or not len(after):
        return none, none
    from scipy.spatial import KDTree

    reach = max(
        int((peaks[f"{axis}1"] - peaks[f"{axis}0"]).max()) for peaks in (before, after) for axis in ("slow", "fast")
    )
    trees = [KDTree(np.stack([peaks["slow"], peaks["fast"]], axis=1)) for peaks in (before, after)]
    near = trees[0].sparse_distance_matrix(trees[1], max(reach, 1), p=np.inf, output_type="ndarray")
    i, j = near["i"].astype(np.intp), near["j"].astype(np.intp)
    one, other = before[i], after[j]
    good = _inside(one, other) | _inside(other, one)
    i, j, one, other = i[good], j[good], one[good], other[good]
    distance = np.square(one["slow"] - other["slow"]) + np.square(one["fast"] - other["fast"])
    order = np.lexsort((j, i, distance))
    i, j = i[order], j[order]
    rows, columns = [], []
    while len(i):  # each round takes the pairs that are the nearest of both of their peaks
        first_i, first_j = np.zeros(len(i), bool), np.zeros(len(j), bool)
        first_i[np.unique(i, return_index=True)[1]] = True
        first_j[np.unique(j, return_index=True)[1]] = True
        taken = first_i & first_j
        rows.append(i[taken])
        columns.append(j[taken])
        left = ~(np.isin(i, i[taken]) | np.isin(j, j[taken]))
        i, j = i[left], j[left]
    return (np.concatenate(rows), np.concatenate(columns)) if rows else (none, none)


def _inside(point: PeakList, box: PeakList) -> NDArray[np.bool_]:
    """Whether the centre of one peak lies in the box of the other, row by row."""
    inside = np.ones(len(point), bool)
    for axis in ("slow", "fast"):
        inside &= (point[axis] >= box[f"{axis}0"]) & (point[axis] <= box[f"{axis}1"])
    return inside


class SpotJoiner:
    """Joins the peaks of frames that come one after the other; holds those of the spots that may go on alone.

    Parameters
    ----------
    snr : float
        SNR_peak of the peaks.
    min_frames : int
        Spots with peaks on fewer frames are left out.
    """

    def __init__(self, snr: float, *, min_frames: int = 1) -> None:
        self._weak, self._min_frames = _WEAK * snr, min_frames
        self._rows = empty_peaks()
        """peaks of the spots that are open"""
        self._spot = np.zeros(0, np.int64)
        """number of the spot of each"""
        self._next = 0
        self._missing = False
        """whether the frame before was missing"""
        self._start: int | None = None
        """first frame of those that follow one another"""
        self._number = -1
        """the last one that came by and was there"""

    def missing(self) -> SpotList:
        """A frame that could not be read comes by: spots go on over one such frame. Gives the spots that end."""
        if self._missing:
            return self.end()
        self._missing = True
        return empty_spots()

    def add(self, number: int, peaks: PeakList, *, goes_on: bool = True) -> SpotList:
        """The next frame comes by. Gives the spots that end.

        Parameters
        ----------
        number : int
            Of the frame.
        peaks : PeakList
            Its peaks.
        goes_on : bool
            Whether it begins where the frame before ends.
        """
        ended = empty_spots() if goes_on else self.end()
        self._start = number if self._start is None else self._start
        self._number = number
        last = self._last()
        spot = np.full(len(peaks), -1, np.int64)
        for gap in (1, 2):
            before = last[self._rows["frame"][last] == number - gap]
            free = np.flatnonzero(spot < 0)
            i, j = linked(self._rows[before], peaks[free])
            if gap == 2 and not self._missing:
                weak = np.minimum(self._rows["significance"][before[i]], peaks["significance"][free[j]]) < self._weak
                i, j = i[weak], j[weak]
            spot[free[j]] = self._spot[before[i]]
        self._missing = False
        new = np.flatnonzero(spot < 0)
        spot[new] = self._next + np.arange(len(new))
        self._next += len(new)
        self._rows, self._spot = np.concatenate([self._rows, peaks]), np.concatenate([self._spot, spot])
        last = self._last()
        open_spots = self._spot[last[self._rows["frame"][last] >= number - 1]]
        return np.concatenate([ended, self._close(~np.isin(self._spot, open_spots))])

    def end(self) -> SpotList:
        """Nothing goes on. Gives the spots that were open."""
        ended = self._close(np.ones(len(self._rows), bool), last=self._number)
        self._missing, self._start = False, None
        return ended

    def _last(self) -> NDArray[np.intp]:
        """Row of the last peak of each open spot, in the order of their numbers."""
        if not len(self._rows):
            return np.zeros(0, np.intp)
        order = np.lexsort((self._rows["frame"], self._spot))
        ends = np.append(self._spot[order][1:] != self._spot[order][:-1], True)
        last: NDArray[np.intp] = order[ends]
        return last

    def _close(self, ended: NDArray[np.bool_], last: int = -1) -> SpotList:
        rows, spot = self._rows[ended], self._spot[ended]
        self._rows, self._spot = self._rows[~ended], self._spot[~ended]
        if not len(rows):
            return empty_spots()
        order = np.lexsort((rows["frame"], spot))
        rows, spot = rows[order], spot[order]
        starts = np.flatnonzero(np.append(True, spot[1:] != spot[:-1]))
        ends = np.append(starts[1:], len(rows))
        more = [
            start + cut
            for start, stop in zip(starts[ends - starts > 2], ends[ends - starts > 2])
            for cut in valleys(rows["intensity"][start:stop], rows["sigma"][start:stop])
        ]
        spots = spots_of(rows, np.sort(np.append(starts, np.array(more, np.intp))))
        cut = (spots["frame0"] == self._start) | (spots["frame1"] == last + 1)
        spots["flags"][cut] |= np.uint32(PeakFlag.CUT)
        spots["z_sigma"][cut] = np.hypot(spots["z_sigma"][cut], 0.5 * spots["n_frames"][cut])
        return spots[spots["n_frames"] >= self._min_frames]


def valleys(intensity: NDArray[np.float64], sigma: NDArray[np.float64]) -> list[int]:
    """Where the peaks of a spot, frame after frame, are to be cut: numbers of the first peak of each further spot.

    A peak divides when it lies below half of the lower of the maxima on its two sides, and by more than 3 standard
    deviations of the difference. The lowest against these maxima divides first; it goes with its stronger neighbour, at
    a tie with the one before.
    """
    cuts: list[int] = []
    parts = [(0, len(intensity))]
    while parts:
        first, stop = parts.pop()
        if stop - first < 3:
            continue
        part, error = intensity[first:stop], sigma[first:stop]
        left, right = np.maximum.accumulate(part), np.maximum.accumulate(part[::-1])[::-1]
        at_left = np.maximum.accumulate(np.where(part == left, np.arange(len(part)), 0))
        at_right = np.minimum.accumulate(np.where(part == right, np.arange(len(part)), len(part))[::-1])[::-1]
        lower = np.where(left <= right, at_left, at_right)
        depth = part[lower] - part
        deep = (part < _DIP * part[lower]) & (depth > _DIP_SIGMA * np.hypot(error[lower], error))
        if not deep.any():
            continue
        ratio = np.where(deep, part / np.where(part[lower] > 0, part[lower], 1.0), np.inf)
        low = int(np.argmin(ratio))
        cut = first + (low + 1 if part[low - 1] >= part[low + 1] else low)
        cuts.append(cut)
        parts += [(first, cut), (cut, stop)]
    return sorted(cuts)


def spots_of(rows: PeakList, starts: NDArray[np.intp]) -> SpotList:
    """Spots from their peaks.

    Parameters
    ----------
    rows : PeakList
        Those of a spot together, in the order of their frames.
    starts : intp [spots]
        First row of each spot, ascending.
    """
    spots = empty_spots(len(starts))
    counts = np.diff(np.append(starts, len(rows)))
    owner = np.repeat(np.arange(len(starts)), counts)

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.add.reduceat(values, starts)

    weight = np.maximum(rows["intensity"], 0.0)
    weight = np.where(total(weight)[owner] > 0, weight, 1.0)
    over = total(weight)
    middle = rows["frame"] + 0.5
    for name, values in (("slow", rows["slow"]), ("fast", rows["fast"]), ("z", middle)):
        centre = total(weight * values) / over
        own = np.full(len(rows), np.sqrt(1 / 12)) if name == "z" else np.nan_to_num(rows[f"{name}_sigma"])
        variance = np.square(weight * own) + np.square(rows["sigma"] * (values - centre[owner]))
        spots[name], spots[f"{name}_sigma"] = centre, np.sqrt(total(variance)) / over
    spots["intensity"], spots["sigma"] = total(rows["intensity"]), np.sqrt(total(np.square(rows["sigma"])))
    spots["snr"] = np.divide(spots["intensity"], spots["sigma"], out=np.zeros(len(spots)), where=spots["sigma"] > 0)
    spots["npix"] = np.add.reduceat(rows["npix"], starts)
    spots["flags"] = np.bitwise_or.reduceat(rows["flags"], starts)
    spots["significance"] = np.maximum.reduceat(rows["significance"], starts)
    for axis in ("slow", "fast"):
        spots[f"{axis}0"] = np.minimum.reduceat(rows[f"{axis}0"], starts)
        spots[f"{axis}1"] = np.maximum.reduceat(rows[f"{axis}1"], starts)
    spots["frame0"], spots["frame1"] = rows["frame"][starts], rows["frame"][starts + counts - 1] + 1
    spots["n_frames"] = counts
    strongest = np.lexsort((np.arange(len(rows)), -rows["maximum"], owner))[starts]
    spots["maximum"], spots["background"] = rows["maximum"][strongest], rows["background"][strongest]
    with np.errstate(divide="ignore"):
        spots["d"] = 1.0 / (total(weight / rows["d"]) / over)
    return spots
