"""Geometry files: PONI against pyFAI, CrystFEL against cfelpyutils, CBF and NXmx against DIALS's numbers
and by hand."""

from __future__ import annotations

import json
import math
import warnings

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from crystint.cli import main
from crystint.errors import CrystintWarning, FileError, GeometryError
from crystint.io.frames.masks import read_mask
from crystint.io.frames.sequence import open_frames
from crystint.io.geometry.cbf import cbf_geometry, cbf_saturation
from crystint.io.geometry.files import read_geometry, write_geometry
from crystint.io.kinds import kind_of
from crystint.model.geometry import Geometry
from crystint.run.frames import saturation_in
from crystint.run.geometry import geometry_of
from crystint.run.settings import DetectorSettings
from crystint.units import HC
from tests.conftest import shared_data
from tests.io.hdf5_files import SHAPE, add_module, axis, beam, detector, stack

# PONI


def poni(path, config='{"pixel1": 1e-4, "pixel2": 2e-4, "max_shape": [37, 53], "orientation": 3}', **changes):
    values = {
        "poni_version": "2.1",
        "Detector": "Detector",
        "Detector_config": config,
        "Distance": "0.02",
        "Poni1": "0.0013",
        "Poni2": "0.0052",
        "Rot1": "0.11",
        "Rot2": "-0.07",
        "Rot3": "0.4",
        "Wavelength": "9.7e-11",
    } | changes
    path.write_text("# comment\n" + "".join(f"{key}: {value}\n" for key, value in values.items() if value is not None))
    return path


def equal_maps(geometry, path, rtol=1e-9):
    """All maps of `geometry` against those of pyFAI with the PONI file at `path`."""
    pyfai = pytest.importorskip("pyFAI")
    peer = pyfai.load(str(path))
    shape = peer.detector.shape
    assert geometry.shape == tuple(shape)
    names = {"radius": "r_m", "two_theta": "2th_rad"}
    if peer.wavelength:
        names["q"] = "q_A^-1"
    for name, unit in names.items():
        expected = peer.array_from_unit(shape, unit=unit)
        np.testing.assert_allclose(getattr(geometry, name)(), expected, rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(geometry.solid_angle(), peer.solidAngleArray(shape), rtol=1e-6)
    factor = Geometry.from_dict(geometry.to_dict() | {"polarization": 0.95}).polarization_factor()
    np.testing.assert_allclose(factor, peer.polarization(shape, 0.95), rtol=1e-6)


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
@pytest.mark.parametrize("tilt", [True, False])
def test_poni_orientations_equal_pyfai(tmp_path, orientation, tilt):
    changes = {} if tilt else {"Rot1": "0", "Rot2": "0", "Rot3": "0"}
    config = json.dumps({"pixel1": 1e-4, "pixel2": 2e-4, "max_shape": [37, 53], "orientation": orientation})
    path = poni(tmp_path / "d.poni", config, **changes)
    equal_maps(read_geometry(path, beam_outside=True), path)


@pytest.mark.parametrize(
    ("name", "config", "shape"),
    [
        ("Pilatus300k", "{}", (619, 487)),
        ("Pilatus100k", '{"orientation": 3}', (195, 487)),
        ("Eiger500k", '{"orientation": 2}', (514, 1030)),
    ],
)
def test_poni_named_detectors_equal_pyfai(tmp_path, name, config, shape):
    changes = {"Poni1": "0.02", "Poni2": "0.03", "Rot1": "0.01", "Rot2": "0.02"}
    path = poni(tmp_path / "d.poni", config, Detector=name, **changes)
    geometry = read_geometry(path)
    assert geometry.shape == shape
    equal_maps(geometry, path)


@pytest.mark.parametrize(
    ("name", "shape", "pixel"), [("Pilatus6M", (2527, 2463), 172e-6), ("Eiger4M", (2167, 2070), 75e-6)]
)
def test_poni_large_named_detectors(tmp_path, name, shape, pixel):
    pytest.importorskip("pyFAI")
    path = poni(tmp_path / "d.poni", "{}", Detector=name, Poni1="0.05", Poni2="0.06")
    geometry = read_geometry(path)
    assert geometry.shape == shape
    assert geometry.pixel_size == pytest.approx((pixel, pixel), rel=1e-12)
    assert geometry.beam_center == pytest.approx((0.05 / pixel, 0.06 / pixel))


@pytest.mark.parametrize(
    ("name", "config", "shape", "pixel"),
    [
        ("Rayonix MX300HS", '{"pixel1": 1.5625e-4, "pixel2": 1.5625e-4}', (1920, 1920), 156.25e-6),
        ("mar165", '{"pixel1": 79e-6, "pixel2": 79e-6, "max_shape": [4096, 4096]}', (2048, 2048), 79e-6),
        ("Perkin", '{"pixel1": 4e-4, "pixel2": 4e-4}', (1024, 1024), 4e-4),
        ("Detector", '{"pixel1": 5e-5, "pixel2": 5e-5, "max_shape": [600, 800], "binning": [4, 4]}', (150, 200), 2e-4),
    ],
)
def test_poni_of_a_binned_detector_has_the_shape_of_its_frames(tmp_path, name, config, shape, pixel):
    pyfai = pytest.importorskip("pyFAI")
    path = poni(tmp_path / "d.poni", config, Detector=name)
    geometry = read_geometry(path, beam_outside=True)
    assert geometry.shape == tuple(pyfai.load(str(path)).detector.shape) == shape
    assert geometry.pixel_size == pytest.approx((pixel, pixel), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("Egier4M", "{}", "'Egier4M'.*did you mean eiger4m"),
        ("x" * 5000, "{}", "pixel1, pixel2 and max_shape"),
        ("Aarhus", "{}", "Aarhus is not one flat grid"),
        ("Jungfrau", '{"pixel1": 75e-6, "pixel2": 75e-6, "max_shape": [512, 1024]}', "not one flat grid"),
        ("Detector", "[1]", "expected a JSON object"),
        ("Detector", '{"pixel1": "a", "pixel2": 1}', "no number"),
    ],
)
def test_poni_with_a_detector_that_cannot_be_is_refused_in_few_words(tmp_path, name, config, words, capfd):
    pytest.importorskip("pyFAI")
    with pytest.raises(GeometryError, match=words) as caught:
        read_geometry(poni(tmp_path / "d.poni", config, Detector=name))
    assert len(str(caught.value)) < 500 + len(str(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_poni_version_1(tmp_path):
    path = tmp_path / "old.poni"
    path.write_text(
        "PixelSize1: 0.0001\nPixelSize2: 0.0002\nDistance: 0.02\nPoni1: 0.0013\nPoni2: 0.0052\n"
        "Rot1: 0.0\nRot2: 0.0\nRot3: 0.0\nSplineFile: None\nWavelength: 1e-10\n"
    )
    with pytest.raises(GeometryError, match="shape"):
        read_geometry(path)
    geometry = read_geometry(path, shape=(37, 53))
    assert geometry.beam_center == pytest.approx((13.0, 26.0), rel=1e-12)
    assert (geometry.pixel_size, geometry.distance, geometry.wavelength) == ((1e-4, 2e-4), 0.02, 1.0)


def test_poni_last_calibration_counts_and_wavelength_is_optional(tmp_path):
    path = poni(tmp_path / "d.poni", Wavelength=None)
    path.write_text(path.read_text() + "Distance: 0.5\n")
    geometry = Geometry.read(path, beam_outside=True)
    assert geometry.distance == 0.5
    assert geometry.wavelength is None


def test_real_poni(tmp_path):
    geometry = Geometry.read(shared_data("pyfai-sparse/crop.poni"))
    assert geometry.shape == (400, 600)
    assert geometry.beam_center == pytest.approx((246.96, 361.61))
    equal_maps(geometry, shared_data("pyfai-sparse/crop.poni"))


def test_poni_faults(tmp_path, monkeypatch):
    path = tmp_path / "d.poni"
    with pytest.raises(GeometryError, match=r"d\.poni: distance is"):
        read_geometry(poni(path, Distance="-1"))
    with pytest.raises(GeometryError, match=r"poni1"):
        read_geometry(poni(path, Poni1=None))
    with pytest.raises(GeometryError, match=r"orientation is 7"):
        read_geometry(poni(path, '{"pixel1": 1e-4, "pixel2": 1e-4, "max_shape": [3, 5], "orientation": 7}'))
    with pytest.raises(GeometryError, match=r"pixel size"):
        read_geometry(poni(path, "{}"))
    with pytest.raises(GeometryError, match=r"no JSON"):
        read_geometry(poni(path, "{"))
    with pytest.raises(GeometryError, match=r"Marvel9M"):
        read_geometry(poni(path, "{}", Detector="Marvel9M"))
    with pytest.raises(GeometryError, match=r"d\.poni: the direct beam.*beam_outside"):
        read_geometry(poni(path, Poni1="0.1"))
    with pytest.raises(GeometryError, match=r"parallax"):
        read_geometry(poni(path, Parallax="True"))
    monkeypatch.setitem(__import__("sys").modules, "pyFAI.detectors", None)
    with pytest.raises(GeometryError, match=r"Pilatus1M.*crystint\[pyfai\]"):
        read_geometry(poni(path, "{}", Detector="Pilatus1M"))


@pytest.mark.parametrize("suffix", ["poni", "json"])
def test_writing_and_reading_back(tmp_path, suffix):
    geometry = Geometry((37, 53), (1e-4, 2e-4), 0.02, (13.7, 26.1), 0.97, (0.01, -0.02, 0.3))
    path = tmp_path / f"d.{suffix}"
    geometry.write(path)
    again = Geometry.read(path)
    np.testing.assert_allclose(again.two_theta(), geometry.two_theta(), rtol=1e-13)
    assert again.wavelength == pytest.approx(0.97, rel=1e-14)
    with pytest.raises(FileError, match="--overwrite"):
        geometry.write(path)
    geometry.write(path, overwrite=True)
    if suffix == "poni":
        equal_maps(again, path)
    with pytest.raises(FileError, match=r"\.poni or \.json"):
        geometry.write(tmp_path / "d.txt")


@pytest.mark.parametrize("first", [False, True])
def test_json_with_a_provenance_is_a_geometry(tmp_path, first):
    """As `crystint correlate center` writes it; what a peak list's notes hold is no geometry, though it is within."""
    geometry = Geometry((37, 53), (1e-4, 2e-4), 0.02, (13.7, 26.1), 0.97, (0.01, -0.02, 0.3))
    path = tmp_path / "x.json"
    write_geometry(path, geometry, provenance={"program": "crystint", "settings": {"shape": "circle"}})
    values = json.loads(path.read_text())
    if first:
        path.write_text(json.dumps({"provenance": values.pop("provenance")} | values))
    assert read_geometry(path) == geometry
    assert Geometry.read(path) == geometry
    for name in ("x.json", "other.dat"):
        path = path.rename(tmp_path / name)
        assert (kind_of(path).name, kind_of(path).form) == ("geometry", "JSON")
        assert read_geometry(path) == geometry
    result = CliRunner().invoke(main, ["info", str(path)])
    assert result.exit_code == 0
    assert "37 x 53 px" in result.output
    notes = tmp_path / "peaks.refl.json"
    notes.write_text(json.dumps({"provenance": {}, "n_frames": 1, "geometry": values}))
    assert kind_of(notes).name == "notes of a peak list"


def test_json_with_the_beam_outside(tmp_path):
    values = Geometry((37, 53), (1e-4, 2e-4), 0.02, (99.0, 26.1), beam_outside=True).to_dict()
    (tmp_path / "d.json").write_text(json.dumps(values | {"beam_outside": False}))
    with pytest.raises(GeometryError, match=r"d\.json: the direct beam"):
        read_geometry(tmp_path / "d.json")
    assert read_geometry(tmp_path / "d.json", beam_outside=True).beam_center == (99.0, 26.1)


def test_unknown_files(tmp_path):
    (tmp_path / "d.txt").write_text("distance = 3\n")
    with pytest.raises(FileError, match="no geometry that crystint knows"):
        read_geometry(tmp_path / "d.txt")
    with pytest.raises(FileError, match="does not exist"):
        read_geometry(tmp_path / "none.poni")
    (tmp_path / "d.json").write_text("[1]")
    with pytest.raises(GeometryError, match="expected an object"):
        read_geometry(tmp_path / "d.json")
    np.save(tmp_path / "d.npy", np.zeros((3, 4)))
    with pytest.raises(FileError, match=r"d.npy holds frames \(NumPy\); expected a geometry"):
        read_geometry(tmp_path / "d.npy")


# CrystFEL

GEOM = """
; two tilted panels and a third, one above another in the frame
photon_energy = 9500 eV
clen = 80 mm
res = 13333.3
coffset = 0.002
adu_per_photon = 1
data = /entry/data/data
dim0 = %
dim1 = ss
dim2 = fs
a/min_fs = 0
a/max_fs = 30
a/min_ss = 0
a/max_ss = 19
a/corner_x = -35.5
a/corner_y = 22.25
a/fs = +0.9998x +0.02y -0.001z
a/ss = +0.02x -0.9998y
b/min_fs = 0
b/max_fs = 30
b/min_ss = 20
b/max_ss = 39
b/corner_x = 3.5
b/corner_y = 21.0
b/fs = x
b/ss = -y
c/min_fs = 0
c/max_fs = 30
c/min_ss = 40
c/max_ss = 59
c/corner_x = -30.0
c/corner_y = -2.0
c/fs = x
c/ss = -y
c/coffset = 0.003
"""


def test_geom_by_hand_and_against_cfelpyutils(tmp_path):
    cfel = pytest.importorskip("cfelpyutils.geometry")  # quietly: it warns when it is imported
    path = tmp_path / "d.geom"
    path.write_text(GEOM)
    geometry = read_geometry(path)
    assert geometry.shape == (60, 31)
    assert geometry.wavelength == pytest.approx(HC / 9500)
    assert len(geometry.panels) == 3
    pixel = 1 / 13333.3
    at = (
        np.array([-35.5, 22.25, 0.082 / pixel])
        + 30.5 * np.array([0.9998, 0.02, -0.001])
        + 19.5 * np.array([0.02, -0.9998, 0])
    )
    expected = math.atan2(math.hypot(at[0], at[1]), at[2])
    assert geometry.two_theta()[19, 30] == pytest.approx(expected, rel=1e-12)
    at = np.array([-30 + 4.5, -2.0 - 7.5, 0.083 / pixel])
    assert geometry.two_theta()[47, 4] == pytest.approx(math.atan2(math.hypot(at[0], at[1]), at[2]), rel=1e-12)
    assert geometry.d_at([47.5], [4.5]) == pytest.approx(geometry.d()[47, 4], rel=1e-12)

    plain = GEOM.replace(" eV", "").replace("80 mm", "0.08")
    (tmp_path / "plain.geom").write_text(plain)
    parsed = cfel.load_crystfel_geometry(str(tmp_path / "plain.geom"))
    maps = cfel.compute_pix_maps(parsed.detector)
    # its maps hold, in px, the corner of each pixel; the corner of the map's pixel (i, j) is at (i, j) in px
    slow, fast = np.indices(geometry.shape).astype(float)
    x, y, _ = geometry._lab(slow, fast)
    np.testing.assert_allclose(np.hypot(x, y) / pixel, np.hypot(maps.x, maps.y), rtol=1e-6)  # float32 there


def one_panel(path, corner, fs, ss, beam="photon_energy = 12400"):
    """A .geom file of one panel of 37 x 53 pixels of 100 um at 0.1 m."""
    values = {"min_fs": 0, "max_fs": 52, "min_ss": 0, "max_ss": 36}
    values |= {"corner_x": corner[0], "corner_y": corner[1], "fs": fs, "ss": ss}
    panel = "".join(f"p/{key} = {value}\n" for key, value in values.items())
    path.write_text(f"{beam}\nclen = 0.1\nres = 10000\n{panel}")


def test_geom_of_one_flat_panel_is_flat(tmp_path):
    path = tmp_path / "flat.geom"
    one_panel(path, (-26.5, 14.0), "x", "-y", beam="wavelength = 1.3 A")
    geometry = read_geometry(path)
    assert geometry.panels is None
    assert geometry.shape == (37, 53)
    assert geometry.rotation == (0.0, 0.0, 0.0)
    assert geometry.beam_center == pytest.approx((14.0, 26.5), abs=1e-9)
    assert geometry.wavelength == pytest.approx(1.3)
    assert geometry.pixel_size == pytest.approx((1e-4, 1e-4), rel=1e-12)


TILTED = "a/fs = +0.9998x +0.02y -0.001z"
ONE = "\n".join(line for line in GEOM.splitlines() if line[:2] not in ("b/", "c/")).replace("coffset = 0.002", "")


@pytest.mark.parametrize(
    "text",
    [GEOM, ONE, ONE.replace(TILTED, "a/fs = x").replace("+0.02x -0.9998y", "-y")],
    ids=["panels", "tilted", "flat"],
)
@pytest.mark.parametrize("clen", ["clen = /LCLS/detector_1/EncoderValue mm", ""])
def test_a_distance_stands_in_for_a_missing_clen(tmp_path, text, clen):
    """As the same geometry whose clen puts the panel that the beam meets at that distance."""
    (tmp_path / "d.geom").write_text(text.replace("clen = 80 mm", clen))
    (tmp_path / "whole.geom").write_text(text)
    expected = read_geometry(tmp_path / "whole.geom", beam_outside=True)
    frames = open_frames(np.zeros(expected.shape, dtype=np.uint16))
    options = DetectorSettings(geometry=tmp_path / "d.geom", distance=expected.distance, beam_outside=True)
    geometry = geometry_of(frames, options)
    # of one tilted panel the distance is along its normal there, and along the beam here: 1 - cos(1 mrad)
    np.testing.assert_allclose(geometry.two_theta(), expected.two_theta(), rtol=1e-6)
    assert geometry.distance == expected.distance
    assert geometry.wavelength == expected.wavelength
    with pytest.raises(GeometryError, match=r"missing --distance \(.*(clen = /LCLS|no clen)"):
        geometry_of(frames, DetectorSettings(geometry=tmp_path / "d.geom", beam_outside=True))


def test_options_move_all_panels(tmp_path):
    path = tmp_path / "d.geom"
    path.write_text(GEOM)
    before = read_geometry(path)
    frames = open_frames(np.zeros(before.shape, dtype=np.uint16))
    slow, fast = before.beam_center
    options = DetectorSettings(geometry=path, distance=before.distance + 0.01, beam=(slow + 1.5, fast - 2.0))
    after = geometry_of(frames, options)
    path.write_text(GEOM.replace("80 mm", "90 mm"))
    further = read_geometry(path)
    shifts = [np.subtract(new.origin, old.origin) for new, old in zip(after.panels, further.panels, strict=True)]
    np.testing.assert_allclose(shifts, [shifts[0]] * 3, atol=1e-15)
    # the pixel that the options name lies on the beam: no scattering angle there
    assert after.two_theta_at([slow + 1.5], [fast - 2.0])[0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "moved"),
    [
        ("1.5 mm", "-0.4mm", (14.0 - 4.0, 26.5 - 15.0)),
        ("0.0007", "0 m", (14.0, 26.5 - 7.0)),
        ("-300 um", "", (14.0, 29.5)),
    ],
)
def test_geom_with_a_shift_of_the_whole_detector(tmp_path, x, y, moved):
    """The beam stays: it meets the panel, of ss = -y, that much further back."""
    path = tmp_path / "d.geom"
    shift = f"detector_shift_x = {x}\n" + (f"detector_shift_y = {y}\n" if y else "")
    one_panel(path, (-26.5, 14.0), "x", "-y", beam=f"{shift}wavelength=1.3 A")
    geometry = read_geometry(path)
    assert geometry.beam_center == pytest.approx(moved, abs=1e-9)
    assert geometry.wavelength == pytest.approx(1.3)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("wavelength = 9.7e-11", 0.97),
        ("wavelength = 0.97 A ; comment", 0.97),
        ("photon_energy=12.4 keV", HC / 12400),
        ("photon_energy = 9500", HC / 9500),
        ("electron_voltage = 300 kV", 0.019687),
        ("electron_voltage = 200000 V", 0.025079),
        ("photon_energy = /LCLS/photon_energy_eV", None),
        ("wavelength = /data/wavelength A", None),
    ],
)
def test_geom_tells_its_wavelength_in_many_ways(tmp_path, line, expected):
    """Electrons: the table of relativistic wavelengths in Williams and Carter, Transmission Electron Microscopy."""
    path = tmp_path / "d.geom"
    one_panel(path, (-26.5, 14.0), "x", "-y", beam=line)
    wavelength = read_geometry(path).wavelength
    assert wavelength is None if expected is None else wavelength == pytest.approx(expected, rel=3e-5)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("bandwith = 0.01", "not know change nothing: bandwith$"),
        ("bandwidth = 0.01", "bandwidth = 0.01 is not applied"),
        ("detector_shift_x = /LCLS/shift mm", "detector_shift_x = /LCLS/shift mm is a place in the data files"),
        ("adu_per_eV = 0.0075", "adu_per_eV is not applied: 93 units per photon"),
    ],
)
def test_geom_keys_act_or_are_named(tmp_path, lines, words):
    path = tmp_path / "d.geom"
    one_panel(path, (-26.5, 14.0), "x", "-y", beam=f"photon_energy = 12400\n{lines}")
    with pytest.warns(CrystintWarning, match=words):
        assert read_geometry(path).beam_center == pytest.approx((14.0, 26.5))


@pytest.mark.parametrize(
    "line", ["photon_energy = 12 MeVs", "detector_shift_x = 3 furlong", "coffset = 10 eV", "clen = far"]
)
def test_geom_with_a_unit_that_cannot_be(tmp_path, line):
    path = tmp_path / "d.geom"
    one_panel(path, (-26.5, 14.0), "x", "-y", beam=line)
    with pytest.raises(GeometryError, match=line.split()[0]):
        read_geometry(path)


@pytest.mark.parametrize(
    ("values", "limit"), [((14000.0, 9000.0), 9000.0), ((14000.0, None), 14000.0), ((None, None), 7.0)]
)
def test_max_adu_of_a_geom_is_the_saturation(tmp_path, values, limit):
    path = tmp_path / "d.geom"
    path.write_text(GEOM + "".join(f"{name}/max_adu = {value}\n" for name, value in zip("ab", values) if value))
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        file["entry/data/data"] = stack(1, (60, 31))
        detector(file, bits=False)["saturation_value"] = 7
    frames = open_frames(tmp_path / "f.nxs")
    assert saturation_in(frames, DetectorSettings(geometry=path)) == limit
    assert saturation_in(frames, DetectorSettings()) == 7


def test_a_usual_geom_warns_of_nothing(tmp_path):
    path = tmp_path / "d.geom"
    usual = (
        "photon_energy = 12400\nadu_per_eV = 0.0001\nrigid_group_q0 = p\nrigid_group_collection_all = q0\n"
        "group_all = p\n"
        "data = /entry/data/data\ndim0 = %\ndim1 = ss\ndim2 = fs\npeak_list = /entry_1/result_1\n"
        "mask = /entry/instrument/detector/pixel_mask\nmask_good = 0x0\nmask_bad = 0xffff\nno_index = 0"
    )
    one_panel(path, (-26.5, 14.0), "x", "-y", beam=usual)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_geometry(path).beam_center == pytest.approx((14.0, 26.5))
        assert not read_mask(path).any()


@pytest.mark.parametrize("ss", ["y", "-y"])
@pytest.mark.parametrize("fs", ["x", "-x"])
def test_geom_handedness_does_not_matter(tmp_path, fs, ss):
    path = tmp_path / "d.geom"
    corner = (-20.5 if fs == "x" else 20.5, -11.25 if ss == "y" else 11.25)
    one_panel(path, corner, fs, ss)
    geometry = read_geometry(path)
    assert geometry.beam_center == pytest.approx((11.25, 20.5))
    plain = Geometry((37, 53), (1e-4, 1e-4), 0.1, (11.25, 20.5))
    np.testing.assert_allclose(geometry.two_theta(), plain.two_theta(), rtol=1e-9)


def test_geom_modules_on_one_grid_are_one_detector(tmp_path):
    path = tmp_path / "d.geom"
    text = "photon_energy = 12400\nclen = 0.1\nres = 10000\n"
    for number, (start, stop) in enumerate(((0, 19), (20, 36))):
        values = {"min_fs": 0, "max_fs": 52, "min_ss": start, "max_ss": stop}
        values |= {"corner_x": -20.5, "corner_y": 11.25 - start, "fs": "x", "ss": "-y"}
        text += "".join(f"p{number}/{key} = {value}\n" for key, value in values.items())
    path.write_text(text)
    assert read_geometry(path).panels is None
    assert read_geometry(path).beam_center == pytest.approx((11.25, 20.5))


def test_geom_faults(tmp_path):
    path = tmp_path / "d.geom"
    for old, new, told in (
        ("clen = 80 mm", "clen = /LCLS/detector_1/EncoderValue", r"does not tell distance \(clen = /LCLS.*data files"),
        ("dim1 = ss", "dim1 = 1\ndim3 = ss", "dimensions"),
        ("a/min_fs = 0\n", "", "min"),
        ("a/fs = +0.9998x +0.02y -0.001z", "a/fs = west", "not a valid CrystFEL"),
    ):
        assert old in GEOM
        path.write_text(GEOM.replace(old, new))
        with pytest.raises(GeometryError, match=told):
            read_geometry(path)
    path.write_text(GEOM)
    with pytest.raises(GeometryError, match=r"beyond a frame of \(10, 10\)"):
        read_geometry(path, shape=(10, 10))


# CBF

MINI = """# Detector: PILATUS3 6M
# Pixel_size 172e-6 m x 150e-6 m
# Count_cutoff 115897 counts
# Wavelength 0.96859 A
# Detector_distance 0.35100 m
# Beam_xy (21.61, 13.96) pixels
# Detector_2theta 0.0000 deg.
# Polarization 0.990
"""


def from_header(text, shape=(30, 40)):
    return cbf_geometry(text, shape, "f").whole(shape, "f")


def test_mini_header():
    geometry = from_header(MINI)
    assert geometry.beam_center == (13.96, 21.61)
    assert geometry.pixel_size == (150e-6, 172e-6)
    assert (geometry.distance, geometry.wavelength, geometry.polarization) == (0.351, 0.96859, 0.99)
    assert cbf_saturation(MINI) == 115897
    assert cbf_saturation("") is None
    in_mm = MINI.replace("0.35100 m", "351.00 mm")
    assert from_header(in_mm).distance == pytest.approx(0.351)


@pytest.mark.parametrize(
    ("center", "expected"),
    [
        ("(21.61, 13.96)", (13.96, 21.61)),
        ("(3.44, 3.0) mm", (20.0, 20.0)),
        ("3440 um x 1500 um", (10.0, 20.0)),
        ("(0.00172, 0.0018) m", (12.0, 10.0)),
    ],
)
def test_beam_of_a_mini_header_has_a_unit(center, expected):
    geometry = from_header(MINI.replace("(21.61, 13.96) pixels", center))
    assert geometry.beam_center == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("PILATUS 12M-DLS, S/N 120-0100", (30, 40)),
        ("PILATUS3 X CdTe 12M", (30, 40)),
        ("P12M", (30, 40)),
        ("", (5071, 2463)),
    ],
)
def test_a_header_does_not_place_the_modules_of_a_curved_detector(name, shape):
    text = MINI.replace("PILATUS3 6M", name) if name else MINI.replace("# Detector: PILATUS3 6M\n", "")
    with pytest.raises(GeometryError, match=r"f: the detector is a PILATUS 12M.*give its panels with -g"):
        cbf_geometry(text, shape, "f")


def test_a_flat_plane_in_place_of_a_curved_detector_is_warned_of():
    frames = open_frames(np.broadcast_to(np.uint16(0), (5071, 2463)))
    options = DetectorSettings(distance=0.25, beam=(2595.0, 1080.0), pixel_size=(172e-6, 172e-6))
    with pytest.warns(CrystintWarning, match=r"PILATUS 12M.*one flat plane: give its panels"):
        assert geometry_of(frames, options).distance == 0.25


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# Detector_distance 0.35100 m\n", ""),
        ("0.35100 m", "0.00000 m"),
        ("0.35100 m", "nan m"),
        ("(21.61, 13.96)", "(0.00, 0.00)"),
        ("# Pixel_size", "# Pixels"),
    ],
)
def test_mini_header_without_an_essential_value(old, new):
    assert old in MINI
    assert from_header(MINI.replace(old, new)) is None


def test_mini_header_without_wavelength_or_with_a_swung_detector():
    assert from_header(MINI.replace("# Wavelength 0.96859 A\n", "")).wavelength is None
    with pytest.raises(GeometryError, match=r"f: .*swung out by 30"):
        from_header(MINI.replace("2theta 0.0000", "2theta 30.0000"))
    with pytest.raises(GeometryError, match=r"f: .*Swapped"):
        from_header(MINI, (30, 15))


def test_full_header_with_a_two_theta_arm_equals_dials():
    """Expected: dxtbx of DIALS 3.12, ``dials.import l-cyst_01_00001.cbf``, then origin and axes of the
    panel (mm)."""
    path = shared_data("stills/l_cysteine_wedge/l-cyst_01_00001.cbf.bz2")
    origin = np.array([-148.78, -28.7381, -201.344])
    fast, slow = np.array([0.0, 0.866025, 0.5]), np.array([1.0, 0.0, 0.0])
    frames = open_frames(path)
    geometry = frames.geometry
    assert geometry.distance == pytest.approx(0.160, rel=1e-9)
    assert geometry.wavelength == 0.6889
    assert frames.saturation == 388705
    two_theta, x, y = geometry.two_theta(), *np.meshgrid([0, 700, 1474], [0, 800, 1678])
    at = origin + 0.172 * ((x[..., None] + 0.5) * fast + (y[..., None] + 0.5) * slow)
    expected = np.arccos(-at[..., 2] / np.linalg.norm(at, axis=-1))
    np.testing.assert_allclose(two_theta[y, x], expected, atol=2e-6)  # the numbers above have six digits
    # polarized along the laboratory's x, which here is the slow axis
    share = (1 + (at[..., 2] ** 2 - 0.99 * (at[..., 0] ** 2 - at[..., 1] ** 2)) / (at**2).sum(axis=-1)) / 2
    np.testing.assert_allclose(geometry.polarization_factor()[y, x], share, atol=1e-5)
    assert max(geometry.direct_beam) < 1679
    assert read_geometry(path) == geometry


# NXmx and DECTRIS


def write(path, **values):
    """A master with frames; `values` go to `detector`."""
    with h5py.File(path, "w") as file:
        detector(file, **values)
        beam(file)
        file["entry/data/data"] = stack(1)
    return path


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"detector_distance": (100.0, "mm")},
        {"detector_distance": None, "distance": (10.0, "cm")},
        {"detector_distance": (0.1, None)},
        {"x_pixel_size": (0.075, "mm"), "y_pixel_size": (75.0, "um")},
        {"beam_center_x": (20.25 * 75e-6, "m"), "beam_center_y": (11.5 * 0.075, "mm")},
        {"beam_center_x": (20.25, None), "beam_center_y": (np.array([11.5, np.nan, 11.5]), "pixels")},
    ],
)
def test_units_are_honoured(tmp_path, values):
    geometry = open_frames(write(tmp_path / "m.h5", **values)).geometry
    assert geometry.beam_center == pytest.approx((11.5, 20.25), rel=1e-12)
    assert geometry.distance == pytest.approx(0.1, rel=1e-12)
    assert geometry.pixel_size == pytest.approx((75e-6, 75e-6), rel=1e-12)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, 1.0),
        ({"value": 1.1, "unit": None}, 1.1),
        ({"value": 0.11, "unit": "nm"}, 1.1),
        ({"value": 1.1e-10, "unit": "m"}, 1.1),
        ({"value": 12000.0, "name": "incident_energy", "unit": "eV"}, HC / 12000),
        ({"value": 12.0, "name": "photon_energy", "unit": "keV"}, HC / 12000),
        (
            {
                "value": 1.602176634e-15,
                "name": "energy",
                "unit": None,
                "place": "entry_1/instrument_1/source_1",
            },
            HC / 10000,
        ),
        ({"value": 1.1, "place": "entry/sample/beam"}, 1.1),
        ({"value": np.nan}, None),
        ({"value": 0.0}, None),
    ],
)
def test_wavelength_from_wherever_it_is(tmp_path, values, expected):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        detector(file)
        beam(file, **values)
        file["entry/data/data"] = stack(1)
    wavelength = open_frames(tmp_path / "m.h5").geometry.wavelength
    assert wavelength is None if expected is None else wavelength == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "values",
    [
        {"detector_distance": None},
        {"detector_distance": (0.0, "m")},
        {"detector_distance": (np.nan, "m")},
        {"beam_center_x": None},
        {"beam_center_x": (0.0, "pixel"), "beam_center_y": (0.0, "pixel")},
        {"x_pixel_size": None},
    ],
)
def test_missing_essentials_are_no_geometry(tmp_path, values):
    path = write(tmp_path / "m.h5", **values)
    assert open_frames(path).geometry is None
    with pytest.raises(GeometryError, match="give another geometry"):
        read_geometry(path)


def test_a_unit_that_is_no_length_is_told(tmp_path):
    with pytest.raises(GeometryError, match=r"m\.h5: .*detector_distance is in 'deg'"):
        _ = open_frames(write(tmp_path / "m.h5", detector_distance=(3.0, "deg"))).geometry


def arm(file, angle, *, corner=(20.25 * 75e-6, 11.5 * 75e-6, 0.0), z=0.1, **module):
    """A detector on a two-theta arm about the vertical, in NXtransformations."""
    group = detector(file, beam_center_x=None, beam_center_y=None, detector_distance=None)
    moves = group.create_group("transformations")
    moves.attrs["NX_class"] = "NXtransformations"
    first = axis(moves, "two_theta", np.array([angle]), "rotation", (0.0, 1.0, 0.0), ".", "deg")
    second = axis(moves, "det_z", z * 1e3, "translation", (0.0, 0.0, 1.0), first, "mm")
    add_module(group, "module", corner=corner, depends_on=second, **module)
    beam(file)
    return group


def test_axes_without_a_tilt(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        arm(file, 0.0)
        file["entry/data/data"] = stack(1)
    geometry = open_frames(tmp_path / "m.h5").geometry
    assert geometry.panels is None
    assert geometry.beam_center == pytest.approx((11.5, 20.25))
    assert geometry.distance == pytest.approx(0.1)
    assert geometry.rotation == pytest.approx((0.0, 0.0, 0.0))


@pytest.mark.parametrize("angle", [5.0, -25.0])
def test_axes_with_a_two_theta_arm_by_hand(tmp_path, angle):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        arm(file, angle)
        file["entry/data/data"] = stack(1)
    geometry = open_frames(tmp_path / "m.h5").geometry
    slow, fast = np.indices(SHAPE) + 0.5
    x, y, z = (20.25 - fast) * 75e-6, (11.5 - slow) * 75e-6, np.full(SHAPE, 0.1)  # McStas: x and y count down
    turn = math.radians(angle)
    x, z = math.cos(turn) * x + math.sin(turn) * z, math.cos(turn) * z - math.sin(turn) * x
    np.testing.assert_allclose(geometry.two_theta(), np.arctan2(np.hypot(x, y), z), rtol=1e-9)
    np.testing.assert_allclose(geometry.radius(), np.hypot(x, y), rtol=1e-9)
    assert geometry.distance == pytest.approx(0.1)
    assert geometry.beam_outside


def test_axes_with_a_tilt_go_before_the_plain_numbers(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = arm(file, 10.0)
        group["beam_center_x"], group["beam_center_y"], group["distance"] = 20.25, 11.5, 0.1
        file["entry/data/data"] = stack(1)
    geometry = open_frames(tmp_path / "m.h5").geometry
    assert max(map(abs, geometry.rotation[:2])) == pytest.approx(math.radians(10.0))


def test_axes_at_the_sample_are_no_geometry(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        arm(file, 0.0, corner=(0.0, 0.0, 0.0), z=0.0)
        file["entry/data/data"] = stack(1)
    assert open_frames(tmp_path / "m.h5").geometry is None


def test_two_modules_at_different_heights_are_panels(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = detector(file, beam_center_x=None, detector_distance=None)
        beam(file)
        for number, (rows, corner) in enumerate((((0, 15), (1e-3, 2e-3, 0.1)), ((15, 31), (1.1e-3, -1e-4, 0.102)))):
            size = (rows[1] - rows[0], SHAPE[1])
            add_module(group, f"m{number}", corner=corner, depends_on=".", origin=(rows[0], 0), size=size)
        file["entry/data/data"] = stack(1)
    geometry = open_frames(tmp_path / "m.h5").geometry
    assert len(geometry.panels) == 2
    at = np.array([1.1e-3 - 7.5 * 75e-6, -1e-4 - 3.5 * 75e-6, 0.102])
    expected = math.atan2(math.hypot(at[0], at[1]), at[2])
    assert geometry.two_theta()[18, 7] == pytest.approx(expected, rel=1e-9)
    assert geometry.two_theta()[0, 0] == pytest.approx(math.atan2(math.hypot(1e-3 - 37.5e-6, 2e-3 - 37.5e-6), 0.1))


def test_relative_depends_on(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = arm(file, 5.0)
        expected = None
        file["entry/data/data"] = stack(1)
    expected = open_frames(tmp_path / "m.h5").geometry
    with h5py.File(tmp_path / "m.h5", "a") as file:
        group = file["entry/instrument/detector"]
        group["transformations/det_z"].attrs["depends_on"] = "two_theta"
        group["module/module_offset"].attrs["depends_on"] = "../transformations/det_z"
        group["module/fast_pixel_direction"].attrs["depends_on"] = np.bytes_("module_offset")
    assert open_frames(tmp_path / "m.h5").geometry == expected
