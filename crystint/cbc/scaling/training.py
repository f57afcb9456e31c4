"""Maps and structure factors in turn: chi by regression with |q|^2 held, then |q|^2 (and intercepts) with chi held.

Each iteration makes a pair, and its f is that of the pair. Regression is not a step of the criterion: where it no
longer lowers f, the pair before is kept and the iteration is over. So f only falls from one pair to the next, and what
is returned belongs together.

Between iterations log |q|^2 is extrapolated from the last few (Anderson 1965, J. ACM 12, 547), for alternation creeps
where the maps of many frames hang together by few reflections. An extrapolation that raises f is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from crystint.arrays import Floats
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.objective import Kind, Loss
from crystint.cbc.scaling.optimise import Method, lbfgsb, lifted
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.sums import Backend, Model
from crystint.errors import SettingError

__all__ = ["Alternation", "Pair", "Recipe", "alternate", "new_map"]

_DEPTH = 3
"""pairs before the last that an extrapolation knows of"""


@dataclass(frozen=True, eq=False)
class Pair:
    """Maps, |q|^2 and intercepts that belong together."""

    chi: ProjectionMap
    """normalised"""
    model: Model
    b: Floats
    """float64 [S], counts"""
    q2: Floats
    """float64 [H], counts; 0 where the reflection is not seen"""


@dataclass(frozen=True)
class Recipe:
    """What a training was asked for, checked."""

    bandwidth: float
    n_iter: int
    f_tol: float
    max_iter: int
    intercepts: bool
    kind: Kind
    loss: Loss
    method: Method
    accelerate: bool = True


def new_map(layout: Layout, backend: Backend, pair: Pair, bandwidth: float) -> Pair:
    """The pair with chi by regression, normalised; |q|^2 takes the factor.

    Raises
    ------
    SettingError
        When the bandwidth leaves rows without a node in reach, or no data are above background.
    """
    values = pair.model.regress(pair.b, pair.q2, bandwidth)
    if np.isnan(values).all():
        raise SettingError(
            f"bandwidth is {bandwidth:g}, which leaves all nodes of chi without data in reach: expected more, or more"
            " nodes; or no reflection has |q|^2 above 0"
        )
    chi, mean = ProjectionMap(values, pair.chi.x, pair.chi.y, pair.chi.frames).normalised()
    model = backend.bind(chi)
    lost = np.isnan(model.chi_at) if chi.empty.any() else np.zeros(0, np.bool_)
    if lost.any():
        lost &= (pair.q2[layout.streak_reflection] > 0.0).repeat(np.diff(layout.streak_start))
        lost &= layout.profile > 0.0
    if lost.any():
        spacing = max(float(np.diff(chi.x).max()), float(np.diff(chi.y).max()))
        raise SettingError(
            f"bandwidth is {bandwidth:g}, which leaves {int(lost.sum())} rows (the first is {int(np.argmax(lost))})"
            f" without a node of chi in reach; expected more than {spacing / 8:.2g} with nodes {spacing:.2g} apart,"
            " or more nodes"
        )
    return Pair(chi, model, pair.b, pair.q2 * mean)


class Alternation:
    """Maps and |q|^2 in turn, an iteration for each item that is asked for: (its number, f after it).

    It ends when f falls by no more than f_tol of itself, or no more at all.
    """

    def __init__(self, layout: Layout, backend: Backend, start: Pair, recipe: Recipe) -> None:
        if recipe.intercepts and recipe.method == "em":
            start = Pair(start.chi, start.model, lifted(layout, start.b), start.q2)
        self.layout, self.backend, self.recipe = layout, backend, recipe
        self.best = start
        """the last pair that lowered f"""
        self.trace = [start.model.objective(start.b, start.q2, recipe.kind, recipe.loss)[0]]
        """f of the start and of each pair since, falling"""

    def __iter__(self) -> Iterator[tuple[int, float]]:
        layout, backend, recipe, trace = self.layout, self.backend, self.recipe, self.trace
        guess = plain = self.best
        past = _Past()
        for iteration in range(1, recipe.n_iter + 1):
            pair, f, before = _iterate(layout, backend, guess, recipe)
            if not f < trace[-1] and guess is not plain:
                past = _Past()
                pair, f, before = _iterate(layout, backend, plain, recipe)
            if not f < trace[-1]:
                break
            fall = (trace[-1] - f) / max(abs(f), abs(trace[-1]))
            self.best = plain = guess = pair
            trace.append(f)
            yield iteration, f
            if fall <= recipe.f_tol:
                break
            if recipe.accelerate:
                guess = past.extrapolated(before, pair)


def alternate(
    layout: Layout,
    backend: Backend,
    start: Pair,
    recipe: Recipe,
    report: Callable[[int, float], None] = lambda iteration, f: None,
) -> tuple[Pair, tuple[float, ...]]:
    """An `Alternation` to its end.

    Returns
    -------
    Pair
        The last one that lowered f.
    tuple of float
        f of the start and of each pair since, falling.
    """
    alternation = Alternation(layout, backend, start, recipe)
    for iteration, f in alternation:
        report(iteration, f)
    return alternation.best, tuple(alternation.trace)


def _iterate(layout: Layout, backend: Backend, pair: Pair, recipe: Recipe) -> tuple[Pair, float, Floats]:
    """The next pair, its f, and |q|^2 that it began with."""
    mapped = new_map(layout, backend, pair, recipe.bandwidth)
    if recipe.method == "em":
        b, q2 = mapped.model.em(mapped.b, mapped.q2, recipe.max_iter, recipe.intercepts)
    else:
        r = recipe
        b, q2 = lbfgsb(layout, mapped.model, mapped.b, mapped.q2, r.max_iter, r.intercepts, r.kind, r.loss)
    f = mapped.model.objective(b, q2, recipe.kind, recipe.loss)[0]
    return Pair(mapped.chi, mapped.model, b, q2), f, mapped.q2


class _Past:
    """The last pairs, for extrapolation of log |q|^2."""

    def __init__(self) -> None:
        self._points: list[Floats] = []
        self._steps: list[Floats] = []

    def extrapolated(self, before: Floats, pair: Pair) -> Pair:
        """The pair with |q|^2 where its last steps point to; `before` is |q|^2 that it was made from."""
        seen = (before > 0.0) & (pair.q2 > 0.0)
        if self._points and not np.array_equal(np.isfinite(self._points[-1]), seen):
            self._points, self._steps = [], []
        point = np.where(seen, np.log(np.where(seen, before, 1.0)), np.nan)
        self._points.append(point)
        self._steps.append(np.where(seen, np.log(np.where(seen, pair.q2, 1.0)) - point, np.nan))
        del self._points[: -_DEPTH - 1], self._steps[: -_DEPTH - 1]
        if len(self._steps) < 2:
            return pair
        df, dx = np.diff(self._steps, axis=0)[:, seen], np.diff(self._points, axis=0)[:, seen]
        weight = np.sqrt(pair.q2[seen])
        share = np.linalg.lstsq((df * weight).T, weight * self._steps[-1][seen], rcond=1e-10)[0]
        shift = share @ (dx + df)
        if not np.abs(shift).max() < 1.0:
            return pair
        q2 = pair.q2.copy()
        q2[seen] *= np.exp(-shift)
        return Pair(pair.chi, pair.model, pair.b, q2)
