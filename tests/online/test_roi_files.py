"""Regions of interest in files: the layout, readers of others, the history of a run, and ``crystint roi``."""

from __future__ import annotations

import csv
import json
import math

import h5py
import numpy as np
import pytest

import crystint
from crystint.errors import FileError, SettingError
from crystint.io.describe import describe
from crystint.io.kinds import kind_of
from crystint.io.roi_files import read_roi_document
from crystint.io.rois import RoiWriter, roi_table_in
from crystint.model.rois import ROI_COLUMNS, ROI_DTYPE, Roi, Rois, empty_roi_values
from tests.oracles import rois as oracle

SHAPE = (83, 61)
GEOMETRY = crystint.Geometry(SHAPE, (1e-4, 1.3e-4), 0.03, (40.3, 28.9), wavelength=1.1, rotation=(0.05, -0.03, 0.2))
ROIS = Rois(
    (
        Roi.box("beam", slow=(30, 50), fast=(20, 35)),
        Roi.circle("spot.1", center=(10.25, 50.5), radius=4.5),
        Roi.azimuthal("ring", q_min=0.3, q_max=0.5, phi_min_deg=350.0, phi_max_deg=10.0),
        Roi.azimuthal("ring-d", d_min=10.0, d_max=14.5),
        Roi.polygon("poly", [(5.0, 5.0), (20.5, 8.25), (12.0, 30.0)]),
        Roi.bitmap("map_1", np.arange(83 * 61).reshape(SHAPE) % 7 == 0),
    )
)


def _values(rng, frames, regions):
    values = empty_roi_values(frames * regions)
    for name in ROI_DTYPE.names:
        if values[name].dtype.kind == "f":
            values[name] = rng.uniform(1, 100, len(values)).astype(np.float32)
        else:
            values[name] = rng.integers(1, 1000, len(values))
    values["mean"] = values["sum"] / values["npixel"]
    values["snr"] = values["signal"] / values["sigma"]
    return values.reshape(frames, regions)


@pytest.fixture
def regions_file(tmp_path, rng):
    """Ten frames, of which 3 and 9 are missing."""
    values = _values(rng, 10, len(ROIS))
    members = ROIS.members(GEOMETRY, SHAPE)
    with h5py.File(tmp_path / "regions.h5", "w") as file:
        writer = RoiWriter(file.create_group("entry"))
        writer.define(ROIS, members, GEOMETRY)
        writer.put(4, values[4:9])
        writer.put(0, values[:3])
        writer.flush(10)
    return tmp_path / "regions.h5", values, members


def test_the_layout_is_that_of_others(regions_file):
    """As a program that knows Jungfraujoch's files reads it."""
    path, values, _ = regions_file
    with h5py.File(path) as file:
        assert set(file["entry/roi"]) == set(ROIS.names)
        for bit, name in enumerate(file["entry/roi"]):
            group = file["entry/roi"][name]
            bit = ROIS.names.index(name)
            assert group.attrs["NX_class"] == "NXcollection"
            for column, dtype in (("sum", "i8"), ("sum_sq", "f8"), ("max", "i8"), ("npixel", "u4"), ("masked", "u4")):
                data = group[column]
                assert data.dtype == dtype
                assert data.shape == (10,)
                np.testing.assert_array_equal(data[4:9], values[column][4:9, bit])
            assert group["x"].dtype == group["sigma"].dtype == np.float32
            assert "(0.5, 0.5)" in group["x"].attrs["pixel_convention"]
            assert group["version"][()].tolist() == [1, 1, 1, 0, 1, 1, 1, 1, 1, 0]
            assert group["max"][3] == -1
            assert group["npixel"][9] == 0
            assert math.isnan(group["signal"][3])
        definitions = file["entry/roi_defs"]
        assert "history" not in definitions
        image = definitions["roi_map"]
        assert image.dtype == np.uint8
        assert list(image.attrs["names"]) == list(ROIS.names)
        assert image.chunks == SHAPE
        q, phi = oracle.q_and_phi(GEOMETRY.to_dict())
        for bit, roi in enumerate(ROIS):
            place = definitions[roi.name]
            inside = oracle.members(roi.to_dict(), SHAPE, q, phi)
            np.testing.assert_array_equal(image[()] >> bit & 1, inside)
            assert place["type"].asstr()[()] == roi.type
            assert place["bit"][()] == bit
            assert place["n_pixels"][()] == inside.sum()
            assert place["first_image"][()] == 0
        assert definitions["ring/q_min"].attrs["units"] == "1/angstrom"
        assert definitions["spot.1/center"][()].tolist() == [10.25, 50.5]
        text = definitions["json"]
        assert json.loads(text.asstr()[()]) == ROIS.to_dict()
        assert "0 is along (slow, fast)" in text.attrs["phi_convention"]


def test_silx_opens_it(regions_file):
    silx_io = pytest.importorskip("silx.io")
    with silx_io.open(str(regions_file[0])) as file:
        assert file["/entry/roi/beam/sum"].shape == (10,)
        assert file["/entry/roi_defs/roi_map"][()].max() > 0


def test_the_reader_gives_back_what_was_written(regions_file):
    path, values, members = regions_file
    table = crystint.read_rois(path)
    assert table.rois.to_dict() == ROIS.to_dict()
    assert table.rois == ROIS
    assert len(table) == 10
    np.testing.assert_array_equal(table.versions[0].map, members.map())
    again = table.rois.members(GEOMETRY, SHAPE)
    for first, second in zip(members.pixels, again.pixels, strict=True):
        np.testing.assert_array_equal(first, second)
    there = [0, 1, 2, 4, 5, 6, 7, 8]
    for bit, name in enumerate(ROIS.names):
        for column in ROI_COLUMNS:
            if column.name == "pixels":
                assert (table.values[name]["pixels"][there] == len(members.pixels[bit])).all()
                continue
            np.testing.assert_allclose(
                table.values[name][column.name][there], values[column.name][there, bit], rtol=1e-6
            )
        assert table.values[name]["npixel"][3] == 0
        assert table.values[name]["max"][3] == -(2**63)
        assert table.values[name]["spots"][9] == -1
    assert read_roi_document(path) == ROIS
    assert kind_of(path).name == "regions of interest"
    assert "ring-d (azimuthal)" in describe(path)["regions"]


def test_regions_change_while_a_run_goes_on(tmp_path, rng):
    """Three versions, late frames of an old one, and a name that becomes another region."""
    first = Rois((Roi.box("a", slow=(0, 3), fast=(0, 3)), Roi.box("b", slow=(5, 8), fast=(0, 3))))
    second = first.without("b").with_(Roi.circle("a", center=(20.0, 20.0), radius=5.0))
    third = second.with_(Roi.bitmap("c", np.eye(83, 61)))
    values = [_values(rng, 4, len(rois)) for rois in (first, second, third)]
    with h5py.File(tmp_path / "r.h5", "w") as file:
        writer = RoiWriter(file.create_group("entry"))
        for number, rois in enumerate((first, second, third)):
            writer.define(rois, rois.members(None, SHAPE), None, version=2 * number + 1, first_frame=4 * number)
            writer.put(4 * number, values[number][: 3 if number == 0 else 4])
        writer.put(3, values[0][3:], version=1)
        writer.flush(13)
        with pytest.raises(SettingError, match="expected a number above 5"):
            writer.define(first, first.members(None, SHAPE), None, version=5)
        with pytest.raises(SettingError, match="one that was defined"):
            writer.put(0, values[1][:1])
    with h5py.File(tmp_path / "r.h5") as file:
        definitions = file["entry/roi_defs"]
        assert set(definitions["history"]) == {"1", "3", "5"}
        assert set(definitions) == {"a", "c", "roi_map", "json", "history"}
        assert definitions["history/5/roi_map"] == definitions["roi_map"]
        assert definitions["history/3/first_image"][()] == 4
        assert file["entry/roi/a/version"][()].tolist() == [1] * 4 + [3] * 4 + [5] * 4 + [0]
        assert file["entry/roi/b/version"][()].tolist() == [1] * 4 + [0] * 9
        assert file["entry/roi/c/version"][()].tolist() == [0] * 8 + [5] * 4 + [0]
    table = crystint.read_rois(tmp_path / "r.h5")
    assert [one.version for one in table.versions] == [1, 3, 5]
    assert [one.first_frame for one in table.versions] == [0, 4, 8]
    assert [one.rois for one in table.versions] == [first, second, third]
    assert table.rois == third
    assert table.values["a"]["pixels"].tolist() == [16] * 4 + [int(table.versions[1].map.sum())] * 8 + [0]
    assert table.values["a"]["sum"][:12].tolist() == np.concatenate([one["sum"][:, 0] for one in values]).tolist()
    assert table.values["c"]["sum"][8:12].tolist() == values[2]["sum"][:, 1].tolist()


def test_a_file_of_others_gives_bitmaps(tmp_path):
    """Without our document: the bits of the map are regions."""
    image = np.zeros(SHAPE, np.uint16)
    image[3:5, 7] |= 1
    image[4:9, 7] |= 2
    with h5py.File(tmp_path / "r.h5", "w") as file:
        data = file.create_dataset("entry/roi_defs/roi_map", data=image)
        data.attrs["names"] = np.array(["one", "two"], h5py.string_dtype())
        file["entry/roi/one/sum"] = np.arange(3)
    table = crystint.read_rois(tmp_path / "r.h5")
    np.testing.assert_array_equal(table.rois.members(None, SHAPE).map(), image)
    assert table.values["one"]["sum"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda f: _replaced(f, "entry/roi_defs/json", "{"), "regions cannot be read"),
        (lambda f: _replaced(f, "entry/roi_defs/json", '{"rois": [{"name": "a"}]}'), "type is missing"),
        (lambda f: _replaced(f, "entry/roi/beam/sum", np.zeros((2, 3))), "no column sum"),
        (lambda f: _replaced(f, "entry/roi/beam/npixel", np.zeros(4)), "no column of 10"),
        (lambda f: f["entry/roi_defs"].pop("roi_map"), "holds no regions"),
    ],
)
def test_damage_is_told(regions_file, change, text):
    path = regions_file[0]
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(FileError, match=text):
        crystint.read_rois(path)


def _replaced(file, name, value):
    del file[name]
    file[name] = value


def _run(tmp_path, frames, mask):
    with crystint.DenseWriter(
        tmp_path / "run.h5", SHAPE, frames[0].dtype, geometry=GEOMETRY, mask=mask, saturation=900, provenance={}
    ) as writer:
        for frame in frames:
            writer.write(frame)
    return tmp_path / "run.h5"


def test_crystint_roi_sums_regions_of_files(tmp_path, rng):
    """Exact sums of .h5 and .csv as in the oracle, documents of both kinds, and the output as a document."""
    frames = rng.poisson(4.0, (3, *SHAPE)).astype(np.uint16)
    frames[:, 40, 25] = 1000
    frames[1, 45, 28] = 65535
    mask = (rng.random(SHAPE) < 0.05).astype(np.uint32)
    path = _run(tmp_path, frames, mask)
    document = tmp_path / "rois.json"
    document.write_text(json.dumps(ROIS.to_dict()))
    assert kind_of(document).text == "regions of interest (JSON document)"
    settings = {"rings": 20}
    outputs = [tmp_path / "roi.h5", tmp_path / "roi.csv"]
    outcome = crystint.separation.sum_regions([path], outputs, document, settings)
    assert outcome.frames == 3
    assert "beam: 336 pixels" in outcome.text
    table = crystint.read_rois(outputs[0])
    assert table.rois == ROIS
    q, phi = oracle.q_and_phi(GEOMETRY.to_dict())
    rows = list(csv.DictReader(outputs[1].read_text().splitlines()))
    for number, frame in enumerate(frames):
        for region, roi in enumerate(ROIS):
            inside = oracle.members(roi.to_dict(), SHAPE, q, phi)
            expected = oracle.values(frame, inside, mask != 0, frame == 65535, 900)
            line = rows[number * len(ROIS) + region]
            assert (line["frame"], line["region"]) == (str(number), roi.name)
            for column in ("npixel", "masked", "sum", "max", "saturated"):
                assert table.values[roi.name][column][number] == expected[column]
                unit = next(one.unit for one in ROI_COLUMNS if one.name == column)
                assert int(line[f"{column} [{unit}]" if unit else column]) == expected[column]
    assert kind_of(outputs[1]).text == "regions of interest (CSV)"
    assert describe(outputs[1])["frames"] == 3
    assert len(crystint.read_frame_table(outputs[0])) == 3
    assert kind_of(outputs[0]).name == "regions of interest"
    again = crystint.separation.sum_regions([path], [tmp_path / "again.h5"], outputs[0], settings)
    assert again.result.tobytes() == outcome.result.tobytes()
    theirs = {"box": {"rois": [{"name": "b", "min_x_pxl": 20, "max_x_pxl": 35, "min_y_pxl": 30, "max_y_pxl": 50}]}}
    (tmp_path / "theirs.json").write_text(json.dumps(theirs))
    assert kind_of(tmp_path / "theirs.json").text == "regions of interest (JSON document of Jungfraujoch)"
    other = crystint.separation.sum_regions([path], [tmp_path / "b.csv"], tmp_path / "theirs.json", settings)
    assert other.result["sum"][:, 0].tolist() == outcome.result["sum"][:, 0].tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "JSON"),
        ('{"rois": [{"name": "a", "type": "box"}]}', r"slow_min is missing \(rois.0.slow_min\)"),
        ('{"rois": [' + "[" * 100000, "JSON"),
        ('{"box": {"rois": [{"name": "a"}]}}', "box.rois.0.min_x_pxl"),
        ("[]", "no document of regions"),
    ],
)
def test_documents_that_are_none_are_refused(tmp_path, text, message):
    path = tmp_path / "rois.json"
    path.write_text(text)
    with pytest.raises(FileError, match=message):
        read_roi_document(path)


def test_frames_of_fractions_and_regions_off_the_detector_are_refused(tmp_path):
    path = _run(tmp_path, np.ones((1, *SHAPE), np.uint16), None)
    off = Rois((Roi.box("off", slow=(100, 120), fast=(0, 3)),))
    with pytest.raises(SettingError, match="off"):
        crystint.separation.sum_regions([path], [tmp_path / "o.h5"], off)
    assert not (tmp_path / "o.h5").exists()
    np.save(tmp_path / "f.npy", np.ones((1, *SHAPE), np.float32))
    GEOMETRY.write(tmp_path / "g.json")
    with pytest.raises(crystint.DTypeError, match="whole counts"):
        crystint.separation.sum_regions(
            [tmp_path / "f.npy"], [tmp_path / "o.h5"], ROIS, {"geometry": tmp_path / "g.json", "rings": 5}
        )
    clipped = Rois((Roi.box("edge", slow=(-5, 3), fast=(0, 3)),))
    with pytest.warns(crystint.CrystintWarning, match="clipped: edge"):
        crystint.separation.sum_regions([path], [tmp_path / "o.h5"], clipped, {"rings": 5})


def test_nothing_is_no_table(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("entry")
        assert roi_table_in(file) is None
