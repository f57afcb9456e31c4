"""Simulated stills: the truth against theory and a slow oracle, the pixels against their law."""

from __future__ import annotations

import json
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from scipy.special import erf
from scipy.stats import kstest

from crystint.errors import DTypeError, FileError, SettingError
from crystint.model.experiment import Experiment
from crystint.stills.inputs import read_experiment
from crystint.stills.simulation.crystal import random_rotations, small_rotations
from crystint.stills.simulation.files import write_frames
from crystint.stills.simulation.noise import fitted_variance
from crystint.stills.simulation.pixels import SIDE, profiles
from crystint.stills.simulation.simulate import Crystal, simulate_stills
from tests.oracles import stills_forward as oracle
from tests.stills.dials import run_dials_python

TETRAGONAL = Crystal(cell=(78.0, 78.0, 38.0, 90.0, 90.0, 90.0), space_group="P 4")
SMALL = {"shape": (420, 440), "distance": 0.06, "d_min": 3.0}


@pytest.fixture(scope="module")
def many():
    return simulate_stills(40, d_min=2.2, seed=1)


@pytest.mark.parametrize(
    ("space_group", "cell"),
    [
        ("P 21 21 21", (60, 70, 80, 90, 90, 90)),
        ("P 4", (78, 78, 38, 90, 90, 90)),
        ("P 31 2 1", (60, 60, 70, 90, 90, 120)),
        ("C 1 2 1", (80, 40, 50, 90, 105, 90)),
        ("P 1", (30, 35, 40, 80, 95, 100)),
        ("F 4 3 2", (90, 90, 90, 90, 90, 90)),
    ],
)
def test_a_lattice_is_complete_and_obeys_its_symmetry(space_group, cell):
    crystal = Crystal(cell=cell, space_group=space_group)
    lattice = crystal.lattice(4.03)
    operations = crystal.group.operations()
    limits = [int(edge / 4.0) + 1 for edge in cell[:3]]
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in limits), indexing="ij"), -1).reshape(-1, 3)
    grid = grid[np.any(grid != 0, axis=1)].astype(np.int32)
    d = np.asarray(gemmi.UnitCell(*cell).calculate_d_array(grid))
    inside = (d >= 4.03) & ~np.asarray(operations.systematic_absences(grid))
    assert {tuple(row) for row in lattice.hkl.tolist()} == {tuple(row) for row in grid[inside].tolist()}
    value = dict(zip(map(tuple, lattice.hkl.tolist()), lattice.intensity))
    for row in lattice.hkl[::37].tolist():
        for op in operations.sym_ops:
            mate = tuple(op.apply_to_hkl(row))
            assert value[mate] == value[tuple(row)]
            assert value[tuple(-i for i in mate)] == value[tuple(row)]
    assert np.allclose(lattice.d, gemmi.UnitCell(*cell).calculate_d_array(lattice.hkl))


def test_intensities_follow_wilson():
    crystal = Crystal(b_factor=20.0)
    lattice = crystal.lattice(1.7)
    epsilon = np.asarray(crystal.group.operations().epsilon_factor_array(lattice.unique_hkl))
    z = lattice.unique_intensity / (2000.0 * epsilon * np.exp(-10.0 / lattice.unique_d**2))
    for centric, second in ((False, 2.0), (True, 3.0)):
        chosen = z[lattice.centric == centric]
        n = len(chosen)
        assert n > 3000
        assert abs(chosen.mean() - 1.0) < 5 * np.sqrt((second - 1.0) / n)
        assert abs((chosen**2).mean() - second) < 6 * np.sqrt((20.0 if not centric else 96.0) / n)
    assert kstest(z[~lattice.centric], "expon").pvalue > 1e-3


def test_dead_shells_and_friedel_mates():
    crystal = Crystal(dead_below=2.5, anomalous=0.08)
    lattice = crystal.lattice(2.0)
    assert not lattice.intensity[lattice.d < 2.5].any()
    assert (lattice.intensity[lattice.d >= 2.5] > 0).all()
    value = dict(zip(map(tuple, lattice.hkl.tolist()), lattice.intensity))
    alive = (lattice.unique_d > 2.5) & ~lattice.centric
    plus = np.array([value[tuple(row)] for row in lattice.unique_hkl[alive].tolist()])
    minus = np.array([value[tuple(row)] for row in (-lattice.unique_hkl[alive]).tolist()])
    assert np.allclose(0.5 * (plus + minus), lattice.unique_intensity[alive])
    assert abs(((plus - minus) / lattice.unique_intensity[alive]).std() / 0.08 - 1) < 0.05
    row = tuple(lattice.unique_hkl[lattice.centric][10].tolist())
    assert value[row] == value[tuple(-i for i in row)]


def test_orientations_are_rotations_and_uniform():
    turns = random_rotations(4000, 5)
    assert np.allclose(turns @ np.swapaxes(turns, 1, 2), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(turns), 1.0)
    for i in range(3):
        for j in range(3):
            assert kstest(0.5 * (turns[:, i, j] + 1.0), "uniform").pvalue > 1e-4
    angle = np.arccos(np.clip(0.5 * (np.trace(turns, axis1=1, axis2=2) - 1.0), -1, 1))
    assert kstest(angle, lambda x: (x - np.sin(x)) / np.pi).pvalue > 1e-3
    small = small_rotations(2000, 2e-3, 5)
    vector = np.stack([small[:, 2, 1], small[:, 0, 2], small[:, 1, 0]], axis=1)
    assert np.allclose(vector.std(axis=0), 2e-3, rtol=0.06)


def test_what_is_excited_is_what_a_search_of_all_finds():
    data = simulate_stills(2, mosaicity=2e-3, bandwidth=0.002, wavelength_spread=0.002, seed=4, **SMALL)
    truth, s = data.truth, data.settings
    for image in range(2):
        rows = truth.select(truth.image == image)
        setting, s0 = data.setting[image], data.incident[image]
        wanted = oracle.excited(setting, s0, s.d_min, 3 * s.rocking(np.array([s.d_min]), 1.01)[0])
        assert set(map(tuple, rows.hkl.tolist())) <= set(wanted)
        found = dict(zip(map(tuple, rows.hkl.tolist()), range(len(rows))))
        operations = s.crystal.group.operations()
        for hkl in wanted:
            s1 = s0 + setting @ np.array(hkl, float)
            away = np.linalg.norm(s1) - np.linalg.norm(s0)
            d = 1 / np.linalg.norm(setting @ np.array(hkl, float))
            r0 = np.sqrt(1e-6 + (2e-3 / d) ** 2 + (0.002 / np.linalg.norm(s0)) ** 2 / (2 * d**4))
            x = 0.06 * s1 / -s1[2]
            fast, slow = x[0] / 172e-6 + 220, 210 - x[1] / 172e-6
            on = s1[2] < 0 and 0 <= fast < 440 and 0 <= slow < 420
            there = on and abs(away) <= 3 * r0 and not operations.is_systematically_absent(hkl)
            assert (hkl in found) == there, hkl
            if there:
                i = found[hkl]
                assert rows.excitation[i] == pytest.approx(away, abs=1e-13)
                assert rows.partiality[i] == pytest.approx(np.exp(-((away / r0) ** 2)), rel=1e-9)
                assert (rows.slow[i], rows.fast[i]) == pytest.approx((slow, fast), abs=1e-8)
                assert rows.listed[i] == (abs(away) <= 1.7 * r0)


def test_the_signal_is_the_product_of_its_factors(many):
    t, s = many.listed, many.settings
    cosine = -t.ray[:, 2]
    sine2 = 1 - cosine**2
    phi = np.arctan2(t.ray[:, 1], t.ray[:, 0])
    polarization = 1 - sine2 * (0.99 * np.cos(phi) ** 2 + 0.01 * np.sin(phi) ** 2)
    assert np.allclose(t.polarization, polarization)
    scale = np.exp(many.ln_g[t.image]) * np.exp(-many.b[t.image] / (4 * t.d**2))
    assert np.allclose(t.signal, scale * t.partiality * polarization * t.true_intensity)
    assert np.allclose(t.true_intensity, many.lattice.unique_intensity[t.unique])
    assert abs(many.ln_g.std() / 0.5 - 1) < 0.3
    assert s.frames == len(many.experiment)
    thick = simulate_stills(1, thickness=450e-6, attenuation=1400.0, **SMALL)
    t = thick.listed
    assert np.allclose(t.efficiency, 1 - np.exp(-0.63 / -t.ray[:, 2]))
    thin = simulate_stills(1, **SMALL).listed
    _, here, there = np.intersect1d(t.hkl @ [1, 1000, 10**6], thin.hkl @ [1, 1000, 10**6], return_indices=True)
    away = np.hypot(t.slow - 210, t.fast - 220)[here] - np.hypot(thin.slow - 210, thin.fast - 220)[there]
    assert len(here) > 50
    assert (away > 0).all()


def test_excitation_is_uniform_and_partiality_follows(many):
    t, s = many.listed, many.settings
    x = t.excitation / s.rocking(t.d, 1.0)
    # the density of reciprocal-lattice points about the sphere is level: |x| / band is uniform
    assert kstest(np.abs(x) / s.band, "uniform").pvalue > 1e-3
    wanted = 0.5 * np.sqrt(np.pi) * erf(s.band) / s.band
    assert abs(t.partiality.mean() - wanted) < 5 * t.partiality.std() / np.sqrt(len(t))
    # and their number: the volume of the shell over that of the reciprocal cell, on half the sphere at low angle
    full = simulate_stills(20, d_min=4.0, shape=(4000, 4000), distance=0.1)
    lengths = full.lattice.d
    wanted = np.sum(2 * 1.7e-3 * 0.5 * lengths * np.ones_like(lengths)) * 20
    assert abs(len(full.listed) / wanted - 1) < 0.05


def test_shoeboxes_hold_poisson_numbers_of_the_model(many):
    boxes, t = many.shoeboxes(), many.listed
    assert boxes.counts.dtype == np.uint16
    assert boxes.counts.shape == (len(t), SIDE, SIDE)
    alone = ~boxes.crowded & boxes.usable.all(axis=(1, 2))
    total = boxes.counts.sum(axis=(1, 2), dtype=float)
    expected = t.signal + SIDE**2 * t.background
    z = ((total - expected) / np.sqrt(expected))[alone]
    assert len(z) > 4000
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert abs(z.std() - 1) < 4 / np.sqrt(2 * len(z))
    ring = boxes.ring.astype(float)
    z = (ring - t.background[:, None]) ** 2 / t.background[:, None]
    assert abs(ring.mean() / t.background.mean() - 1) < 2e-3
    assert abs(z.mean() - 1) < 0.01
    everywhere = profiles(many, t.select(alone), boxes.slow[alone], boxes.fast[alone], SIDE)
    everywhere /= everywhere.sum(axis=(1, 2))[:, None, None]
    mean = everywhere * t.signal[alone][:, None, None] + t.background[alone][:, None, None]
    z = (boxes.counts[alone] - mean) ** 2 / mean
    assert abs(z.mean() - 1) < 6 * np.sqrt(2 / z.size) + 0.01


def test_neighbours_spill_into_shoeboxes_as_in_the_frame():
    data = simulate_stills(1, seed=2, second_lattice=1.0, spot=3e-3, **SMALL)
    t = data.listed
    boxes, lonely = data.shoeboxes(), data.shoeboxes(neighbours=False)
    assert boxes.crowded.mean() > 0.5
    assert not lonely.crowded.any()
    frame = np.pad(data.image(0), 20, mode="constant", constant_values=0)
    row, column = boxes.slow[:, None] + np.arange(13) + 20, boxes.fast[:, None] + np.arange(13) + 20
    seen = frame[row[:, :, None], column[:, None, :]]
    inside = boxes.usable.all(axis=(1, 2))
    assert inside.mean() > 0.8
    total = [values[inside & boxes.crowded].sum(dtype=float) for values in (boxes.counts, seen, lonely.counts)]
    assert total[0] == pytest.approx(total[1], rel=0.01)
    assert total[2] < 0.8 * total[0]
    assert len(t) == len(boxes.counts)


@pytest.mark.parametrize("ratio", [1.0, 1.8])
def test_profiles_are_those_of_the_oracle(ratio):
    data = simulate_stills(1, spot_ratio=ratio, spot_growth=2e-3, seed=2, **SMALL)
    t = data.listed.select(np.arange(0, len(data.listed), 9))
    slow, fast = np.floor(t.slow).astype(int) - 6, np.floor(t.fast).astype(int) - 6
    found = profiles(data, t, slow, fast, SIDE)
    for i in range(len(t)):
        rows, columns = np.meshgrid(slow[i] + np.arange(SIDE) + 0.5, fast[i] + np.arange(SIDE) + 0.5, indexing="ij")
        place = np.stack([(columns - 220) * 172e-6, (210 - rows) * 172e-6, np.full(rows.shape, -0.06)], axis=-1)
        width = np.hypot(1.2e-3, 2e-3 / t.d[i])
        wanted = oracle.profile(data.setting[0], data.incident[0], t.hkl[i], place, width, ratio)
        assert np.allclose(found[i], wanted, atol=1e-9)


def test_the_second_moment_of_a_spot_is_its_width():
    data = simulate_stills(2, d_min=2.5, oversampling=1, spot=2e-3)
    t = data.listed
    slow, fast = np.floor(t.slow).astype(int) - 10, np.floor(t.fast).astype(int) - 10
    found = profiles(data, t, slow, fast, 21)
    rows, columns = slow[:, None] + np.arange(21) + 0.5, fast[:, None] + np.arange(21) + 0.5
    x = (columns - 1231.5)[:, None, :] * 172e-6 + 0 * rows[:, :, None]
    y = (1263.5 - rows)[:, :, None] * 172e-6 + 0 * columns[:, None, :]
    u = np.stack([x, y, np.full_like(x, -0.15)], axis=-1)
    u /= np.linalg.norm(u, axis=-1)[..., None]
    offset2 = (1 + t.excitation[:, None, None]) ** 2 * (1 - np.einsum("nijk,nk->nij", u, t.ray) ** 2)
    moment = np.sum(found * offset2, axis=(1, 2)) / found.sum(axis=(1, 2))
    assert np.allclose(np.sqrt(moment), 2e-3, rtol=2e-3)
    assert np.allclose(t.spot_pixels, found.sum(axis=(1, 2)) ** 2 / np.sum(found**2, axis=(1, 2)), rtol=0.01)
    wide = profiles(simulate_stills(2, d_min=2.5, oversampling=3, spot=2e-3), t, slow, fast, 21)
    more = np.sum(wide * offset2, axis=(1, 2)) / wide.sum(axis=(1, 2)) - moment
    pixel = (172e-6 / 0.15) ** 2 / 6 * (1 - 1 / 9)
    assert 0.3 * pixel < more.min() <= more.max() < 1.05 * pixel


def test_frames_are_poisson_of_background_and_spots():
    data = simulate_stills(2, background=0.7, second_lattice=1.0, seed=6, **SMALL)
    assert data.frame.tolist() == [0, 0, 1, 1]
    frame = data.image(1)
    assert frame.dtype == np.int32
    assert np.array_equal(frame, simulate_stills(2, background=0.7, second_lattice=1.0, seed=6, **SMALL).image(1))
    mean = data.background.copy()
    rows, columns = np.meshgrid(np.arange(420) + 0.5, np.arange(440) + 0.5, indexing="ij")
    place = np.stack([(columns - 220) * 172e-6, (210 - rows) * 172e-6, np.full(rows.shape, -0.06)], axis=-1)
    half = 0.5 * np.arctan2(np.hypot(place[..., 0], place[..., 1]), 0.06)
    d = 0.5 / np.sin(half)
    s = 1 / d
    assert np.allclose(mean, 0.7 * (0.2 + np.exp(-(((s - 0.3) / 0.12) ** 2)) + 0.3 * np.exp(-((s / 0.1) ** 2))))
    t = data.truth.select(data.truth.image >= 2)
    whole = np.pad(mean, 20)
    first = [np.floor(v).astype(int) - 9 for v in (t.slow, t.fast)]
    shape = profiles(data, t, *first, 19)
    shape *= (t.signal / shape.sum(axis=(1, 2)))[:, None, None]
    for i in range(len(t)):
        whole[first[0][i] + 20 : first[0][i] + 39, first[1][i] + 20 : first[1][i] + 39] += shape[i]
    mean = whole[20:-20, 20:-20]
    assert frame.sum() == pytest.approx(mean.sum(), abs=5 * np.sqrt(mean.sum()))
    z = (frame - mean) ** 2 / mean
    assert abs(z.mean() - 1) < 0.03


def test_faults_of_detectors():
    data = simulate_stills(
        1, modules=(100, 150), gaps=(9, 5), saturation=60, zingers=2e-3, background=3.0, seed=8, **SMALL
    )
    frame = data.image(0)
    assert (frame[data.settings.mask != 0] == -1).all()
    assert frame.max() == 60
    plain = simulate_stills(1, background=3.0, seed=8, **SMALL)
    more = (frame[data.settings.mask == 0] > 40).mean() - (plain.image(0) > 40).mean()
    assert 0.5e-3 < more < 2.5e-3
    boxes = data.shoeboxes()
    row, column = boxes.slow[:, None] + np.arange(13), boxes.fast[:, None] + np.arange(13)
    padded = np.pad(data.settings.mask, 20, constant_values=1)
    gap = padded[(row + 20)[:, :, None], (column + 20)[:, None, :]] != 0
    assert not boxes.usable[gap].any()
    assert (boxes.counts[~boxes.usable & ~gap] == 60).all()
    assert (boxes.counts[boxes.usable] < 60).all()
    assert data.image(0, np.uint16)[data.settings.mask != 0].min() == 65535
    assert data.shoeboxes(np.float32).counts.dtype == np.float32
    with pytest.raises(DTypeError, match="uint8"):
        data.image(0, np.uint8)
    with pytest.raises(IndexError):
        data.image(1)


def test_observations_scatter_as_their_sigma_says(many):
    t = many.listed
    for noise in ("gaussian", "poisson"):
        found = many.observations(noise)
        z = (found.intensity - t.signal) / found.sigma
        assert abs(z.mean()) < 4 / np.sqrt(len(z))
        assert abs(z.std() - 1) < 0.02
    assert np.array_equal(many.observations("none").intensity, t.signal)
    found = many.observations(error_a=1.5, error_b=0.1)
    strong = t.signal > 300
    wanted = 1.5 * found.sigma**2 + (0.1 * t.signal) ** 2
    z = (found.intensity - t.signal) / np.sqrt(wanted)
    assert abs(z[strong].std() - 1) < 0.03
    assert abs(z[~strong].std() - 1) < 0.03
    wild = many.observations(outliers=0.05)
    assert abs(np.mean(wild.intensity != many.observations().intensity) - 0.05) < 0.01
    with pytest.raises(SettingError, match="noise"):
        many.observations("none of these")


@pytest.mark.parametrize("signal", [0.0, 1e-3, 3.0, 100.0, 1e4])
def test_the_variance_of_a_fit_is_its_sum_over_pixels(signal):
    y, x = np.mgrid[-12:12:0.1, -12:12:0.1]
    p = np.exp(-(x**2 + y**2) / 2.5**2)
    p *= 1 / (p.sum() * 0.01)
    # pixels a tenth wide: the sums are integrals, the area of a pixel is 0.01
    background, ring = 0.8, 100
    v = background + signal * p
    information = np.sum(p**2 / v) * 0.01
    wanted = 1 / information + (np.sum(p / v) * 0.01 / information) ** 2 * background / ring
    pixels = 1 / np.sum(p**2 * 0.01)
    found = fitted_variance(np.array([signal]), np.array([background]), np.array([pixels]), ring)[0]
    assert found == pytest.approx(wanted, rel=0.02)


def test_an_ambiguous_crystal_is_indexed_either_way():
    data = simulate_stills(30, crystal=TETRAGONAL, free_indexing=True, seed=3, **SMALL)
    plain = simulate_stills(30, crystal=TETRAGONAL, seed=3, **SMALL)
    other = data.other_indexing
    assert 5 < other.sum() < 25
    assert np.allclose(data.experiment.setting[~other], data.setting[~other])
    t, p = data.truth, plain.truth
    assert len(t) == len(p)
    r = np.einsum("nij,nj->ni", data.experiment.setting[t.image], t.hkl)
    s1 = r + data.incident[t.image]
    assert np.allclose(np.linalg.norm(s1, axis=1) - 1, t.excitation, atol=1e-12)
    assert np.allclose(np.sort(t.signal), np.sort(p.signal))
    value = dict(zip(map(tuple, data.lattice.hkl.tolist()), data.lattice.intensity))
    said = np.array([value[tuple(row)] for row in t.hkl.tolist()])
    assert np.array_equal(said == t.true_intensity, ~other[t.image] | (said == t.true_intensity))
    assert np.mean(said[other[t.image]] == t.true_intensity[other[t.image]]) < 0.2
    with pytest.raises(SettingError, match="one way only"):
        simulate_stills(1, free_indexing=True)


def test_an_orientation_error_is_in_what_is_said_only():
    data = simulate_stills(8, orientation_error=1e-3, seed=3, **SMALL)
    plain = simulate_stills(8, seed=3, **SMALL)
    assert np.array_equal(data.setting, plain.setting)
    assert np.array_equal(data.truth.signal, plain.truth.signal)
    found, exact = data.observations(), plain.observations()
    assert np.array_equal(found.intensity, exact.intensity)
    moved = np.hypot(found.slow - exact.slow, found.fast - exact.fast)
    assert 0.01 < np.median(moved) < 0.3
    assert 1e-5 < np.median(np.abs(found.excitation - exact.excitation)) < 5e-4


def test_references_are_as_good_as_asked(many):
    lattice = many.lattice
    exact = many.reference()
    assert np.array_equal(exact.intensity, lattice.unique_intensity)
    assert np.array_equal(exact.hkl, lattice.unique_hkl)
    off = np.log(many.reference(0.3).intensity / lattice.unique_intensity)
    assert abs(off.std() - 0.3) < 0.01
    mixed = many.reference(permuted=True).intensity
    assert np.array_equal(np.sort(mixed), np.sort(lattice.unique_intensity))
    near = lattice.unique_d > 3.0
    assert mixed[near].mean() == pytest.approx(lattice.unique_intensity[near].mean(), rel=0.05)
    assert abs(np.corrcoef(mixed * lattice.unique_d**0, lattice.unique_intensity)[0, 1]) < 0.5
    shell = (lattice.unique_d > 2.5) & (lattice.unique_d < 2.52)
    assert abs(np.corrcoef(mixed[shell], lattice.unique_intensity[shell])[0, 1]) < 0.3


def test_files_are_read_as_they_were_meant(tmp_path):
    data = simulate_stills(2, second_lattice=0.5, thickness=45e-5, attenuation=1200.0, seed=3, **SMALL)
    frames, beside = write_frames(data, tmp_path / "stills.h5")
    from crystint import open_frames

    read = open_frames(frames)
    assert len(read) == 2
    assert np.array_equal(read[1], data.image(1))
    assert read.geometry.beam_center == pytest.approx((210.0, 220.0))
    content = json.loads(beside.read_text())
    assert len(content["experiment"]) == len(data.experiment)
    found, meant = read_experiment(beside), data.experiment
    assert np.allclose(found.setting, meant.setting, atol=1e-15)
    assert np.allclose(found.incident, meant.incident)
    assert found.frame.tolist() == meant.frame.tolist()
    assert found.space_group.xhm() == "P 21 21 21"
    assert found.polarization_fraction == 0.99
    assert found.detectors[0].thickness == pytest.approx(45e-5)
    assert found.detectors[0].attenuation == pytest.approx(1200.0)
    assert found.detectors[0].panels[0].origin == pytest.approx(meant.detectors[0].panels[0].origin)
    with pytest.raises(FileError, match="exists"):
        write_frames(data, frames)
    first = frames.read_bytes(), beside.read_bytes()
    write_frames(data, frames, overwrite=True)
    assert (frames.read_bytes(), beside.read_bytes()) == first


def test_dials_predicts_the_same_places(tmp_path):
    data = simulate_stills(2, second_lattice=1.0, thickness=45e-5, attenuation=1200.0, seed=3, **SMALL)
    write_frames(data, tmp_path / "stills.h5")
    t = data.listed
    np.savez(tmp_path / "truth.npz", image=t.image, hkl=t.hkl, slow=t.slow, fast=t.fast)
    script = """
import numpy as np
from dxtbx.model.experiment_list import ExperimentListFactory
from scitbx import matrix
truth = np.load("truth.npz")
worst = 0.0
for number, entry in enumerate(ExperimentListFactory.from_json_file("stills.expt")):
    a, s0, panel = matrix.sqr(entry.crystal.get_A()), matrix.col(entry.beam.get_s0()), entry.detector[0]
    for row in np.flatnonzero(truth["image"] == number):
        s1 = s0 + a * matrix.col([float(i) for i in truth["hkl"][row]])
        fast, slow = panel.get_ray_intersection_px(s1.normalize())
        worst = max(worst, abs(fast - truth["fast"][row]), abs(slow - truth["slow"][row]))
    assert entry.crystal.get_space_group().type().number() == 19
    assert entry.imageset.get_raw_data(0)[0].all() == (420, 440)
print(worst)
"""
    assert float(run_dials_python(script, tmp_path)) < 1e-9


def test_rotation_data_is_no_still(tmp_path):
    from crystint.io.reflections.dials_experiments_out import write_dials_experiments

    experiment = simulate_stills(2, **SMALL).experiment
    fields = {name: getattr(experiment, name) for name in ("setting", "incident", "detectors", "cell", "space_group")}
    with pytest.raises(SettingError, match="rotation"):
        write_dials_experiments(tmp_path / "a.expt", Experiment(**fields, sweep=experiment.setting * 0), "a.h5")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"domain": 0.0}, "all 0"),
        ({"d_min": -1.0}, "d_min"),
        ({"background": -1.0}, "background"),
        ({"background": float("nan")}, "background"),
        ({"reach": 1.0}, "reach"),
        ({"zingers": 2.0}, "zingers"),
        ({"shape": (0, 5)}, "shape"),
        ({"saturation": 0.0}, "saturation"),
        ({"colour": "blue"}, "no setting 'colour'"),
        ({"d_min": 500.0}, "no reflection"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        len(simulate_stills(1, **settings).truth)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"space_group": "P 99"}, "gemmi does not know"),
        ({"space_group": "P 4"}, "does not fit"),
        ({"cell": (1, 2, 3, 0, 0, 0)}, "volume|fit"),
        ({"intensity": 0}, "intensity"),
        ({"anomalous": 1.0}, "anomalous"),
    ],
)
def test_impossible_crystals_are_named(values, message):
    with pytest.raises(SettingError, match=message):
        replace(Crystal(), **values)


def test_equal_seeds_give_equal_numbers():
    one, two, other = (simulate_stills(3, seed=seed, **SMALL) for seed in (1, 1, 2))
    assert np.array_equal(one.observations().intensity, two.observations().intensity)
    assert np.array_equal(one.shoeboxes().counts, two.shoeboxes().counts)
    assert len(one.truth) != len(other.truth)


def test_many_observations_are_quick():
    data = simulate_stills(500, d_min=2.75, reach=1.7)
    assert len(data.observations()) > 200_000
