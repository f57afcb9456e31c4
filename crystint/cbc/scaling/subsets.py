"""A scaler of some of the rows: what cross-validation and half sets fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.projection import ProjectionMap

__all__ = ["Trainable", "subset"]


class Trainable(Protocol):
    """What cross-validation and half sets need of a scaler; `crystint.cbc.IntensityScaler` is one."""

    @property
    def table(self) -> Any: ...
    @property
    def layout(self) -> Layout: ...
    @property
    def xtal(self) -> ProjectionMap: ...
    @property
    def bandwidth(self) -> float | None: ...
    def replace(self, **attributes: Any) -> Self: ...
    @property
    def train(self) -> Callable[..., tuple[Self, NDArray[np.float64]]]: ...
    def q2(self, x: ArrayLike) -> NDArray[np.float64]: ...


S = TypeVar("S", bound=Trainable)


def subset(scaler: S, keep: NDArray[np.bool_]) -> tuple[S, NDArray[np.bool_]]:
    """The scaler of some of the rows, and which streaks are still there.

    Parameters
    ----------
    scaler : IntensityScaler
    keep : bool [n]
        All rows of a pixel, or none. At least one is True.

    Returns
    -------
    IntensityScaler
        With maps of ones on the same nodes, for the frames that are left, and all reflections, those seen nowhere
        included. A streak without profile in the rows left is dropped.
    bool [S]
    """
    layout = scaler.layout
    profile = np.add.reduceat(np.where(keep, layout.profile, 0.0), layout.streak_start[:-1])
    there = profile > 0.0
    rows = keep & np.repeat(there, np.diff(layout.streak_start))
    table = scaler.table.select(rows=rows)
    made = Layout.of(table, layout.u[rows]).merged(layout.streak_reflection[there], layout.reflection_hkl)
    chi = scaler.xtal
    left = np.isin(chi.frames, made.frames)
    ones = ProjectionMap(np.ones_like(chi.values[left]), chi.x, chi.y, chi.frames[left])
    return scaler.replace(table=table, layout=made, xtal=ones, trace=()), there
