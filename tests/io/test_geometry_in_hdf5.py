"""Geometry of HDF5 files as they really are: which detector, which of two that differ, arrays, LCLS."""

from __future__ import annotations

import math

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from crystint.cli import main
from crystint.errors import CrystintWarning, GeometryError
from crystint.io.frames.sequence import open_frames
from crystint.units import HC
from tests.io.hdf5_files import SHAPE, add_module, axis, beam, detector, stack

FRAMES = stack(3)


def two_detectors(file, *, small=(20, 30), names=("saxs", "waxs")):
    """Detectors of 3 m and 0.2 m, and a diode; frames are of the second. Returns its group."""
    beam(file)
    instrument = file["entry/instrument"]
    instrument.attrs["NX_class"] = "NXinstrument"
    instrument.create_group("a_diode").attrs["NX_class"] = "NXdetector"
    instrument["a_diode/data"] = np.arange(3.0)
    for name, distance, center, shape in ((names[0], 3.0, 9.0, small), (names[1], 0.2, 12.0, SHAPE)):
        group = instrument.create_group(name)
        group.attrs["NX_class"] = "NXdetector"
        for key, value, unit in (
            ("distance", distance, "m"),
            ("beam_center_x", center, ""),
            ("beam_center_y", center, ""),
        ):
            group[key] = value
            group[key].attrs["units"] = unit
        for key in ("x_pixel_size", "y_pixel_size"):
            group[key] = 75.0
            group[key].attrs["units"] = "um"
        group["pixel_mask"] = np.full(shape, int(distance), np.uint32) * (np.indices(shape).sum(axis=0) % 7 == 0)
        group["saturation_value"] = 100.0 / distance
    return instrument[names[1]]


def hard_link(file, _folder):
    """As nexusformat/definitions issue 1011 has it: NXdata shows the frames of one detector."""
    file["entry/instrument/waxs/data"] = FRAMES
    file["entry/plot/data"] = file["entry/instrument/waxs/data"]


def soft_link(file, _folder):
    file["entry/instrument/waxs/data"] = FRAMES
    file.create_group("entry/plot")["data"] = h5py.SoftLink("/entry/instrument/waxs/data")


def linked_from(file, _folder):
    file["entry/plot/data"] = FRAMES
    file["entry/instrument/waxs/images"] = h5py.SoftLink("/entry/plot/data")


def external(file, folder):
    """Both the plot and the detector show a data set of another file."""
    with h5py.File(folder / "frames.h5", "w") as other:
        other["entry/data/data"] = FRAMES
    file.create_group("entry/plot")["data"] = h5py.ExternalLink("frames.h5", "/entry/data/data")
    file["entry/instrument/waxs/data"] = h5py.ExternalLink("frames.h5", "/entry/data/data")


def virtual(file, folder):
    """Two virtual data sets of one source."""
    with h5py.File(folder / "frames.h5", "w") as other:
        other["entry/data/data"] = FRAMES
    for path in ("entry/plot", "entry/instrument/waxs"):
        layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
        layout[:] = h5py.VirtualSource("frames.h5", "entry/data/data", FRAMES.shape)
        file.require_group(path).create_virtual_dataset("data", layout)


def virtual_of_own(file, _folder):
    """A virtual data set of one inside the detector."""
    file["entry/instrument/waxs/parts"] = FRAMES
    layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
    layout[:] = h5py.VirtualSource(".", "/entry/instrument/waxs/parts", FRAMES.shape)
    file.create_group("entry/plot").create_virtual_dataset("data", layout)


def target(file, _folder):
    """NeXus's attribute for what is a copy or a link."""
    file["entry/plot/data"] = FRAMES
    file["entry/plot/data"].attrs["target"] = np.bytes_("/entry/instrument/waxs/data")


def same_name(file, _folder):
    """As at DLS and ESRF: the plot is called like the detector."""
    file["entry/waxs/data"] = FRAMES


def same_shape(file, _folder):
    file["entry/plot/data"] = FRAMES


LINKS = [hard_link, soft_link, linked_from, external, virtual, virtual_of_own, target, same_name]


@pytest.mark.parametrize(("link", "small"), [*((link, SHAPE) for link in LINKS), (same_shape, (20, 30))])
def test_the_detector_is_the_one_of_the_frames(tmp_path, link, small):
    with h5py.File(tmp_path / "x.nxs", "w") as file:
        two_detectors(file, small=small)
        link(file, tmp_path)
    frames = open_frames(tmp_path / "x.nxs", dataset="entry/waxs/data" if link is same_name else "entry/plot/data")
    assert (frames.geometry.distance, frames.geometry.beam_center) == (0.2, (12.0, 12.0))
    assert frames.saturation == 500
    assert frames.mask is None or frames.mask.max() == 0  # that of the other has 3


@pytest.mark.parametrize("entry", ["entry", "entry_2"])
def test_the_detector_is_that_of_the_entry_of_the_frames(tmp_path, entry):
    """Two scans in one file, each with a detector of its own and frames that nothing links to it."""
    with h5py.File(tmp_path / "x.nxs", "w") as file:
        detector(file)
        beam(file)
        file["entry/data/data"] = FRAMES
        file.copy("entry", "entry_2")
        file["entry_2/instrument/detector/detector_distance"][()] *= 2
        expected = file[f"{entry}/instrument/detector/detector_distance"][()]
        for name in ("entry", "entry_2"):
            file[name].attrs["NX_class"], file[f"{name}/data"].attrs["NX_class"] = "NXentry", "NXdata"
            file[f"{name}/data"].attrs["signal"] = "data"
    with pytest.warns(CrystintWarning, match="/entry_2/data/data holds frames as well, left out"):
        open_frames(tmp_path / "x.nxs").close()
    assert open_frames(tmp_path / "x.nxs", dataset=f"{entry}/data/data").geometry.distance == expected
    together = open_frames(tmp_path / "x.nxs", dataset="/*/data/data")
    assert len(together) == 6
    with pytest.raises(GeometryError, match=r"several detectors \(/entry/instrument/detector, /entry_2/instr.*-g, -m"):
        _ = together.geometry


def test_detectors_of_another_shape_are_not_that_of_the_frames(tmp_path):
    """Nothing tells the shape of the right one, but that of the others."""
    with h5py.File(tmp_path / "x.nxs", "w") as file:
        two_detectors(file, small=(20, 30))
        del file["entry/instrument/waxs/pixel_mask"]
        file["entry/plot/data"] = FRAMES
    assert open_frames(tmp_path / "x.nxs").geometry.distance == 0.2


def test_a_choice_of_detectors_is_said(tmp_path):
    with h5py.File(tmp_path / "x.nxs", "w") as file:
        two_detectors(file, small=SHAPE, names=("left", "right"))
        file["entry/plot/data"] = FRAMES
    frames = open_frames(tmp_path / "x.nxs")
    with pytest.raises(GeometryError, match=r"x\.nxs: .*instrument/left, /entry/instrument/right.*--dataset"):
        _ = frames.geometry
    with pytest.warns(CrystintWarning, match="no saturation value is read.*instrument/left"):
        assert frames.saturation is None
    with pytest.warns(CrystintWarning, match="no mask is read"):
        assert frames.mask is None


def module_at(file, corner, z=0.1, angle=0.0, **plain):
    """A module with its corner at (x, y) px, `z` m behind the sample, and the plain numbers beside it."""
    group = detector(file, **plain)
    moves = group.create_group("transformations")
    first = axis(moves, "two_theta", angle, "rotation", (0.0, 1.0, 0.0), ".", "deg")
    second = axis(moves, "det_z", z * 1e3, "translation", (0.0, 0.0, 1.0), first, "mm")
    add_module(group, "module", corner=(corner[1] * 75e-6, corner[0] * 75e-6, 0.0), depends_on=second)
    beam(file)
    file["entry/data/data"] = FRAMES
    return group


@pytest.mark.parametrize(
    ("corner", "z", "warned"),
    [
        ((11.5, 20.25), 0.1, ""),
        ((11.9, 20.9), 0.1005, ""),  # 0.8 px and 0.5 % are of rounding, or of a refinement
        ((14.0, 20.25), 0.1, r"beam_center_y and .*beam_center_x says \(11\.50, 20\.25\).*\(14\.00, 20\.25\)"),
        ((11.5, 20.25), 0.15, r"detector_distance says 0\.1 m.*0\.15 m; the axes are used"),
    ],
)
def test_axes_count_before_beam_center(tmp_path, corner, z, warned, recwarn):
    with h5py.File(tmp_path / "x.nxs", "w") as file:
        module_at(file, corner, z)
    if warned:
        with pytest.warns(CrystintWarning, match=warned):
            geometry = open_frames(tmp_path / "x.nxs").geometry
    else:
        geometry = open_frames(tmp_path / "x.nxs").geometry
    assert geometry.beam_center == pytest.approx(corner, rel=1e-12)
    assert geometry.distance == pytest.approx(z, rel=1e-12)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("corner", "z", "distance"),
    [
        ((0.0, 0.0), 0.3, 0.1),  # module_offset never set
        ((11.5, 20.25), 0.0, 0.1),  # at the sample
        ((0.0, 0.0), 0.0, 0.1),
    ],
)
def test_stubs_of_axes_are_no_axes(tmp_path, corner, z, distance):
    with h5py.File(tmp_path / "x.nxs", "w") as file:
        module_at(file, corner, z)
    geometry = open_frames(tmp_path / "x.nxs").geometry
    assert (geometry.beam_center, geometry.distance) == ((11.5, 20.25), distance)


def test_axes_that_cannot_be_are_ignored_with_a_warning_or_are_an_error(tmp_path):
    for name, plain in (("a.nxs", {}), ("b.nxs", {"beam_center_x": None})):
        with h5py.File(tmp_path / name, "w") as file:
            module_at(file, (11.5, 20.25), 150.0, **plain)  # mm written as m
    with pytest.warns(CrystintWarning, match=r"axes of .*detector make no geometry and are ignored.*150"):
        assert open_frames(tmp_path / "a.nxs").geometry.distance == 0.1
    with pytest.raises(GeometryError, match=r"b\.nxs: the axes of.*is 150 m.*write 150mm"):
        _ = open_frames(tmp_path / "b.nxs").geometry


def test_the_offset_of_a_pixel_direction_places_a_module(tmp_path):
    """Without a module_offset, as NXmx allows; on an arm that is turned by 10 degrees."""
    with h5py.File(tmp_path / "x.nxs", "w") as file:
        group = module_at(file, (0.0, 0.0), angle=10.0, beam_center_x=None)
        module = group["module"]
        del module["module_offset"]
        for name in ("fast_pixel_direction", "slow_pixel_direction"):
            module[name].attrs["depends_on"] = "/entry/instrument/detector/transformations/det_z"
            module[name].attrs["offset"] = (1.5, 0.9, 0.0)
            module[name].attrs["offset_units"] = "mm"
    geometry = open_frames(tmp_path / "x.nxs").geometry
    x, y, turn = (20.0 - 7.5) * 75e-6, (12.0 - 3.5) * 75e-6, math.radians(10.0)
    x, z = math.cos(turn) * x + math.sin(turn) * 0.1, math.cos(turn) * 0.1 - math.sin(turn) * x
    assert geometry.two_theta()[3, 7] == pytest.approx(math.atan2(math.hypot(x, y), z), rel=1e-9)


def test_axes_that_turn_a_detector_without_modules_are_warned_of(tmp_path):
    for name, angle in (("a.nxs", 0.0), ("b.nxs", 12.0)):
        with h5py.File(tmp_path / name, "w") as file:
            group = module_at(file, (11.5, 20.25), angle=angle)
            del group["module"]
            group["depends_on"] = "/entry/instrument/detector/transformations/det_z"
    assert open_frames(tmp_path / "a.nxs").geometry.distance == 0.1
    with pytest.warns(CrystintWarning, match=r"b\.nxs: the axes of .*turn it by 12 degrees, but no NXdetector_module"):
        _ = open_frames(tmp_path / "b.nxs").geometry


@pytest.mark.parametrize(("axis_name", "values"), [("det_z", [100.0, 103.0]), ("two_theta", [0.0, 2.0])])
def test_axes_that_move_count_with_their_start_and_are_warned_of(tmp_path, axis_name, values):
    with h5py.File(tmp_path / "x.nxs", "w") as file:
        group = module_at(file, (11.5, 20.25))
        old = group["transformations"][axis_name]
        attributes = dict(old.attrs)
        del group["transformations"][axis_name]
        group["transformations"][axis_name] = np.linspace(*values, 3)
        group["transformations"][axis_name].attrs.update(attributes)
    with pytest.warns(CrystintWarning, match=rf"{axis_name} moves from {values[0]:g} to {values[1]:g}"):
        geometry = open_frames(tmp_path / "x.nxs").geometry
    assert (geometry.distance, geometry.rotation) == (pytest.approx(0.1), (0.0, 0.0, 0.0))


def test_axes_that_are_incomplete_are_named_where_nothing_else_tells(tmp_path):
    for name, plain in (("a.nxs", {}), ("b.nxs", {"beam_center_x": None})):
        with h5py.File(tmp_path / name, "w") as file:
            del module_at(file, (11.5, 20.25), **plain)["transformations/det_z"]
    assert open_frames(tmp_path / "a.nxs").geometry.beam_center == (11.5, 20.25)
    with pytest.warns(CrystintWarning, match=r"axes of .*detector are incomplete and cannot be used: .*det_z"):
        assert open_frames(tmp_path / "b.nxs").geometry is None


def test_beam_center_of_an_arm_swung_back_agrees(tmp_path):
    """DECTRIS's beam_center stays at that of two theta = 0, where the beam of the arm would be."""
    with h5py.File(tmp_path / "x.nxs", "w") as file:
        module_at(file, (11.5, 20.25), angle=20.0)
    geometry = open_frames(tmp_path / "x.nxs").geometry
    assert max(map(abs, geometry.rotation)) == pytest.approx(math.radians(20.0))


@pytest.mark.parametrize(
    ("name", "value", "weights", "expected", "each"),
    [
        ("incident_wavelength", [1.0, 1.1, 1.3], [1.0, 2.0, 1.0], 1.125, None),
        ("incident_wavelength", [1.0, 1.1, 1.2, 1.5], [1.0, 1.0, 0.0, 2.0], 1.275, None),
        ("incident_wavelength", [1.0, 1.1, 1.2], None, 1.1, [1.0, 1.1, 1.2]),
        ("incident_wavelength", [[1.0], [1.1], [1.2]], None, 1.1, [1.0, 1.1, 1.2]),
        ("incident_wavelength", [1.0, 1.0, 1.0], None, 1.0, None),
        ("incident_wavelength", [[1.0, 2.0], [1.0, 3.0], [2.0, 4.0]], [3.0, 1.0], 5.25 / 3, [1.25, 1.5, 2.5]),
        ("incident_energy", [HC / 1.0, HC / 1.1, HC / 1.2], None, 1.1, [1.0, 1.1, 1.2]),
    ],
)
def test_arrays_of_wavelengths(tmp_path, name, value, weights, expected, each):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        detector(file)
        beam(file, np.array(value), name, "eV" if "energy" in name else "angstrom")
        if weights is not None:
            file[f"entry/instrument/beam/{name}_weights"] = np.array(weights)
        file["entry/data/data"] = FRAMES
    frames = open_frames(tmp_path / "x.h5")
    assert frames.geometry.wavelength == pytest.approx(expected, rel=1e-9)
    assert frames.wavelengths is None if each is None else frames.wavelengths == pytest.approx(each, rel=1e-9)


@pytest.mark.parametrize(
    ("value", "expected", "warned"),
    [
        ([1.0, 1.1], 1.05, "2 wavelengths, 1 to 1.1 angstrom, with neither weights nor one for each of 3 frames"),
        ([1.0, np.nan, 1.2], 1.1, "none for 1 of 3 frames"),
        ([0.0, 1.0, np.nan], 1.0, "none for 2 of 3 frames"),
    ],
)
def test_other_arrays_of_wavelengths_are_warned_of(tmp_path, value, expected, warned):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        detector(file)
        beam(file, np.array(value))
        file["entry/data/data"] = FRAMES
    with pytest.warns(CrystintWarning, match=r"x\.h5: entry/instrument/beam/incident_wavelength .*" + warned):
        assert open_frames(tmp_path / "x.h5").geometry.wavelength == pytest.approx(expected)


@pytest.mark.parametrize(
    ("stokes", "expected"),
    [([1.0, 0.95, 0, 0], 0.95), ([[2.0, 1.9, 0, 0]] * 3, 0.95), ([[1.0, 0.9, 0, 0], [1.0, -0.5, 0, 0]], 0.2)],
)
def test_polarization_from_stokes_parameters(tmp_path, stokes, expected):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        detector(file)
        beam(file)
        file["entry/instrument/beam/incident_polarization_stokes"] = np.array(stokes)
        file["entry/data/data"] = FRAMES
    frames = open_frames(tmp_path / "x.h5")
    if expected == 0.2:
        with pytest.warns(CrystintWarning, match=r"polarization_stokes.* gives polarizations of -0\.5 to 0\.9"):
            assert frames.geometry.polarization == pytest.approx(0.2)
    else:
        assert frames.geometry.polarization == pytest.approx(expected)


def test_a_distance_per_frame_is_warned_of_where_it_varies(tmp_path):
    for name, values in (("a.h5", [0.1, 0.1, 0.1 + 1e-7]), ("b.h5", [0.1, 0.11, 0.12])):
        with h5py.File(tmp_path / name, "w") as file:
            detector(file, detector_distance=(np.array(values), "m"))
            beam(file)
            file["entry/data/data"] = FRAMES
    assert open_frames(tmp_path / "a.h5").geometry.distance == 0.1
    with pytest.warns(CrystintWarning, match=r"detector_distance has 3 values, 0\.1 to 0\.12; their mean is used"):
        assert open_frames(tmp_path / "b.h5").geometry.distance == pytest.approx(0.11)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("LCLS/photon_energy_eV", np.array([9500.0, 9510.0, 9490.0])),
        ("LCLS/photon_wavelength_A", HC / np.array([9500.0, 9510.0, 9490.0])),
        ("entry_1/instrument_1/source_1/energy", np.array([9500.0, 9510.0, 9490.0]) * 1.602176634e-19),
    ],
)
def test_cheetah(tmp_path, path, value):
    """Places as Cheetah writes them at LCLS: no units, no beam centre, energy per event."""
    with h5py.File(tmp_path / "x.cxi", "w") as file:
        file["entry_1/data_1/data"] = FRAMES
        file["entry_1/instrument_1/detector_1/data"] = h5py.SoftLink("/entry_1/data_1/data")
        file["entry_1/instrument_1/detector_1/distance"] = np.full(3, 0.1384)
        file["entry_1/instrument_1/detector_1/x_pixel_size"] = 110e-6
        file["entry_1/instrument_1/detector_1/y_pixel_size"] = 110e-6
        file["LCLS/detector_1/EncoderValue"] = np.full(3, -441.0)
        file[path] = value
    frames = open_frames(tmp_path / "x.cxi")
    assert frames.geometry is None
    assert frames.wavelengths == pytest.approx(HC / np.array([9500.0, 9510.0, 9490.0]), rel=1e-9)
    assert frames.partial_geometry().values["distance"] == pytest.approx(0.1384)
    shown = CliRunner().invoke(main, ["info", str(tmp_path / "x.cxi")]).stdout
    assert "none (without beam center); give one with -g" in shown
    assert "0.1384 m (entry_1/instrument_1/detector_1/distance, without a unit)" in shown
    assert path in shown
    assert " angstrom (9500 eV), 1.30372 to 1.30647 from frame to frame (" in shown


def test_info_names_the_place_of_each_number(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        detector(file)
        beam(file)
        file["entry/data/data"] = FRAMES
    shown = CliRunner().invoke(main, ["info", str(tmp_path / "x.h5")]).stdout
    for line in (
        "0.1 m (entry/instrument/detector/detector_distance)",
        "11.50, 20.25 px (slow, fast) (entry/instrument/detector/beam_center_y and ",
        "1 angstrom (12398 eV) (entry/instrument/beam/incident_wavelength)",
    ):
        assert line in shown
