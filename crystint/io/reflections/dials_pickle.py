"""Reflection tables that DIALS wrote as pickles, before 2019: read without ever running what a pickle asks for.

Every class or function that the pickle names becomes an inert stand-in that only keeps what it is given; columns
are in scitbx's own text of numbers, decoded here.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["columns_of_pickle"]

_TYPES: dict[str, tuple[Any, int]] = {
    "bool": (np.bool_, 1),
    "int": (np.int32, 1),
    "size_t": (np.uint64, 1),
    "double": (np.float64, 1),
    "vec2_double": (np.float64, 2),
    "vec3_double": (np.float64, 3),
    "mat3_double": (np.float64, 9),
    "int6": (np.int32, 6),
    "miller_index": (np.int32, 3),
}


_MEMO = ("PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET")


class _Inert:
    """Stands for whatever a pickle names; does nothing."""

    kind = ""
    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Text(_Inert):
    """Stands for codecs.encode: how Python 3 wrote bytes in old pickles."""

    def __init__(self, text: Any = "", *_: Any) -> None:
        self.state = text.encode("latin-1") if isinstance(text, str) else b""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _Text
        return type("_Inert", (_Inert,), {"kind": name})

    def persistent_load(self, pid: Any) -> Any:
        raise ValueError("it refers to another file")


def columns_of_pickle(content: bytes) -> tuple[int, dict[int, str], dict[str, NDArray[Any]], dict[str, str]]:
    """Number of rows, identifiers, columns, and the types of columns that were skipped.

    Raises
    ------
    ValueError, KeyError, TypeError, IndexError
        When it is no pickled reflection table, or damaged.
    """
    try:
        with warnings.catch_warnings():  # of escapes in damaged strings
            warnings.simplefilter("ignore")
            for operation, argument, _ in pickletools.genops(content):
                # a memo far beyond what is in the file would only take memory
                if operation.name in _MEMO and int(argument or 0) > len(content):
                    raise ValueError("its memo has holes")
            table = _Reader(io.BytesIO(content), encoding="latin-1").load()
    except (pickle.UnpicklingError, EOFError, AttributeError, MemoryError, ImportError) as error:
        raise ValueError(f"not a pickle that can be read: {error}") from None
    if getattr(table, "kind", "") != "reflection_table" or not isinstance(table.state, tuple):
        raise ValueError("a pickle, but not of a reflection table")
    state = table.state
    names: dict[Any, Any] = {}
    if state[0] == 1 and len(state) == 4:
        _, rows, _, data = state
    elif state[0] == 2 and len(state) == 5:
        _, names, rows, _, data = state
    else:
        raise ValueError(f"its version is {state[0]!r}; 1 and 2 are known")
    columns, skipped = {}, {}
    for name, column in data.items():
        kind = getattr(column, "kind", type(column).__name__)
        if kind not in _TYPES:
            skipped[str(name)] = str(kind)
            continue
        raw = column.state[-1]
        raw = raw.state if isinstance(raw, _Text) else raw.encode("latin-1") if isinstance(raw, str) else bytes(raw)
        columns[str(name)] = _decode(str(name), raw, int(rows), *_TYPES[kind])
    return int(rows), {int(key): str(value) for key, value in names.items()}, columns, skipped


def _decode(name: str, raw: bytes, rows: int, dtype: Any, width: int) -> NDArray[Any]:
    """A column: the number of elements, then its numbers one after the other."""
    head = _chase(raw, 0, 1)
    count = int(_integers(raw, head[:1])[0])
    if count != rows:
        raise ValueError(f"column {name} has {count} rows, the table {rows}")
    at, total = int(head[1]), rows * width
    values: NDArray[Any]
    if dtype is np.bool_:
        values, end = np.frombuffer(raw, np.uint8, count=total, offset=at) == ord("1"), at + total
    elif dtype is np.float64:
        values, end = _floats(raw, at, total)
    else:
        places = _chase(raw, at, total)
        values, end = _integers(raw, places[:-1]), int(places[-1])
    if end != len(raw):
        raise ValueError(f"column {name} has {len(raw)} bytes, its numbers {end}")
    return values.astype(dtype).reshape((rows, width) if width > 1 else (rows,))


def _chase(raw: bytes, at: int, count: int) -> NDArray[np.int64]:
    """Where `count` numbers begin, and where the last one ends; the low 7 bits of a first byte are its length."""
    places = [at]
    for _ in range(count):
        at += (raw[at] & 0x7F) or 1
        places.append(at)
    return np.array(places, dtype=np.int64)


def _digits(raw: bytes, places: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """All bytes, how many digits each number has, and whether it is negative."""
    text = np.frombuffer(raw, dtype=np.uint8)
    first = text[places]
    return text, np.maximum((first & 0x7F).astype(np.int64) - 1, 0), first >= 0x80


def _integers(raw: bytes, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Digits to the base 256, the lowest first."""
    text, length, negative = _digits(raw, places)
    if length.max(initial=0) > 8:
        raise ValueError("a whole number of more than 64 bits")
    values = np.zeros(len(places), dtype=np.uint64)
    for digit in range(int(length.max(initial=0))):
        long = np.flatnonzero(length > digit)
        values[long] |= text[places[long] + 1 + digit].astype(np.uint64) << np.uint64(8 * digit)
    signed = values.astype(np.int64)
    return np.where(negative, -signed, signed)


def _floats(raw: bytes, at: int, count: int) -> tuple[NDArray[np.float64], int]:
    """A mantissa below 1, digits after the point to the base 256, and an exponent of 2; 0 is one byte."""
    mantissas, exponents, full = [], [], []
    for number in range(count):
        size = raw[at] & 0x7F
        if size:
            mantissas.append(at)
            full.append(number)
            at += size
            exponents.append(at)
            size = raw[at] & 0x7F
        at += size or 1
    values = np.zeros(count)
    if full:
        places = np.array(mantissas, dtype=np.int64)
        text, length, negative = _digits(raw, places)
        if length.max() > 8:
            raise ValueError("a number of more than 64 bits")
        mantissa = np.zeros(len(places))
        for digit in range(int(length.max())):
            long = np.flatnonzero(length > digit)
            mantissa[long] += text[places[long] + 1 + digit] * 256.0 ** -(digit + 1)
        power = _integers(raw, np.array(exponents, dtype=np.int64))
        if np.abs(power).max() > 2000:
            raise ValueError("an exponent that is none")
        values[full] = np.ldexp(np.where(negative, -mantissa, mantissa), power.astype(np.int32))
    return values, at
