"""Spots through frames: against plain loops, against truth, and the rules one by one."""

from __future__ import annotations

import numpy as np
import pytest

import crystint
from crystint.errors import DTypeError, SettingError, ShapeError
from crystint.model.peaks import PeakFlag, PeakList, empty_peaks
from crystint.model.scan import Scan
from crystint.ops.joining import SpotJoiner, valleys
from tests.oracles import joining as oracle


def peak(frame: int, slow: float, fast: float, intensity: float = 100.0, **more: float) -> PeakList:
    """One peak with a box of three pixels."""
    one = empty_peaks(1)
    one["frame"], one["slow"], one["fast"], one["intensity"] = frame, slow, fast, intensity
    one["sigma"], one["significance"], one["d"], one["npix"] = np.sqrt(intensity), 50.0, 2.0, 4
    one["slow_sigma"] = one["fast_sigma"] = 0.1
    for axis, place in (("slow", slow), ("fast", fast)):
        one[f"{axis}0"], one[f"{axis}1"] = int(place) - 1, int(place) + 2
    for name, value in more.items():
        one[name] = value
    return one


def peaks(*ones: PeakList) -> PeakList:
    return np.concatenate([empty_peaks(), *ones])


def crowd(rng: np.random.Generator, frames: int, size: int, each: int) -> PeakList:
    """Peaks of reflections that drift, overlap and flicker."""
    rows = []
    for _ in range(each):
        slow, fast, first = rng.uniform(5, size - 5), rng.uniform(5, size - 5), int(rng.integers(-4, frames))
        drift, width = rng.normal(0, 0.4, 2), rng.uniform(0.5, 3)
        middle = first + rng.uniform(0, 8)
        for frame in range(max(first, 0), min(first + 9, frames)):
            intensity = 3e3 * np.exp(-(((frame + 0.5 - middle) / width) ** 2)) * rng.uniform(0.3, 1)
            if intensity < 20:
                continue
            place = np.array([slow, fast]) + drift * (frame - first) + rng.normal(0, 0.3, 2)
            one = peak(frame, *place, intensity, significance=rng.uniform(5, 30), maximum=rng.integers(5, 500))
            one["slow0"] -= rng.integers(0, 2)
            one["fast1"] += rng.integers(0, 2)
            rows.append(one)
    everything = peaks(*rows)
    return everything[np.lexsort((everything["slow"], everything["frame"]))]


def listed(found: PeakList, frames: int) -> list[list[dict[str, float]]]:
    """A list of dictionaries for each frame."""
    names = found.dtype.names or ()
    return [
        [dict(zip(names, row.tolist(), strict=True)) for row in found[found["frame"] == frame]]
        for frame in range(frames)
    ]


@pytest.mark.parametrize("seed", range(6))
def test_joining_equals_plain_loops(seed):
    rng = np.random.default_rng(seed)
    frames, size, each = [(12, 60, 40), (20, 200, 120), (15, 30, 60), (1, 60, 30), (9, 25, 80), (30, 80, 50)][seed]
    found = crowd(rng, frames, size, each)
    missing = set(rng.choice(frames, frames // 5, replace=False).tolist())
    starts = set(rng.choice(np.arange(1, frames), frames // 8, replace=False).tolist()) if frames > 1 else set()
    found = found[~np.isin(found["frame"], list(missing))]
    joiner, lists = SpotJoiner(5.0), []
    for frame in range(frames):
        if frame in missing:
            lists.append(joiner.missing())
        else:
            lists.append(joiner.add(frame, found[found["frame"] == frame], goes_on=frame not in starts))
    spots = np.concatenate([*lists, joiner.end()])
    # A frame that is missing cannot tell that it does not go on: the next one that is there does.
    wanted = oracle.chains(listed(found, frames), 5.0, starts - missing, missing)
    assert sum(len(chain) for chain, _ in wanted) == len(found) == spots["n_frames"].sum()
    assert len(spots) == len(wanted)
    rows = []
    for chain, cut in wanted:
        centre, error, intensity, sigma = oracle.measured(chain, cut)
        box = [
            *(min(one[f"{axis}0"] for one in chain) for axis in ("slow", "fast")),
            *(max(one[f"{axis}1"] for one in chain) for axis in ("slow", "fast")),
        ]
        most = max(one["maximum"] for one in chain)
        frames_of = [chain[0]["frame"], chain[-1]["frame"] + 1, len(chain)]
        rows.append([*centre, *error, intensity, sigma, *box, most, *frames_of, bool(cut)])
    names = ["slow", "fast", "z", "slow_sigma", "fast_sigma", "z_sigma", "intensity", "sigma"]
    names += ["slow0", "fast0", "slow1", "fast1", "maximum", "frame0", "frame1", "n_frames"]
    own = np.array([[*(row[name] for name in names), bool(row["flags"] & PeakFlag.CUT)] for row in spots], float)
    wanted_rows = np.array(rows, float)
    own, wanted_rows = (values[np.lexsort((values[:, 1], values[:, 0]))] for values in (own, wanted_rows))
    np.testing.assert_allclose(own, wanted_rows, rtol=1e-9, atol=1e-9)


def test_the_order_of_frames_and_of_the_list_is_the_same_thing(rng):
    found = crowd(rng, 20, 100, 60)
    spots = crystint.join_peaks(found)
    np.testing.assert_array_equal(crystint.join_peaks(found[np.argsort(found["fast"])]), spots)
    assert (np.diff(spots["frame0"]) >= 0).all()


def test_only_spots_that_may_go_on_are_held(rng):
    joiner = SpotJoiner(5.0)
    for frame in range(200):
        joiner.add(frame, peaks(*(peak(frame, 20 * i + 10 * (frame % 3), 30) for i in range(5))))
        assert len(joiner._rows) <= 3 * 5
    assert len(joiner.end()) == 10


@pytest.mark.parametrize(
    ("intensity", "cuts"),
    [
        ([40, 18, 40], []),  # noise
        ([1e4, 4e3, 1e4], [2]),
        ([1e4, 6e3, 1e4], []),
        ([1e4, 4e3, 2e3, 5e3, 1e4], [2]),
        ([1e4, 2e3, 4e3, 5e3, 1e4], [2]),
        ([9e3, 1e3, 9e3, 1e3, 8e3], [2, 4]),
        ([1, 5, 10, 50, 400, 50, 9, 2], []),
        ([5.0], []),
        ([5.0, 7.0], []),
    ],
)
def test_valleys_along_the_frames(intensity, cuts):
    values = np.array(intensity, float)
    assert valleys(values, np.sqrt(values)) == cuts
    assert len(oracle.cut([{"intensity": v, "sigma": v**0.5} for v in values])) == len(cuts) + 1


def test_two_reflections_that_overlap_in_neighbouring_frames_stay_two():
    """One ends where the other, 3 px away, begins; on the frame that has both each goes on as what is nearer."""
    found = peaks(
        *(peak(frame, 20.4, 30.2) for frame in (0, 1, 2)),
        *(peak(frame, 20.4, 33.2, fast0=31) for frame in (2, 3, 4)),
    )
    spots = crystint.join_peaks(found)
    assert spots["n_frames"].tolist() == [3, 3]
    assert spots["fast"] == pytest.approx([30.2, 33.2])
    # Without a frame that has both they are two as well, as neither centre lies in the other's box.
    assert len(crystint.join_peaks(found[found["frame"] != 2])) == 2


def test_a_spot_that_is_weak_goes_on_over_a_frame_and_a_strong_one_does_not():
    weak = peaks(peak(0, 20, 30, significance=6), peak(2, 20.2, 30, significance=40))
    strong = peaks(peak(0, 20, 30, significance=26), peak(2, 20.2, 30, significance=40))
    assert crystint.join_peaks(weak)["n_frames"].tolist() == [2]
    assert crystint.join_peaks(strong)["n_frames"].tolist() == [1, 1]
    assert crystint.join_peaks(strong, snr=20.0)["n_frames"].tolist() == [2]
    assert crystint.join_peaks(weak, min_frames=3).shape == (0,)


def test_a_missing_frame_is_bridged_and_two_are_not():
    found = peaks(peak(0, 20, 30), peak(2, 20.2, 30), peak(5, 20.4, 30))
    spots = crystint.join_peaks(found, missing=[1, 3, 4])
    assert spots["n_frames"].tolist() == [2, 1]
    assert spots[["frame0", "frame1"]].tolist() == [(0, 3), (5, 6)]
    assert spots["z"] == pytest.approx([1.5, 5.5])


def test_spots_end_where_the_scan_has_a_gap():
    found = peaks(*(peak(frame, 20, 30) for frame in range(6)))
    angles = np.array([[0.0, 0.1, 0.2, 0.5, 0.6, 0.7]])
    scan = Scan(("omega",), [[1.0, 0, 0]], angles, width=0.1)
    assert scan.follows.tolist() == [False, True, True, False, True, True]
    spots = crystint.join_peaks(found, scan=scan)
    assert spots[["frame0", "frame1"]].tolist() == [(0, 3), (3, 6)]
    assert (spots["flags"] & PeakFlag.CUT).all()
    assert crystint.join_peaks(found, scan=scan.select([0, 2, 4, 0, 2, 4]))["n_frames"].max() == 1


@pytest.mark.parametrize(
    ("angles", "width", "follows"),
    [
        ([359.8, 359.9, 0.0, 0.1], 0.1, [0, 1, 1, 1]),
        ([0.3, 0.2, 0.1, 0.0], -0.1, [0, 1, 1, 1]),
        ([0.0, 0.0, 0.0, 0.0], 0.1, [0, 0, 0, 0]),
        ([0.0, 0.1, 0.2, 0.3], 0.0, [0, 0, 0, 0]),
        ([0.0, 0.104, 0.2, 0.32], 0.1, [0, 1, 1, 0]),
        ([0.0, np.nan, 0.2, 0.3], 0.1, [0, 0, 0, 1]),
        ([0.0, 0.1, 0.3, 0.5], [0.1, 0.2, 0.2, 0.2], [0, 1, 1, 1]),
    ],
)
def test_which_frames_follow(angles, width, follows):
    scan = Scan(("omega", "kappa"), [[1.0, 0, 0], [0, 1.0, 0]], [angles, [5.0] * 4], width=width)
    assert scan.follows.tolist() == [bool(one) for one in follows]
    moved = Scan(("omega", "kappa"), [[1.0, 0, 0], [0, 1.0, 0]], [angles, [5.0, 6.0, 7.0, 8.0]], width=width)
    assert not moved.follows.any()


def test_a_spot_at_an_end_of_the_scan_says_so():
    found = peaks(
        *(peak(frame, 20, 30) for frame in (0, 1)),
        *(peak(frame, 60, 30) for frame in (1, 2)),
        peak(3, 90, 9),
        peak(2, 0, 0),
    )
    spots = crystint.join_peaks(found)
    cut = {int(spot["slow"]): bool(spot["flags"] & PeakFlag.CUT) for spot in spots}
    assert cut == {20: True, 60: False, 90: True, 0: False}
    z_sigma = {int(spot["slow"]): spot["z_sigma"] for spot in spots}
    assert z_sigma[20] == pytest.approx(np.hypot(z_sigma[60], 1.0))
    assert z_sigma[0] == pytest.approx(np.sqrt(1 / 12))


def test_what_cannot_be_joined():
    with pytest.raises(DTypeError, match="PEAK_DTYPE"):
        crystint.join_peaks(np.zeros(3))
    with pytest.raises(SettingError, match="min_frames is 0"):
        crystint.join_peaks(empty_peaks(), min_frames=0)
    with pytest.raises(ShapeError, match="2 frames, but there are peaks on frame 2"):
        crystint.join_peaks(peak(2, 9, 9), scan=Scan(("omega",), [[1.0, 0, 0]], [[0.0, 0.1]], width=0.1))
    assert crystint.join_peaks(empty_peaks()).shape == (0,)


def test_spots_of_a_turning_crystal(engine):
    """Reflections of known place and angle, some on top of others: found, placed, and not mixed up."""
    rng, shape, frames, background = np.random.default_rng(5), (260, 300), 24, 0.4
    n = 130
    truth = np.stack(
        [rng.uniform(8, shape[0] - 8, n), rng.uniform(8, shape[1] - 8, n), rng.uniform(-1, frames + 1, n)], 1
    )
    counts, width = rng.uniform(150, 3000, n), rng.uniform(0.4, 0.9, n)
    drift = rng.normal(0, 0.2, (n, 2))
    from scipy.special import ndtr

    stack = np.full((frames, *shape), background)
    for place, total, spread, move in zip(truth, counts, width, drift):
        z = np.arange(frames + 1)
        for frame, part in enumerate(np.diff(ndtr((z - place[2]) / spread))):
            if part < 1e-4:
                continue
            centre = place[:2] + move * (frame + 0.5 - place[2])
            rows, columns = (np.diff(ndtr((np.arange(shape[i] + 1) - centre[i]) / 0.8)) for i in (0, 1))
            stack[frame] += total * part * np.outer(rows, columns)
    geometry = crystint.Geometry(
        shape=shape, pixel_size=(1e-4, 1e-4), distance=0.1, beam_center=(130, 150), wavelength=1.0
    )
    separator = crystint.Separator(geometry, rings=40, solid_angle=False, engine=engine)
    images = rng.poisson(stack).astype(np.int32)
    found = np.concatenate([separator.peaks(image, number=number) for number, image in enumerate(images)])
    spots = crystint.join_peaks(found)
    distance = np.abs(spots[["slow", "fast", "z"]].tolist() - truth[:, None])
    near = (distance[..., :2].max(axis=2) < 1.0) & (distance[..., 2] < 0.75)
    alone = [  # no other reflection within 7 px and 4 frames, and not at an end of the scan
        (np.abs(truth[:, :2] - one[:2]).max(axis=1) > 7)
        | (np.abs(truth[:, 2] - one[2]) > 4)
        | (truth == one).all(axis=1)
        for one in truth
    ]
    whole = np.array([other.all() for other in alone]) & (truth[:, 2] > 1.5) & (truth[:, 2] < frames - 1.5)
    assert whole.sum() > 70
    assert (near.sum(axis=1)[whole] == 1).all()  # each has one spot, and no splinters beside it
    match = near.argmax(axis=1)[whole]
    offset = np.array([[spots[i][name] for name in ("slow", "fast", "z")] for i in match]) - truth[whole]
    assert np.sqrt(np.mean(offset[:, :2] ** 2)) < 0.1
    assert np.sqrt(np.mean(offset[:, 2] ** 2)) < 0.12
    pull = (spots["intensity"][match] - counts[whole]) / spots["sigma"][match]
    assert -2.0 < np.median(pull) < 0.5  # tails below SNR_peak are on frames that have no peak
    others = len(spots) - near.any(axis=0).sum()
    assert others < 0.1 * len(spots)
