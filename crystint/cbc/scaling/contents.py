"""A scaler as a container of arrays under cbclib's names: get, keys, values, items, contents, replace."""

from __future__ import annotations

from collections.abc import ItemsView, ValuesView
from dataclasses import fields
from dataclasses import replace as with_fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError

if TYPE_CHECKING:
    from crystint.cbc.scaling.layout import Layout
    from crystint.cbc.scaling.projection import ProjectionMap
    from crystint.cbc.table.table import CBCTable

__all__ = ["Contents"]


class Contents:
    """The names by which cbclib's container holds its arrays; those of pixels are per row here, as they are there."""

    table: CBCTable
    layout: Layout
    xtal: ProjectionMap

    _ARRAYS = ("frames", "fidxs", "xmap", "bgd", "I_raw", "idxs", "iidxs", "hkl", "hkl_idxs", "prof", "xtal_bi")

    @property
    def frames(self) -> NDArray[np.int64]:
        """int64 [F]: numbers of frames"""
        return self.layout.frames

    @property
    def fidxs(self) -> NDArray[np.intp]:
        """intp [F + 1]: first row of each frame, and n"""
        return self.layout.frame_start

    @property
    def xmap(self) -> NDArray[np.float64]:
        """float64 [n, 3]: u_x, u_y and number of the frame of each row"""
        return np.column_stack([self.layout.u, self.layout.frames[self.layout.frame]])

    @property
    def bgd(self) -> NDArray[np.float64]:
        """float64 [n], counts: background"""
        return self.layout.background[self.layout.pixel]

    @property
    def I_raw(self) -> NDArray[np.float64]:  # noqa: N802
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
    def prof(self) -> NDArray[np.float64]:
        """float64 [n]: f^2"""
        return self.layout.profile

    def keys(self) -> list[str]:
        """Names of all that is held: the fields, and the arrays above."""
        return [*(each.name for each in fields(self)), *self._ARRAYS]  # type: ignore[arg-type]

    def contents(self) -> list[str]:
        """Names of what has a value."""
        return [name for name in self.keys() if getattr(self, name) is not None]

    def values(self) -> ValuesView[Any]:
        """What is held, in the order of `keys`."""
        return self._all().values()

    def items(self) -> ItemsView[str, Any]:
        """Names and what they hold."""
        return self._all().items()

    def get(self, attr: str, value: Any = None) -> Any:
        """What is held under a name, `value` where there is none."""
        found = getattr(self, attr) if attr in self.keys() else None
        return value if found is None else found

    def replace(self, **attributes: Any) -> Self:
        """A container with other values in some fields; the arrays follow from them.

        Raises
        ------
        SettingError
            For a name that is no field.
        """
        known = [each.name for each in fields(self)]  # type: ignore[arg-type]
        for name in attributes:
            if name not in known:
                raise SettingError(f"{name} cannot be replaced, expected one of {', '.join(known)}")
        return with_fields(self, **attributes)  # type: ignore[type-var]

    def _all(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.keys()}
