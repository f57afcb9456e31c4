"""Print the results of frames against known truth, with limits: hits, false hits, and the resolution limit.

    python benchmarks/validate_frames.py [PART ...] [--frames N]

Frames are simulated here: a Poisson background that falls with the angle, and Gaussian spots spread evenly over the
part of the detector that a crystal reaches. PART is one of hits, false-hits, resolution; without it all are run. Ends
with 1 where a row is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

import crystint
from benchmarks.gates import Row, at_least, at_most, print_tables, told, within

SHAPE = (520, 540)
HIT_PEAKS = 10


@dataclass(frozen=True)
class Detector:
    """A small detector, its spacings, and what a blank frame is expected to hold."""

    geometry: crystint.Geometry
    d: NDArray[np.float64]
    background: NDArray[np.float64]

    @classmethod
    def of(cls, level: float) -> Detector:
        """With `level` counts in the middle, and a quarter of that at the corners."""
        geometry = crystint.simulate.simulate(SHAPE).geometry
        q, weight = geometry.q(), geometry.solid_angle() * geometry.polarization_factor()
        return cls(geometry, 2 * np.pi / np.maximum(q, 1e-9), weight * level / (1.0 + 3.0 * (q / q.max()) ** 2))

    def frame(
        self, rng: np.random.Generator, spots: int, limit: float, strength: float, b_factor: float
    ) -> NDArray[np.int32]:
        """Counts with spots down to a spacing: Wilson's law for acentric reflections, and a B factor, angstrom^2."""
        mean = self.background.copy()
        inside = np.flatnonzero((self.d.ravel() >= limit) & (self.d.ravel() < 40.0))
        for pixel in rng.choice(inside, spots, replace=False):
            slow, fast = divmod(int(pixel), SHAPE[1])
            size = strength * rng.exponential() * np.exp(-b_factor / (2.0 * self.d[slow, fast] ** 2))
            top, left = max(slow - 4, 0), max(fast - 4, 0)
            rows = np.arange(top, min(slow + 5, SHAPE[0]))[:, None] - slow - rng.uniform(-0.5, 0.5)
            columns = np.arange(left, min(fast + 5, SHAPE[1])) - fast - rng.uniform(-0.5, 0.5)
            shape = np.exp(-(rows**2 + columns**2) / (2 * 0.8**2)) / (2 * np.pi * 0.8**2)
            mean[top : top + shape.shape[0], left : left + shape.shape[1]] += size * shape
        return rng.poisson(mean).astype(np.int32)


def results_of(frames: Iterator[NDArray[np.int32]], separator: crystint.Separator, **settings: Any) -> list[Any]:
    """Row and peaks of each frame, as `crystint peaks` has them."""
    found = []
    for number, frame in enumerate(frames):
        _, peaks, statistics = separator.examine(frame, None, settings.get("snr", 5.0), 2.0,
                                                 settings.get("connected", 3), number=number)  # fmt: skip
        found.append((separator.rows.row(number, statistics, peaks, hit_peaks=HIT_PEAKS, **settings)[0], peaks))
    return found


def hits(frames: int) -> Iterator[Row]:
    """30 % of the frames have crystals, of which 20 spots or more are well above the background."""
    rng = np.random.default_rng(11)
    detector = Detector.of(2.0)
    separator = crystint.Separator(detector.geometry, rings=300)
    crystal = rng.random(frames) < 0.3
    spots = np.where(crystal, rng.integers(25, 90, frames), rng.integers(0, 4, frames))
    limits = rng.uniform(1.7, 3.5, frames)
    made = (detector.frame(rng, n, limit, 600.0, 0.0) for n, limit in zip(spots, limits, strict=True))
    rows = [row for row, _ in results_of(made, separator)]
    hit = np.array([row["hit"] == 1 for row in rows])
    found = np.array([row["n_no_ice"] for row in rows])
    strong = crystal & (found >= 20)
    yield told("frames, with crystals, of these with 20 peaks or more", f"{frames}, {crystal.sum()}, {strong.sum()}")
    yield at_most("hits of 20 peaks that are missed", float(np.count_nonzero(strong & ~hit)), 0.0, ".0f")
    yield at_most("frames with crystals that are missed", float(np.count_nonzero(crystal & ~hit)), 0.0, ".0f")
    yield at_most("frames without crystals that are hits", float(np.count_nonzero(~crystal & hit)), 0.0, ".0f")
    yield told("false spots expected per frame", f"{np.mean([row['expected_false_spots'] for row in rows]):.2g}")


def false_hits(frames: int, level: float, snr: float, connected: int) -> Iterator[Row]:
    """Blank frames, with a threshold so low that noise makes about as many spots as a hit needs."""
    rng = np.random.default_rng(12)
    detector = Detector.of(level)
    separator = crystint.Separator(detector.geometry, rings=100)
    blank = (rng.poisson(detector.background).astype(np.int32) for _ in range(frames))
    rows = [row for row, _ in results_of(blank, separator, snr=snr, connected=connected)]
    found = np.array([row["n_no_ice"] for row in rows], dtype=np.float64)
    expected = np.array([row["expected_false_spots"] for row in rows])
    chance = poisson.sf(HIT_PEAKS - 1, expected)
    hit = float(np.count_nonzero(found >= HIT_PEAKS))
    spread = float(np.sqrt(np.sum(chance * (1.0 - chance))))
    label = f"{level:g} counts, snr {snr:g}, connected {connected}: "
    lowest = 0.85 if level >= 1.0 else 0.2  # with few counts it is a bound from above
    yield within(label + "false spots over those expected", found.mean() / expected.mean(), lowest, 1.15)
    yield told(
        label + "false spots per frame, variance over mean", f"{found.mean():.2f}, {found.var() / found.mean():.2f}"
    )
    less, more = (poisson.sf(HIT_PEAKS - 1, factor * expected).sum() for factor in (lowest, 1.15))
    low, high = max(less - 4 * spread, 0.0), more + 4 * spread + 1.0
    yield within(label + f"false hits of {frames} frames, {chance.sum():.1f} expected", hit, low, high, ".0f")


def all_false_hits(frames: int) -> Iterator[Row]:
    """Counts from few to many."""
    for level, snr, connected in ((0.05, 3.3, 1), (2.0, 3.1, 2), (40.0, 3.4, 2)):
        yield from false_hits(frames, level, snr, connected)


def resolution(frames: int) -> Iterator[Row]:
    """Crystals that diffract to a known spacing; of the frames those with about 50 peaks."""
    detector = Detector.of(1.0)
    separator = crystint.Separator(detector.geometry, rings=300)
    for b_factor, strength in ((0.0, 900.0), (10.0, 4000.0), (20.0, 15000.0)):
        rng = np.random.default_rng(13)
        limits = rng.uniform(1.6, 3.2, frames)
        found = []
        for limit in limits:
            spots, row, peaks = 60, None, None
            for _ in range(3):  # as many spots as it takes for 50 to be found
                frame = detector.frame(rng, spots, limit, strength, b_factor)
                ((row, peaks),) = results_of(iter([frame]), separator)
                if 40 <= row["n_no_ice"] <= 60:
                    break
                spots = max(10, int(spots * 50 / max(row["n_no_ice"], 1)))
            found.append((limit, row["d_min"], np.percentile(peaks["d"], 5.0), row["n_no_ice"]))
        truth, ours, percentile, count = np.array(found).T
        good = (count >= 40) & (count <= 60) & np.isfinite(ours)
        error = ours[good] - truth[good]
        other = percentile[good] - truth[good]
        label = f"B {b_factor:g}: "
        yield at_least(label + "frames with 40 to 60 peaks", float(good.sum()), 0.8 * frames, ".0f")
        yield at_most(label + "d_min, rms error, angstrom", float(np.sqrt(np.mean(error**2))), 0.1)
        yield within(label + "d_min, mean error, angstrom", float(error.mean()), -0.05, 0.08)
        yield told(
            label + "95th percentile instead: rms, mean error", f"{np.sqrt(np.mean(other**2)):.4f}, {other.mean():.4f}"
        )


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    words, frames = list(arguments), 1000
    if "--frames" in words:
        place = words.index("--frames")
        frames = int(words[place + 1])
        del words[place : place + 2]
    parts = {
        "hits": (f"Hits of {frames} frames, 30 % with crystals", partial(hits, frames)),
        "false-hits": ("False spots and hits of blank frames", partial(all_false_hits, frames)),
        "resolution": ("Resolution limit of frames with 50 peaks", partial(resolution, max(frames // 4, 5))),
    }
    return int(print_tables(parts, words) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
