"""Observations laid out for scaling: usable rows by image, so that sums over images are sums over neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from crystint.arrays import Floats, Indices
from crystint.model.experiment import Experiment
from crystint.model.observations import Observations
from crystint.stills.scaling.expected import SignalVariance

__all__ = ["ScalingTable", "components", "misoriented"]

_BLOCK = 1 << 16
"""rows worked on at a time: their columns stay in the cache of a core"""


@dataclass(frozen=True, eq=False)
class ScalingTable:
    """Columns of the n rows that scaling uses, of k images."""

    row: NDArray[np.integer]
    """int32 or int64 [n]: row of the observations"""
    images: Indices
    """intp [k]: number of each image, ascending"""
    image: NDArray[np.int32]
    """int32 [n]: 0 to k - 1, ascending"""
    first: Indices
    """intp [k + 1]: first row of each image"""
    intensity: Floats
    """float64 [n], counts"""
    factor: Floats
    """float64 [n]: partiality times correction"""
    s2: Floats
    """float64 [n], 1/angstrom^2: 1 / (4 d^2) = (sin theta / lambda)^2"""
    variance: SignalVariance

    @classmethod
    def of(cls, observations: Observations, use: NDArray[np.bool_], variance: SignalVariance) -> ScalingTable:
        """Lay out the rows marked in `use`; `variance` is of all rows."""
        row: NDArray[np.integer] = np.flatnonzero(use)
        row = row.astype(np.int32) if len(use) < 1 << 31 else row
        number = observations.image[row]
        if len(number) and not (number[1:] >= number[:-1]).all():
            order = np.argsort(number, kind="stable")
            row, number = row[order], number[order]
        start = np.flatnonzero(np.concatenate([np.ones(min(1, len(number)), bool), number[1:] != number[:-1]]))
        first = np.append(start, len(row)).astype(np.intp)
        return cls(
            row,
            number[start].astype(np.intp),
            np.repeat(np.arange(len(start), dtype=np.int32), np.diff(first)),
            first,
            observations.intensity[row],
            observations.partiality[row] * observations.correction[row],
            0.25 / observations.d[row] ** 2,
            variance.select(row),
        )

    def __len__(self) -> int:
        return len(self.row)

    @property
    def used(self) -> Indices:
        """intp [k]: rows of each image."""
        return np.asarray(np.diff(self.first))

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Rows and images of runs of whole images, each of about `_BLOCK` rows."""
        image = 0
        while image < len(self.images):
            stop = int(np.searchsorted(self.first, self.first[image] + _BLOCK, side="right")) - 1
            stop = min(max(stop, image + 1), len(self.images))
            yield slice(int(self.first[image]), int(self.first[stop])), slice(image, stop)
            image = stop

    def sums(self, values: Floats, rows: slice, images: slice) -> Floats:
        """Sum of the values of a block per image."""
        return np.asarray(np.add.reduceat(values, self.first[images] - rows.start))


def components(image: NDArray[np.integer], group: NDArray[np.integer], n_images: int, n_groups: int) -> Indices:
    """intp [n_images]: which connected set each image is of: those that share reflections, also by way of others.

    Sets are numbered by their count of images, so that 0 is the largest.
    """
    edges = coo_matrix(
        (np.ones(len(image), np.int8), (image, group + n_images)), shape=(n_images + n_groups, n_images + n_groups)
    )
    label = connected_components(edges, directed=False)[1][:n_images]
    size = np.bincount(label)
    rank = np.empty(len(size), np.intp)
    rank[np.argsort(-size, kind="stable")] = np.arange(len(size))
    return np.asarray(rank[label])


def misoriented(experiment: Experiment) -> dict[int, str]:
    """Images with an orientation that is none, and why: their d and indices mean nothing.

    Those without any (NaN, as images of MTZ files have) are not among them.
    """
    there = np.asarray(np.isfinite(experiment.setting).all(axis=(1, 2)))
    return {image: text for image, text in experiment.unusable().items() if there[image]}
