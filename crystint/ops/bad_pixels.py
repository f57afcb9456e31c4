"""Which pixels of a detector are bad, from the statistics of many frames.

Each pixel is compared with what its ring has it expect, corrected by the level of its surroundings (a tile of 16 px),
so that uneven background is no defect. Significance is that of a negative binomial law: Poisson's, widened by the
excess variance of the ring and by how unequal the good pixels of this detector are found to be. The limits are such
that the whole detector is expected to lose `false_pixels` good ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import chi2, nbinom, norm, poisson

from crystint.model.geometry import Geometry
from crystint.model.mask import USER_MASK
from crystint.model.rings import RingMap
from crystint.ops.bright_shapes import is_alone, is_block, leaks, least_leak
from crystint.ops.local_level import local_level
from crystint.ops.places import FEWEST, SHARE, STEADY, Motion, steady, zeta_at
from crystint.ops.run_statistics import RunStatistics
from crystint.ops.shadow import find_shadow

__all__ = ["BadPixels", "MaskBit", "find_bad_pixels"]


class MaskBit(IntFlag):
    """Bits of an NXmx pixel mask."""

    GAP = 1
    """no sensor, or no measurement in any frame"""
    DEAD = 2
    """no counts, or the same counts in every frame"""
    UNDER = 4
    """under-responding: less than half of its surroundings"""
    OVER = 8
    """over-responding, hot: bright throughout"""
    NOISY = 16
    """counts vary more than they can, or a measurement is there in few frames only"""
    CLUSTER = 64
    """part of a cluster of bad pixels, in addition"""
    USER = USER_MASK
    """beam stop and its holder; and what a mask that was given had masked"""


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for."""

    false_pixels: float = 1.0
    """good pixels that may be masked by chance, in the whole detector"""
    beam_stop: bool = True
    margin: int = 2
    """px by which the shadow of a beam stop is grown"""


@dataclass(frozen=True, slots=True, eq=False)
class BadPixels:
    """What was found."""

    mask: NDArray[np.uint32]
    """uint32 [slow, fast]: `MaskBit`; without the masks that were given"""
    counts: Mapping[str, int]
    """pixels of each class"""
    bright: NDArray[np.int32]
    """int32 [slow, fast]: number of the bright region, not masked, that a pixel belongs to; 0 = none"""
    notes: tuple[str, ...] = field(default=())
    """what could not be told, and why"""


_BRIGHT, _WEAK = 1.5, 0.5
"""counts over those of the surroundings, of a bright and of an under-responding pixel"""
_LEAST_FRAMES, _LEAST_SHARE = 2.5, 0.05
"""frames that the excess of a bright pixel must be spread over, and their share of all"""
_HOT = 0.5
"""share of the frames that the excess of a hot pixel is spread over; of a flickering one it is less"""
_NOISE, _NOISE_FRAMES = 3.0, 6.0
"""variance over the expected one; frames that the excess of a noisy pixel's variance must be spread over"""
_CROWDED = 10.0
"""spots on a pixel where they stand most densely, over the mean of the detector"""
_MOST_DARK = 0.25
"""share of the detector that a beam stop may cover"""
_UNEVEN = 0.01
"""least relative spread of good pixels"""
_TESTS = 4
"""kinds of bad pixels that share the expected false ones"""


def find_bad_pixels(
    statistics: RunStatistics,
    rings: RingMap,
    geometry: Geometry,
    motion: Motion,
    turn_limit: float,
    visits: float,
    search: Search | None = None,
) -> BadPixels:
    """Classify the pixels of a detector.

    Parameters
    ----------
    statistics : RunStatistics
    rings : RingMap
        Pixels that its mask has are left alone.
    geometry : Geometry
    motion : Motion
        Whether the crystal moves: without that a bright region that can be a spot is not masked.
    turn_limit : float
        Degrees that a reflection may last at zeta = 1, of a scan.
    visits : float
        Frames on which a spot covers a pixel, on average over the detector.
    search : Search, optional
    """
    return _Detector(statistics, rings, geometry, search or Search()).classified(motion, turn_limit, visits)


@dataclass(frozen=True, slots=True, eq=False)
class _Regions:
    """Connected pixels that are bright in the sum of all frames."""

    labels: NDArray[np.int32]
    """int32 [slow, fast]: number of the region + 1; 0 = none"""
    top: NDArray[np.intp]
    """int [regions]: number of the brightest pixel"""
    size: NDArray[Any]
    """int [regions]: pixels"""
    spread: NDArray[np.float64]
    """float64 [regions]: frames that the excess of the brightest pixel is spread over"""
    steadiness: NDArray[np.float64]
    """float64 [regions]: excess of the weakest third of the run over that of the strongest"""


class _Detector:
    """The statistics of a run, and what follows from them."""

    def __init__(self, statistics: RunStatistics, rings: RingMap, geometry: Geometry, search: Search) -> None:
        self.statistics, self.rings, self.geometry, self.search = statistics, rings, geometry, search
        sums, expected = statistics.sums, statistics.expected(rings)
        self.frames = sums.frames
        self.number = sums.number.astype(np.float64)
        self.good = rings.mask == 0
        in_a_ring = self.good & (self.number > 0) & np.isfinite(expected.counts)
        self.usable = in_a_ring & (self.number >= 0.5 * self.frames)
        self.total = np.where(self.usable, sums.total, 0.0).astype(np.float64)
        self.from_rings = np.where(self.usable, np.maximum(expected.counts, 0.0), 0.0)
        self.read_out = np.where(self.usable, expected.read_out, False)
        self.changes = np.where(self.usable, expected.changes, 0.0)
        noise = np.where(self.usable, np.maximum(expected.variance, 0.0), 0.0)
        self.limit = search.false_pixels / (_TESTS * max(_count(self.usable), 1))
        self.ring_noise = self.noise = self.variance = noise
        self.expected = self.from_rings
        spots = _about(self._above(self.usable))
        self.level = local_level(self.total, self.from_rings, noise, self.usable, spots)
        self.expected = self.from_rings * self.level
        self.noise = noise * np.where(self.read_out, 1.0, self.level)
        self.uneven = self._unevenness()
        self.variance = self.noise + (self.uneven * self.expected) ** 2

    def _unevenness(self) -> float:
        """Relative spread of good pixels beyond that of counting, from those below the middle."""
        many = np.flatnonzero(self.usable & (self.expected >= 20.0))
        if len(many) < 1000:
            return _UNEVEN
        some = many[:: max(1, len(many) // 200_000)]
        mean, noise = self.expected.flat[some], self.noise.flat[some]
        z = (self.total.flat[some] - mean) / np.sqrt(noise)
        middle, low = np.percentile(z, [50.0, 15.87])
        more = max((middle - low) ** 2 - 1.0, 0.0) * float(np.median(noise / mean**2))
        return max(_UNEVEN, float(np.sqrt(more)))

    def classified(self, motion: Motion, turn_limit: float, visits: float) -> BadPixels:
        """The mask."""
        mask = np.zeros(self.good.shape, np.uint32)
        mask[self.good & (self.number == 0)] = MaskBit.GAP
        mask[self.good & (self.number > 0) & (self.number < 0.5 * self.frames)] = MaskBit.NOISY
        notes: list[str] = []
        shadow = self._shadow(self._above(self.usable), notes)
        mask[shadow & self.usable] = MaskBit.USER
        lit = self.usable & ~shadow
        mask[self._dead(lit, notes)] |= np.uint32(MaskBit.DEAD)
        mask[self._under(lit & (mask == 0))] |= np.uint32(MaskBit.UNDER)
        excess = np.where(lit, self.total - self.expected, np.nan)
        above = self._above(lit)
        left = self._bright(mask, excess, above, motion, turn_limit, visits)
        mask[self._noisy(lit & (mask == 0), above)] |= np.uint32(MaskBit.NOISY)
        counts = {
            "hot": _count(mask & MaskBit.OVER),
            "flickering": _count(((mask & MaskBit.NOISY) != 0) & ((mask & MaskBit.OVER) == 0)),
            "dead": _count(mask & MaskBit.DEAD),
            "under-responding": _count(mask & MaskBit.UNDER),
            "in clusters": _count(mask & MaskBit.CLUSTER),
            "beam stop": _count(mask & MaskBit.USER),
            "without measurement": _count(mask & MaskBit.GAP),
        }
        return BadPixels(mask, counts, left, tuple(notes))

    def _shadow(self, above: NDArray[np.bool_], notes: list[str]) -> NDArray[np.bool_]:
        """The beam stop, and dark regions that are not connected to it, which are told."""
        if not self.search.beam_stop:
            return np.zeros(self.good.shape, bool)
        exposure = self.number * np.nan_to_num(self.rings.weight.astype(np.float64))
        background = self.usable & ~_about(above)
        shadow = find_shadow(
            self.total, exposure, self.from_rings, self.ring_noise, self.rings.position, background,
            self.geometry.direct_beam, self.search.margin,
        )  # fmt: skip
        if not shadow.tile:
            typical = float(np.median(self.from_rings[self.usable])) if self.usable.any() else 0.0
            notes.append(f"a beam stop cannot be told: {typical:.2g} counts expected in a pixel, of all frames")
        if shadow.apart.any():
            notes.append(
                f"{_count(shadow.apart)} pixels are dark in regions that touch neither the beam nor the border: not "
                "masked as a beam stop"
            )
        share = _count(shadow.pixels & self.usable) / max(_count(self.usable), 1)
        if share > _MOST_DARK:
            notes.append(f"{share:.0%} of the detector is darker than its rings, too much for a beam stop: not masked")
            return np.zeros(self.good.shape, bool)
        return shadow.pixels

    def _dead(self, lit: NDArray[np.bool_], notes: list[str]) -> NDArray[np.bool_]:
        """No counts where some are expected, or the same in every frame where they must differ."""
        sums = self.statistics.sums
        with np.errstate(divide="ignore", invalid="ignore"):
            wide = self.variance > self.expected * (1.0 + 1e-9)
            shape = np.where(wide, self.expected**2 / (self.variance - self.expected), np.inf)
            log_none = np.where(wide, shape * np.log(self.expected / self.variance), -self.expected)
            log_same = (self.number - 1.0) * _log_most_likely(self.total / self.number)
            same = sums.squares * self.number == self.total**2
        telling = lit & (log_none < np.log(self.limit))
        share = _count(telling) / max(_count(lit), 1)
        if share < 0.99:
            expect = float(np.median(self.expected[lit])) if lit.any() else 0.0
            needed = -np.log(self.limit)
            more = int(np.ceil(self.frames * needed / expect)) if expect > 0 else 0
            notes.append(
                f"dead pixels can be told from good ones in {share:.0%} of the detector: {needed:.0f} expected counts "
                f"are needed, and the middle pixel has {expect:.2g}" + (f"; {more} frames such as these" * (more > 0))
            )
        none = telling & (self.total == 0) & same
        stuck = lit & same & (self.total > 0) & (log_same < np.log(self.limit)) & (self.number > 2)
        stuck |= lit & same & self.read_out & (self.number > 2)
        return np.asarray(none | (stuck & (self.total < _BRIGHT * self.expected)))

    def _under(self, lit: NDArray[np.bool_]) -> NDArray[np.bool_]:
        below = lit & (self.total < _WEAK * self.expected)
        some = np.flatnonzero(below & (self.expected - self.total > 3.0 * np.sqrt(self.variance)))
        chance = self._tail(some, upper=False)
        return _at(some[chance < self.limit], lit.shape)

    def _above(self, lit: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Pixels with more counts than chance gives."""
        some = np.flatnonzero(lit & (self.total - self.expected > 3.0 * np.sqrt(self.variance)))
        chance = self._tail(some, upper=True)
        return _at(some[chance < self.limit], lit.shape)

    def _tail(self, pixels: NDArray[np.intp], *, upper: bool) -> NDArray[np.float64]:
        """Chance of so many counts in pixels, or more (fewer): negative binomial; with read-out noise the larger of
        that and the Gaussian one."""
        counts, mean = self.total.flat[pixels], self.expected.flat[pixels]
        wide = np.maximum(self.variance.flat[pixels], mean * (1.0 + 1e-6))
        share = np.clip(mean / wide, 1e-12, 1.0 - 1e-12)
        size, whole = mean * share / (1.0 - share), np.ceil(counts)
        chance = np.asarray(nbinom.sf(whole - 1.0, size, share) if upper else nbinom.cdf(whole, size, share))
        z = (counts - mean) / np.sqrt(wide)
        gaussian = norm.sf(z) if upper else norm.cdf(z)
        return np.where(self.read_out.flat[pixels], np.maximum(chance, gaussian), chance)

    def spread_over(self) -> NDArray[np.float64]:
        """float64 [slow, fast]: frames that the excess is spread over: the square of its sum over the sum of its
        squares, the variance of counting taken out."""
        excess = self.total - self.expected
        with np.errstate(divide="ignore", invalid="ignore"):
            background = self.expected / self.number
            squares = (
                self.statistics.sums.squares
                - self.noise
                - self.number * self.changes * self.level**2
                - excess
                - 2.0 * background * excess
                - self.number * background**2
            )
            return np.clip(excess**2 / np.maximum(squares, excess**2 / self.number), 0.0, self.number)

    def _bright(
        self, mask: NDArray[np.uint32], excess: NDArray[np.float64], above: NDArray[np.bool_], motion: Motion,
        turn_limit: float, visits: float,
    ) -> NDArray[np.int32]:  # fmt: skip
        """Mask the bright regions that are no spots; number those that may be some."""
        spread = self.spread_over()
        lasting = above & (self.total >= _BRIGHT * self.expected)
        lasting &= spread >= max(_LEAST_FRAMES, _LEAST_SHARE * self.frames)
        bad = self._no_spots(
            mask, excess, self._regions(excess, above, spread), lasting, scanned=motion.scan is not None
        )
        by_chance = float(poisson.isf(self.limit, _CROWDED * visits))
        places = self._regions(excess, lasting & (spread >= max(SHARE * self.frames, by_chance)), spread)
        stays = self._persistent(places, motion, turn_limit)
        bad |= self._marked(mask, places, stays, np.ones(len(stays), bool))
        regions = ndimage.label(lasting & ~bad, np.ones((3, 3)))[0]
        return np.asarray(regions, np.int32)

    def _no_spots(
        self, mask: NDArray[np.uint32], excess: NDArray[np.float64], regions: _Regions, lasting: NDArray[np.bool_], *,
        scanned: bool,
    ) -> NDArray[np.bool_]:  # fmt: skip
        """Mask bright regions whose shape no spot has; a flickering one must do so throughout a scan."""
        leak = leaks(excess, self._error(excess), regions.top)
        alone = is_alone(*leak, excess.flat[regions.top], self._least_leak(excess, regions.labels > 0))
        steadily = regions.steadiness >= STEADY
        gone = (regions.size == 1) & alone & (steadily | (not scanned))
        always = (regions.spread >= _HOT * self.frames) & steadily
        lasts = lasting.flat[regions.top]
        for number in np.flatnonzero(lasts & always & (regions.size > 1)):
            gone[number] = self._is_block(excess, regions, int(number))
        return self._marked(mask, regions, gone & lasts, always)

    def _marked(
        self, mask: NDArray[np.uint32], regions: _Regions, gone: NDArray[np.bool_], always: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """bool [slow, fast]: the pixels of regions that are masked now."""
        bad, cluster, often = (
            np.append(False, part)[regions.labels]
            for part in (gone, gone & (regions.size > 1), always & (regions.spread >= _HOT * self.frames))
        )
        mask[bad & (often | cluster)] |= np.uint32(MaskBit.OVER)
        mask[bad & ~often & ~cluster] |= np.uint32(MaskBit.NOISY)
        mask[cluster] |= np.uint32(MaskBit.CLUSTER)
        return np.asarray(bad)

    def _regions(self, excess: NDArray[np.float64], pixels: NDArray[np.bool_], spread: NDArray[np.float64]) -> _Regions:
        """The connected ones of some pixels."""
        labels, count = ndimage.label(pixels, np.ones((3, 3)))
        labels = labels.astype(np.int32)
        index = np.arange(1, count + 1)
        if not count:
            none = np.zeros(0)
            return _Regions(labels, none.astype(np.intp), none, none, none)
        tops = ndimage.maximum_position(np.nan_to_num(excess), labels, index)
        top = np.array([slow * labels.shape[1] + fast for slow, fast in tops], np.intp)
        thirds = np.zeros((count, 3))
        for number in range(3):
            frames = max(int(self.statistics.frames[number]), 1)
            expected = np.nan_to_num(self.statistics.expected(self.rings, number).counts) * self.level
            over = np.where(self.usable, self.statistics.third(number) - expected, 0.0)
            thirds[:, number] = ndimage.sum_labels(over, labels, index) / frames
        size = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        return _Regions(labels, top, size, spread.flat[top], steady(thirds))

    def _least_leak(self, excess: NDArray[np.float64], above: NDArray[np.bool_]) -> float:
        """What the narrowest spots of this run leak into their neighbours."""
        tops = np.flatnonzero(above & (excess >= ndimage.maximum_filter(np.nan_to_num(excess), 3)))
        noise = np.where(np.isfinite(excess), self.variance + np.maximum(excess, 0.0), np.nan)
        return least_leak(*leaks(excess, noise, tops))

    def _is_block(self, excess: NDArray[np.float64], regions: _Regions, number: int) -> bool:
        slow, fast = np.nonzero(regions.labels == number + 1)
        window = (slice(max(slow.min() - 1, 0), slow.max() + 2), slice(max(fast.min() - 1, 0), fast.max() + 2))
        inside = regions.labels[window] == number + 1
        return is_block(excess[window], self._error(excess)[window], inside)

    def _error(self, excess: NDArray[np.float64]) -> NDArray[np.float64]:
        """Variance of the excess of a pixel that has none."""
        return np.where(np.isfinite(excess), self.variance, np.nan)

    def _persistent(self, regions: _Regions, motion: Motion, turn_limit: float) -> NDArray[np.bool_]:
        """bool [regions]: which of those that are bright on many frames stay although the crystal moves."""
        if not motion.moves or self.frames < FEWEST:
            return np.zeros(len(regions.top), bool)
        stays = regions.steadiness >= STEADY
        if motion.scan is not None:
            slow, fast = np.divmod(regions.top, regions.labels.shape[1])
            zeta = zeta_at(slow + 0.5, fast + 0.5, motion.scan, self.geometry)
            width = float(np.median(np.abs(motion.scan.width[: self.frames])))
            stays &= regions.spread * width * zeta > turn_limit
        return np.asarray(stays)

    def _noisy(self, lit: NDArray[np.bool_], above: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Counts that vary more than they can, without a spot near."""
        if self.frames < FEWEST:
            return np.zeros(lit.shape, bool)
        sums, n = self.statistics.sums, self.number
        spots = _about(above)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = self.total / n
            likely = np.maximum(mean * self.noise / self.expected, self.noise / n) + self.changes * self.level**2
            scatter = np.maximum(sums.squares - self.total * mean, 0.0)
            ratio = scatter / ((n - 1.0) * likely)
            farthest = np.maximum((sums.maximum - mean) ** 2, 1e-300)
            frames = (scatter - (n - 1.0) * likely) / farthest
            some = lit & ~spots & (mean >= 1.0) & (ratio > _NOISE)
            some &= frames >= np.maximum(_NOISE_FRAMES, _LEAST_SHARE * n)
        chosen = np.flatnonzero(some)
        free = 2.0 / (2.0 / (n.flat[chosen] - 1.0) + 1.0 / (n.flat[chosen] * mean.flat[chosen]))
        chance = chi2.sf(ratio.flat[chosen] * free, free)
        return _at(chosen[chance < self.limit], lit.shape)


def _count(pixels: NDArray[np.generic]) -> int:
    return int(np.count_nonzero(pixels))


def _about(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels and all within two of them."""
    return np.asarray(ndimage.binary_dilation(pixels, np.ones((3, 3)), iterations=2))


def _at(pixels: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    image = np.zeros(shape, bool)
    image.flat[pixels] = True
    return image


def _log_most_likely(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of about the largest probability that a Poisson law has for one number."""
    with np.errstate(divide="ignore"):
        return np.where(mean > 0.5, -0.5 * np.log(2.0 * np.pi * np.maximum(mean, 0.5)), -np.maximum(mean, 0.0))
