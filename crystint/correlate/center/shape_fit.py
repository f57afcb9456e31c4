"""Robust weighted least squares of a family of rings to points on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.correlate.center.circles import RingShape
from crystint.correlate.center.ring_points import RingPoints
from crystint.errors import SettingError

__all__ = ["FittedShape", "fit_shape"]

Shape = TypeVar("Shape", bound=RingShape)

_TUKEY = 4.685
"""95 % efficiency on normal errors"""
_WAVES = 3
"""harmonics of the distance of a ring from the fit, at most, by which it is asked whether its points err alike"""
_DAMPING = 1e-5
"""of the normal equations, scaled to a unit diagonal"""


@dataclass(frozen=True, slots=True, eq=False)
class FittedShape(Generic[Shape]):
    """A family of rings, its radii, and how well they are known."""

    shape: Shape
    radius: Floats
    """float64 [rings]: px"""
    covariance: Floats
    """float64 [p, p]: of the shape's values, then of the radii, where those were fitted"""
    scatter: Floats
    """float64 [rings]: how much farther points lie from the fit than their errors say, at least 1"""
    disagreement: float
    """by how much the covariance was enlarged, as a factor on errors, since rings or arcs disagree; at least 1"""
    weights: tuple[Floats, ...]
    """float64 [points] per ring: 0 = rejected, 1 = as good as its error says"""


def fit_shape(
    shape: Shape,
    points: Sequence[RingPoints],
    radius: Floats,
    *,
    expected: Callable[[Shape], Floats] | None = None,
    cycles: int = 60,
) -> FittedShape[Shape]:
    """Minimise the squared distances, along the radius, of points from rings; outliers by Tukey's biweight.

    Damped Gauss-Newton. The errors of the points of a ring are enlarged to the scatter found on that ring, so that a
    ring that is no circle does not outweigh the others. Where rings then ask for different centres, or are of another
    shape, by more than these errors allow, the covariance is enlarged by chi squared over its degrees of freedom (Birge
    1932, Phys. Rev. 40, 207; so does the Particle Data Group). Directions that the points do not fix stay where they
    were; their variance is then large.

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

    def rest(at: Floats) -> Floats:
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
    fitted = shape.having(values[:count])
    azimuth = np.arctan2(slow - fitted.center[0], fast - fitted.center[1])
    spread = max(1.0, float(np.sum(weight * pull**2)) / freedom)
    for waves in (1 if count == 2 else 2, _WAVES):
        excess, number = _alike(azimuth, residual, full, owner, waves)
        spread = max(spread, excess / (number - len(values)) if number > len(values) else 0.0)
    covariance *= spread
    radii = values[count:] if expected is None else expected(fitted)
    parts = tuple(weight[owner == i] for i in range(len(points)))
    return FittedShape(fitted, radii, covariance, scatter, math.sqrt(spread), parts)


def _alike(azimuth: Floats, residual: Floats, weight: Floats, owner: NDArray[np.intp], waves: int) -> tuple[float, int]:
    """Chi squared that waves of its own would take off each ring, and how many these are, with that of its radius.

    One wave is a centre of its own; two are an ellipse, too; three see more of what bends a ring. Where points err
    alike along an arc, as above a background that is not what it is taken for, their scatter does not tell; but their
    ring asks for another centre than the other rings, or is no ring of this shape.
    """
    total, number = 0.0, 0
    for ring in range(int(owner.max()) + 1):
        phi, root = azimuth[owner == ring], np.sqrt(weight[owner == ring])
        own = [np.ones_like(phi), *(f(n * phi) for n in range(1, waves + 1) for f in (np.cos, np.sin))]
        basis, size, _ = np.linalg.svd(np.stack(own, axis=1) * root[:, None], full_matrices=False)
        basis = basis[:, size > 1e-2 * size[0]]  # an arc cannot tell all of them apart
        total += float(np.sum((basis.T @ (root * residual[owner == ring])) ** 2))
        number += basis.shape[1]
    return total, number


def _scatter(pull: Floats, owner: NDArray[np.intp], rings: int) -> Floats:
    """1.4826 median |pull| per ring, at least 1."""
    return np.array([max(1.0, 1.4826 * float(np.median(np.abs(pull[owner == i])))) for i in range(rings)])
