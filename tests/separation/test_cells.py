"""Backgrounds and picked pixels from frames that are read in storage order, against oracles and against ring order."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.engine import Engine
from crystint.model.geometry import Geometry
from crystint.ops import cells as cells_module
from crystint.ops import detector_buffers, significant
from crystint.ops.background import _start_in_ring_order, start_statistics
from crystint.ops.cells import STRIP, ring_cells
from crystint.ops.layout import ring_map
from crystint.ops.separator import Separator
from crystint.ops.totals import read_totals
from tests.oracles import background as oracle
from tests.oracles import histogram as counters

SHAPE = (719, 733)
MODELS = ["poisson", "azimuthal", "hybrid"]
INTEGERS = [np.uint8, np.uint16, np.uint32, np.int16, np.int32]


@pytest.fixture
def cpu(engine):
    if not engine.on_cpu:
        pytest.skip("GPUs read frames in the order of the rings")
    return engine


def geometry_of(distance=0.4, **more):
    return Geometry(SHAPE, (1e-4, 1e-4), distance, (0.47 * SHAPE[0], 0.53 * SHAPE[1]), 1.0, **more)


def both(monkeypatch, engine, **settings):
    """The same separator with cells and without."""
    settings = {"geometry": geometry_of(polarization=0.9), "rings": 200, "engine": engine} | settings
    with_cells = Separator(**settings)
    with monkeypatch.context() as patch:
        patch.setattr(detector_buffers, "ring_cells", lambda rings: None)
        without = Separator(**settings)
    assert with_cells._detector.cells is not None
    assert without._detector.cells is None
    return with_cells, without


def ring_numbers(rings):
    ring = np.clip(np.floor(rings.position + np.float32(0.5)), 0, rings.rings - 1)
    return np.where(np.isnan(ring), -1, ring).astype(int)


def signal(rng, separator, level, dtype, share=0.01):
    frame = rng.poisson(level * separator.rings.weight)
    here = rng.random(SHAPE) < share
    frame[here] += rng.integers(20, 200, here.sum())
    return frame.clip(0, np.iinfo(dtype).max - 1).astype(dtype)


def totals_of(separator, frame):
    """Totals of a frame, from the kernels of its own path."""
    with separator._workspace(1) as workspace:
        start_statistics(workspace, workspace.upload(frame[None]), frame[None], separator._clip)
        return read_totals(workspace, frame.dtype)


def test_a_cell_has_pixels_of_one_ring_and_nearly_one_normalization(rng):
    mask = rng.random(SHAPE) < 0.05
    rings = ring_map(geometry_of(polarization=0.9), mask, 150, flat=rng.uniform(0.95, 1.0, SHAPE))
    cells = ring_cells(rings)
    n = len(cells.cell_weight)
    assert np.all(cells.cell[mask] == n)
    cell, weight, ring = cells.cell[~mask], rings.weight[~mask].astype(float), ring_numbers(rings)[~mask]
    assert np.array_equal(ring, np.searchsorted(cells.first_cell, cell, side="right") - 1)
    assert np.all((cells.cell_bounds[cell, 0] <= weight) & (weight <= cells.cell_bounds[cell, 1]))
    assert np.all(
        np.diff(cells.cell_bounds, axis=1)[:, 0] <= 1.03 * cells_module._WIDTH * cells.about[ring[0], 1].clip(1)
    )
    pixels = np.bincount(cell, minlength=n)
    some = pixels > 0
    np.testing.assert_allclose(
        cells.cell_weight[some], (np.bincount(cell, weight, n) / pixels.clip(1))[some], rtol=1e-6
    )
    assert np.array_equal(cells.about[:, 3], np.bincount(ring, minlength=150))
    for r in (0, 70, 149):
        own = weight[ring == r]
        np.testing.assert_allclose(cells.about[r, :3], (own.mean(), own.max(), own.min()), rtol=1e-6)


def test_a_strip_has_its_rings_and_its_lightest_pixel(rng):
    mask = rng.random(SHAPE) < 0.05
    mask[400:402] = True
    rings = ring_map(geometry_of(polarization=0.9), mask, 150)
    cells, ring = ring_cells(rings), ring_numbers(rings).ravel()
    assert len(cells.strip_rings) == len(cells.strip_weight) == -(-ring.size // STRIP)
    whole = 0
    for i, ((first, last), lightest) in enumerate(zip(cells.strip_rings.tolist(), cells.strip_weight)):
        here = slice(i * STRIP, (i + 1) * STRIP)
        real = ring[here] >= 0
        if real.any():
            own, weight = ring[here][real], rings.weight.ravel()[here][real]
            assert (first, last, lightest) == (own.min(), own.max(), weight.min())
        else:
            assert first > last
            whole += 1
    assert whole > 15


def test_counters_of_16_bits_never_overflow(cpu):
    """One ring of one normalization has more pixels than a counter holds: they are shared out among several cells."""
    separator = Separator(geometry_of(), rings=1, solid_angle=False, engine=cpu)
    cells = ring_cells(separator.rings)
    assert np.bincount(cells.cell.ravel()).max() <= 65535
    assert np.all(cells.cell_weight == 1)
    frame = np.zeros(SHAPE, np.uint16)
    frame[::3] = 1
    background = separator.background(frame)
    assert background.count[0] == frame.size
    assert background.mean[0] == pytest.approx(frame.mean(), rel=1e-6)


def test_small_detectors_and_wide_rings_have_no_cells(rng):
    small = Geometry((300, 310), (1e-4, 1e-4), 0.4, (150.0, 150.0), 1.0)
    assert ring_cells(ring_map(small, None, 20)) is None
    assert ring_cells(ring_map(geometry_of(), None, 200, flat=rng.uniform(0.2, 1.0, SHAPE))) is None


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("saturation", [None, 40, 61, 62, 63, 100])
def test_counters_equal_the_oracle(cpu, rng, monkeypatch, dtype, saturation):
    mask = rng.random(SHAPE) < 0.03
    separator = Separator(geometry_of(), mask, rings=150, saturation=saturation, engine=cpu)
    frame = rng.integers(0, 70, SHAPE).astype(dtype)
    lost = rng.random(SHAPE) < 0.02
    frame[lost] = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else -1
    frame[rng.random(SHAPE) < 0.005] = 120
    usable = frame >= 0 if np.dtype(dtype).kind == "i" else frame != np.iinfo(dtype).max
    cells, limit = ring_cells(separator.rings), np.inf if saturation is None else saturation
    wanted = counters.histogram(frame, usable, cells.cell, len(cells.cell_weight), limit)[:-1]
    high = counters.beyond_the_bins(frame, usable, ring_numbers(separator.rings), 150, limit)
    with separator._workspace(1) as workspace:
        monkeypatch.setattr("crystint.ops.background._FEW", 1.0)
        start_statistics(workspace, workspace.upload(frame[None]), frame[None], separator._clip)
        n = len(wanted) + 1
        table = workspace.engine.receive(workspace.buffer("table", 0, np.uint16), n * 64).reshape(n, 64)
        sums = workspace.engine.receive(workspace.buffer("high", 0, np.uint32), 150 * 4).reshape(1, 150, 4)
        totals = read_totals(workspace, frame.dtype)
    assert np.array_equal(table[:-1], wanted)  # of all parts, added up
    each = sums[0].astype(np.int64)
    assert np.array_equal(each[:, 0] + (each[:, 1] << 32), high[:, 0])
    assert np.array_equal(each[:, 2:], high[:, 1:])
    good = usable & ~mask
    measured = frame[good & (frame.astype(float) <= limit)].astype(np.int64)
    assert (totals.sum, totals.maximum, totals.usable) == (measured.sum(), measured.max(), len(measured))
    assert totals.saturated == np.count_nonzero(good & (frame.astype(float) > limit))
    assert totals.bad == np.count_nonzero(~usable & ~mask)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("level", [0.02, 0.6, 4.0, 25.0])
@pytest.mark.parametrize("snr_clip", [None, 2.0])
def test_with_one_normalization_every_ring_equals_the_oracle(cpu, rng, monkeypatch, model, level, snr_clip):
    separator = Separator(geometry_of(), rings=60, error_model=model, snr_clip=snr_clip, solid_angle=False, engine=cpu)
    assert separator._detector.cells is not None
    frame = signal(rng, separator, level, np.uint16)
    monkeypatch.setattr(oracle, "OF_COUNTS", True)
    ring = ring_numbers(separator.rings)
    n, mean, std, sem = oracle.frame_background(frame, separator.rings.weight, ring, 60, model, snr_clip).T
    background = separator.background(frame)
    assert np.array_equal(background.count, n)
    np.testing.assert_allclose(background.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(background.std, std, rtol=1e-5)
    np.testing.assert_allclose(background.sem, sem, rtol=1e-5)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_cells_agree_with_ring_order(cpu, rng, monkeypatch, model, dtype):
    """The mean within 0.02 standard errors in every ring; what is picked by the same background is the same."""
    ours, theirs = both(monkeypatch, cpu, error_model=model)
    frame = signal(rng, ours, 6.0, dtype)
    new, old = ours.background(frame), theirs.background(frame)
    assert np.max(np.abs(new.mean - old.mean) / old.sem) < 0.02
    assert np.max(np.abs(new.std / old.std - 1)) < 2e-3
    assert np.max(np.abs(new.excess / old.excess - 1)) < 3e-3
    assert np.mean(new.count != old.count) < 0.1
    for snr in (1.0, 2.0, 3.0):
        picked, wanted = (one.sparsify(frame, snr, background=old) for one in (ours, theirs))
        assert np.array_equal(picked.index, wanted.index)
        assert np.array_equal(picked.value, wanted.value)
    assert np.array_equal(ours.peaks(frame, background=old), theirs.peaks(frame, background=old))
    assert totals_of(ours, frame) == totals_of(theirs, frame)


@pytest.mark.parametrize(("level", "lower"), [(6.0, 1.0), (20.0, 1.0), (30.0, 0.5)])
def test_the_excess_variance_is_that_of_ring_order(cpu, rng, monkeypatch, level, lower):
    """Of small rings from each pixel; of large ones from how many are likely to be inside: off by chance alone."""
    ours, theirs = both(monkeypatch, cpu)
    rate = level * rng.gamma(5 * level, 1 / (5 * level), SHAPE)
    rate[rng.random(SHAPE) < 0.02] *= lower  # more pixels near the lower limit
    frame = rng.poisson(rate * ours.rings.weight).astype(np.uint16)
    new, old = ours.background(frame), theirs.background(frame)
    error, large = new.excess / old.excess - 1, old.count > 2100
    assert np.median(old.excess) > 1.1
    assert np.max(np.abs(error[old.count < 1900])) < 2e-3
    assert np.max(np.abs(error)) < 3e-2
    assert abs(np.mean(error[large])) < 5e-4


@pytest.mark.parametrize("snr", [0.5, 2.0, 5.0])
def test_neighbouring_rings_may_differ_much(cpu, rng, monkeypatch, snr):
    """The least threshold of a strip may be that of any of its rings. One of them has no background."""
    mask = rng.random(SHAPE) < 0.05
    ours, theirs = both(monkeypatch, cpu, mask=mask)
    ring = ring_numbers(ours.rings)
    level = rng.permutation(np.geomspace(0.05, 20.0, 200))
    frame = signal(rng, ours, np.where(ring < 0, 0.0, level[ring]), np.int32)
    frame[ring == 70] = -1
    frame[mask] = 1000
    old = theirs.background(frame)
    picked, wanted = (one.sparsify(frame, snr, background=old) for one in (ours, theirs))
    assert np.array_equal(picked.index, wanted.index)
    assert np.array_equal(ours.peaks(frame, background=old), theirs.peaks(frame, background=old))


@pytest.mark.parametrize("saturation", [None, 45, 61, 62, 150])
def test_saturation_near_the_last_bin(cpu, rng, monkeypatch, saturation):
    mask = rng.random(SHAPE) < 0.02
    ours, theirs = both(monkeypatch, cpu, mask=mask, saturation=saturation, error_model="azimuthal")
    frame = signal(rng, ours, 15.0, np.int32, 0.03)
    frame[mask] = 100_000
    new, old = ours.background(frame), theirs.background(frame)
    assert np.max(np.abs(new.mean - old.mean) / old.sem) < 0.02
    picked, wanted = (one.sparsify(frame, 4.0, background=old).index for one in (ours, theirs))
    assert np.array_equal(picked, wanted)
    if saturation is not None:
        assert np.all(np.isin(np.flatnonzero((frame > saturation) & ~mask), picked))


@pytest.mark.parametrize("model", MODELS)
def test_rings_beyond_the_bins_are_read_in_ring_order(cpu, rng, monkeypatch, model):
    """Few counts outside, many inside: one frame takes both ways, and every ring is as it is in ring order."""
    ours, theirs = both(monkeypatch, Engine(cpu.device, profile=True), error_model=model)
    ring = ring_numbers(ours.rings)
    level = np.where(ring < 25, 300.0 - 8.0 * ring, 8.0)
    frame = rng.poisson(level * ours.rings.weight).astype(np.uint16)
    used = []
    monkeypatch.setattr(
        "crystint.ops.background._start_in_ring_order",
        lambda *arguments: used.append(1) or _start_in_ring_order(*arguments),
    )
    new, old = ours.background(frame), theirs.background(frame)
    assert len(used) == 2
    assert "ring_histogram" in ours.engine.milliseconds()
    assert np.max(np.abs(new.mean - old.mean) / old.sem) < 0.02
    assert np.array_equal(new.mean[:25], old.mean[:25])
    assert np.array_equal(new.count[:25], old.count[:25])
    for snr in (2.0, 3.0):
        picked, wanted = (one.sparsify(frame, snr, background=old).index for one in (ours, theirs))
        assert np.array_equal(picked, wanted)
    assert totals_of(ours, frame) == totals_of(theirs, frame)


@pytest.mark.parametrize(("level", "dtype"), [(400, np.uint16), (3_000_000, np.int32)])
def test_frames_of_many_counts_are_not_counted_by_bins(cpu, rng, monkeypatch, level, dtype):
    ours, theirs = both(monkeypatch, Engine(cpu.device, profile=True))
    frame = rng.poisson(level * ours.rings.weight).astype(dtype)
    frame[::31, ::17] += np.asarray(level, dtype)
    new, old = ours.background(frame), theirs.background(frame)
    assert new.mean.tobytes() == old.mean.tobytes()
    assert "ring_histogram" not in ours.engine.milliseconds()
    picked, wanted = (one.sparsify(frame, 3.0).index for one in (ours, theirs))
    assert np.array_equal(picked, wanted)


def test_an_empty_ring_is_nan_and_nothing_of_it_is_picked(cpu, rng):
    separator = Separator(geometry_of(), rings=100, engine=cpu)
    ring = ring_numbers(separator.rings)
    frame = rng.poisson(3, SHAPE).astype(np.int32)
    frame[ring == 40] = -1
    frame[ring == 60] = np.where(rng.random(np.sum(ring == 60)) < 0.99, -2, 4)  # few pixels
    sparse = separator.sparsify(frame, 2.0)
    assert np.flatnonzero(np.isnan(sparse.background.mean)).tolist() == [40]
    assert sparse.background.mean[60] == pytest.approx(4 / separator.rings.weight[ring == 60].mean(), rel=0.01)
    assert not np.any(np.isin(ring.ravel()[sparse.index], [40]))
    assert np.array_equal(sparse.unusable_index, np.flatnonzero(frame < 0))


def test_sums_beyond_32_bits(cpu, rng):
    separator = Separator(geometry_of(), rings=100, engine=cpu)
    frame = rng.poisson(3, SHAPE).astype(np.uint32)
    frame[::37, ::41] = 2**32 - 2
    totals = totals_of(separator, frame)
    assert (totals.sum, totals.maximum) == (float(frame.sum(dtype=np.uint64)), 2**32 - 2)


def test_results_do_not_depend_on_the_parts_of_the_table(cpu, rng):
    separator = Separator(geometry_of(), rings=150, engine=cpu)
    frame = signal(rng, separator, 5.0, np.uint16)
    seen = set()
    for parts in (1, 2, 5):
        separator._detector.cells.parts = parts
        sparse = separator.sparsify(frame)
        seen.add((sparse.index.tobytes(), sparse.background.mean.tobytes(), sparse.background.excess.tobytes()))
    assert len(seen) == 1


@pytest.mark.parametrize("dtype", INTEGERS)
def test_gaps_without_a_mask(cpu, rng, monkeypatch, dtype):
    """They are listed once; what is listed is that of each frame, and the mean is that with a mask."""
    ours, theirs = both(monkeypatch, cpu)
    used = []
    own = significant._listed_unusable
    monkeypatch.setattr(significant, "_listed_unusable", lambda *arguments: used.append(1) or own(*arguments))
    mark = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else -1
    gaps = np.zeros(SHAPE, bool)
    gaps[200:217] = gaps[:, 500:507] = True
    masked = Separator(ours.geometry, gaps, rings=200, engine=cpu)
    for listed, change in ((1, None), (1, None), (2, (10, 20)), (2, (10, 20)), (3, (11, 20)), (4, None)):
        frame = signal(rng, ours, 5.0, dtype)
        frame[gaps] = mark
        if change:
            frame[change] = mark
        sparse = ours.sparsify(frame)
        assert np.array_equal(sparse.unusable_index, np.flatnonzero(frame == mark))
        assert np.array_equal(sparse.unusable_value, frame.ravel()[sparse.unusable_index])
        assert len(used) == listed
        again = ours.background(frame)
        assert len(used) == listed
        assert again.mean.tobytes() == sparse.background.mean.tobytes()
        old = theirs.background(frame)
        assert np.max(np.abs(again.mean - old.mean) / old.sem) < 0.02
        if not change:
            assert np.max(np.abs(masked.background(frame).mean - again.mean) / old.sem) < 1e-3
    used.clear()
    few = signal(rng, ours, 5.0, dtype)
    assert ours.sparsify(few).unusable_index is None
    few[3, 4] = mark
    assert ours.sparsify(few).unusable_index.tolist() == [3 * SHAPE[1] + 4]


def test_unusable_pixels_that_hold_another_mark(cpu, rng):
    """CBF has -1 for gaps and -2 for dead pixels: as many as before, at the same places, are not yet the same."""
    separator = Separator(geometry_of(), rings=100, engine=cpu)
    frame = rng.poisson(3, SHAPE).astype(np.int32)
    frame[100:110] = -1
    assert set(separator.sparsify(frame).unusable_value.tolist()) == {-1}
    frame[105, 3] = -2
    assert set(separator.sparsify(frame).unusable_value.tolist()) == {-1, -2}
    frame[105, 3], frame[200, 3] = 1, -1
    assert np.array_equal(separator.sparsify(frame).unusable_index, np.flatnonzero(frame < 0))
