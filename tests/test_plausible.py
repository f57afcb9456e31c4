"""The gate for lengths, wavelengths and angles: the same for Python, options and every kind of file."""

from __future__ import annotations

import math
import warnings

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import crystint
from crystint.cli import main
from crystint.errors import CrystintWarning, GeometryError
from crystint.model.experiment import Detector
from crystint.model.panels import Panel
from crystint.model.plausible import implausible
from tests.io.hdf5_files import beam, detector, stack


@pytest.mark.parametrize(
    ("quantity", "value", "told"),
    [
        ("distance", 0.001, ""),
        ("distance", 31.0, ""),  # ultra-small angles
        ("distance", 99.9, ""),
        ("distance", 100.0, "write 100mm, or 0.1 in m"),
        ("distance", 351.0, "write 351mm"),
        ("distance", 351000.0, "write 351000um, or 0.351"),
        ("distance", 0.0009, "1 mm to less than 100 m"),
        ("distance", 0.0, "above 0"),
        ("distance", math.nan, "above 0"),
        ("pixel_size", 1e-6, ""),
        ("pixel_size", 5e-3, ""),
        ("pixel_size", 0.172, "write 0.172mm, or 0.000172"),
        ("pixel_size", 75.0, "write 75um, or 7.5e-05"),
        ("pixel_size", 5e-7, "1 um to 5 mm"),
        ("pixel_size", 0.006, "write 0.006mm"),
        ("wavelength", 0.01, ""),
        ("wavelength", 100.0, ""),
        ("wavelength", 9.7e-11, "looks like metres"),
        ("wavelength", 12398.0, "12398 eV are 1.00003 angstrom"),
        ("wavelength", 1000.0, "it is 12.3984 eV: is 12.3984 meant in keV (1 angstrom)"),
        ("wavelength", 1e-3, "is 12398.4 meant in eV (1 angstrom)"),
        ("wavelength", 2e-6, "0.01 to 100"),
        ("rotation", -3.1, ""),
        ("rotation", 30.0, "30 degrees? write 0.523599"),
        ("rotation", math.inf, "-2 pi to 2 pi"),
    ],
)
def test_what_can_be_and_what_is_said_of_the_rest(quantity, value, told):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CrystintWarning)  # of 99.9 m, below
        reason = implausible(quantity, value)
    assert (reason == "") == (told == "")
    assert told in reason


def test_a_detector_far_away_is_taken_with_a_warning():
    with pytest.warns(CrystintWarning, match="80 m; if it is in mm, write 80mm"):
        assert implausible("distance", 80.0) == ""


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("distance", 351, "distance is 351 m.*0.351 in m"),
        ("pixel_size", (172, 172), "pixel_size is 172 m.*172um"),
        ("pixel_size", (1e-4, 0.1), "pixel_size is 0.1 m.*0.1mm"),
        ("rotation", (0.0, 25.0, 0.0), "rotation is 25 rad.*degrees"),
        ("beam_center", (1e6, 50.0), "edge-on"),
    ],
)
def test_python_calls(field, value, told):
    values = {"shape": (100, 110), "pixel_size": (1e-4, 1e-4), "distance": 0.1, "beam_center": (50.0, 55.0)}
    with pytest.raises(GeometryError, match=told):
        crystint.Geometry(**values | {field: value}, beam_outside=True)


@pytest.mark.parametrize(
    ("origin", "slow", "told"),
    [
        ((-5e-3, -5e-3, 100.0), (0.0, 1e-4, 0.0), "its distance is 100 m"),
        ((-5e-3, -5e-3, 0.1), (0.0, 0.1, 0.0), "its pixel size is 0.1 m"),
        ((0.1, -5e-3, 0.0), (0.0, 1e-4, 0.0), "edge-on"),
    ],
)
def test_panels_of_geometries_and_of_experiments(origin, slow, told):
    fast = (1e-4, 0.0, 0.0)
    panels = (Panel((0, 100), (0, 110), origin, slow, fast),)
    with pytest.raises(GeometryError, match=told):
        crystint.Geometry((100, 110), (1e-4, 1e-4), 0.1, (50.0, 55.0), panels=panels)
    with pytest.raises(GeometryError, match=told):
        Detector((100, 110), panels)


@pytest.fixture
def frames(tmp_path):
    np.save(tmp_path / "x.npy", stack(1)[0])
    return tmp_path / "x.npy"


def refused(*words):
    result = CliRunner().invoke(main, [*map(str, words)])
    assert result.exit_code in (1, 2), result.output
    assert len(result.stderr.splitlines()) == 1
    return result.exit_code, result.stderr


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--distance", "100", "100 m? write 100mm"),
        ("--distance", "250", "250 m? write 250mm"),
        ("--distance", "0.5mm", "1 mm to"),
        ("--pixel-size", "75", "75 m? write 75um"),
        ("--pixel-size", "75um,0.1", "0.1 m? write 0.1mm"),
        ("--wavelength", "12398", "12398 eV are"),
        ("--wavelength", "1e-10", "looks like metres"),
    ],
)
def test_options(frames, tmp_path, option, value, told):
    code, text = refused("peaks", frames, "-o", tmp_path / "x.cxi", option, value)
    assert code == 2
    assert f"{option[2:].replace('-', '_')}: is" in text
    assert told in text


PONI = """poni_version: 2
Detector: Detector
Detector_config: {"pixel1": 7.5e-05, "pixel2": 7.5e-05, "max_shape": [31, 47]}
Distance: 0.1
Poni1: 0.001
Poni2: 0.0015
Rot1: 0
Rot2: 0
Rot3: 0
Wavelength: 1e-10
"""
GEOM = """photon_energy = 12400
clen = 0.1
res = 13333.3
p/min_fs = 0
p/max_fs = 46
p/min_ss = 0
p/max_ss = 30
p/corner_x = -20
p/corner_y = -11
p/fs = x
p/ss = y
"""


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("x.poni", PONI.replace("Distance: 0.1", "Distance: 100"), "write 100mm"),
        ("x.poni", PONI.replace("Wavelength: 1e-10", "Wavelength: 1.0"), "wavelength is 1e+10 angstrom"),
        ("x.poni", PONI.replace('"pixel1": 7.5e-05', '"pixel1": 0.075'), "write 0.075mm"),
        ("x.geom", GEOM.replace("clen = 0.1", "clen = 100"), "write 100mm"),
        ("x.geom", GEOM.replace("photon_energy = 12400", "photon_energy = 12.4"), "meant in keV"),
        ("x.geom", GEOM.replace("res = 13333.3", "res = 13.3"), "write 0.0751"),
    ],
)
def test_geometry_files(frames, tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    code, said = refused("peaks", frames, "-o", tmp_path / "x.cxi", "-g", tmp_path / name)
    assert code == 1
    assert name in said
    assert told in said


@pytest.mark.parametrize(
    ("change", "place", "told"),
    [
        ({"detector_distance": (200.0, None)}, "detector/detector_distance, without a unit", "write 200mm"),
        ({"detector_distance": (150.0, "m")}, "entry/instrument/detector/detector_distance", "write 150mm"),
        ({"x_pixel_size": (75.0, None)}, "x_pixel_size, without a unit", "write 75um"),
        ({"energy": 12.398}, "entry/instrument/beam/incident_energy, without a unit", "meant in keV"),
    ],
)
def test_a_master_names_the_place_and_info_goes_on(tmp_path, change, place, told):
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        energy = change.pop("energy", None)
        detector(file, **change)
        if energy is None:
            beam(file)
        else:
            beam(file, energy, "incident_energy", None)
        file["entry/data/data"] = stack(1)
    with pytest.raises(GeometryError, match=r"m\.h5: entry/instrument.*--.*-g"):
        _ = crystint.open_frames(path).geometry
    code, text = refused("peaks", path, "-o", tmp_path / "x.cxi")
    assert code == 1
    assert "m.h5" in text
    assert place in text
    assert told in text
    center = CliRunner().invoke(main, ["correlate", "center", str(path), "-o", str(tmp_path / "c.json")])
    assert "warning: the geometry of the frames is left out: " in center.stderr  # it needs none
    shown = CliRunner().invoke(main, ["info", str(path)])
    assert shown.exit_code == 0
    assert "unusable: " in shown.stdout
    assert told in shown.stdout
    assert place in shown.stdout.replace("crystint: ", "")


def test_a_mini_header_names_its_line(tmp_path):
    from tests.io.test_geometry_files import MINI, from_header

    with pytest.raises(GeometryError, match=r"f: Detector_distance of the mini header: distance is 351 m.*351mm"):
        from_header(MINI.replace("0.35100 m", "351"))
