"""Bad pixels from the statistics of frames: what was planted is found, and no reflection is taken for a defect.

The three places of the l-cysteine wedge, and the 54 spots: DIALS 3.12.1, ``dials.import l-cyst_01_*.cbf``,
``dials.find_spots imported.expt`` (strong.refl, xyzobs.px.value); ``dials.index imported.expt strong.refl`` gives a
cell of 5.4185 8.132 12.023 with which 0 -1 3, 2 -3 6 and 1 -2 5 are predicted within 1 px of the three places at images
-9, -2 and 3 of 0 to 14.
"""

from __future__ import annotations

import json

import fabio
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.spatial.distance import cdist, pdist

import crystint
from crystint.cli import main
from crystint.io.frames.masks import read_mask
from crystint.model.scan import Scan
from crystint.model.spot_rows import SPOT_DTYPE, spots_in
from crystint.ops.bad_pixels import MaskBit, Search, find_bad_pixels
from crystint.ops.bright_shapes import LEAK, is_alone, is_block, leaks
from crystint.ops.pixel_sums import PixelSums
from crystint.ops.places import (
    FEWEST,
    TURN,
    Verdict,
    at_places,
    limit_of,
    motion_of,
    places_of,
    third,
    zeta_at,
)
from crystint.ops.run_statistics import RunStatistics, add_background, no_rings
from tests.conftest import shared_data
from tests.separation.bad_pixel_frames import (
    GEOMETRY,
    SHAPE,
    frames_of,
    random_spots,
    separate_places,
    spoil,
    spot_image,
)

THREE = ((1002, 348), (1404, 330), (1206, 360))
DIALS_SPOTS = (
    (190.2, 408.2),
    (1191.1, 72.6),
    (1529.7, 154.6),
    (262.8, 447.3),
    (972.7, 696.4),
    (598.5, 319.1),
    (696.9, 777.6),
    (1004.2, 543.7),
    (1380.2, 549.7),
    (1559.1, 977.8),
    (788.8, 497.7),
    (853.7, 748.5),
    (1158.2, 720.1),
    (762.6, 651.5),
    (1413.2, 11.0),
    (1459.2, 633.5),
    (1412.6, 807.2),
    (1228.3, 1026.7),
    (448.7, 1022.5),
    (961.3, 1132.3),
    (1224.0, 799.3),
    (1093.8, 1430.4),
    (1090.4, 1075.3),
    (759.6, 650.5),
    (788.8, 876.7),
    (791.5, 1170.4),
    (1416.0, 1320.6),
    (735.1, 1076.6),
    (900.5, 1037.8),
    (873.2, 1367.2),
    (998.4, 351.5),
    (679.9, 992.2),
    (719.4, 460.1),
    (1413.5, 18.9),
    (1195.9, 562.5),
    (851.4, 1277.7),
    (90.7, 564.7),
    (1203.0, 1267.6),
    (1402.4, 333.4),
    (479.8, 790.6),
    (879.6, 596.4),
    (277.1, 896.7),
    (1166.7, 255.3),
    (983.2, 365.6),
    (1413.4, 19.6),
    (1246.5, 1367.8),
    (69.6, 1141.0),
    (677.8, 1436.0),
    (969.2, 696.6),
    (169.6, 599.3),
    (326.9, 483.7),
    (334.0, 1390.1),
    (598.9, 681.4),
    (1427.4, 1055.2),
)


def judged(engine, frames, *, scan=None, asked="auto", **search):
    """What is found in frames, and the peaks in them."""
    separator = crystint.Separator(crystint.Geometry(**GEOMETRY), rings=40, engine=engine)
    rings = separator.rings
    statistics = RunStatistics.zeros(rings.shape, frames.dtype, rings.rings)
    spots = [np.zeros(0, SPOT_DTYPE)]
    for number, frame in enumerate(frames):
        sparse, peaks = separator.separate(frame, 50.0, 5.0, number=number)
        sums, backgrounds = PixelSums.zeros(rings.shape, frames.dtype), no_rings(rings.rings)
        sums.add(frame, sparse.unusable_index)
        add_background(backgrounds, sparse.background)
        statistics.add(int(third(number, len(frames))), sums.arrays() | {"rings": backgrounds})
        spots.append(spots_in(peaks))
    spots = np.concatenate(spots)
    motion = motion_of(spots, len(frames), scan, asked)
    visits = float(np.maximum(spots["npix"], 9).sum()) / frames[0].size
    bad = find_bad_pixels(
        statistics, rings, separator.geometry, motion, limit_of(spots, motion, len(frames)), visits, Search(**search)
    )
    return bad, spots, motion


def share_found(mask, places):
    return np.mean([mask[place] != 0 for place in places])


def near(mask, spots, reach=3):
    """How many spots have a masked pixel about them."""
    return sum(
        bool(mask[int(slow) - reach : int(slow) + reach + 1, int(fast) - reach : int(fast) + reach + 1].any())
        for slow, fast, _ in spots
    )


def turning(frames, width):
    return Scan(("omega",), [[1.0, 0.0, 0.0]], [np.arange(frames) * width], width=width)


@pytest.mark.parametrize("kind", ["blank", "still", "crystals", "rotation"])
@pytest.mark.parametrize("background", [0.02, 3.0, 60.0])
def test_what_was_planted_is_found_and_nothing_else(engine, rng, kind, background):
    frames, spots = frames_of(rng, kind, 24, background)
    defects = spoil(rng, frames, background, spots[:, :2])
    bad, _, _ = judged(engine, frames, scan=turning(24, 0.5) if kind == "rotation" else None)
    kinds = ("hot", "flickering", "clusters") + (("dead",) if background >= 3.0 else ())
    assert share_found(bad.mask, defects.pixels(*kinds)) >= 0.99
    others = bad.mask.copy()
    for place in defects.all:
        others[place] = 0
    assert np.count_nonzero(others) <= 2
    assert near(others, spots) == 0


@pytest.mark.parametrize("width", [0.35, 0.7, 1.5])
@pytest.mark.parametrize("background", [0.003, 1.0, 100.0])
def test_no_reflection_of_a_still_crystal_is_masked(engine, rng, background, width):
    frames, spots = frames_of(rng, "still", 12, background, width=width)
    bad, peaks, motion = judged(engine, frames)
    assert not motion.moves
    assert near(bad.mask, spots) == 0
    places = places_of(peaks, 12, motion)
    assert len(places) > 20
    assert set(places["verdict"]) == {Verdict.UNKNOWN}


@pytest.mark.parametrize("background", [0.003, 0.03, 0.3, 3.0, 30.0, 100.0])
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_good_pixels_are_left_alone(engine, rng, background, dtype):
    frames = rng.poisson(background, (10, *SHAPE)).astype(dtype)
    if dtype == "float32":
        frames += rng.normal(0.0, 0.3, frames.shape).astype(dtype)
    bad, _, _ = judged(engine, frames, asked="yes")
    assert np.count_nonzero(bad.mask) <= 2  # one is expected at most


def test_pixels_that_respond_unequally_are_not_masked_for_their_number_of_frames(engine, rng):
    """3 % of flat-field error is 30 standard deviations of the sum of these frames."""
    response = rng.normal(1.0, 0.03, SHAPE)
    frames = rng.poisson(40.0 * response, (120, *SHAPE)).astype(np.uint16)
    bad, _, _ = judged(engine, frames)
    assert np.count_nonzero(bad.mask) <= 2


def test_a_weak_pixel_is_under_responding_and_one_that_is_stuck_is_dead(engine, rng):
    frames = rng.poisson(20.0, (15, *SHAPE)).astype(np.int32)
    frames[:, 40, 50] = rng.poisson(6.0, 15)
    frames[:, 60, 70] = 17
    frames[:, 80, 90] = -1
    bad, _, _ = judged(engine, frames)
    assert bad.mask[40, 50] == MaskBit.UNDER
    assert bad.mask[60, 70] == MaskBit.DEAD
    assert bad.mask[80, 90] == MaskBit.GAP


def test_counts_that_vary_more_than_they_can_are_noise(engine, rng):
    frames = rng.poisson(50.0, (60, *SHAPE)).astype(np.int32)
    places = separate_places(rng, 10)
    for slow, fast in places:
        frames[:, slow, fast] = np.maximum(rng.normal(50.0, 25.0, 60), 0)
    bad, _, _ = judged(engine, frames)
    assert share_found(bad.mask, places) >= 0.99
    assert all(bad.mask[place] == MaskBit.NOISY for place in places)
    assert np.count_nonzero(bad.mask) <= 12


def test_too_few_counts_for_dead_pixels_are_told_with_the_frames_that_are_needed(engine, rng):
    frames = rng.poisson(0.5, (10, *SHAPE)).astype(np.uint16)
    frames[:, 30, 40] = 0
    bad, _, _ = judged(engine, frames)
    assert bad.mask[30, 40] == 0
    (note,) = [text for text in bad.notes if text.startswith("dead pixels")]
    needed = int(note.split("; ")[1].split()[0])
    # exp(-E) times the pixels is one quarter of a false one: E = 12.5; some have less than the middle pixel
    assert 20 <= needed <= 35
    more = rng.poisson(0.5, (2 * needed, *SHAPE)).astype(np.uint16)
    more[:, 30, 40] = 0
    assert judged(engine, more)[0].mask[30, 40] == MaskBit.DEAD


def test_the_shadow_of_a_beam_stop_and_its_holder(engine, rng):
    slow, fast = np.ogrid[: SHAPE[0], : SHAPE[1]]
    radius = np.hypot(slow - 120, fast - 129)
    dark = (radius < 18) | ((np.abs(fast - 129) < 6) & (slow < 120))
    level = 4.0 + 40.0 * np.exp(-radius / 40.0)
    for scale, frames in ((1.0, 10), (0.05, 40)):
        data = rng.poisson(scale * np.where(dark, 0.05 * level, level), (frames, *SHAPE)).astype(np.uint16)
        bad, _, _ = judged(engine, data)
        stop = (bad.mask & MaskBit.USER) != 0
        assert stop[dark].mean() > 0.9
        grown = dark.copy()
        for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
            for step in range(1, 9):
                grown |= np.roll(dark, shift * step, axis)
        assert stop[~grown].mean() < 0.005
        none, _, _ = judged(engine, data, beam_stop=False)
        assert not (none.mask & MaskBit.USER).any()


def test_zeta_is_that_of_dials():
    """Of the geometry that dials.import reads: |e . (s1 x s0)| / |s1 x s0| with get_pixel_lab_coord."""
    with crystint.open_frames(shared_data("stills/l_cysteine_wedge/l-cyst_01_00001.cbf.bz2")) as frames:
        zeta = zeta_at(
            np.array([1002.56, 1403.74, 1206.04, 300.0]), np.array([348.08, 330.34, 359.34, 1000.0]),
            frames.scan, frames.geometry,
        )  # fmt: skip
    assert np.allclose(zeta, [0.69919, 0.21600, 0.38964, 0.77776], atol=1e-3)


def of_peaks(rng, frames, per_frame, steady_places=()):
    """Peaks at places of their own on every frame, and at some places on all."""
    rows = []
    for frame in range(frames):
        places = random_spots(rng, per_frame)[:, :2].tolist() + [
            (slow + rng.normal(0, 0.2), fast + rng.normal(0, 0.2)) for slow, fast in steady_places
        ]
        rows += [(frame, slow, fast, 100.0 + rng.normal(0, 10), 5) for slow, fast in places]
    return np.array(rows, SPOT_DTYPE)


def test_places_are_nowhere_nearer_than_peaks_of_one_place(rng):
    first = np.argwhere(np.ones((6, 8))) * 30.0 + rng.uniform(5.0, 8.0, (48, 2))
    apart, angle = rng.uniform(0.5, 4.0, 48), rng.uniform(0.0, 2 * np.pi, 48)
    second = first + apart[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    peaks = of_peaks(rng, 30, 1, np.concatenate([first, second]).tolist())
    places = places_of(peaks, 30, motion_of(peaks, 30, None, "yes"))
    at = np.column_stack([places["slow"], places["fast"]])
    assert pdist(at).min() >= 1.5
    assert (cdist(first, at).min(axis=1) < 1.5).all()
    far = apart > 2.3
    assert (cdist(second[far], at).min(axis=1) < 1.0).all()
    assert len(at) >= 48 + np.count_nonzero(far)


def test_places_persist_where_crystals_differ(rng):
    steady = [(50.5, 60.5), (150.2, 200.7)]
    peaks = of_peaks(rng, 30, 20, steady)
    motion = motion_of(peaks, 30, None)
    assert motion.moves
    places = places_of(peaks, 30, motion)
    places = places[places["verdict"] == Verdict.PERSISTS]
    assert np.allclose(np.column_stack([places["slow"], places["fast"]]), steady, atol=0.3)
    assert np.count_nonzero(at_places(peaks, places)) == 60


def test_nothing_persists_with_fewer_frames_or_a_crystal_that_does_not_move(rng):
    few = of_peaks(rng, FEWEST - 1, 20, [(50.5, 60.5)])
    assert not motion_of(few, FEWEST - 1, None).moves
    still = of_peaks(rng, 30, 2, random_spots(rng, 20)[:, :2])
    motion = motion_of(still, 30, None)
    assert not motion.moves
    assert set(places_of(still, 30, motion)["verdict"]) == {Verdict.UNKNOWN}
    assert motion_of(still, 30, None, "yes").moves
    assert not motion_of(of_peaks(rng, 30, 20), 30, turning(30, 0.1), "no").moves


def test_a_place_of_a_scan_persists_when_no_reflection_lasts_so_long(rng):
    geometry = crystint.Geometry(**GEOMETRY)
    flat, upright = (200.5, 128.7), (120.4, 230.5)  # zeta near 0 along the axis, which is y, and 1 across it
    for width, expected in ((0.05, Verdict.LASTS), (0.5, Verdict.PERSISTS)):
        scan = Scan(("omega",), [[0.0, 1.0, 0.0]], [np.arange(30) * width], width=width)
        peaks = of_peaks(rng, 30, 20, [flat, upright])
        motion = motion_of(peaks, 30, scan)
        assert limit_of(peaks, motion, 30) == TURN
        places = places_of(peaks, 30, motion, geometry)
        across, along = (
            places[np.argmin(np.hypot(places["slow"] - place[0], places["fast"] - place[1]))]
            for place in (upright, flat)
        )
        assert across["zeta"] > 0.99
        assert along["zeta"] < 0.01
        assert across["verdict"] == expected
        assert along["verdict"] == Verdict.LASTS


def test_a_place_that_rises_or_fades_is_a_reflection(rng):
    peaks = of_peaks(rng, 30, 20, [(50.5, 60.5)])
    at = at_places(peaks, np.array([(50.5, 60.5)], [("slow", "f8"), ("fast", "f8")]))
    peaks["intensity"][at] = 1000.0 * np.exp(-np.arange(30) / 6.0)
    (place,) = places_of(peaks, 30, motion_of(peaks, 30, turning(30, 0.5)))
    assert place["verdict"] == Verdict.FADES


def test_shapes_of_spots_are_no_blocks_whatever_their_width(rng):
    for width in np.linspace(0.3, 2.0, 200):
        center = 20 + rng.uniform(0, 1, 2)
        image = spot_image([(*center, 10 ** rng.uniform(3, 6))], width)
        inside = image > image.max() * 10 ** rng.uniform(-3, -0.1)
        slow, fast = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
        window = (slice(slow[0] - 1, slow[-1] + 2), slice(fast[0] - 1, fast[-1] + 2))
        assert not is_block(image[window], np.ones_like(image[window]), inside[window]), width
    block = np.zeros((5, 5))
    block[1:4, 1:4] = 500.0
    inside = block > 0
    assert is_block(block, np.ones_like(block), inside)
    block[1:4, 4] = 100.0  # a soft side
    assert not is_block(block, np.ones_like(block), inside)
    line = np.zeros((3, 6))
    line[1, 1:5] = 500.0
    assert is_block(line, np.ones_like(line), line > 0)
    pair = np.zeros((3, 4))
    pair[1, 1:3] = 500.0
    assert not is_block(pair, np.ones_like(pair), pair > 0)  # a narrow spot on the border of two pixels


@pytest.fixture(scope="module")
def wedge(tmp_path_factory):
    """The mask of the l-cysteine wedge, what the command says as JSON, and its peaks."""
    folder = shared_data("stills/l_cysteine_wedge")
    out = tmp_path_factory.mktemp("wedge")
    words = [str(folder / "*.cbf.bz2"), "-q"]
    made = CliRunner().invoke(main, ["mask", *words, "-o", str(out / "m.h5"), "--json"])
    assert made.exit_code == 0, made.output
    peaks = CliRunner().invoke(main, ["peaks", *words, "-o", str(out / "p.h5")])
    assert peaks.exit_code == 0, peaks.output
    return read_mask(out / "m.h5"), json.loads(made.stdout), crystint.read_peaks(out / "p.h5")


def test_the_places_of_the_wedge_are_found_and_told_to_be_reflections(wedge):
    _, about, _ = wedge
    for slow, fast in THREE:
        (place,) = [p for p in about["places"] if np.hypot(p["slow"] - slow, p["fast"] - fast) < 3]
        assert place["frames"] >= 11
        assert "reflection" in place["verdict"]


def test_no_spot_of_dials_is_masked_or_flagged_in_the_wedge(wedge):
    mask, _, peaks = wedge
    assert len(DIALS_SPOTS) == 54
    assert near(mask & ~np.uint32(MaskBit.GAP), [(*place, 1.0) for place in DIALS_SPOTS], reach=2) == 0
    assert not (peaks["flags"] & crystint.PeakFlag.PERSISTENT).any()


def test_the_beam_stop_of_the_wedge(wedge):
    """It is seen in the sum of the frames: rows 640 to 960, columns 170 to 235, and the holder above it."""
    mask, _, _ = wedge
    stop = (mask & MaskBit.USER) != 0
    assert (stop | (mask != 0))[730:960, 185:220].all()
    assert stop[450:600, 190:215].mean() > 0.9
    assert stop.sum() < 60_000
    assert not stop[:, 300:].any()


def run(*words, code=0):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def files(tmp_path, rng):
    """Frames of many crystals with defects as NumPy has them, and what a command needs to know besides."""
    frames, _ = frames_of(rng, "crystals", 18, 5.0)
    defects = spoil(rng, frames, 5.0)
    np.save(tmp_path / "frames.npy", frames)
    words = [tmp_path / "frames.npy", "--distance", "0.12", "--beam", "120.4,128.7", "--pixel-size", "172e-6"]
    return tmp_path, [*words, "--wavelength", "1.0", "--rings", "40"], frames, defects


def test_formats_of_masks_are_those_that_others_expect(files):
    folder, words, _, defects = files
    given = np.zeros(SHAPE, bool)
    given[0:5, 7] = True
    np.save(folder / "given.npy", given)
    names = [folder / name for name in ("m.h5", "m.tif", "m.npy", "m.png")]
    done = run("mask", *words, "-m", folder / "given.npy", *(word for name in names for word in ("-o", name)))
    assert " hot" in done.stdout
    with h5py.File(names[0]) as file:  # gzip: any HDF5 reads it
        bits = file["entry/instrument/detector/pixel_mask"][()]
        assert bits.dtype == np.uint32
        assert file["entry"].attrs["NX_class"] == "NXentry"
        assert file["entry/bad_pixels/dead"][()] == 12
    assert all(bits[place] == MaskBit.DEAD for place in defects.dead)
    assert all(bits[place] & MaskBit.OVER for place in defects.hot)
    assert all(bits[place] & MaskBit.CLUSTER for place in defects.clusters)
    assert (bits[0:5, 7] & MaskBit.USER).all()
    assert np.array_equal(read_mask(names[0]), bits)
    tiff = fabio.open(str(names[1])).data
    assert np.array_equal(tiff, bits != 0)  # 1 = masked, as pyFAI has it
    assert np.array_equal(np.load(names[2]), bits != 0)
    for name in names[:3]:
        told = run("peaks", *words, "-m", name, "-o", folder / "p.h5", "--overwrite").stdout
        assert f"{100 * np.count_nonzero(bits) / bits.size:.3g} %" in told
    assert "bit 3" in run("info", names[0]).stdout


def test_blocks_threads_and_a_cluster_give_the_same_mask(files, monkeypatch):
    folder, words, _, _ = files
    run("mask", *words, "-o", folder / "one.h5", "--threads", 1)
    run("mask", *words, "-o", folder / "four.h5", "--threads", 4)
    one, four = (read_mask(folder / name) for name in ("one.h5", "four.h5"))
    assert np.array_equal(one, four)


def test_a_missing_frame_is_told_by_its_number(files):
    folder, words, frames, _ = files
    with h5py.File(folder / "run.h5", "w") as file:
        data = file.create_dataset("entry/data/data", frames.shape, frames.dtype, chunks=(1, *SHAPE))
        for number in set(range(len(frames))) - {7}:
            data[number] = frames[number]
    done = run("mask", folder / "run.h5", *words[1:], "-o", folder / "m.h5", code=3)
    assert "1 of 18 frames could not be read and are recorded as missing: 7" in done.stderr
    with h5py.File(folder / "m.h5") as file:
        record = json.loads(file["entry/process/configuration/data"][()])
    assert record["missing"] == [7]


def test_peaks_on_places_that_persist_are_flagged_in_all_formats_and_dropped_on_request(files):
    folder, words, _, defects = files
    names = [folder / f"p{suffix}" for suffix in (".h5", ".cxi", ".refl", ".jsonl")]
    done = run("peaks", *words, *(word for name in names for word in ("-o", name)))
    peaks = crystint.read_peaks(names[0])
    flagged = (peaks["flags"] & crystint.PeakFlag.PERSISTENT) != 0
    middles = np.array(defects.clusters[4::9]) + 0.5
    for middle in middles:
        at = np.hypot(peaks["slow"] - middle[0], peaks["fast"] - middle[1]) < 1.5
        assert np.count_nonzero(at) >= 17
        assert flagged[at].all()
    assert np.count_nonzero(flagged) <= 40
    assert f"{np.count_nonzero(flagged)} peaks on 2 places that persist were flagged" in done.stdout
    for name in names[1:]:
        other = crystint.read_peaks(name)
        assert np.array_equal((other["flags"] & crystint.PeakFlag.PERSISTENT) != 0, flagged), name
    done = run("peaks", *words, "-o", folder / "d.h5", "--no-persistent")
    dropped = crystint.read_peaks(folder / "d.h5")
    assert len(dropped) == len(peaks) - np.count_nonzero(flagged)
    assert "were dropped" in done.stdout
    run("sparsify", *words, "-o", folder / "s.h5", "--peaks")
    with crystint.open_sparse(folder / "s.h5") as sparse:
        stored = np.concatenate([sparse.peaks])
    assert np.array_equal(stored["flags"], peaks["flags"])


def test_peaks_of_a_still_crystal_are_never_flagged(tmp_path, rng):
    frames, _ = frames_of(rng, "still", 20, 2.0)
    np.save(tmp_path / "frames.npy", frames)
    words = ["--distance", "0.12", "--beam", "120.4,128.7", "--pixel-size", "172e-6", "--wavelength", "1.0"]
    run("peaks", tmp_path / "frames.npy", *words, "-o", tmp_path / "p.h5", "--rings", "40")
    peaks = crystint.read_peaks(tmp_path / "p.h5")
    assert len(peaks) > 500
    assert not (peaks["flags"] & crystint.PeakFlag.PERSISTENT).any()


def test_places_that_are_asked_for_are_masked(tmp_path, rng):
    frames, spots = frames_of(rng, "still", 12, 2.0)
    np.save(tmp_path / "frames.npy", frames)
    words = [tmp_path / "frames.npy", "--distance", "0.12", "--beam", "120.4,128.7", "--pixel-size", "172e-6"]
    told = run("mask", *words, "-o", tmp_path / "m.npy", "--mask-places").stdout
    mask = np.load(tmp_path / "m.npy")
    strong = [spot for spot in spots if spot[2] > 300]
    assert all(mask[int(slow), int(fast)] for slow, fast, _ in strong)
    assert "places on half" not in told


def test_a_weak_excess_on_every_frame_is_hot_and_one_on_few_is_flickering(engine, rng):
    frames = rng.poisson(20.0, (60, *SHAPE)).astype(np.uint16)
    frames[:, 50, 60] = rng.poisson(36.0, 60)
    frames[::5, 90, 60] = rng.poisson(200.0, 12)
    bad, _, _ = judged(engine, frames, asked="yes")
    assert bad.mask[50, 60] == MaskBit.OVER
    assert bad.mask[90, 60] == MaskBit.NOISY


def test_a_spot_of_one_third_of_a_run_is_not_masked_though_crystals_change(engine, rng):
    frames, _ = frames_of(rng, "crystals", 30, 2.0)
    spot = spot_image([(100.4, 60.3, 600.0)], 0.8)
    frames[:10] += rng.poisson(spot, (10, *SHAPE)).astype(np.uint16)
    bad, _, motion = judged(engine, frames)
    assert motion.moves
    assert not bad.mask[96:105, 56:65].any()
    frames[10:] += rng.poisson(spot, (20, *SHAPE)).astype(np.uint16)
    assert judged(engine, frames)[0].mask[100, 60] & MaskBit.OVER


def test_spots_are_not_alone_whatever_their_width_and_place(rng):
    taken = 0
    for _ in range(400):
        image = spot_image([(*(20 + rng.uniform(0, 1, 2)), 10 ** rng.uniform(1.5, 4))], rng.uniform(0.3, 1.0))
        counts = rng.poisson(image[12:29, 12:29] + 0.5) - 0.5
        top = np.array([np.argmax(counts)])
        taken += int(is_alone(*leaks(counts, np.full(counts.shape, 0.5), top), counts.flat[top], LEAK)[0])
    assert taken <= 2
    hot = np.zeros((9, 9))
    hot[4, 4] = 40.0
    top = np.array([40])
    assert is_alone(*leaks(hot, np.full(hot.shape, 0.5), top), hot.flat[top], LEAK)[0]
