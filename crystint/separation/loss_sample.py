"""Reflections of some frames of a run, and what each threshold would leave of their intensities.

Frames are taken in windows of neighbours spread over the run: where the crystal turns, a reflection is on several of
them. Its intensity is summed in discs over all of its frames, less the mean of a ring. A pixel that is kept counts as
it is; one that is not counts as the mean of the noise that takes its place. Sums are linear in that, so the noise of
single reflections does not bias what is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from crystint.arrays import Floats
from crystint.errors import FileError
from crystint.model.mask import unusable
from crystint.model.peaks import PeakFlag, PeakList
from crystint.model.rings import Background, interpolate
from crystint.model.sparse import SparseFrame
from crystint.ops.rest import mean_drawn, rest_background
from crystint.ops.threshold import counts_at, ring_table
from crystint.separation.prepared import PreparedRun

__all__ = ["GROW", "Sample", "grown", "take_sample"]

GROW = 4
"""most px around picked pixels that are looked at"""
_DISC = 3, 8
"""px: least and largest radius of a disc"""
_FAINT = 0.005
"""share of its counts that a disc gains by one px more, when it is large enough"""
_SHARE = 0.005
"""of a reflection's intensity, that makes a frame one of its frames"""
_MAIN = 0.05
"""the same of those frames whose background counts in I/sigma"""
_FIND = 5.0
"""significance of the peaks that are summed"""
_UNFIT = PeakFlag.SATURATED | PeakFlag.MASKED | PeakFlag.EDGE | PeakFlag.ICE
_QUIET = 3.0, 2
"""threshold of what is no quiet background, and px around it"""
_ARRAYS = ("counts", "place", "weight", "occupied", "lost")
_SEEN = 300
"""most reflections of a window"""


def grown(picked: NDArray[np.bool_], grow: int) -> NDArray[np.bool_]:
    """Pixels whose centre is within `grow` + 1/2 px of that of a picked one; along the last two axes."""
    result = picked.copy()
    height = picked.shape[-2]
    for down in range(grow + 1):
        wide = picked.copy()
        for right in range(1, int(np.sqrt((grow + 0.5) ** 2 - down**2)) + 1):
            wide[..., right:] |= picked[..., :-right]
            wide[..., :-right] |= picked[..., right:]
        result[..., down:, :] |= wide[..., : height - down, :]
        result[..., : height - down, :] |= wide[..., down:, :]
    return result


@dataclass(frozen=True, eq=False)
class Part:
    """Boxes of the pixels of one frame about reflections; arrays are [n, side, side]."""

    spot: NDArray[np.intp]
    """[n]: numbers of the reflections"""
    offset: int
    """of the frame in its window"""
    counts: Floats
    """dark subtracted"""
    place: Floats
    """between ring centres"""
    weight: Floats
    occupied: NDArray[np.bool_]
    """by spots, or unusable"""
    lost: NDArray[np.bool_]
    """unusable"""
    background: Background
    rest: Background
    """of the pixels without spots"""
    noise: float
    dtype: np.dtype[Any]

    def select(self, rows: Any, inner: slice = slice(None)) -> Part:
        """Some of the boxes, or the inner part of them."""
        cut = {name: getattr(self, name)[rows][:, inner, inner] for name in _ARRAYS}
        return replace(self, spot=self.spot[rows], **cut)

    @cached_property
    def _table(self) -> list[Floats]:
        table = ring_table(self.background).astype(np.float64)
        return [interpolate(table[:, column], self.place) for column in range(3)]

    @cached_property
    def quiet(self) -> Floats:
        """Counts expected without spots."""
        return np.asarray(interpolate(self.rest.mean, self.place) * self.weight)

    def picked(self, counts: Floats, snr: float) -> NDArray[np.bool_]:
        """Which of some counts are above a threshold."""
        mean, phi, spread = self._table
        return np.asarray(counts > counts_at(mean, phi, spread, self.weight, snr, self.noise))

    def drawn(self, snr: float, *, quiet: bool) -> Floats:
        """Mean counts of what takes the place of pixels that are not kept."""
        rings = mean_drawn(self.rest if quiet else self.background, snr, self.noise, self.dtype)
        return np.asarray(interpolate(rings, self.place) * self.weight)


@dataclass(frozen=True, eq=False)
class Sample:
    """Reflections of a run."""

    parts: list[Part]
    away: Floats
    """[n, side, side]: px from the reflection"""
    d: Floats
    """[n], angstrom"""
    frames: tuple[int, ...]
    """that reflections were looked for in"""
    disc: float
    """radius, px"""
    support: NDArray[np.bool_]
    """[frames of a window]: which hold a part of a reflection whose maximum is in the middle"""
    main: NDArray[np.bool_]
    """[frames of a window]: which hold so much that an integration would count their background"""
    beside: float
    """intensity on the frames beside the one of the maximum, as a share of that"""

    def __len__(self) -> int:
        return len(self.d)

    def select(self, chosen: NDArray[np.bool_]) -> Sample:
        """Some of the reflections."""
        number = np.cumsum(chosen) - 1
        parts = [part.select(chosen[part.spot]) for part in self.parts if self.support[part.offset]]
        parts = [replace(part, spot=number[part.spot]) for part in parts if len(part.spot)]
        return replace(self, parts=parts, away=self.away[chosen], d=self.d[chosen])

    def sums(
        self, snr: float, grow: Sequence[int], share: Floats | None = None, seed: int = 0
    ) -> tuple[Floats, Floats, Floats]:
        """Intensities, their background, and what is lost of them.

        Parameters
        ----------
        snr : float
            Threshold.
        grow : sequence of int
            Pixels around picked ones that are kept.
        share : float64 [n], optional
            The reflections as they would be with this share of their intensity on the same background: counts are
            thinned (which leaves Poisson's law as it is) and made up for by background. NaN = left out.
        seed : int

        Returns
        -------
        intensity : float64 [n]
        background : float64 [n]
            Counts in the discs.
        lost : float64 [n, grow]
        """
        intensity, background, lost = np.zeros(len(self)), np.zeros(len(self)), np.zeros((len(self), len(grow)))
        for number, part in enumerate(self.parts):
            if not self.support[part.offset]:
                continue
            counts, rows = part.counts, part.spot
            disc = self.away[rows] <= self.disc
            ring = (self.away[rows] > self.disc + 1.0) & (self.away[rows] <= self.disc + 4.0) & ~part.occupied
            if share is not None:
                rng = np.random.default_rng([seed, number])
                some = np.nan_to_num(share[rows])[:, None, None]
                counts = rng.binomial(np.maximum(counts, 0.0).astype(np.int64), some).astype(np.float64)
                counts += rng.poisson(np.nan_to_num((1.0 - some) * part.quiet))  # masked pixels have none
            ratio = disc.sum(axis=(1, 2)) / np.maximum(ring.sum(axis=(1, 2)), 1)

            def summed(values: Floats, disc: Any = disc, ring: Any = ring, ratio: Any = ratio) -> Floats:
                return np.asarray(
                    np.sum(values, axis=(1, 2), where=disc) - ratio * np.sum(values, axis=(1, 2), where=ring)
                )

            intensity[rows] += summed(counts)
            if self.main[part.offset]:
                background[rows] += np.sum(part.quiet, axis=(1, 2), where=disc)
            picked = part.picked(counts, snr)
            for column, wide in enumerate(grow):
                rest = np.where(grown(picked, wide), 0.0, counts - part.drawn(snr, quiet=wide > 0))
                lost[rows, column] += summed(rest)
        return intensity, background, lost


def take_sample(
    run: PreparedRun, centers: Sequence[int], reach: int, *, enough: int | None = None, plain: bool = False
) -> Sample:
    """Sum the reflections that have their maximum in some frames.

    Parameters
    ----------
    run : PreparedRun
        With a device.
    centers : sequence of int
        Frames in whose windows reflections are looked for.
    reach : int
        Frames before and after each that belong to its window; 0 = stills.
    enough : int, optional
        Reflections after which no more frames are looked at.
    plain : bool
        Only for thresholds without px around: quicker.
    """
    half = _DISC[1] + 4 + GROW
    parts: list[Part] = []
    away: list[Floats] = []
    d: list[Floats] = []
    used, first = [], 0
    for center in centers:
        if enough is not None and first >= enough:
            break
        window = range(max(0, center - reach), min(len(run.frames), center + reach + 1))
        try:
            peaks, boxes = _window(run, window, center, half, plain)
        except FileError:
            continue  # a missing frame is told when its turn comes
        used.append(center)
        if not len(peaks):
            continue
        parts += [
            replace(part, spot=part.spot + first, offset=number - center + reach)
            for part, number in zip(boxes, window, strict=True)
        ]
        step = np.arange(-half, half + 1)
        slow, fast = (np.floor(peaks[name])[:, None] + 0.5 + step - peaks[name][:, None] for name in ("slow", "fast"))
        away.append(np.hypot(slow[:, :, None], fast[:, None, :]))
        d.append(peaks["d"].astype(np.float64))
        first += len(peaks)
    side = 2 * half + 1
    whole = Sample(
        parts,
        np.concatenate([np.zeros((0, side, side)), *away]),
        np.concatenate([np.zeros(0), *d]),
        tuple(used),
        float(_DISC[1]),
        np.ones(2 * reach + 1, bool),
        np.ones(2 * reach + 1, bool),
        0.0,
    )
    return _fitted(whole, reach) if len(whole) else whole


def _window(run: PreparedRun, window: range, center: int, half: int, plain: bool) -> tuple[PeakList, list[Part]]:
    """Reflections whose maximum is in the middle of a window, and their boxes on each of its frames."""
    peaks: PeakList = run.separator.peaks(run.read(center), _FIND, noise=run.settings.noise, number=center)
    near = KDTree(np.column_stack([peaks["slow"], peaks["fast"]])).query(
        np.column_stack([peaks["slow"], peaks["fast"]]), k=2
    )[0][:, 1] if len(peaks) > 1 else np.full(len(peaks), np.inf)  # fmt: skip
    good = ((peaks["flags"] & int(_UNFIT)) == 0) & (near > 2.0 * _DISC[0] + 2.0)
    for name, size in zip(("slow", "fast"), run.frames.shape, strict=True):
        good &= (peaks[name] >= half + 1) & (peaks[name] <= size - half - 1)
    peaks = peaks[good]
    if len(peaks) > _SEEN:
        some = np.random.default_rng([_SEEN, center]).choice(len(peaks), _SEEN, replace=False)
        peaks = peaks[np.sort(some)]
    if not len(peaks):
        return peaks, []
    boxes = [_boxes(run, number, peaks, half, plain) for number in window]
    step = np.arange(-half, half + 1)
    away = np.hypot(*np.broadcast_arrays(step[:, None], step[None, :]))
    inner, middle = away <= _DISC[0] + 0.5, window.index(center)
    sums = np.stack([np.where(inner, part.counts - part.quiet, 0.0).sum(axis=(1, 2)) for part in boxes])
    whole = ~np.any([(part.lost & (away <= _DISC[1])).any(axis=(1, 2)) for part in boxes], axis=0)
    keep = whole & (sums[middle] >= sums.max(axis=0)) & (sums[middle] > 0.0)
    number = np.arange(np.count_nonzero(keep))
    return peaks[keep], [replace(part.select(keep), spot=number) for part in boxes]


def _boxes(run: PreparedRun, number: int, peaks: PeakList, half: int, plain: bool) -> Part:
    frame = run.read(number)
    sparse: SparseFrame = run.separator.sparsify(frame, _QUIET[0], run.settings.noise, number=number)
    spots = np.zeros(frame.shape, bool)
    spots.ravel()[sparse.index] = True
    rest = sparse.background
    if not plain:
        spots = grown(spots, _QUIET[1])
        around = np.flatnonzero(spots).astype(np.uint32)
        rest = rest_background(replace(sparse, index=around, value=frame.ravel()[around]), frame)
    rings, step = run.rings, np.arange(-half, half + 1)
    slow, fast = (np.floor(peaks[name]).astype(np.intp)[:, None] + step for name in ("slow", "fast"))
    at = slow[:, :, None], fast[:, None, :]
    raw = frame[at]
    lost = unusable(raw, run.valid) | ~np.isfinite(rings.position[at])
    counts = raw.astype(np.float64) - (0.0 if rings.dark is None else rings.dark[at])
    return Part(
        spot=np.arange(len(peaks)),
        offset=0,
        counts=np.where(lost, 0.0, counts),
        place=rings.position[at].astype(np.float64),
        weight=rings.weight[at].astype(np.float64),
        occupied=spots[at] | lost,
        lost=lost,
        background=sparse.background,
        rest=rest,
        noise=run.settings.noise,
        dtype=frame.dtype,
    )


def _fitted(sample: Sample, reach: int) -> Sample:
    """With the disc and the frames that hold the reflections, from the mean of the stronger half of them."""
    radii = np.arange(1.0, _DISC[1] + 1.5)
    total = np.zeros((2 * reach + 1, len(radii)))
    strength = np.zeros(len(sample))
    inner = sample.away <= _DISC[0] + 0.5
    for part in sample.parts:
        strength[part.spot] += np.where(inner[part.spot], part.counts - part.quiet, 0.0).sum(axis=(1, 2))
    strong = strength >= np.median(strength)
    for part in sample.parts:
        rows = np.flatnonzero(strong[part.spot])
        excess, far = (part.counts - part.quiet)[rows], sample.away[part.spot[rows]]
        total[part.offset] += [excess[far <= radius].sum() for radius in radii]
    growth = np.diff(total.sum(axis=0)) / total.sum(axis=0)[:-1]
    # neighbours make it grow again
    faint = np.flatnonzero((growth < _FAINT) | (np.append(growth[1:], np.inf) > growth))
    disc = float(np.clip(radii[faint[0]] if len(faint) else _DISC[1], *_DISC))
    share = total[:, np.searchsorted(radii, disc)]
    beside = float(0.5 * (share[reach - 1] + share[reach + 1]) / share[reach]) if reach else 0.0
    share /= share.sum()
    support = share >= _SHARE
    low, high = np.flatnonzero(support)[[0, -1]]
    support[low : high + 1] = True
    half, need = sample.away.shape[1] // 2, int(disc) + 4 + GROW
    core = slice(half - need, half + need + 1)
    return replace(
        sample, parts=[part.select(slice(None), core) for part in sample.parts], away=sample.away[:, core, core],
        disc=disc, support=support, main=share >= _MAIN, beside=beside,
    )  # fmt: skip
