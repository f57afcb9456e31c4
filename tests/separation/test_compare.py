"""Comparisons of raw and densified frames, against frames whose loss is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from crystint.compare import Comparison, Shells, compare, measure
from crystint.engine import Engine
from crystint.errors import CrystintWarning, DTypeError, SettingError, ShapeError
from crystint.model.geometry import Geometry
from crystint.model.rings import Background, RingMap
from crystint.model.sparse import SparseFrame
from crystint.simulate import simulate

SHAPE = (61, 83)


def sparse_of(frame: np.ndarray[Any, Any], index: list[int], mean: float, **changes: Any) -> SparseFrame:
    """A sparse frame with a flat background that keeps the pixels `index`."""
    slow, fast = np.indices(frame.shape) + 0.5
    radius = np.hypot(slow - 30, fast - 40)
    rings = 40
    step = radius.max() / rings * 1.001
    ones = np.ones(rings)
    ring_map = RingMap(
        (radius / step - 0.5).astype(np.float32),
        np.ones(frame.shape, np.float32),
        np.zeros(frame.shape, np.uint32),
        (np.arange(rings) + 0.5) * step * 1e-4,
        (np.arange(rings) + 0.5) * 0.1,
    )
    values: dict[str, Any] = {
        "mean": mean * ones,
        "std": np.sqrt(mean) * ones,
        "count": ones,
        "sem": ones,
        "excess": ones,
        "additive": 0 * ones,
        "rings": ring_map,
        "error_model": "hybrid",
    }
    names = Background.__dataclass_fields__
    background = Background(**{k: v for k, v in (values | changes).items() if k in names})
    at = np.array(sorted(index), np.uint32)
    return SparseFrame(at, frame.ravel()[at], background, frame.dtype, snr=3.0)


def poisson(mean: float, seed: int, dtype: str = "int32") -> np.ndarray[Any, Any]:
    """A flat frame."""
    return np.random.default_rng(seed).poisson(mean, SHAPE).astype(dtype)


def test_sums_equal_plain_averages_over_the_background() -> None:
    raw, clean, noisy = poisson(4.0, 1), np.full(SHAPE, 4, np.int32), poisson(4.0, 2)
    raw[10, 10:13] = (500, 900, 300)
    picked = [10 * 83 + 10, 10 * 83 + 11, 10 * 83 + 12]
    for image in (clean, noisy):
        image.flat[picked] = raw.flat[picked]
    sparse = sparse_of(raw, picked, 3.9)
    total = measure(raw, sparse, clean, noisy, Shells.of(sparse, 7)).total
    free = np.ones(SHAPE, bool)
    free.flat[picked] = False
    assert total.exact
    assert total.sums["pixels"][0] == free.sum()
    assert total.sums["picked"][0] == 3
    assert total.mean[0] == pytest.approx(raw[free].mean())
    assert total.bias_clean[0] == pytest.approx((clean - raw)[free].mean())
    assert total.bias_noisy[0] == pytest.approx((noisy - raw)[free].mean())
    assert total.variance_raw[0] == pytest.approx(raw[free].var())
    assert total.variance_noisy[0] == pytest.approx(noisy[free].var())
    assert total.bias_error[0] == pytest.approx(np.sqrt((raw[free].var() + noisy[free].var()) / free.sum()))
    assert total.zeros_raw[0] == pytest.approx((raw == 0)[free].mean())
    assert total.zeros_noisy[0] == pytest.approx((noisy == 0)[free].mean())
    assert total.sums["signal"][0] == pytest.approx(1700 - 3 * 3.9)
    around = raw[9:12, 9:14][free[9:12, 9:14]] - 3.9
    assert total.sums["tail"][0] == pytest.approx(around.sum())
    signal = 1700 - 3 * 3.9
    assert total.signal_kept[0] == pytest.approx(signal / (signal + max(around.sum(), 0)))
    assert total.dense_bytes == raw.nbytes
    assert total.payload_bytes == 3 * 8
    assert 0 < total.packed_bytes < raw.nbytes


def test_sums_of_every_shell_leave_out_what_is_no_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crystint.compare.shells._BLOCK", 100)
    raw, clean, noisy = poisson(4.0, 1), poisson(4.0, 2), poisson(4.0, 3)
    raw[3, 4] = noisy[3, 4] = clean[3, 4] = -1
    mean = np.linspace(6.0, 3.0, 40)
    mean[12] = np.nan  # a ring without a background
    picked = [700, 701, 2000, 30 * 83 + 56]
    sparse = sparse_of(raw, picked, 4.0)
    mask = np.zeros(SHAPE, np.uint32)
    mask[20:23] = 1
    dark = np.full(SHAPE, 0.25, np.float32)
    rings = replace(sparse.background.rings, mask=mask, dark=dark)
    sparse = replace(
        sparse,
        background=replace(sparse.background, mean=mean, rings=rings),
        unusable_index=np.array([500], np.uint32),
        unusable_value=raw.ravel()[[500]],
    )
    shells = Shells.of(sparse, 6)
    level = sparse.background.image()
    free = np.isfinite(level) & (mask == 0) & (raw >= 0)
    free.flat[[500, *picked]] = False
    sums = measure(raw, sparse, clean, noisy, shells).sums
    for shell, row in enumerate(sums):
        at = free & (shells.number == shell)
        over, over_noisy = (raw - level)[at], (noisy - level)[at]
        assert (row["pixels"], row["raw_zeros"]) == (at.sum(), (raw[at] == 0).sum())
        assert row["noisy_zeros"] == (noisy[at] == 0).sum()
        for name, expected in {
            "expected": level[at].sum(),
            "raw": over.sum(),
            "raw_square": (over**2).sum(),
            "clean": (clean - level)[at].sum(),
            "noisy": over_noisy.sum(),
            "noisy_square": (over_noisy**2).sum(),
        }.items():
            assert row[name] == pytest.approx(expected, rel=1e-11), (shell, name)
    assert sums["pixels"].sum() == free.sum()
    assert np.isnan(level.flat[picked]).tolist() == [False, False, False, True]
    assert sums["signal"].sum() == pytest.approx((raw - level).flat[picked[:3]].sum())


def test_shells_divide_the_pixels_by_q() -> None:
    raw = poisson(2.0, 3)
    sparse = sparse_of(raw, [], 2.0)
    shells = Shells.of(sparse, 9)
    sums = measure(raw, sparse, raw, raw, shells).sums
    slow, fast = np.indices(SHAPE) + 0.5
    radius = np.hypot(slow - 30, fast - 40)
    q = radius / (radius.max() / 40 * 1.001) * 0.1  # as in sparse_of
    q = np.clip(q, 0.05, 3.95)
    expected, _ = np.histogram(q, np.linspace(q.min(), q.max(), 10))
    assert np.abs(sums["pixels"] - expected).max() <= 2  # float32 positions at the borders
    assert sums["pixels"].sum() == raw.size
    geometry = Geometry(SHAPE, (1e-4, 1e-4), 0.01, (30.0, 40.0), wavelength=1.0)
    by_geometry = Shells.of(sparse, 9, geometry)
    assert by_geometry.edges[-1] == pytest.approx(geometry.q().max())
    blind = replace(sparse, background=replace(sparse.background, rings=replace(
        sparse.background.rings, q=np.full(40, np.nan))))  # fmt: skip
    by_radius = Shells.of(blind, 4, Geometry(SHAPE, (1e-4, 1e-4), 0.01, (30.0, 40.0)))
    assert by_radius.unit == "radius"
    comparison = measure(raw, blind, raw, raw, by_radius)
    assert np.isnan(comparison.d).all()
    assert "mm" in comparison.table()


@pytest.mark.parametrize("mean", [0.02, 1.0, 80.0])
def test_missed_pixels_are_found(mean: float) -> None:
    raw = np.full(SHAPE, round(mean), np.int32)
    limit = stats.poisson.isf(stats.norm.sf(3.1), mean) + 1  # P(N >= limit) < Q(3.1) <= P(N >= limit - 1)
    raw[5, 7], raw[40, 60] = limit, limit - 1
    sparse = sparse_of(raw, [], mean)
    comparison = measure(raw, sparse, raw, raw, Shells.of(sparse, 5))
    assert comparison.sums["missed"].sum() == 1
    assert comparison.sums["missed_signal"].sum() == pytest.approx(limit - mean)
    expected = stats.norm.isf(stats.poisson.sf(limit - 1, mean))
    assert comparison.sums["strongest"].max() == pytest.approx(expected, rel=1e-6)
    picked = sparse_of(raw, [5 * 83 + 7], mean)
    assert measure(raw, picked, raw, raw, Shells.of(picked, 5)).sums["missed"].sum() == 0


def test_other_spreads_raise_the_limit() -> None:
    raw = np.full(SHAPE, 10, np.int32)
    raw[5, 7] = 30  # 6.3 sigma of Poisson's law, 4.5 of twice the variance, 2 of std 10
    for changes, seen in (
        ({}, 1),
        ({"excess": np.full(40, 4.0)}, 0),
        ({"additive": np.full(40, 90.0)}, 0),
        ({"error_model": "azimuthal", "std": np.full(40, 10.0)}, 0),
        ({"error_model": "azimuthal", "std": np.full(40, 6.0)}, 1),
    ):
        sparse = sparse_of(raw, [], 10.0, **changes)
        comparison = measure(raw, sparse, raw, raw, Shells.of(sparse, 3))
        assert comparison.sums["missed"].sum() == seen, changes


def test_wrong_pixels_are_counted() -> None:
    raw = poisson(4.0, 1)
    raw[0, 0], raw[20, 20] = -1, -2
    picked = [100, 200, 300]
    sparse = sparse_of(raw, picked, 4.0)
    shells = Shells.of(sparse, 4)
    assert measure(raw, sparse, raw, raw, shells).exact
    changed = raw.copy()
    changed.flat[100] += 1
    changed[0, 0] = 3
    changed[50, 50] = -1
    comparison = measure(raw, sparse, changed, changed, shells)
    assert (comparison.wrong_picked, comparison.wrong_unusable, comparison.exact) == (1, 2, False)
    other = replace(sparse, value=sparse.value + np.array([0, 1, 1], np.int32))
    assert measure(raw, other, raw, raw, shells).wrong_picked == 2
    saturated = replace(sparse, unusable_index=np.array([500], np.uint32), unusable_value=raw.ravel()[[500]])
    moved = raw.copy()
    moved.flat[500] += 5
    assert measure(raw, saturated, raw, moved, shells).wrong_unusable == 1
    assert measure(raw, saturated, raw, raw, shells).sums["pixels"].sum() == raw.size - 3 - 3


def test_parts_add_to_the_whole() -> None:
    frames = [poisson(3.0, i) for i in range(4)]
    sparse = [sparse_of(frame, [i, 50 + i, 2000], 3.0) for i, frame in enumerate(frames)]
    shells = Shells.of(sparse[0], 6)
    parts = [measure(f, s, f, poisson(3.0, 9), shells) for f, s in zip(frames, sparse, strict=True)]
    whole = sum(parts, Comparison())
    other = (parts[3] + parts[1]) + (parts[2] + parts[0])
    assert whole.frames == 4
    for name in whole.sums.dtype.names or ():
        assert np.allclose(whole.sums[name], other.sums[name], rtol=1e-12), name
    assert whole.sums["strongest"].max() == max(part.sums["strongest"].max() for part in parts)
    assert whole.packed_bytes == sum(part.packed_bytes for part in parts)
    with pytest.raises(ShapeError, match="shells"):
        parts[0] + measure(frames[1], sparse[1], frames[1], frames[1], Shells.of(sparse[1], 5))


def test_report_is_text_and_json() -> None:
    raw = poisson(3.0, 1)
    sparse = sparse_of(raw, [7], 3.0)
    comparison = replace(measure(raw, sparse, raw, raw, Shells.of(sparse, 5)), sparse_bytes=1000, raw_bytes=5000)
    text = comparison.table()
    assert "exact" in text
    assert "= 5 x the sparse form" in text
    assert max(len(line) for line in text.splitlines()) < 160
    values = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert len(values["shells"]) == 5
    assert values["total"]["mean"] == pytest.approx(comparison.total.mean[0])
    assert values["exact"] is True
    empty = Comparison()
    assert empty.table() == "no frames were compared"
    assert json.loads(json.dumps(empty.to_dict(), allow_nan=False))["total"] is None


def test_frames_that_do_not_belong_together(engine: Engine) -> None:
    raw = poisson(3.0, 1)
    sparse = sparse_of(raw, [7], 3.0)
    with pytest.raises(ShapeError, match="end after 1"):
        compare(np.stack([raw, raw]), [sparse], engine=engine)
    with pytest.raises(ShapeError, match="end after 0"):
        compare([], sparse, engine=engine)
    with pytest.raises(ShapeError, match="transposed"):
        compare(raw.T, sparse, engine=engine)
    with pytest.raises(DTypeError, match="int16"):
        compare(raw.astype(np.int16), sparse, engine=engine)
    with pytest.raises(SettingError, match="shells"):
        compare(raw, sparse, shells=0, engine=engine)
    with pytest.raises(ShapeError, match="geometry"):
        compare(raw, sparse, Geometry((5, 5), (1e-4, 1e-4), 0.1, (2.0, 2.0)), engine=engine)
    assert compare([], [], engine=engine).frames == 0


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_a_simulated_run_end_to_end(engine: Engine, dtype: str) -> None:
    from crystint.ops.separator import Separator

    data = simulate(
        (301, 257), frames=3, background=3.0, peaks=40, intensity=2000.0, hot=3, dead=3, modules=(150, 120),
        saturation=5000, dtype=dtype, seed=1,
    )  # fmt: skip
    separator = Separator(data.geometry, rings=100, engine=engine, saturation=data.saturation)
    calls: list[int] = []
    sparse = (separator.sparsify(frame, number=i) for i, frame in enumerate(data))
    comparison = compare(data, sparse, shells=4, engine=engine, progress=lambda: calls.append(1))
    assert len(calls) == comparison.frames == 3
    assert comparison.exact
    assert comparison.sums["missed"].sum() == 0
    assert comparison.sums["strongest"].max() < 3.1
    total = comparison.total
    assert abs(total.bias_noisy[0]) < 4 * total.bias_error[0] + 0.02 * total.mean[0]
    assert total.variance_noisy[0] == pytest.approx(total.variance_raw[0], rel=0.05)
    assert total.zeros_noisy[0] == pytest.approx(total.zeros_raw[0], rel=0.05)
    expected = data.truth["counts"].sum()
    assert total.sums["signal"][0] > 0.9 * expected
    assert total.signal_kept[0] > 0.95


def test_files_are_opened_and_sized(engine: Engine, tmp_path: Path) -> None:
    from crystint.io.sparse.writer import SparseWriter
    from crystint.ops.separator import Separator

    data = simulate((120, 130), frames=2, background=5.0, peaks=10, dtype="uint16")
    separator = Separator(data.geometry, rings=50, engine=engine)
    np.save(tmp_path / "raw.npy", data.frames)
    path = tmp_path / "sparse.h5"
    settings = {"geometry": data.geometry, "provenance": {}}
    with SparseWriter(path, separator.rings, np.dtype("uint16"), **settings) as writer:
        for i, frame in enumerate(data):
            writer.write(separator.sparsify(frame, number=i))
    comparison = compare(tmp_path / "raw.npy", path, shells=3, engine=engine)
    assert comparison.frames == 2
    assert comparison.exact
    assert comparison.raw_bytes == (tmp_path / "raw.npy").stat().st_size
    assert comparison.sparse_bytes == path.stat().st_size


@pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")
def test_missing_frames_are_left_out(tmp_path):
    from crystint.io.sparse.dense_file import DenseWriter
    from crystint.separation.files import sparsify
    from tests.run.test_long_runs import FEW, damage

    data = simulate((150, 161), 4, dtype=np.uint16, background=6.0, peaks=15, intensity=3000.0, seed=3)
    for name in ("good.h5", "damaged.h5"):
        writer = DenseWriter(
            tmp_path / name, data.shape, data.dtype, geometry=data.geometry, mask=None, saturation=None, provenance={}
        )
        with writer:
            for number in (0, 1, 2, 3) if name == "damaged.h5" else (0, 2, 3):
                writer.write(data[number])
    damage(tmp_path / "damaged.h5", 1)
    sparsify([tmp_path / "good.h5"], tmp_path / "good_sparse.h5", FEW)
    with pytest.warns(CrystintWarning, match="recorded as missing"):
        sparsify([tmp_path / "damaged.h5"], tmp_path / "damaged_sparse.h5", FEW)
    comparisons = [compare(tmp_path / f"{name}.h5", tmp_path / f"{name}_sparse.h5") for name in ("good", "damaged")]
    assert comparisons[0].frames == comparisons[1].frames == 3
    assert comparisons[0].exact
    assert comparisons[1].exact
    assert comparisons[0].total.signal_kept == comparisons[1].total.signal_kept
