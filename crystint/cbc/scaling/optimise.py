"""Fits of |q|^2 and intercepts at fixed chi: a start from the data, expectation maximisation, bounded L-BFGS-B.

The start is by least squares at chi = 1: |q_h|^2 = sum (I - background) f^2 / sum f^4 over the rows of h, and for
intercepts a line in f^2 through the rows of each streak. Expectation maximisation needs no step length, never leaves
the positive numbers and never raises the Poisson criterion; it is defined for counts and background of 0 or more. For
all else there is L-BFGS-B (Byrd, Lu, Nocedal & Zhu 1995, SIAM J. Sci. Comput. 16, 1190; SciPy's) in b >= 0 and
|q|^2 > 0, each in units of its own standard deviation at the start, so that all take equal part. (In log |q|^2 a faint
reflection that one step makes much too faint stays so: the slope goes with |q|^2.)
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import optimize

from crystint.arrays import Floats
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.objective import FLOOR, Kind, Loss
from crystint.cbc.scaling.sums import FAINTEST, Model, expected_counts, row_sums
from crystint.errors import SettingError

__all__ = ["Method", "choose_method", "first_estimate", "lbfgsb", "lifted"]

Method = Literal["em", "l-bfgs-b"]


def choose_method(method: str, kind: Kind, layout: Layout) -> Method:
    """The optimiser meant: "auto" is expectation maximisation wherever it is defined.

    Raises
    ------
    SettingError
        When there is no such method, or expectation maximisation is asked for where it is not defined: least squares,
        negative counts, negative background.
    """
    name = str(method).lower().replace("_", "-")
    if name not in ("auto", "em", "l-bfgs-b"):
        raise SettingError(f"method is {method!r}, expected 'auto', 'em' or 'l-bfgs-b'")
    reasons = []
    if kind != "poisson":
        reasons.append("is for kind='poisson', and for least squares with loss='l2', only")
    for what, values in (("counts", layout.counts), ("background", layout.background)):
        negative = values < 0.0
        if negative.any():
            reasons.append(
                f"needs {what} of 0 or more, but {int(negative.sum())} pixels are below (to {values.min():g})"
            )
    if name == "em" and reasons:
        raise SettingError(f"expectation maximisation {reasons[0]}; use method='l-bfgs-b'")
    return "em" if name != "l-bfgs-b" and not reasons else "l-bfgs-b"


def first_estimate(layout: Layout, intercepts: bool) -> tuple[Floats, Floats]:
    """b and |q|^2 by least squares at chi = 1: float64 [S] (0 without intercepts) and float64 [H], NaN = seen nowhere.

    None is negative: |q|^2 is at least 1e-3 of the mean of its absolute values.
    """
    above = (layout.counts - layout.background)[layout.pixel]
    first, rows = layout.streak_start[:-1], np.diff(layout.streak_start)
    profile = layout.profile
    f, ff, i, fi = (np.add.reduceat(each, first) for each in (profile, profile**2, above, profile * above))
    b = np.zeros(layout.n_streaks)
    if intercepts:
        spread = rows * ff - f * f
        level = np.divide(ff * i - f * fi, spread, out=np.zeros_like(b), where=spread > 1e-9 * rows * ff)
        b = lifted(layout, np.minimum(level, np.maximum(i / rows, 0.0)))
        fi = fi - b * f
    with np.errstate(invalid="ignore", divide="ignore"):
        by_reflection = [np.bincount(layout.streak_reflection, each, layout.n_reflections) for each in (fi, ff)]
        q2 = np.where(by_reflection[1] > 0.0, by_reflection[0] / by_reflection[1], np.nan)
    seen = ~np.isnan(q2)
    least = 1e-3 * float(np.abs(q2[seen]).mean()) if seen.any() else 0.0
    return b, np.maximum(q2, least if least > 0.0 else FLOOR)


def lifted(layout: Layout, b: Floats) -> Floats:
    """Intercepts that expectation maximisation can move: a multiple of 0 is 0, so each is at least 1e-3 of the counts.

    Parameters
    ----------
    b : float64 [S]
    """
    counts = np.add.reduceat(np.abs(layout.counts)[layout.pixel], layout.streak_start[:-1])
    return np.maximum(b, np.maximum(1e-3 * counts / np.diff(layout.streak_start), FLOOR))


def lbfgsb(
    layout: Layout, model: Model, b: Floats, q2: Floats, steps: int, intercepts: bool, kind: Kind, loss: Loss
) -> tuple[Floats, Floats]:
    """b and |q|^2 after so many iterations of L-BFGS-B at fixed chi; f is not above that of the start.

    Parameters
    ----------
    b, q2 : float64 [S], float64 [H]
        The start; b of 0 or more, |q|^2 above 0 where the reflection is seen. Others stay as they are.
    steps : int
    intercepts : bool
        Whether b are fitted; else they stay as they are.
    kind, loss
        As `objective.criterion` returns them.
    """
    amplitude = np.nan_to_num(model.chi_at, nan=0.0) * layout.profile
    weight = 1.0 / np.maximum(expected_counts(layout, amplitude, b, q2), FLOOR)
    of_b, of_q2 = row_sums(layout, amplitude * amplitude, weight)
    fitted = np.flatnonzero((of_q2 > 0.0) & (q2 > 0.0))
    free = np.arange(layout.n_streaks) if intercepts else np.zeros(0, np.intp)
    unit = 1.0 / np.sqrt(np.concatenate([of_b[free], of_q2[fitted]]))

    def unpacked(z: Floats) -> tuple[Floats, Floats]:
        levels, strengths = b.copy(), q2.copy()
        levels[free] = z[: len(free)] * unit[: len(free)]
        strengths[fitted] = z[len(free) :] * unit[len(free) :]
        return levels, strengths

    def value(z: Floats) -> tuple[float, Floats]:
        levels, strengths = unpacked(z)
        f, by_b, by_q2 = model.objective(levels, strengths, kind, loss)
        return f, np.concatenate([by_b[free], by_q2[fitted]]) * unit

    if not len(unit):
        return b, q2
    start = np.concatenate([b[free], q2[fitted]]) / unit
    low = np.concatenate([np.zeros(len(free)), np.full(len(fitted), FAINTEST * q2.max())]) / unit
    bounds = optimize.Bounds(np.minimum(low, start), np.inf)
    solution = optimize.minimize(
        value, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps, "ftol": 0.0, "gtol": 1e-6}
    )
    return unpacked(solution.x)
