"""What is told of an image beside its pixels, as the separator and the rows have it."""

from itertools import pairwise

import numpy as np
import pytest

import crystint
from crystint.model.frame_table import FrameStatus
from crystint.online import api_image_models
from crystint.online.result import RESULT_DTYPE, empty_results
from crystint.online.strip import Completeness
from tests.online.looking import FRAMES
from tests.online.streams import GEOMETRY, KEY
from tests.oracles.significance import threshold


@pytest.fixture(scope="module")
def separator():
    return crystint.Separator(GEOMETRY, None, 60, engine="cpu")


def got(images, path, model):
    answer = images.get(f"/api/v1{path}")
    assert answer.status_code == 200, answer.text
    getattr(api_image_models, model).model_validate(answer.json())
    return answer.json()


def test_about_is_the_row_and_the_detector(images, looked_at):
    about = got(images, "/images/1/about", "AboutModel")
    row = looked_at[2][1].row
    assert set(about["row"]) == set(RESULT_DTYPE.names)
    for name in ("frame", "n_spots", "maximum", "frame_sum", "total_intensity"):
        assert about["row"][name] == pytest.approx(row[name][0]), name
    assert about["row"]["shells"] == row["shells"][0].tolist()
    assert (about["shape"], about["dtype"]) == ([150, 170], "<u2")
    assert crystint.Geometry.from_dict(about["geometry"]) == GEOMETRY
    assert (about["panels"], about["laboratory"], about["hit"]) == (None, None, bool(row["hit"][0]))
    assert got(images, "/images/-1/about", "AboutModel")["image"] == 2


def test_regions_of_now_are_summed_on_an_image_that_came_before_them(images):
    assert got(images, "/images/1/about", "AboutModel")["rois"] == {}
    rois = crystint.Rois((
        crystint.Roi.box("a", slow=(20, 49), fast=(30, 79)),
        crystint.Roi.azimuthal("s", q_min=0.3, q_max=0.5, phi_min_deg=350, phi_max_deg=100),
    ))  # fmt: skip
    applied = images.put("/api/v1/rois", json=rois.to_dict()).json()
    try:
        now = got(images, "/images/1/rois", "RegionsNowModel")
        assert (now["image"], now["roi_version"]) == (1, applied["version"])
        for name, pixels in zip(rois.names, rois.members(GEOMETRY, FRAMES[1].shape).pixels, strict=True):
            counts = FRAMES[1].reshape(-1)[pixels].astype(np.int64)
            values = now["rois"][name]
            assert (values["sum"], values["max"], values["npixel"]) == (counts.sum(), counts.max(), len(pixels))
        assert got(images, "/images/1/about", "AboutModel")["rois"] == {}
    finally:
        images.put("/api/v1/rois", json={"rois": []})
    assert got(images, "/images/1/rois", "RegionsNowModel")["rois"] == {}
    assert images.get("/api/v1/images/999/rois").status_code == 404


def test_spots_are_those_of_the_series(images, looked_at, history):
    peaks = looked_at[2][0].peaks
    spots = got(images, "/images/0/spots", "SpotsModel")
    assert spots["source"] == "series"
    for name in ("slow", "fast", "intensity", "significance"):
        assert spots["spots"][name] == pytest.approx(peaks[name].tolist()), name
    history.current._spots.clear()
    again = got(images, "/images/0/spots", "SpotsModel")
    assert again["source"] == "again"
    assert again["spots"] == spots["spots"]


def test_a_spot_is_explained_by_its_pixels(images, looked_at, separator):
    peaks = looked_at[2][0].peaks
    background = separator.background(FRAMES[0])
    expected, phi = background.image(), background.excess
    for number, peak in enumerate(peaks):
        spot = got(images, f"/images/0/spots/{number}", "SpotModel")
        counts = np.array(spot["counts"])
        box = np.s_[spot["slow0"] : spot["slow0"] + counts.shape[0], spot["fast0"] : spot["fast0"] + counts.shape[1]]
        assert np.array_equal(counts, FRAMES[0][box])
        assert np.array(spot["background"]) == pytest.approx(expected[box])
        at = tuple(spot["strongest"])
        assert FRAMES[0][at] == peak["maximum"]
        inside = at[0] - spot["slow0"], at[1] - spot["fast0"]
        assert spot["significance"][inside[0]][inside[1]] == pytest.approx(peak["significance"], rel=1e-4)
        ring = int(np.floor(separator.rings.position[at] + 0.5))
        if np.ptp(phi[max(ring - 1, 0) : ring + 2]) < 1e-9:
            assert spot["threshold"] == pytest.approx(threshold(expected[at], phi[ring], spot["snr"]), rel=1e-3)
        assert spot["threshold"] < peak["maximum"]
        assert spot["threshold_pick"] < spot["threshold"]
        assert f"{peak['maximum']:.6g} counts" in spot["text"]
        names = [flag.name.lower() for flag in crystint.PeakFlag if peak["flags"] & flag]
        assert sorted(flag["name"] for flag in spot["flags"]) == sorted(names)
    answer = images.get(f"/api/v1/images/0/spots/{len(peaks)}")
    assert answer.status_code == 404
    assert f"has {len(peaks)} spots" in answer.json()["msg"]
    assert images.get("/api/v1/images/0/spots/-1").status_code == 404


def test_a_pixel_is_what_maps_and_background_say(images, separator):
    q, d, angle = GEOMETRY.q(), GEOMETRY.d(), np.degrees(GEOMETRY.two_theta())
    x, y, _ = GEOMETRY.positions()
    expected = separator.background(FRAMES[2]).image()
    for slow, fast in ((0, 0), (149.99, 169.5), (40.7, 120.2), (80, 33)):
        pixel = got(images, f"/images/2/pixel?slow={slow}&fast={fast}", "PixelModel")
        at = int(slow), int(fast)
        assert (pixel["slow"], pixel["fast"]) == at
        assert pixel["counts"] == pixel["stored"] == FRAMES[2][at]
        assert pixel["background"] == pytest.approx(expected[at])
        assert (pixel["q"], pixel["d"]) == pytest.approx((q[at], d[at]))
        assert pixel["two_theta_deg"] == pytest.approx(angle[at])
        assert pixel["phi_deg"] == pytest.approx(np.degrees(np.arctan2(y[at], x[at])) % 360)
        assert pixel["mask"] == []
    for query in ("slow=150&fast=3", "slow=-1&fast=3", "slow=nan&fast=1", "slow=1"):
        assert images.get(f"/api/v1/images/2/pixel?{query}").status_code == 400


def test_the_profile_is_that_of_the_rings(images, separator):
    profile = got(images, "/images/1/profile", "ProfileModel")
    background = separator.background(FRAMES[1])
    for name, values in (("background", background.mean), ("spread", background.std), ("q", background.q)):
        expected = [None if np.isnan(value) else value for value in values]
        assert profile[name] == pytest.approx(expected), name
    assert sum(profile["pixels"]) == pytest.approx(np.nansum(background.count))
    good = np.array(profile["q"], float) > 0
    assert np.array(profile["d"])[good] == pytest.approx(2 * np.pi / np.array(profile["q"])[good])


def test_a_histogram_counts_every_usable_pixel(images):
    part = FRAMES[0][10:60, 20:90]
    for bins in (1, 20, 1000):
        made = got(images, f"/images/0/histogram?slow=10:60&fast=20:90&bins={bins}", "HistogramModel")
        edges, counts = np.array(made["edges"]), np.array(made["counts"])
        assert len(edges) == len(counts) + 1 <= bins + 1
        assert (np.diff(edges) >= 1).all()
        expected = [int(((part >= low) & (part < high)).sum()) for low, high in pairwise(edges)]
        assert counts.tolist() == expected
        assert counts.sum() + made["unusable"] == part.size
    layer = got(images, "/images/0/histogram?layer=subtracted", "HistogramModel")
    assert sum(layer["counts"]) + layer["unusable"] == FRAMES[0].size
    assert images.get("/api/v1/images/0/histogram?layer=mask").status_code == 400


def test_hits_before_and_after(images, history):
    run = empty_results(3)
    run["frame"], run["hit"] = (3, 4, 7), (0, 1, 1)
    history.add(KEY, run)
    for image, direction, expected, held in (
        (0, "next", 1, True),
        (2, "next", 4, False),
        (4, "next", 7, False),
        (7, "next", None, False),
        (7, "previous", 4, False),
        (4, "previous", 2, True),
        (0, "previous", None, False),
        (-1, "previous", 4, False),
        (10**9, "previous", 7, False),
    ):
        hit = got(images, f"/images/{image}/hit?direction={direction}", "HitModel")
        assert (hit["image"], hit["held"]) == (expected, held), (image, direction)


def test_the_strip_counts_all_images(images):
    strip = got(images, "/strip", "StripModel")
    assert (strip["first"], strip["last"], strip["per"]) == (0, 2, 1)
    assert strip["status"] == {
        "ok": [1, 1, 1], "skipped": [0, 0, 0], "failed": [0, 0, 0], "missing": [0, 0, 0], "late": [0, 0, 0],
        "hit": [1, 1, 1],
    }  # fmt: skip
    assert images.get("/api/v1/strip?from=9").status_code == 400
    assert images.get("/api/v1/strip?series=no").status_code == 404


def slow_strip(rows, images, width, first, stop):
    per = -(-(stop - first) // width)
    last = {int(row["frame"]): row for row in rows}
    bins = {name: [0] * -(-(stop - first) // per) for name in ("ok", "skipped", "failed", "missing", "late", "hit")}
    for number in range(first, stop):
        row, at = last.get(number), (number - first) // per
        if row is None:
            bins["missing"][at] += number < images
            continue
        name = FrameStatus(row["status"]).name.lower()
        bins["ok" if name == "vetoed" else name][at] += 1
        bins["late"][at] += int(row["late"])
        bins["hit"][at] += row["hit"] == 1
    return per, bins


@pytest.mark.parametrize(("width", "first", "stop"), [(1000, 0, None), (7, 0, None), (50, 100, 4900), (3, 4998, 9000)])
def test_bins_of_the_strip_are_those_of_a_loop(width, first, stop):
    rng = np.random.default_rng(4)
    rows = empty_results(6000)
    rows["frame"] = rng.permutation(np.concatenate([np.arange(5000), rng.integers(0, 5000, 1000)]))[:6000]
    rows = rows[rows["frame"] % 11 != 3]
    rows["status"], rows["hit"] = rng.integers(0, 5, len(rows)), rng.integers(-1, 2, len(rows))
    rows["late"] = rng.random(len(rows)) < 0.1
    completeness = Completeness()
    for begin in range(0, len(rows), 700):
        completeness.add(rows[begin : begin + 700])
    expected = 5010
    made = completeness.strip(width, first, stop, expected)
    end = expected if stop is None else min(stop, expected)
    per, bins = slow_strip(rows, expected, width, first, end)
    assert (made["per"], made["first"], made["last"]) == (per, first, end - 1)
    assert {name: np.asarray(values).tolist() for name, values in made["status"].items()} == bins
    running = completeness.strip(10_000, 0, None, None)
    assert len(running["status"]["ok"]) == rows["frame"].max() + 1


def test_a_strip_of_a_million_images_is_bounded():
    completeness = Completeness()
    rows = empty_results(100_000)
    for first in range(0, 1_200_000, 100_000):
        rows["frame"] = np.arange(first, first + 100_000)
        completeness.add(rows)
    rows["frame"][:5] = 2**40
    completeness.add(rows[:5])
    made = completeness.strip(1000)
    assert (len(made["status"]["ok"]), made["per"], sum(made["status"]["ok"])) == (1000, 1200, 1_200_000)
    assert made["beyond"] == 5
    assert len(completeness._bits) <= 2**21
