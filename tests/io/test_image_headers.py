"""Geometry in the headers of formats that FabIO reads: files made by FabIO, tifffile and by hand, against pyFAI and
theory."""

from __future__ import annotations

import math
import struct
import warnings

import numpy as np
import pytest
import tifffile
from fabio.adscimage import AdscImage
from fabio.bruker100image import Bruker100Image
from fabio.dtrekimage import DtrekImage
from fabio.edfimage import EdfImage
from fabio.mar345image import Mar345Image

from crystint.errors import CrystintNote, CrystintWarning, GeometryError
from crystint.io.frames.sequence import open_frames
from crystint.io.geometry.image_header import header_geometry
from crystint.model.geometry import Geometry

SHAPE = (60, 80)
FRAME = np.arange(60 * 80, dtype=np.uint16).reshape(SHAPE) % 100


def written(path, image, header):
    image(data=FRAME.copy(), header=header).write(str(path))
    return path


def geometry_of(path):
    with open_frames(path) as frames:
        assert np.array_equal(frames[0], FRAME)
        return frames.geometry


SMV = {
    "PIXEL_SIZE": "0.1",
    "DISTANCE": "150.05",
    "TWOTHETA": "0.00",
    "WAVELENGTH": "1.115872",
    "BEAM_CENTER_X": "2.5",
    "BEAM_CENTER_Y": "4.25",
}


def test_smv_has_the_beam_in_the_order_of_mosflm(tmp_path):
    path = written(tmp_path / "x.img", AdscImage, SMV)
    with pytest.warns(CrystintNote, match=r"more than one order.*\(25\.0, 42\.5\) px"):
        geometry = geometry_of(path)
    assert geometry.beam_center == pytest.approx((25.0, 42.5))  # X along slow
    assert (geometry.distance, geometry.wavelength) == pytest.approx((0.15005, 1.115872))
    assert geometry.pixel_size == pytest.approx((1e-4, 1e-4))
    with pytest.warns(CrystintNote):
        assert Geometry.read(path) == geometry


def test_smv_that_is_clear_says_nothing(tmp_path):
    path = written(tmp_path / "x.img", AdscImage, SMV | {"BEAM_CENTER_Y": "2.55"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert geometry_of(path).beam_center == pytest.approx((25.0, 25.5))


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"BEAM_CENTER_X": "156.27"}, "outside the frame"), ({"TWOTHETA": "12.5"}, None), ({"BEAM_CENTER_X": "0"}, None)],
)
def test_a_beam_of_smv_that_cannot_be_used_is_left_out(tmp_path, changes, words):
    path = written(tmp_path / "x.img", AdscImage, SMV | changes)
    with open_frames(path) as frames:
        if words:
            with pytest.warns(CrystintWarning, match=words):
                partial = frames.partial_geometry()
        else:
            partial = frames.partial_geometry()
    assert partial.missing == ["beam_center"]
    assert partial.values["distance"] == pytest.approx(0.15005)


def dtrek_header(two_theta, shift):
    """A detector at 60 mm on a 2-theta arm about x, its fast axis along x, moved by `shift` mm along x."""
    return {
        "DETECTOR_NUMBER": "1",
        "DETECTOR_NAMES": "CCD_",
        "CCD_DETECTOR_DIMENSIONS": "80 60",
        "CCD_DETECTOR_VECTORS": "1 0 0 0 1 0",
        "CCD_SPATIAL_DISTORTION_INFO": "40.0 30.0 0.1 0.2",
        "CCD_SPATIAL_DISTORTION_VECTORS": "1 0 0 1",
        "CCD_GONIO_NUM_VALUES": "3",
        "CCD_GONIO_NAMES": "2Theta TransX Distance",
        "CCD_GONIO_UNITS": "deg mm mm",
        "CCD_GONIO_VALUES": f"{two_theta} {shift} 60.0",
        "CCD_GONIO_VECTORS": "1 0 0 1 0 0 0 0 -1",
        "SOURCE_VECTORS": "0 0 1 0 1 0",
        "SCAN_WAVELENGTH": "0.7107",
    }


@pytest.mark.parametrize(("two_theta", "shift"), [(0.0, 0.0), (0.0, 1.5), (20.0, 0.0), (-15.0, 2.0)])
def test_dtrek_goniometer_places_the_detector(tmp_path, two_theta, shift):
    geometry = geometry_of(written(tmp_path / "x.img", DtrekImage, dtrek_header(two_theta, shift)))
    angle = math.radians(two_theta)
    slow, fast = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    x, y = (fast - 40.0) * 0.1 + shift, (slow - 30.0) * 0.2
    # turned right-handedly about x: (y, -60) becomes (y cos + 60 sin, y sin - 60 cos); the beam goes along -z
    up, along = y * math.cos(angle) + 60.0 * math.sin(angle), 60.0 * math.cos(angle) - y * math.sin(angle)
    np.testing.assert_allclose(geometry.two_theta(), np.arctan2(np.hypot(x, up), along), atol=1e-12)
    assert geometry.wavelength == pytest.approx(0.7107)


@pytest.mark.parametrize("key", ["CCD_DETECTOR_VECTORS", "CCD_GONIO_VALUES", "CCD_GONIO_UNITS"])
def test_dtrek_without_its_axes_has_the_wavelength_only(key):
    header = {name: value for name, value in dtrek_header(0, 0).items() if name != key}
    assert set(header_geometry(header, "dtrekimage", SHAPE, "x").values) == {"wavelength"}


def marccd(path, order="<", **changes):
    """A TIFF of which bytes 1024 to 4095 are the header of MarCCD, as the C structure of mar research has it."""
    fields = {
        "nfast": (80, 80),
        "nslow": (84, 60),
        "depth": (88, 2),
        "saturated_value": (104, 65000),
        "xtal_to_detector": (640, 120500),
        "beam_x": (644, 41250),
        "beam_y": (648, 27500),
        "start_twotheta": (668, 0),
        "detector_roty": (744, 0),
        "pixelsize_x": (772, 79346),
        "pixelsize_y": (776, 79346),
        "source_wavelength": (908, 97934),
    }
    with tifffile.TiffWriter(path, byteorder=order) as tiff:
        tiff.write(
            FRAME, metadata=None, datetime=False, software=False, extratags=[(65000, 7, 6000, bytes(6000), True)]
        )
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].tags[65000].valueoffset, tiff.pages[0].dataoffsets[0]
    assert place[0] < 1024
    assert place[0] + 6000 > 4096
    for name, (offset, value) in fields.items():
        struct.pack_into(f"{order}i", content, 1024 + offset, changes.get(name, value))
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_marccd(tmp_path, order):
    path = marccd(tmp_path / "x.mccd", order)
    geometry = geometry_of(path)
    assert geometry.beam_center == pytest.approx((27.5, 41.25))
    assert geometry.pixel_size == pytest.approx((79.346e-6, 79.346e-6))
    assert (geometry.distance, geometry.wavelength) == pytest.approx((0.1205, 0.97934))
    with open_frames(path) as frames:
        assert frames.saturation == 65000


@pytest.mark.parametrize("changes", [{"start_twotheta": 15000}, {"detector_roty": -200}, {"beam_x": 0}])
def test_marccd_on_an_arm_or_without_a_beam(tmp_path, changes):
    with open_frames(marccd(tmp_path / "x.mccd", **changes)) as frames:
        assert frames.partial_geometry().missing == ["beam_center"]


def test_other_tiffs_have_no_header_of_marccd(tmp_path):
    with open_frames(marccd(tmp_path / "x.tif", nfast=81)) as frames:
        assert not frames.partial_geometry().values
        assert frames.saturation is None


def test_edf_with_saxs_keywords_equals_pyfai(tmp_path):
    pyfai = pytest.importorskip("pyFAI.geometry")
    peer = pyfai.Geometry(dist=0.21, poni1=0.0037, poni2=0.0051, pixel1=1e-4, pixel2=1.5e-4, wavelength=1.03e-10)
    header = {key: str(value) for key, value in peer.getSPD().items() if value is not None}
    geometry = geometry_of(written(tmp_path / "x.edf", EdfImage, header))
    np.testing.assert_allclose(geometry.q(), peer.qArray(SHAPE) / 10, rtol=1e-5)  # float32 there


def test_edf_with_units_and_with_a_rotation(tmp_path):
    saxs = {"PSize_1": "1.5e-4_m", "PSize_2": "1e-4_m", "SampleDistance": "0.2_m", "Center_1": "30", "Center_2": "20.5"}
    assert geometry_of(written(tmp_path / "x.edf", EdfImage, saxs)).beam_center == (20.5, 30.0)
    turned = saxs | {"DetectorRotation_2": "0.1_rad"}
    with open_frames(written(tmp_path / "y.edf", EdfImage, turned)) as frames:
        assert frames.partial_geometry().missing == ["beam_center"]


def test_edf_with_poni_keys(tmp_path):
    keys = {"dist": 0.01, "poni1": 0.0037, "poni2": 0.0051, "rot1": 0.1, "rot2": -0.2, "rot3": 0.3}
    header = {name: str(value) for name, value in keys.items()} | {"pixel1": "1e-4", "pixel2": "1.5e-4"}
    geometry = geometry_of(written(tmp_path / "x.edf", EdfImage, header))
    assert geometry.rotation == (0.1, -0.2, 0.3)
    assert geometry.beam_center == pytest.approx((37.0, 34.0))
    assert geometry.wavelength is None


def test_edf_with_a_mini_header(tmp_path):
    lines = "\n".join(
        ["# Pixel_size 172e-6 m x 172e-6 m", "# Detector_distance 0.2 m", "# Beam_xy (30.5, 20.0) pixels"]
    )
    partial = header_geometry({"_array_data.header_contents": lines}, "edfimage", SHAPE, "x")
    assert partial.values["beam_center"] == (20.0, 30.5)


def test_mar345(tmp_path):
    path = tmp_path / "x.mar345"
    frame = np.zeros((1200, 1200), dtype=np.uint32)
    header = {"PIXEL_LENGTH": "150", "PIXEL_HEIGHT": "150", "WAVELENGTH": "0.7107", "DISTANCE": "90.0"}
    header |= {"CENTER_X": "601.5", "CENTER_Y": "598.0", "TWOTHETA": "0"}
    image = Mar345Image(data=frame, header=header)
    image.byteorder = "<"
    image.write(str(path))
    with open_frames(path) as frames:
        values = frames.partial_geometry().values
    assert values["pixel_size"] == pytest.approx((150e-6, 150e-6))
    assert (values["distance"], values["wavelength"]) == pytest.approx((0.09, 0.7107))
    assert values["beam_center"] == pytest.approx((598.0, 601.5))


RAXIS = {
    "IP shape": 0,
    "X Pixel Length": 0.1,
    "Y Pixel Length": 0.2,
    "Crystal-to-detector Distance": 120.0,
    "Wavelength": 1.5418,
    "Direct beam X position": 40.5,
    "Direct beam Y position": 30.25,
    "2Theta Angle": 0.0,
    "Horizontal Scan": 0,
    "Vertical Scan": 0,
    "Front/Back Scan": 0,
}


def test_raxis():
    values = header_geometry(RAXIS, "raxisimage", SHAPE, "x").values
    assert values["beam_center"] == (30.25, 40.5)
    assert values["pixel_size"] == pytest.approx((2e-4, 1e-4))
    assert (values["distance"], values["wavelength"]) == pytest.approx((0.12, 1.5418))
    for change in ({"2Theta Angle": 30.0}, {"Vertical Scan": 1}):
        assert header_geometry(RAXIS | change, "raxisimage", SHAPE, "x").missing == ["beam_center"]
    with pytest.raises(GeometryError, match=r"x: the imaging plate is a cylinder.*-g"):
        header_geometry(RAXIS | {"IP shape": 1}, "raxisimage", SHAPE, "x")


def test_bruker(tmp_path):
    """Distances in cm, the second the one to the plane of the pixels; 37.037 pixels in half a centimetre: 135 um."""
    header = {
        "DETTYPE": "CMOS-PHOTONII 37.037037 7.7 0",
        "DISTANC": "5.0 5.2",
        "CENTER": "40.0 30.0 41.5 29.0",
        "WAVELEN": "0.71073 0.71073 0.71359",
        "ANGLES": "0.0 180.0 0.0 54.7",
    }
    values = header_geometry(header, "bruker100image", SHAPE, "x").values
    assert values["beam_center"] == (29.0, 41.5)
    assert values["pixel_size"] == pytest.approx((135e-6, 135e-6), rel=1e-6)
    assert (values["distance"], values["wavelength"]) == pytest.approx((0.052, 0.71073))
    assert header_geometry(header | {"ANGLES": "-20 0 0 0"}, "bruker100image", SHAPE, "x").missing == ["beam_center"]
    other = header_geometry(header | {"DETTYPE": "CCD-PXL-ARR"}, "bruker100image", SHAPE, "x").values
    assert other == {"wavelength": 0.71073}
    path = tmp_path / "x.sfrm"
    Bruker100Image(data=FRAME.astype(np.int32), header=header).write(str(path))
    with open_frames(path) as frames:
        assert frames.partial_geometry().values["wavelength"] == pytest.approx(0.71073)


def test_headers_of_other_formats_and_other_detectors(tmp_path):
    assert not header_geometry({"DISTANCE": "5"}, "oxdimage", SHAPE, "x").values
    assert not geometry_of(written(tmp_path / "x.edf", EdfImage, {"title": "poni"}))
    with pytest.raises(GeometryError, match="PILATUS 12M"):
        header_geometry(SMV, "adscimage", (5071, 2463), "x")
