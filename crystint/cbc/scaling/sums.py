"""The sums over rows and pixels that scaling consists of, in NumPy, and the shape that any other backend has to have.

A *backend* is bound to a layout; bound to a map as well, it is a *model* that answers three questions. `NumpyBackend`
is the reference in float64. The backend on a device (`device.DeviceBackend`) has the same methods with the same arrays:

    backend.bind(chi: ProjectionMap) -> Model
    model.chi_at                            float64 [n]         chi at u of each row; NaN where all nodes are empty
    model.objective(b, q2, kind, loss)      float, float64 [S], float64 [H]     f, df/db, df/d|q|^2
    model.em(b, q2, steps, intercepts)      float64 [S], float64 [H]            b, |q|^2 after so many steps
    model.regress(b, q2, bandwidth)         float64 [F, ny, nx]                 chi anew, NaN = empty, not normalised

with b float64 [S], |q|^2 float64 [H], both finite and 0 or more. With a = chi(u) f^2 (0 where chi is NaN: such a row
has no signal in the model) and y = |q|^2 a,

    lambda_p = background_p + sum over rows of the pixel ( y + b )                               `expected_counts`
    df/d|q_h|^2 = sum over rows of h ( a df/dlambda ),   df/db_s = sum over rows of s ( df/dlambda )    `row_sums`
    |q_h|^2 <- |q_h|^2 sum over rows of h ( a I / lambda ) / sum over rows of h ( a )             `em_step`
    b_s     <- b_s     sum over rows of s ( I / lambda ) / rows of s

The steps are those of expectation maximisation (Shepp & Vardi 1982, IEEE Trans. Med. Imaging 1, 113; Lucy 1974,
Astron. J. 79, 745): f never rises where counts and background are 0 or more, and nothing becomes negative. Where
lambda is below `objective.FLOOR` it counts as that in I / lambda. |q|^2 stays above `FAINTEST` times its largest, so
that its logarithm exists. A reflection without any a, or a streak, is left as it is.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.objective import FLOOR, Kind, Loss, pixel_terms
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.regression import kernel_regression

__all__ = ["FAINTEST", "Backend", "Model", "NumpyBackend", "em_step", "expected_counts", "row_sums", "shares"]


FAINTEST = 1e-12
"""of the largest |q|^2: no reflection is made fainter by a step"""
_BLOCK = 1 << 16
"""pixels whose terms are made together"""


class Model(Protocol):
    """Layout and map together; see the head of this file."""

    @property
    def chi_at(self) -> Floats: ...
    def objective(self, b: Floats, q2: Floats, kind: Kind, loss: Loss) -> tuple[float, Floats, Floats]: ...
    def em(self, b: Floats, q2: Floats, steps: int, intercepts: bool) -> tuple[Floats, Floats]: ...
    def regress(self, b: Floats, q2: Floats, bandwidth: float) -> Floats: ...


class Backend(Protocol):
    """What makes the sums of a layout."""

    def bind(self, chi: ProjectionMap) -> Model: ...


def expected_counts(layout: Layout, amplitude: Floats, b: Floats, q2: Floats) -> Floats:
    """lambda of each pixel, float64 [P].

    Parameters
    ----------
    amplitude : float64 [n]
        a = chi(u) f^2 of each row.
    b : float64 [S]
        Intercept of each streak, counts.
    q2 : float64 [H]
        |q|^2 of each reflection, counts.
    """
    rows = np.diff(layout.streak_start)
    signal = np.repeat(q2[layout.streak_reflection], rows)
    signal *= amplitude
    if b.any():
        signal += np.repeat(b, rows)
    expected = _binned(layout.pixel, signal, layout.n_pixels)
    expected += layout.background
    return expected


def row_sums(layout: Layout, amplitude: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Sums over the rows of each streak of w, and over those of each reflection of a w: float64 [S], float64 [H].

    Parameters
    ----------
    amplitude : float64 [n]
    weight : float64 [P]
        w of each pixel.
    """
    of_row = weight[layout.pixel]
    first = layout.streak_start[:-1]
    plain = np.add.reduceat(of_row, first)
    of_row *= amplitude
    of_streak = np.add.reduceat(of_row, first)
    return plain, _binned(layout.streak_reflection, of_streak, layout.n_reflections)


def em_step(
    layout: Layout, amplitude: Floats, exposure: Floats, b: Floats, q2: Floats, intercepts: bool
) -> tuple[Floats, Floats]:
    """One step of expectation maximisation.

    Parameters
    ----------
    amplitude : float64 [n]
    exposure : float64 [H]
        Sum of a over the rows of each reflection.
    b, q2 : float64 [S], float64 [H]
    intercepts : bool
        Whether b take part; else they stay as they are.
    """
    expected = expected_counts(layout, amplitude, b, q2)
    ratio = np.divide(layout.counts, np.maximum(expected, FLOOR, out=expected), out=expected)
    of_streak, of_reflection = row_sums(layout, amplitude, ratio)
    seen = exposure > 0.0
    new = np.where(seen, q2 * of_reflection / np.where(seen, exposure, 1.0), q2)
    new[seen] = np.maximum(new[seen], FAINTEST * new.max())
    return (b * of_streak / np.diff(layout.streak_start) if intercepts else b), new


def shares(layout: Layout, amplitude: Floats, b: Floats, q2: Floats) -> tuple[Floats, Floats]:
    """What each row brings into the regression of chi: numerator and denominator, both float64 [n].

    The numerator is f^2 times the counts above background and intercepts, divided among the rows of a pixel like y
    (evenly, where all y are 0); the denominator |q|^2 f^4.
    """
    rows = np.diff(layout.streak_start)
    numerator = np.repeat(q2[layout.streak_reflection], rows)
    numerator *= amplitude
    total = _binned(layout.pixel, numerator, layout.n_pixels)
    above = layout.counts - layout.background
    if b.any():
        above -= _binned(layout.pixel, np.repeat(b, rows), layout.n_pixels)
    dark = ~(total > 0.0)
    if dark.any():
        total[dark] = 1.0
        even = np.flatnonzero(dark[layout.pixel])
        numerator[even] = 1.0 / layout.multiplicity[layout.pixel[even]]
    above /= total
    del total
    numerator *= above[layout.pixel]
    del above
    numerator *= layout.profile
    denominator = np.repeat(q2[layout.streak_reflection], rows)
    denominator *= layout.profile
    denominator *= layout.profile
    numerator[denominator <= 0.0] = 0.0
    return numerator, denominator


def _binned(where: NDArray[np.intp], values: Floats, length: int) -> Floats:
    sums: Floats = np.bincount(where, values, length)  # type: ignore[assignment]
    return sums


class NumpyBackend:
    """Sums of a layout in float64."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def bind(self, chi: ProjectionMap) -> NumpyModel:
        """The sums with this map."""
        return NumpyModel(self.layout, chi)


class NumpyModel:
    """Sums of a layout with a map, in float64. Holds 8 bytes per row; methods need 32 more while they work."""

    def __init__(self, layout: Layout, chi: ProjectionMap) -> None:
        self.layout, self.chi = layout, chi
        self.amplitude = layout.profile if (chi.values == 1.0).all() else self._amplitude()
        """float64 [n]"""
        self.exposure = row_sums(layout, self.amplitude, np.ones(layout.n_pixels))[1]
        """float64 [H]"""

    @property
    def chi_at(self) -> Floats:
        """float64 [n], made when asked for: chi at each row."""
        layout, at = self.layout, np.empty(len(self.layout))
        for frame, (first, last) in enumerate(pairwise(layout.frame_start)):
            at[first:last] = self.chi.interpolate(frame, layout.u[first:last])
        return at

    def _amplitude(self) -> Floats:
        amplitude = self.chi_at
        np.nan_to_num(amplitude, copy=False, nan=0.0)
        amplitude *= self.layout.profile
        return amplitude

    def objective(self, b: Floats, q2: Floats, kind: Kind, loss: Loss) -> tuple[float, Floats, Floats]:
        """f, df/db and df/d|q|^2."""
        layout = self.layout
        slope = expected_counts(layout, self.amplitude, b, q2)
        total = 0.0
        for start in range(0, len(slope), _BLOCK):
            part = slice(start, start + _BLOCK)
            value, slope[part] = pixel_terms(layout.counts[part], slope[part], kind, loss)
            total += float(value.sum())
        return total, *row_sums(layout, self.amplitude, slope)

    def em(self, b: Floats, q2: Floats, steps: int, intercepts: bool) -> tuple[Floats, Floats]:
        """b and |q|^2 after some steps of expectation maximisation."""
        for _ in range(steps):
            b, q2 = em_step(self.layout, self.amplitude, self.exposure, b, q2, intercepts)
        return b, q2

    def regress(self, b: Floats, q2: Floats, bandwidth: float) -> Floats:
        """chi on the nodes anew: float64 [F, ny, nx], NaN = empty node."""
        numerator, denominator = shares(self.layout, self.amplitude, b, q2)
        layout, chi = self.layout, self.chi
        return kernel_regression(layout.u, layout.frame_start, numerator, denominator, chi.x, chi.y, bandwidth)
