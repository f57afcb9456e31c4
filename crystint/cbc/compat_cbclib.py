"""Convergent-beam intensity scaling under the names and verbs of cbclib.

    lambda(pixel) = background + sum over the streaks on it of ( |q_hkl|^2 chi_n(u) f^2 + intercept )

The verbs are those of cbclib's `IntensityScaler` and mean the same; where they differ, the docstring says it. What
differs throughout: each detector pixel enters the objective once, however many streaks are on it; gradients are those
of the objective; the bandwidth is in units of the incident unit vector; numbers are float64; nothing is changed in
place, x neither.

x is float64 [S + H]: intercepts of streaks in counts, then log |q|^2 of reflections; NaN = a reflection seen nowhere.
The work is done by `crystint.cbc.scaling.scaler.Scaler`; here are cbclib's names of it, and x.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, ItemsView, Iterator, ValuesView
from typing import TYPE_CHECKING, Any, Generic, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.cbc.defaults import GRID, ITERATIONS, KIND, LOSS, METHOD, STEPS
from crystint.cbc.merging.export import write_sfac
from crystint.cbc.merging.families import families
from crystint.cbc.merging.merging import merged_intensities
from crystint.cbc.scaling.backends import backend_of
from crystint.cbc.scaling.criteria import criterion, trained
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.optimise import choose_method, first_estimate
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.regression import checked_bandwidth
from crystint.cbc.scaling.robust import SPREAD
from crystint.cbc.scaling.scaler import Scaler, T
from crystint.cbc.scaling.training import Alternation, Pair, Recipe
from crystint.cbc.table.setup import CBCSetup
from crystint.errors import SettingError, ShapeError

if TYPE_CHECKING:
    from crystint.engine import Engine

__all__ = ["IntensityScaler", "Training"]


_LARGEST = 300.0
"""of log |q|^2: sums of squares of larger ones are no numbers any more"""
_FIELDS = ("table", "layout", "xtal", "path", "symmetry", "friedel", "bandwidth", "trace", "spread")
_ARRAYS = ("frames", "fidxs", "xmap", "bgd", "I_raw", "idxs", "iidxs", "hkl", "hkl_idxs", "prof", "xtal_bi")
_COLUMNS = {"I_raw": "counts", "bgd": "background", "prof": "profile"}
"""arrays that are columns of the table"""
_REPLACED = (*_FIELDS, *_COLUMNS, "xmap", "hkl", "hkl_idxs")


class IntensityScaler(Generic[T]):
    """A table, its projection maps and how its reflections are merged; see the head of this file.

    Parameters
    ----------
    table : CBCTable
    layout : Layout
        Of the table, with the merging.
    xtal : ProjectionMap
        chi; its mean over the nodes that are not empty is 1.
    path : "numpy", "device" or Engine
        Where sums are made: NumPy, the best OpenCL device, or that of an engine.
    symmetry : str, int, gemmi.SpaceGroup or None
        By which reflections are merged; "streaks" = each streak has |q|^2 of its own.
    friedel : bool
    bandwidth : float or None
        Of the regression that xtal is from; None = it is not from one.
    trace : tuple of float
        f at the start of the last training and after each of its iterations, falling.
    spread : float
        sigma of |q|^2 by the criterion of the last training, over that by Poisson's: 1 for l2, 1.25 for l1, 1.03 for
        huber.

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

    __slots__ = ("bandwidth", "friedel", "path", "scaler", "spread", "symmetry", "trace")

    scaler: Scaler[T]
    """what does the work"""
    path: Literal["numpy", "device"] | Engine
    symmetry: Any
    friedel: bool
    bandwidth: float | None
    trace: tuple[float, ...]
    spread: float

    def __init__(
        self,
        table: T,
        layout: Layout | None = None,
        xtal: ProjectionMap | None = None,
        path: Literal["numpy", "device"] | Engine = "numpy",
        symmetry: Any = "streaks",
        friedel: bool = True,
        bandwidth: float | None = None,
        trace: tuple[float, ...] = (),
        spread: float = 1.0,
    ) -> None:
        if not (isinstance(layout, Layout) and isinstance(xtal, ProjectionMap)):
            raise SettingError(
                "an IntensityScaler is made of a table by IntensityScaler.of(table, setup), or by table.scale(setup); "
                "it does not take cbclib's arrays (frames, fidxs, xmap, ...), which follow from the table"
            )
        scaler = Scaler(table, layout, xtal, backend_of(path, layout))
        self._set(scaler, path, symmetry, friedel, bandwidth, trace, spread)

    def _set(
        self, scaler: Scaler[T], path: Any, symmetry: Any, friedel: bool, bandwidth: float | None, trace: Any,
        spread: float = 1.0,
    ) -> None:  # fmt: skip
        for name, value in zip(
            ("scaler", "path", "symmetry", "friedel", "bandwidth", "trace", "spread"),
            (scaler, path, symmetry, friedel, bandwidth, trace, spread),
        ):
            object.__setattr__(self, name, value)

    def _with(self, scaler: Scaler[T], **fields: Any) -> IntensityScaler[T]:
        """Another one of these: with a scaler, and with other values in some of its own fields."""
        made: IntensityScaler[T] = object.__new__(type(self))
        own = {name: getattr(self, name) for name in _FIELDS[3:]}
        made._set(scaler, **(own | fields))
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} of an IntensityScaler cannot be changed: `replace` gives one with another value")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name} of an IntensityScaler cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, name) for name in _FIELDS)

    def __repr__(self) -> str:
        merging = "each streak by itself" if self.symmetry == "streaks" else f"symmetry {self.symmetry or 'none'}"
        width = "" if self.bandwidth is None else f", bandwidth {self.bandwidth:.3g}"
        layout = self.layout
        return (
            f"<IntensityScaler: {len(layout)} rows, {layout.n_frames} frames, {layout.n_streaks} streaks,"
            f" {layout.n_reflections} reflections ({merging}){width}>"
        )

    def _repr_html_(self) -> str:
        from crystint.html import html_table

        layout = self.layout
        facts = {
            "rows": len(layout), "frames": layout.n_frames, "streaks": layout.n_streaks,
            "reflections": layout.n_reflections, "symmetry": self.symmetry, "Friedel's law": self.friedel,
            "maps (y, x)": self.xtal.values.shape[1:], "bandwidth": self.bandwidth,
            "iterations": max(len(self.trace) - 1, 0),
        }  # fmt: skip
        return html_table("IntensityScaler", facts)

    @classmethod
    def of(
        cls,
        table: T,
        u: ArrayLike | CBCSetup | None = None,
        *,
        grid: tuple[int | ArrayLike, int | ArrayLike] = GRID,
        path: Literal["numpy", "device"] | Engine = "numpy",
        frames: ArrayLike | None = None,
    ) -> IntensityScaler[T]:
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
        scaler = Scaler.of(table, at.u(table) if hasattr(at, "k_in") else at, grid, path, frames)
        made: IntensityScaler[T] = object.__new__(cls)
        made._set(scaler, path, "streaks", True, None, ())
        return made

    # What is held, under cbclib's names; arrays of pixels are per row here, as they are there.

    @property
    def table(self) -> T:
        """The table."""
        return self.scaler.table

    @property
    def layout(self) -> Layout:
        """Rows, pixels, streaks, reflections and frames of the table."""
        return self.scaler.layout

    @property
    def xtal(self) -> ProjectionMap:
        """chi; its mean over the nodes that are not empty is 1"""
        return self.scaler.maps

    @property
    def xtal_bi(self) -> Floats:
        """float64 [n]: chi at each row"""
        return self.scaler.model.chi_at

    @property
    def frames(self) -> NDArray[np.int64]:
        """int64 [F]: numbers of frames"""
        return self.layout.frames

    @property
    def fidxs(self) -> NDArray[np.intp]:
        """intp [F + 1]: first row of each frame, and n"""
        return self.layout.frame_start

    @property
    def xmap(self) -> Floats:
        """float64 [n, 3]: u_x, u_y and number of the frame of each row"""
        return np.column_stack([self.layout.u, self.layout.frames[self.layout.frame]])

    @property
    def bgd(self) -> Floats:
        """float64 [n], counts: background"""
        return self.layout.background[self.layout.pixel]

    @property
    def I_raw(self) -> Floats:  # noqa: N802
        """float64 [n]: counts"""
        return self.layout.counts[self.layout.pixel]

    @property
    def idxs(self) -> NDArray[np.intp]:
        """intp [n]: streak of each row, 0..S-1"""
        return self.layout.streak

    @property
    def iidxs(self) -> NDArray[np.intp]:
        """intp [S + 1]: first row of each streak, and n"""
        return self.layout.streak_start

    @property
    def hkl(self) -> NDArray[np.int32]:
        """int32 [H, 3]: indices of reflections, as they are merged"""
        return self.layout.reflection_hkl

    @property
    def hkl_idxs(self) -> NDArray[np.intp]:
        """intp [S]: reflection of each streak"""
        return self.layout.streak_reflection

    @property
    def prof(self) -> Floats:
        """float64 [n]: f^2"""
        return self.layout.profile

    def keys(self) -> list[str]:
        """Names of all that is held: what the constructor takes, and cbclib's arrays."""
        return [*_FIELDS, *_ARRAYS]

    def contents(self) -> list[str]:
        """Names of what has a value."""
        return [name for name in self.keys() if getattr(self, name) is not None]

    def values(self) -> ValuesView[Any]:
        """What is held, in the order of `keys`."""
        return {name: getattr(self, name) for name in self.keys()}.values()

    def items(self) -> ItemsView[str, Any]:
        """Names and what they hold."""
        return {name: getattr(self, name) for name in self.keys()}.items()

    def get(self, attr: str, value: Any = None) -> Any:
        """What is held under a name, `value` where there is none."""
        content = getattr(self, attr) if attr in self.keys() else None
        return value if content is None else content

    def replace(self, **attributes: Any) -> IntensityScaler[T]:
        """A scaler with other values: of what the constructor takes, or of cbclib's arrays.

        Parameters
        ----------
        table, layout, xtal, path, symmetry, friedel, bandwidth, trace, spread
            As the class. `xtal` may be an array, float [F, ny, nx], on the nodes there are.
        I_raw, bgd, prof : float [n]
            Counts, background and f^2 of each row: the table gets them, and so does the layout.
        xmap : float [n, 3]
            u_x, u_y, and the number of the frame, which must be that of the row.
        hkl, hkl_idxs : int [H, 3], int [S]
            Another merging.

        Raises
        ------
        SettingError, ShapeError
            For another name, as frames, fidxs, idxs, iidxs and xtal_bi, which follow from the table and the maps; for
            a layout together with such arrays; or when a value does not fit.
        """
        for name in attributes:
            if name not in _REPLACED:
                why = ": it follows from the table and the maps" if name in _ARRAYS else ""
                raise SettingError(f"{name} cannot be replaced{why}, expected one of {', '.join(_REPLACED)}")
        arrays = {name: attributes.pop(name) for name in _REPLACED[len(_FIELDS) :] if name in attributes}
        table, layout = attributes.pop("table", self.table), attributes.pop("layout", self.layout)
        if arrays:
            if layout is not self.layout:
                raise SettingError(f"a layout cannot be replaced together with {', '.join(arrays)}: give one of them")
            table, layout = self._with_arrays(table, arrays)
        chi = attributes.pop("xtal", self.xtal)
        if not isinstance(chi, ProjectionMap):
            chi = ProjectionMap(chi, self.xtal.x, self.xtal.y, self.xtal.frames)
        path = attributes.get("path", self.path)
        scaler = self.scaler
        same = layout is self.layout and path == self.path
        if not (same and chi is self.xtal and table is self.table):
            scaler = Scaler(table, layout, chi, scaler.backend if same else backend_of(path, layout))
        return self._with(scaler, **attributes)

    def _with_arrays(self, table: Any, arrays: dict[str, Any]) -> tuple[Any, Layout]:
        """A table and its layout with some of cbclib's arrays in them."""
        layout, u = self.layout, self.layout.u
        if "xmap" in arrays:
            xmap = np.asarray(arrays["xmap"], dtype=np.float64)
            if xmap.shape != (len(layout), 3):
                raise ShapeError(f"xmap is {xmap.shape}, expected {(len(layout), 3)}: u_x, u_y, number of the frame")
            if not np.array_equal(xmap[:, 2], layout.frames[layout.frame]):
                raise SettingError("xmap has rows in other frames than the table")
            u = np.ascontiguousarray(xmap[:, :2])
            table = table.replace(u=u)
        columns = {column: arrays[name] for name, column in _COLUMNS.items() if name in arrays}
        if columns:
            table = table.replace(**columns)
        if columns or u is not layout.u:
            layout = Layout.of(table, u)
        hkl, number = arrays.get("hkl", self.hkl), arrays.get("hkl_idxs", self.hkl_idxs)
        return table, layout.merged(number, hkl)

    # Verbs of cbclib.

    def init_estimate(self, fit_intercept: bool = False) -> Floats:
        """x by least squares at chi = 1, float64 [S + H], with intercepts of 0 unless asked for.

        (In cbclib, x = 0: |q|^2 = 1 count, however many there are.)
        """
        return self._joined(*first_estimate(self.layout, fit_intercept))

    def fitness(
        self, x: ArrayLike, fit_intercept: bool = True, kind: str = KIND, loss: str = LOSS
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
        f, by_b, by_q2 = self.scaler.model.objective(b if fit_intercept else np.zeros_like(b), q2, *names)
        return f, np.concatenate([by_b if fit_intercept else np.zeros_like(b), by_q2 * q2])

    def gain(self, x: ArrayLike, kind: str = KIND, loss: str = LOSS, x0: ArrayLike | None = None) -> Floats:
        """By how much x fits better than `x0`, for each reflection: float64 [H], NaN where it is seen nowhere.

        A pixel's gain is divided evenly among its rows, so that gains add up to f(x0) - f(x). `x0` is 0 (|q|^2 = 1, no
        intercepts) unless given; chi is the present one, both times.
        """
        names = criterion(kind, loss)
        start = np.zeros(self.layout.n_streaks + self.layout.n_reflections) if x0 is None else x0
        return self.scaler.gain(self._split(start), self._split(x), *names)

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
        return np.where(self.scaler.seen, strength, np.nan)

    def train(
        self,
        bandwidth: float,
        n_iter: int = ITERATIONS,
        f_tol: float = 1e-7,
        fit_intercept: bool = False,
        kind: str = KIND,
        loss: str = LOSS,
        max_iter: int = STEPS,
        x0: ArrayLike | None = None,
        verbose: bool = False,
        *,
        method: str = METHOD,
        progress: Callable[[int, float], None] | None = None,
    ) -> tuple[IntensityScaler[T], Floats]:
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
            The criterion, as for `fitness`. For least squares the form of it without bias is minimised, and is f in
            `trace`: Poisson's for l2, that of `crystint.cbc.scaling.robust` for l1 and huber.
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
        training = self.training(bandwidth, n_iter, f_tol, fit_intercept, kind, loss, max_iter, x0, method=method)
        for iteration, f in training:
            if verbose:
                print(f"iteration {iteration}: f = {f:.6g}", file=sys.stderr)
            if progress is not None:
                progress(iteration, f)
        return training.result()

    def training(
        self,
        bandwidth: float,
        n_iter: int = ITERATIONS,
        f_tol: float = 1e-7,
        fit_intercept: bool = False,
        kind: str = KIND,
        loss: str = LOSS,
        max_iter: int = STEPS,
        x0: ArrayLike | None = None,
        *,
        method: str = METHOD,
    ) -> Training[T]:
        """As `train`, an iteration at a time: an iterable whose items are the iterations, with `result()`."""
        kind_named, loss_named = criterion(kind, loss)
        minimised = trained(kind_named, loss_named)
        if n_iter < 1 or max_iter < 1:
            raise SettingError(f"n_iter is {n_iter} and max_iter is {max_iter}, expected 1 or more")
        if not f_tol >= 0.0:
            raise SettingError(f"f_tol is {f_tol!r}, expected 0 or more")
        recipe = Recipe(
            checked_bandwidth(bandwidth), int(n_iter), float(f_tol), int(max_iter), bool(fit_intercept), minimised,
            loss_named, choose_method(method, minimised, self.layout),
        )  # fmt: skip
        b, q2 = self._split(self.init_estimate(fit_intercept) if x0 is None else x0)
        if (b < 0.0).any():
            raise SettingError(f"intercept of streak {int(np.argmin(b))} is {b.min():g}, expected 0 or more")
        spread = SPREAD[loss_named] if minimised == "robust" else 1.0
        return Training(
            self._with(self.scaler, spread=spread),
            self.scaler.training(b if fit_intercept else np.zeros_like(b), q2, recipe),
        )

    def update_xtal(self, x: ArrayLike, bandwidth: float) -> tuple[IntensityScaler[T], Floats]:
        """New maps by regression, normalised to a mean of 1, and x with that factor in |q|^2.

        Errors as `train`. (cbclib's average runs over empty nodes too.)
        """
        width = checked_bandwidth(bandwidth)
        return self._of_pair(self.scaler.remapped(*self._split(x), width), width, ())

    def merge_hkl(self, symmetry: Any = None, friedel: bool = True) -> IntensityScaler[T]:
        """The scaler with one |q|^2 for all streaks of a family.

        Parameters
        ----------
        symmetry : str, int, gemmi.SpaceGroup or None
            A point or space group, see `families`. None: equal indices are one reflection, over all frames. "mmm" and
            "4mm" are the groups of these names (with Friedel's law mmm, of 8 operations, and 4/mmm, of 16).
        friedel : bool
            Whether hkl and -h-k-l are one family. Not used with None.
        """
        merging = families(self.layout.streak_hkl, symmetry, friedel=friedel)
        layout = self.layout.merged(merging.number, merging.hkl)
        return self.replace(layout=layout, symmetry=symmetry, friedel=friedel, trace=())

    def unmerge_hkl(self) -> IntensityScaler[T]:
        """The scaler with |q|^2 of its own for every streak."""
        layout = self.layout.merged(np.arange(self.layout.n_streaks), self.layout.streak_hkl)
        return self.replace(layout=layout, symmetry="streaks", friedel=True, trace=())

    def merge_sfac(
        self, x: ArrayLike, symmetry: Any = None, friedel: bool = True, *, errors: bool = True
    ) -> dict[str, NDArray[Any]]:
        """Merged |q|^2 with uncertainties.

        Parameters
        ----------
        x : float [S + H]
            Converged.
        symmetry : str, int, gemmi.SpaceGroup or None
            As for `merge_hkl`; None (or "same"): what `merge_hkl` has set, with its Friedel's law, and equal indices
            where every streak is by itself.
        friedel : bool
            As for `merge_hkl`.
        errors : bool
            False: no sigma (serr is NaN), which for large tables is most of the time.

        Returns
        -------
        dict
            hkl int32 [m, 3]; sfac float64 [m], |q|^2 in counts (that of cbclib too is no |q|); serr float64 [m], its
            sigma; cnts int [m], streaks. NaN where a reflection is seen nowhere; serr also where it is an average over
            reflections without a common scale, of which a `CrystintWarning` tells.

        Raises
        ------
        SettingError
            When the scaler has merged reflections that are not equivalent under this symmetry.
        """
        group, mates = self._merging(symmetry, friedel)
        b = self._split(x)[0]
        merged = merged_intensities(self.scaler, b, self.q2(x), self.bandwidth, group, mates, errors)
        return merged | {"serr": self.spread * merged["serr"]}

    def export_sfac(self, x: ArrayLike, path: Any, symmetry: Any = None, friedel: bool = True, **options: Any) -> None:
        """Write merged |q|^2: MTZ, SHELX HKLF 4 or text by the suffix; options and errors as `write_sfac`."""
        group, mates = self._merging(symmetry, friedel)
        write_sfac(path, self.merge_sfac(x, group, mates), symmetry=group, **options)

    def update_table(self, x: ArrayLike) -> T:
        """The table with columns q2, chi and intercept, counts (NaN = none). A new table: tables do not change."""
        strength, level = self.model(x)
        extra = {**self.table.extra, "intercept": level}
        return self.table.replace(u=self.layout.u, q2=strength, chi=self.xtal_bi.copy(), extra=extra)

    # x.

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
        seen = self.scaler.seen & (q2 > 0.0)
        return np.concatenate([b, np.where(seen, np.log(np.where(seen, q2, 1.0)), np.nan)])

    def _merging(self, symmetry: Any, friedel: bool) -> tuple[Any, bool]:
        """Symmetry and Friedel's law as `families` takes them."""
        if symmetry is not None and not (isinstance(symmetry, str) and symmetry == "same"):
            return symmetry, friedel
        own = self.symmetry
        return (None, True) if isinstance(own, str) and own == "streaks" else (own, self.friedel)

    def _of_pair(
        self, pair: Pair, bandwidth: float | None, trace: tuple[float, ...]
    ) -> tuple[IntensityScaler[T], Floats]:
        """The scaler with the maps of a pair, and its x."""
        made = self._with(self.scaler.with_maps(pair), bandwidth=bandwidth, trace=trace)
        return made, made._joined(pair.b, pair.q2)


class Training(Generic[T]):
    """A training of a scaler, an iteration for each item that is asked for: (its number, f after it)."""

    def __init__(self, scaler: IntensityScaler[T], alternation: Alternation) -> None:
        self._scaler, self._alternation = scaler, alternation

    def __iter__(self) -> Iterator[tuple[int, float]]:
        return iter(self._alternation)

    def result(self) -> tuple[IntensityScaler[T], Floats]:
        """The scaler with the best maps so far, with f of all iterations in `trace`, and x that goes with them."""
        done, trace = self._alternation, tuple(self._alternation.trace)
        width = done.recipe.bandwidth if len(trace) > 1 else self._scaler.bandwidth
        return self._scaler._of_pair(done.best, width, trace)
