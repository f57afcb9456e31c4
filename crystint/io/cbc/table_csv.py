"""CBC tables as CSV: a header line, then one line per row; every value comes back exactly.

Floats are written with the fewest digits that give them back (`repr`), text in quotes. NumPy's own reader takes the
blocks that are plain numbers; blocks with quotes, empty cells or mistakes are taken apart row by row.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Iterable, Sequence
from itertools import pairwise
from os import PathLike
from typing import Any

import numpy as np

from crystint.arrays import AnyArray
from crystint.errors import FileError, unreadable
from crystint.io.cbc.columns import CBCLIB, MEANING
from crystint.io.outputs import atomic_path

__all__ = ["read_csv", "write_csv"]

_ROWS = 1 << 16
"""Rows written at a time."""
_BYTES = 1 << 23
"""Text read at a time."""
_NAMED = {*MEANING, *CBCLIB.values()}
_PART = re.compile(r"(.+)\[(\d+)\]")
"""Header of one column of an array [n, m]."""
_TRUTH = {"True": True, "False": False}


def write_csv(path: str | PathLike[str], columns: Iterable[tuple[str, AnyArray]], overwrite: bool = False) -> None:
    """Write columns by name, in order; memory does not grow with the number of rows.

    Raises
    ------
    FileError
        As `atomic_path`; for a column of three or more dimensions, text with a line break, or text that would be read
        back as numbers.
    """
    flat: list[tuple[str, AnyArray]] = []
    for name, values in columns:
        if reason := _unsafe(name, values):
            raise FileError(f"{path}: column {name} {reason}, which CSV cannot give back; use HDF5")
        if values.ndim == 2:
            flat += [(f"{name}[{number}]", values[:, number]) for number in range(values.shape[1])]
        else:
            flat.append((name, values))
    with atomic_path(path, overwrite) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(",".join(_quoted(name) if re.search('[",\n]', name) else name for name, _ in flat) + "\n")
        for start in range(0, len(flat[0][1]), _ROWS):
            cells = [_cells(name, values[start : start + _ROWS]) for name, values in flat]
            file.write("\n".join(map(",".join, zip(*cells))) + "\n")


def read_csv(path: str | PathLike[str]) -> dict[str, AnyArray]:
    """Columns by the names of the header line: int64, float64 (an empty cell is NaN), bool or text.

    A column without a name (row numbers of pandas) is left out.

    Raises
    ------
    FileError
        With the number of the line: when the file is no text, has no header or an unfinished last line, or when a line
        has too few or too many cells, or no number where one belongs.
    """
    try:
        return _Reader(path).read()
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is no CSV file: it is not text") from error
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise unreadable(path, error) from error


class _Reader:
    """One reading of a file; columns turn from int64 to float64 to text as their values ask for it."""

    def __init__(self, path: str | PathLike[str], text: frozenset[str] = frozenset()) -> None:
        self.path, self.text = path, text
        self.lines: list[int] = []  # numbers of the lines of a block

    def read(self) -> dict[str, AnyArray]:
        with open(self.path, encoding="utf-8-sig") as file:
            header = file.readline()
            names = self._names(header)
            parts: list[list[AnyArray]] = []
            line, last = 2, header
            types: list[Any] | None = None
            while lines := file.readlines(_BYTES):
                block = self._fast(lines, types) if types else None
                if block is None:
                    cells = self._cells(names, lines, line)
                    block = [self._typed(name, values) for name, values in zip(names, cells)]
                    types = None if any(values.dtype.kind == "O" for values in block) else [v.dtype for v in block]
                parts.append(block)
                line, last = line + len(lines), lines[-1]
        if not last.endswith("\n"):
            raise FileError(
                f"{self.path} is cut short: line {line - 1} has no end; where it is whole after all, add a line break"
            )
        made: dict[str, AnyArray] = {}
        for number, name in enumerate(names):
            pieces = [block[number] for block in parts]
            kinds = {piece.dtype.kind for piece in pieces}
            if "O" in kinds and len(kinds) > 1:  # numbers first, then text: what was there is needed again
                return _Reader(self.path, self.text | {name}).read()
            if name:
                made[name] = _merged(pieces)
        return _stacked(made)

    def _names(self, header: str) -> list[str]:
        names = next(csv.reader([header]), [])
        if "\0" in header:
            raise FileError(f"{self.path} is no CSV file: it is not text")
        if len(names) < 2:
            hint = "; it seems to be separated by something else" if re.search("[;\t ]", header.strip()) else ""
            raise FileError(f"{self.path} is no CSV file: its first line has no names separated by commas{hint}")
        for first, second in pairwise(sorted(filter(None, names))):
            if first == second:
                raise FileError(f"{self.path}: the header has the column {first} twice, expected each once")
        return names

    def _fast(self, lines: list[str], types: list[Any]) -> list[AnyArray] | None:
        """A block of plain numbers of known types; None when it is something else."""
        dtype = np.dtype([(f"f{number}", kind) for number, kind in enumerate(types)])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                rows = np.loadtxt(lines, dtype=dtype, delimiter=",", comments=None, ndmin=1)
            except (ValueError, Warning):
                return None
        return [np.ascontiguousarray(rows[name]) for name in dtype.names or ()]

    def _cells(self, names: list[str], lines: list[str], first: int) -> list[tuple[str, ...]]:
        try:
            rows = [(number, row) for number, row in enumerate(csv.reader(lines, strict=True), first) if row]
        except csv.Error as error:
            raise FileError(f"{self.path}, after line {first - 1}: {error}") from error
        for number, row in rows:
            if len(row) != len(names):
                raise FileError(f"{self.path}, line {number}: {len(row)} cells, expected {len(names)} as in the header")
        self.lines = [number for number, _ in rows]
        return list(zip(*(row for _, row in rows))) or [() for _ in names]

    def _typed(self, name: str, cells: Sequence[str]) -> AnyArray:
        if name in self.text or not name:
            return np.array(cells, object)
        try:
            return np.fromiter(map(int, cells), np.int64, len(cells))
        except (ValueError, OverflowError):
            pass
        try:
            return np.fromiter((float(cell or "nan") for cell in cells), np.float64, len(cells))
        except ValueError:
            if name not in _NAMED:
                return np.array(cells, object)
        row = next(number for number, cell in enumerate(cells) if not _is_number(cell))
        raise FileError(f"{self.path}, line {self.lines[row]}: {name} is {cells[row]!r}, expected a number")


def _merged(pieces: list[AnyArray]) -> AnyArray:
    if not pieces:
        return np.zeros(0)
    values = np.concatenate(pieces)
    if values.dtype.kind != "O":
        return values
    text = values.tolist()
    return np.array([_TRUTH[cell] for cell in text] if set(text) <= set(_TRUTH) else text)


def _stacked(made: dict[str, AnyArray]) -> dict[str, AnyArray]:
    """Columns name[0], name[1], ... as one [n, m]."""
    parts: dict[str, list[AnyArray]] = {}
    for name, values in made.items():
        part = _PART.fullmatch(name)
        whole = part[1] if part and part[1] not in made and int(part[2]) == len(parts.get(part[1], [])) else None
        parts.setdefault(whole or name, []).append(values)
    return {name: np.stack(each, axis=1) if name not in made else each[0] for name, each in parts.items()}


def _cells(name: str, values: AnyArray) -> Iterable[str]:
    """Values as text. Known columns of whole numbers are written without a point: their type is known."""
    if values.dtype.kind == "U":
        return map(_quoted, values.tolist())
    if values.dtype.kind == "f" and name in _NAMED and _all_whole(values):
        return map(str, values.astype(np.int64).tolist())
    return map(repr, values.astype(np.float64).tolist() if values.dtype.kind == "f" else values.tolist())


def _all_whole(values: AnyArray) -> bool:
    with np.errstate(invalid="ignore"):
        whole = (np.abs(values) < 2.0**53) & (values == np.rint(values)) & ~((values == 0.0) & np.signbit(values))
    return bool(whole.all())


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _unsafe(name: str, values: AnyArray) -> str:
    """Why CSV would not give a column back; empty when it does."""
    if values.ndim > 2:
        return f"is {values.shape}, more than [n, m]"
    if not name or _PART.fullmatch(name) or "\n" in name:
        return "has a name that means something else there"
    if values.dtype == np.uint64 and len(values) and values.max() > np.iinfo(np.int64).max:
        return "has numbers above 2^63"
    if values.dtype.kind != "U":
        return ""
    text: list[str] = values.ravel().tolist()
    if any("\n" in each or "\r" in each or "\0" in each for each in text):
        return "is text with line breaks"
    if text and (all(map(_is_number, text)) or set(text) <= set(_TRUTH)):
        return "is text that looks like numbers or truth values"
    return ""


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True
