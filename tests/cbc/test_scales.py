"""Reflections without a common scale, and merging without errors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from crystint.cbc.files import merge_file, scale_file
from crystint.cbc.scaling.products import inner
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.regression import REACH
from crystint.cbc.scaling.scales import mixed_families, scale_groups, scales_text
from crystint.cbc.table.table_files import write_table
from crystint.errors import CrystintWarning, SettingError
from tests.cbc.case import small

H = 0.004


@pytest.fixture
def scaler(rng):
    table, u, _ = small(rng, frames=3, length=15)
    return table.scale(u, grid=(4, 5))


def reached_by_rows(layout, chi, bandwidth):
    """Groups by brute force: nodes in reach of each row, then labels that spread until nothing changes."""
    far = REACH * bandwidth
    label = np.arange(layout.n_reflections)
    sets = {}
    for row, (frame, reflection) in enumerate(zip(layout.frame, layout.reflection)):
        for j, y in enumerate(chi.y):
            for i, x in enumerate(chi.x):
                if abs(x - layout.u[row, 0]) <= far and abs(y - layout.u[row, 1]) <= far:
                    sets.setdefault((frame, j, i), set()).add(reflection)
    for _ in range(layout.n_reflections):
        for members in sets.values():
            label[list(members)] = label[list(members)].min()
    return label


@pytest.mark.parametrize("bandwidth", [2e-4, 1e-3, H])
@pytest.mark.parametrize("merged", [True, False])
def test_groups_are_those_of_brute_force(scaler, merged, bandwidth):
    made = scaler.merge_hkl(None) if merged else scaler
    chi = ProjectionMap.even(made.layout.frames, made.layout.u, (9, 11))
    found = scale_groups(made.layout, chi, np.ones(made.layout.n_reflections), bandwidth)
    label = reached_by_rows(made.layout, chi, bandwidth)
    assert np.array_equal(found[:, None] == found, label[:, None] == label)


def test_known_maps_give_one_scale(scaler):
    ones = np.ones(scaler.layout.n_reflections)
    assert scale_groups(scaler.layout, scaler.xtal, ones, None).max() == 0
    ones[0] = 0.0
    assert np.bincount(scale_groups(scaler.layout, scaler.xtal, ones, H))[0] == 1


def test_words_for_groups():
    group, seen = np.array([0, 0, 1, 2]), np.array([True, True, True, False])
    assert scales_text(group[:2], seen[:2]) is None
    assert "2 groups" in scales_text(group, seen)
    assert mixed_families(group, seen, np.array([0, 1, 1, 0])).tolist() == [False, True]
    assert "1 merged" in scales_text(group, seen, np.array([0, 1, 1, 0]))


def test_averages_over_different_scales_are_told_and_have_no_sigma(scaler):
    found, x = scaler.train(H)
    with pytest.warns(CrystintWarning, match="3 groups .* train with `merge_hkl`"):
        merged = found.merge_sfac(x, "mmm")
    assert np.isfinite(merged["sfac"]).all()
    assert np.isnan(merged["serr"]).all()
    together, y = scaler.merge_hkl("mmm").train(H)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(together.merge_sfac(y)["serr"]).all()


def test_merging_without_errors_is_the_same_but_for_them(scaler, monkeypatch):
    from crystint.cbc.merging import merging

    found, x = scaler.merge_hkl(None).train(H)
    with_errors = found.merge_sfac(x, "mmm")
    monkeypatch.setattr(merging, "uncertainty", None)
    without = found.merge_sfac(x, "mmm", errors=False)
    for name in ("hkl", "sfac", "cnts"):
        np.testing.assert_array_equal(without[name], with_errors[name])
    assert np.isnan(without["serr"]).all()


def test_commands_tell_of_groups(rng, tmp_path):
    """Each frame has a reflection of its own, so that no frame has to do with another until mmm makes them one."""
    table, u, _ = small(rng, frames=3, length=15)
    signs = np.array([[1, 1, 1], [-1, 1, 1], [1, -1, 1]])[np.arange(len(table)) * 3 // len(table)]
    write_table(tmp_path / "t.h5", table.replace(hkl=table.hkl * signs, u=u))
    with pytest.warns(CrystintWarning, match="groups"):
        scale_file(tmp_path / "t.h5", tmp_path / "s.h5", bandwidth=str(H), grid="4,5")
    with pytest.warns(CrystintWarning, match="averages over different scales"):
        merge_file(tmp_path / "s.h5", [tmp_path / "s.txt"], symmetry="mmm")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scale_file(tmp_path / "t.h5", tmp_path / "m.h5", bandwidth=H, grid=(4, 5), symmetry="mmm")
    assert not any("groups" in str(each.message) for each in caught)


@pytest.mark.parametrize("rows", [3, 64, 130, 640])
@pytest.mark.parametrize(("a", "b"), [(1, 1), (65, 130), (200, 7)])
def test_products_in_tiles(rng, rows, a, b):
    left, right = rng.normal(size=(rows, a)), rng.normal(size=(rows, b))
    np.testing.assert_allclose(inner(left, right), left.T @ right, atol=1e-12)
    np.testing.assert_allclose(inner(left, left), left.T @ left, atol=1e-12)


def test_dense_and_sparse_solutions_are_the_same(rng, monkeypatch):
    from crystint.cbc.merging import response

    table, u, _ = small(rng, frames=2, length=15)
    found, x = table.scale(u, grid=(6, 7)).merge_hkl(None).train(H)
    sigma = []
    for least in (0.0, 1.0):
        monkeypatch.setattr(response, "_FILLED", least)
        sigma.append(found.merge_sfac(x)["serr"])
    assert np.isfinite(sigma[0]).all()
    np.testing.assert_allclose(sigma[0], sigma[1], rtol=1e-9)


@pytest.mark.parametrize("grid", [40, (40,), (40.5, 40), "40", (True, 40), (1, 4)])
def test_impossible_grids(scaler, grid):
    with pytest.raises(SettingError, match="grid"):
        scaler.table.scale(scaler.layout.u, grid=grid)


def test_grids_of_any_kind_of_pair(scaler):
    for grid in ([3, 4], np.array([3, 4]), (3, scaler.xtal.x[[0, 1, -2, -1]])):
        assert scaler.table.scale(scaler.layout.u, grid=grid).xtal.values.shape == (3, 3, 4)


@pytest.mark.parametrize("value", [5000.0, np.inf])
def test_q2_given_for_its_logarithm_is_refused(scaler, value):
    x = scaler.init_estimate()
    x[-1] = value
    with pytest.raises(SettingError, match=rf"x\[{len(x) - 1}\] is .* logarithms"):
        scaler.fitness(x)


@pytest.mark.parametrize("bandwidth", [None, "wide", 0.0, -1.0, float("nan")])
def test_impossible_bandwidths(scaler, bandwidth):
    with pytest.raises(SettingError, match="bandwidth is"):
        scaler.train(bandwidth)


def test_a_bandwidth_that_reaches_no_node_is_named(scaler):
    u = scaler.layout.u + 1e-4
    axes = [np.linspace(u[:, c].min() - 1e-3, u[:, c].max() + 1e-3, 3) for c in (1, 0)]
    made = scaler.table.scale(u, grid=tuple(axes))
    with pytest.raises(SettingError, match="bandwidth is 1e-09, which leaves all nodes"):
        made.train(1e-9)
