"""Scans and instruments: read as others write them, kept in every file of crystint, and read again by others."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import crystint
from crystint.errors import CrystintNote, CrystintWarning, FileError, GeometryError, ShapeError
from crystint.io.geometry.clock import moment
from crystint.model.scan import Scan
from crystint.separation import densify_file, find_peaks, sparsify
from tests.conftest import shared_data
from tests.io.scan_files import dectris_master, experiments, kappa_nxmx, mini_cbf, mini_cbfs, mini_header
from tests.stills.dials import run_dials_python

RINGS = {"rings": 20}
TO_DIALS = np.array([1.0, -1.0, -1.0])
"""Factors that turn a vector of crystint's laboratory into dxtbx's: x along fast, y up, z to the source."""


def said(action):
    """What it gives, and the texts of warnings and of notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = action()
    told = [each for each in caught if issubclass(each.category, CrystintWarning)]
    notes = [str(each.message) for each in told if each.category is CrystintNote]
    return result, [str(each.message) for each in told if each.category is not CrystintNote], notes


def scan_of(*files, **options):
    """The scan, warnings and notes of files."""
    return said(lambda: crystint.open_frames(*files, **options).scan)


def same_scan(actual: Scan | None, expected: Scan) -> None:
    assert actual is not None
    assert actual.names == expected.names
    assert actual.scan_axis == expected.scan_axis
    assert actual.zone == expected.zone
    for name, margin in (
        ("vectors", 1e-12),
        ("angles", 0),
        ("width", 1e-9),
        ("exposure", 0),
        ("frame_time", 0),
        ("times", 1e-6),
    ):
        np.testing.assert_allclose(getattr(actual, name), getattr(expected, name), rtol=0, atol=margin, err_msg=name)


# reading


def test_mini_headers_become_one_scan(tmp_path: Path) -> None:
    files = mini_cbfs(tmp_path)
    scan, problems, notes = scan_of(tmp_path / "*.cbf")
    assert not problems
    assert len(notes) == 1
    assert "taken along fast, as DIALS does" in notes[0]
    assert files[0].name in notes[0]
    assert scan.names == ("omega",)
    assert scan.rotates
    assert scan.vectors.tolist() == [[1.0, 0.0, 0.0]]
    np.testing.assert_allclose(scan.angles, [[12.5, 12.75, 13.0, 13.25, 13.5]])
    assert scan.width.tolist() == [0.25] * 5
    assert set(scan.exposure) == {0.019}
    assert set(scan.frame_time) == {0.02}
    assert scan.time_text(scan.times[0]) == "2026-03-05T09:01:45.613"
    np.testing.assert_allclose(np.diff(scan.times), 0.02, atol=1e-6)
    instrument = crystint.open_frames(files).instrument
    assert instrument.to_dict() == {
        "material": "Si",
        "thickness": 450e-6,
        "saturation": 115897,
        "detector": "PILATUS3 2M",
        "serial": "24-0999",
    }


@pytest.mark.parametrize(
    ("values", "names", "axis", "angles"),
    [  # by `dials.import` and `dials.show` (DIALS 3.12.1) of such files of 195 x 487 px
        ({}, ("omega",), (1, 0, 0), (12.5,)),
        ({"detector": "PILATUS3 6M, S/N 60-0119", "axis": "X.CW +SLOW"}, ("omega",), (0, 1, 0), (12.5,)),
        ({"detector": "PILATUS3 6M, S/N 60-0119", "axis": "X.CW +FAST"}, ("omega",), (-1, 0, 0), (12.5,)),
        ({"detector": "PILATUS3 6M, S/N 60-0125"}, ("omega",), (-1, 0, 0), (12.5,)),
        ({"detector": "PILATUS 6M-F, S/N 60-0115-F"}, ("omega",), (0, 1, 0), (12.5,)),
        ({"detector": "PILATUS3 6M, S/N 60-0114"}, ("omega",), (0, 1, 0), (12.5,)),
        (
            {"detector": "PILATUS3 6M, S/N 60-0100 Diamond", "kappa": 20.0, "phi": 35.0},
            ("phi", "kappa", "omega"),
            (1, 0, 0),
            (35.0, 20.0, 12.5),
        ),
        (
            {"detector": "Dectris EIGER 2X 16M, S/N 160-0001", "phi": 12.0},
            ("phi", "chi", "omega"),
            (1, 0, 0),
            (12.0, 0.0, 12.5),
        ),
    ],
)  # fmt: skip
def test_axes_of_known_detectors_are_those_of_dials(tmp_path: Path, values, names, axis, angles) -> None:
    scan, _, notes = scan_of(mini_cbfs(tmp_path, 2, **values))
    assert scan.names == names
    np.testing.assert_allclose(scan.axis * TO_DIALS, axis, atol=1e-12)
    assert tuple(scan.angles[:, 0]) == angles
    assert bool(notes) == (not values)


def test_kappa_of_a_known_detector_turns_the_crystal_as_in_dials(tmp_path: Path) -> None:
    """Fixed rotation that `dials.show` (3.12.1) prints for the serial number 60-0100, kappa 20, phi 35."""
    files = mini_cbfs(tmp_path, 2, detector="PILATUS3 6M, S/N 60-0100 Diamond", kappa=20.0, phi=35.0)
    scan, _, _ = scan_of(files)
    still = replace(scan, angles=np.array([[35.0] * 2, [20.0] * 2, [0.0] * 2]), width=np.zeros(2))
    by_dials = [[0.99, 0.141045, -0.00231086], [-0.0861501, 0.591555, -0.801649], [-0.111702, 0.793832, 0.59779]]
    turn = np.diag(TO_DIALS)
    np.testing.assert_allclose(turn @ still.rotation(0) @ turn, by_dials, atol=1e-4)


def test_full_header_of_a_swung_detector() -> None:
    """What `dials.import` and `dials.show` (3.12.1) say of the l-cysteine frames."""
    folder = shared_data("stills/l_cysteine_wedge")
    frames = crystint.open_frames(sorted(folder.glob("*.cbf.bz2"))[:3])
    scan, problems, notes = said(lambda: frames.scan)
    assert not problems
    assert not notes
    assert scan.names == ("GON_PHI", "GON_OMEGA")
    np.testing.assert_allclose(scan.vectors * TO_DIALS, [[0.577382, -0.816474, 0.0], [1.0, 0.0, 0.0]], atol=1e-6)
    np.testing.assert_allclose(scan.angles, [[0.0] * 3, [-145.0, -144.9, -144.8]])
    assert scan.scan_axis == 1
    np.testing.assert_allclose(scan.width, 0.1)
    assert set(scan.exposure) == {0.0964}
    assert set(scan.frame_time) == {0.1}
    assert scan.time_text(scan.times[0]) == "2016-03-05T09:01:45.613"
    assert frames.instrument.to_dict() == {
        "material": "Si",
        "thickness": 320e-6,
        "saturation": 388705,
        "detector": "PILATUS 2M",
        "serial": "24-0107",
        "source": "Diamond Light Source Beamline I19-1",
    }


def test_stills_of_a_grid_scan_are_stills() -> None:
    folder = shared_data("thaumatin")
    scan, problems, notes = scan_of(sorted(folder.glob("*.cbf.bz2"))[:2])
    assert not problems
    assert not notes
    assert not scan.rotates
    assert set(scan.angles[0]) == {89.9997}
    np.testing.assert_allclose(scan.axis * TO_DIALS, [0, 1, 0], atol=1e-12)  # as `dials.show` has it


def test_headers_of_other_images(tmp_path: Path) -> None:
    """SMV by hand (512 bytes of header, little-endian uint16), and a PILATUS TIFF."""
    import tifffile

    frame = np.random.default_rng(0).poisson(3.0, (31, 47)).astype(np.uint16)
    for number in range(2):
        header = (
            "{\nHEADER_BYTES=  512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=47;\nSIZE2=31;\n"
            f"PIXEL_SIZE=0.1;\nTIME=2.5;\nOSC_START={20.0 + 0.5 * number};\nOSC_RANGE=0.5;\nWAVELENGTH=1.0;\n}}\f"
        )
        (tmp_path / f"a_{number}.img").write_bytes(header.encode().ljust(512) + frame.tobytes())
    scan, problems, notes = scan_of(tmp_path / "a_*.img")
    assert not problems
    assert len(notes) == 1
    np.testing.assert_allclose(scan.angles, [[20.0, 20.5]])
    assert (set(scan.width), set(scan.exposure)) == ({0.5}, {2.5})
    tifffile.imwrite(tmp_path / "p.tif", frame.astype(np.int32), description=mini_header(0))
    frames = crystint.open_frames(tmp_path / "p.tif")
    scan, problems, _ = said(lambda: frames.scan)
    assert not problems
    np.testing.assert_allclose(scan.angles, [[12.5]])
    assert frames.instrument.thickness == 450e-6


def test_a_mirrored_detector_is_told(tmp_path: Path) -> None:
    path = kappa_nxmx(tmp_path / "k.h5")
    with h5py.File(path, "a") as file:
        file["entry/instrument/detector/module/slow_pixel_direction"].attrs["vector"] = np.array([0.0, 1.0, 0.0])
    scan, problems, _ = scan_of(path)
    assert any("mirror image of the crystal" in problem for problem in problems)
    # the mirror of y keeps the sense of turns: an axis along x turns to the other side
    np.testing.assert_allclose(scan.vectors[2], [-1, 0, 0], atol=1e-12)


@pytest.mark.parametrize("turns", ["omega", "phi"])
def test_kappa_goniometer_of_an_nxmx_file(tmp_path: Path, turns: str) -> None:
    """Vectors in McStas's frame: x against fast, y up, z along the beam."""
    path = kappa_nxmx(tmp_path / "k.h5", turns=turns)
    scan, problems, notes = scan_of(path)
    assert not problems
    assert not notes
    assert scan.names == ("phi", "kappa", "omega")
    assert scan.names[scan.scan_axis] == turns
    np.testing.assert_allclose(scan.vectors, [[1, 0, 0], [0.642788, -0.766044, 0], [1, 0, 0]], atol=1e-6)
    moved = {name: 0.1 if name == turns else 0.0 for name in scan.names}
    expected = [
        start + moved[name] * np.arange(6) for name, start in (("phi", 30.0), ("kappa", 25.0), ("omega", -95.0))
    ]
    np.testing.assert_allclose(scan.angles, expected)
    np.testing.assert_allclose(scan.width, 0.1)
    assert set(scan.exposure) == {0.0099}
    assert set(scan.frame_time) == {0.01}
    assert scan.time_text(scan.times[0]) == "2026-03-05T09:01:45Z"
    facts = crystint.open_frames(path).instrument
    assert (facts.material, facts.thickness, facts.detector, facts.serial) == (
        "Si",
        450e-6,
        "EIGER2 Si 9M",
        "E-18-0999",
    )
    assert (facts.name, facts.source, facts.sample) == ("DIAMOND BEAMLINE I19-2", "Diamond Light Source", "ylid 3")


def test_masters_of_dectris(tmp_path: Path) -> None:
    path = dectris_master(tmp_path / "a_master.h5", chi=np.full(6, 45.0))
    scan, problems, notes = scan_of(path)
    assert not problems
    assert len(notes) == 1
    assert "chi 45" in notes[0]
    assert "along fast" in notes[0]
    assert scan.names == ("omega",)
    assert scan.axis.tolist() == [1.0, 0.0, 0.0]
    np.testing.assert_allclose(scan.angles, [10.0 + 0.2 * np.arange(6)])
    np.testing.assert_allclose(scan.width, 0.2)
    assert scan.time_text(scan.times[0]) == "2026-03-05T09:01:45.123456"
    scan, problems, notes = scan_of(dectris_master(tmp_path / "b_master.h5", chain=True))
    assert not problems
    assert not notes
    np.testing.assert_allclose(scan.axis * TO_DIALS, [0, 1, 0], atol=1e-12)  # McStas's y is up
    np.testing.assert_allclose(scan.width, 0.2)


def test_masters_of_jungfraujoch_tell_no_width(tmp_path: Path) -> None:
    path = kappa_nxmx(tmp_path / "j.h5", axes={"omega": ([1.0, 0.0, 0.0], 5.0)}, width=0.5)
    with h5py.File(path, "a") as file:
        del file["entry/sample/transformations/omega_end"], file["entry/sample/transformations/omega_increment_set"]
    scan, problems, notes = scan_of(path)
    assert not problems
    assert len(notes) == 1
    assert "the width of the frames is not told" in notes[0]
    np.testing.assert_allclose(scan.width, 0.5)
    np.testing.assert_allclose(scan.axis, [-1, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-03-05T09:01:45.613", (1457168505.613, "")),
        ("2016/Mar/05 09:01:45.613", (1457168505.613, "")),
        ("2016-Mar-05T09:01:45", (1457168505.0, "")),
        ("2016-03-05T09:01:45.5+01:00", (1457168505.5, "+01:00")),
        ("2016-03-05T09:01:45Z", (1457168505.0, "Z")),
        ("2016-13-05T09:01:45", (np.nan, "")),
        ("2016-Xyz-05T09:01:45", (np.nan, "")),
        ("no time", (np.nan, "")),
    ],
)  # fmt: skip
def test_moments(text: str, expected) -> None:
    np.testing.assert_allclose(moment(text)[0], expected[0])
    assert moment(text)[1] == expected[1]


# what is not regular is said


def angles(**by_frame):
    return {int(name[1:]): {"angle": value} for name, value in by_frame.items()}


@pytest.mark.parametrize(
    ("each", "words"),
    [
        ({3: {"angle": 14.0}, 4: {"angle": 14.25}}, ["a gap at frame 3", "scan_00004.cbf", "comes 14"]),
        ({3: {"angle": 13.0}, 4: {"angle": 13.25}}, ["the same angle again at frame 3", "scan_00004.cbf"]),
        ({3: {"angle": 13.1}, 4: {"angle": 13.35}}, ["an overlap at frame 3"]),
        ({1: {"angle": 13.0}, 2: {"angle": 12.75}}, ["a step back at frame 2", "not in the order of omega"]),
        ({2: {"width": 0.5, "angle": 13.0}}, ["turn by 0.25 degrees, but frame 2", "0.5 degrees"]),
        ({4: {"exposure": 0.009}}, ["exposed for 0.019 s, but frame 4", "0.009 s"]),
        ({4: {"period": 0.05}}, ["frame time of 0.02 s, but frame 4", "0.05 s"]),
    ],
)
def test_what_is_irregular_is_said_by_name(tmp_path: Path, each, words) -> None:
    scan, problems, _ = scan_of(mini_cbfs(tmp_path, each=each))
    for word in words:
        assert any(word in problem for problem in problems), problems
    for number, values in each.items():  # and nothing is made regular
        if "angle" in values:
            assert scan.angles[0, number] == values["angle"]
        if "exposure" in values:
            assert scan.exposure[number] == values["exposure"]


def test_files_in_another_order_are_told_and_left_so(tmp_path: Path) -> None:
    files = mini_cbfs(tmp_path)
    scan, problems, _ = scan_of(files[::-1])
    assert any("not in the order of omega" in problem for problem in problems)
    np.testing.assert_allclose(scan.angles[0], [13.5, 13.25, 13.0, 12.75, 12.5])


def test_a_missing_file_is_a_gap(tmp_path: Path) -> None:
    files = mini_cbfs(tmp_path)
    _, problems, _ = scan_of(files[:2] + files[3:])
    assert len(problems) == 1
    assert "a gap at frame 2" in problems[0]
    assert "scan_00004.cbf" in problems[0]


def test_a_scan_goes_on_through_360_degrees(tmp_path: Path) -> None:
    starts = [359.5, 359.75, 0.0, 0.25, 0.5]
    files = mini_cbfs(tmp_path, each={number: {"angle": start} for number, start in enumerate(starts)})
    scan, problems, _ = scan_of(files)
    assert not problems
    np.testing.assert_allclose(scan.angles[0], [359.5, 359.75, 360.0, 360.25, 360.5])


def test_a_negative_width_is_regular(tmp_path: Path) -> None:
    scan, problems, _ = scan_of(mini_cbfs(tmp_path, width=-0.5))
    assert not problems
    np.testing.assert_allclose(scan.angles[0], [12.5, 12.0, 11.5, 11.0, 10.5])


def test_a_selection_has_the_angles_of_its_frames(tmp_path: Path) -> None:
    files = mini_cbfs(tmp_path, 6)
    for frames, starts in (("1:6:2", [12.75, 13.25, 13.75]), ("4", [13.5])):
        scan, problems, _ = scan_of(files, frames=frames)
        assert not problems  # what the selection leaves out is no gap
        np.testing.assert_allclose(scan.angles[0], starts)
        np.testing.assert_allclose(scan.width, 0.25)
    scan, problems, _ = scan_of(kappa_nxmx(tmp_path / "k.h5"), frames="1:6:2")
    assert not problems
    np.testing.assert_allclose(scan.angles[2], [-94.9, -94.7, -94.5])


def test_an_angle_that_does_not_move_is_no_scan(tmp_path: Path) -> None:
    files = mini_cbfs(tmp_path, each={number: {"angle": 10.0} for number in range(5)})
    scan, problems, _ = scan_of(files)
    assert len(problems) == 1
    assert "taken for stills" in problems[0]
    assert "0.25" in problems[0]
    assert not scan.rotates
    assert set(scan.angles[0]) == {10.0}


def test_two_scans_are_not_one(tmp_path: Path) -> None:
    one = mini_cbfs(tmp_path, 2)
    other = mini_cbf(tmp_path / "other.cbf", 2, detector="PILATUS3 6M, S/N 60-0125")
    scan, problems, _ = scan_of([*one, other])
    assert scan is None
    assert any("directions of goniometer axes" in problem and "other.cbf" in problem for problem in problems)
    frames = crystint.open_frames([*one, other])
    instrument, problems, _ = said(lambda: frames.instrument)
    assert instrument.detector == "PILATUS3 2M"
    assert any("differ in the detector" in problem and "PILATUS3 6M" in problem for problem in problems)


def test_files_that_tell_no_scan_are_named(tmp_path: Path) -> None:
    drop = ("angle", "Angle", "Omega", "Start", "# 2026")
    files = [*mini_cbfs(tmp_path, 3), mini_cbf(tmp_path / "z.cbf", 3, drop=(*drop, "Exposure"))]
    scan, problems, _ = scan_of(files)
    assert any("z.cbf first, tell no scan" in problem for problem in problems)
    assert np.isnan(scan.angles[0]).tolist() == [False] * 3 + [True]
    alone, problems, _ = scan_of(mini_cbf(tmp_path / "y.cbf", drop=drop))
    assert not problems
    assert alone.names == ()
    assert not alone.rotates
    assert alone.exposure.tolist() == [0.019]
    assert scan_of(mini_cbf(tmp_path / "x.cbf", drop=(*drop, "Exposure")))[0] is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda place: place["kappa"].attrs.__setitem__("vector", np.zeros(3)), "make no scan"),
        (lambda place: place["kappa"].attrs.__setitem__("depends_on", b"/entry/none"), "/entry/none is not there"),
        (lambda place: place["omega"].attrs.__setitem__("depends_on", place["phi"].name), "depends on itself"),
        (lambda place: place["omega"].attrs.__setitem__("units", "furlong"), "no unit of angle"),
    ],
)
def test_unusable_axes_are_told(tmp_path: Path, change, words: str) -> None:
    path = kappa_nxmx(tmp_path / "k.h5")
    with h5py.File(path, "a") as file:
        change(file["entry/sample/transformations"])
    scan, problems, _ = scan_of(path)
    assert scan is None or scan.names == ()
    assert any(words in problem for problem in problems), problems


def test_a_list_of_angles_of_another_length_is_told(tmp_path: Path) -> None:
    path = kappa_nxmx(tmp_path / "k.h5")
    with h5py.File(path, "a") as file:
        place = file["entry/sample/transformations"]
        attributes = dict(place["omega"].attrs)
        for name in ("omega", "omega_end"):
            del place[name]
        place["omega"] = -95.0 + 0.1 * np.arange(9)
        place["omega"].attrs.update(attributes)
    scan, problems, _ = scan_of(path)
    assert len(problems) == 1
    assert "9 values for 6 frames" in problems[0]
    np.testing.assert_allclose(scan.angles[2], -95.0 + 0.1 * np.arange(6))


def changed(path: Path, change) -> Path:
    with h5py.File(path, "a") as file:
        change(file["entry/sample/transformations"], file["entry/instrument/detector"])
    return path


def axes_turn_together(place, _) -> None:
    attributes = dict(place["phi"].attrs)
    del place["phi"]
    place["phi"] = 30.0 + 0.05 * np.arange(6)
    place["phi"].attrs.update(attributes)


def in_unit(name: str, value: float, unit: str | None):
    def change(_, detector) -> None:
        detector[name][()] = value
        detector[name].attrs.pop("units", None)
        if unit is not None:
            detector[name].attrs["units"] = unit

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (axes_turn_together, "the axes phi, omega turn at once; omega is taken"),
        (lambda place, _: place["omega"].attrs.pop("units"), "omega tells no unit; its angles are taken for degrees"),
        (in_unit("count_time", 9.0, "jiffy"), "count_time is in 'jiffy', expected a unit of time"),
        (in_unit("count_time", 0.02, "second"), "exposed for 0.02 s, longer than its frame time of 0.01 s"),
    ],
)
def test_what_is_doubtful_about_a_scan_is_told(tmp_path: Path, change, words: str) -> None:
    scan, problems, _ = scan_of(changed(kappa_nxmx(tmp_path / "k.h5"), change))
    assert len(problems) == 1
    assert words in problems[0]
    np.testing.assert_allclose(scan.width, 0.1)


@pytest.mark.parametrize(("value", "unit"), [(9.9, "millisecond"), (9900.0, "microseconds"), (9.9e6, "ns")])
def test_units_of_times(tmp_path: Path, value: float, unit: str) -> None:
    scan, problems, _ = scan_of(changed(kappa_nxmx(tmp_path / "k.h5"), in_unit("count_time", value, unit)))
    assert not problems
    np.testing.assert_allclose(scan.exposure, 0.0099)


@pytest.mark.parametrize(("unit", "words"), [(None, "450 m (it tells no unit)"), ("m", "450 m, expected")])
def test_a_sensor_that_is_too_thick_is_left_out(tmp_path: Path, unit: str | None, words: str) -> None:
    path = changed(kappa_nxmx(tmp_path / "k.h5"), in_unit("sensor_thickness", 450.0, unit))
    facts, problems, _ = said(lambda: crystint.open_frames(path).instrument)
    assert facts.thickness is None
    assert any(words in problem for problem in problems), problems


def test_angles_of_some_frames_make_no_scan_in_a_dense_file(tmp_path: Path) -> None:
    """NaN among them, and DIALS reads the file no more."""
    path = kappa_nxmx(tmp_path / "k.h5")
    with h5py.File(path, "a") as file:
        place = file["entry/sample/transformations"]
        attributes = dict(place["omega"].attrs)
        for name in ("omega", "omega_end", "omega_increment_set"):
            del place[name]
        place["omega"] = -95.0 + 0.1 * np.arange(4)
        place["omega"].attrs.update(attributes)
    scan, problems, _ = scan_of(path)
    assert any("no angle is told of frame 4, frame 5" in problem for problem in problems)
    assert not any("differ" in problem for problem in problems)
    np.testing.assert_allclose(scan.width, [0.1, 0.1, 0.1, 0.1, np.nan, np.nan])
    assert scan.facts()["omega"] == "-95 to -94.6 degrees"
    said(lambda: sparsify([path], tmp_path / "s.h5", RINGS))
    with crystint.open_sparse(tmp_path / "s.h5") as file:
        same_scan(file.scan, scan)
    _, problems, _ = said(lambda: densify_file(tmp_path / "s.h5", tmp_path / "d.h5"))
    assert any("the angles of 2 of the 6 frames are not known" in problem for problem in problems)
    with h5py.File(tmp_path / "d.h5") as file:
        assert file["entry/sample/depends_on"].asstr()[()] == "."
        assert "transformations" not in file["entry/sample"]


def test_a_negative_turn_is_written_about_the_opposite_axis(tmp_path: Path) -> None:
    path = kappa_nxmx(tmp_path / "k.h5", width=-0.1)
    scan, _, _ = scan_of(path)
    sparsify([path], tmp_path / "s.h5", RINGS)
    _, problems, notes = said(lambda: densify_file(tmp_path / "s.h5", tmp_path / "d.h5"))
    assert not problems
    assert any("omega turns by negative widths" in text for text in notes)
    dense, _, _ = scan_of(tmp_path / "d.h5")
    np.testing.assert_allclose(dense.width, 0.1)
    for at in (0.0, 0.5, 1.0):
        np.testing.assert_allclose(dense.rotation(np.arange(6), at), scan.rotation(np.arange(6), at), atol=1e-9)


def test_the_usual_width_is_that_of_most_frames() -> None:
    from crystint.model.scan_checks import irregularities

    width = np.array([0.5, 0.5, 0.1, 0.1, 0.1, np.nan, 0.5, 0.5])
    scan = Scan(("omega",), [[1, 0, 0]], [np.r_[0.0, np.cumsum(np.nan_to_num(width[:-1], nan=0.5))]], width=width)
    told = irregularities(scan)
    assert any("turn by 0.5 degrees, but frame 2, frame 3, frame 4 differ: 0.1 degrees" in text for text in told), told
    assert "no width is told of frame 5" in told


# every file of crystint has it


@pytest.fixture
def kappa(tmp_path: Path) -> Path:
    return kappa_nxmx(tmp_path / "kappa.h5")


@pytest.mark.parametrize("compact", [False, True])
def test_sparse_and_dense_files_have_it(tmp_path: Path, kappa: Path, compact: bool) -> None:
    expected = crystint.open_frames(kappa)
    sparsify([kappa], tmp_path / "s.h5", RINGS, compact=compact)
    with crystint.open_sparse(tmp_path / "s.h5") as file:
        same_scan(file.scan, expected.scan)
        assert file.instrument == expected.instrument
    densify_file(tmp_path / "s.h5", tmp_path / "d.h5")
    dense = crystint.open_frames(tmp_path / "d.h5")
    first = replace(expected.scan, times=np.r_[expected.scan.times[0], np.full(5, np.nan)])
    same_scan(dense.scan, first)
    assert dense.instrument == expected.instrument
    with h5py.File(tmp_path / "d.h5") as file:
        assert file["entry/start_time"].asstr()[()] == "2026-03-05T09:01:45Z"
        assert file["entry/end_time_estimated"].asstr()[()] == "2026-03-05T09:01:45.06Z"
        place = file["entry/sample/transformations"]
        np.testing.assert_allclose(place["omega_end"], place["omega"][()] + 0.1)
        assert place["omega_increment_set"][()] == pytest.approx(0.1)
        np.testing.assert_allclose(place["kappa"].attrs["vector"], [-0.642788, 0.766044, 0.0], atol=1e-6)
        assert file["entry/sample/depends_on"].asstr()[()] == "/entry/sample/transformations/phi"


def test_missing_frames_keep_their_angles(tmp_path: Path) -> None:
    files = mini_cbfs(tmp_path, frames=4)
    files[2].write_bytes(files[2].read_bytes()[:-600])  # the header is whole, the image is not
    outcome, _, _ = said(lambda: sparsify(files, tmp_path / "s.h5", RINGS))
    assert list(outcome.missing) == [2]
    with crystint.open_sparse(tmp_path / "s.h5") as file:
        np.testing.assert_allclose(file.scan.angles[0], [12.5, 12.75, 13.0, 13.25])
    _, problems, _ = said(lambda: densify_file(tmp_path / "s.h5", tmp_path / "d.h5"))
    assert len(problems) == 1
    np.testing.assert_allclose(crystint.open_frames(tmp_path / "d.h5").scan.angles[0], [12.5, 12.75, 13.0, 13.25])


@pytest.mark.parametrize("name", ["p.cxi", "p.h5", "p.jsonl", "p.refl", "SPOT.XDS"])
def test_peak_lists_have_it(tmp_path: Path, kappa: Path, name: str) -> None:
    from crystint.io.opened_file import OpenedFile
    from crystint.io.peaks.files import scan_in

    find_peaks([kappa], [tmp_path / name], RINGS)
    with OpenedFile(tmp_path / name) as file:
        same_scan(scan_in(file), crystint.open_frames(kappa).scan)


def test_what_a_source_holds_beside_the_pixels_is_carried(tmp_path: Path, kappa: Path) -> None:
    with h5py.File(kappa, "a") as file:
        user = file["entry"].create_group("user")
        user.attrs["NX_class"], user["name"] = "NXuser", "A. Person"
        file["entry/sample/temperature"] = 100.0
        file["entry/sample/temperature"].attrs["units"] = "K"
        file["entry/instrument/detector/large"] = np.zeros(20000)
        file["entry/instrument/detector/dangling"] = h5py.SoftLink("/entry/nothing")
    sparsify([kappa], tmp_path / "s.h5", RINGS)
    densify_file(tmp_path / "s.h5", tmp_path / "d.h5")
    with h5py.File(tmp_path / "d.h5") as file:
        kept = file["entry/source_metadata"]
        assert kept["user/name"].asstr()[()] == "A. Person"
        assert kept["user"].attrs["source_class"] == "NXuser"
        assert kept["sample/temperature"][()] == 100.0
        assert kept["sample/temperature"].attrs["units"] == "K"
        assert kept.attrs["source_file"] == str(kappa)
        left = set(kept.attrs["left_out"])
        assert {"data", "instrument/detector/large", "instrument/detector/dangling"} <= left
        assert "instrument/detector/pixel_mask" in left
        assert "large" not in kept["instrument/detector"]
    same_scan(crystint.open_frames(tmp_path / "d.h5").scan, crystint.open_frames(tmp_path / "d.h5").scan)
    again = crystint.open_frames(tmp_path / "d.h5").metadata()
    assert again.values["sample/temperature"][0] == 100.0  # and not nested once more
    sparsify([tmp_path / "d.h5"], tmp_path / "again.h5", RINGS)
    with crystint.open_sparse(tmp_path / "again.h5") as file:
        assert file.metadata().groups["user"] == "NXuser"


def test_the_header_of_a_cbf_file_is_carried(tmp_path: Path) -> None:
    files = mini_cbfs(tmp_path, 2)
    said(lambda: sparsify(files, tmp_path / "s.h5", RINGS))
    densify_file(tmp_path / "s.h5", tmp_path / "d.h5")
    with h5py.File(tmp_path / "d.h5") as file:
        header = file["entry/source_metadata/header"].asstr()[()]
    assert "Filter_transmission 0.2547" in header
    assert "N_excluded_pixels = 3" in header


def test_densify_says_what_dials_would_take_otherwise(tmp_path: Path, kappa: Path) -> None:
    sparsify([kappa], tmp_path / "s.h5", RINGS | {"frames": "::2"})
    _, problems, notes = said(lambda: densify_file(tmp_path / "s.h5", tmp_path / "d.h5"))
    assert len(problems) == 1
    assert "will read other angles" in problems[0]
    assert "a gap at frame 1, frame 2" in problems[0]
    assert not notes
    scan, problems, _ = scan_of(tmp_path / "d.h5")
    assert len(problems) == 1
    np.testing.assert_allclose(scan.angles[2], [-95.0, -94.8, -94.6])
    with h5py.File(kappa, "a") as file:
        del file["entry/instrument/detector/sensor_thickness"]
    sparsify([kappa], tmp_path / "t.h5", RINGS)
    _, problems, notes = said(lambda: densify_file(tmp_path / "t.h5", tmp_path / "e.h5"))
    assert not problems
    assert len(notes) == 1
    assert "how thick the sensor is" in notes[0]


def test_fabio_opens_what_has_a_scan(tmp_path: Path, kappa: Path) -> None:
    import fabio

    sparsify([kappa], tmp_path / "s.h5", RINGS)
    densify_file(tmp_path / "s.h5", tmp_path / "d.h5")
    for name in ("s.h5", "d.h5"):
        with fabio.open(str(tmp_path / name)) as image:
            assert image.nframes == 6
            assert image.data.shape == (31, 47)


def test_stills_depend_on_nothing(tmp_path: Path) -> None:
    """Programs take whatever stands under a goniometer for a scan; the angle is kept all the same."""
    files = mini_cbfs(tmp_path, 3, width=0.0)
    sparsify(files, tmp_path / "s.h5", RINGS)
    densify_file(tmp_path / "s.h5", tmp_path / "d.h5")
    with h5py.File(tmp_path / "d.h5") as file:
        assert file["entry/sample/depends_on"].asstr()[()] == "."
    scan, problems, notes = scan_of(tmp_path / "d.h5")
    assert not problems
    assert not notes
    assert not scan.rotates
    np.testing.assert_allclose(scan.angles, [[12.5] * 3])


def test_what_nobody_knows_is_marked(tmp_path: Path) -> None:
    data = crystint.simulate.simulate((40, 50), background=5.0, peaks=2, intensity=900.0, seed=1)
    writer = crystint.DenseWriter(
        tmp_path / "d.h5", data.shape, data.dtype, geometry=data.geometry, mask=None, saturation=None, provenance={}
    )
    with writer:
        writer.write(data[0])
    with h5py.File(tmp_path / "d.h5") as file:
        demanded = [file["entry"][name] for name in ("sample/name", "source/name", "instrument/name")] + [
            file["entry/instrument/detector"][name] for name in ("sensor_material", "sensor_thickness")
        ]
        assert all("not told by the source" in each.attrs["unknown"] for each in demanded)
        assert "description" not in file["entry/instrument/detector"]
        assert "start_time" not in file["entry"]
    frames = crystint.open_frames(tmp_path / "d.h5")
    assert frames.instrument.to_dict() == {"underload": 0}
    assert frames.scan is None


def test_a_scan_that_does_not_fit_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    scan = Scan(("omega",), [[1.0, 0.0, 0.0]], [[0.0, 1.0]], width=1.0)
    arguments = {"geometry": None, "mask": None, "saturation": None, "provenance": {}, "scan": scan}
    frame = rng.poisson(3, (9, 8)).astype(np.uint16)

    def write_three() -> None:
        with crystint.DenseWriter(tmp_path / "d.h5", (9, 8), "uint16", **arguments) as writer:
            for _ in range(3):
                writer.write(frame)

    with pytest.raises(ShapeError, match="the scan has 2 frames, but 3 were written"):
        write_three()
    assert not (tmp_path / "d.h5").exists()
    with crystint.DenseWriter(tmp_path / "e.h5", (9, 8), "uint16", **arguments) as writer:
        writer.write(frame)
        writer.end_early(2)
    np.testing.assert_allclose(crystint.open_frames(tmp_path / "e.h5").scan.angles, [[0.0]])


def test_names_of_axes_that_are_no_names_of_data_sets(tmp_path: Path) -> None:
    scan = Scan(("a/b", "w", "w"), np.eye(3), [[1.0, 1.0], [2.0, 2.0], [0.0, 1.0]], 2, width=1.0)
    arguments = {"geometry": None, "mask": None, "saturation": None, "provenance": {}, "scan": scan}
    with crystint.DenseWriter(tmp_path / "d.h5", (9, 8), "uint16", **arguments) as writer:
        writer.write(np.ones((9, 8), np.uint16))
        writer.write(np.ones((9, 8), np.uint16))
    again = crystint.open_frames(tmp_path / "d.h5").scan
    assert again.names == ("a_b", "w_1", "w_2")
    np.testing.assert_allclose(again.rotation([0, 1]), scan.rotation([0, 1]), atol=1e-12)
    with crystint.DenseWriter(tmp_path / "none.h5", (9, 8), "uint16", **arguments):
        pass


def test_a_damaged_scan_in_a_sparse_file_is_an_error(tmp_path: Path, kappa: Path) -> None:
    sparsify([kappa], tmp_path / "s.h5", RINGS)
    with h5py.File(tmp_path / "s.h5", "a") as file:
        del file["entry_0000/crystint/scan/vectors"]
    with crystint.open_sparse(tmp_path / "s.h5") as file, pytest.raises(FileError, match="its scan cannot be read"):
        file.scan  # noqa: B018


# experiments of DIALS


def test_experiments_of_dials_fill_what_frames_lack(tmp_path: Path) -> None:
    """``-g`` with frames that tell nothing: geometry, goniometer, exposure and sensor."""
    np.save(tmp_path / "f.npy", np.random.default_rng(0).poisson(3.0, (5, 31, 47)).astype(np.int32))
    path = experiments(tmp_path / "e.expt")
    settings = {**RINGS, "geometry": path, "frames": "1:5"}
    _, problems, notes = said(lambda: sparsify([tmp_path / "f.npy"], tmp_path / "s.h5", settings))
    assert not problems
    assert any("the scan is that of" in text and "e.expt" in text for text in notes)
    with crystint.open_sparse(tmp_path / "s.h5") as file:
        scan, facts, geometry = file.scan, file.instrument, file.geometry
    assert scan.names == ("PHI", "KAPPA", "OMEGA")
    np.testing.assert_allclose(scan.vectors, [[1, 0, 0], [0.6, -0.8, 0], [1, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(scan.angles, [[30.0] * 4, [25.0] * 4, [12.75, 13.0, 13.25, 13.5]])
    assert set(scan.exposure) == {0.02}
    np.testing.assert_allclose(scan.times, 1772701305.5 + 0.02 * np.arange(1, 5), atol=1e-6)
    assert (facts.material, facts.thickness) == ("Si", pytest.approx(450e-6))
    assert geometry.distance == pytest.approx(0.2)
    assert geometry.beam_center == pytest.approx((11.5, 20.25))
    assert geometry.polarization == pytest.approx(0.998)


def test_fixed_and_setting_rotation_are_axes(tmp_path: Path) -> None:
    from scipy.spatial.transform import Rotation

    from crystint.io.geometry.dials import expt_scan

    fixed, setting = (Rotation.from_rotvec(vector) for vector in ([0.3, -0.2, 0.5], [0.1, 0.4, -0.2]))
    gonio = {
        "rotation_axis": [0.0, 1.0, 0.0],
        "fixed_rotation": fixed.as_matrix().ravel().tolist(),
        "setting_rotation": setting.as_matrix().ravel().tolist(),
    }
    scan, _ = expt_scan(experiments(tmp_path / "e.expt", gonio=gonio))
    assert scan.names == ("fixed_rotation", "omega", "setting_rotation")
    turn = np.diag(TO_DIALS)
    for frame in range(5):
        about = Rotation.from_rotvec(np.radians(12.5 + 0.25 * frame) * np.array([0.0, 1.0, 0.0]))
        expected = (setting * about * fixed).as_matrix()
        np.testing.assert_allclose(turn @ scan.rotation(frame, 0.0) @ turn, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"frames": 4}, "has a scan of 4 images, but there are 5 frames"),
        ({"angles": (90.0, 0.5)}, "differ in angles"),
        ({"angles": (12.5, 0.0)}, "differ in the kind"),
        ({"gonio": {"rotation_axis": [0.0, 1.0, 0.0]}}, "differ in the direction of the axis"),
    ],
)
def test_experiments_that_do_not_fit_are_told(tmp_path: Path, made, words: str) -> None:
    files = mini_cbfs(tmp_path)
    path = experiments(tmp_path / "e.expt", **({"gonio": {"rotation_axis": [1.0, 0.0, 0.0]}} | made))
    settings = {**RINGS, "geometry": path}
    _, problems, _ = said(lambda: sparsify(files, tmp_path / "s.h5", settings))
    assert any(words in problem for problem in problems), problems
    with crystint.open_sparse(tmp_path / "s.h5") as file:
        np.testing.assert_allclose(file.scan.angles, [[12.5, 12.75, 13.0, 13.25, 13.5]])


def test_experiments_of_another_detector_are_refused(tmp_path: Path) -> None:
    path = experiments(tmp_path / "e.expt", shape=(30, 47))
    with pytest.raises(ShapeError, match=r"e\.expt"):
        sparsify(mini_cbfs(tmp_path), tmp_path / "s.h5", {**RINGS, "geometry": path})


# the model


def test_rotation_is_the_product_of_its_turns() -> None:
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(3)
    vectors, angles = rng.normal(size=(3, 3)), rng.uniform(-180, 180, (3, 4))
    scan = Scan(("phi", "kappa", "omega"), vectors, angles, 1, width=np.full(4, 3.0))
    for at in (0.0, 0.5, 1.0):
        for frame in range(4):
            turned = Rotation.identity()
            for number in range(3):
                angle = angles[number, frame] + (3.0 * at if number == 1 else 0.0)
                turned = Rotation.from_rotvec(np.radians(angle) * scan.vectors[number]) * turned
            np.testing.assert_allclose(scan.rotation(frame, at), turned.as_matrix(), atol=1e-12)
    assert scan.rotation(np.arange(4)).shape == (4, 3, 3)
    axis = Rotation.from_rotvec(np.radians(angles[2, 0]) * scan.vectors[2]).apply(scan.vectors[1])
    np.testing.assert_allclose(scan.axis, axis, atol=1e-12)


def test_scan_as_plain_values_and_back() -> None:
    scan = Scan(
        ("phi", "omega"),
        np.eye(3)[:2],
        [[1.0, 2.0, np.nan], [0.0, 0.0, 0.0]],
        width=0.5,
        times=np.array([1.5, np.nan, 2.0]),
    )
    same_scan(Scan.from_dict(json.loads(json.dumps(scan.to_dict()))), scan)
    with pytest.raises(ShapeError, match="not the fields"):
        Scan.from_dict({"names": ["omega"]})


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((("omega",), [[0.0, 0.0, 0.0]], [[1.0]]), GeometryError),
        ((("omega",), [[1.0, 0.0, 0.0]], [[1.0], [2.0]]), ShapeError),
        ((("omega", "phi"), [[1.0, 0.0, 0.0]], [[1.0]]), ShapeError),
        ((("omega",), [[1.0, 0.0, 0.0]], [[1.0, 2.0]], 1), ShapeError),
        ((("omega",), [[1.0, 0.0, 0.0]], [[1.0, 2.0]], 0, np.zeros(3)), ShapeError),
    ],
)
def test_a_wrong_scan_is_refused(arguments, error) -> None:
    with pytest.raises(error):
        Scan(*arguments)


# DIALS


_SHOWN = """
import json, sys
from dxtbx.model.experiment_list import ExperimentListFactory
def shown(names):
    (one,) = ExperimentListFactory.from_filenames(names)
    scan, gonio, panel = one.scan, one.goniometer, one.detector[0]
    return {
        "still": one.is_still(), "images": len(one.imageset),
        "axis": gonio.get_rotation_axis(), "fixed": gonio.get_fixed_rotation(), "range": scan.get_image_range(),
        "oscillation": scan.get_oscillation(), "exposure": list(scan.get_exposure_times()),
        "beam": one.beam.get_s0(), "origin": panel.get_origin(), "fast": panel.get_fast_axis(),
        "slow": panel.get_slow_axis(), "pixel": panel.get_pixel_size(), "thickness": panel.get_thickness(),
        "mu": panel.get_mu(), "trusted": panel.get_trusted_range(), "material": panel.get_material(),
    }
print(json.dumps([shown(names) for names in NAMES]))
"""


def test_dials_sees_the_same_sweeps(tmp_path: Path) -> None:
    frame = np.random.default_rng(0).poisson(3, (195, 487)).astype(np.int32)  # of a PILATUS, else dxtbx reads none
    sources = {
        "kappa": [kappa_nxmx(tmp_path / "k.h5")],
        "phi": [kappa_nxmx(tmp_path / "p.h5", turns="phi")],
        "vertical": [kappa_nxmx(tmp_path / "v.h5", axes={"omega": ([0.0, 1.0, 0.0], 170.0)}, width=35.0)],
        "cbf": [mini_cbf(tmp_path / f"s_{n + 1:04d}.cbf", n, frame) for n in range(3)],
    }
    for name, files in sources.items():
        said(lambda name=name, files=files: sparsify(files, tmp_path / f"{name}_sparse.h5", RINGS))
        densify_file(tmp_path / f"{name}_sparse.h5", tmp_path / f"{name}_dense.h5")
    names = [[file.name for file in files] for files in sources.values()] + [[f"{name}_dense.h5"] for name in sources]
    shown = json.loads(run_dials_python(f"NAMES = {names!r}\n{_SHOWN}", tmp_path))
    for name, raw, dense in zip(sources, shown, shown[len(sources) :], strict=False):
        assert not raw["still"], name
        for what, value in raw.items():
            if what in ("still", "images", "material", "trusted", "range"):
                assert dense[what] == value, (name, what)
            else:
                np.testing.assert_allclose(dense[what], value, rtol=1e-6, atol=1e-9, err_msg=f"{name} {what}")
