"""Anderson's acceleration of an iteration x <- g(x): the next point from a few past ones; slow modes do not creep.

Scaling images to one another in turn with the means they make converges in a dozen steps where each image shares
reflections with many others, but hardly at all along chains, where it shares them with its neighbours only.

Anderson (1965), J. ACM 12, 547; type II as in Walker & Ni (2011), SIAM J. Numer. Anal. 49, 1715.
"""

from __future__ import annotations

import numpy as np

from crystint.arrays import Floats

__all__ = ["Anderson"]


class Anderson:
    """Call `next` with x and g(x) of each iteration; it gives the x to go on with."""

    def __init__(self, depth: int = 8) -> None:
        self.depth = depth
        self._x: list[Floats] = []
        self._f: list[Floats] = []

    @property
    def active(self) -> bool:
        """Some of the last points were accelerated."""
        return len(self._f) > 1

    def forget(self) -> None:
        """Begin anew, as when g has changed."""
        self._x, self._f = [], []

    def next(self, x: Floats, g: Floats, weight: Floats) -> Floats:
        """Next point, float64 [n].

        Parameters
        ----------
        x, g : float64 [n]
            A point, and what the iteration makes of it.
        weight : float64 [n]
            1 / (a scale of each unknown, such as its standard deviation): in these units steps are compared.

        Notes
        -----
        A step no longer than rounding of x and g can make says that x is the solution. It leaves the history as it is:
        its length and direction are noise, which would decide whether the history is forgotten, or be extrapolated.
        """
        step = g - x
        # n eps: the bound for g made by sums of n terms, as in Higham (2002), Accuracy and Stability, section 3.1
        rounding = len(x) * np.finfo(np.float64).eps * np.linalg.norm(weight * (np.abs(x) + np.abs(g)))
        if np.linalg.norm(weight * step) <= rounding:
            return g
        if self._f and np.linalg.norm(weight * step) > 2.0 * np.linalg.norm(weight * self._f[-1]):
            self.forget()  # it leads astray
        self._x.append(x.copy())
        self._f.append(step)
        del self._x[: -self.depth - 1], self._f[: -self.depth - 1]
        if len(self._f) < 2:
            return g
        df, dx = np.diff(self._f, axis=0), np.diff(self._x, axis=0)
        share = np.linalg.lstsq((df * weight).T, weight * step, rcond=1e-10)[0]
        return np.asarray(g - share @ (dx + df))
