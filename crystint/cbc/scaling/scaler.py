"""A table, its layout, the maps of the crystal and what makes the sums: all that a scaling works with.

    lambda(pixel) = background + sum over the streaks on it of ( |q_hkl|^2 chi_n(u) f^2 + b )

An estimate is b, float64 [S], the intercept of each streak, and |q|^2, float64 [H], of each reflection, both in counts
and 0 or more; |q|^2 is 0 where the reflection is seen nowhere. Nothing is changed in place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.cbc.protocols import ScalingTable
from crystint.cbc.scaling.backends import backend_of
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.objective import Kind, Loss, pixel_terms
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.sums import Backend, Model, expected_counts, row_sums
from crystint.cbc.scaling.training import Alternation, Pair, Recipe, new_map

__all__ = ["Scaler"]


T = TypeVar("T", bound=ScalingTable)


@dataclass(frozen=True, eq=False)
class Scaler(Generic[T]):
    """What a scaling works with; see the head of this file."""

    table: T
    layout: Layout
    maps: ProjectionMap
    """chi; its mean over the nodes that are not empty is 1"""
    backend: Backend
    """of the layout"""
    bound: Model | None = field(default=None, repr=False)
    """the backend with the maps, where it has been made"""

    @classmethod
    def of(
        cls, table: T, u: ArrayLike, grid: tuple[int | ArrayLike, int | ArrayLike], where: Any, frames: ArrayLike | None
    ) -> Scaler[T]:
        """A scaler of a table with maps of ones; `where` as `backend_of` takes it, the rest as `Layout.of`."""
        layout = Layout.of(table, u, frames)
        return cls(table, layout, ProjectionMap.even(layout.frames, layout.u, grid), backend_of(where, layout))

    @cached_property
    def model(self) -> Model:
        """The backend bound to the maps."""
        return self.backend.bind(self.maps) if self.bound is None else self.bound

    @property
    def amplitude(self) -> Floats:
        """float64 [n], made when asked for: chi f^2 of each row, 0 where chi is not known."""
        return np.asarray(np.nan_to_num(self.model.chi_at, nan=0.0) * self.layout.profile)

    @cached_property
    def exposure(self) -> Floats:
        """float64 [H]: sum of chi f^2 over the rows of each reflection."""
        return row_sums(self.layout, self.amplitude, np.ones(self.layout.n_pixels))[1]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """bool [H]: reflections of which some row has a signal."""
        return np.asarray(self.exposure > 0.0)

    def with_maps(self, pair: Pair) -> Scaler[T]:
        """The scaler with the maps of a pair."""
        return Scaler(self.table, self.layout, pair.chi, self.backend, pair.model)

    def gain(self, before: tuple[Floats, Floats], after: tuple[Floats, Floats], kind: Kind, loss: Loss) -> Floats:
        """By how much one estimate (b, |q|^2) fits better than another, for each reflection: float64 [H].

        A pixel's gain is divided evenly among its rows. NaN for reflections without streaks.
        """
        layout, amplitude = self.layout, self.amplitude
        terms = [
            pixel_terms(layout.counts, expected_counts(layout, amplitude, *estimate), kind, loss)[0]
            for estimate in (before, after)
        ]
        of_streak = row_sums(layout, amplitude, (terms[0] - terms[1]) / layout.multiplicity)[0]
        streaks = np.bincount(layout.streak_reflection, minlength=layout.n_reflections)
        gains = np.bincount(layout.streak_reflection, of_streak, layout.n_reflections)
        return np.where(streaks > 0, gains, np.nan)

    def training(self, b: Floats, q2: Floats, recipe: Recipe) -> Alternation:
        """Iterations that improve an estimate and the maps in turn."""
        return Alternation(self.layout, self.backend, Pair(self.maps, self.model, b, q2), recipe)

    def remapped(self, b: Floats, q2: Floats, bandwidth: float) -> Pair:
        """The pair with maps by regression, normalised to a mean of 1."""
        return new_map(self.layout, self.backend, Pair(self.maps, self.model, b, q2), bandwidth)
