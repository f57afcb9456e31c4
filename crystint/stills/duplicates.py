"""Observations that are there twice: a file given twice, a copied run, frames indexed or integrated twice.

An observation counts once: two that are equal by construction are no evidence for one another, and halves of the data
that share them agree too well. Looked for are

- the same reflection twice in one image: at the same place, or, where no places are known, with the same values,
- images of one frame whose common reflections lie at the same places: one lattice that was indexed twice,
- images whose common reflections have the same I / sigma: copies, scaled or not, whatever their files are called.

Not meant are a reflection recorded at two places, several crystals in one frame, and symmetry mates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from crystint.arrays import Floats, Indices
from crystint.errors import warn
from crystint.model.experiment import Experiment
from crystint.model.facts import counted
from crystint.model.indices import distinct, pack
from crystint.model.observations import Flag, Observations
from crystint.model.symmetry import groups

__all__ = ["flag_duplicates"]

_NEAR = 1.0
"""px between places that are the same"""
_EQUAL = 1e-4
"""relative, between two I / sigma that are the same: numbers in text files are rounded"""
_SHARE_OF_VALUES, _SHARE_OF_PLACES = 0.9, 0.5
"""of the common reflections that must agree in two images that are the same"""
_LEAST = 3
"""common reflections"""
_CHANCE = 1e-9
"""probability that so many values agree by accident, as weak whole counts do"""
_ROWS = 1 << 20
"""looked at together"""
_NAMED = 3
"""pairs of files that are told of"""


def flag_duplicates(
    table: Observations, experiment: Experiment, files: Sequence[str]
) -> tuple[Observations, dict[int, str]]:
    """The same rows, all but the first of each observation with `Flag.DUPLICATE`; warns of how many, and from where.

    Also given are the images of which nothing is left, and a text for each.

    Parameters
    ----------
    table
        Of all files together.
    experiment
        Of its images. Images without a `source` are each on a frame of their own.
    files
        Name of the file that each image came from, for messages.
    """
    repeats = _Repeats(table, np.flatnonzero(table.usable))
    repeats.within_images()
    repeats.between_images(_on_one_frame(experiment), _SHARE_OF_PLACES, experiment)
    repeats.between_images(repeats.candidates(len(experiment)), _SHARE_OF_VALUES, None)
    rows = repeats.rows
    if len(rows):
        warn(_told(table, experiment, files, repeats))
        flags = table.flags.copy()
        flags[rows] |= np.uint32(Flag.DUPLICATE)
        table = table.replace(flags=flags)
    same = {other: one for one, other in repeats.pairs}
    return table, {image: _same_as(image, same.get(image), experiment, files) for image in _emptied(table)}


def _emptied(table: Observations) -> list[int]:
    """Images that would have observations if these were not there already."""
    twice = (table.flags & np.uint32(Flag.DUPLICATE)) != 0
    size = int(table.image.max(initial=-1)) + 1
    emptied = np.bincount(table.image[twice], minlength=size) > 0
    return np.flatnonzero(emptied & (np.bincount(table.image[table.usable], minlength=size) == 0)).tolist()


def _same_as(image: int, first: int | None, experiment: Experiment, files: Sequence[str]) -> str:
    which = "" if first is None else f": it is {experiment.name[first]} of {files[first]}"
    return f"{experiment.name[image]}: its observations are there already{which}"


def _on_one_frame(experiment: Experiment) -> list[tuple[int, int]]:
    """Pairs of still images of the same frame of the same file."""
    if experiment.sweep is not None and experiment.sweep.any():
        return []
    images: dict[tuple[str, int], list[int]] = {}
    for number, (source, frame) in enumerate(zip(experiment.source, experiment.frame.tolist(), strict=True)):
        if source:
            images.setdefault((source, frame), []).append(number)
    return [(one, other) for same in images.values() for at, other in enumerate(same) for one in same[:at]]


@dataclass(eq=False)
class _Repeats:
    """The usable rows of a table, and which of them repeat others."""

    table: Observations
    usable: Indices
    inside: Indices = field(default_factory=lambda: np.zeros(0, np.intp))
    """rows that repeat one of their own image"""
    pairs: dict[tuple[int, int], Indices] = field(default_factory=dict)
    """image that is there already, image that repeats it -> rows of the second"""

    @property
    def rows(self) -> Indices:
        """All rows that repeat others."""
        return np.unique(np.concatenate([self.inside, *self.pairs.values()])).astype(np.intp)

    def within_images(self) -> None:
        """Find reflections that one image has twice."""
        inside = [_within(self.table, self.usable[some]) for some in _whole_images(self.table.image[self.usable])]
        self.inside = np.sort(np.concatenate([self.inside, *inside]))
        if len(self.inside):
            self.usable = np.setdiff1d(self.usable, self.inside, assume_unique=True)

    def candidates(self, images: int) -> list[tuple[int, int]]:
        """Pairs of images that have reflections with the same I / sigma, enough to look at them."""
        table, rows = self.table, self.usable
        blocks = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
        hashed = np.empty(len(rows), np.uint64)
        for number, block in enumerate(blocks):
            hashed[number * _ROWS :][: len(block)] = _hashed(table, block)
        hashed.sort()
        equal = _repeated(hashed)
        del hashed
        if not len(equal):
            return []
        some = np.concatenate([block[np.isin(_hashed(table, block), equal)] for block in blocks])
        key = _hashed(table, some)
        order = np.argsort(key, kind="stable")
        key, image = key[order], table.image[some][order].astype(np.int64)
        meet = (key[1:] == key[:-1]) & (image[1:] != image[:-1])
        low, high = np.minimum(image[1:], image[:-1])[meet], np.maximum(image[1:], image[:-1])[meet]
        pair, count = np.unique(low * images + high, return_counts=True)
        low, high = pair // images, pair % images
        size = np.bincount(table.image[rows], minlength=images)
        enough = (count >= _LEAST) & (count >= 0.5 * np.minimum(size[low], size[high]))
        return list(zip(low[enough].tolist(), high[enough].tolist(), strict=True))

    def between_images(self, pairs: list[tuple[int, int]], share: float, frames: Experiment | None) -> None:
        """Find images among these pairs that are the same: by places in one frame, or by values (`frames` None)."""
        if not pairs:
            return
        table, rows = self.table, self.usable
        order = rows[np.argsort(table.image[rows], kind="stable")]
        start = np.searchsorted(table.image[order], np.arange(int(table.image.max(initial=-1)) + 2))
        number = pack(table.hkl) if frames is None else groups(table.hkl, frames.space_group)[1]
        accident = _accident(table, rows) if frames is None else 0.0
        repeated = {image for _, image in self.pairs}
        for one, other in pairs:
            if one in repeated or other in repeated or other + 1 >= len(start):
                continue
            mine, its = (order[start[image] : start[image + 1]] for image in (one, other))
            left, right = _matched(table, mine, its, number, by_place=frames is not None)
            agree = _distance(table, left, right) < _NEAR if frames is not None else _same_values(table, left, right)
            count, common = int(agree.sum()), len(left)
            if common < _LEAST or count < share * common:
                continue
            if frames is None and not binom.sf(count - 1, common, accident) < _CHANCE:
                continue
            self.pairs[one, other] = right[agree]
            repeated.add(other)


def _whole_images(image: NDArray[np.int32]) -> Iterator[slice]:
    """Runs of whole images, each of about `_ROWS` rows; all at once where rows are not in the order of images."""
    if len(image) <= _ROWS or not (image[1:] >= image[:-1]).all():
        yield slice(0, len(image))
        return
    start = 0
    while start < len(image):
        stop = min(start + _ROWS, len(image))
        stop = int(np.searchsorted(image, image[stop - 1], side="right"))
        yield slice(start, stop)
        start = stop


def _within(table: Observations, rows: Indices) -> Indices:
    """Those of some rows that repeat others of their image."""
    _, number = distinct(table.hkl[rows])
    key = table.image[rows].astype(np.int64) * (int(number.max(initial=0)) + 1) + number
    equal = _equal(key)
    if not len(equal):
        return np.zeros(0, np.intp)
    some = np.isin(key, equal)
    key, rows = key[some], rows[some]
    order = np.argsort(key, kind="stable")
    key, rows = key[order], rows[order]
    again = np.zeros(len(rows), bool)
    for lag in range(1, _longest_run(key)):
        one, other = rows[:-lag], rows[lag:]
        near = _distance(table, one, other) < _NEAR
        unplaced = ~(np.isfinite(table.slow[one]) | np.isfinite(table.slow[other]))
        same = (table.intensity[one] == table.intensity[other]) & (table.sigma[one] == table.sigma[other])
        again[lag:] |= (key[lag:] == key[:-lag]) & (near | (unplaced & same))
    return np.asarray(rows[again])


def _equal(key: NDArray[Any]) -> NDArray[Any]:
    """The keys that are there more than once; to sort them is much faster than to sort rows by them."""
    return _repeated(np.sort(key))


def _repeated(ordered: NDArray[Any]) -> NDArray[Any]:
    """The same, of keys in order."""
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _longest_run(key: NDArray[np.int64]) -> int:
    ends = np.flatnonzero(np.concatenate([key[1:] != key[:-1], [True]])) if len(key) else np.zeros(1, np.intp)
    return int(np.diff(ends, prepend=-1).max())


def _distance(table: Observations, one: Indices, other: Indices) -> Floats:
    """float64 [n]: px between the places of two rows, NaN where one is not known."""
    away = np.hypot(table.slow[one] - table.slow[other], table.fast[one] - table.fast[other])
    return np.asarray(away, dtype=np.float64)


def _hashed(table: Observations, rows: Indices) -> NDArray[np.uint64]:
    """uint64 [n]: the same for the same hkl and, to about 1e-4, the same I / sigma."""
    bits = _rounded(table, rows).astype(np.uint64)
    return pack(table.hkl[rows]).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ bits * np.uint64(0xC2B2AE3D27D4EB4F)


def _rounded(table: Observations, rows: Indices) -> NDArray[np.uint32]:
    """uint32 [n]: I / sigma with 13 bits of its mantissa."""
    ratio = (table.intensity[rows] / table.sigma[rows]).astype(np.float32)
    return (ratio.view(np.uint32) + np.uint32(1 << 9)) >> np.uint32(10)


def _accident(table: Observations, rows: Indices) -> float:
    """Probability that two observations have the same I / sigma by accident."""
    count = np.unique(_rounded(table, rows), return_counts=True)[1]
    return float(np.sum((count / max(len(rows), 1)) ** 2))


def _same_values(table: Observations, one: Indices, other: Indices) -> NDArray[np.bool_]:
    left, right = table.intensity[one] / table.sigma[one], table.intensity[other] / table.sigma[other]
    return np.abs(left - right) <= _EQUAL * np.maximum(np.abs(left), np.abs(right))


def _matched(
    table: Observations, mine: Indices, its: Indices, number: NDArray[np.int64] | Indices, *, by_place: bool
) -> tuple[Indices, Indices]:
    """Rows of two images that are of the same reflection; where it has several, those nearest by place or in order."""
    left, right = np.sort(number[mine]), np.sort(number[its])
    mine, its = (rows[np.argsort(number[rows], kind="stable")] for rows in (mine, its))
    first, last = np.searchsorted(left, right, "left"), np.searchsorted(left, right, "right")
    several = last - first
    nearest = np.where(several > 0, first, 0)
    best = np.full(len(right), np.inf)
    for step in range(int(several.max(initial=0))):
        there = np.flatnonzero(several > step)
        at = first[there] + step
        if by_place:
            away = np.nan_to_num(_distance(table, mine[at], its[there]), nan=np.inf)
        else:
            away = np.abs(
                table.intensity[mine[at]] / table.sigma[mine[at]]
                - table.intensity[its[there]] / table.sigma[its[there]]
            )
        closer = away < best[there]
        nearest[there[closer]], best[there[closer]] = at[closer], away[closer]
    common = np.flatnonzero(several > 0)
    return mine[nearest[common]], its[common]


def _told(table: Observations, experiment: Experiment, files: Sequence[str], repeats: _Repeats) -> str:
    """How many observations are left out, and from where."""
    parts = []
    if len(repeats.inside):
        image = int(table.image[repeats.inside[0]])
        where = Counter(files[number] for number in table.image[repeats.inside].tolist())
        many = ", ".join(f"{count} of {file}" for file, count in where.most_common(_NAMED))
        parts.append(f"{many}, which the same image has twice, such as {experiment.name[image]}")
    between = Counter((files[other], files[one]) for one, other in repeats.pairs)
    example = {(files[other], files[one]): (one, other) for one, other in reversed(repeats.pairs)}
    for (copy, file), count in between.most_common(_NAMED):
        one, other = example[copy, file]
        same = "others of the same file" if copy == file else f"those of {file}"
        parts.append(
            f"{counted(count, 'image')} of {copy}, the same as {same}, such as {experiment.name[other]} and "
            f"{experiment.name[one]}"
        )
    more = len(between) - _NAMED
    if more > 0:
        parts.append(f"images of {more} more pairs of files")
    count = len(repeats.rows)
    return (
        f"{count} of {len(table)} observations are there twice and count once, the first time: {'; '.join(parts)}. "
        "Give each measurement once"
    )
