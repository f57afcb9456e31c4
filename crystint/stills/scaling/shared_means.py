"""What images know of one another: information about scales when the intensities are unknown as well.

Without a reference the intensities are means of the scaled observations, and follow the scales. Eliminated from the
normal equations (Schur complement) they leave, of the information y_j y_k w between parameters j and k,

    sum over observations  w y_j y_k  -  sum over reflections  (sum w f y_j) (sum w f y_k) / sum w f^2

with f the counts of an observation per unit of intensity, w its weight and y_j the derivative of its model. Within one
image that is 1 - w f^2 / W of each observation's information, W the sum of w f^2 over its reflection: nothing where
it is the only one. Between images it is negative: what two images share ties them to each other, not to the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_matrix

from crystint.arrays import Floats, Indices
from crystint.stills.scaling.newton_steps import inverses
from crystint.stills.scaling.table import ScalingTable

__all__ = ["JOINT", "SharedMeans", "projections"]

JOINT = 400
"""images of which all are looked at together; of more than that each has so many neighbours that it alone will do"""
_ALONE = 1e-9
"""share of a weight that is no other observation, but rounding"""


def projections(
    group: NDArray[np.integer], groups: int, column: Indices, columns: int, values: Floats, total: Floats
) -> Floats:
    """float64 [columns, columns]: sum over reflections of (sum values_j) (sum values_k) / total.

    Parameters
    ----------
    group, column : int [n]
        Reflection and parameter that each value is of.
    values : float64 [n]
        w f y_j.
    total : float64 [groups]
        W; reflections where it is 0 count for nothing.
    """
    safe_total = np.where(total > 0.0, total, np.inf)
    entries = values / np.sqrt(safe_total)[group]
    matrix = coo_matrix((entries, (group, column)), shape=(groups, columns)).tocsr()
    return np.asarray((matrix.T @ matrix).toarray())


@dataclass(frozen=True, eq=False)
class SharedMeans:
    """Scaled observations, and the means that they were compared with."""

    table: ScalingTable
    group: NDArray[np.integer]
    """int [n]: reflection"""
    factor: Floats
    """float64 [n]: f, counts per unit of intensity"""
    weight: Floats
    """float64 [n]: w, 1 / counts^2; 0 = left out"""
    total: Floats
    """float64 [groups]: sum of w f^2"""
    mean: Floats
    """float64 [n]: of the reflection, sum of w f J over sum of w f^2"""

    def information(self) -> Floats:
        """float64 [k, 3] about (ln G, ln G), (ln G, B) and (B, B) of each image, the scales of the others known."""
        table, total = self.table, np.zeros((len(self.table.images), 3))
        for rows, images in table.blocks():
            own, s2 = self.weight[rows] * self.factor[rows] ** 2, table.s2[rows]
            with np.errstate(divide="ignore", invalid="ignore"):
                left = np.maximum(1.0 - own / self.total[self.group[rows]], 0.0)
            hold = np.where(own > 0.0, left * own, 0.0) * self.mean[rows] ** 2
            for part, values in enumerate((hold, -hold * s2, hold * s2 * s2)):
                total[images, part] = table.sums(values, rows, images)
        return total

    def covariance(self, priors: ArrayLike, good: NDArray[np.bool_], both: bool) -> Floats:
        """float64 [k, 2, 2] of (ln G, B) about the means of the good images.

        Parameters
        ----------
        priors : float64 [k, 2], or [2] for all alike
            Information of the priors on ln G and B.
        both
            B was refined.
        """
        own = self.information()
        stiff = np.broadcast_to(np.asarray(priors, dtype=np.float64), own[:, :2].shape)
        result = inverses(own[:, 0] + stiff[:, 0], own[:, 1], own[:, 2] + stiff[:, 1], both)
        n, parts = int(np.count_nonzero(good)), 2 if both else 1
        if not 0 < n <= JOINT:
            return result
        rows = np.flatnonzero(good[self.table.image])
        image = (np.cumsum(good) - 1)[self.table.image[rows]]
        slopes = np.stack([np.ones(len(rows)), -self.table.s2[rows]])[:parts]
        pull = self.weight[rows] * self.factor[rows] * self.mean[rows]
        columns, at = parts * image + np.arange(parts)[:, None], parts * np.arange(n)
        group = np.tile(self.group[rows], parts)
        scaled = (self.factor[rows] * pull * slopes).ravel()
        matrix = -projections(group, len(self.total), columns.ravel(), parts * n, scaled, self.total)
        pull = pull * self.factor[rows] * self.mean[rows]
        for one in range(parts):
            for other in range(parts):
                matrix[at + one, at + other] += np.bincount(image, pull * slopes[one] * slopes[other], n)
        try:
            covariance = np.linalg.inv(matrix + np.diag(stiff[good, :parts].ravel())).reshape(n, parts, n, parts)
        except np.linalg.LinAlgError:
            return result
        for axis in (0, 2):  # the gauge: the means are 0
            covariance = covariance - covariance.mean(axis=axis, keepdims=True)
        result[good, :parts, :parts] = covariance[np.arange(n), :, np.arange(n), :]
        return result

    def others(self, rows: Indices) -> tuple[Floats, Floats]:
        """Mean of the other observations of the reflections of some rows, and its variance; 0, infinite: none."""
        pull, total = self.weight[rows] * self.factor[rows], self.total[self.group[rows]]
        rest = total - pull * self.factor[rows]
        alone = ~(rest > _ALONE * total)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = (total * self.mean[rows] - pull * self.table.intensity[rows]) / rest
            return np.where(alone, 0.0, mean), np.where(alone, np.inf, 1.0 / rest)
