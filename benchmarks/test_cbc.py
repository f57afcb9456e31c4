"""Convergent-beam scaling: a whole training of the case with known truth, cost against rows, and what kernels move.

``pytest benchmarks/test_cbc.py --benchmark-enable -s``; without the option each runs once on a small table, as a test.
CRYSTINT_BENCH_ROWS=100000,1000000,10000000 sets the numbers of rows. Tables of many rows have as many rows per frame
and per streak as that case (11 000 and 125), so that it is the experiment that grows.
"""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

import numpy as np
import pytest

from crystint.cbc.compat_cbclib import IntensityScaler
from crystint.cbc.scaling.device import DeviceBackend
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.sums import NumpyBackend
from crystint.cbc.table.table import CBCTable
from crystint.engine import Engine
from tests.cbc.case import agreement, case
from tests.conftest import DEVICES

LONG, WIDE = 25, 5
"""pixels along and across a streak"""
PER_FRAME = 90
"""streaks"""
SIDE = 256
FAMILIES = 142
BANDWIDTH = 1e-3
SIZES = [int(float(n)) for n in os.environ.get("CRYSTINT_BENCH_ROWS", "89589,1e6").split(",")]


def table_of(rows, seed=7):
    """A table of about so many rows with u, Poisson counts of smooth maps and of exponential |q|^2: (table, |q|^2)."""
    rng = np.random.default_rng(seed)
    frames = max(1, round(rows / (PER_FRAME * LONG * WIDE)))
    true = rng.exponential(300.0, FAMILIES) + 5.0
    along, across = (axis.ravel() for axis in np.mgrid[:LONG, :WIDE])
    f2 = np.exp(-((across - 2.0) ** 2) / 1.5)
    size = LONG * WIDE
    names = {"x": np.int32, "y": np.int32, "counts": np.float64, "background": np.float64}
    columns = {name: np.empty((frames, PER_FRAME, size), dtype) for name, dtype in names.items()}
    columns |= {"hkl": np.empty((frames, PER_FRAME, 3), np.int32), "u": np.empty((frames, PER_FRAME, size, 2))}
    for frame in range(frames):
        family = rng.integers(0, FAMILIES, PER_FRAME)
        x = rng.integers(0, SIDE - WIDE, (PER_FRAME, 1)) + across
        y = rng.integers(0, SIDE - LONG, (PER_FRAME, 1)) + along
        turn, start = rng.uniform(0.0, 2.0 * np.pi, (PER_FRAME, 1)), rng.uniform(-0.02, 0.02, (PER_FRAME, 1, 2))
        way = np.stack([np.cos(turn), np.sin(turn)], axis=-1) * (along - LONG / 2)[:, None] * 8e-4
        u = np.clip(start + way + 1e-4 * rng.normal(size=way.shape), -0.03, 0.03)
        chi = 1.0 + 0.5 * np.sin(150.0 * u[..., 0] + frame) * np.cos(120.0 * u[..., 1])
        place = y * SIDE + x
        signal = np.bincount(place.ravel(), (true[family][:, None] * chi * f2).ravel(), SIDE * SIDE)
        background = 5.0 + 3.0 * rng.random(SIDE * SIDE)
        counts = rng.poisson(signal + background).astype(float)
        hkl = np.stack([family, 0 * family + 1, 0 * family], axis=1)
        found = (x, y, counts[place], background[place], hkl, u)
        for name, values in zip(columns, found, strict=True):
            columns[name][frame] = values
    streaks = frames * PER_FRAME
    hkl = np.repeat(columns.pop("hkl").reshape(-1, 3), size, axis=0)
    u = columns.pop("u").reshape(-1, 2)
    table = CBCTable(
        frame=np.repeat(np.arange(frames), PER_FRAME * size),
        streak=np.repeat(np.arange(streaks), size),
        profile=np.tile(f2, streaks),
        hkl=hkl,
        u=u,
        **{name: values.reshape(-1) for name, values in columns.items()},
    )
    return table, true


class Peak:
    """Most memory that the process held within a block, above what it held before, bytes; Linux only."""

    def __enter__(self):
        gc.collect()
        self.known = Path("/proc/self/clear_refs").exists()
        if self.known:
            Path("/proc/self/clear_refs").write_text("5")
            self.before = self.read("VmRSS")
        return self

    def __exit__(self, *_):
        self.bytes = self.read("VmHWM") - self.before if self.known else float("nan")

    @staticmethod
    def read(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


@pytest.fixture(params=["numpy", *(device.id for device in DEVICES)])
def path(request):
    """NumPy, and every device."""
    return request.param if request.param == "numpy" else Engine(request.param)


def _name(path):
    return path if isinstance(path, str) else path.device.name


def test_default_training_of_the_case(benchmark, path):
    data = case()

    def both():
        scaler = IntensityScaler.of(data.table, data.u, path=path).merge_hkl("mmm")
        return scaler.train(BANDWIDTH)

    trained, x = benchmark(both)
    cc, _, r = agreement(trained.layout.reflection_hkl, trained.q2(x))
    assert cc >= 0.9995
    assert r <= 0.013
    benchmark.extra_info |= {"path": _name(path), "cc": cc, "R": r, "iterations": len(trained.trace) - 1}


@pytest.mark.parametrize("rows", SIZES)
def test_rows(benchmark, request, path, rows):
    table, true = table_of(rows if request.config.getoption("benchmark_enable") else 20_000)
    n = len(table.frame)
    IntensityScaler.of(table_of(5000)[0], path=path).merge_hkl("mmm").train(BANDWIDTH, n_iter=1)  # kernels are built
    with Peak() as peak:
        start = time.perf_counter()
        scaler = IntensityScaler.of(table, path=path).merge_hkl("mmm")
        assert scaler.xtal_bi.shape == (n,)
        made = time.perf_counter() - start
        del start
        took, worked = [], []

        def note(*_):
            took.append(time.perf_counter())
            worked.append(time.process_time())

        trained, x = benchmark.pedantic(
            scaler.train,
            (BANDWIDTH,),
            {"n_iter": 4, "f_tol": 0.0, "progress": note},
            rounds=1,
            iterations=1,
        )
    q2 = trained.q2(x)
    known = true[trained.layout.reflection_hkl[:, 0]]
    assert np.corrcoef(q2, known)[0, 1] > 0.95
    wall, cpu = float(np.diff(took).min()), float(np.diff(worked).min())
    about = {"path": _name(path), "rows": n, "made_s": made, "s_per_iteration": wall, "cpu_s_per_iteration": cpu}
    about |= {"bytes_per_row": peak.bytes / n, "ns_per_row_and_iteration": 1e9 * wall / n}
    benchmark.extra_info |= about
    print("\n", {key: value if isinstance(value, str) else float(f"{value:.4g}") for key, value in about.items()})


def moved(layout, chi):
    """Bytes that each kernel reads and writes at least, per launch: each array once."""
    n, m, nodes = len(layout), int((layout.multiplicity[layout.pixel] > 1).sum()), chi.values.size
    streaks = 16 * layout.n_streaks
    return {
        "cbc_streak_sums": 16 * n + 12 * m + streaks,
        "cbc_em_update": streaks,
        "cbc_interpolate": 20 * n + 4 * nodes,
        "cbc_shares": 28 * n + 12 * m + streaks,
        "cbc_regression": 16 * n + 8 * nodes,
    }


@pytest.mark.parametrize("rows", SIZES)
def test_kernels(benchmark, request, engine, rows):
    timed = request.config.getoption("benchmark_enable")
    table, true = table_of(rows if timed else 20_000)
    profiled = Engine(engine.device, profile=True)
    layout = IntensityScaler.of(table).merge_hkl("mmm").layout
    chi = ProjectionMap.even(layout.frames, layout.u, (40, 40))
    path = DeviceBackend(profiled, layout)
    b, q2 = np.zeros(layout.n_streaks), true[layout.reflection_hkl[:, 0]]

    runs = []

    def once():
        model = path.bind(chi)
        model.em(b, q2, 1, False)
        chi_anew = model.regress(b, q2, BANDWIDTH)
        runs.append(profiled.milliseconds())
        return chi_anew

    once()
    found = benchmark.pedantic(once, rounds=9 if timed else 1, iterations=1)
    times = {name: min(run[name] for run in runs) for name in runs[0]}
    np.testing.assert_allclose(found, NumpyBackend(layout).bind(chi).regress(b, q2, BANDWIDTH), rtol=1e-5, atol=1e-5)
    source, target = np.ones(len(layout) * 4, np.float32), np.zeros(len(layout) * 4, np.float32)
    copies = []
    for _ in range(5):
        start = time.perf_counter()
        np.copyto(target, source)
        copies.append(time.perf_counter() - start)
    copy = 2 * source.nbytes / min(copies)
    for name, least in moved(layout, chi).items():
        rate = least / (1e-3 * times[name])
        about = {"ms": times[name], "MB": least / 1e6, "GB_per_s": rate / 1e9, "part_of_copy": rate / copy}
        benchmark.extra_info[name] = about
        print(f"\n{len(layout)} {name}", {key: float(f"{value:.3g}") for key, value in about.items()}, end="")
