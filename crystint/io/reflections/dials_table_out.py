"""DIALS reflection tables (.refl), written: MessagePack in the layout that `dials_table` reads.

The version written is 1, which old and new DIALS read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crystint.io.outputs import atomic_path
from crystint.io.reflections.dials_table import COLUMN_TYPES, TABLE_NAME

__all__ = ["MadeRows", "write_table"]

MadeRows: TypeAlias = Callable[[slice], NDArray[Any]]
"""Makes the values of some rows of a column."""
_AT_ONCE = 1 << 16
"""rows that are written together"""


def write_table(
    path: Path,
    columns: Mapping[str, tuple[str, NDArray[Any] | MadeRows]],
    *,
    rows: int | None = None,
    identifiers: Mapping[int, str] | None = None,
    overwrite: bool,
) -> None:
    """Write columns of equal length.

    Parameters
    ----------
    columns : mapping
        Name -> (type, values), with the types of `COLUMN_TYPES`; or in the place of values a function that makes those
        of some rows, when they are written.
    rows : int, optional
        How many there are; None = as the first column has, which then has values.
    identifiers : mapping, optional
        Experiment of each ``id``.

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    """
    if rows is None:
        rows = len(np.asarray(next(iter(columns.values()))[1]))
    with atomic_path(path, overwrite) as temporary, temporary.open("wb") as file:
        file.write(_array_head(3) + _pack(TABLE_NAME) + _pack(1) + _map_head(3))
        file.write(_pack("identifiers") + _pack(dict(identifiers or {})) + _pack("nrows") + _pack(rows))
        file.write(_pack("data") + _map_head(len(columns)))
        for name, (kind, values) in columns.items():
            dtype, width = COLUMN_TYPES[kind]
            size = rows * width * np.dtype(dtype).itemsize
            file.write(_pack(name) + _array_head(2) + _pack(kind) + _array_head(2) + _pack(rows) + _bytes_head(size))
            for start in range(0, rows, _AT_ONCE):
                some = slice(start, min(start + _AT_ONCE, rows))
                made = values(some) if callable(values) else values[some]
                file.write(np.ascontiguousarray(made, dtype=dtype).data)


def _array_head(length: int) -> bytes:
    return bytes([0x90 | length])


def _map_head(length: int) -> bytes:
    return b"\xde" + struct.pack(">H", length)


def _bytes_head(length: int) -> bytes:
    return b"\xc6" + struct.pack(">I", length)


def _pack(value: Any) -> bytes:
    """MessagePack of the few types that a reflection table holds beside its columns.

    Heads of numbers, bytes and maps have a fixed size here. `msgpack` writes the shortest that does: equal to every
    reader, but other bytes than crystint has always written.
    """
    if isinstance(value, str):
        text = value.encode()
        return (bytes([0xA0 | len(text)]) if len(text) < 32 else b"\xd9" + bytes([len(text)])) + text
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 128 else b"\xcf" + struct.pack(">Q", value)
    if isinstance(value, dict):
        return _map_head(len(value)) + b"".join(_pack(k) + _pack(v) for k, v in value.items())
    raise TypeError(f"cannot pack {type(value).__name__}")
