"""Integration from frames to observations: simulated frames whose truth is known, and real ones against DIALS.

The expected values of the real frames are DIALS's own integration of them (`intensity.sum.value` in the .refl).
"""

from __future__ import annotations

import fabio
import numpy as np
import pytest

from crystint.errors import SettingError, ShapeError
from crystint.io.frames.sequence import open_frames
from crystint.io.reflections.dials_experiments import read_expt
from crystint.io.reflections.dials_table import read_table
from crystint.model.experiment import Experiment
from crystint.model.observations import Flag
from crystint.prediction.partiality import RockingWidth
from crystint.prediction.resolution import edge_resolution
from crystint.stills.integration.first_scale import expected_intensity
from crystint.stills.integration.integrate import integrate
from crystint.stills.integration.profile import ProfileWidths, core_moment
from crystint.stills.integration.shoeboxes import BoxRules
from crystint.stills.integration.spot_moments import SpotMoments
from crystint.stills.simulation.simulate import Crystal, SimulatedStills, StillsSettings
from tests.conftest import shared_data

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")  # not what is tested

WIDTH = RockingWidth(1.33e-3)
SPOT = 1.67e-3
D_MIN = 4.5
SMALL = {
    "crystal": Crystal(cell=(60.0, 72.0, 93.0, 90.0, 90.0, 90.0), space_group="P 21 21 21"),
    "shape": (301, 287),
    "distance": 0.12,
    "spot": SPOT,
    "domain": 1.33e-3,
    "d_min": D_MIN,
    "background": 2.0,
}


def simulated(**settings):
    data = SimulatedStills(StillsSettings(**{**SMALL, "frames": 16, "seed": 3, **settings}))
    return data, data.images()


def keys(image, hkl):
    shifted = hkl.astype(np.int64) + 500
    return ((image.astype(np.int64) * 1000 + shifted[:, 0]) * 1000 + shifted[:, 1]) * 1000 + shifted[:, 2]


def truth_of(data, observations):
    """True counts expected of each observation."""
    known = keys(data.truth.image, data.truth.hkl)
    order = np.argsort(known)
    place = order[np.searchsorted(known[order], keys(observations.image, observations.hkl))]
    assert np.array_equal(known[place], keys(observations.image, observations.hkl))
    return data.truth.signal[place]


@pytest.fixture(scope="module")
def plain():
    data, frames = simulated()
    return data, frames, integrate(frames, data.experiment, width=WIDTH, d_min=D_MIN)


@pytest.mark.parametrize("method", ["combined", "profile", "sum"])
@pytest.mark.parametrize("background", [0.05, 2.0, 60.0])
def test_intensities_have_no_bias_and_the_errors_that_are_claimed(method, background):
    data, frames = simulated(background=background)
    found = integrate(
        frames, data.experiment, width=WIDTH, d_min=D_MIN, method=method, reference=data.reference(), profile=None
    )
    seen = found.observations
    truth, good = truth_of(data, seen), seen.usable
    assert good.mean() > 0.97
    assert found.notes == {}
    assert found.warnings == ()
    for low, high in ((-1.0, 10.0), (10.0, 100.0), (100.0, 1000.0), (1000.0, 1e9)):
        rows = good & (truth >= low) & (truth < high)
        off = seen.intensity[rows] - truth[rows]
        assert abs(off.mean()) < 4.0 * off.std() / np.sqrt(rows.sum()) + 0.01 * truth[rows].mean()
        assert np.mean(off**2) / np.mean(seen.sigma[rows] ** 2) == pytest.approx(1.0, abs=0.25)
    assert np.all(seen.background_variance[good] <= seen.sigma[good] ** 2 * (1.0 + 1e-9))


def test_every_predicted_reflection_is_a_row(plain):
    data, _, found = plain
    seen = found.observations
    listed = data.listed
    wanted = np.intersect1d(keys(seen.image, seen.hkl), keys(listed.image, listed.hkl))
    assert len(wanted) > 0.995 * len(listed)
    assert len(wanted) > 0.995 * len(seen)
    assert np.all(np.diff(seen.image) >= 0)
    assert len(found.ring_pixels) == len(found.captured) == len(seen)
    assert found.ring_pixels[seen.usable].min() >= 20
    assert np.all(found.captured[seen.usable] > 0.6)
    np.testing.assert_allclose(
        seen.d, 1.0 / np.linalg.norm(np.einsum("nij,nj->ni", data.experiment.setting[seen.image], seen.hkl), axis=1)
    )
    known = keys(data.truth.image, data.truth.hkl)
    order = np.argsort(known)
    place = order[np.searchsorted(known[order], keys(seen.image, seen.hkl))]
    np.testing.assert_allclose(seen.partiality, data.truth.partiality[place], rtol=1e-6)
    np.testing.assert_allclose(seen.correction, (data.truth.polarization * data.truth.efficiency)[place], rtol=1e-6)
    np.testing.assert_allclose(seen.slow, data.truth.slow[place], atol=1e-3)


def test_known_intensities_make_better_sigmas(plain):
    data, frames, found = plain
    better = integrate(
        frames, data.experiment, width=WIDTH, d_min=D_MIN, profile=found.profile, reference=data.reference()
    ).observations
    truth = truth_of(data, better)
    weak = better.usable & (truth < 30.0)
    assert np.mean(((better.intensity - truth)[weak] / better.sigma[weak]) ** 2) == pytest.approx(1.0, abs=0.1)
    merged = [
        np.average((seen.intensity - truth)[weak], weights=seen.sigma[weak] ** -2.0)
        for seen in (found.observations, better)
    ]
    assert merged[0] < -0.4
    assert abs(merged[1]) < 0.35


@pytest.mark.parametrize(
    "settings",
    [{}, {"background": 60.0}, {"background": 0.05}, {"spot_ratio": 1.5}, {"spot_growth": 6e-3}, {"spot": 5e-3}],
)
def test_widths_are_those_of_the_spots(settings):
    data, frames = simulated(frames=10, **settings)
    found = integrate(frames, data.experiment, width=WIDTH, d_min=D_MIN).profile
    d = 1.0 / np.sqrt(found.center)
    spot = np.sqrt(settings.get("spot", SPOT) ** 2 + (settings.get("spot_growth", 0.0) / d) ** 2)
    ratio = np.sqrt(settings.get("spot_ratio", 1.0))
    np.testing.assert_allclose(found.at(d)[:, 0], spot * ratio, rtol=0.05)
    np.testing.assert_allclose(found.at(d)[:, 1], spot / ratio, rtol=0.05)
    assert np.mean(found.radial / (spot * ratio)) == pytest.approx(1.0, abs=0.02)
    assert found.spots.min() >= 20


def test_faint_spots_do_not_widen_the_profiles():
    """Those that are picked stand on noise that came out high over all the core: with errors of 0.6, 3 % too wide."""
    found = {0.2: [], 0.6: []}
    for background, intensity in ((16.0, 150.0), (60.0, 200.0)):
        crystal = Crystal(cell=(60.0, 72.0, 93.0, 90.0, 90.0, 90.0), space_group="P 21 21 21", intensity=intensity)
        data, frames = simulated(background=background, frames=40, crystal=crystal)
        moments = integrate(frames, data.experiment, width=WIDTH, d_min=D_MIN).moments
        for limit, ratios in found.items():
            widths = ProfileWidths.measure(moments, most_error=limit)
            ratios.append(np.mean([widths.radial, widths.tangential]) / SPOT)
    assert np.mean(found[0.2]) == pytest.approx(1.0, abs=0.01)
    assert np.mean(found[0.6]) > 1.012
    default = ProfileWidths.measure(moments)
    assert np.mean([default.radial, default.tangential]) / SPOT == found[0.2][-1]


def test_a_round_profile_has_one_width(plain):
    data, frames, _ = plain
    found = integrate(frames, data.experiment, width=WIDTH, d_min=D_MIN, round_profile=True).profile
    np.testing.assert_array_equal(found.radial, found.tangential)
    np.testing.assert_allclose(found.radial, SPOT, rtol=0.03)


def test_the_width_is_the_second_moment_of_two_axes():
    """R^2 = <|t|^2> = 2 <t_a^2> for exp(-t^2 / R^2), not R^2 = 2 <|t|^2>; and what a core of c R leaves of it."""
    t = (np.arange(-400, 400) + 0.5) / 100.0  # in widths
    square = t[:, None] ** 2 + t[None, :] ** 2
    weight = np.exp(-square)
    assert np.sum(weight * square) / np.sum(weight) == pytest.approx(1.0, abs=1e-5)
    assert np.sum(weight * t[:, None] ** 2) / np.sum(weight) == pytest.approx(0.5, abs=1e-5)
    for reach in (1.0, 2.5):
        core = weight * (square <= reach**2)
        assert np.sum(core * square) / np.sum(core) == pytest.approx(core_moment(reach), abs=2e-3)
        assert np.sum(core * t[:, None] ** 2) / np.sum(core) == pytest.approx(0.5 * core_moment(reach), abs=2e-3)


def test_moments_tell_where_spots_are(rng):
    data, frames = simulated(orientation_error=1e-3)
    found = integrate(frames, data.experiment, width=WIDTH, d_min=D_MIN)
    spots = found.moments
    known = keys(data.truth.image, data.truth.hkl)
    order = np.argsort(known)
    at = np.searchsorted(known[order], keys(spots.image, spots.hkl)).clip(0, len(known) - 1)
    place = order[at]
    same = known[place] == keys(spots.image, spots.hkl)
    assert same.mean() > 0.95
    strong = same & (spots.significance > 20.0)
    for axis in ("slow", "fast"):
        off = getattr(spots, f"centroid_{axis}") - getattr(data.truth, axis)[place]
        claimed = getattr(spots, f"sigma_{axis}")
        assert np.median(np.abs(off[strong])) < 0.08
        assert 0.6 < np.median(np.abs(off[strong] / claimed[strong])) / 0.6745 < 1.6
        assert 0.01 < np.median(claimed[strong]) < 0.15


def test_moments_and_their_widths_add(plain):
    _, _, found = plain
    halves = found.moments.select(found.moments.image < 8), found.moments.select(found.moments.image >= 8)
    both = halves[0] + halves[1]
    one, two = ProfileWidths.measure(both), ProfileWidths.measure(found.moments)
    np.testing.assert_array_equal(one.radial, two.radial)
    assert len(both) == len(found.moments)
    assert len(SpotMoments.join([])) == 0
    assert SpotMoments.join([]).hkl.shape == (0, 3)


def test_few_spots_make_few_shells(plain):
    _, _, found = plain
    spots = found.moments.select(np.argsort(found.moments.moment_error)[:50])
    assert len(ProfileWidths.measure(spots).spots) == 2
    assert len(ProfileWidths.measure(spots.select(np.arange(3))).spots) == 1
    with pytest.raises(SettingError, match="no strong spot"):
        ProfileWidths.measure(spots.select(np.zeros(0, int)))
    constant = ProfileWidths.constant(1e-3, 2e-3)
    np.testing.assert_array_equal(constant.at(np.array([1.0, 9.0])), [[1e-3, 2e-3]] * 2)
    for bad in ({"radial": np.array([0.0])}, {"spots": np.zeros(2, int)}, {"edges": np.array([1.0])}):
        columns = {
            "edges": np.array([0.0, 1.0]),
            "radial": np.ones(1),
            "tangential": np.ones(1),
            "spots": np.ones(1, int),
        }
        with pytest.raises(SettingError):
            ProfileWidths(**{**columns, **bad})


def test_threads_change_nothing(plain):
    data, frames, found = plain
    done = []
    again = integrate(frames, data.experiment, width=WIDTH, d_min=D_MIN, threads=3, progress=done.append)
    for name in found.observations.columns():
        np.testing.assert_array_equal(getattr(again.observations, name), getattr(found.observations, name), name)
    assert done == list(range(1, 17))


def test_images_need_not_be_in_the_order_of_the_frames(plain):
    data, frames, found = plain
    backwards = data.experiment.select(np.arange(16)[::-1])
    turned = integrate(frames, backwards, width=WIDTH, d_min=D_MIN, profile=found.profile).observations
    assert np.all(np.diff(turned.image) >= 0)
    known = keys(15 - turned.image, turned.hkl)
    order = np.argsort(known)
    np.testing.assert_array_equal(known[order], np.sort(keys(found.observations.image, found.observations.hkl)))
    wanted = found.observations.intensity[np.argsort(keys(found.observations.image, found.observations.hkl))]
    np.testing.assert_array_equal(turned.intensity[order], wanted)


@pytest.mark.parametrize(("ln_g", "b"), [(0.0, 0.0), (-2.0, 25.0), (3.0, -10.0)])
def test_what_a_reference_makes_expected(rng, ln_g, b):
    n = 3000
    d, full = rng.uniform(1.6, 8.0, n), rng.exponential(500.0, n) * rng.random(n)
    truth = np.exp(ln_g - 0.25 * b / d**2) * full
    dark = rng.uniform(20.0, 80.0, n)
    seen = truth + rng.normal(size=n) * np.sqrt(dark + truth)
    seen[:8] += 30000.0  # what does not belong there
    seen[8] = np.nan
    full[9] = np.nan
    found = expected_intensity(seen, dark, full, d, np.ones(n, bool))
    assert np.isnan(found[9])
    good = np.isfinite(found)
    assert good.sum() == n - 1
    np.testing.assert_allclose(found[good], truth[good], rtol=0.03, atol=1.0)
    few = np.arange(n) < 4
    assert np.isnan(expected_intensity(seen, dark, full, d, few)).all()
    assert np.isnan(expected_intensity(seen, dark, np.zeros(n), d, ~few)).all()


def test_weights_do_not_hang_on_the_noise_of_one_dark_ring(plain):
    data, frames = simulated(background=0.05)
    found = integrate(frames, data.experiment, width=WIDTH, d_min=D_MIN, background_floor=1e-3)
    seen, good = found.observations, found.observations.usable
    spread = np.std(np.log(seen.background_variance[good]))
    one_ring = np.std(np.log(np.maximum(seen.background[good], 1e-3)))
    assert spread < 0.7 * one_ring


def test_images_of_one_frame_keep_out_of_one_another(plain):
    data, frames = simulated(second_lattice=1.0, modules=(90, 90), saturation=2000.0, background=1.0)
    assert len(data.experiment) == 32
    found = integrate(
        frames,
        data.experiment,
        width=WIDTH,
        d_min=D_MIN,
        mask=data.settings.mask,
        saturation=1999.0,
        reference=data.reference(),
    )
    seen = found.observations
    for flag in (Flag.MASKED, Flag.SATURATED, Flag.OVERLAPPED, Flag.EDGE):
        assert 0 < np.count_nonzero(seen.flags & flag) < 0.4 * len(seen), flag.name
    truth, good = truth_of(data, seen), seen.usable
    off = (seen.intensity - truth)[good]
    assert np.median((off / seen.sigma[good]) ** 2) / 0.455 == pytest.approx(1.0, abs=0.15)
    lapped = good & ((seen.flags & Flag.OVERLAPPED) > 0) & (truth > 50.0)
    assert seen.intensity[lapped].sum() / truth[lapped].sum() == pytest.approx(1.0, abs=0.03)
    assert not np.any(seen.usable & ((seen.flags & Flag.SATURATED) > 0))


def test_what_is_wrong_with_an_image_stops_no_other(plain, tmp_path):
    data, frames, found = plain
    paths = []
    for number in range(5):
        paths.append(tmp_path / f"still_{number}.cbf")
        fabio.cbfimage.CbfImage(data=frames[number]).write(str(paths[-1]))
    paths[1].write_bytes(paths[1].read_bytes()[:20000])
    sound = data.experiment.select(np.arange(6))
    setting = sound.setting.copy()
    setting[2, :, 2] = setting[2, :, 1]
    setting[3] *= 40.0  # a cell so small that nothing is left
    experiment = Experiment(
        setting=setting,
        incident=sound.incident,
        detectors=sound.detectors,
        cell=sound.cell,
        space_group=sound.space_group,
        name=tuple(f"shot {number}" for number in range(6)),
    )
    done = integrate(open_frames(paths), experiment, width=WIDTH, d_min=D_MIN, profile=found.profile)
    assert sorted(set(done.observations.image.tolist())) == [0, 4]
    assert sorted(done.notes) == [1, 2, 3, 5]
    for number, words in ((1, "still_1"), (2, "singular"), (3, "no reflection"), (5, "there are 5 frames")):
        assert done.notes[number].startswith(f"shot {number}: ")
        assert words in done.notes[number]
    wanted = found.observations.select(found.observations.image == 4)
    np.testing.assert_array_equal(done.observations.select(done.observations.image == 4).intensity, wanted.intensity)


def test_frames_without_a_spot_are_integrated_with_a_guess(plain, rng):
    data, frames, _ = plain
    empty = rng.poisson(1.0, frames[:2].shape).astype(np.uint16)
    found = integrate(empty, data.experiment.select(np.arange(2)), width=WIDTH, d_min=D_MIN)
    assert "profiles are a guess" in found.warnings[0]
    significance = found.observations.intensity / found.observations.sigma
    assert abs(np.nanmean(significance)) < 0.3
    masked = integrate(
        frames[:1], data.experiment.select(np.arange(1)), width=WIDTH, d_min=D_MIN, mask=np.ones((301, 287))
    )
    assert "none of its" in masked.notes[0]
    assert not masked.observations.usable.any()
    assert np.all(masked.observations.flags & Flag.MASKED)


def test_a_crowd_of_small_spots(plain):
    """Cores of the first guess overlap everywhere; half as wide, they do not."""
    crowd = Crystal(cell=(280.0, 308.0, 336.0, 90.0, 90.0, 90.0), space_group="P 21 21 21")
    data, frames = simulated(crystal=crowd, frames=1, domain=2.5e-4, spot=9e-4, background=1.0)
    found = integrate(frames, data.experiment, width=RockingWidth(2.5e-4), d_min=D_MIN)
    assert found.warnings == ()
    assert found.profile.radial == pytest.approx(9e-4, rel=0.04)
    seen = found.observations
    truth, good = truth_of(data, seen), seen.usable
    strong = good & (truth > 50.0)
    assert good.mean() > 0.98
    assert np.mean((seen.flags & Flag.OVERLAPPED) > 0) > 0.05
    assert seen.intensity[strong].sum() / truth[strong].sum() == pytest.approx(1.0, abs=0.01)


def test_resolution_of_the_edge(plain):
    data, frames, found = plain
    panel = data.experiment.detectors[0].panels[0]
    corner = np.array(panel.origin)
    angle = np.arccos(corner @ data.experiment.incident[0] / np.linalg.norm(corner) * data.settings.wavelength)
    assert edge_resolution(data.experiment) == pytest.approx(data.settings.wavelength / (2.0 * np.sin(0.5 * angle)))
    wide = integrate(frames[:1], data.experiment.select(np.arange(1)), width=WIDTH, profile=found.profile)
    assert wide.observations.d.min() < D_MIN


def test_impossible_arguments_are_named(plain):
    data, frames, found = plain
    options = {"width": WIDTH, "d_min": D_MIN, "profile": found.profile}
    for bad, words in (
        ({"method": "magic"}, "method is 'magic'"),
        ({"threads": 0}, "threads is 0"),
        ({"strong": 0.0}, "strong is"),
        ({"noise": -1.0}, "noise"),
        ({"background_floor": 0.0}, "background_floor"),
    ):
        with pytest.raises(SettingError, match=words):
            integrate(frames, data.experiment, **{**options, **bad})
    with pytest.raises(ShapeError, match="frames are"):
        integrate(frames[:, :50], data.experiment, **options)


@pytest.fixture(scope="module")
def wedge():
    folder = shared_data("stills/l_cysteine_wedge")
    names = [folder / f"l-cyst_01_{number:05d}.cbf.bz2" for number in range(1, 11)]
    return open_frames(names)[:], read_expt(folder / "11_integrated.expt"), read_table(folder / "11_integrated.refl")


@pytest.mark.parametrize("method", ["combined", "profile", "sum"])
@pytest.mark.parametrize("round_profile", [False, True])
def test_real_frames_give_what_dials_gives(wedge, method, round_profile):
    """10 frames of 0.1 degrees as stills: summed over the frames, the intensities that DIALS finds in three dimensions.

    sigma_m of DIALS's profile model is 0.078 degrees; exp(-(e d / R)^2) has sqrt(2) times that.
    """
    frames, experiment, table = wedge
    width = RockingWidth(domain=5e-4, mosaicity=np.sqrt(2.0) * np.radians(0.0779))
    found = integrate(frames, experiment, width=width, band=2.5, method=method, round_profile=round_profile)
    seen = found.observations
    assert found.notes == {}
    summed = np.flatnonzero((table["flags"] >> 8) & 1)
    known = {tuple(table["miller_index"][row].tolist()): row for row in summed}
    assert len(known) == len(summed) == 63
    row = np.array([known.get(tuple(hkl), -1) for hkl in seen.hkl.tolist()])
    good = row >= 0
    total = np.bincount(row[good], seen.intensity[good], len(table))
    spoilt = np.bincount(row[good], (seen.flags[good] & Flag.excluding()) > 0, len(table)) > 0
    frames_seen = np.bincount(row[good], minlength=len(table))
    theirs, partial = table["intensity.sum.value"], table["partiality"]
    summed = np.isin(np.arange(len(table)), summed) & (frames_seen > 0) & ~spoilt
    for rows, least, correlation, largest in (
        (summed, 35, 0.999, 0.05),
        (summed & (partial > 0.95), 11, 0.9998, 0.03),
    ):
        x, y = theirs[rows], total[rows]
        assert len(x) >= least
        assert np.corrcoef(x, y)[0, 1] >= correlation
        assert np.abs(x - y).sum() / x.sum() <= largest
        assert 0.95 < (x @ y) / (x @ x) < 1.06


def test_real_frames_with_rules_of_any_kind(wedge):
    """The figures do not hang on how large cores and rings are."""
    frames, experiment, _ = wedge
    width = RockingWidth(domain=5e-4, mosaicity=np.sqrt(2.0) * np.radians(0.0779))
    sums = []
    for rules in (BoxRules(), BoxRules(reach=3.5), BoxRules(guard=1.0, ring_pixels=300)):
        found = integrate(frames, experiment, width=width, band=2.5, rules=rules).observations
        sums.append(found.intensity[found.usable].sum())
    np.testing.assert_allclose(sums, sums[0], rtol=0.02)
