"""Convergent-beam intensity scaling: |q|^2 of reflections and projection maps of the crystal from overlapping streaks.

    lambda(pixel) = background + sum over the streaks on it of ( |q_hkl|^2 chi_n(u) f^2 + intercept )

The verbs are those of cbclib's `IntensityScaler` and mean the same; where they differ, the docstring says it. What
differs throughout: each detector pixel enters the objective once, however many streaks are on it; gradients are those
of the objective; the bandwidth is in units of the incident unit vector; numbers are float64; nothing is changed in
place, x neither.

x is float64 [S + H]: intercepts of streaks in counts, then log |q|^2 of reflections; NaN = a reflection seen nowhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace as with_fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.cbc.merging.families import families
from crystint.cbc.merging.merging import export_sfac, merged_sfac
from crystint.cbc.scaling.estimates import Estimates, path_of
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.objective import criterion
from crystint.cbc.scaling.optimise import choose_method
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.regression import checked_bandwidth
from crystint.cbc.scaling.training import Pair, Recipe, alternate, new_map
from crystint.errors import SettingError

if TYPE_CHECKING:
    from crystint.cbc.table.setup import CBCSetup
    from crystint.cbc.table.table import CBCTable
    from crystint.engine import Engine

__all__ = ["IntensityScaler"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class IntensityScaler(Estimates):
    """A table, its projection maps and how its reflections are merged; see the head of this file.

    Examples
    --------
    >>> from crystint import cbc
    >>> data = cbc.simulate_cbc(3, d_min=5.0, seed=1)
    >>> scaler = cbc.IntensityScaler.of(data.table, data.setup).merge_hkl("mmm")
    >>> scaler, x = scaler.train(bandwidth=2e-3)
    >>> merged = scaler.merge_sfac(x)
    >>> sorted(merged), merged["sfac"].shape == merged["serr"].shape
    (['cnts', 'hkl', 'serr', 'sfac'], True)
    """

    @classmethod
    def of(
        cls,
        table: CBCTable,
        u: ArrayLike | CBCSetup | None = None,
        *,
        grid: tuple[int | ArrayLike, int | ArrayLike] = (40, 40),
        path: Literal["numpy", "device"] | Engine = "numpy",
        frames: ArrayLike | None = None,
    ) -> IntensityScaler:
        """A scaler of a table: maps of ones, every streak with |q|^2 of its own.

        Parameters
        ----------
        table : CBCTable
        u : float [n, 2] or CBCSetup, optional
            x and y of the incident unit vector of each row, or the setup that gives them; None = the table's own.
        grid : (y, x)
            Nodes of chi: how many, over the range of the data, or where, float [ny] and [nx], covering the data.
        path : "numpy", "device" or Engine
            Where sums are made: "device" = the best OpenCL device, or that of an engine.
        frames : int [F], optional
            Frames expected in the table; each must have rows.

        Raises
        ------
        ShapeError, SettingError
            When the table is not indexed, rows of one pixel disagree, u is missing or not finite, a frame has no rows,
            or the grid does not cover the data.
        """
        at: Any = table.u if u is None else u
        if at is None:
            raise SettingError("the table has no u; give u [n, 2], or the setup that it follows from")
        layout = Layout.of(table, at.u(table) if hasattr(at, "k_in") else at, frames)
        scaler = cls(table, layout, ProjectionMap.even(layout.frames, layout.u, grid), path)
        scaler.__dict__["_sums"] = path_of(path, layout)
        return scaler

    def train(
        self,
        bandwidth: float,
        n_iter: int = 30,
        f_tol: float = 1e-7,
        fit_intercept: bool = False,
        kind: str = "poisson",
        loss: str = "l2",
        max_iter: int = 10,
        x0: ArrayLike | None = None,
        verbose: bool = False,
        *,
        method: str = "auto",
        progress: Callable[[int, float], None] | None = None,
    ) -> tuple[IntensityScaler, Floats]:
        """Maps and |q|^2 in turn until the fit gets no better.

        Parameters
        ----------
        bandwidth : float
            Of the regression of chi, in units of the incident unit vector (a pixel is about pixel size / distance).
        n_iter : int
            At most so many times chi and |q|^2.
        f_tol : float
            Stop when f falls by no more than this part of itself.
        fit_intercept : bool
            Fit a constant background to each streak too. (cbclib's default is True; where the background of the table
            is right, as many parameters as streaks only cost precision.)
        kind, loss : str
            The criterion, as for `fitness`.
        max_iter : int
            Steps of the optimiser for each map.
        x0 : float [S + H], optional
            Where to start; None = `init_estimate`. It is not changed.
        verbose : bool
            Print a line per iteration to stderr.
        method : str
            "em" (expectation maximisation; Poisson, no negative counts or background), "l-bfgs-b", or "auto": the first
            where it can be.
        progress : callable, optional
            Called with the number of the iteration and f after each.

        Returns
        -------
        IntensityScaler
            With the maps, and f of all iterations in `trace`.
        float64 [S + H]
            x that goes with these maps.

        Raises
        ------
        SettingError, ShapeError
            When a parameter is impossible, "em" cannot be, or the bandwidth is too small for the grid.
        """
        names = criterion(kind, loss)
        if n_iter < 1 or max_iter < 1:
            raise SettingError(f"n_iter is {n_iter} and max_iter is {max_iter}, expected 1 or more")
        if not f_tol >= 0.0:
            raise SettingError(f"f_tol is {f_tol!r}, expected 0 or more")
        chosen = choose_method(method, names[0], self.layout)
        recipe = Recipe(
            checked_bandwidth(bandwidth), int(n_iter), float(f_tol), int(max_iter), bool(fit_intercept), *names, chosen
        )
        b, q2 = self._split(self.init_estimate(fit_intercept) if x0 is None else x0)
        if (b < 0.0).any():
            raise SettingError(f"intercept of streak {int(np.argmin(b))} is {b.min():g}, expected 0 or more")

        def report(iteration: int, f: float) -> None:
            if verbose:
                print(f"iteration {iteration}: f = {f:.6g}", file=sys.stderr)
            if progress is not None:
                progress(iteration, f)

        start = Pair(self.xtal, self._model, b if fit_intercept else np.zeros_like(b), q2)
        pair, trace = alternate(self.layout, self._sums, start, recipe, report)
        width = recipe.bandwidth if len(trace) > 1 else self.bandwidth
        trained = self._with_model(pair, width, trace)
        return trained, trained._joined(pair.b, pair.q2)

    def update_xtal(self, x: ArrayLike, bandwidth: float) -> tuple[IntensityScaler, Floats]:
        """New maps by regression, normalised to a mean of 1, and x with that factor in |q|^2.

        Errors as `train`. (cbclib's average runs over empty nodes too.)
        """
        width = checked_bandwidth(bandwidth)
        b, q2 = self._split(x)
        pair = new_map(self.layout, self._sums, Pair(self.xtal, self._model, b, q2), width)
        updated = self._with_model(pair, width, ())
        return updated, updated._joined(pair.b, pair.q2)

    def merge_hkl(self, symmetry: Any = None, friedel: bool = True) -> IntensityScaler:
        """The scaler with one |q|^2 for all streaks of a family.

        Parameters
        ----------
        symmetry : str, int, gemmi.SpaceGroup or None
            A point or space group, see `families`. None: equal indices are one reflection, over all frames. "mmm" and
            "4mm" are the groups of these names (with Friedel's law mmm, of 8 operations, and 4/mmm, of 16).
        friedel : bool
            Whether hkl and -h-k-l are one family. Not used with None.
        """
        found = families(self.layout.streak_hkl, symmetry, friedel=friedel)
        layout = self.layout.merged(found.number, found.hkl)
        return with_fields(self, layout=layout, symmetry=symmetry, friedel=friedel, trace=())

    def unmerge_hkl(self) -> IntensityScaler:
        """The scaler with |q|^2 of its own for every streak."""
        layout = self.layout.merged(np.arange(self.layout.n_streaks), self.layout.streak_hkl)
        return with_fields(self, layout=layout, symmetry="streaks", friedel=True, trace=())

    def merge_sfac(
        self, x: ArrayLike, symmetry: Any = "same", friedel: bool = True, *, errors: bool = True
    ) -> dict[str, NDArray[Any]]:
        """Merged |q|^2 with uncertainties, unless `errors` is False; see `merging.merged_sfac`."""
        return merged_sfac(self, x, symmetry, friedel, errors)

    def export_sfac(
        self, x: ArrayLike, path: Any, symmetry: Any = "same", friedel: bool = True, **options: Any
    ) -> None:
        """Write merged |q|^2 to a file, by its suffix; see `merging.export_sfac`."""
        export_sfac(self, x, path, symmetry, friedel, **options)

    def update_table(self, x: ArrayLike) -> CBCTable:
        """The table with columns q2, chi and intercept, counts (NaN = none). A new table: tables do not change."""
        strength, level = self.model(x)
        extra = {**self.table.extra, "intercept": level}
        return self.table.replace(u=self.layout.u, q2=strength, chi=self._model.chi_at.copy(), extra=extra)

    def _with_model(self, pair: Pair, bandwidth: float | None, trace: tuple[float, ...]) -> IntensityScaler:
        scaler = with_fields(self, xtal=pair.chi, bandwidth=bandwidth, trace=trace)
        scaler.__dict__["_sums"], scaler.__dict__["_model"] = self._sums, pair.model
        return scaler
