"""From frames to clean rings to pairs of exposures: what happens before rings are correlated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.correlate.exposures import NO_DATA
from crystint.correlate.pairs.curve_likeness import Likeness, likeness
from crystint.correlate.pairs.pairing import pair_exposures
from crystint.correlate.polar.background import chebyshev_background, fourier_background, remove_peaks
from crystint.correlate.polar.curves import RingCurves
from crystint.correlate.polar.outliers import RingOutliers
from crystint.correlate.polar.polar import PolarTransform
from crystint.engine import Engine
from crystint.errors import FileError, SettingError

if TYPE_CHECKING:
    from crystint.correlate.exposures import Exposures, Progress
    from crystint.correlate.sums.correlator import Correlator

__all__ = ["CURVES", "DIFFERENCES", "SCALES", "SUBTRACT", "Chain", "Cleaning"]

CURVES = ("fourier", "chebyshev")
DIFFERENCES = ("optimal", "greedy", "next")
SCALES = ("none", "frame", "ring")
SUBTRACT = ("none", "mean", "curve")
_SAMPLES = 720
"""of a polynomial by which exposures are compared"""
Exposure = tuple[NDArray[np.float32], NDArray[np.float32] | None]
"""values, and weights where these are not 0 and 1"""


@dataclass(frozen=True)
class Cleaning:
    """What is done to the rings of each exposure before they are correlated, in this order."""

    outliers: float = 5.0
    """values farther from the median of their ring are taken away, in robust standard deviations; 0 = none"""
    curve: str = "fourier"
    """of the background around a ring: "fourier" or "chebyshev" (LOKI's)"""
    order: int | None = None
    """harmonics of it (None = 3), or degree (None = 15)"""
    peaks: float = 0.0
    """values farther from the curve are taken away with two neighbours on either side; 0 = none"""
    scale: str = "none"
    """divide by the mean of the "frame" or of each "ring"; "none" = counts stay"""
    subtract: str = "none"
    """the "mean" of each ring, or its "curve"; not of differences"""

    def __post_init__(self) -> None:
        for name, known in {"curve": CURVES, "scale": SCALES, "subtract": SUBTRACT}.items():
            if getattr(self, name) not in known:
                raise SettingError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")
        if not (0.0 <= self.outliers < np.inf and 0.0 <= self.peaks < np.inf):
            raise SettingError("outliers and peaks must be 0 or more standard deviations")

    def kind(self, difference: bool) -> str:
        """In words, what correlations of such rings can be added to."""
        scaled = "counts" if self.scale == "none" else f"scaled by {self.scale}"
        if difference:
            return f"difference, {scaled}"
        return f"single, {scaled}" + ("" if self.subtract == "none" else f", {self.subtract} subtracted")

    def curves(self, values: NDArray[Any]) -> RingCurves:
        """The curve of each ring."""
        if self.curve == "chebyshev":
            return chebyshev_background(values, degree=15 if self.order is None else self.order)
        return fourier_background(values, harmonics=3 if self.order is None else self.order)


class Chain:
    """Clean rings of exposures, one after the other."""

    def __init__(self, exposures: Exposures, transform: PolarTransform, cleaning: Cleaning, engine: Engine) -> None:
        self.exposures, self.transform, self.cleaning = exposures, transform, cleaning
        self._outliers = RingOutliers(engine, cleaning.outliers) if cleaning.outliers > 0.0 else None
        self._engine = engine

    def each(self, progress: Progress) -> Iterator[Exposure]:
        """The clean rings of every exposure that can be read and has data, each by itself.

        Raises
        ------
        FileError
            When none has.
        """
        total = len(self.exposures.frames)
        any_at_all = False
        for _, (values, weights) in self._with_data(progress(range(total), total, "correlate")):
            any_at_all = True
            if self.cleaning.subtract == "curve":
                values = values - self.cleaning.curves(values).values.astype(np.float32)
            yield values, weights
        if not any_at_all:
            raise FileError(f"no frame has data: {NO_DATA}")

    def differences(self, correlator: Correlator, how: str, block: int, progress: Progress) -> list[str]:
        """Correlate the differences of pairs of exposures; what to tell of exposures without a partner.

        Curves are kept of one block of exposures at a time; frames are read twice, but for the method "next".

        Raises
        ------
        SettingError
            When there are fewer than two exposures, none can be paired, or another setting is impossible.
        FileError
            When fewer than two can be read.
        """
        total = len(self.exposures.frames)
        if how not in DIFFERENCES:
            raise SettingError(f"difference is {how!r}, expected one of {', '.join(DIFFERENCES)}")
        if total < 2:
            raise SettingError(f"differences need two exposures, and there is {total}")
        if block < 2:
            raise SettingError(f"block is {block}, expected 2 or more")
        if how == "next":
            left = self._neighbours(correlator, progress)
        else:
            left = self._alike(correlator, how, block, progress)
        if len(left) + len(self.exposures.missing) >= total:
            read = total - len(self.exposures.missing)
            if read < 2:
                some = "could be read" + (" and have data" if NO_DATA in self.exposures.missing.values() else "")
                raise FileError(f"differences need two exposures, and {read} of {total} {some}")
            raise SettingError("no two exposures can be paired: their rings have too few values for a curve")
        if not left:
            return []
        shown = ", ".join(map(str, left[:10])) + (", ..." if len(left) > 10 else "")
        return [f"{len(left)} exposure{'' if len(left) == 1 else 's'} without a partner: {shown}"]

    def _neighbours(self, correlator: Correlator, progress: Progress) -> list[int]:
        total = len(self.exposures.frames)
        waiting: tuple[int, Exposure] | None = None
        for number, one in self._with_data(progress(range(total), total, "correlate")):
            if waiting is None:
                waiting = number, one
                continue
            _add(correlator, waiting[1], one)
            waiting = None
        return [] if waiting is None else [waiting[0]]

    def _alike(self, correlator: Correlator, how: Any, block: int, progress: Progress) -> list[int]:
        total = len(self.exposures.frames)
        bounds = list(range(0, total, block))
        if len(bounds) > 1 and total - bounds[-1] < max(2, block // 4):
            bounds.pop()  # a short rest joins the block before it
        steps = iter(progress(_twice(bounds, total), 2 * total, "pair and correlate"))
        left: list[int] = []
        for begin, end in zip(bounds, [*bounds[1:], total], strict=True):
            numbers, points = [], []
            for number, (values, _) in self._with_data(_take(steps, end - begin)):
                numbers.append(number)
                points.append(self._likeness(values))
            if sum(bool(np.isfinite(one.points).all()) for one in points) < 2:
                left += numbers
                list(_take(steps, end - begin))
                continue
            curves = Likeness(
                *(np.concatenate([getattr(one, part) for one in points]) for part in ("points", "errors"))
            )
            found = pair_exposures(curves.points, how, alike=curves.alike)
            partner = {numbers[i]: numbers[j] for i, j in found.pairs}
            paired: set[int] = set()
            waiting: dict[int, Exposure] = {}
            moved = _take(steps, end - begin)
            for number, one in self._with_data([one for pair in partner.items() for one in pair]):
                next(moved, None)
                if number in partner:
                    waiting = {number: one}
                    continue
                for first, other in waiting.items():
                    if partner[first] == number:
                        _add(correlator, other, one)
                        paired |= {first, number}
            list(moved)
            left += [number for number in numbers if number not in paired and number not in self.exposures.missing]
        return left

    def _with_data(self, numbers: Iterable[int]) -> Iterator[tuple[int, Exposure]]:
        """(number, clean rings) of exposures; one without any data is missing, as if it could not be read."""
        for number, frame in self.exposures.each(numbers):
            one = self._clean(frame)
            if np.isfinite(one[0]).any():
                yield number, one
                continue
            if self.exposures.strict:
                raise FileError(f"frame {number}: {NO_DATA}")
            self.exposures.missing[number] = NO_DATA

    def _clean(self, frame: NDArray[Any]) -> Exposure:
        image, cleaning = self.transform.run(frame), self.cleaning
        values: NDArray[Any] = image.values
        if self._outliers is not None:
            clean = self._outliers.run(values, clean=True).clean
            assert clean is not None
            values = clean
        if cleaning.peaks > 0.0:
            curves = cleaning.curves(values)
            values = remove_peaks(values, curves, threshold=cleaning.peaks, engine=self._engine).values
        if cleaning.scale != "none":
            about = _mean(values, axis=1)[:, None] if cleaning.scale == "ring" else _mean(values)
            with np.errstate(invalid="ignore", divide="ignore"):
                values = values / np.where(about > 0.0, about, np.nan).astype(np.float32)
        if self.transform.method == "nearest":
            return values, None
        return values, np.where(np.isfinite(values), image.weights, np.float32(0.0))

    def _likeness(self, values: NDArray[np.float32]) -> Likeness:
        """The smooth anisotropy of an exposure, by which it finds its partner.

        Of one ring it is its curve; of several, that of the mean of the rings, each over its own mean.
        """
        line = values.astype(np.float64)
        if len(values) > 1:
            about = _mean(line, axis=1)[:, None]
            with np.errstate(invalid="ignore", divide="ignore"):
                line = _mean(line / np.where(about > 0.0, about, np.nan), axis=0)[None]
        if self.cleaning.curve == "fourier":
            return likeness(line, harmonics=3 if self.cleaning.order is None else self.cleaning.order)
        curve = self.cleaning.curves(line).values
        return Likeness(curve[:, :: max(1, curve.shape[1] // _SAMPLES)] if len(values) > 1 else curve, np.zeros(1))


def _add(correlator: Correlator, first: Exposure, second: Exposure) -> None:
    weights = None
    if first[1] is not None and second[1] is not None:
        weights = np.minimum(first[1], second[1])
    correlator.add_difference(first[0], second[0], weights)


def _mean(values: NDArray[Any], axis: int | None = None) -> Any:
    """Mean of finite values; NaN where there are none."""
    good = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(good, values, 0.0).sum(axis=axis, dtype=np.float64) / good.sum(axis=axis)


def _twice(bounds: list[int], total: int) -> Iterator[int]:
    """Numbers of frames in the order of work: each block twice."""
    for begin, end in zip(bounds, [*bounds[1:], total], strict=True):
        yield from range(begin, end)
        yield from range(begin, end)


def _take(items: Iterable[int], count: int) -> Iterator[int]:
    for _ in range(count):
        try:
            yield next(items)  # type: ignore[call-overload]
        except StopIteration:
            return
