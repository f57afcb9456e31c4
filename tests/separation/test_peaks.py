"""Peaks against plain loops, against truth, and the rules one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from crystint.errors import GeometryError, SettingError
from crystint.model.geometry import Geometry
from crystint.model.peaks import PeakFlag
from crystint.ops.separator import Separator
from crystint.ops.threshold import thresholds
from tests.oracles import peaks as oracle
from tests.oracles.significance import between


def flat_geometry(shape, **more):
    return Geometry(
        shape=shape,
        pixel_size=(1e-4, 1e-4),
        distance=more.pop("distance", 0.5),
        beam_center=(0.47 * shape[0], 0.53 * shape[1]),
        wavelength=1.0,
        **more,
    )


def spots(shape, slow, fast, sigma, photons):
    """Expected photons of Gaussian spots, integrated over the pixels."""
    image = np.zeros(shape)
    y, x = np.arange(shape[0] + 1), np.arange(shape[1] + 1)
    for one in zip(slow, fast, np.broadcast_to(photons, len(slow))):
        rows, columns = (
            np.diff(erf((edge - centre) / sigma / np.sqrt(2))) / 2 for edge, centre in ((y, one[0]), (x, one[1]))
        )
        near_y, near_x = rows > 1e-12, columns > 1e-12
        image[np.ix_(near_y, near_x)] += one[2] * np.outer(rows[near_y], columns[near_x])
    return image


def grid(shape, pitch, rng):
    """Positions anywhere in their pixel, far from one another."""
    slow, fast = (axis.ravel() for axis in np.mgrid[10 : shape[0] - 10 : pitch, 10 : shape[1] - 10 : pitch])
    return slow + rng.random(len(slow)), fast + rng.random(len(fast))


@pytest.mark.parametrize("patch", [3, 5])
@pytest.mark.parametrize("mean", [0.05, 0.8, 20.0])
def test_peaks_equal_plain_loops(engine, rng, mean, patch):
    shape = (90, 101)
    mask = rng.random(shape) < 0.03
    separator = Separator(flat_geometry(shape, polarization=0.9), mask, rings=8, engine=engine)
    slow, fast = (axis.ravel() + rng.random(axis.size) for axis in np.mgrid[3:90:14, 1:101:14])  # to the borders
    signal = spots(shape, slow, fast, 0.6, 40 + 6 * np.sqrt(mean) * rng.uniform(0.5, 4, len(slow)))
    frame = rng.poisson(mean * separator.rings.weight + signal).astype(np.int32)
    frame[rng.random(shape) < 0.02] = -1
    frame[30:60, 50] = -1
    frame[mask] = rng.integers(0, 500, mask.sum())
    background = separator.background(frame)
    peaks = separator.peaks(frame, patch=patch, background=background)

    def above(k):
        place, weight = separator.rings.position.ravel(), separator.rings.weight.ravel()
        return thresholds(background, place, weight, k).reshape(shape)

    valid = (frame >= 0) & ~mask
    reach = patch // 2
    maxima = oracle.maxima(frame, valid, frame >= above(5.0), frame > above(2.0), 3, reach)
    assert len(peaks) > 15
    tops = set(maxima)
    image = background.image() / separator.rings.weight
    phi, sem = (
        np.array([between(values, place) for place in np.nan_to_num(separator.rings.position.ravel())]).reshape(shape)
        for values in (background.excess, background.sem)
    )
    variance = phi * image / separator.rings.weight
    lonely = [p for p in tops if all(max(abs(p[0] - q[0]), abs(p[1] - q[1])) > 11 for q in tops if q != p)]
    assert len(lonely) > 10
    for top in lonely:  # nothing to merge with: each is a peak, and measured as the definition says
        near = np.hypot(peaks["slow"] - top[0] - 0.5, peaks["fast"] - top[1] - 0.5) < 3
        (peak,) = peaks[near]
        wanted = oracle.measure(
            top,
            frame,
            valid,
            frame > above(2.0),
            frame > above(3.0),
            separator.rings.weight,
            image,
            variance,
            sem[top],
            reach,
        )
        assert peak["intensity"] == pytest.approx(wanted[0], rel=1e-5, abs=1e-4)
        assert peak["sigma"] == pytest.approx(wanted[1], rel=1e-5)
        assert (peak["slow"], peak["fast"]) == pytest.approx(wanted[2:4], abs=1e-4)
        assert (peak["slow_sigma"], peak["fast_sigma"]) == pytest.approx(wanted[4:6], rel=1e-4, abs=1e-6)
        assert tuple(peak[["slow0", "slow1", "fast0", "fast1"]].tolist()) == wanted[6]
        assert peak["maximum"] == frame[top]
    for peak in peaks:  # and no peak is without a maximum
        assert any(max(abs(p[0] + 0.5 - peak["slow"]), abs(p[1] + 0.5 - peak["fast"])) < 5 for p in tops)


@pytest.mark.parametrize("mean", [0.1, 1.0, 10.0, 100.0])
def test_position_and_intensity_of_isolated_peaks(engine, rng, mean):
    """Unbiased within their sigma at SNR > 10; the spots lie within the neighbourhood (5 x 5)."""
    shape = (700, 720)
    separator = Separator(flat_geometry(shape), rings=60, engine=engine)
    slow, fast = grid(shape, 24, rng)
    photons = 250 + 60 * np.sqrt(mean)
    frame = rng.poisson(mean * separator.rings.weight + spots(shape, slow, fast, 0.45, photons)).astype(np.int32)
    peaks = separator.peaks(frame, patch=5)
    truth = np.stack([slow, fast], axis=1)
    distance = np.hypot(peaks["slow"][:, None] - truth[:, 0], peaks["fast"][:, None] - truth[:, 1])
    match = distance.argmin(axis=1)
    good = distance.min(axis=1) < 2
    assert good.all()
    assert len(np.unique(match)) == len(slow)
    assert np.median(peaks["snr"]) > 10
    offset = np.stack([peaks["slow"], peaks["fast"]], axis=1) - truth[match]
    assert np.sqrt(np.mean(offset**2)) < 0.15
    pull = offset / np.stack([peaks["slow_sigma"], peaks["fast_sigma"]], axis=1)
    assert 0.8 < pull.std() < 1.3  # the discrete pixel adds to counting statistics
    assert np.all(np.abs(offset.mean(axis=0)) < 4 * offset.std(axis=0) / np.sqrt(len(peaks)))
    weight = separator.rings.weight[truth[match, 0].astype(int), truth[match, 1].astype(int)]
    pull = (peaks["intensity"] - photons / weight) / peaks["sigma"]
    assert abs(pull.mean()) < 0.1
    assert 0.9 < pull.std() < 1.15


@pytest.mark.parametrize("width", [0.35, 0.6, 0.8])
@pytest.mark.parametrize("mean", [0.05, 2.0, 50.0])
def test_the_intensity_of_a_spot_of_any_width_is_not_biased(engine, rng, mean, width):
    """With the default neighbourhood, which holds 83 % of a spot of 0.8 px."""
    shape = (900, 920)
    separator = Separator(flat_geometry(shape), rings=60, engine=engine)
    slow, fast = grid(shape, 40, rng)
    photons = 400 + 80 * np.sqrt(mean)
    frame = rng.poisson(mean * separator.rings.weight + spots(shape, slow, fast, width, photons)).astype(np.int32)
    peaks = separator.peaks(frame)
    distance = np.hypot(peaks["slow"][:, None] - slow, peaks["fast"][:, None] - fast)
    match = distance.argmin(axis=1)
    assert len(peaks) == len(np.unique(match)) == len(slow)
    weight = separator.rings.weight[slow[match].astype(int), fast[match].astype(int)]
    pull = (peaks["intensity"] - photons / weight) / peaks["sigma"]
    assert abs(pull.mean()) < 0.1 + 2 / np.sqrt(len(peaks))
    assert 0.9 < pull.std() < 1.15


@pytest.mark.parametrize("width", [0.7, 1.0, 1.3])
def test_the_position_of_a_wide_spot_is_not_pulled_to_the_middle_of_a_pixel(engine, rng, width):
    """The centroid of 3 x 3 pixels alone is 0.11, 0.17 and 0.23 px rms off."""
    shape = (500, 520)
    separator = Separator(flat_geometry(shape), rings=50, engine=engine)
    slow, fast = grid(shape, 24, rng)
    frame = rng.poisson(1 + spots(shape, slow, fast, width, 1500)).astype(np.int32)
    peaks = separator.peaks(frame)
    assert len(peaks) == len(slow)
    distance = np.hypot(peaks["slow"][:, None] - slow, peaks["fast"][:, None] - fast)
    assert np.sqrt(np.mean(distance.min(axis=1) ** 2) / 2) < 0.06


def test_weak_spots_on_a_nearly_empty_frame(engine, rng):
    """20 photons over 5 pixels at a mean of 0.01 counts."""
    shape = (800, 820)
    separator = Separator(flat_geometry(shape), rings=500, engine=engine)
    slow, fast = (axis.ravel() for axis in np.mgrid[20:780:40, 20:800:40])
    signal = np.zeros(shape)
    for i, j in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
        signal[slow + i, fast + j] = 4
    peaks = separator.peaks(rng.poisson(0.01 + signal).astype(np.uint16))
    near = np.hypot(peaks["slow"][:, None] - slow - 0.5, peaks["fast"][:, None] - fast - 0.5) < 2
    assert near.any(axis=0).mean() >= 0.9
    assert (~near.any(axis=1)).sum() <= 2


@pytest.mark.parametrize("mean", [0.003, 0.03, 0.3, 3.0, 30.0])
def test_blank_frames_have_no_peaks(engine, rng, mean):
    separator = Separator(flat_geometry((700, 720)), rings=500, engine=engine)
    assert len(separator.peaks(rng.poisson(mean, (700, 720)).astype(np.uint16))) <= 2


def quiet(engine, shape=(60, 70), level=4, **more):
    """A separator and a frame of constant counts to put things on."""
    return Separator(flat_geometry(shape), rings=5, engine=engine, solid_angle=False, **more), np.full(
        shape, level, np.int32
    )


def test_of_equal_counts_the_lowest_pixel_number_is_the_peak(engine):
    separator, frame = quiet(engine)
    frame[20, 30:32] = 100
    frame[20, 29] = 24  # in the neighbourhood of (20, 30), not of (20, 31)
    (peak,) = separator.peaks(frame, connected=2)
    assert peak["slow"] == pytest.approx(20.5)
    assert peak["intensity"] == pytest.approx(96 + 96 + 20, rel=0.01)


@pytest.mark.parametrize("saturation", [None, 5000])
def test_a_plateau_is_one_peak_and_all_of_it_is_measured(engine, saturation):
    """pyFAI finds 36 peaks."""
    separator, frame = quiet(engine, saturation=saturation)
    frame[20:26, 30:36] = 5000
    (peak,) = separator.peaks(frame)
    assert bool(peak["flags"] & PeakFlag.SATURATED) == (saturation is not None)
    assert (peak["slow"], peak["fast"]) == pytest.approx((23.0, 33.0), abs=0.01)
    assert peak["intensity"] == pytest.approx(36 * 4996, rel=0.001)


def test_a_slanting_plateau_is_measured_to_its_end(engine):
    separator, frame = quiet(engine)
    for row in range(10):
        frame[20 + row, 40 - row : 52 - row] = 5000
    (peak,) = separator.peaks(frame)
    assert peak["intensity"] == pytest.approx(120 * 4996, rel=0.001)
    assert (peak["slow"], peak["fast"]) == pytest.approx((25.0, 41.5), abs=0.01)


def test_outskirts_end_four_pixels_from_the_maximum(engine):
    separator, frame = quiet(engine)
    frame[20, 30:41] = [4, 4, 40, 60, 80, 100, 80, 60, 40, 30, 25]
    (peak,) = separator.peaks(frame)
    excess = frame[20, 31:40] - 4.0
    assert peak["intensity"] == pytest.approx(excess.sum(), rel=1e-3)
    assert peak["fast"] == pytest.approx(np.sum(excess * (np.arange(31, 40) + 0.5)) / excess.sum(), abs=2e-3)


def test_a_ring_without_background_has_no_peaks(engine):
    geometry = flat_geometry((60, 70))
    separator = Separator(geometry, rings=10, saturation=1000, engine=engine)
    frame = np.full((60, 70), 4, np.int32)
    ring = np.clip(np.floor(separator.rings.position + 0.5), 0, 9)
    frame[ring == 4] = 2000
    peaks = separator.peaks(frame)
    assert np.isfinite(peaks["intensity"]).all()
    assert np.isnan(separator.background(frame).mean[4])


def test_connected_counts_the_pixel_itself(engine):
    separator, frame = quiet(engine)
    frame[20, 30] = 500
    assert len(separator.peaks(frame, connected=1)) == 1
    assert len(separator.peaks(frame, connected=2)) == 0
    frame[21, 31] = 100
    assert len(separator.peaks(frame, connected=2)) == 1
    assert len(separator.peaks(frame, connected=3)) == 0


def test_the_two_thresholds(engine):
    """At level 4: 2 sigma is 9.5 counts, 5 sigma 18 counts."""
    separator, frame = quiet(engine)
    frame[20, 30] = 25
    frame[20, 31] = frame[21, 30] = 12
    assert len(separator.peaks(frame, snr=5, snr_pick=2)) == 1
    assert len(separator.peaks(frame, snr=5, snr_pick=4.9)) == 0
    assert len(separator.peaks(frame, snr=15, snr_pick=2)) == 0


def test_one_spot_with_two_humps_is_one_peak_and_two_spots_are_two(engine):
    separator, frame = quiet(engine)
    frame[20, 28:35] = [40, 80, 100, 96, 99, 80, 40]  # a valley of 3 counts is noise
    (peak,) = separator.peaks(frame)
    assert peak["fast"] == pytest.approx(31.5, abs=0.2)
    frame[20, 28:36] = [60, 99, 96, 97, 100, 101, 99, 60]  # the way up from 99 passes 100 before it ends at 101
    assert len(separator.peaks(frame)) == 1
    for valley in (30, 60):  # a quarter of the lower one above its background is 24 counts
        frame[20, 28:36] = [40, 80, 100, valley, 99, 80, 40, 4]
        assert len(separator.peaks(frame)) == 2


def test_each_pixel_of_a_merged_spot_counts_once(engine):
    separator, frame = quiet(engine)
    values = np.array([30, 60, 100, 80, 99, 90, 70, 50])
    frame[20, 28:36] = values
    (peak,) = separator.peaks(frame)
    excess = values - 4
    assert peak["fast"] == pytest.approx(np.sum(excess * (np.arange(28, 36) + 0.5)) / excess.sum(), abs=0.002)
    assert peak["intensity"] == pytest.approx(excess.sum(), rel=0.002)


def test_a_pixel_as_far_from_two_spots_belongs_to_one_of_them(engine):
    """Two spots with a bridge between them: its middle is 3 px from both."""
    shape = (60, 70)
    geometry = Geometry(shape=shape, pixel_size=(1e-4, 1e-4), distance=0.5, beam_center=(28, 37), wavelength=1.0)
    separator = Separator(geometry, rings=5, solid_angle=False, engine=engine)
    frame = np.full(shape, 4, np.int32)
    frame[20, 30:37] = [400, 70, 60, 50, 61, 71, 380]
    peaks = separator.peaks(frame, connected=1)
    assert len(peaks) == 2
    sure = frame > 30
    touched = np.zeros(shape, bool)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            touched |= np.roll(sure, (i, j), (0, 1))
    expected = (frame - 4.0)[touched].sum()
    assert peaks["intensity"].sum() == pytest.approx(expected, rel=1e-3)
    assert peaks["intensity"][0] == pytest.approx((frame - 4.0)[20, 30:34].sum(), rel=1e-3)


def test_a_peak_at_a_masked_pixel_is_flagged_and_dropped_on_request(engine):
    """pyFAI flags it only without noise."""
    for noise in (0.0, 1.0, 3.0):
        separator, frame = quiet(engine)
        frame[20:22, 30:32] = [[90, 60], [60, 30]]
        assert separator.peaks(frame, noise=noise)["flags"][0] == 0
        frame[19, 30] = -1
        (peak,) = separator.peaks(frame, noise=noise)
        assert peak["flags"] == PeakFlag.MASKED
        assert len(separator.peaks(frame, noise=noise, strict_mask=True)) == 0
    mask = np.zeros((60, 70), bool)
    mask[19, 30] = True
    frame[19, 30] = 4
    separator = Separator(flat_geometry((60, 70)), mask, rings=5, engine=engine)
    assert separator.peaks(frame)["flags"][0] & PeakFlag.MASKED


@pytest.mark.parametrize(
    ("dtype", "bad"), [(np.uint16, 65535), (np.uint8, 255), (np.float32, np.inf), (np.float32, np.nan)]
)
def test_an_unusable_neighbour_is_no_maximum(engine, dtype, bad):
    separator, frame = quiet(engine)
    frame = frame.astype(dtype)
    frame[20:22, 30:32] = [[90, 60], [60, 30]]
    frame[19, 30] = bad
    (peak,) = separator.peaks(frame)
    assert peak["flags"] == PeakFlag.MASKED
    assert peak["maximum"] == 90


def test_a_peak_at_the_border_or_a_gap_is_flagged(engine):
    separator, frame = quiet(engine)
    frame[0, 30:32] = 90
    frame[1, 30] = 60
    (peak,) = separator.peaks(frame)
    assert peak["flags"] == PeakFlag.EDGE
    gap = np.zeros((60, 70), np.uint32)
    gap[21:25] = 1
    separator = Separator(flat_geometry((60, 70)), gap, rings=5, engine=engine)
    frame[:] = 4
    frame[19:21, 30:32] = [[50, 50], [90, 60]]
    assert separator.peaks(frame)["flags"][0] == PeakFlag.EDGE | PeakFlag.MASKED


def test_ice_and_resolution(engine):
    geometry = Geometry(
        shape=(400, 410),
        pixel_size=(2e-4, 2e-4),
        distance=0.1,
        beam_center=(200, 205),
        wavelength=1.0,
        polarization=0.9,
    )
    separator = Separator(geometry, rings=200, engine=engine)
    frame = np.full((400, 410), 4, np.int32)
    frame[np.abs(geometry.q() - 2 * np.pi / 3.661) < 0.02] = 6  # the ring stands out, and without it there is no ice
    places = []
    for d in (3.661, 3.2, 4.6):
        radius = 0.1 * np.tan(2 * np.arcsin(0.5 / d)) / 2e-4
        slow, fast = 200, int(205 + radius)
        frame[slow, fast - 1 : fast + 2] = [60, 200, 60]
        places.append((slow + 0.5, fast + 0.5))
    peaks = separator.peaks(frame)
    by_d = peaks[np.argsort(peaks["d"])]
    np.testing.assert_allclose(by_d["d"], [3.2, 3.661, 4.6], rtol=0.01)
    assert [bool(flags & PeakFlag.ICE) for flags in by_d["flags"]] == [False, True, False]
    assert not np.any(separator.peaks(np.where(frame == 6, 4, frame))["flags"] & PeakFlag.ICE)
    assert len(separator.peaks(frame, d_min=3.5)) == 2
    assert len(separator.peaks(frame, d_min=3.5, d_max=4.0)) == 1


def test_settings_are_checked(engine):
    separator, frame = quiet(engine)
    for wrong in (
        {"patch": 4},
        {"connected": 0},
        {"connected": 10},
        {"snr": 1.0},
        {"snr": -1},
        {"noise": -1},
        {"snr": "x"},
    ):
        with pytest.raises(SettingError, match=next(iter(wrong))):
            separator.peaks(frame, **wrong)
    no_wavelength = Geometry(shape=(60, 70), pixel_size=(1e-4, 1e-4), distance=1, beam_center=(30, 30))
    with pytest.raises(GeometryError, match="wavelength"):
        Separator(no_wavelength, rings=5, engine=engine).peaks(frame, d_min=2.0)
    assert len(Separator(no_wavelength, rings=5, engine=engine).peaks(frame)) == 0


def test_a_masked_array_and_an_empty_range_are_refused(engine):
    separator, frame = quiet(engine)
    with pytest.raises(SettingError, match="masked array"):
        separator.peaks(np.ma.array(frame, mask=frame > 3))
    with pytest.raises(SettingError, match="d_min is 5, above d_max = 3"):
        separator.peaks(frame, d_min=5, d_max=3)
