"""Robust weighted least squares of a family of rings to points on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from crystint.correlate.circles import RingShape
from crystint.correlate.ring_points import RingPoints
from crystint.errors import SettingError

__all__ = ["FittedShape", "fit_shape"]

Array = NDArray[np.float64]
Shape = TypeVar("Shape", bound=RingShape)

_TUKEY = 4.685
"""95 % efficiency on normal errors"""
_DAMPING = 1e-5
"""of the normal equations, scaled to a unit diagonal"""


@dataclass(frozen=True, slots=True, eq=False)
class FittedShape(Generic[Shape]):
    """A family of rings, its radii, and how well they are known."""

    shape: Shape
    radius: Array
    """float64 [rings]: px"""
    covariance: Array
    """float64 [p, p]: of the shape's values, then of the radii, where those were fitted"""
    scatter: Array
    """float64 [rings]: how much farther points lie from the fit than their errors say, at least 1"""
    weights: tuple[Array, ...]
    """float64 [points] per ring: 0 = rejected, 1 = as good as its error says"""


def fit_shape(
    shape: Shape,
    points: Sequence[RingPoints],
    radius: Array,
    *,
    expected: Callable[[Shape], Array] | None = None,
    cycles: int = 60,
) -> FittedShape[Shape]:
    """Minimise the squared distances, along the radius, of points from rings; outliers by Tukey's biweight.

    Damped Gauss-Newton. The errors of the points of a ring are enlarged to the scatter found on that ring, so that a
    ring that is no circle does not outweigh the others. Directions that the points do not fix stay where they were;
    their variance is then large.

    Parameters
    ----------
    shape : RingShape
        Where to start.
    points : RingPoints per ring
    radius : float64 [rings]
        First idea of the radii, px.
    expected : function of a shape giving float64 [rings], or None
        Radii that the shape implies, px (a calibrant); None = every radius is a parameter.

    Raises
    ------
    SettingError
        When there are fewer points than parameters, or the fit runs away.
    """
    slow, fast, sigma = (np.concatenate([getattr(p, name) for p in points]) for name in ("slow", "fast", "sigma"))
    owner = np.repeat(np.arange(len(points)), [len(p.slow) for p in points])
    count = len(shape.values)
    values = np.array([*shape.values, *(radius if expected is None else ())])
    if len(slow) < len(values) + 2:
        raise SettingError(
            f"{len(slow)} points on {len(points)} rings cannot fix {len(values)} parameters; "
            "is most of the ring masked, or is it too weak?"
        )

    def rest(at: Array) -> Array:
        moved = shape.having(at[:count])
        radii = at[count:] if expected is None else expected(moved)
        return np.asarray(moved.radius(slow, fast) - radii[owner])

    step = np.array([1e-4, 1e-4, *[1e-6] * (count - 2), *[1e-4] * (len(values) - count)])
    scatter = np.ones(len(points))
    for cycle in range(cycles):
        residual = rest(values)
        moved = values + np.diag(step)
        jacobian = np.stack([(rest(at) - residual) / size for at, size in zip(moved, step, strict=True)], axis=1)
        if not (np.isfinite(residual).all() and np.isfinite(jacobian).all()):
            raise SettingError("the fit of the rings runs away; give a better start, or a simpler shape")
        if cycle:
            scatter = _scatter(residual / sigma, owner, len(points))
        error = sigma * scatter[owner]
        pull = residual / error
        weight = np.clip(1.0 - (pull / _TUKEY) ** 2, 0.0, None) ** 2 if cycle > 1 else 1.0 / np.maximum(np.abs(pull), 1)
        full = weight / error**2
        scale = np.sqrt(np.einsum("ij,i,ij->j", jacobian, full, jacobian)) + 1e-300
        normal = np.einsum("ij,i,ik->jk", jacobian, full, jacobian) / scale[:, None] / scale
        right = np.einsum("ij,i,i->j", jacobian, full, residual) / scale
        change = np.linalg.solve(normal + _DAMPING * np.eye(len(values)), right) / scale
        values = values - change
        if cycle > 2 and np.all(np.abs(change) < np.maximum(0.01 * step, 1e-9)):
            break
    covariance = np.linalg.pinv(normal, rcond=1e-13, hermitian=True) / scale[:, None] / scale
    freedom = max(float(weight.sum()) - len(values), 1.0)
    covariance *= max(1.0, float(np.sum(weight * pull**2)) / freedom)
    found = shape.having(values[:count])
    radii = values[count:] if expected is None else expected(found)
    parts = tuple(weight[owner == i] for i in range(len(points)))
    return FittedShape(found, radii, covariance, scatter, parts)


def _scatter(pull: Array, owner: NDArray[np.intp], rings: int) -> Array:
    """1.4826 median |pull| per ring, at least 1."""
    return np.array([max(1.0, 1.4826 * float(np.median(np.abs(pull[owner == i])))) for i in range(rings)])
