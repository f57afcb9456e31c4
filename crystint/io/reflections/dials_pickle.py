"""Reflection tables that DIALS wrote as pickles, before 2019: read without ever running what a pickle asks for.

Every class or function that the pickle names becomes an inert stand-in that only keeps what it is given; columns
are in scitbx's own text of numbers, decoded here.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import warnings
from typing import Any, ClassVar

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


_MEMO = {"PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET"}
_NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG1", "NONE", "NEWTRUE", "NEWFALSE", "BINFLOAT"}
_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE"}
_SHAPES = {"MARK", "TUPLE", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT", "EMPTY_LIST", "LIST"}
_FILLING = {"SETITEM", "SETITEMS", "APPEND", "APPENDS", "GLOBAL", "REDUCE", "BUILD", "NEWOBJ", "PROTO", "STOP"}
_ALLOWED = _MEMO | _NUMBERS | _TEXTS | _SHAPES | _FILLING
"""Operations of which tables that DIALS pickled (Python 2, protocol 2) consist."""
_MODULES = ("dials", "scitbx", "cctbx", "boost", "libtbx", "_codecs", "copy_reg", "copyreg", "__builtin__", "builtins")
"""Beginnings of the modules whose classes they name."""
_MOST_OPERATIONS = 100_000
"""A table has some dozen columns of some dozen operations each."""
_LONGEST_NUMBER = 16
"""Bytes of a whole number."""


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


class _Reader(pickle._Unpickler):
    """Python's own unpickler, written in Python: what it does with a key can be looked at before."""

    stack: list[Any]

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin-1")
        self._room = 2 * len(content)

    def _encoded(self, text: Any = "", *_: Any) -> _Text:
        """A text, as often as a pickle asks for it, but in all no longer than the file allows."""
        self._room -= len(text)
        if self._room < 0:
            raise ValueError("its texts are longer than the file")
        return _Text(text)

    def load_setitems(self) -> None:
        """Keys are names and numbers: one that holds itself twice, over and over, would take for ever."""
        items: list[Any] = self.pop_mark()  # type: ignore[attr-defined]
        for key in items[::2]:
            if not isinstance(key, str | int):
                raise ValueError("a key in it is neither a name nor a number")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def load_setitem(self) -> None:
        """As `load_setitems`, of one."""
        value, key = self.stack.pop(), self.stack.pop()
        if not isinstance(key, str | int):
            raise ValueError("a key in it is neither a name nor a number")
        self.stack[-1][key] = value

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return self._encoded
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
            _check_operations(content)
            table = _Reader(content).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, MemoryError, ImportError) as error:
        raise ValueError(f"not a pickle that can be read: {error}") from None
    if getattr(table, "kind", "") != "reflection_table" or not isinstance(table.state, tuple):
        raise ValueError("a pickle, but not of a reflection table")
    state = table.state
    names: dict[Any, Any] = {}
    if len(state) == 4 and state[0] == 1:
        _, rows, _, data = state
    elif len(state) == 5 and state[0] == 2:
        _, names, rows, _, data = state
    else:
        version = state[0] if state and isinstance(state[0], int) else "no number"
        raise ValueError(f"its version is {version}; 1 and 2 are known")
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


def _check_operations(content: bytes) -> None:
    """Raise ValueError unless a pickle consists of what DIALS writes, in numbers that its size allows."""
    used = 0
    for number, (operation, argument, _) in enumerate(pickletools.genops(content)):
        if operation.name not in _ALLOWED:
            raise ValueError(f"it has the operation {operation.name}, which no table of DIALS has")
        if number > _MOST_OPERATIONS:
            raise ValueError(f"it has more than {_MOST_OPERATIONS} operations")
        if operation.name in _MEMO and int(argument or 0) > number:
            raise ValueError("its memo has holes")  # the memory for them would be taken
        if operation.name == "GLOBAL" and not str(argument).startswith(_MODULES):
            raise ValueError(f"it names {str(argument)[:60]!r}, which no table of DIALS does")
        if isinstance(argument, int) and argument.bit_length() > 8 * _LONGEST_NUMBER:
            raise ValueError("it has a whole number of absurd size")
        # a text that is taken from the memo again and again, and encoded anew each time
        used += len(str(argument)) if operation.name in _TEXTS else 0
        if used > 2 * len(content):
            raise ValueError("its texts are longer than the file")


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
