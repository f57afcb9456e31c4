"""The geometry of a run: order of the sources, gaps, files that differ, wavelengths per frame."""

from __future__ import annotations

import json
import warnings

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import crystint
from crystint.cli import main
from crystint.errors import CrystintNote, CrystintWarning, GeometryError
from crystint.io.frames.sequence import open_frames
from crystint.model.geometry import Geometry
from crystint.run.geometry import geometry_of, wavelengths_of
from crystint.separation.settings import Settings
from tests.io.hdf5_files import SHAPE, add_module, beam, detector, stack

FRAMES = stack(2)


def master(path, *, frames=FRAMES, wavelength=1.0, **values):
    with h5py.File(path, "w") as file:
        detector(file, **values)
        if wavelength is not None:
            beam(file, np.array(wavelength))
        file["entry/data/data"] = frames
    return path


def settings(**values):
    return Settings.of(values)


ORDER = {
    "distance": ("123mm", 0.123, 0.2, 0.1),
    "beam": ("5,6", (5.0, 6.0), (13.0, 26.0), (11.5, 20.25)),
    "wavelength": ("1.5", 1.5, 1.25, 1.0),
    "pixel_size": ("80um", (80e-6, 80e-6), (1e-4, 1e-4), (75e-6, 75e-6)),
}


@pytest.mark.parametrize("name", ORDER)
def test_options_go_before_the_file_and_that_before_the_frames(tmp_path, name):
    text, option, file, frames = ORDER[name]
    field = {"beam": "beam_center"}.get(name, name)
    opened = open_frames(master(tmp_path / "x.h5"))
    given = tmp_path / "g.json"
    Geometry(SHAPE, (1e-4, 1e-4), 0.2, (13.0, 26.0), 1.25).write(given)
    assert getattr(geometry_of(opened, settings()), field) == pytest.approx(frames)
    assert getattr(geometry_of(opened, settings(geometry=given)), field) == pytest.approx(file)
    assert getattr(geometry_of(opened, settings(geometry=given, **{name: text})), field) == pytest.approx(option)
    assert getattr(geometry_of(opened, settings(**{name: text})), field) == pytest.approx(option)


def test_gaps_are_filled_from_the_next_source_and_named(tmp_path):
    path = master(tmp_path / "x.h5", beam_center_x=None)
    with h5py.File(path, "a") as file:
        file["entry/instrument/beam/incident_polarization_stokes"] = [1.0, 0.95, 0.0, 0.0]
    frames = open_frames(path)
    poni = tmp_path / "g.poni"
    Geometry(SHAPE, (1e-4, 1e-4), 0.2, (13.0, 26.0)).write(poni)
    with pytest.warns(CrystintNote) as notes:
        geometry = geometry_of(frames, settings(geometry=poni))
    assert (geometry.wavelength, geometry.polarization, geometry.distance) == (1.0, 0.95, 0.2)
    texts = sorted(str(each.message) for each in notes)
    assert len(texts) == 2
    assert "g.poni tells no polarization; that of the frames is used: 0.95 (" in texts[0]
    assert "x.h5: entry/instrument/beam/incident_wavelength)" in texts[1]
    with pytest.raises(GeometryError, match=r"no whole geometry in it; .* the missing --beam "):
        geometry_of(frames, settings())
    assert geometry_of(frames, settings(beam="3,4")).beam_center == (3.0, 4.0)  # a gap of the frames
    text = CliRunner().invoke(main, ["peaks", str(path), "-g", str(poni), "-o", str(tmp_path / "x.jsonl")]).stderr
    assert "crystint: note: " in text
    assert "warning" not in text


def test_a_tilt_of_the_frames_is_none_of_a_file_that_is_given(tmp_path):
    from tests.io.test_geometry_files import arm

    with h5py.File(tmp_path / "x.h5", "w") as file:
        arm(file, 10.0)
        file["entry/data/data"] = FRAMES
    Geometry(SHAPE, (1e-4, 1e-4), 0.2, (13.0, 26.0), 1.0, polarization=0.9).write(tmp_path / "g.json")
    master(tmp_path / "g.h5")  # which tells no rotation at all
    for name, distance in (("g.json", 0.2), ("g.h5", 0.1)):
        geometry = geometry_of(open_frames(tmp_path / "x.h5"), settings(geometry=tmp_path / name))
        assert (geometry.rotation, geometry.distance) == ((0.0, 0.0, 0.0), distance)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"detector_distance": (0.2, "m")},
            r"in distance: 0\.1 in .*a\.h5 and 0\.2 in .*b\.h5;.*--distance.*-g",
        ),
        ({"detector_distance": (100.02, "mm")}, "differ in distance"),
        (
            {"beam_center_x": (20.4, "pixel")},
            r"in beam center: \(11\.5, 20\.25\) in .*a\.h5 and \(11\.5, 20\.4\)",
        ),
        ({"x_pixel_size": (76e-6, "m")}, "differ in pixel size"),
        ({"detector_distance": (100.005, "mm"), "beam_center_x": (20.3, "pixel")}, ""),
    ],
)
def test_files_that_differ_are_told_apart(tmp_path, change, told):
    master(tmp_path / "a.h5")
    master(tmp_path / "b.h5", **change)
    names = tmp_path / "a.h5", tmp_path / "b.h5"
    frames = open_frames(*names)
    if not told:
        assert frames.geometry.distance == 0.1
        return
    with pytest.raises(GeometryError, match=told):
        _ = frames.geometry
    with pytest.raises(GeometryError, match=told):
        geometry_of(frames, settings())
    result = CliRunner().invoke(main, ["sparsify", *map(str, names), "-o", str(tmp_path / "x.h5")])
    assert result.exit_code == 1
    assert "work on them one after the other" in result.stderr
    option = {"detector_distance": {"distance": "0.15"}, "beam_center_x": {"beam": "9,9"}}.get(next(iter(change)))
    assert geometry_of(frames, settings(**(option or {"pixel_size": "70um"}))).wavelength == 1.0
    Geometry(SHAPE, (1e-4, 1e-4), 0.2, (13.0, 26.0), polarization=0.9).write(tmp_path / "g.json")
    with pytest.warns(CrystintNote, match="tells no wavelength"):
        assert geometry_of(frames, settings(geometry=tmp_path / "g.json")).distance == 0.2


def test_peaks_of_files_that_differ_are_each_by_its_own_geometry(tmp_path, engine):
    """Distance, beam, wavelength; a, c and d are alike."""
    data = crystint.simulate.simulate((60, 70), frames=8, background=2.0, peaks=12, intensity=900.0, dtype="uint16")
    truth = {"a": (0.02, 35.0, 1.0), "b": (0.04, 33.0, 1.0), "c": (0.02, 35.0, 1.1), "d": (0.02, 35.0, 1.0)}
    for n, (name, (distance, fast, wavelength)) in enumerate(truth.items()):
        place = {"beam_center_x": (fast, "px"), "beam_center_y": (29.0, "px"), "detector_distance": (distance, "m")}
        frames = np.stack([data[2 * n], data[2 * n + 1]])
        master(tmp_path / f"{name}.h5", frames=frames, wavelength=wavelength, bits=False, **place)
    names = [str(tmp_path / f"{name}.h5") for name in truth]
    command = ["peaks", *names, "--device", engine.device.id, "--rings", "12", "-q"]
    result = CliRunner().invoke(main, [*command, "-o", str(tmp_path / "x.jsonl"), "-o", str(tmp_path / "x.cxi")])
    assert result.exit_code == 0, result.output
    assert "the files differ in geometry, and each has its own; " in result.stderr
    assert f"{names[0]} and 2 more: " in result.stderr
    for number, peaks in enumerate(spacings(tmp_path / "x.jsonl")):
        distance, fast, wavelength = truth["abcd"[number // 2]]
        angle = np.arctan(np.hypot(peaks["slow"] - 29.0, peaks["fast"] - fast) * 75e-6 / distance)
        np.testing.assert_allclose(peaks["d"], wavelength / (2 * np.sin(angle / 2)), rtol=1e-5)
    first = json.loads((tmp_path / "x.jsonl").read_text().splitlines()[0])
    used = first["provenance"]["settings"]["geometries_used"]
    assert [each["distance"] for each in used] == [0.02, 0.04, 0.02, 0.02]
    assert first["geometry"] is None


MINI = """# Detector: PILATUS
# Pixel_size 172e-6 m x 172e-6 m
# Wavelength 1.0 A
# Detector_distance {distance} m
# Beam_xy (21.6, 13.9) pixels
"""


def test_every_header_of_a_list_of_cbf_files_is_read(tmp_path):
    fabio = pytest.importorskip("fabio.cbfimage")
    for number, distance in enumerate([0.3, 0.3, 0.3, 0.45, 0.3]):
        header = {"_array_data.header_contents": "\r\n" + MINI.format(distance=distance)}
        fabio.CbfImage(data=FRAMES[0].astype(np.int32), header=header).write(str(tmp_path / f"x_{number}.cbf"))
    frames = open_frames(str(tmp_path / "x_*.cbf"))
    with pytest.raises(GeometryError, match=r"0\.3 in .*x_0\.cbf and 0\.45 in .*x_3\.cbf"):
        _ = frames.geometry
    assert open_frames(str(tmp_path / "x_[0-2].cbf")).geometry.distance == 0.3


def test_a_tilt_and_panels_are_compared_as_well(tmp_path):
    from tests.io.test_geometry_files import arm

    for name, angle in (("a.h5", 5.0), ("b.h5", 5.001), ("c.h5", 6.0)):
        with h5py.File(tmp_path / name, "w") as file:
            arm(file, angle)
            file["entry/data/data"] = FRAMES
    _ = open_frames(tmp_path / "a.h5", tmp_path / "b.h5").geometry
    with pytest.raises(GeometryError, match="differ in rotation"):
        _ = open_frames(tmp_path / "a.h5", tmp_path / "c.h5").geometry


def test_a_file_that_tells_nothing_is_named(tmp_path):
    master(tmp_path / "a.h5")
    np.save(tmp_path / "b.npy", FRAMES)
    frames = open_frames(tmp_path / "a.h5", tmp_path / "b.npy")
    told = r"1 of 2 files, .*b\.npy first, do not tell: wavelength, distance, pixel size, beam center; what the"
    with pytest.warns(CrystintWarning, match=told):
        assert frames.geometry.distance == 0.1
    np.save(tmp_path / "c.npy", FRAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_frames(tmp_path / "b.npy", tmp_path / "c.npy").geometry is None


def spacings(path):
    """d, slow, fast of all peaks by frame."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: np.array(line[name]) for name in ("d", "slow", "fast")} for line in lines]


SHOTS = [1.0, 1.03, 0.98, 1.01]


def shots(folder):
    """One file of two shots with a wavelength each, and two of one shot with one wavelength each."""
    data = crystint.simulate.simulate(
        (60, 70), frames=4, background=2.0, peaks=12, intensity=900.0, dtype="uint16", seed=3
    )
    plain = {"beam_center_x": (35.0, "pixel"), "beam_center_y": (29.0, "pixel"), "detector_distance": (0.02, "m")}
    frames = np.stack([data[number] for number in range(4)])
    files = {"a": (slice(0, 2), SHOTS[:2]), "b": (slice(2, 3), SHOTS[2]), "c": (slice(3, 4), SHOTS[3])}
    for name, (part, wavelength) in files.items():
        master(folder / f"{name}.h5", frames=frames[part], wavelength=wavelength, bits=False, **plain)
    return [folder / f"{name}.h5" for name in "abc"]


def test_wavelengths_per_frame_give_the_spacings_of_their_frame(tmp_path, engine):
    names = shots(tmp_path)
    frames = open_frames(*names)
    np.testing.assert_allclose(frames.wavelengths, SHOTS, rtol=1e-12)
    with pytest.warns(CrystintNote, match=r"the wavelength is 0\.98 to 1\.03 angstrom from frame to frame"):
        geometry = geometry_of(frames, settings())
    assert geometry.wavelength == pytest.approx(np.mean(SHOTS))
    assert wavelengths_of(frames, settings(wavelength=1.2)) is None
    command = ["--device", engine.device.id, "--rings", "12", "-q"]
    result = CliRunner().invoke(main, ["peaks", *map(str, names), "-o", str(tmp_path / "x.jsonl"), *command])
    assert result.exit_code == 0, result.output
    listed = spacings(tmp_path / "x.jsonl")
    assert min(len(peaks["d"]) for peaks in listed) > 3
    for wavelength, peaks in zip(SHOTS, listed, strict=True):
        angle = np.arctan(np.hypot(peaks["slow"] - 29.0, peaks["fast"] - 35.0) * 75e-6 / 0.02)
        np.testing.assert_allclose(peaks["d"], wavelength / (2 * np.sin(angle / 2)), rtol=1e-5)
    some = ["--frames", "3,1"]
    CliRunner().invoke(main, ["peaks", *map(str, names), "-o", str(tmp_path / "z.jsonl"), *command, *some])
    for number, peaks in zip((3, 1), spacings(tmp_path / "z.jsonl"), strict=True):
        np.testing.assert_allclose(peaks["d"], listed[number]["d"], rtol=1e-6)
    limit = float(np.median(np.concatenate([peaks["d"] for peaks in listed])))
    more = ["--d-min", f"{limit:.9f}"]
    CliRunner().invoke(main, ["peaks", *map(str, names), "-o", str(tmp_path / "y.jsonl"), *command, *more])
    for whole, cut in zip(listed, spacings(tmp_path / "y.jsonl"), strict=True):
        np.testing.assert_allclose(cut["d"], whole["d"][whole["d"] >= limit], rtol=1e-6)


GEOM = "photon_energy = 12400\nclen = 0.1\nres = 13333.3\n" + "".join(
    f"p{n}/min_fs = 0\np{n}/max_fs = 46\np{n}/min_ss = {top}\np{n}/max_ss = {bottom}\np{n}/corner_x = -20\n"
    f"p{n}/corner_y = {corner}\np{n}/fs = x\np{n}/ss = {slow}\n"
    for n, top, bottom, corner, slow in ((0, 0, 14, -11, "y"), (1, 15, 30, 6, "+0.001x +y"))
)


def test_options_move_panels(tmp_path):
    """A distance and a beam on the command line moved nothing of a detector of panels."""
    (tmp_path / "g.geom").write_text(GEOM)
    frames = open_frames(FRAMES)
    before = geometry_of(frames, settings(geometry=tmp_path / "g.geom"))
    after = geometry_of(frames, settings(geometry=tmp_path / "g.geom", distance="0.25", beam="5.5,7.25"))
    assert (after.distance, after.beam_center) == (0.25, (5.5, 7.25))
    slow, fast = np.array([2.5, 20.0]), np.array([11.0, 40.5])
    x, y, _ = before._lab(slow, fast)
    x0, y0, _ = before._lab(np.array([5.5]), np.array([7.25]))
    np.testing.assert_allclose(after.two_theta_at(slow, fast), np.arctan2(np.hypot(x - x0, y - y0), 0.25), rtol=1e-9)
    with h5py.File(tmp_path / "x.h5", "w") as file:  # panels of the frames' own file
        group = detector(file, beam_center_x=None, detector_distance=None)
        for n, (rows, corner) in enumerate((((0, 15), (1e-3, 2e-3, 0.1)), ((15, 31), (1.1e-3, -1e-4, 0.102)))):
            size = (rows[1] - rows[0], SHAPE[1])
            add_module(group, f"m{n}", corner=corner, depends_on=".", origin=(rows[0], 0), size=size)
        file["entry/data/data"] = FRAMES
    own = open_frames(tmp_path / "x.h5")
    z, moved = own.geometry, geometry_of(own, settings(distance="0.3"))
    shift = np.array(moved.panels[1].origin) - np.array(z.panels[1].origin)
    np.testing.assert_allclose(shift, [0.0, 0.0, 0.3 - z.distance], atol=1e-12)
    with pytest.raises(GeometryError, match="--pixel-size cannot change 2 panels"):
        geometry_of(frames, settings(geometry=tmp_path / "g.geom", pixel_size="1e-4"))
