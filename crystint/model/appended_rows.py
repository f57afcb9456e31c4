"""Rows that come a few at a time, in one array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AppendedRows"]

_FEWEST = 1024


class AppendedRows:
    """Rows of one dtype, one after the other. An array for each frame would take more memory than what is in it.

    Parameters
    ----------
    dtype : dtype

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.model.appended_rows import AppendedRows
    >>> rows = AppendedRows(np.int64)
    >>> rows.add(np.arange(3))
    >>> rows.add(np.arange(2))
    >>> rows.end().tolist()
    [0, 1, 2, 0, 1]
    """

    def __init__(self, dtype: Any) -> None:
        self._rows: NDArray[Any] = np.empty(0, dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, rows: NDArray[Any]) -> None:
        """Append rows."""
        end = self._count + len(rows)
        if end > len(self._rows):  # by an eighth: in its place, as nobody else has seen the array
            self._rows.resize(max(end, len(self._rows) * 9 // 8, _FEWEST), refcheck=False)
        self._rows[self._count : end] = rows
        self._count = end

    def end(self) -> NDArray[Any]:
        """All of them [n], once; the next ones begin anew."""
        rows, self._rows = self._rows, np.empty(0, self._rows.dtype)
        rows.resize(self._count, refcheck=False)
        self._count = 0
        return rows
