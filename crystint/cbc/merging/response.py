"""How one frame's counts move |q|^2 when its projection map is estimated from the same counts.

The scaler alternates between two steps. Their joint fixed point satisfies, for each parameter a (log |q|^2 of a
reflection, or a free intercept) and each node j of the map,

    F_a = sum over pixels of (I / lambda - 1) dlambda/da                   = 0        maximum likelihood at fixed chi
    R_j = sum over rows of f K_j (y + s (I - lambda))  -  m chi_j D_j      = 0        kernel regression

with y = |q|^2 chi f the row's signal (f stands for f^2 of the profile), s its share of the signal of its pixel, K_j the
kernel between node and row, D_j = sum |q|^2 f f K_j, and m the factor that the normalisation of chi takes out: about 1,
but it varies with the counts. Varying both, with expectations in place of counts in the derivatives and m = 1 there (as
Fisher's scoring does), gives

    - Phi dx - G dchi + E' dI / lambda = 0
    (D - B) dchi = K' [ (dy/dx - s dlambda/dx) dx + s dI ] - chi dD - chi D dm

where Phi is Fisher's matrix at known chi, G that between parameters and nodes, and B the influence of one node on
another through overlaps. With Gamma = G (D - B)^-1 dchi drops out:

    (Phi + Gamma U) dx - Gamma chi D dm = (E' / lambda - Gamma K' s) dI

Frames have maps of their own, so each adds its part to the sums here, for the parameters that it contains. Dense arrays
are [parameters of the frame, nodes] and, a block at a time, [pixels of the frame, parameters of the frame].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from crystint.arrays import Floats, Indices
from crystint.cbc.scaling.objective import FLOOR
from crystint.cbc.scaling.products import inner
from crystint.cbc.scaling.regression import REACH
from crystint.errors import SettingError

__all__ = ["Frame", "Response", "respond"]

_BLOCK = 1 << 22
"""values made together"""
_DENSE, _FILLED = 4096, 0.02
"""nodes up to which, and share of other values than 0 from which, a matrix of nodes is solved as a dense one: overlaps
join nodes that are far apart, and what a sparse solver fills in is soon most of the matrix"""


@dataclass(frozen=True, eq=False)
class Frame:
    """The n rows, P pixels and the map of one frame, with A parameters."""

    pixel: Indices
    """intp [n], ascending: 0..P-1"""
    reflection: Indices
    """intp [n]: the parameter that is log |q|^2 of the row's reflection, 0..A-1"""
    offset: Indices
    """intp [n]: the parameter that is the intercept of the row's streak, -1 where it is not free"""
    level: Floats
    """float64 [n]: that intercept, counts"""
    q2: Floats
    """float64 [n], counts"""
    profile: Floats
    """float64 [n]"""
    u: Floats
    """float64 [n, 2]"""
    counts: Floats
    """float64 [P]"""
    background: Floats
    """float64 [P]"""
    variance: Floats | None
    """float64 [P]: of the counts; None = lambda"""
    chi: Floats
    """float64 [ny, nx]; NaN = empty"""
    x: Floats
    """float64 [nx]: nodes"""
    y: Floats
    """float64 [ny]: nodes"""
    parameters: int
    """A"""


@dataclass(frozen=True, eq=False)
class Response:
    """What one frame adds."""

    fisher: Floats
    """float64 [A, A]: Phi"""
    matrix: Floats
    """float64 [A, A]: Phi + Gamma U"""
    scale: Floats
    """float64 [A, A]: Gamma chi D, with D of each reflection by itself"""
    spread: Floats
    """float64 [A, A]: covariance of the right-hand side"""
    drift: Floats
    """float64 [A]: the right-hand side where I becomes lambda"""
    chi_square: float
    """sum of (I - lambda)^2 / variance"""


def respond(frame: Frame, bandwidth: float | None) -> Response:
    """The parts that this frame adds.

    Parameters
    ----------
    frame : Frame
    bandwidth : float or None
        Of the kernel regression, in units of u; None = chi is known, and only Phi counts.

    Raises
    ------
    SettingError
        When overlaps leave the map undetermined.
    """
    n, pixels, rows = len(frame.pixel), len(frame.counts), np.arange(len(frame.pixel))
    chi = np.where(np.isnan(frame.chi), 0.0, frame.chi).ravel()
    strength = frame.q2 * frame.profile
    influence = sparse.diags(strength) @ _interpolation(frame)
    signal = influence @ chi
    total = np.bincount(frame.pixel, signal, pixels)
    expected = frame.background + total + np.bincount(frame.pixel, frame.level, pixels)
    weight = 1.0 / np.maximum(expected, FLOOR)
    variance = np.maximum(expected, 0.0) if frame.variance is None else frame.variance
    residual = frame.counts - expected
    of_pixel = total[frame.pixel]
    share = np.divide(signal, of_pixel, out=np.zeros(n), where=of_pixel > 0.0)
    free = np.flatnonzero(frame.offset >= 0)
    joined = _matrix(np.ones(n), frame.pixel, rows, (pixels, n))
    of_signal = _matrix(signal, rows, frame.reflection, (n, frame.parameters))
    slope = joined @ (of_signal + _matrix(np.ones(len(free)), free, frame.offset[free], (n, frame.parameters)))
    scaled = (sparse.diags(weight) @ slope).tocsr()
    fisher = (slope.T @ scaled).toarray()
    usable = variance > 0.0
    chi_square = float(np.sum(residual[usable] ** 2 / variance[usable]))
    if bandwidth is None:
        spread = (scaled.T @ sparse.diags(variance) @ scaled).toarray()
        return Response(fisher, fisher, np.zeros_like(fisher), spread, -(scaled.T @ residual), chi_square)

    through = joined @ influence
    moved = of_signal - sparse.diags(share) @ slope[frame.pixel]
    across = influence - sparse.diags(share) @ through[frame.pixel]
    of_power = _matrix(strength, rows, frame.reflection, (n, frame.parameters))
    power = np.zeros((chi.size, frame.parameters))
    inward = np.zeros_like(power)
    between = sparse.csr_matrix((chi.size, chi.size))
    crossed = np.bincount(frame.pixel, minlength=pixels)[frame.pixel] > 1
    blocks = list(_blocks(frame, bandwidth))
    for part in blocks:
        kernel = _kernel(frame, part, bandwidth).T.tocsr()
        power += (kernel @ of_power[part]).toarray()
        inward += (kernel @ moved[part]).toarray()
        both = crossed[part]
        between = between + kernel[:, both] @ across[part][both]
    below = power.sum(axis=1)
    live = (below > 0.0) & (chi > 0.0)
    if not live.any():
        raise SettingError("a projection map is 0 or empty throughout; no data are above their background there")
    gamma = _solved((scaled.T @ through).toarray(), between, np.where(live, below, np.inf))
    across_nodes = np.ascontiguousarray(gamma.T)
    scale = inner(across_nodes, chi[:, None] * power)
    spread, drift = np.zeros_like(fisher), np.zeros(frame.parameters)
    for part in blocks:
        first, last = frame.pixel[part.start], frame.pixel[part.stop - 1] + 1
        answer = share[part, None] * (_kernel(frame, part, bandwidth) @ across_nodes)
        right = scaled[first:last].toarray() - joined[first:last, part] @ answer
        drift -= right.T @ residual[first:last]
        right *= np.sqrt(variance[first:last, None])
        spread += inner(right, right)
    matrix = fisher + inner(across_nodes, inward) - scale
    return Response(fisher, matrix, scale, spread, drift, chi_square)


def _solved(outward: Floats, between: sparse.csr_matrix, damping: Floats) -> Floats:
    """Gamma [A, nodes] of Gamma (diag(damping) - between) = outward; 0 where the damping is infinite."""
    live = np.isfinite(damping)
    if not between.nnz:
        return outward / damping
    between = between @ sparse.diags(live.astype(np.float64))
    matrix = (sparse.diags(np.where(live, damping, 1.0)) - sparse.diags(live.astype(np.float64)) @ between).T
    try:
        if len(damping) <= _DENSE and matrix.nnz > _FILLED * len(damping) ** 2:
            return np.asarray(np.linalg.solve(matrix.toarray(), (outward * live).T).T)
        return np.asarray(splu(matrix.tocsc()).solve(np.ascontiguousarray((outward * live).T)).T)
    except (RuntimeError, np.linalg.LinAlgError):
        raise SettingError(
            "overlapping streaks leave a projection map undetermined, so that its share of the uncertainties cannot be"
            " found; use fewer nodes or a larger bandwidth"
        ) from None


def _interpolation(frame: Frame) -> sparse.csr_matrix:
    """[n, nodes]: bilinear weights, those of empty nodes 0 and the others of the row scaled up to 1."""
    n, width = len(frame.u), len(frame.x)
    below, along = _cell(frame.x, frame.u[:, 0])
    row, upward = _cell(frame.y, frame.u[:, 1])
    corner = row * width + below
    node = np.stack([corner, corner + 1, corner + width, corner + width + 1], axis=1)
    weight = np.stack(
        [(1 - upward) * (1 - along), (1 - upward) * along, upward * (1 - along), upward * along], axis=1
    ) * ~np.isnan(frame.chi.ravel()[node])
    total = weight.sum(axis=1, keepdims=True)
    weight = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0.0)
    return _matrix(weight.ravel(), np.repeat(np.arange(n), 4), node.ravel(), (n, frame.chi.size))


def _cell(axis: Floats, at: Floats) -> tuple[Indices, Floats]:
    below = np.clip(np.searchsorted(axis, at, side="right") - 1, 0, len(axis) - 2)
    return below, np.clip((at - axis[below]) / (axis[below + 1] - axis[below]), 0.0, 1.0)


def _kernel(frame: Frame, part: slice, bandwidth: float) -> sparse.csr_matrix:
    """[rows of the part, nodes]: f K(node - u), as the regression of chi has it."""
    (first_x, along_x), (first_y, along_y) = (
        _window(axis, frame.u[part, column], bandwidth) for column, axis in enumerate((frame.x, frame.y))
    )
    values = frame.profile[part, None, None] * along_y[:, :, None] * along_x[:, None, :]
    node = (first_y[:, None] + np.arange(along_y.shape[1]))[:, :, None] * len(frame.x)
    node = node + (first_x[:, None] + np.arange(along_x.shape[1]))[:, None, :]
    count = values[0].size
    made = sparse.csr_matrix(
        (values.ravel(), node.ravel(), np.arange(0, values.size + 1, count)), shape=(len(values), frame.chi.size)
    )
    made.eliminate_zeros()
    return made


def _window(axis: Floats, at: Floats, bandwidth: float) -> tuple[Indices, Floats]:
    """The first of equally many nodes for each row, and the kernel at these along one axis [n, nodes]."""
    low = np.searchsorted(axis, at - REACH * bandwidth, side="left")
    high = np.searchsorted(axis, at + REACH * bandwidth, side="right")
    width = max(int((high - low).max()), 1)
    low = np.minimum(low, len(axis) - width)
    distance = (axis[low[:, None] + np.arange(width)] - at[:, None]) / bandwidth
    return low, np.where(np.abs(distance) <= REACH, np.exp(-0.5 * distance**2), 0.0)


def _blocks(frame: Frame, bandwidth: float) -> Iterator[slice]:
    """Rows together, whole pixels at a time."""
    reach = [2.0 * REACH * bandwidth / float(np.diff(axis).min()) + 2.0 for axis in (frame.x, frame.y)]
    nodes = min(reach[0], len(frame.x)) * min(reach[1], len(frame.y))
    most = max(int(_BLOCK / max(nodes, frame.parameters)), 64)
    starts = np.searchsorted(frame.pixel, np.arange(len(frame.counts) + 1))
    first = 0
    while first < starts[-1]:
        last = int(starts[int(np.searchsorted(starts, first + most, side="right")) - 1])
        if last <= first:
            last = int(starts[np.searchsorted(starts, first, side="right")])
        yield slice(first, last)
        first = last


def _matrix(values: Floats, row: Indices, column: Indices, shape: tuple[int, int]) -> sparse.csr_matrix:
    return sparse.csr_matrix((values, (row, column)), shape=shape)
