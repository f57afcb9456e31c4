"""Convergent-beam sums on devices, against NumPy in double precision and against loops over rows and nodes.

Tolerance is 1e-5 of the sum of absolute terms. Tables here have streaks of odd lengths, pixels with up to four rows,
rows around empty nodes and beyond the grid, dark pixels, negative and fractional counts.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from crystint.cbc.compat_cbclib import IntensityScaler
from crystint.cbc.scaling.backends import backend_of
from crystint.cbc.scaling.cells import Axis, Cells
from crystint.cbc.scaling.device import DeviceBackend
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.objective import FLOOR, pixel_terms
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.sums import FAINTEST, NumpyBackend, expected_counts, row_sums, shares
from crystint.engine import default_engine
from crystint.errors import SettingError, ShapeError
from tests.cbc.case import case
from tests.conftest import ROOT
from tests.oracles import cbc_scaling as oracle

CRITERIA = [
    ("poisson", "l2"), ("least_squares", "l2"), ("least_squares", "l1"), ("least_squares", "huber"),
    ("robust", "l1"), ("robust", "huber"),
]  # fmt: skip
SIZES = pytest.mark.parametrize("local_size", [None, 1, 8])


def layout_of(rng, frames=3, streaks=7, reflections=5, side=17, longest=70, level=3.0, strength=30.0, low=0.0):
    """A layout of streaks on random pixels, and its rows as the oracle has them."""
    rows, where = [], []
    for streak in range(frames * streaks):
        pixels = np.sort(rng.choice(side * side, rng.integers(1, min(longest, side * side) + 1), replace=False))
        rows += [[streak // streaks, streak, p % side, p // side, streak % reflections] for p in pixels]
        centre = rng.uniform(-0.02, 0.02, 2)
        where.append(centre + rng.normal(0.0, 0.004, (len(pixels), 2)))
    frame, streak, x, y, reflection = np.array(rows).T
    counts = rng.poisson(strength, (frames, side, side)) * rng.uniform(0.5, 1.5, (frames, side, side))
    counts[:, ::3, 1::4] = 0.0
    background = level * rng.uniform(0.0, 2.0, counts.shape)
    background[:, 1::3, ::2] = 0.0
    counts[:, ::5, ::3], background[:, 2::5, 1::3] = low, low / 2.0
    profile = rng.uniform(0.0, 1.0, len(rows)) * (rng.random(len(rows)) < 0.95)
    profile[np.searchsorted(streak, np.arange(frames * streaks))] = 0.5
    hkl = np.stack([reflection, 0 * reflection, 0 * reflection], axis=1)
    table = SimpleNamespace(
        frame=frame, streak=streak, x=x, y=y, hkl=hkl, profile=profile,
        counts=counts[frame, y, x], background=background[frame, y, x],
    )  # fmt: skip
    layout = Layout.of(table, np.concatenate(where))
    columns = (frame, streak, x, y, table.counts, table.background, profile, reflection)
    number = np.arange(frames * streaks) % reflections
    return layout.merged(number, np.eye(reflections, 3, dtype=int)), list(zip(*columns))


def map_of(rng, layout, nx=11, ny=8, empty=0.3):
    """A map on uneven nodes that end within the data, with empty ones."""
    x, y = np.sort(rng.uniform(-0.02, 0.02, nx)), np.sort(rng.uniform(-0.015, 0.015, ny))
    values = rng.uniform(0.2, 2.0, (layout.n_frames, ny, nx))
    values[rng.random(values.shape) < empty] = np.nan
    return ProjectionMap(values, x, y, layout.frames)


def point(rng, layout, intercepts=True):
    return rng.random(layout.n_streaks) * intercepts, rng.uniform(10.0, 80.0, layout.n_reflections)


def models(engine, layout, chi, local_size=None):
    return NumpyBackend(layout).bind(chi), DeviceBackend(engine, layout, local_size=local_size).bind(chi)


def plain(values):
    return np.nan_to_num(np.asarray(values))


def close(found, wanted, size=None, tolerance=1e-5):
    """Whether values differ by the tolerance of what they are sums of, at most, and NaN are in the same places."""
    assert np.array_equal(np.isnan(found), np.isnan(wanted))
    scale = np.abs(wanted) if size is None else size
    assert (np.abs(plain(found) - plain(wanted)) <= tolerance * plain(scale) + 1e-30).all()


@SIZES
def test_chi_at_rows_is_that_of_the_reference_and_of_the_loop(engine, rng, local_size):
    layout, _ = layout_of(rng)
    chi = map_of(rng, layout)
    reference, model = models(engine, layout, chi, local_size)
    close(model.chi_at, reference.chi_at)
    assert 0.02 < np.isnan(model.chi_at).mean() < 0.5
    some = rng.choice(len(layout), 60, replace=False)
    loop = [oracle.bilinear(chi.values[layout.frame[i]], chi.x, chi.y, layout.u[i]) for i in some]
    close(model.chi_at[some], np.array(loop))
    close(model.backend.engine.receive(model._amplitude, len(layout)), reference.amplitude)


def test_chi_at_a_node_is_its_value_and_beyond_the_grid_that_of_its_edge(engine, rng):
    layout, _ = layout_of(rng, frames=2)
    chi = map_of(rng, layout, empty=0.0)
    u = layout.u.copy()
    column, row = rng.integers(0, len(chi.x), len(u)), rng.integers(0, len(chi.y), len(u))
    u[:, 0], u[:, 1] = chi.x[column], chi.y[row]
    u[7] = chi.x[-1] + 0.5, chi.y[3]
    column[7], row[7] = len(chi.x) - 1, 3
    u[8] = chi.x[2], chi.y[0] - 0.4
    column[8], row[8] = 2, 0
    found = DeviceBackend(engine, replace(layout, u=u)).bind(chi).chi_at
    assert np.array_equal(found, chi.values[layout.frame, row, column].astype(np.float32))


@SIZES
@pytest.mark.parametrize("names", CRITERIA, ids=" ".join)
@pytest.mark.parametrize("intercepts", [True, False])
def test_objective_and_its_slopes(engine, rng, names, intercepts, local_size):
    layout, rows = layout_of(rng, low=-2.5)
    chi = map_of(rng, layout)
    reference, model = models(engine, layout, chi, local_size)
    b, q2 = point(rng, layout, intercepts)
    expected = expected_counts(layout, reference.amplitude, b, q2)
    assert intercepts or (expected < FLOOR).any()
    wanted, found = reference.objective(b, q2, *names), model.objective(b, q2, *names)
    terms, slopes = pixel_terms(layout.counts, expected, *names)
    size = row_sums(layout, reference.amplitude, np.abs(slopes))
    assert abs(found[0] - wanted[0]) <= 1e-5 * np.abs(terms).sum()
    close(found[1], wanted[1], size[0])
    close(found[2], wanted[2], size[1])
    if names[0] != "robust":  # whose own oracle is in test_robust.py
        loop = oracle.objective(rows, plain(reference.chi_at), b, q2, *names, FLOOR)
        assert found[0] == pytest.approx(loop, rel=1e-5)


def test_objective_of_poisson_is_fine_enough_to_see_it_fall(engine, rng):
    """Near its minimum f is the entropy of the counts, which no step changes, and a little: half a count per pixel."""
    layout, _ = layout_of(rng, side=60, longest=3600)
    chi, (b, q2) = map_of(rng, layout, empty=0.0), point(rng, layout)
    layout = replace(layout, background=layout.background + 50.0)
    q2 *= 1e4
    expected = expected_counts(layout, NumpyBackend(layout).bind(chi).amplitude, b, q2)
    layout = replace(layout, counts=rng.poisson(expected).astype(float))
    reference, model = models(engine, layout, chi)
    wanted, found = (each.objective(b, q2, "poisson", "l2")[0] for each in (reference, model))
    most = np.maximum(layout.counts, 1.0)
    excess = wanted - float((most - layout.counts * np.log(most)).sum())
    assert 0.4 * layout.n_pixels < excess < 0.6 * layout.n_pixels
    assert abs(found - wanted) < 1e-5 * excess


def test_slopes_survive_a_background_that_is_all_but_everything(engine, rng):
    layout, _ = layout_of(rng, side=30, longest=900, level=0.0, strength=20.0)
    layout = replace(layout, background=layout.counts + 1e6, counts=layout.counts + 1e6 + 4.25)
    reference, model = models(engine, layout, map_of(rng, layout))
    b, q2 = np.zeros(layout.n_streaks), np.full(layout.n_reflections, 3.0)
    for found, wanted in zip(
        model.objective(b, q2, "poisson", "l2")[1:], reference.objective(b, q2, "poisson", "l2")[1:]
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-12)


@SIZES
@pytest.mark.parametrize("intercepts", [True, False])
@pytest.mark.parametrize("steps", [0, 1, 6])
def test_steps(engine, rng, intercepts, steps, local_size):
    layout, rows = layout_of(rng)
    reference, model = models(engine, layout, map_of(rng, layout), local_size)
    b, q2 = point(rng, layout)
    wanted, found = reference.em(b, q2, steps, intercepts), model.em(b, q2, steps, intercepts)
    close(found[0], wanted[0])
    close(found[1], wanted[1])
    if steps == 1 and intercepts:
        loop = oracle.em(rows, plain(reference.chi_at), b, q2)
        close(found[0], np.array(loop[0]))
        close(found[1], np.array(loop[1]))


@SIZES
def test_steps_leave_reflections_alone_that_are_not_seen_and_none_becomes_too_faint(engine, rng, local_size):
    layout, _ = layout_of(rng, streaks=6, reflections=6)
    labels = layout.streak_reflection.copy()
    layout = layout.merged(labels + (labels > 3), np.eye(8, 3, dtype=int))  # 4 and 7 have no streaks
    profile, counts = layout.profile.copy(), layout.counts.copy()
    profile[layout.reflection == 2] = 0.0
    counts[layout.pixel[layout.reflection == 1]] = 0.0
    layout = replace(layout, profile=profile, counts=counts)
    b, q2 = np.zeros(layout.n_streaks), np.linspace(20.0, 30.0, 8)
    q2[7], q2[4] = 5e5, 1e-9
    reference, model = models(engine, layout, map_of(rng, layout, empty=0.0), local_size)
    wanted, found = reference.em(b, q2, 2, False)[1], model.em(b, q2, 2, False)[1]
    close(found, wanted)
    assert (found[[2, 4, 7]] == q2[[2, 4, 7]].astype(np.float32)).all()
    assert found[1] == np.float32(FAINTEST) * np.float32(5e5)


@SIZES
@pytest.mark.parametrize("bandwidth", [4e-4, 1e-3, 2.7e-3, 0.05])
def test_regression(engine, rng, bandwidth, local_size):
    layout, rows = layout_of(rng, low=-2.5)
    chi = map_of(rng, layout)
    reference, model = models(engine, layout, chi, local_size)
    b, q2 = point(rng, layout)
    q2[3] = 0.0
    wanted, found = reference.regress(b, q2, bandwidth), model.regress(b, q2, bandwidth)
    size = sum_of_absolute_terms(reference, b, q2, bandwidth)
    close(found, wanted, np.maximum(size, np.abs(plain(wanted))))
    assert np.isnan(found).any() == (bandwidth < 0.01)
    assert (found == 0.0).any() == (bandwidth < 0.01)
    if bandwidth == 1e-3:
        options = (b, q2, range(3), chi.x, chi.y, bandwidth)
        loop = oracle.regression(rows, layout.u, plain(reference.chi_at), *options)
        close(found, loop, np.maximum(size, np.abs(plain(loop))))


def sum_of_absolute_terms(reference, b, q2, bandwidth):
    """What the sum of absolute numerators makes of chi."""
    from crystint.cbc.scaling.regression import kernel_regression

    layout, chi = reference.layout, reference.chi
    n, d = shares(layout, reference.amplitude, b, q2)
    return kernel_regression(layout.u, layout.frame_start, np.abs(n), d, chi.x, chi.y, bandwidth)


def test_the_kernel_ends_at_four_bandwidths_along_each_axis(engine):
    """A row in the middle reaches the nodes of a square, not those of a circle, and none beyond."""
    table = SimpleNamespace(
        frame=np.array([4]), streak=np.array([9]), x=np.array([1]), y=np.array([2]), counts=np.array([30.0]),
        background=np.array([2.0]), profile=np.array([0.5]), hkl=np.array([[1, 0, 0]]),
    )  # fmt: skip
    layout = Layout.of(table, [[0.5, 0.25]])
    chi = ProjectionMap(np.ones((1, 9, 21)), np.linspace(0.0, 1.0, 21), np.linspace(0.0, 0.5, 9), layout.frames)
    found = DeviceBackend(engine, layout).bind(chi).regress(np.array([3.0]), np.array([10.0]), 0.03)[0]
    near_x, near_y = np.abs(chi.x - 0.5) < 0.12, np.abs(chi.y - 0.25) < 0.12
    assert np.array_equal(~np.isnan(found), np.outer(near_y, near_x))
    np.testing.assert_allclose(found[np.outer(near_y, near_x)], 25.0 * 0.5 / (10.0 * 0.25), rtol=1e-6)


def test_one_row(engine):
    table = SimpleNamespace(
        frame=np.array([4]), streak=np.array([9]), x=np.array([1]), y=np.array([2]), counts=np.array([30.0]),
        background=np.array([2.0]), profile=np.array([0.5]), hkl=np.array([[1, 0, 0]]),
    )  # fmt: skip
    layout = Layout.of(table, [[0.1, -0.2]])
    chi = ProjectionMap.even(layout.frames, layout.u, (2, 2))
    reference, model = models(engine, layout, chi)
    b, q2 = np.array([1.5]), np.array([44.0])
    for names in CRITERIA:
        for found, wanted in zip(model.objective(b, q2, *names), reference.objective(b, q2, *names)):
            np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_allclose(model.em(b, q2, 3, True)[1], reference.em(b, q2, 3, True)[1], rtol=1e-6)
    np.testing.assert_allclose(model.regress(b, q2, 1e-3), reference.regress(b, q2, 1e-3), rtol=1e-5)


def test_one_frame_where_every_pixel_is_shared(engine, rng):
    layout, rows = layout_of(rng, frames=1, streaks=4, side=3, longest=9, reflections=3)
    chi = map_of(rng, layout, nx=2, ny=3, empty=0.0)
    assert layout.multiplicity.max() == 4
    reference, model = models(engine, layout, chi)
    b, q2 = point(rng, layout)
    q2[:] = 0.0  # counts are divided evenly then
    close(model.regress(b, q2 + 1e-30, 5e-3), reference.regress(b, q2 + 1e-30, 5e-3), np.inf)
    q2[1] = 3.0
    close(model.regress(b, q2, 5e-3), reference.regress(b, q2, 5e-3), sum_of_absolute_terms(reference, b, q2, 5e-3))
    found = model.objective(b, q2, "poisson", "l2")[0]
    assert found == pytest.approx(
        oracle.objective(rows, plain(reference.chi_at), b, q2, "poisson", "", FLOOR), rel=1e-5
    )


def test_counts_of_dark_rows_are_divided_evenly(engine, rng):
    """Rows around empty nodes have no signal in the model, but they do have counts."""
    layout, _ = layout_of(rng, frames=1, streaks=3, side=4, longest=16, reflections=3)
    chi = replace(map_of(rng, layout), values=np.full((1, 8, 11), np.nan))
    reference, model = models(engine, layout, chi)
    b, q2 = point(rng, layout)
    wanted = reference.regress(b, q2, 2e-3)
    assert np.nanmax(wanted) > 0.0
    close(model.regress(b, q2, 2e-3), wanted, sum_of_absolute_terms(reference, b, q2, 2e-3))


def test_sums_of_many_rows_do_not_drift(engine):
    """Equal terms are rounded the same way each time: a plain sum in single precision of so many is off by 1e-4."""
    side = 800
    y, x = (axis.ravel() for axis in np.mgrid[:side, :side])
    one = np.ones(side * side)
    table = SimpleNamespace(
        frame=0 * x, streak=0 * x, x=x, y=y, counts=2.345 * one, background=0.1 * one, profile=0.0371 * one,
        hkl=np.zeros((side * side, 3), int),
    )  # fmt: skip
    layout = Layout.of(table, np.stack([1e-6 * x, 1e-6 * y], axis=1))
    reference, model = models(engine, layout, ProjectionMap.even(layout.frames, layout.u, (2, 3)))
    b, q2 = np.array([0.317]), np.array([26.1])
    np.testing.assert_allclose(model.em(b, q2, 1, True), reference.em(b, q2, 1, True), rtol=1e-6)
    np.testing.assert_allclose(model.regress(b, q2, 3e-3), reference.regress(b, q2, 3e-3), rtol=1e-6)
    for found, wanted in zip(model.objective(b, q2, "poisson", "l2"), reference.objective(b, q2, "poisson", "l2")):
        np.testing.assert_allclose(found, wanted, rtol=2e-6)


def test_results_are_the_same_bits_each_time(engine, rng):
    layout, _ = layout_of(rng, side=30, longest=900)
    chi = map_of(rng, layout)
    b, q2 = point(rng, layout)
    runs = []
    for _ in range(3):
        model = DeviceBackend(engine, layout).bind(chi)
        results = (*model.objective(b, q2, "poisson", "l2"), *model.em(b, q2, 4, True), model.regress(b, q2, 2e-3))
        runs.append(b"".join(np.asarray(each).tobytes() for each in results))
    assert runs[0] == runs[1] == runs[2]


def test_a_backend_keeps_models_of_several_maps_and_grids_apart(engine, rng):
    layout, _ = layout_of(rng)
    maps = [map_of(rng, layout), map_of(rng, layout), map_of(rng, layout, nx=4, ny=17)]
    path, b, q2 = DeviceBackend(engine, layout), *point(rng, layout)
    bound = [path.bind(chi) for chi in maps]
    for chi, model in zip(maps, bound):
        reference = NumpyBackend(layout).bind(chi)
        close(model.chi_at, reference.chi_at)
        close(model.em(b, q2, 2, True)[1], reference.em(b, q2, 2, True)[1])


def test_rows_are_sorted_by_frame_and_cell(rng):
    layout, _ = layout_of(rng)
    chi = map_of(rng, layout)
    cells = Cells.of(layout, chi.x, chi.y)
    across, up = len(chi.x) - 1, len(chi.y) - 1
    assert np.array_equal(np.sort(cells.rank), np.arange(len(layout)))
    column = np.clip(np.searchsorted(chi.x, layout.u[:, 0], "right") - 1, 0, across - 1)
    row = np.clip(np.searchsorted(chi.y, layout.u[:, 1], "right") - 1, 0, up - 1)
    number = np.empty(len(layout), int)
    number[cells.rank] = (layout.frame * up + row) * across + column
    assert len(cells.start) == layout.n_frames * up * across + 1
    for cell, (first, last) in enumerate(pairwise(cells.start)):
        assert (number[first:last] == cell).all()
    assert cells.start[-1] == len(layout)


def test_an_axis_of_whole_numbers_keeps_distances(rng):
    nodes, at = np.sort(rng.uniform(0.01, 0.09, 40)), rng.uniform(0.0, 0.1, 999)
    axis = Axis.of(nodes, at)
    exact = np.subtract.outer(at, nodes)
    found = np.subtract.outer(axis.numbers(at).astype(np.int64), axis.nodes.astype(np.int64)) / axis.unit
    assert np.abs(found - exact).max() < 2e-10
    first, last = axis.within(axis.reach(1e-3)).T
    near = np.abs(exact) < 4e-3
    cell = axis.cell(axis.numbers(at))
    for node in range(len(nodes)):
        used = np.unique(cell[near[:, node]])
        assert first[node] <= used.min(initial=99)
        assert used.max(initial=-1) <= last[node]
        assert last[node] - first[node] < 25


def test_training_on_a_device_ends_where_numpy_does(engine):
    data = case()
    ends = []
    for path in ("numpy", engine):
        scaler = IntensityScaler.of(data.table, data.u, path=path).merge_hkl("mmm")
        trained, x = scaler.train(1e-3, n_iter=3)
        ends.append((trained.q2(x), trained.xtal.values, trained.trace))
    for found, wanted in zip(ends[1], ends[0]):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [-1, 3])
def test_a_local_size_that_is_no_power_of_two(engine, rng, size):
    with pytest.raises(SettingError, match="power of two"):
        DeviceBackend(engine, layout_of(rng)[0], local_size=size)


def test_more_rows_than_numbers(engine):
    class Huge:
        def __len__(self):
            return 2**31 - 1

    with pytest.raises(ShapeError, match="fewer than"):
        DeviceBackend(engine, Huge())


def test_a_bandwidth_of_zero(engine, rng):
    layout, _ = layout_of(rng)
    with pytest.raises(SettingError, match="bandwidth"):
        DeviceBackend(engine, layout).bind(map_of(rng, layout)).regress(*point(rng, layout), 0.0)


def test_a_backend_by_name(engine, rng):
    layout, _ = layout_of(rng)
    assert isinstance(backend_of("numpy", layout), NumpyBackend)
    assert backend_of("Device", layout).engine is default_engine()
    with pytest.raises(SettingError, match="path is 'gpu'"):
        backend_of("gpu", layout)


def test_no_kernel_needs_double_precision():
    for path in (ROOT / "kernels").glob("cbc_*"):
        code = path.read_text(encoding="utf-8").split("*/", 1)[1]
        assert "double" not in code, path.name
