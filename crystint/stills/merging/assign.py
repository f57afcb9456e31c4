"""Images given one of several indexings each, so that they agree with one another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import bdtrc

from crystint.arrays import Floats, Indices

__all__ = ["Indexings", "best_assignment", "eigenvector_start", "reproducible"]


_FOLDS = 8
"""parts of the images; each is compared with the others"""
_TURNS = 20
_POWERS = 40
_MOST = 1000
"""images that are enough to find the parties; the others join them"""


@dataclass(frozen=True, eq=False)
class Indexings:
    """n observations, and which unique reflection each is in every indexing."""

    image: NDArray[np.int32]
    value: Floats
    """float64 [n]: intensity relative to its resolution shell and image, so 1 on average"""
    number: NDArray[np.int32] | NDArray[np.intp]
    """int [modes, n]"""
    images: int
    unique: int

    def select(self, rows: NDArray[Any]) -> Indexings:
        """Some of the observations."""
        return replace(self, image=self.image[rows], value=self.value[rows], number=self.number[:, rows])

    def merged(self, mode: Indices, use: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """float64 [unique] twice: sum of value - 1 and number of the observations of images in `use`."""
        rows = np.flatnonzero(use[self.image])
        at = self.number[mode[self.image[rows]], rows]
        total = np.asarray(np.bincount(at, self.value[rows] - 1.0, self.unique), dtype=np.float64)
        return total, np.bincount(at, minlength=self.unique).astype(np.float64)

    def correlations(self, rows: NDArray[Any] | slice, level: Floats) -> Floats:
        """float64 [images, modes]: correlation of the observations in `rows` to a level per unique reflection."""
        image, value = self.image[rows], self.value[rows]
        cc = np.full((self.images, len(self.number)), np.nan)
        for mode, number in enumerate(self.number):
            other = level[number[rows]]
            comparable = np.isfinite(other)
            at, x, y = image[comparable], value[comparable], other[comparable]
            whole = np.maximum(np.bincount(at, minlength=self.images), 1)
            x = x - (np.bincount(at, x, self.images) / whole)[at]
            y = y - (np.bincount(at, y, self.images) / whole)[at]
            xx, yy, xy = (np.bincount(at, product, self.images) for product in (x * x, y * y, x * y))
            with np.errstate(invalid="ignore", divide="ignore"):
                cc[:, mode] = np.where(xx * yy > 0.0, xy / np.sqrt(xx * yy), np.nan)
        return cc


def best_assignment(
    table: Indexings, enough: NDArray[np.bool_], level: Floats | None = None, *, seed: int = 0
) -> tuple[Indices, Floats, Floats]:
    """The indexing of each image.

    Parameters
    ----------
    enough : bool [images]
        Images that take part.
    level : float64 [unique], optional
        Compare with this; None = with one another.

    Returns
    -------
    mode : intp [images]
        Without `level` the commonest indexing is called 0.
    cc : float64 [images, modes]
    spread : float64 [images]
        By how many standard deviations (of Fisher's transform) the best indexing is better than the next.
    """
    random = np.random.default_rng(seed)
    if level is not None:
        cc = table.correlations(slice(None), level)
        return _chosen(cc), cc, _spread(cc, table)
    modes = len(table.number)
    first = _some(enough, random)
    if not np.array_equal(first, enough):
        part = table.select(np.flatnonzero(first[table.image]))
        mode, _, _ = best_assignment(part, first, seed=seed)
        total, count = table.merged(mode, first)
        mode = _chosen(table.correlations(slice(None), total / (count + 1.0)))
        mode, cc = _settle(table, enough, mode, random.permutation(table.images) % _FOLDS)
        return mode, cc, _spread(cc, table)
    fold = random.permutation(table.images) % min(_FOLDS, max(int(enough.sum()), 2))
    starts = [eigenvector_start(table, enough, mode, random) for mode in range(1, modes)]
    starts.append(np.zeros(table.images, np.intp))
    best: tuple[float, Indices, Floats] | None = None
    for start in starts:
        mode, cc = _settle(table, enough, start.astype(np.intp), fold)
        score = float(np.nansum(np.nanmax(np.where(enough[:, None], np.nan_to_num(cc, nan=-1.0), 0.0), axis=1)))
        if best is None or score > best[0] + 1e-9:
            best = score, mode, cc
    assert best is not None
    _, mode, cc = best
    common = int(np.argmax(np.bincount(mode[enough], minlength=modes)))
    if common:  # start again from these images as they are: their indexing becomes number 0
        total, count = table.merged(np.zeros(table.images, np.intp), enough & (mode == common))
        mode = _chosen(table.correlations(slice(None), total / (count + 1.0)))
        mode, cc = _settle(table, enough, mode, fold)
    return mode, cc, _spread(cc, table)


def _some(enough: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.bool_]:
    """At most `_MOST` of these images."""
    numbers = np.flatnonzero(enough)
    some = np.zeros(len(enough), bool)
    some[random.permutation(numbers)[:_MOST]] = True
    return some


def reproducible(table: Indexings, enough: NDArray[np.bool_], *, seed: int = 0, chance: float = 1e-3) -> bool:
    """Whether two halves of the reflections give images the same indexings; by luck with a probability of `chance`.

    Images always fall into parties that agree a little better, noise being what it is; but what noise makes of one half
    of the reflections has nothing to do with what it makes of the other.
    """
    enough = _some(enough, np.random.default_rng(seed))
    table = table.select(np.flatnonzero(enough[table.image]))
    orbit = table.number.min(axis=0)  # reflections that an indexing exchanges stay together
    half = np.random.default_rng(seed).integers(0, 2, table.unique)[orbit]
    parts = [table.select(half == number) for number in (0, 1)]
    assignments = [best_assignment(part, enough, seed=seed)[0][enough] for part in parts]
    modes, n = len(table.number), int(np.count_nonzero(enough))
    common = np.zeros((modes, modes))
    np.add.at(common, (assignments[0], assignments[1]), 1)
    agreeing = float(common[linear_sum_assignment(-common)].sum())  # indexings are named anew in each half
    luck = modes * (float(bdtrc(agreeing - 1, n, 1.0 / modes)) if agreeing > 0 else 1.0)
    return luck < chance


def _chosen(cc: Floats) -> Indices:
    return np.asarray(np.argmax(np.nan_to_num(cc, nan=-2.0), axis=1), dtype=np.intp)


def _settle(table: Indexings, enough: NDArray[np.bool_], mode: Indices, fold: NDArray[Any]) -> tuple[Indices, Floats]:
    """Assign every image by the merge of the other folds, fold by fold, until nothing moves."""
    row_fold = fold[table.image]
    parts = [np.flatnonzero(row_fold == number) for number in range(int(fold.max(initial=0)) + 1)]
    cc = np.full((table.images, len(table.number)), np.nan)
    for _ in range(_TURNS):
        before = mode.copy()
        sums = [table.merged(mode, enough & (fold == number)) for number in range(len(parts))]
        total, count = (np.sum([part[i] for part in sums], axis=0) for i in (0, 1))
        for number, rows in enumerate(parts):
            others, n = total - sums[number][0], count - sums[number][1]
            mine = fold == number
            # shrunk towards the mean of all where little is known
            cc[mine] = table.correlations(rows, others / (n + 1.0))[mine]
            mode[mine] = np.where(enough[mine], _chosen(cc[mine]), mode[mine])
            again = table.merged(mode, enough & mine)
            total, count = total + again[0] - sums[number][0], count + again[1] - sums[number][1]
            sums[number] = again
        if np.count_nonzero((mode != before) & enough) <= 0.001 * np.count_nonzero(enough):
            break
    return mode, cc


def eigenvector_start(
    table: Indexings, enough: NDArray[np.bool_], mode: int, random: np.random.Generator
) -> NDArray[Any]:
    """0 or `mode` for each image, by the sign of the leading eigenvector of their agreement.

    What an operator exchanges, h and h', has the difference +D or -D in an image, by its indexing: with rows
    y_i of such differences, each of length 1, the images' signs are the leading eigenvector of y y^T.
    """
    one, other = table.number[0], table.number[mode]
    rows = np.flatnonzero((one != other) & enough[table.image])
    image = table.image[rows]
    pair = np.minimum(one[rows], other[rows])
    value = np.where(one[rows] < other[rows], 1.0, -1.0) * (table.value[rows] - 1.0)
    norm = np.sqrt(np.bincount(image, value * value, table.images))
    value /= np.where(norm > 0.0, norm, 1.0)[image]
    x = random.normal(size=table.images)
    for _ in range(_POWERS):
        difference = np.bincount(pair, value * x[image], table.unique)
        x = np.asarray(np.bincount(image, value * difference[pair], table.images), dtype=np.float64)
        length = float(np.linalg.norm(x))
        if not length > 0.0:
            break
        x /= length
    return np.where(x < 0.0, mode, 0)


def _spread(cc: Floats, table: Indexings) -> Floats:
    """Standard deviations between the best and the second indexing of each image."""
    ranked = np.sort(np.nan_to_num(cc, nan=-1.0), axis=1)
    n = np.bincount(table.image, minlength=table.images)
    transformed = np.arctanh(np.clip(ranked[:, -2:], -0.999999, 0.999999))
    return np.asarray((transformed[:, 1] - transformed[:, 0]) * np.sqrt(np.maximum(n - 3, 0) / 2.0))
