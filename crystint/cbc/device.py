"""The sums of `sums.NumpyPath` on an OpenCL device, in single precision with care.

Rows are sent once per layout, 16 bytes each, and their order by cells once per grid, 12 bytes. They stay on the device,
and so do all intermediate results; what comes and goes are maps, |q|^2, intercepts and sums over streaks. A model adds
4 bytes per row, its regression 8 more while it works. Nothing is added in an order that chance decides: results are the
same bits each time.

Counts enter as background and what is above it. The difference of counts and model, of which slopes and residuals are
made, is therefore exact to rounding of the signal, not of the background. Sums over rows carry their rounding errors
along, sums over streaks and pixels are finished here in double precision. No device needs double precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.cbc.cells import SPARE, Cells
from crystint.cbc.layout import Layout
from crystint.cbc.objective import FLOOR, HUBER, Kind, Loss
from crystint.cbc.projection import ProjectionMap
from crystint.cbc.regression import checked_bandwidth
from crystint.cbc.sums import FAINTEST
from crystint.engine import Engine
from crystint.errors import SettingError, ShapeError

__all__ = ["DeviceModel", "DevicePath"]

Floats = NDArray[np.float64]

_LANES = 16
"""rows that a CPU works on side by side"""
_GROUP = 32
"""work-items per streak or node on a device that is no CPU"""
_ALONE = 256
"""work-items of a work-group that is the only one, on a device that is no CPU"""
_BLOCK = 1 << 16
"""rows made ready to be sent at a time"""
_CRITERIA = {"l2": 2, "l1": 3, "huber": 4}
"""numbers of the losses in kernels/cbc_streak_sums.cl"""


class DevicePath:
    """Sums of a layout on a device; a `sums.Path`.

    Parameters
    ----------
    engine : Engine
    layout : Layout
    local_size : int, optional
        Work-items per streak or node, a power of two; None = what suits the device.

    Raises
    ------
    ShapeError
        When there are 2^31 rows or more.
    SettingError
        When the local size is impossible.
    DeviceError
        When the device cannot hold the rows.
    """

    def __init__(self, engine: Engine, layout: Layout, *, local_size: int | None = None) -> None:
        if len(layout) >= 2**31 - SPARE:
            raise ShapeError(f"{len(layout)} rows, expected fewer than 2^31 for a device; use path='numpy'")
        size = local_size or (1 if engine.on_cpu else _GROUP)
        if size < 1 or size & (size - 1):
            raise SettingError(f"local_size is {size}, expected a power of two")
        self.engine, self.layout, self.local_size = engine, layout, size
        self.lanes = _LANES if engine.on_cpu and size == 1 else 1
        self.alone = local_size or (1 if engine.on_cpu else _ALONE)
        """work-items of a kernel that is one work-group"""
        self.above = self.filled(np.float32, (_above(layout, rows) for rows in _blocks(len(layout))))
        self.background = self.filled(
            np.float32, (layout.background[layout.pixel[rows]] for rows in _blocks(len(layout)))
        )
        self.profile = self.filled(np.float32, (layout.profile[rows] for rows in _blocks(len(layout))))
        link, shared = _shared_pixels(layout)
        self.link = engine.lend(link)
        self.shared = engine.send(shared)
        self.start = self.sent(layout.streak_start, np.int32)
        self.frame = self.sent(layout.streak_frame, np.int32)
        self.reflection = self.sent(layout.streak_reflection, np.int32)
        by_reflection = np.argsort(layout.streak_reflection, kind="stable")
        ends = np.cumsum(np.bincount(layout.streak_reflection, minlength=layout.n_reflections))
        self.member = self.sent(by_reflection, np.int32)
        self.member_start = self.sent(np.concatenate([[0], ends]), np.int32)
        self._cells: tuple[Floats, Floats, CellBuffers] | None = None

    def bind(self, chi: ProjectionMap) -> DeviceModel:
        """The sums with this map."""
        return DeviceModel(self, chi, self.cells(chi.x, chi.y))

    def cells(self, x: Floats, y: Floats) -> CellBuffers:
        """The order of rows for a grid; that of the last grid is kept."""
        have = self._cells
        if have is None or not (np.array_equal(have[0], x) and np.array_equal(have[1], y)):
            self._cells = None
            have = self._cells = (x, y, CellBuffers(self, Cells.of(self.layout, x, y)))
        return have[2]

    def sent(self, values: Any, dtype: Any) -> Any:
        """A buffer with values of another type."""
        return self.engine.send(np.asarray(values, dtype=dtype))

    def room(self, dtype: Any) -> Any:
        """A buffer for a value per row, and some that are read beyond, but not used.

        On a CPU it is an array that kernels work in: such memory goes back when it is no longer used.
        """
        return self.engine.borrow(np.empty(len(self.layout) + SPARE, dtype))

    def filled(self, dtype: Any, blocks: Iterator[NDArray[Any]]) -> Any:
        """A buffer with a value per row, as `room`, from one block of rows after the other."""
        values = np.zeros(len(self.layout) + SPARE, dtype)
        first = 0
        for block in blocks:
            values[first : first + len(block)] = block
            first += len(block)
        return self.engine.lend(values)

    def kernel(self, file: str, **defines: object) -> Any:
        """A kernel for this path's local size."""
        return self.engine.kernel(file, LOCAL_SIZE=self.local_size, **defines)


class CellBuffers:
    """Rows in the order of cells, on the device."""

    def __init__(self, path: DevicePath, cells: Cells) -> None:
        send = path.engine.send
        self.axes = cells.x, cells.y
        self.nodes_x, self.nodes_y = send(cells.x.nodes), send(cells.y.nodes)
        self.first_x, self.first_y = send(cells.x.first), send(cells.y.first)
        self.at_x, self.at_y = path.engine.lend(cells.at_x), path.engine.lend(cells.at_y)
        self.place, self.start = path.engine.lend(cells.place), send(cells.start)


class DeviceModel:
    """Sums of a layout with a map, on a device; a `sums.Model`."""

    def __init__(self, path: DevicePath, chi: ProjectionMap, cells: CellBuffers) -> None:
        self.path, self.chi, self.cells = path, chi, cells
        self._map = path.sent(chi.values, np.float32)
        self._amplitude = path.room(np.float32)
        self._sums = path.engine.empty(3 * path.layout.n_streaks, np.float32)
        self._interpolate(self._amplitude, plain=False)
        path.engine.finish()  # arrays that a CPU works in may go as soon as the model does

    @property
    def chi_at(self) -> Floats:
        """float64 [n], made when asked for: chi at u of each row, NaN where all nodes around are empty."""
        found = self.path.room(np.float32)
        self._interpolate(found, plain=True)
        out = np.empty(len(self.path.layout))
        for rows in _blocks(len(out)):
            out[rows] = self.path.engine.receive(found, rows.stop - rows.start, np.float32, start=rows.start)
        return out

    @cached_property
    def _reference(self) -> float:
        """Sum over pixels of m - I log(m), m = max(I, 1), which kernels leave out of Poisson's f."""
        total = 0.0
        for pixels in _blocks(self.path.layout.n_pixels):
            counts = self.path.layout.counts[pixels]
            most = np.maximum(counts, 1.0)
            total += float((most - counts * np.log(most)).sum())
        return total

    def objective(self, b: Floats, q2: Floats, kind: Kind, loss: Loss) -> tuple[float, Floats, Floats]:
        """f, df/db and df/d|q|^2."""
        path, layout = self.path, self.path.layout
        criterion = 1 if kind == "poisson" else _CRITERIA[loss]
        self._streak_sums(criterion, path.sent(b, np.float32), path.sent(q2, np.float32))
        sums = path.engine.receive(self._sums, 3 * layout.n_streaks, np.float32).reshape(3, -1).astype(np.float64)
        by_q2 = np.zeros(layout.n_reflections)
        np.add.at(by_q2, layout.streak_reflection, sums[0])
        f = float(sums[2].sum()) + (self._reference if kind == "poisson" else 0.0)
        return f, sums[1], by_q2

    def em(self, b: Floats, q2: Floats, steps: int, intercepts: bool) -> tuple[Floats, Floats]:
        """b and |q|^2 after some steps of expectation maximisation, all of them on the device."""
        path, layout, engine = self.path, self.path.layout, self.path.engine
        if steps < 1:
            return b, q2
        levels, strengths = (engine.send(each.astype(np.float32)) for each in (b, q2))
        exposure = engine.empty(layout.n_reflections, np.float32)
        update = engine.kernel("cbc_em_update.cl", LOCAL_SIZE=path.alone, LANES=1, FAINTEST=f"{FAINTEST}f")
        for _ in range(steps):
            self._streak_sums(0, levels, strengths)
            engine.launch(
                update,
                1,
                path.alone,
                self._sums,
                path.start,
                path.member_start,
                path.member,
                np.int32(layout.n_streaks),
                np.int32(layout.n_reflections),
                np.int32(intercepts),
                exposure,
                levels,
                strengths,
            )
        found = engine.receive(strengths, layout.n_reflections, np.float32).astype(np.float64)
        if intercepts:
            b = engine.receive(levels, layout.n_streaks, np.float32).astype(np.float64)
        return b, found

    def regress(self, b: Floats, q2: Floats, bandwidth: float) -> Floats:
        """chi on the nodes anew: float64 [F, ny, nx], NaN = empty node."""
        path, cells, engine = self.path, self.cells, self.path.engine
        h = checked_bandwidth(bandwidth)
        numerator, denominator = path.room(np.float32), path.room(np.float32)
        engine.launch(
            path.kernel("cbc_shares.cl", LANES=1),
            path.layout.n_streaks,
            path.local_size,
            self._amplitude,
            path.above,
            path.link,
            path.shared,
            path.start,
            path.reflection,
            path.sent(b, np.float32),
            path.sent(q2, np.float32),
            path.profile,
            cells.place,
            numerator,
            denominator,
        )
        frames, ny, nx = self.chi.values.shape
        reach = [axis.reach(h) for axis in cells.axes]
        near = [engine.send(axis.within(r)) for axis, r in zip(cells.axes, reach)]
        found = engine.empty(frames * ny * nx, np.float32)
        engine.launch(
            path.kernel("cbc_regression.cl", LANES=path.lanes),
            ny * nx,
            path.local_size,
            cells.at_x,
            cells.at_y,
            numerator,
            denominator,
            cells.start,
            cells.nodes_x,
            cells.nodes_y,
            *near,
            np.int32(nx),
            np.int32(ny),
            *(np.float32(1.0 / (axis.unit * h)) for axis in cells.axes),
            *(np.int32(r) for r in reach),
            found,
            frames=frames,
        )
        return engine.receive(found, frames * ny * nx, np.float32).astype(np.float64).reshape(frames, ny, nx)

    def _streak_sums(self, criterion: int, b: Any, q2: Any) -> None:
        path = self.path
        path.engine.launch(
            path.kernel(
                "cbc_streak_sums.cl",
                LANES=path.lanes,
                CRITERION=criterion,
                FLOOR=f"{FLOOR}f",
                HUBER=f"{HUBER}f",
            ),
            path.layout.n_streaks,
            path.local_size,
            self._amplitude,
            path.background,
            path.above,
            path.link,
            path.shared,
            path.start,
            path.reflection,
            b,
            q2,
            np.int32(path.layout.n_streaks),
            self._sums,
        )

    def _interpolate(self, found: Any, plain: bool) -> None:
        path, cells = self.path, self.cells
        path.engine.launch(
            path.kernel("cbc_interpolate.cl", PLAIN=int(plain)),
            path.layout.n_streaks,
            path.local_size,
            self._map,
            cells.nodes_x,
            cells.nodes_y,
            cells.first_x,
            cells.first_y,
            cells.at_x,
            cells.at_y,
            cells.place,
            path.start,
            path.frame,
            path.profile,
            np.int32(len(self.chi.x)),
            np.int32(len(self.chi.y)),
            found,
        )


def _blocks(n: int) -> Iterator[slice]:
    edges = [*range(0, n, _BLOCK), n]
    return (slice(first, last) for first, last in pairwise(edges))


def _above(layout: Layout, rows: slice) -> Floats:
    """Counts less background of some rows, in double precision."""
    pixel = layout.pixel[rows]
    return layout.counts[pixel] - layout.background[pixel]


def _shared_pixels(layout: Layout) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Link of each row and the entries of shared pixels, int32 [n + 16] and [m, 2]; see kernels/cbc_rows.h."""
    once = layout.multiplicity == 1
    link = np.full(len(layout) + SPARE, -1, np.int32)
    rows = np.concatenate([rows.start + np.flatnonzero(~once[layout.pixel[rows]]) for rows in _blocks(len(layout))])
    if not len(rows):
        return link, np.zeros((1, 2), np.int32)
    rows = rows[np.argsort(layout.pixel[rows], kind="stable")]
    pixel = layout.pixel[rows]
    new = np.concatenate([[True], pixel[1:] != pixel[:-1]])
    first = np.flatnonzero(new)
    link[rows] = first[np.cumsum(new) - 1]
    streak = np.searchsorted(layout.streak_start, rows, side="right") - 1
    streak[np.append(first[1:], len(rows)) - 1] ^= -1
    return link, np.stack([rows, streak], axis=1).astype(np.int32)
