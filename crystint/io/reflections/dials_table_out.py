"""DIALS reflection tables (.refl), written: MessagePack in the layout that `dials_table` reads.

The version written is 1, which old and new DIALS read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.io.outputs import atomic_path
from crystint.io.reflections.dials_table import COLUMN_TYPES, TABLE_NAME

__all__ = ["write_table"]


def write_table(
    path: Path,
    columns: Mapping[str, tuple[str, NDArray[Any]]],
    *,
    identifiers: Mapping[int, str] | None = None,
    overwrite: bool,
) -> None:
    """Write columns of equal length.

    Parameters
    ----------
    columns : mapping
        Name -> (type, values), with the types of `COLUMN_TYPES`.
    identifiers : mapping, optional
        Experiment of each ``id``.

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    """
    rows = len(next(iter(columns.values()))[1])
    data = {
        name: [kind, [rows, np.ascontiguousarray(values, dtype=COLUMN_TYPES[kind][0]).tobytes()]]
        for name, (kind, values) in columns.items()
    }
    table = {"identifiers": dict(identifiers or {}), "nrows": rows, "data": data}
    with atomic_path(path, overwrite) as temporary:
        temporary.write_bytes(_pack([TABLE_NAME, 1, table]))


def _pack(value: Any) -> bytes:
    """MessagePack of the few types that a reflection table holds.

    Heads of numbers, bytes and maps have a fixed size here. `msgpack` writes the shortest that does: equal to every
    reader, but other bytes than crystint has always written.
    """
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return (bytes([0xA0 | len(text)]) if len(text) < 32 else b"\xd9" + bytes([len(text)])) + text
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 128 else b"\xcf" + struct.pack(">Q", value)
    if isinstance(value, list):
        return bytes([0x90 | len(value)]) + b"".join(map(_pack, value))
    if isinstance(value, dict):
        return b"\xde" + struct.pack(">H", len(value)) + b"".join(_pack(k) + _pack(v) for k, v in value.items())
    raise TypeError(f"cannot pack {type(value).__name__}")
