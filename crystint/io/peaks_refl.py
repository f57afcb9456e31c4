"""Peak lists as DIALS reflection tables (.refl): MessagePack, written and read by hand.

The layout is that of dials/array_family/reflection_table_msgpack_adapter.h: an array of a name, the version
(1, which old and new DIALS read) and a map of ``identifiers``, ``nrows`` and ``data``; each column is its
type's name and (rows, little-endian bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.atomic import atomic_path
from crystint.model.peaks import PeakList, empty_peaks

__all__ = ["read_refl", "write_refl"]

_NAME = "dials::af::reflection_table"
_STRONG = 1 << 5
_TYPES: dict[str, tuple[str, int]] = {
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
_OWN = {"maximum": "crystint.maximum", "background": "crystint.background", "snr": "crystint.snr", "d": "d"}


def write_refl(path: Path, peaks: PeakList, *, shape: tuple[int, int], overwrite: bool) -> None:
    """x = fast and y = slow in px from the outer corner, z = frame + 0.5; flags strong, as dials.find_spots
    sets.

    ``id`` is the frame, as dials.import numbers stills. The bounding box is three pixels wide about the
    centroid. Columns that DIALS does not know keep the rest.
    """
    with atomic_path(path, overwrite) as temporary:
        temporary.write_bytes(
            _pack([_NAME, 1, {"identifiers": {}, "nrows": len(peaks), "data": _columns(peaks, shape)}])
        )


def _columns(peaks: PeakList, shape: tuple[int, int]) -> dict[str, list[Any]]:
    n = len(peaks)
    position = np.stack([peaks["fast"], peaks["slow"], peaks["frame"] + 0.5], axis=-1)
    # A centroid's variance is at best that of the spot's width over the counts; a twelfth is one pixel's.
    counts = np.maximum(peaks["intensity"], 1.0)
    variance = np.stack([1 / 12 + 0.5 / counts, 1 / 12 + 0.5 / counts, np.full(n, 1 / 12)], axis=-1)
    slow = np.clip(np.floor(peaks["slow"]).astype(np.int64), 0, shape[0] - 1)
    fast = np.clip(np.floor(peaks["fast"]).astype(np.int64), 0, shape[1] - 1)
    box = np.stack(
        [
            np.maximum(fast - 1, 0),
            np.minimum(fast + 2, shape[1]),
            np.maximum(slow - 1, 0),
            np.minimum(slow + 2, shape[0]),
            peaks["frame"],
            peaks["frame"] + 1,
        ],
        axis=-1,
    )
    columns: dict[str, tuple[str, NDArray[Any]]] = {
        "panel": ("std::size_t", np.zeros(n)),
        "id": ("int", peaks["frame"]),
        "xyzobs.px.value": ("vec3<double>", position),
        "xyzobs.px.variance": ("vec3<double>", variance),
        "intensity.sum.value": ("double", peaks["intensity"]),
        "intensity.sum.variance": ("double", peaks["sigma"] ** 2),
        "bbox": ("int6", box),
        "flags": ("std::size_t", np.full(n, _STRONG)),
        "n_signal": ("int", peaks["npix"]),
        "crystint.flags": ("std::size_t", peaks["flags"]),
    }
    columns |= {name: ("double", peaks[column]) for column, name in _OWN.items()}
    return {
        name: [kind, [n, np.ascontiguousarray(values, dtype=_TYPES[kind][0]).tobytes()]]
        for name, (kind, values) in columns.items()
    }


def read_refl(path: Path) -> PeakList:
    """The peaks of a .refl file, crystint's or DIALS's; columns it lacks are 0, or NaN for ``d``.

    Raises
    ------
    FileError
        When it is missing, damaged, or no reflection table with ``xyzobs.px.value``.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        name, _version, table = _Unpacker(content).next()
        rows, data = int(table["nrows"]), table["data"]
        if name != _NAME:
            raise ValueError("another kind of table")
        columns = {
            key: np.frombuffer(raw, dtype=_TYPES[kind][0]).reshape(rows, _TYPES[kind][1])
            for key, (kind, (_, raw)) in data.items()
            if kind in _TYPES
        }
        position = columns["xyzobs.px.value"]
    except (ValueError, KeyError, TypeError, IndexError, struct.error) as error:
        raise FileError(
            f"{path} is damaged or not a reflection table of DIALS with xyzobs.px.value ({error})"
        ) from error
    return _peaks(columns, position, rows)


def _peaks(columns: Mapping[str, NDArray[Any]], position: NDArray[np.float64], rows: int) -> PeakList:
    peaks = empty_peaks(rows)
    peaks["fast"], peaks["slow"] = position[:, 0], position[:, 1]
    peaks["frame"] = np.floor(position[:, 2])
    peaks["d"] = np.nan
    names = {"intensity": "intensity.sum.value", "npix": "n_signal", "flags": "crystint.flags", **_OWN}
    for column, name in names.items():
        if name in columns:
            peaks[column] = columns[name][:, 0]
    if "intensity.sum.variance" in columns:
        peaks["sigma"] = np.sqrt(np.maximum(columns["intensity.sum.variance"][:, 0], 0.0))
    return peaks[np.argsort(peaks["frame"], kind="stable")]


def _pack(value: Any) -> bytes:
    """MessagePack of the few types that a reflection table holds."""
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


class _Unpacker:
    """Reads MessagePack; enough of it for what DIALS writes."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.content):
            raise ValueError("it ends too early")
        self.at += count
        return self.content[self.at - count : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack(">" + form, self.take(struct.calcsize(form)))[0]

    def next(self) -> Any:
        head = self.take(1)[0]
        if head < 0x80:
            return head
        if head >= 0xE0:
            return head - 256
        if head < 0x90:
            return self.map(head & 15)
        if head < 0xA0:
            return self.array(head & 15)
        if head < 0xC0:
            return self.take(head & 31).decode()
        simple = {0xC0: None, 0xC2: False, 0xC3: True}
        if head in simple:
            return simple[head]
        numbers = {
            0xCA: "f",
            0xCB: "d",
            0xCC: "B",
            0xCD: "H",
            0xCE: "I",
            0xCF: "Q",
            0xD0: "b",
            0xD1: "h",
            0xD2: "i",
        }
        numbers[0xD3] = "q"
        if head in numbers:
            return self.number(numbers[head])
        sizes = {
            0xC4: "B",
            0xC5: "H",
            0xC6: "I",
            0xD9: "B",
            0xDA: "H",
            0xDB: "I",
            0xDC: "H",
            0xDD: "I",
            0xDE: "H",
            0xDF: "I",
        }
        if head not in sizes:
            raise ValueError(f"unexpected byte 0x{head:02x}")
        size = self.number(sizes[head])
        if head <= 0xC6:
            return self.take(size)
        if head <= 0xDB:
            return self.take(size).decode()
        return self.array(size) if head <= 0xDD else self.map(size)

    def array(self, count: int) -> list[Any]:
        return [self.next() for _ in range(count)]

    def map(self, count: int) -> dict[Any, Any]:
        return {self.next(): self.next() for _ in range(count)}
