"""The simulator against theory: Poisson's law, the error function, Ewald's construction."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from crystint.errors import CrystintError, GeometryError, SettingError
from crystint.model.geometry import Geometry, Panel
from crystint.model.mask import marker, unusable
from crystint.simulate import Lattice, PowderRing, Scene, ice_rings, simulate
from crystint.simulate.sample import meet, planes

SHAPE = (83, 117)


def flat(**changes: Any) -> Geometry:
    """A small detector with tilt and polarization."""
    values: dict[str, Any] = {
        "shape": SHAPE,
        "pixel_size": (172e-6, 150e-6),
        "distance": 0.02,
        "beam_center": (40.3, 61.7),
        "wavelength": 1.1,
        "rotation": (0.1, -0.2, 0.3),
        "polarization": 0.9,
    }
    return Geometry(**values | changes)


@pytest.mark.parametrize("level", [0.03, 1.7, 400.0])
def test_pixels_follow_poissons_law_about_the_mean(level: float) -> None:
    data = simulate(SHAPE, frames=40, background=level, solid_angle=False, geometry=flat(polarization=None))
    counts = data.frames.astype(float)
    assert np.allclose(data.background, level)
    n = counts.size
    assert abs(counts.mean() - level) < 4 * np.sqrt(level / n)
    assert counts.var() == pytest.approx(level, rel=5 * np.sqrt((2 + 1 / level) / n))
    expected = stats.poisson.pmf(np.arange(5), level)
    share = np.array([(counts == k).mean() for k in range(5)])
    assert np.all(np.abs(share - expected) < 5 * np.sqrt(expected / n) + 1 / n)


def test_the_mean_carries_solid_angle_and_polarization() -> None:
    geometry = flat()
    with_both = Scene(geometry, background=7.0).background_mean
    assert np.allclose(with_both, 7.0 * geometry.solid_angle() * geometry.polarization_factor(), rtol=1e-12)
    bare = Scene(geometry, background=7.0, solid_angle=False).background_mean
    assert np.allclose(bare, 7.0 * geometry.polarization_factor(), rtol=1e-12)
    assert np.ptp(geometry.polarization_factor()) > 0.05  # else this shows nothing


def test_background_as_fall_off_function_image_and_rings() -> None:
    geometry = flat()
    q = geometry.q()
    w = geometry.solid_angle() * geometry.polarization_factor()
    ring = PowderRing(q=1.6, width=0.02, strength=30.0)
    fall = Scene(geometry, background=12.0, falloff=1.5, rings=(ring,))
    crest = 30.0 * np.exp(-((q - 1.6) ** 2) / (2 * 0.02**2))
    assert np.allclose(fall.background_mean, (12.0 / (1 + q**2 / 2.25) + crest) * w)
    assert np.allclose(Scene(geometry, background=lambda x: 3 + x).background_mean, (3 + q) * w)
    assert np.allclose(Scene(geometry, background=q).background_mean, q * w)


def test_ice_rings_lie_where_ice_diffracts() -> None:
    rings = ice_rings(5.0)
    assert [round(2 * np.pi / ring.q, 3) for ring in rings[:3]] == [3.895, 3.661, 3.438]
    assert rings[0].strength == pytest.approx(5.0, rel=1e-3)


def test_a_peak_holds_its_photons_and_lies_where_the_truth_says() -> None:
    wanted = np.array([[20.25, 30.9, 1000.0], [50.5, 80.5, 250.0]])
    scene = Scene(flat(), background=0.0, peaks=wanted, width=0.9, solid_angle=False)
    mean, truth = scene.mean(), scene.truth()
    assert np.allclose(np.column_stack([truth["slow"], truth["fast"], truth["intensity"]]), wanted)
    assert truth["isolated"].all()
    normalised = mean / scene.weight
    slow, fast = np.indices(SHAPE) + 0.5
    for peak in truth:
        near = np.hypot(slow - peak["slow"], fast - peak["fast"]) < 12
        assert normalised[near].sum() == pytest.approx(peak["intensity"], rel=1e-6)
        assert mean[near].sum() == pytest.approx(peak["counts"], rel=1e-6)
        assert np.average(slow[near], weights=normalised[near]) == pytest.approx(peak["slow"], abs=1e-4)
        assert np.average(fast[near], weights=normalised[near]) == pytest.approx(peak["fast"], abs=1e-4)
    # one pixel against numerical integration of the Gaussian
    density = stats.norm(loc=[20.25, 30.9], scale=0.9)
    share, _ = integrate.dblquad(lambda f, s: np.prod(density.pdf([s, f])), 21, 22, 30, 31)
    assert normalised[21, 30] == pytest.approx(1000 * share, rel=1e-8)
    assert np.allclose(truth["d"], flat().d_at(truth["slow"], truth["fast"]))


def test_photons_found_are_photons_expected() -> None:
    data = simulate(SHAPE, frames=200, background=3.0, peaks=[[41.3, 60.2, 500.0]], seed=5)
    total = np.mean([frame[30:53, 49:72].sum() for frame in data])
    expected = data.scene.mean()[30:53, 49:72].sum()
    assert expected == pytest.approx(data.background[30:53, 49:72].sum() + data.scene.truth()["counts"][0])
    assert abs(total - expected) < 4 * np.sqrt(expected / 200)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "int32", "float32", "float64"])
def test_gaps_dead_and_hot_pixels(dtype: str) -> None:
    data = simulate(SHAPE, frames=2, background=20.0, modules=(30, 40), gaps=(5, 3), dead=11, hot=17, dtype=dtype)
    gap, dead, hot = (data.mask & 1) > 0, (data.mask & 2) > 0, (data.mask & 16) > 0
    assert gap[30:35].all()
    assert gap[:, 40:43].all()
    assert not gap[:30, :40].any()
    assert (dead.sum(), hot.sum()) == (11, 17)
    for frame in data:
        assert frame.dtype == np.dtype(dtype)
        assert np.array_equal(unusable(frame), gap)
        assert np.array_equal(frame[gap], np.full(gap.sum(), marker(np.dtype(dtype)), dtype), equal_nan=True)
        assert (frame[dead] == 0).all()
    assert np.median(data[0][hot]) > 100 or dtype == "uint8"
    good = data.mask == 0
    assert data[0][good].mean() == pytest.approx(data.background[good].mean(), abs=0.5)


def test_saturation_clips() -> None:
    peaks = [[40.5, 60.5, 1e6], [10.5, 10.5, 50.0]]
    free = simulate(SHAPE, peaks=peaks, seed=2)
    clipped = simulate(SHAPE, peaks=peaks, seed=2, saturation=500)
    assert np.array_equal(clipped[0], np.minimum(free[0], 500))
    assert (clipped[0] == 500).sum() > 5
    small = simulate(SHAPE, peaks=[[40.5, 60.5, 1e9]], dtype="uint16")
    assert small[0].max() == 65534  # 65535 would say: no measurement


def test_read_out_noise_widens_float_frames() -> None:
    data = simulate((200, 300), background=4.0, dtype="float32", readout_noise=3.0, solid_angle=False)
    assert data[0].var() == pytest.approx(data.background.mean() + 9.0, rel=0.03)
    assert (data[0] < 0).any()


def test_same_seed_same_bytes_in_any_order() -> None:
    settings: dict[str, Any] = {"background": 3.0, "peaks": 30, "hot": 5, "dead": 5, "dtype": "uint16"}
    first, second = (simulate(SHAPE, 4, seed=9, **settings) for _ in range(2))
    backwards = [second[i] for i in (3, 2, 1, 0)][::-1]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, backwards, strict=True))
    assert first.truth.tobytes() == second.truth.tobytes()
    assert first[0].tobytes() != first[1].tobytes()
    assert first[0].tobytes() != simulate(SHAPE, 4, seed=10, **settings)[0].tobytes()
    assert np.array_equal(first[-1], first[3])
    with pytest.raises(IndexError):
        first[4]


def test_isolated_means_far_from_everything() -> None:
    peaks = [[20, 20, 9], [20, 24, 9], [20, 60, 9], [1, 100, 9], [50, 77, 9], [200, 5, 9]]
    data = simulate(SHAPE, peaks=peaks, width=1.0, modules=(83, 80), gaps=(0, 5))
    truth = data.scene.truth()
    assert np.column_stack([truth["slow"], truth["fast"]]).tolist() == [
        [1, 100], [20, 20], [20, 24], [20, 60], [50, 77]
    ]  # fmt: skip
    assert truth["isolated"].tolist() == [False, False, False, True, False]


def test_lattice_spots_lie_on_the_ewald_sphere() -> None:
    geometry = flat(shape=(400, 500), beam_center=(190.0, 255.0))
    lattice = Lattice(cell=(40.0, 50.0, 60.0), mosaicity=0.001, d_min=2.0)
    scene = Scene(geometry, background=1.0, peaks=lattice, intensity=1e4, seed=4)
    truth = scene.truth()
    assert len(truth) > 100
    # back from pixels to the reciprocal lattice: all scattering vectors lie on planes of one lattice
    axes = geometry.positions()
    x, y, z = (axis[truth["slow"].astype(int), truth["fast"].astype(int)] for axis in axes)
    ray = np.column_stack([x, y, z]) / np.sqrt(x**2 + y**2 + z**2)[:, None]
    q = 2 * np.pi / geometry.wavelength * (ray - [0, 0, 1])
    length = np.linalg.norm(q, axis=1)
    assert length.max() < 2 * np.pi / 2.0 + 0.01
    assert np.allclose(length, 2 * np.pi / truth["d"], atol=0.03)  # pixel centres, so not exact
    grid = np.indices((21, 26, 31)).reshape(3, -1) / np.array([[40.0], [50.0], [60.0]])
    allowed = np.unique((grid**2).sum(axis=0))  # 1 / d^2 that this cell can give
    exact = 1 / truth["d"] ** 2
    at = np.clip(np.searchsorted(allowed, exact), 1, len(allowed) - 1)
    miss = np.minimum(abs(allowed[at] - exact), abs(allowed[at - 1] - exact))
    low = exact < 0.02  # few values there, so a random place would miss
    assert low.sum() > 3
    assert np.all(miss[low] < 2e-4)
    other = Scene(geometry, background=1.0, peaks=lattice, intensity=1e4, seed=4).truth(1)
    assert not np.array_equal(other["slow"][:5], truth["slow"][:5])


def test_lattice_that_turns_keeps_its_orientation() -> None:
    lattice = Lattice(cell=(40.0, 50.0, 60.0), rotation=1e-5)
    scene = Scene(flat(), peaks=lattice, intensity=1e5)
    first, second = scene.truth(0), scene.truth(1)
    common = [np.hypot(second["slow"] - s, second["fast"] - f).min() < 0.1 for s, f in first[["slow", "fast"]]]
    assert np.mean(common) > 0.9


def test_rays_meet_the_detector_where_its_pixels_are() -> None:
    geometry = flat()
    x, y, z = (axis[::7, ::11].ravel() for axis in geometry.positions())
    slow, fast, number = meet(planes(geometry), 3.7 * np.column_stack([x, y, z]))
    assert np.array_equal(number, np.arange(len(x)))
    expected = np.indices(SHAPE)[:, ::7, ::11].reshape(2, -1) + 0.5
    assert np.allclose([slow, fast], expected, atol=1e-9)
    assert len(meet(planes(geometry), -np.column_stack([x, y, z]))[0]) == 0  # behind the sample


def test_lattice_spots_lie_on_their_own_panel() -> None:
    whole = flat(shape=(200, 240), beam_center=(90.0, 125.0), rotation=(0.0, 0.0, 0.0))
    panels = tuple(
        Panel(rows, (0, 240), (-125 * 150e-6, (rows[0] - 90) * 172e-6, 0.02), (0, 172e-6, 0), (150e-6, 0, 0))
        for rows in ((0, 90), (100, 200))
    )
    split = flat(shape=(200, 240), beam_center=(90.0, 125.0), rotation=(0.0, 0.0, 0.0), panels=panels)
    lattice = Lattice(cell=(40.0, 50.0, 60.0))
    one, two = (Scene(geometry, peaks=lattice, seed=1) for geometry in (whole, split))
    off_gap = one.truth()
    off_gap = off_gap[(off_gap["slow"] < 90) | (off_gap["slow"] >= 100)]
    assert len(off_gap) > 50
    assert np.allclose(two.truth()["slow"], off_gap["slow"], atol=1e-9)
    assert np.allclose(two.truth()["fast"], off_gap["fast"], atol=1e-9)
    frame, _ = two.frame()
    assert np.array_equal(np.flatnonzero((frame < 0).all(axis=1)), np.arange(90, 100))
    assert np.array_equal(two.mask == 1, frame < 0)


def test_random_peaks_are_exponential_with_the_mean_asked_for() -> None:
    truth = simulate((300, 400), frames=20, peaks=200, intensity=50.0, background=0.0).truth
    assert len(truth) == 4000
    assert stats.kstest(truth["intensity"], "expon", args=(0, 50.0)).pvalue > 1e-3
    assert (np.diff(truth["frame"]) >= 0).all()


def test_memory_holds_one_frame() -> None:
    data = simulate((256, 256), frames=1000, background=1.0, dtype="uint16")
    data[0]
    tracemalloc.start()
    for i in range(30):
        data[i]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 256 * 256 * 8


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"bakground": 1.0}, "no setting 'bakground'"),
        ({"background": -1.0}, "background"),
        ({"background": np.ones((2, 2))}, "background"),
        ({"falloff": 0.0}, "falloff"),
        ({"peaks": -1}, "peaks"),
        ({"peaks": [[1.0, 2.0]]}, "peaks"),
        ({"peaks": [[1.0, 2.0, np.nan]]}, "peaks"),
        ({"intensity": 0.0}, "intensity"),
        ({"width": -0.1}, "width"),
        ({"modules": (0, 5)}, "modules"),
        ({"gaps": (-1, 5)}, "gaps"),
        ({"dead": -1}, "dead"),
        ({"hot": 10**6}, "dead"),
        ({"saturation": 0}, "saturation"),
        ({"readout_noise": 1.0}, "readout_noise"),
        ({"readout_noise": -1.0, "dtype": "float32"}, "readout_noise"),
        ({"dtype": "complex64"}, "dtype"),
        ({"dtype": ">u2"}, "dtype"),
        ({"dtype": "pixels"}, "dtype"),
        ({"rings": (PowderRing(1.0, 0.0, 1.0),)}, "ring"),
        ({"frames": -1}, "frames"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_settings_are_named(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        simulate(SHAPE, **settings)[0]


def test_what_is_laid_out_in_q_needs_a_wavelength() -> None:
    blind = flat(wavelength=None)
    assert Scene(blind, background=1.0, peaks=5).frame()[0].shape == SHAPE
    for settings in ({"falloff": 1.0}, {"rings": ice_rings(1.0)}, {"peaks": Lattice()}):
        with pytest.raises(GeometryError, match="wavelength"):
            Scene(blind, **settings)
    with pytest.raises(CrystintError, match="cell"):
        Lattice(cell=(0.0, 1.0, 1.0))


def test_no_frames_no_peaks_are_empty_arrays() -> None:
    none = simulate(SHAPE, frames=0, peaks=3)
    assert none.frames.shape == (0, *SHAPE)
    assert none.truth.shape == (0,)
    assert simulate(SHAPE).scene.truth().shape == (0,)
