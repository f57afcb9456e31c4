"""Regions of interest: which pixels belong to them, and the documents that they are told in."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest

import crystint
from crystint.errors import SettingError
from crystint.model.roi_members import phi_axes, phi_convention
from crystint.model.rois import ROI_COLUMNS, ROI_DTYPE, Roi, Rois, empty_roi_values
from tests.oracles import rois as oracle

GEOMETRY = crystint.Geometry(
    (83, 61), pixel_size=(1e-4, 1.3e-4), distance=0.03, beam_center=(40.3, 28.9), wavelength=1.1
)


def random_geometry(rng, panels=False):
    """An odd detector, turned; or several panels beside and before one another, with gaps."""
    shape = tuple(int(n) for n in rng.integers(20, 90, 2))
    beam = tuple(rng.uniform(0.1, 0.9, 2) * shape)
    common = {
        "pixel_size": tuple(rng.uniform(5e-5, 2e-4, 2)), "distance": rng.uniform(0.01, 0.05), "beam_center": beam,
        "wavelength": rng.uniform(0.5, 2.0),
    }  # fmt: skip
    if not panels:
        return crystint.Geometry(shape, rotation=tuple(rng.uniform(-0.3, 0.3, 3)), beam_outside=True, **common)
    middle = shape[1] // 2
    pieces = []
    for fast in ((0, middle - 2), (middle + 1, shape[1])):
        origin = ((fast[0] - beam[1]) * 1e-4, -beam[0] * 1e-4, 0.02 + rng.uniform(0, 0.005))
        tilt = rng.uniform(-0.1, 0.1)
        step = (-1e-4 * math.sin(tilt), 1e-4 * math.cos(tilt), 0.0)
        pieces.append(
            crystint.Panel((0, shape[0]), fast, origin, step, (1e-4 * math.cos(tilt), 1e-4 * math.sin(tilt), 1e-6))
        )
    return crystint.Geometry(shape, panels=tuple(pieces), beam_outside=True, **common)


def random_roi(rng, name, shape, q):
    """A region of any type, often partly off the detector."""
    kind = rng.choice(["box", "circle", "azimuthal", "polygon", "bitmap"])
    size = np.array(shape)
    if kind == "box":
        ends = np.sort(rng.integers(-5, size[:, None] + 5, (2, 2)), axis=1)
        return Roi.box(name, slow=tuple(ends[0]), fast=tuple(ends[1]))
    if kind == "circle":
        center = rng.uniform(-5, size + 5) if rng.random() < 0.5 else rng.integers(0, 2 * size) / 2
        radius = rng.uniform(0.3, 30) if rng.random() < 0.5 else float(rng.integers(1, 20))
        return Roi.circle(name, center=tuple(center), radius=radius)
    if kind == "azimuthal":
        low, high = np.sort(rng.uniform(np.nanmin(q) - 0.1, np.nanmax(q) + 0.1, 2)).clip(0.01)
        limits = {"q_min": low, "q_max": high + 1e-6}
        if rng.random() < 0.5:
            limits = {"d_min": 2 * np.pi / (high + 1e-6), "d_max": 2 * np.pi / low}
        if rng.random() < 0.7:
            limits |= dict(zip(("phi_min_deg", "phi_max_deg"), rng.uniform(-400, 400, 2), strict=True))
        return Roi.azimuthal(name, **limits)
    if kind == "polygon":
        corners = rng.uniform(-5, size + 5, (int(rng.integers(3, 8)), 2))
        return Roi.polygon(name, np.round(corners * 2) / 2 if rng.random() < 0.5 else corners)
    image = rng.random(shape) < 0.3
    image[0, 0] = True
    return Roi.bitmap(name, image)


@pytest.mark.parametrize("seed", range(20))
def test_the_pixels_of_random_regions_are_those_of_the_definitions(seed):
    """20 x 50 regions on 20 detectors, every second of two panels."""
    rng = np.random.default_rng(seed)
    geometry = random_geometry(rng, panels=seed % 2 == 1)
    q, phi = oracle.q_and_phi(geometry.to_dict())
    rois = Rois(tuple(random_roi(rng, f"r{number}", geometry.shape, q) for number in range(50)))
    assert Rois.from_dict(json.loads(json.dumps(rois.to_dict()))) == rois
    members = rois.members(geometry, geometry.shape, strict=False)
    image = members.map()
    assert image.dtype == np.uint64
    for bit, roi in enumerate(rois):
        inside = oracle.members(roi.to_dict(), geometry.shape, q, phi)
        np.testing.assert_array_equal(members.pixels[bit], np.flatnonzero(inside), err_msg=str(roi))
        np.testing.assert_array_equal((image >> np.uint64(bit)) & np.uint64(1), inside)
        assert members.details[roi.name]["pixels"] == inside.sum()
        assert ("problem" in members.details[roi.name]) == (not inside.any())


def test_adjacent_rings_and_sectors_partition_the_pixels():
    edges = np.linspace(0.05, 0.6, 9)
    angles = [350.0, 10.0, 90.0, 180.0, 270.0, 350.0]
    rois = Rois(
        tuple(
            Roi.azimuthal(
                f"r{i}.{j}", q_min=edges[i], q_max=edges[i + 1], phi_min_deg=angles[j], phi_max_deg=angles[j + 1]
            )
            for i in range(8)
            for j in range(5)
        )
    )
    count = np.zeros(GEOMETRY.shape, int)
    for pixels in rois.members(GEOMETRY, GEOMETRY.shape).pixels:
        count.reshape(-1)[pixels] += 1
    q = GEOMETRY.q()
    np.testing.assert_array_equal(count, (q >= edges[0]) & (q < edges[-1]))
    spacings = [40.0, 20.0, 12.0, 10.0]
    rings = [Roi.azimuthal(f"d{d:g}", d_min=d, d_max=upper) for upper, d in pairwise(spacings)]
    pixels = np.concatenate(Rois(tuple(rings)).members(GEOMETRY, GEOMETRY.shape).pixels)
    whole = Rois((Roi.azimuthal("d", d_min=10.0, d_max=40.0),)).members(GEOMETRY, GEOMETRY.shape).pixels[0]
    np.testing.assert_array_equal(np.sort(pixels), whole)


def test_a_sector_wraps_through_0():
    """A beam in the middle of a pixel: its row is at exactly 0 and 180 degrees."""
    geometry = crystint.Geometry((21, 21), (1e-4, 1e-4), 0.05, (10.5, 10.5), wavelength=1.0)

    def pixels(start, stop):
        roi = Roi.azimuthal("a", q_min=0.0, q_max=9.0, phi_min_deg=start, phi_max_deg=stop)
        return set(Rois((roi,)).members(geometry, geometry.shape).pixels[0].tolist())

    row = {10 * 21 + fast for fast in range(10, 21)}
    assert row <= pixels(350.0, 10.0)
    assert pixels(350.0, 10.0) == pixels(-10.0, 10.0) == pixels(350.0, 370.0)
    assert (
        pixels(350.0, 10.0) | pixels(10.0, 350.0) == set(range(21 * 21)) == pixels(-180.0, 180.0) == pixels(5.0, 400.0)
    )
    assert row <= pixels(0.0, 90.0)
    assert not row & pixels(270.0, 360.0)
    assert row <= pixels(-1e-20, 1e-3)
    assert 11 * 21 + 10 in pixels(90.0, 91.0)  # phi grows from fast towards slow
    assert phi_axes(geometry) == ((0.0, 1.0), (1.0, 0.0))
    assert "0 is along (slow, fast) = (0.000000, 1.000000) and 90 along (1.000000, 0.000000)" in phi_convention(
        geometry
    )


@pytest.mark.parametrize("panels", [False, True])
def test_phi_axes_are_those_of_the_map(rng, panels):
    geometry = random_geometry(rng, panels)
    slow, fast = geometry.beam_center
    x, y, _ = oracle.laboratory(geometry.to_dict())
    at = int(slow), int(fast)
    steps = np.array([[part[at[0] + 1, at[1]] - part[at], part[at[0], at[1] + 1] - part[at]] for part in (x, y)])
    for axis, angle in zip(phi_axes(geometry), (0.0, 90.0), strict=True):
        moved = steps @ axis
        assert math.degrees(math.atan2(moved[1], moved[0])) == pytest.approx(angle, abs=1e-6)
        assert math.hypot(*axis) == pytest.approx(1.0)


def test_what_lies_off_the_detector_is_clipped_or_refused():
    shape = (20, 30)
    rois = Rois((Roi.box("in", slow=(0, 19), fast=(0, 29)), Roi.box("part", slow=(-3, 4), fast=(28, 40))))
    rois = rois.with_(Roi.circle("circle", center=(0.5, 10.0), radius=2.0))
    details = rois.members(None, shape).details
    assert details == {
        "in": {"pixels": 600, "clipped": False}, "part": {"pixels": 10, "clipped": True},
        "circle": {"pixels": 8, "clipped": True},
    }  # fmt: skip
    off = rois.with_(Roi.box("off", slow=(20, 25), fast=(0, 3)))
    with pytest.raises(SettingError, match=r"region 3 \(off\): no pixel of the detector of 20 x 30") as error:
        off.members(None, shape)
    assert error.value.field == "rois.3"
    members = off.members(None, shape, strict=False)
    assert len(members.pixels[3]) == 0
    assert "no pixel" in members.details["off"]["problem"]
    other = Rois((Roi.bitmap("map", np.ones((3, 4), np.uint8)),))
    with pytest.raises(SettingError, match=r"bitmap is \(3, 4\), the detector is \(20, 30\)") as error:
        other.members(None, shape)
    assert error.value.field == "rois.0.shape"
    assert "is (3, 4)" in other.members(None, shape, strict=False).details["map"]["problem"]


def test_an_azimuthal_region_waits_for_a_geometry():
    rois = Rois((Roi.azimuthal("ring", q_min=1.0, q_max=2.0),))
    details = rois.members(None, GEOMETRY.shape).details["ring"]
    assert details["pixels"] == 0
    assert "geometry" in details["problem"]


BOX = {"name": "a", "type": "box", "slow_min": 0, "slow_max": 4, "fast_min": 0, "fast_max": 1}


@pytest.mark.parametrize(
    ("roi", "field", "text"),
    [
        ({"type": "box"}, "name", "name is missing"),
        ({"name": "a/b", "type": "box"}, "name", "'a/b'"),
        ({"name": "..", "type": "box"}, "name", r"'\.\.'"),
        ({"name": "roi_map", "type": "box"}, "name", "roi_map is taken"),
        ({"name": "", "type": "box"}, "name", "1 to 64"),
        ({"name": "x" * 65, "type": "box"}, "name", "1 to 64"),
        ({"name": "a\n", "type": "box"}, "name", "1 to 64"),
        ({"name": 5, "type": "box"}, "name", "name is 5"),
        ({"name": "a", "type": "disc"}, "type", "'disc'"),
        ({"name": "a", "type": ["box"]}, "type", "box"),
        (BOX | {"slow_min": 5}, "slow_min", "above"),
        (BOX | {"slow_min": 1.5}, "slow_min", "1.5"),
        (BOX | {"slow_min": True}, "slow_min", "True"),
        ({"name": "a", "type": "box", "slow_min": 1, "slow_max": 4, "fast_min": 0}, "fast_max", "missing"),
        ({"name": "a", "type": "circle", "center": [1, 2], "radius": 0}, "radius", "above 0"),
        ({"name": "a", "type": "circle", "center": [1, 2], "radius": math.nan}, "radius", "nan"),
        ({"name": "a", "type": "circle", "center": [1, 2], "radius": 10**400}, "radius", "finite"),
        ({"name": "a", "type": "circle", "center": [1], "radius": 2}, "center", r"\[slow, fast\]"),
        ({"name": "a", "type": "circle", "centre": [1, 2], "radius": 2}, "centre", "did you mean center"),
        ({"name": "a", "type": "azimuthal", "q_min": 2, "q_max": 1}, "q_min", "less than q_max"),
        ({"name": "a", "type": "azimuthal", "q_min": 1}, "q_max", "missing"),
        ({"name": "a", "type": "azimuthal"}, "q_min", "two limits of q or of d"),
        ({"name": "a", "type": "azimuthal", "q_min": 1, "q_max": 2, "d_min": 1}, "d_min", "one of both"),
        ({"name": "a", "type": "azimuthal", "d_min": 0, "d_max": 2}, "d_min", "above 0"),
        ({"name": "a", "type": "azimuthal", "q_min": 1, "q_max": 2, "phi_min_deg": 5}, "phi_max_deg", "two angles"),
        (
            {"name": "a", "type": "azimuthal", "q_min": 1, "q_max": 2, "phi_min_deg": 370, "phi_max_deg": 10},
            "phi_max_deg", "both 10",
        ),
        ({"name": "a", "type": "polygon", "corners": [[1, 2], [3, 4]]}, "corners", "3 to 1000"),
        ({"name": "a", "type": "polygon", "corners": [[1, 2], [3, 4], [5, "6"]]}, "corners.2", "'6'"),
        ({"name": "a", "type": "bitmap", "shape": [4, 5], "runs": []}, "runs", "runs are"),
        ({"name": "a", "type": "bitmap", "shape": [4, 5], "runs": [[0, 2], [1, 3]]}, "runs.1", "behind"),
        ({"name": "a", "type": "bitmap", "shape": [4, 5], "runs": [[0, 21]]}, "runs.0", "below 20"),
        ({"name": "a", "type": "bitmap", "shape": [2**20, 2**20], "runs": [[0, 21]]}, "shape", "above 0"),
        (17, "", "17"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_the_name_of_its_field(roi, field, text):
    with pytest.raises(SettingError, match=text) as error:
        Rois.from_dict({"rois": [BOX | {"name": "first"}, roi]})
    assert error.value.field == "rois.1" + (f".{field}" if field else "")


@pytest.mark.parametrize(
    ("document", "field", "text"),
    [
        ([], "", "expected a map"),
        ({}, "rois", "expected a list"),
        ({"rois": {}}, "rois", "expected a list"),
        ({"rois": [], "name": 1}, "name", "not a key"),
        ({"roi": []}, "roi", "did you mean rois"),
        ({"rois": [{}] * 65}, "rois", "at most 64"),
    ],
)
def test_documents_that_are_none(document, field, text):
    with pytest.raises(SettingError, match=text) as error:
        Rois.from_dict(document)
    assert error.value.field == field


def test_names_are_there_once():
    box = Roi.box("a", slow=(0, 1), fast=(0, 1))
    with pytest.raises(SettingError, match="twice") as error:
        Rois((box, box))
    assert error.value.field == "rois.1.name"
    rois = Rois((box,)).with_(Roi.circle("b", center=(1, 1), radius=2)).with_(Roi.box("a", slow=(5, 6), fast=(0, 1)))
    assert rois.names == ("a", "b")
    assert rois["a"].parameters["slow_min"] == 5
    assert rois.without("a").names == ("b",)
    with pytest.raises(KeyError):
        rois.without("c")


JUNGFRAUJOCH = {
    "box": {"rois": [{"name": "b", "min_x_pxl": 3, "max_x_pxl": 8, "min_y_pxl": 10, "max_y_pxl": 12}]},
    "circle": {"rois": [{"name": "c", "center_x_pxl": 20.0, "center_y_pxl": 30.25, "radius_pxl": 4.5}]},
    "azim": {
        "rois": [
            {"name": "a", "q_min_recipA": 0.3, "q_max_recipA": 0.5, "phi_min_deg": 300.0, "phi_max_deg": 20.0},
            {"name": "ring", "q_min_recipA": 0.5, "q_max_recipA": 0.75},
        ]
    },
}


def test_the_document_of_jungfraujoch_comes_and_goes():
    rois = Rois.from_jungfraujoch(JUNGFRAUJOCH)
    assert rois["b"] == Roi.box("b", slow=(10, 12), fast=(3, 8))
    assert rois["c"] == Roi.circle("c", center=(30.75, 20.5), radius=4.5)
    assert rois["a"] == Roi.azimuthal("a", q_min=0.3, q_max=0.5, phi_min_deg=300.0, phi_max_deg=20.0)
    assert rois.to_jungfraujoch() == JUNGFRAUJOCH
    assert Rois.from_jungfraujoch({}) == Rois()
    more = rois.with_(Roi.polygon("p", [(0, 0), (5, 0), (0, 5)]))
    with pytest.warns(crystint.CrystintWarning, match=r"left out: p \(polygon\)"):
        assert more.to_jungfraujoch() == JUNGFRAUJOCH
    spacing = Rois((Roi.azimuthal("d", d_min=2.0, d_max=4.0),)).to_jungfraujoch()["azim"]["rois"][0]
    assert spacing == {"name": "d", "q_min_recipA": pytest.approx(math.pi / 2), "q_max_recipA": pytest.approx(math.pi)}


def _theirs(kind, **values):
    return {kind: {"rois": [{"name": "b", **values}]}}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (_theirs("box", min_x_pxl=3, max_x_pxl=2, min_y_pxl=1, max_y_pxl=2), "box.rois.0.min_x_pxl"),
        (_theirs("box", min_x_pxl=3), "box.rois.0.max_x_pxl"),
        (_theirs("circle", center_x_pxl="3", center_y_pxl=1, radius_pxl=2), "circle.rois.0.center_x_pxl"),
        (_theirs("circle", center_x_pxl=3, center_y_pxl=1, radius_pxl=-2), "circle.rois.0.radius_pxl"),
        (_theirs("azim", q_min_recipA=3, q_max_recipA=1), "azim.rois.0.q_min_recipA"),
        (_theirs("azim", q_min_recipA=3, q_max_recipA=4, phi=1), "azim.rois.0.phi"),
        ({"azim": {"rois": 5}}, "azim.rois"),
        ({"azim": 5}, "azim"),
        ({"azm": {}}, "azm"),
    ],
)  # fmt: skip
def test_documents_of_jungfraujoch_are_checked_by_their_own_names(document, field):
    with pytest.raises(SettingError) as error:
        Rois.from_jungfraujoch(document)
    assert error.value.field == field


def test_a_bitmap_is_what_its_image_is(rng):
    image = (rng.random((37, 23)) < 0.4).astype(np.uint8)
    rois = Rois((Roi.bitmap("m", image), Roi.bitmap("n", 1 - image)))
    members = rois.members(None, image.shape)
    np.testing.assert_array_equal(members.map(), np.where(image, 1, 2))
    assert members.map().dtype == np.uint8
    with pytest.raises(SettingError, match="runs are"):
        Roi.bitmap("empty", np.zeros((3, 4)))
    with pytest.raises(SettingError, match="slow, fast"):
        Roi.bitmap("empty", np.zeros((3, 4, 3)))


@pytest.mark.parametrize(("regions", "bits"), [(8, 8), (9, 16), (17, 32), (33, 64), (64, 64)])
def test_a_map_has_a_bit_for_each_region(regions, bits):
    rois = Rois(tuple(Roi.box(f"r{n}", slow=(0, n), fast=(n, 70)) for n in range(regions)))
    image = rois.members(None, (70, 71)).map()
    assert image.dtype.itemsize * 8 == bits
    assert int(image[0, 70]) == 2**regions - 1
    assert int(image[1, 0]) == 0


def test_values_are_described():
    assert [column.name for column in ROI_COLUMNS] == list(ROI_DTYPE.names)
    values = empty_roi_values(2)
    assert values["max"][0] == -(2**63)
    assert np.isnan(values["x"]).all()
    assert values["npixel"].tolist() == [0, 0]
