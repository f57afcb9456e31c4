"""Simulated convergent-beam tables: where streaks fall, what is on them, and that the truth is the truth."""

from __future__ import annotations

import gemmi
import h5py
import numpy as np
import pytest

from crystint.cbc.simulation import simulated_geometry
from crystint.cbc.simulation.simulate import CBCSettings, simulate_cbc, simulate_streaks
from crystint.cbc.simulation.simulated_truth import families, standard_profile
from crystint.errors import SettingError
from tests.conftest import shared_data
from tests.oracles import cbc_forward as oracle


@pytest.fixture(scope="module")
def data():
    return simulate_cbc(3, seed=1, intercept=2.0)


def g_of(data):
    """g of each streak, from the settings by hand."""
    first = np.unique(data.table.streak, return_index=True)[1]
    s = data.settings
    start = data.table.hkl[first] @ simulated_geometry.basis(s)
    angle = np.radians(s.rotation) * data.table.frame[first]
    x, y, z = start.T
    return np.stack([np.cos(angle) * x + np.sin(angle) * z, y, np.cos(angle) * z - np.sin(angle) * x], axis=1), first


def test_the_lattice_has_the_cell_that_was_asked_for(data):
    basis = simulated_geometry.basis(data.settings) / data.settings.wavelength
    direct = np.linalg.inv(basis).T
    np.testing.assert_allclose(np.linalg.norm(direct, axis=1), (22.1, 27.3, 33.7), rtol=1e-12)
    assert np.linalg.det(basis) > 0


def test_streaks_lie_where_rays_of_the_pupil_go(data):
    s = data.settings
    gs, first = g_of(data)
    last = np.append(first[1:], len(data.table))
    optics = (s.numerical_aperture, s.distance, s.defocus, s.pixel_size, s.shape)
    seen = 0
    for g, start, stop in zip(gs[::3], first[::3], last[::3]):
        rows = slice(start, stop)
        rays, place = oracle.streak(g, *optics, points=121)
        assert len(rays) > 1
        pixels = np.stack([data.table.x[rows], data.table.y[rows]], axis=1).astype(float)
        chord = place[-1] - place[0]
        normal = np.array([-chord[1], chord[0]]) / np.linalg.norm(chord)
        along = pixels @ chord / (chord @ chord)
        line = place @ chord / (chord @ chord)
        order = np.argsort(line)
        away = pixels @ normal - np.interp(along, line[order], (place @ normal)[order])
        inside = (along > line.min()) & (along < line.max())
        assert np.abs(away[inside]).max() < 2.55
        np.testing.assert_allclose(data.table.profile[rows][inside], oracle.gauss(away, s.width)[inside], atol=0.01)
        middle = inside & (np.abs(away) < 0.5)
        for axis in (0, 1):
            expected = np.interp(along[middle], line[order], rays[order, axis])
            np.testing.assert_allclose(data.table.u[rows][middle, axis], expected, atol=1.3 * s.pixel_size / s.distance)
        covered = {tuple(pixel) for pixel in pixels.astype(int).tolist()}
        far = np.minimum(*(np.linalg.norm(place - end, axis=1) for end in (place[0], place[-1])))
        deep = place[far > 1.5]
        assert all(tuple(pixel) in covered for pixel in np.rint(deep).astype(int).tolist())
        seen += 1
    assert seen > 60


def test_directions_are_those_of_the_setup(data):
    np.testing.assert_allclose(data.setup.u(data.table, corrections=4), data.table.u, atol=1e-9)
    np.testing.assert_allclose(data.setup.u(data.table), data.table.u, atol=3e-5)
    assert data.setup.pupil_limits[1][0] == pytest.approx(data.settings.numerical_aperture, rel=1e-12)


def test_expectations_are_the_sum_over_the_streaks_of_a_pixel(data):
    table, truth = data.table, data.truth
    q2 = truth.q2[truth.family[table.streak]]
    np.testing.assert_allclose(truth.signal, q2 * truth.chi * table.profile, rtol=1e-12)
    keys = list(zip(table.frame.tolist(), table.y.tolist(), table.x.tolist()))
    background = dict(zip(keys, table.background))
    rows = zip(*zip(*keys), q2, truth.chi, table.profile, truth.intercept[table.streak])
    total = oracle.expected(rows, background)
    np.testing.assert_allclose(truth.expected, [total[key] for key in keys], rtol=1e-12)
    assert 0.02 < data.overlap < 0.9
    assert len(total) == len(data.first)
    for values in (table.counts, table.background, truth.expected):
        for pixel in np.unique(truth.pixel[np.bincount(truth.pixel)[truth.pixel] > 1])[:50]:
            assert np.ptp(values[truth.pixel == pixel]) == 0


def test_counts_are_poisson_of_the_expectations(data):
    deviate = (data.table.counts - data.truth.expected)[data.first] / np.sqrt(data.truth.expected[data.first])
    n = len(deviate)
    assert abs(deviate.mean()) < 4 / np.sqrt(n)
    assert abs(deviate.var() - 1) < 5 * np.sqrt(2.1 / n)
    assert data.fitness() < -np.sum(data.table.counts[data.first] * np.log(1.02 * data.truth.expected[data.first])) + (
        1.02 * np.sum(data.truth.expected[data.first])
    )
    silent = simulate_cbc(1, noise=False)
    assert np.array_equal(silent.table.counts, silent.truth.expected)


def test_maps_have_mean_1_and_are_smooth(data):
    truth = data.truth
    assert truth.maps.shape == (3, 40, 40)
    assert truth.maps.mean() == pytest.approx(1.0, abs=1e-12)
    assert truth.maps.min() > 0
    assert 0.3 < truth.maps.std() < 1.2
    steps = np.abs(np.diff(np.log(truth.maps), axis=2))
    assert steps.max() < 0.5
    node = np.argmin(np.abs(truth.x[None] - data.table.u[:, :1]), axis=1)
    line = np.argmin(np.abs(truth.y[None] - data.table.u[:, 1:]), axis=1)
    np.testing.assert_allclose(np.log(truth.chi), np.log(truth.maps[data.table.frame, line, node]), atol=0.4)
    assert np.corrcoef(truth.chi, truth.maps[data.table.frame, line, node])[0, 1] > 0.99


@pytest.mark.parametrize("symmetry", ["1", "mmm", "4mm", "P 61 2 2", "m-3m", "321", "C 1 2 1"])
@pytest.mark.parametrize("friedel", [True, False])
def test_families_are_those_of_the_symmetry(symmetry, friedel):
    data = simulate_cbc(1, symmetry=symmetry, friedel=friedel, d_min=4.0)
    group = data.settings.group
    assert data.settings.unit_cell.is_compatible_with_spacegroup(group)
    turns = [np.array(op.rot) // gemmi.Op.DEN for op in group.operations().sym_ops]
    number = {tuple(row): i for i, row in enumerate(data.truth.hkl.tolist())}
    first = np.unique(data.table.streak, return_index=True)[1]
    for hkl, family in zip(data.table.hkl[first], data.truth.family):
        members = oracle.equivalents(hkl, turns, friedel)
        assert tuple(data.truth.hkl[family].tolist()) in members
        assert {number[one] for one in members if one in number} == {family}
        assert not group.operations().is_systematically_absent(hkl.tolist())
    assert (data.truth.q2 > 0).all()


def test_intensities_follow_wilson():
    hkl = simulated_geometry.lattice(CBCSettings(symmetry="222", d_min=1.2))
    settings = CBCSettings(symmetry="222", d_min=1.2, weakest=0.0, b_factor=3.0)
    unique, _ = families(hkl, settings.group, True)
    from crystint.cbc.simulation.simulated_truth import intensities

    q2 = intensities(unique, settings, np.random.default_rng(5))
    d2 = np.array([settings.unit_cell.calculate_1_d2(row) for row in unique.tolist()])
    ratio = q2 / (60.0 * np.exp(-3.0 * d2 / 2))
    centric = (unique == 0).any(axis=1)
    assert ratio[~centric].mean() == pytest.approx(1.0, abs=0.05)
    assert (ratio[~centric] ** 2).mean() == pytest.approx(2.0, abs=0.25)
    assert (ratio[centric] ** 2).mean() == pytest.approx(3.0, abs=1.0)


def test_equal_settings_give_equal_numbers_and_other_seeds_others():
    one, same, other = simulate_cbc(2, seed=4), simulate_cbc(2, seed=4), simulate_cbc(2, seed=5)
    assert np.array_equal(one.table.counts, same.table.counts)
    assert np.array_equal(one.truth.maps, same.truth.maps)
    assert len(one.table) != len(other.table)
    one, same, other = (simulate_streaks(5000, seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(one.table.counts, same.table.counts)
    assert not np.array_equal(one.truth.q2, other.truth.q2)


@pytest.mark.parametrize("kind", ["tophat", "linear", "quad", "gauss"])
def test_profiles(kind):
    distance = np.linspace(-5, 5, 1001)
    values = standard_profile(distance, 4.0, kind)
    assert values.max() == values[500] == 1.0
    assert (values[np.abs(distance) >= 2.5] == 0).all()
    assert (values[np.abs(distance) < 2.49] > 0).all()
    np.testing.assert_allclose(values, values[::-1], atol=1e-12)
    assert {"tophat": 1.0, "linear": 0.6, "quad": 0.84, "gauss": oracle.gauss(1.0, 4.0)}[kind] == pytest.approx(
        standard_profile(np.array([1.0]), 4.0, kind)[0], abs=1e-6
    )


@pytest.mark.parametrize("least", [1, 60])
def test_short_streaks_are_left_out(least):
    long = np.bincount(simulate_cbc(2, seed=1, min_pixels=least).table.streak)
    assert (long.min() < 9) if least == 1 else (60 <= long.min() < 80)
    assert np.array_equal(long[long >= 60], np.bincount(simulate_cbc(2, seed=1, min_pixels=60).table.streak))


def test_more_crowding_more_overlap():
    few, many = simulate_cbc(2, seed=1, crowding=0.5), simulate_cbc(2, seed=1, crowding=3.0)
    assert many.table.streak[-1] > 4 * few.table.streak[-1]
    assert many.overlap > few.overlap


@pytest.mark.parametrize("overlap", [0.02, 0.1, 0.4])
def test_random_streaks_have_the_rows_and_overlap_asked_for(overlap):
    data = simulate_streaks(60_000, frames=5, reflections=90, overlap=overlap, seed=2)
    table, truth = data.table, data.truth
    assert len(table) == pytest.approx(60_000, rel=0.03)
    assert data.overlap == pytest.approx(overlap, rel=0.35)
    assert len(truth.q2) == 90
    assert np.array_equal(np.unique(truth.family), np.arange(90))
    assert np.array_equal(truth.hkl[truth.family][table.streak], table.hkl)
    assert np.abs(table.u).max() <= data.settings.numerical_aperture
    assert len(table.frames) == 5
    assert len(np.unique(np.stack([table.streak, table.x, table.y]), axis=1).T) == len(table)
    q2 = truth.q2[truth.family[table.streak]]
    np.testing.assert_allclose(truth.signal, q2 * truth.chi * table.profile, rtol=1e-12)


def test_random_streaks_are_a_family_each():
    data = simulate_streaks(40_000, reflections=700)
    assert len(families(data.truth.hkl, gemmi.SpaceGroup("P m m m"), True)[0]) == len(data.truth.hkl)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bandwidth": 1.0}, "no setting 'bandwidth'"),
        ({"frames": 0}, "frames: is 0"),
        ({"symmetry": "mmmm"}, "unknown symmetry 'mmmm'"),
        ({"cell": (20, 30, 40, 90, 90, 90), "symmetry": "4mm"}, "does not fit"),
        ({"cell": (20, 30, 40)}, "cell: "),
        ({"numerical_aperture": 0.6}, "less than 0.5"),
        ({"defocus": 0.2}, "defocus"),
        ({"wavelength": float("nan")}, "wavelength: is nan"),
        ({"background": -1.0}, "background: is -1"),
        ({"profile": "square"}, "'tophat', 'linear', 'quad' or 'gauss'"),
        ({"weakest": 2.0}, "weakest: is 2.0, expected less than or equal to 1"),
        ({"nodes": 1}, "nodes: is 1"),
        ({"seed": -1}, "seed: is -1"),
        ({"shape": (4, 4)}, "no streak meets"),
    ],
)
def test_impossible_settings_are_refused(settings, said):
    with pytest.raises(SettingError, match=said):
        simulate_cbc(**{"frames": 1, **settings})


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"overlap": 1.0}, "overlap"), ({"rows": 0}, "rows 0"), ({"length": 1}, "length 1"), ({"frames": 0}, "frames")],
)
def test_impossible_random_streaks_are_refused(settings, said):
    with pytest.raises(SettingError, match=said):
        simulate_streaks(**settings)


def test_every_setting_is_documented():
    assert len(CBCSettings.model_fields) >= 26
    assert all(field.description for field in CBCSettings.model_fields.values())


def test_the_stored_case_has_the_same_streaks():
    path = shared_data("cbc/cbc_case.h5")
    with h5py.File(path) as file:
        basis, turns = file["geometry/basis_mat"][()], file["geometry/sample_rmats"][()]
        table = {name: file["table"][name][()] for name in ("frames", "x", "y", "h", "k", "l", "rp")}
        kin = file["scaler/kins"][()]
    settings = CBCSettings(frames=8)
    np.testing.assert_allclose(simulated_geometry.rotations(settings), turns, atol=1e-6)
    lattice = simulated_geometry.lattice(settings)
    for frame in (0, 6):
        rows = table["frames"] == frame
        theirs = np.stack([table[name][rows] for name in "hkl"], axis=1)
        ours, x, y, profile, u = simulated_geometry._of_frame(lattice, lattice @ basis @ turns[frame].T, settings)
        assert len({*map(tuple, theirs.tolist())} - {*map(tuple, lattice[ours].tolist())}) <= 1  # a corner of the pupil
        at = {tuple(row): i for i, row in enumerate(np.column_stack([lattice[ours], x, y]).tolist())}
        both = np.column_stack([theirs, table["x"][rows], table["y"][rows]]).tolist()
        pairs = np.array([(i, at[tuple(row)]) for i, row in enumerate(both) if tuple(row) in at]).T
        assert pairs.shape[1] > 0.8 * rows.sum()
        np.testing.assert_allclose(kin[rows][pairs[0], :2], u[pairs[1]], atol=2e-5)
        assert np.corrcoef(table["rp"][rows][pairs[0]], profile[pairs[1]])[0, 1] > 0.9
