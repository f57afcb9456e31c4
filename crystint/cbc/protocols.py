"""Tables as the parts of a scaling see them; `crystint.cbc.CBCTable` is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats

__all__ = ["Columns", "ScalingTable"]


class Columns(Protocol):
    """The columns of a table, a value per row; rows sorted by frame, then by streak."""

    @property
    def frame(self) -> NDArray[np.int64]: ...
    @property
    def streak(self) -> NDArray[np.int64]: ...
    @property
    def x(self) -> NDArray[np.int32]: ...
    @property
    def y(self) -> NDArray[np.int32]: ...
    @property
    def counts(self) -> Floats: ...
    @property
    def background(self) -> Floats: ...
    @property
    def profile(self) -> Floats: ...
    @property
    def hkl(self) -> NDArray[np.int32] | None: ...


class ScalingTable(Columns, Protocol):
    """A table as scaling needs it: columns, some of its rows, and the same rows with other columns."""

    @property
    def u(self) -> Floats | None: ...
    @property
    def extra(self) -> Mapping[str, NDArray[Any]]: ...
    def select(self, frames: ArrayLike | None = None, rows: NDArray[Any] | None = None) -> Self: ...
    def replace(self, **columns: Any) -> Self: ...
