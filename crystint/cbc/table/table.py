"""One row per pixel of a streak: the table that convergent-beam scaling starts from and writes its results into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.cbc.compat_cbclib import IntensityScaler
from crystint.cbc.table.columns import columns_of, plain, real, whole
from crystint.cbc.table.setup import CBCSetup
from crystint.cbc.table.table_checks import check_rows
from crystint.cbc.table.table_rows import arranged, chosen, joined, stacked, starts
from crystint.errors import SettingError, ShapeError, warn
from crystint.html import html_table
from crystint.io.cbc.columns import CBCLIB, OPTIONAL, REQUIRED
from crystint.model.labelled_arrays import data_frame

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["CBCTable"]

_WHOLE: dict[str, type[np.signedinteger[Any]]] = {"frame": np.int64, "streak": np.int64, "x": np.int32, "y": np.int32}


@dataclass(frozen=True, eq=False)
class CBCTable:
    """Rows sorted by frame, then streak. A streak has one number in the whole table, one frame and one hkl.

    A pixel that several streaks cover has a row in each of them. The arrays are read-only; a writable array is
    copied, a read-only one is kept without a copy.

    Raises
    ------
    ShapeError
        When the columns differ in length.
    DTypeError
        For a column that is no number.
    SettingError
        For rows out of order, a streak in two frames or with two hkl, a value that cannot be used, or a pixel that is
        twice in one streak: with row and column.

    Examples
    --------
    >>> from crystint import cbc
    >>> data = cbc.simulate_cbc(3, d_min=5.0, seed=1)
    >>> len(data.table.frames), sorted(data.table.columns())[:3]
    (3, ['background', 'counts', 'frame'])
    >>> len(data.table.select(data.table.counts > 10)) < len(data.table)
    True
    """

    frame: NDArray[np.int64]
    """int64 [n], ascending"""
    streak: NDArray[np.int64]
    """int64 [n], ascending"""
    x: NDArray[np.int32]
    """int32 [n], px along the fast axis, 0 or above"""
    y: NDArray[np.int32]
    """int32 [n], px along the slow axis, 0 or above"""
    counts: NDArray[np.float64]
    """float64 [n], as recorded: negative and fractional ones too"""
    background: NDArray[np.float64]
    """float64 [n], counts expected without the streaks"""
    profile: NDArray[np.float64]
    """float64 [n], above 0: standard profile f^2"""
    hkl: NDArray[np.int32] | None = None
    """int32 [n, 3]; None = not indexed"""
    u: NDArray[np.float64] | None = None
    """float64 [n, 2]: x and y of the incident unit wavevector"""
    p: NDArray[np.float64] | None = None
    """float64 [n]: normalised pattern, as an indexing program left it"""
    q2: NDArray[np.float64] | None = None
    """float64 [n], counts: |q|^2 of the reflection, an output of scaling"""
    chi: NDArray[np.float64] | None = None
    """float64 [n]: projection map of the crystal at u, an output of scaling"""
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """other columns [n] or [n, m] by name, kept as they are"""

    def __post_init__(self) -> None:
        n = np.size(self.frame)
        for name in REQUIRED:
            convert = _WHOLE.get(name)
            source = np.asarray(getattr(self, name))
            values = whole(name, source, convert) if convert else real(name, source)
            object.__setattr__(self, name, _frozen(name, source, values, (n,)))
        for name in ("p", "q2", "chi", "u", "hkl"):
            if getattr(self, name) is not None:
                source = np.asarray(getattr(self, name))
                values = whole(name, source, np.int32) if name == "hkl" else real(name, source)
                width = {"u": (2,), "hkl": (3,)}.get(name, ())
                object.__setattr__(self, name, _frozen(name, source, values, (n, *width)))
        extra = {}
        for name, values in self.extra.items():
            source = np.asarray(values)
            if name in (*REQUIRED, *OPTIONAL, *CBCLIB.values(), "hkl", "u"):
                raise SettingError(f"an extra column cannot be called {name}: the table has a column of that name")
            extra[name] = _frozen(name, source, plain(name, source), (n, *source.shape[1:]))
        object.__setattr__(self, "extra", MappingProxyType(extra))
        check_rows(self)

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        return f"<CBCTable: {len(self)} rows, {len(self.frames)} frames, {len(self.streak_starts)} streaks>"

    def _repr_html_(self) -> str:
        facts = {
            "rows": len(self),
            "frames": len(self.frames),
            "streaks": len(self.streak_starts),
            "reflections": None if self.hkl is None else len(np.unique(self.hkl, axis=0)),
            "columns": self.columns(),
        }
        return html_table("CBCTable", facts)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self), {**self._fields(), "extra": dict(self.extra)})

    @classmethod
    def from_columns(cls, columns: Any, *, arrange: bool = False) -> Self:
        """A table from a mapping, a data frame (anything with names in `columns` and ``[name]``) or a structured array.

        Parameters
        ----------
        columns
            Columns under crystint's or cbclib's names: frame (frames), streak (index), x, y, counts (I_raw),
            background (bgd), profile (rp); optional h, k, l (or hkl [n, 3]), p, u_x, u_y (or u [n, 2]), q2 (sfac), chi
            (xtal). Others become `extra`.
        arrange : bool
            Sort rows by frame and streak, and number streaks 0, 1, ... by frame and the number given. For tables whose
            streaks are numbered in each frame from 0.

        Raises
        ------
        SettingError
            As the class; also when a column is missing or given twice, or some of h, k, l or of u are missing.
        """
        parts = columns_of(columns)
        n = np.size(parts["frame"])
        for name, column in parts.items():
            if column.ndim == 0 or len(column) != n:
                raise ShapeError(f"column {name} is {column.shape}, expected {n} rows like the column frame")
        if arrange:
            parts = arranged(parts)
        values: dict[str, Any] = {name: parts.pop(name) for name in REQUIRED}
        values["hkl"] = stacked(parts, ("h", "k", "l"), np.int32)
        values["u"] = stacked(parts, ("u_x", "u_y"), np.float64)
        for name in ("p", "q2", "chi"):
            values[name] = parts.pop(name, None)
        return cls(**values, extra=parts)

    @cached_property
    def frames(self) -> NDArray[np.int64]:
        """int64 [frames]: numbers of the frames that have rows, ascending."""
        return np.asarray(self.frame[self.frame_starts])

    @cached_property
    def frame_starts(self) -> NDArray[np.intp]:
        """[frames]: first row of each frame."""
        return starts(self.frame)

    @cached_property
    def streak_starts(self) -> NDArray[np.intp]:
        """[streaks]: first row of each streak."""
        return starts(self.streak)

    def columns(self) -> tuple[str, ...]:
        """Names of the columns that are there, crystint's names first, then those of `extra`."""
        return tuple(name for name, _ in self.items())

    def items(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Name and values of each column; h, k, l and u_x, u_y one by one."""
        for name in REQUIRED:
            yield name, getattr(self, name)
        for parts, name in ((("h", "k", "l"), "hkl"), (("u_x", "u_y"), "u")):
            values = getattr(self, name)
            if values is not None:
                yield from ((part, values[:, number]) for number, part in enumerate(parts))
        yield from ((name, getattr(self, name)) for name in ("p", "q2", "chi") if getattr(self, name) is not None)
        yield from self.extra.items()

    def to_columns(self, names: Literal["crystint", "cbclib"] = "crystint") -> dict[str, NDArray[Any]]:
        """All columns by name: what `from_columns` takes, and ``pandas.DataFrame`` (but for extra columns [n, m]).

        Raises
        ------
        SettingError
            For other `names`.
        """
        if names not in ("crystint", "cbclib"):
            raise SettingError(f'names is {names!r}, expected "crystint" or "cbclib"')
        theirs = CBCLIB if names == "cbclib" else {}
        return {theirs.get(name, name): values for name, values in self.items()}

    def to_pandas(self, names: Literal["crystint", "cbclib"] = "crystint") -> DataFrame:
        """The columns as a pandas data frame; columns of `extra` [n, m] as m columns name[0], name[1], ...

        Raises
        ------
        ImportError
            When pandas is not installed.
        SettingError
            For other `names`.
        """
        return data_frame(self.to_columns(names))

    def select(self, frames: ArrayLike | None = None, rows: NDArray[Any] | None = None) -> Self:
        """Some of the rows: those of `frames` (numbers), or `rows` (a mask, or ascending numbers), or of both.

        Raises
        ------
        SettingError
            For a frame without rows, or rows that are not ascending or not there.
        """
        keep = np.ones(len(self), bool)
        if frames is not None:
            wanted = np.atleast_1d(np.asarray(frames))
            absent = wanted[~np.isin(wanted, self.frames)]
            if len(absent):
                there = f"{self.frames[0]} to {self.frames[-1]}" if len(self) else "none"
                raise SettingError(f"frame {absent[0]} has no rows in the table; its frames are {there}")
            keep &= np.isin(self.frame, wanted)
        if rows is not None:
            keep &= chosen(np.asarray(rows), len(self))
        if keep.all():
            return self
        taken = self._fields()
        taken["extra"] = {name: values[keep] for name, values in self.extra.items()}
        for name, values in taken.items():
            if isinstance(values, np.ndarray):
                taken[name] = values[keep]
                taken[name].flags.writeable = False
        return type(self)(**taken)

    def replace(self, **columns: Any) -> Self:
        """The same rows with other values in some fields."""
        return type(self)(**{**self._fields(), **columns})

    def scale(
        self,
        u: ArrayLike | CBCSetup | None = None,
        setup: CBCSetup | None = None,
        num_threads: int | None = None,
        **options: Any,
    ) -> IntensityScaler[Self]:
        """An `IntensityScaler` of the table; parameters and errors as `IntensityScaler.of`.

        As in cbclib, the grid may come first, then the set-up and the number of threads, which has no effect here.
        """
        if setup is not None:
            u, options = setup, options | {"grid": options.get("grid", u)}
        if num_threads is not None:
            warn(f"num_threads={num_threads} has no effect: path= chooses what makes the sums")
        return IntensityScaler.of(self, u, **options)

    @classmethod
    def join(cls, tables: Sequence[CBCTable], *, number_frames: bool = False) -> Self:
        """The rows of all tables, by frame; streaks are numbered 0, 1, ... anew.

        Parameters
        ----------
        tables : sequence of CBCTable
            At least one, all with the same columns.
        number_frames : bool
            Number the frames 0, 1, ... in the order of the tables: for runs that each begin with frame 0.

        Raises
        ------
        SettingError
            When tables have different columns, or share a frame and `number_frames` is False.
        """
        if not tables:
            raise SettingError("there are no tables to join, expected one or more")
        return cls.from_columns(joined(tables, number_frames), arrange=True)

    def _fields(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


def _frozen(name: str, source: NDArray[Any], values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """`values` read-only and of this shape; a copy where `source` could still be written."""
    if values.shape != shape:
        raise ShapeError(f"column {name} is {values.shape}, expected {shape}")
    if source.flags.writeable and np.may_share_memory(source, values):
        values = values.copy()
    values.flags.writeable = False
    return values


def _made(cls: type[CBCTable], values: dict[str, Any]) -> CBCTable:
    return cls(**values)
