"""The sums of `sums.NumpyBackend` on an OpenCL device, in single precision with care.

Rows (`device_rows`) stay on the device, and so do all intermediate results; what comes and goes are maps, |q|^2,
intercepts and sums over streaks. A model adds 4 bytes per row, its regression 8 more while it works. Nothing is added
in an order that chance decides: results are the same bits each time.

Sums over rows carry their rounding errors along, sums over streaks and pixels are finished here in double precision. No
device needs double precision.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from crystint.arrays import Floats
from crystint.cbc.scaling.device_rows import CellBuffers, DeviceRows, blocks
from crystint.cbc.scaling.objective import FLOOR, HUBER, Kind, Loss
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.regression import checked_bandwidth
from crystint.cbc.scaling.robust import NODES, PER_OCTAVE, Robust, skew_table
from crystint.cbc.scaling.sums import FAINTEST
from crystint.engine import Buffer

__all__ = ["DeviceBackend", "DeviceModel"]


_CRITERIA: dict[tuple[Kind, Loss], int] = {
    ("least_squares", "l2"): 2, ("least_squares", "l1"): 3, ("least_squares", "huber"): 4,
    ("robust", "l1"): 5, ("robust", "huber"): 6,
}  # fmt: skip
"""numbers of criteria in kernels/cbc_streak_sums.cl; Poisson's is 1"""
_ROBUST: dict[int, Robust] = {5: "l1", 6: "huber"}
"""of those that read a table"""


class DeviceBackend(DeviceRows):
    """Sums of a layout on a device; a `sums.Backend`. Made of an engine and a layout, as `DeviceRows`."""

    def bind(self, chi: ProjectionMap) -> DeviceModel:
        """The sums with this map."""
        return DeviceModel(self, chi, self.cells(chi.x, chi.y))


class DeviceModel:
    """Sums of a layout with a map, on a device; a `sums.Model`."""

    def __init__(self, backend: DeviceBackend, chi: ProjectionMap, cells: CellBuffers) -> None:
        self.backend, self.chi, self.cells = backend, chi, cells
        self._map = backend.sent(chi.values, np.float32)
        self._amplitude = backend.room(np.float32)
        self._sums = backend.engine.empty(3 * backend.layout.n_streaks, np.float32)
        self._tables: dict[int, Buffer] = {}
        self._interpolate(self._amplitude, plain=False)
        backend.engine.finish()  # arrays that a CPU works in may go as soon as the model does

    @property
    def chi_at(self) -> Floats:
        """float64 [n], made when asked for: chi at u of each row, NaN where all nodes around are empty."""
        values = self.backend.room(np.float32)
        self._interpolate(values, plain=True)
        out = np.empty(len(self.backend.layout))
        for rows in blocks(len(out)):
            out[rows] = self.backend.engine.receive(values, rows.stop - rows.start, start=rows.start)
        return out

    @cached_property
    def _reference(self) -> float:
        """Sum over pixels of m - I log(m), m = max(I, 1), which kernels leave out of Poisson's f."""
        total = 0.0
        for pixels in blocks(self.backend.layout.n_pixels):
            counts = self.backend.layout.counts[pixels]
            most = np.maximum(counts, 1.0)
            total += float((most - counts * np.log(most)).sum())
        return total

    def objective(self, b: Floats, q2: Floats, kind: Kind, loss: Loss) -> tuple[float, Floats, Floats]:
        """f, df/db and df/d|q|^2."""
        backend, layout = self.backend, self.backend.layout
        criterion = _CRITERIA.get((kind, loss), 1)
        self._streak_sums(criterion, backend.sent(b, np.float32), backend.sent(q2, np.float32))
        sums = backend.engine.receive(self._sums, 3 * layout.n_streaks).reshape(3, -1).astype(np.float64)
        by_q2 = np.zeros(layout.n_reflections)
        np.add.at(by_q2, layout.streak_reflection, sums[0])
        left_out = {"poisson": 1.0, "robust": 2.0 if loss == "huber" else 0.0}.get(kind, 0.0)
        f = float(sums[2].sum()) + (left_out * self._reference if left_out else 0.0)
        return f, sums[1], by_q2

    def em(self, b: Floats, q2: Floats, steps: int, intercepts: bool) -> tuple[Floats, Floats]:
        """b and |q|^2 after some steps of expectation maximisation, all of them on the device."""
        backend, layout, engine = self.backend, self.backend.layout, self.backend.engine
        if steps < 1:
            return b, q2
        levels, strengths = (engine.send(each.astype(np.float32), writable=True) for each in (b, q2))
        exposure = engine.empty(layout.n_reflections, np.float32)
        update = engine.kernel("cbc_em_update.cl", LOCAL_SIZE=backend.alone, LANES=1, FAINTEST=f"{FAINTEST}f")
        for _ in range(steps):
            self._streak_sums(0, levels, strengths)
            engine.launch(
                update,
                1,
                backend.alone,
                backend,
                sums=self._sums,
                streaks=layout.n_streaks,
                reflections=layout.n_reflections,
                intercepts=int(intercepts),
                exposure=exposure,
                b=levels,
                q2=strengths,
            )
        q2 = engine.receive(strengths, layout.n_reflections).astype(np.float64)
        if intercepts:
            b = engine.receive(levels, layout.n_streaks).astype(np.float64)
        return b, q2

    def regress(self, b: Floats, q2: Floats, bandwidth: float) -> Floats:
        """chi on the nodes anew: float64 [F, ny, nx], NaN = empty node."""
        backend, cells, engine = self.backend, self.cells, self.backend.engine
        h = checked_bandwidth(bandwidth)
        numerator, denominator = backend.room(np.float32), backend.room(np.float32)
        engine.launch(
            backend.kernel("cbc_shares.cl", LANES=1),
            backend.layout.n_streaks,
            backend.local_size,
            backend,
            cells,
            amplitude=self._amplitude,
            b=backend.sent(b, np.float32),
            q2=backend.sent(q2, np.float32),
            numerator=numerator,
            denominator=denominator,
        )
        frames, ny, nx = self.chi.values.shape
        reach = [axis.reach(h) for axis in cells.axes]
        cells_x, cells_y = (engine.send(axis.within(r)) for axis, r in zip(cells.axes, reach))
        step_x, step_y = (1.0 / (axis.unit * h) for axis in cells.axes)
        values = engine.empty(frames * ny * nx, np.float32)
        engine.launch(
            backend.kernel("cbc_regression.cl", LANES=backend.lanes),
            ny * nx,
            backend.local_size,
            cells,
            numerator=numerator,
            denominator=denominator,
            cells_x=cells_x,
            cells_y=cells_y,
            nx=nx,
            ny=ny,
            step_x=step_x,
            step_y=step_y,
            reach_x=reach[0],
            reach_y=reach[1],
            chi=values,
            frames=frames,
        )
        return engine.receive(values, frames * ny * nx).astype(np.float64).reshape(frames, ny, nx)

    def _table(self, criterion: int) -> Buffer:
        """`robust.skew_table` of a criterion; of those that read none, any buffer."""
        loss = _ROBUST.get(criterion)
        if loss is None:
            return self._sums
        if criterion not in self._tables:
            self._tables[criterion] = self.backend.sent(skew_table(loss), np.float32)
        return self._tables[criterion]

    def _streak_sums(self, criterion: int, b: Buffer, q2: Buffer) -> None:
        backend = self.backend
        backend.engine.launch(
            backend.kernel(
                "cbc_streak_sums.cl",
                LANES=backend.lanes,
                CRITERION=criterion,
                FLOOR=f"{FLOOR}f",
                HUBER=f"{HUBER}f",
                OCTAVE=PER_OCTAVE,
                NODES=NODES,
            ),
            backend.layout.n_streaks,
            backend.local_size,
            backend,
            amplitude=self._amplitude,
            b=b,
            q2=q2,
            streaks=backend.layout.n_streaks,
            table=self._table(criterion),
            sums=self._sums,
        )

    def _interpolate(self, values: Buffer, plain: bool) -> None:
        backend, cells = self.backend, self.cells
        backend.engine.launch(
            backend.kernel("cbc_interpolate.cl", PLAIN=int(plain)),
            backend.layout.n_streaks,
            backend.local_size,
            backend,
            cells,
            chi=self._map,
            nx=len(self.chi.x),
            ny=len(self.chi.y),
            values=values,
        )
