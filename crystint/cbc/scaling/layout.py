"""Which rows of a table share a pixel, a streak, a reflection and a frame: all that the sums need to know.

A detector pixel that several streaks cover has a row for each of them. Its counts and its background are one
measurement nevertheless, so they are kept once per pixel and never once per row. The rows of a streak, and the streaks
of a frame, are contiguous; sums over them are sums over slices.

Held per row: 8 bytes for the number of the pixel and 16 for u; the profile is that of the table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats, Indices
from crystint.cbc.protocols import Columns
from crystint.errors import SettingError, ShapeError

__all__ = ["Layout"]


@dataclass(frozen=True, eq=False)
class Layout:
    """Rows n, pixels P, streaks S, reflections H and frames F of a table, and which belongs to which."""

    pixel: Indices
    """intp [n]: number of the detector pixel of each row, 0..P-1; pixels are sorted by frame, y, x"""
    counts: Floats
    """float64 [P]: each pixel once"""
    background: Floats
    """float64 [P], counts"""
    profile: Floats
    """float64 [n]: f^2"""
    u: Floats
    """float64 [n, 2]: x and y of the incident unit vector"""
    streak_start: Indices
    """intp [S + 1]: streak s has the rows streak_start[s] .. streak_start[s + 1] - 1"""
    streak_frame: Indices
    """intp [S]: 0..F-1"""
    streak_reflection: Indices
    """intp [S]: 0..H-1, by the present merging"""
    streak_hkl: NDArray[np.int32]
    """int32 [S, 3]"""
    reflection_hkl: NDArray[np.int32]
    """int32 [H, 3]: the indices a merged reflection goes by"""
    frames: NDArray[np.int64]
    """int64 [F]: numbers of the frames in the table"""
    frame_start: Indices
    """intp [F + 1]: frame n has the rows frame_start[n] .. frame_start[n + 1] - 1"""

    def __len__(self) -> int:
        """Number of rows n."""
        return len(self.pixel)

    @property
    def n_pixels(self) -> int:
        """P"""
        return len(self.counts)

    @property
    def n_streaks(self) -> int:
        """S"""
        return len(self.streak_reflection)

    @property
    def n_reflections(self) -> int:
        """H"""
        return len(self.reflection_hkl)

    @property
    def n_frames(self) -> int:
        """F"""
        return len(self.frames)

    @property
    def streak(self) -> Indices:
        """intp [n], made when asked for: streak of each row, 0..S-1."""
        return np.repeat(np.arange(self.n_streaks), np.diff(self.streak_start))

    @property
    def reflection(self) -> Indices:
        """intp [n], made when asked for: reflection of each row, 0..H-1."""
        return np.repeat(self.streak_reflection, np.diff(self.streak_start))

    @property
    def frame(self) -> Indices:
        """intp [n], made when asked for: frame of each row, 0..F-1."""
        return np.repeat(np.arange(self.n_frames), np.diff(self.frame_start))

    @property
    def multiplicity(self) -> Indices:
        """intp [P], made when asked for: rows of each pixel, above 1 where streaks overlap."""
        return np.bincount(self.pixel, minlength=self.n_pixels)

    @classmethod
    def of(cls, table: Columns, u: ArrayLike, frames: ArrayLike | None = None) -> Layout:
        """The layout of a table, every streak a reflection of its own.

        Parameters
        ----------
        table
            Rows sorted by frame, then by streak.
        u : float [n, 2]
            x and y of the incident unit vector of each row, k_out - g.
        frames : int [F], optional
            Numbers of the frames expected, ascending; None = those of the table.

        Raises
        ------
        ShapeError
            When u has not a row for each of the table's, or the table has none.
        SettingError
            When the table is not indexed or not sorted, a value is not finite, a streak has no profile, rows of one
            pixel disagree, or a frame has no rows. The message names the row.
        """
        hkl = table.hkl
        if hkl is None:
            raise SettingError("the table has no h, k, l; index its streaks before scaling")
        n = len(table.frame)
        if n == 0:
            raise ShapeError("the table has no rows, so there is nothing to scale")
        at = np.ascontiguousarray(u, dtype=np.float64)
        if at.shape != (n, 2):
            raise ShapeError(f"u is {at.shape}, expected {(n, 2)}: x and y of the incident vector of each row")
        for name, values in (
            ("u", at.sum(axis=1)),
            ("counts", table.counts),
            ("background", table.background),
            ("profile", table.profile),
        ):
            _refuse(~np.isfinite(values), f"{name} is not finite", "expected a number in each row; drop such rows")
        _refuse(table.profile < 0.0, "the profile is negative", "expected f^2, 0 or more")
        starts, frame_starts = _segments(table)
        numbers = table.frame[frame_starts[:-1]].astype(np.int64)
        if frames is not None:
            _same_frames(np.asarray(frames), numbers)
        profile = np.ascontiguousarray(table.profile, dtype=np.float64)
        empty = np.flatnonzero(~(np.add.reduceat(profile, starts[:-1]) > 0.0))
        if len(empty):
            row = starts[empty[0]]
            raise SettingError(f"streak {table.streak[row]} (row {row}) has a profile of 0 throughout; drop the streak")
        indices = np.asarray(hkl, dtype=np.int32)
        streak_hkl = indices[starts[:-1]]
        _refuse(
            np.any(indices != np.repeat(streak_hkl, np.diff(starts), axis=0), axis=1),
            "h, k, l are not those of the row before in its streak",
            "expected one reflection per streak",
        )
        pixel, counts, background = _pixels(table, frame_starts)
        return cls(
            pixel=pixel,
            counts=counts,
            background=background,
            profile=profile,
            u=at,
            streak_start=starts,
            streak_frame=np.searchsorted(frame_starts, starts[:-1], side="right") - 1,
            streak_reflection=np.arange(len(starts) - 1),
            streak_hkl=streak_hkl,
            reflection_hkl=streak_hkl,
            frames=numbers,
            frame_start=frame_starts,
        )

    def merged(self, reflection: ArrayLike, hkl: ArrayLike) -> Layout:
        """The same rows with streaks merged otherwise.

        Parameters
        ----------
        reflection : int [S]
            Reflection of each streak, 0..H-1.
        hkl : int [H, 3]
            Indices that each reflection goes by. One without streaks is kept; it is seen nowhere.

        Raises
        ------
        ShapeError, SettingError
            When the lengths do not fit, or a reflection is not among 0..H-1.
        """
        labels, indices = np.asarray(reflection, dtype=np.intp), np.asarray(hkl, dtype=np.int32)
        if labels.shape != (self.n_streaks,):
            raise ShapeError(f"reflection is {labels.shape}, expected {(self.n_streaks,)}, one per streak")
        if indices.ndim != 2 or indices.shape[1] != 3:
            raise ShapeError(f"hkl is {indices.shape}, expected (reflections, 3)")
        if not 0 <= labels.min() <= labels.max() < len(indices):
            raise SettingError(f"reflections reach from {labels.min()} to {labels.max()}, but hkl has {len(indices)}")
        return replace(self, streak_reflection=labels, reflection_hkl=indices)


def _refuse(bad: NDArray[np.bool_], what: str, advice: str) -> None:
    if bad.any():
        raise SettingError(f"row {int(np.argmax(bad))}: {what} ({int(bad.sum())} such rows); {advice}")


def _segments(table: Columns) -> tuple[Indices, Indices]:
    """First rows of streaks and of frames, and n."""
    frame, streak, n = np.asarray(table.frame), np.asarray(table.streak), len(table.frame)
    new_frame = np.concatenate([[True], frame[1:] != frame[:-1]])
    new_streak = new_frame | np.concatenate([[True], streak[1:] != streak[:-1]])
    starts, frame_starts = np.flatnonzero(new_streak), np.flatnonzero(new_frame)
    down = np.flatnonzero(np.diff(frame[frame_starts]) < 0)
    if len(down):
        raise SettingError(f"row {frame_starts[down[0] + 1]}: frames are not ascending; sort rows by frame and streak")
    numbers = streak[starts]
    order = np.argsort(numbers, kind="stable")
    again = np.flatnonzero(np.diff(numbers[order]) == 0)
    if len(again):
        row = starts[order[again[0] + 1]]
        raise SettingError(
            f"row {row}: streak {streak[row]} goes on after others, or in another frame; sort rows by frame and streak,"
            " and give streaks of different frames different numbers"
        )
    return np.append(starts, n), np.append(frame_starts, n)


def _same_frames(wanted: NDArray[np.integer], present: NDArray[np.int64]) -> None:
    missing, unknown = np.setdiff1d(wanted, present), np.setdiff1d(present, wanted)
    if len(missing):
        raise SettingError(f"frame {missing[0]} has no rows in the table ({len(missing)} such frames); leave it out")
    if len(unknown):
        raise SettingError(f"the table has rows of frame {unknown[0]}, which is not among the {len(wanted)} given")


def _pixels(table: Columns, frame_starts: Indices) -> tuple[Indices, Floats, Floats]:
    """Number of the pixel of each row, and counts and background of each pixel; one frame after another."""
    pixel = np.empty(len(table.frame), dtype=np.intp)
    columns: tuple[list[Floats], list[Floats]] = ([], [])
    before = 0
    for first, last in pairwise(frame_starts):
        rows = slice(first, last)
        x, y = table.x[rows].astype(np.int64), table.y[rows].astype(np.int64)
        key = (y - y.min()) * (x.max() - x.min() + 1) + (x - x.min())
        _, where, own = np.unique(key, return_index=True, return_inverse=True)
        for name, values, out in zip(("counts", "background"), (table.counts, table.background), columns):
            once = np.asarray(values[rows], dtype=np.float64)[where]
            differs = np.flatnonzero(once[own] != values[rows])
            if len(differs):
                row = first + differs[0]
                other = first + where[own[differs[0]]]
                pixel_name = f"frame {table.frame[row]}, x {table.x[row]}, y {table.y[row]}"
                raise SettingError(
                    f"row {row}: {name} is {values[row]:g}, but row {other} of the same pixel ({pixel_name}) says"
                    f" {values[other]:g}; a pixel is measured once"
                )
            out.append(once)
        pixel[rows] = own + before
        before += len(where)
    return pixel, np.concatenate(columns[0]), np.concatenate(columns[1])
