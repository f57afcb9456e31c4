"""What can be asked of an estimate x without changing anything: the criterion, its gradient, |q|^2 of rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.cbc.scaling.contents import Contents
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.objective import criterion, pixel_terms
from crystint.cbc.scaling.optimise import first_estimate
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.sums import Model, NumpyPath, Path, expected_counts, row_sums
from crystint.errors import SettingError, ShapeError

if TYPE_CHECKING:
    from crystint.cbc.table.table import CBCTable
    from crystint.engine import Engine

__all__ = ["Estimates", "path_of"]

Floats = NDArray[np.float64]
_LARGEST = 300.0
"""of log |q|^2: sums of squares of larger ones are no numbers any more"""


@dataclass(frozen=True, eq=False)
class Estimates(Contents):
    """Table, layout and maps of an `IntensityScaler`, and what x means with them."""

    table: CBCTable
    """rows of streaks"""
    layout: Layout
    """which rows belong to which pixel, streak, node and reflection"""
    xtal: ProjectionMap
    """chi; its mean over the nodes that are not empty is 1"""
    path: Literal["numpy", "device"] | Engine = "numpy"
    """where sums are made: NumPy, the best device, or that of an engine"""
    symmetry: Any = "streaks"
    """by which reflections are merged; "streaks" = each streak has |q|^2 of its own"""
    friedel: bool = True
    """whether hkl and -h-k-l are one reflection"""
    bandwidth: float | None = None
    """of the regression that xtal is from; None = it is not from one"""
    trace: tuple[float, ...] = field(default=(), repr=False)
    """f at the start of the last training and after each of its iterations, falling"""

    @cached_property
    def _sums(self) -> Path:
        return path_of(self.path, self.layout)

    @cached_property
    def _model(self) -> Model:
        return self._sums.bind(self.xtal)

    @property
    def xtal_bi(self) -> Floats:
        """float64 [n]: chi at each row"""
        return self._model.chi_at

    def init_estimate(self, fit_intercept: bool = False) -> Floats:
        """x by least squares at chi = 1, float64 [S + H], with intercepts of 0 unless asked for.

        (In cbclib, x = 0: |q|^2 = 1 count, however many there are.)
        """
        return self._joined(*first_estimate(self.layout, fit_intercept))

    def fitness(
        self, x: ArrayLike, fit_intercept: bool = True, kind: str = "poisson", loss: str = "l2"
    ) -> tuple[float, Floats]:
        """The criterion and its gradient by x, float and float64 [S + H].

        Parameters
        ----------
        x : float [S + H]
        fit_intercept : bool
            False: intercepts count as 0, and so do their derivatives.
        kind : str
            "poisson": f = -sum of I log(lambda) - lambda. "least_squares": sum of loss((I - lambda) / sqrt(lambda)).
        loss : str
            "l2", "l1" or "huber", in any capitalisation; for least squares.

        Raises
        ------
        SettingError, ShapeError
            When a name is unknown or x has another length.
        """
        names = criterion(kind, loss)
        b, q2 = self._split(x)
        f, by_b, by_q2 = self._model.objective(b if fit_intercept else np.zeros_like(b), q2, *names)
        return f, np.concatenate([by_b if fit_intercept else np.zeros_like(b), by_q2 * q2])

    def gain(self, x: ArrayLike, kind: str = "poisson", loss: str = "l2", x0: ArrayLike | None = None) -> Floats:
        """By how much x fits better than `x0`, for each reflection: float64 [H], NaN where it is seen nowhere.

        A pixel's gain is divided evenly among its rows, so that gains add up to f(x0) - f(x). `x0` is 0 (|q|^2 = 1, no
        intercepts) unless given; chi is the present one, both times.
        """
        names = criterion(kind, loss)
        layout, amplitude = self.layout, self._amplitude
        terms = []
        for point in (np.zeros(layout.n_streaks + layout.n_reflections) if x0 is None else x0, x):
            expected = expected_counts(layout, amplitude, *self._split(point))
            terms.append(pixel_terms(layout.counts, expected, *names)[0])
        of_streak = row_sums(layout, amplitude, (terms[0] - terms[1]) / layout.multiplicity)[0]
        streaks = np.bincount(layout.streak_reflection, minlength=layout.n_reflections)
        gains = np.bincount(layout.streak_reflection, of_streak, layout.n_reflections)
        return np.where(streaks > 0, gains, np.nan)

    def model(self, x: ArrayLike) -> tuple[Floats, Floats]:
        """|q|^2 and intercept of each row, both float64 [n], counts; |q|^2 is NaN where the reflection is seen nowhere.

        (In this order; cbclib's manual says so too, but its program returns the intercepts first.)
        """
        b, _ = self._split(x)
        rows = np.diff(self.layout.streak_start)
        return self.q2(x)[self.layout.streak_reflection].repeat(rows), b.repeat(rows)

    def q2(self, x: ArrayLike) -> Floats:
        """|q|^2 of each reflection, float64 [H], counts; NaN where it is seen nowhere."""
        _, strength = self._split(x)
        return np.where(self._seen, strength, np.nan)

    @property
    def _amplitude(self) -> Floats:
        return np.asarray(np.nan_to_num(self._model.chi_at, nan=0.0) * self.layout.profile)

    @cached_property
    def _seen(self) -> NDArray[np.bool_]:
        """bool [H]: reflections of which some row has a signal."""
        return row_sums(self.layout, self._amplitude, np.ones(self.layout.n_pixels))[1] > 0.0

    def _split(self, x: ArrayLike) -> tuple[Floats, Floats]:
        """b float64 [S] and |q|^2 float64 [H] (0 where x is NaN)."""
        values, streaks = np.asarray(x, dtype=np.float64), self.layout.n_streaks
        if values.shape != (streaks + self.layout.n_reflections,):
            raise ShapeError(
                f"x is {values.shape}, expected ({streaks + self.layout.n_reflections},):"
                f" {streaks} intercepts and {self.layout.n_reflections} log |q|^2; merging changes its length"
            )
        if not np.isfinite(values[:streaks]).all():
            raise SettingError("an intercept in x is not finite")
        large = values[streaks:] > _LARGEST
        if large.any():
            worst = streaks + int(np.argmax(large))
            raise SettingError(
                f"x[{worst}] is {values[worst]:g}, a log |q|^2 beyond {_LARGEST:g}; x has logarithms, not |q|^2"
            )
        return values[:streaks].copy(), np.nan_to_num(np.exp(values[streaks:]), nan=0.0)

    def _joined(self, b: Floats, q2: Floats) -> Floats:
        seen = self._seen & (q2 > 0.0)
        return np.concatenate([b, np.where(seen, np.log(np.where(seen, q2, 1.0)), np.nan)])


def path_of(path: Any, layout: Layout) -> Path:
    """The sums of a layout where they are to be made.

    Raises
    ------
    SettingError
        When the path is neither "numpy" nor "device" nor an engine.
    """
    if isinstance(path, str) and path.lower() == "numpy":
        return NumpyPath(layout)
    if isinstance(path, str) and path.lower() == "device":
        from crystint.engine import default_engine

        path = default_engine()
    if not hasattr(path, "kernel"):
        raise SettingError(f"path is {path!r}, expected 'numpy', 'device' or an Engine")
    from crystint.cbc.scaling.device import DevicePath

    made: Path = DevicePath(path, layout)
    return made
