"""The sums of `sums.NumpyPath` on an OpenCL device, in single precision with care.

Rows (`device_rows`) stay on the device, and so do all intermediate results; what comes and goes are maps, |q|^2,
intercepts and sums over streaks. A model adds 4 bytes per row, its regression 8 more while it works. Nothing is added
in an order that chance decides: results are the same bits each time.

Sums over rows carry their rounding errors along, sums over streaks and pixels are finished here in double precision. No
device needs double precision.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.cbc.scaling.device_rows import CellBuffers, DeviceRows, blocks
from crystint.cbc.scaling.objective import FLOOR, HUBER, Kind, Loss
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.regression import checked_bandwidth
from crystint.cbc.scaling.sums import FAINTEST

__all__ = ["DeviceModel", "DevicePath"]

Floats = NDArray[np.float64]

_CRITERIA = {"l2": 2, "l1": 3, "huber": 4}
"""numbers of the losses in kernels/cbc_streak_sums.cl"""


class DevicePath(DeviceRows):
    """Sums of a layout on a device; a `sums.Path`. Made of an engine and a layout, as `DeviceRows`."""

    def bind(self, chi: ProjectionMap) -> DeviceModel:
        """The sums with this map."""
        return DeviceModel(self, chi, self.cells(chi.x, chi.y))


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
        for rows in blocks(len(out)):
            out[rows] = self.path.engine.receive(found, rows.stop - rows.start, np.float32, start=rows.start)
        return out

    @cached_property
    def _reference(self) -> float:
        """Sum over pixels of m - I log(m), m = max(I, 1), which kernels leave out of Poisson's f."""
        total = 0.0
        for pixels in blocks(self.path.layout.n_pixels):
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
