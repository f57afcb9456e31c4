"""crystint.bench: what is timed is what it says, whatever the time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack

import numpy as np
import pytest

from crystint import Separator, bench
from crystint.bench.kernels import TRAFFIC
from crystint.bench.machine import Others, OthersWatch, thread_gain
from crystint.bench.timing import time_operations
from crystint.engine.source import kernel_root
from crystint.errors import SettingError

MODELS = ("poisson", "azimuthal", "hybrid")


def unwatched(rounds, _total, _what):
    return rounds


@pytest.fixture(scope="module")
def sample():
    return bench.simulated((300, 320))


def test_operations_take_turns_and_a_copy_is_the_unit(monkeypatch):
    clock = [0.0]
    order = []
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(time, "process_time", lambda: 2.0 * clock[0])

    late = {"slow": iter([0.0, 0.004, 0.0])}

    def lasting(name, seconds):
        def run():
            order.append(name)
            clock[0] += seconds + next(late.get(name, iter(())), 0.0)

        return run

    operations = [
        bench.Operation("copy", lasting("copy", 0.010)),
        bench.Operation("fast", lasting("fast", 0.020), target=2.0),
        bench.Operation("slow", lasting("slow", 0.050), target=4.9, rounds=2),
        bench.Operation("cold", lasting("cold", 0.100), rounds=1, warm=False),
        bench.Operation("start", lasting("start", 1.0)),
        bench.Operation("rest", lasting("rest", 1.6), frames=4, beyond="start"),
        bench.Operation("lost", lasting("lost", 0.9), frames=4, beyond="start"),
        bench.Operation("more", lasting("more", 0.055), beyond="fast"),
    ]
    rows = {row.name: row for row in time_operations(operations, 3, unwatched)}
    every = ["copy", "fast", "slow", "start", "rest", "lost", "more"]
    assert order[:7] == every, "one run of each before anything is timed, but of what takes minutes"
    assert order[7:15] == ["copy", "fast", "slow", "cold", "start", "rest", "lost", "more"]
    assert [order.count(name) for name in ("fast", "slow", "cold")] == [4, 3, 1]
    assert rows["copy"].copies == 1
    assert rows["fast"].wall_ms == pytest.approx(20)
    assert rows["fast"].cpu_ms == pytest.approx(40)
    assert rows["fast"].frames_per_s == pytest.approx(50)
    assert (rows["slow"].wall_ms, rows["slow"].copies) == (pytest.approx(52), pytest.approx(5.2))
    assert (rows["slow"].least_wall_ms, rows["slow"].least_copies) == (pytest.approx(50), pytest.approx(5))
    assert (rows["slow"].least_cpu_ms, rows["slow"].core_copies) == (pytest.approx(100), pytest.approx(5))
    assert rows["rest"].least_cpu_ms == pytest.approx(400)
    assert (rows["fast"].met, rows["slow"].met, rows["copy"].met) == (True, False, None)
    assert rows["rest"].wall_ms == pytest.approx(200), "three frames beyond the first, in 0.6 s"
    assert rows["more"].wall_ms == pytest.approx(35)
    assert np.isnan(rows["lost"].wall_ms)
    assert rows["lost"].to_dict()["wall_ms"] is None
    assert bench.Timing.from_dict(json.loads(json.dumps(rows["fast"].to_dict()))) == rows["fast"]


def test_another_dtype_keeps_counts_and_what_is_unusable():
    frame = np.array([[-1, 0, 7], [300, 70000, 2**31 - 1]], np.int32)
    np.testing.assert_array_equal(bench.as_dtype(frame, "uint16"), [[65535, 0, 7], [300, 65534, 65534]])
    np.testing.assert_array_equal(bench.as_dtype(frame, "uint8"), [[255, 0, 7], [254, 254, 254]])
    np.testing.assert_array_equal(bench.as_dtype(frame, "float32"), [[np.nan, 0, 7], [300, 70000, 2.0**31]])
    back = bench.as_dtype(np.array([[65535, 12]], np.uint16), "int32")
    np.testing.assert_array_equal(back, [[-1, 12]])
    assert back.dtype == np.int32
    assert bench.as_dtype(frame, "int32") is frame
    with pytest.raises(SettingError, match="int64"):
        bench.as_dtype(frame, "int64")


@pytest.mark.parametrize("dtype", ["int32", "uint16", "float32"])
def test_the_table_has_every_operation(engine, dtype):
    small = bench.simulated((120, 130), dtype)
    rows = bench.measure(small, engine, rounds=1)
    verbs = ("background", "pick", "sparsify", "peaks", "separate")
    separate = [f"{verb} {model}" for model in MODELS for verb in verbs] + ["peaks hybrid, 8 at once"]
    commands = [f"command {verb}{first}" for verb in ("sparsify", "peaks") for first in (", first", "")]
    expected = ["copy", "read", "decode", "write", *commands, *separate, "densify clean", "densify noise"]
    assert [row.name for row in rows] == expected
    assert {row.name.split()[0] for row in rows if row.target} == {"background", "sparsify", "peaks", "densify"}


def test_only_what_is_wanted_is_made(engine, sample):
    rows = bench.measure(sample, engine, rounds=1, wanted=lambda name: name == "pick azimuthal")
    assert [row.name for row in rows] == ["copy", "background azimuthal", "pick azimuthal"]


def test_kernel_times_name_kernels_and_bytes(engine, sample):
    copy = bench.Timing("copy", 1.0, 1.0, 1.0, 1000.0, 1.0, 1.0, 1.0, 1.0)
    rows = bench.kernel_times(sample, engine, copy, 1, unwatched)
    names = {row.kernel for row in rows} - {"all"}
    assert {"ring_statistics", "densify_clean", "densify_noisy"} <= names
    assert names <= {path.name.removesuffix(".cl") for path in kernel_root().iterdir()}
    assert set(TRAFFIC) <= {path.name.removesuffix(".cl") for path in kernel_root().iterdir()}
    for row in rows:
        assert row.ms > 0
        assert (row.share is None) == (row.kernel not in TRAFFIC)
        if row.share is not None:
            assert row.floor_mb == pytest.approx(sample.frame.size * 1e-6 * (2 + TRAFFIC[row.kernel].floor))
            assert row.moved_mb >= row.floor_mb
            per_ms = 2e-6 * sample.frame.nbytes / copy.wall_ms
            assert row.share == pytest.approx(row.moved_mb / row.ms / per_ms)
    whole = {row.operation: row.ms for row in rows if row.kernel == "all"}
    for operation, ms in whole.items():
        parts = [row.ms for row in rows if row.operation == operation and row.kernel != "all"]
        assert ms == pytest.approx(sum(parts))


def test_over_rings_and_threads(engine, sample):
    points = list(bench.over_rings(sample, engine, 1, unwatched, lambda name: name == "peaks hybrid"))
    assert [point.at for point in points] == [100, 200, 500, 1000, 2000, 4000]
    assert all([row.name for row in point.times] == ["copy", "peaks hybrid"] for point in points)
    points = list(bench.over_threads(sample, engine, 1, unwatched))
    assert [point.at for point in points] == [1, 2, 4, 8]
    assert all([row.name for row in point.times] == ["copy", "peaks hybrid"] for point in points)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_over_cores_binds_and_measures_the_same_frame(engine, sample):
    before = os.sched_getaffinity(0)
    points = list(bench.over_cores(sample, engine, 1, unwatched, ["background poisson"]))
    assert os.sched_getaffinity(0) == before
    assert [point.at for point in points] == sorted({2**k for k in range(10) if 2**k <= len(before)} | {len(before)})
    assert all([row.name for row in point.times] == ["copy", "background poisson"] for point in points)
    assert points[0].megapixels == sample.frame.size / 1e6


def test_unknown_and_missing_peers(engine, sample, monkeypatch):
    with pytest.raises(SettingError, match="expected one of pyfai, fabio, peakfinder8, dials"):
        list(bench.peer_operations("albula", sample, engine, ExitStack()))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delitem(sys.modules, "crystint.bench.peer_dials", raising=False)
    with pytest.raises(SettingError, match=r"dials[.]find_spots is on PATH"):
        list(bench.peer_operations("dials", sample, engine, ExitStack()))
    monkeypatch.setitem(sys.modules, "fabio.ext.dense", None)
    monkeypatch.delitem(sys.modules, "crystint.bench.peer_fabio", raising=False)
    with pytest.raises(SettingError, match="pip install fabio"):
        list(bench.peer_operations("fabio", sample, engine, ExitStack()))


def test_fabio_densifies_the_frame(engine, sample):
    pytest.importorskip("fabio.ext.dense")
    frames = {one.name: one.run() for one in bench.peer_operations("fabio", sample, engine, ExitStack())}
    good = sample.mask == 0
    for dense in frames.values():
        assert dense.dtype == sample.frame.dtype
        assert dense[good].mean() == pytest.approx(sample.frame[good].mean(), rel=0.03)
    clean, noisy = (frames[f"FabIO densify {name}"][good].astype(float) for name in ("clean", "noise"))
    assert np.abs(noisy - clean).mean() > 0.3


def test_peakfinder8_finds_the_spots(engine, sample):
    pytest.importorskip("om.algorithms._crystallography")
    (peakfinder8,) = bench.peer_operations("peakfinder8", sample, engine, ExitStack())
    fast, slow = np.array(peakfinder8.run()[0]), np.array(peakfinder8.run()[1])
    ours = Separator(sample.geometry, sample.mask, engine=engine).peaks(sample.frame, snr=10.0)
    distance = np.hypot(ours["slow"][:, None] - slow - 0.5, ours["fast"][:, None] - fast - 0.5).min(axis=1)
    assert len(ours) > 3
    assert np.mean(distance < 2.0) > 0.5


def test_pyfai_finds_the_same_peaks_with_its_grid_corrected(engine, sample):
    pytest.importorskip("pyFAI")
    warned: list[str] = []
    operations = {
        one.name: one.run for one in bench.peer_operations("pyfai", sample, engine, ExitStack(), warned.append)
    }
    assert sum("Cython" in name for name in operations) == 3
    if warned:
        pytest.skip(warned[0])
    shipped = operations["pyFAI peakfinder OpenCL hybrid (as shipped)"]()
    corrected = operations["pyFAI peakfinder OpenCL hybrid (grid corrected)"]()
    assert len(shipped) > 3
    np.testing.assert_array_equal(np.sort(shipped["index"]), np.sort(corrected["index"]))


@pytest.mark.skipif(shutil.which("dials.find_spots") is None, reason="DIALS is not installed")
def test_dials_runs_on_the_frame(engine, sample):
    with ExitStack() as stack:
        one, several = bench.peer_operations("dials", sample, engine, stack)
        one.run()
        assert (several.frames, several.beyond) == (6, one.name)


def test_what_others_do_is_told():
    """A process that computes beside this one is seen."""
    watch = OthersWatch()
    if watch.others().cores is None:
        pytest.skip("this system has no /proc/stat")
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        time.sleep(1.0)
        others = watch.others()
        busy.kill()
    assert others.cores > 0.2
    assert not others.quiet
    assert "NOT quiet" in str(others)
    assert Others(0.02).quiet
    assert Others(None).quiet is None
    assert "not known" in str(Others(None))


def test_one_thread_is_worth_one():
    assert 0.1 < thread_gain(1) < 10
