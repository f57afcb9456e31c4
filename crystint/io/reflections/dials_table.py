"""Reflection tables of DIALS (.refl), as columns: MessagePack of today, and the pickles of before 2019.

The MessagePack layout is that of reflection_table_msgpack_adapter.h in DIALS, versions 1 and 2: an array of a name,
the version and a map of ``identifiers``, ``nrows`` and ``data``; each column is its type's name and (rows,
little-endian bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, unreadable
from crystint.io.guard import reads_file
from crystint.io.reflections.dials_pickle import columns_of_pickle

__all__ = ["COLUMN_TYPES", "TABLE_NAME", "ReflectionTable", "read_table"]

TABLE_NAME = "dials::af::reflection_table"
COLUMN_TYPES: dict[str, tuple[str, int]] = {
    "int": ("<i4", 1),
    "std::size_t": ("<u8", 1),
    "double": ("<f8", 1),
    "vec3<double>": ("<f8", 3),
    "int6": ("<i4", 6),
    "bool": ("?", 1),
    "vec2<double>": ("<f8", 2),
    "mat3<double>": ("<f8", 9),
    "cctbx::miller::index<>": ("<i4", 3),
}
"""dtype and width of an element; other types (shoeboxes, strings) are skipped"""


_DAMAGE = (
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
    struct.error,
)
"""what a reader trips over in a file that is not what it seems"""


@dataclass(frozen=True, eq=False)
class ReflectionTable:
    """Columns by their DIALS names; each [rows], or [rows, width]."""

    path: Path
    rows: int
    columns: Mapping[str, NDArray[Any]]
    identifiers: Mapping[int, str] = field(default_factory=dict)
    """experiment of each ``id``, where the file says so"""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """columns that were not read, and their types"""

    def __len__(self) -> int:
        return self.rows

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column.

        Raises
        ------
        FileError
            When the table does not have it; the message names those it has.
        """
        if name not in self.columns:
            raise FileError(
                f"{self.path} has no column {name}; it has {', '.join(sorted(self.columns)) or 'none that can be read'}"
            )
        return self.columns[name]


@reads_file
def read_table(path: str | Path) -> ReflectionTable:
    """Read a reflection table; what is in it is only ever taken as numbers, nothing is executed.

    Raises
    ------
    FileError
        When it is missing, damaged, or no reflection table.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        if content[:1] == b"\x80":
            rows, identifiers, columns, skipped = columns_of_pickle(content)
        else:
            rows, identifiers, columns, skipped = _columns(content)
    except _DAMAGE as error:
        raise FileError(f"{path} is damaged or not a reflection table of DIALS ({error})") from error
    return ReflectionTable(path, rows, columns, identifiers, skipped)


def _columns(content: bytes) -> tuple[int, dict[int, str], dict[str, NDArray[Any]], dict[str, str]]:
    # experiments are numbered, so keys are no text; a size that is larger than the content is an error of msgpack
    parts = msgpack.unpackb(content, strict_map_key=False)
    if not isinstance(parts, list) or len(parts) != 3 or parts[0] != TABLE_NAME:
        raise ValueError("another kind of file")
    _, version, table = parts
    if version not in (1, 2):
        raise ValueError(f"its version is {version!r}; 1 and 2 are known")
    rows, columns, skipped = int(table["nrows"]), {}, {}
    for name, (kind, payload) in table["data"].items():
        if kind not in COLUMN_TYPES or not isinstance(payload[1], bytes):
            skipped[name] = str(kind)
            continue
        dtype, width = COLUMN_TYPES[kind]
        shape = (rows, width) if width > 1 else (rows,)
        try:
            columns[name] = np.frombuffer(payload[1], dtype=dtype).reshape(shape)
        except ValueError:
            raise ValueError(f"column {name} has {len(payload[1])} bytes, expected {rows} rows of {kind}") from None
    identifiers = {int(key): str(value) for key, value in table.get("identifiers", {}).items()}
    return rows, identifiers, columns, skipped
