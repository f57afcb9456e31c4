"""What merging adds up for every unique reflection, and halves of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import ShapeError
from crystint.model.indices import distinct

__all__ = ["MergeSums", "image_halves", "observation_halves"]


def image_halves(count: int, seed: int = 0) -> NDArray[np.int8]:
    """int8 [count]: a random half, 0 or 1, for each image; the halves differ by one image at most."""
    return (np.random.default_rng(seed).permutation(count) % 2).astype(np.int8)


def observation_halves(group: NDArray[np.intp], seed: int = 0) -> NDArray[np.int8]:
    """int8 [n]: a random half, 0 or 1, for each observation; in every group the halves differ by one at most."""
    random = np.random.default_rng(seed)
    if not len(group):
        return np.zeros(0, np.int8)
    order = _shuffled(np.asarray(group, dtype=np.int64), random)
    size = np.bincount(group)
    first = np.cumsum(size) - size
    coin = random.integers(0, 2, len(size))
    half = np.empty(len(group), np.int8)
    half[order] = (np.arange(len(group)) - np.repeat(first - coin, size)) % 2
    return half


def _shuffled(group: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Rows in the order of their groups, in random order inside each: one sort of plain integers."""
    low = max(len(group) - 1, 1).bit_length()
    middle = min(62 - low - int(group.max()).bit_length(), 20)
    if middle < 4:
        return np.asarray(np.lexsort((random.random(len(group)), group)))
    key = (group << (low + middle)) | (random.integers(0, 1 << middle, len(group)) << low) | np.arange(len(group))
    key.sort()
    return key & ((1 << low) - 1)


def _no_pairs() -> Floats:
    return np.zeros((0, 2))


def _no_halves() -> Floats:
    return np.zeros((0, 2, 2, 2))


@dataclass(frozen=True, eq=False)
class MergeSums:
    """Weights, weighted means and spreads of the observations of each unique reflection.

    ``a + b`` is what one pass over the observations of both would have given, where both used the same variances
    and halves; ``MergeSums()`` is zero. Friedel mates are kept apart: the last axis is I(+), I(-); centric
    reflections are all in I(+).
    """

    hkl: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    """int32 [m, 3]: of the asymmetric unit, sorted by h, k, l"""
    count: Floats = field(default_factory=_no_pairs)
    """float64 [m, 2]: observations"""
    weight: Floats = field(default_factory=_no_pairs)
    """float64 [m, 2]: sum of 1 / variance"""
    mean: Floats = field(default_factory=_no_pairs)
    """float64 [m, 2]: weighted mean; 0 where there is none"""
    spread: Floats = field(default_factory=_no_pairs)
    """float64 [m, 2]: sum of (I - mean)^2 / variance"""
    half_weight: Floats = field(default_factory=_no_halves)
    """float64 [m, kind, half, 2]: kind 0 = halves of the images, 1 = halves of the observations"""
    half_mean: Floats = field(default_factory=_no_halves)

    @classmethod
    def of(
        cls,
        hkl: NDArray[np.int32],
        number: NDArray[np.intp],
        minus: NDArray[np.bool_],
        intensity: Floats,
        variance: Floats,
        half_of_images: NDArray[np.int8],
        half_of_observations: NDArray[np.int8],
    ) -> Self:
        """Add up observations.

        Parameters
        ----------
        hkl : int32 [m, 3]
            Unique reflections, sorted as `crystint.model.symmetry.groups` gives them.
        number : int [n]
            Row of `hkl` that each observation is of.
        minus : bool [n]
            It is of I(-).
        intensity, variance : float64 [n]
            On the common scale; the variance must not come from the observation's own counts.
        half_of_images, half_of_observations : int8 [n]
            0 or 1.

        Raises
        ------
        ShapeError
            When the columns differ in length.
        """
        lengths = {len(column) for column in (number, minus, intensity, variance, half_of_images, half_of_observations)}
        if len(lengths) > 1:
            raise ShapeError(f"columns of {sorted(lengths)} observations cannot be added up")
        m, weight = len(hkl), 1.0 / variance
        weighted = weight * intensity
        code = 2 * number + minus
        total = np.bincount(code, weight, 2 * m).astype(np.float64)
        mean = _mean(np.bincount(code, weighted, 2 * m), total)
        spread = np.bincount(code, weight * (intensity - mean[code]) ** 2, 2 * m).astype(np.float64)
        half_weight, half_mean = np.zeros((m, 2, 2, 2)), np.zeros((m, 2, 2, 2))
        for kind, half in enumerate((half_of_images, half_of_observations)):
            place = 4 * number + 2 * half + minus
            of_half = np.bincount(place, weight, 4 * m)
            half_weight[:, kind] = of_half.reshape(m, 2, 2)
            half_mean[:, kind] = _mean(np.bincount(place, weighted, 4 * m), of_half).reshape(m, 2, 2)
        count = np.bincount(code, minlength=2 * m).astype(np.float64)
        shape = (m, 2)
        return cls(
            hkl,
            count.reshape(shape),
            total.reshape(shape),
            mean.reshape(shape),
            spread.reshape(shape),
            half_weight,
            half_mean,
        )

    def __add__(self, other: Self) -> Self:
        if not len(other.hkl):
            return self
        if not len(self.hkl):
            return other
        hkl, number = distinct(np.concatenate([self.hkl, other.hkl]))
        first, second = (
            part._spread_to(len(hkl), at) for part, at in zip((self, other), np.split(number, [len(self.hkl)]))
        )
        weight, mean, joint = _joined(first.weight, first.mean, second.weight, second.mean)
        half_weight, half_mean, _ = _joined(first.half_weight, first.half_mean, second.half_weight, second.half_mean)
        spread = first.spread + second.spread + joint
        return type(self)(hkl, first.count + second.count, weight, mean, spread, half_weight, half_mean)

    def __len__(self) -> int:
        return len(self.hkl)

    def _spread_to(self, m: int, at: NDArray[np.intp]) -> Self:
        """The same sums in a longer list of reflections."""
        columns = []
        for name in ("count", "weight", "mean", "spread", "half_weight", "half_mean"):
            values = getattr(self, name)
            column = np.zeros((m, *values.shape[1:]))
            column[at] = values
            columns.append(column)
        return type(self)(np.zeros((m, 3), np.int32), *columns)

    @property
    def merged(self) -> tuple[Floats, Floats, Floats, Floats]:
        """I(+) and I(-) together: count, weight, mean (NaN where there is none) and spread, float64 [m] each."""
        weight, mean, joint = _joined(self.weight[:, 0], self.mean[:, 0], self.weight[:, 1], self.mean[:, 1])
        mean = np.where(weight > 0.0, mean, np.nan)
        return self.count.sum(axis=1), weight, mean, self.spread.sum(axis=1) + joint

    def halves(self, kind: int) -> Floats:
        """float64 [m, 2]: merged intensities of two halves, NaN = none; kind 0: of images, 1: of observations."""
        weight, mean = self.half_weight[:, kind], self.half_mean[:, kind]
        total, both, _ = _joined(weight[..., 0], mean[..., 0], weight[..., 1], mean[..., 1])
        return np.asarray(np.where(total > 0.0, both, np.nan))

    @property
    def anomalous_halves(self) -> Floats:
        """float64 [m, 2]: I(+) - I(-) of two halves of the observations, NaN where one is not there."""
        weight, mean = self.half_weight[:, 1], self.half_mean[:, 1]
        return np.asarray(np.where((weight > 0.0).all(axis=2), mean[..., 0] - mean[..., 1], np.nan))


def _mean(total: NDArray[Any], weight: NDArray[Any]) -> Floats:
    return np.asarray(np.divide(total, weight, out=np.zeros(total.shape), where=weight > 0.0))


def _joined(weight: Floats, mean: Floats, other_weight: Floats, other: Floats) -> tuple[Floats, Floats, Floats]:
    """Weight and mean of two parts together, and what their difference adds to the spread."""
    total = weight + other_weight
    share = _mean(other_weight, total)
    step = other - mean
    return total, mean + share * step, weight * share * step * step
