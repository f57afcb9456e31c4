"""Small files of rotation scans, as PILATUS and EIGER detectors and the beamlines of Diamond write them, for tests."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import h5py
import numpy as np
from fabio.cbfimage import CbfImage

from tests.io.hdf5_files import beam, detector, stack

SIZE = (31, 47)
MINI = """# Detector: {detector}
# {time}
# Pixel_size 172e-6 m x 172e-6 m
# {sensor} sensor, thickness {thickness:f} m
# Exposure_time {exposure:.7f} s
# Exposure_period {period:.7f} s
# Tau = 0 s
# Count_cutoff 115897 counts
# Threshold_setting: 6400 eV
# Gain_setting: autog (vrf = 1.000)
# N_excluded_pixels = 3
# Wavelength 0.97950 A
# Detector_distance 0.20000 m
# Beam_xy (20.25, 11.50) pixels
# Filter_transmission 0.2547
# Start_angle {angle:.4f} deg.
# Angle_increment {width:.4f} deg.
# Detector_2theta 0.0000 deg.
# Polarization 0.990
# Kappa {kappa:.4f} deg.
# Phi {phi:.4f} deg.
# Phi_increment 0.0000 deg.
# Omega {angle:.4f} deg.
# Omega_increment {width:.4f} deg.
# Chi 0.0000 deg.
# Oscillation_axis {axis}
# N_oscillations 1
"""
START = datetime(2026, 3, 5, 9, 1, 45, 613000)


def mini_header(number, **values):
    """The mini header of a frame of a scan; `values` replace what it would have."""
    width = values.get("width", 0.25)
    time = START + timedelta(seconds=0.02 * number)
    use = {
        "detector": "PILATUS3 2M, S/N 24-0999",
        "time": time.isoformat(timespec="milliseconds"),
        "sensor": "Silicon",
        "thickness": 450e-6,
        "exposure": 0.019,
        "period": 0.02,
        "angle": 12.5 + width * number,
        "width": width,
        "kappa": 0.0,
        "phi": 0.0,
        "axis": "OMEGA",
    }
    return MINI.format(**(use | values))


def mini_cbf(path, number=0, frame=None, drop=(), **values):
    """One frame with a mini header; `drop` names lines that it lacks."""
    lines = [line for line in mini_header(number, **values).splitlines() if not any(name in line for name in drop)]
    header = {"_array_data.header_convention": '"PILATUS_1.2"', "_array_data.header_contents": "\r\n".join(lines)}
    frame = np.random.default_rng(number).poisson(3.0, SIZE).astype(np.int32) if frame is None else frame
    CbfImage(frame, header=header).write(str(path))
    return path


def mini_cbfs(folder, frames=5, each=None, **values):
    """A scan; `each` gives values of single frames, by their number."""
    each = each or {}
    names = [folder / f"scan_{number + 1:05d}.cbf" for number in range(frames)]
    return [mini_cbf(name, number, **(values | each.get(number, {}))) for number, name in enumerate(names)]


def _put(group, name, value, **attributes):
    group[name] = value
    for key, attribute in attributes.items():
        group[name].attrs[key] = np.bytes_(attribute) if isinstance(attribute, str) else attribute
    return group[name]


def _modules(group):
    """Translation and one module, in McStas's frame, as DECTRIS writes them."""
    above = f"{group.name}/transformations"
    group.create_group("transformations").attrs["NX_class"] = "NXtransformations"
    common = {"offset": np.zeros(3)}
    _put(
        group, "transformations/translation", 0.1, units="m", transformation_type="translation", depends_on=".",
        vector=np.array([0.0, 0.0, 1.0]), **common,
    )  # fmt: skip
    group["depends_on"] = np.bytes_(f"{above}/translation")
    module = group.create_group("module")
    module.attrs["NX_class"] = "NXdetector_module"
    module["data_origin"], module["data_size"] = np.array([0, 0]), np.array(SIZE)
    place = np.array([20.25 * 75e-6, 11.5 * 75e-6, 0.0])
    _put(
        module, "module_offset", float(np.linalg.norm(place)), units="m", transformation_type="translation",
        depends_on=f"{above}/translation", vector=place / np.linalg.norm(place), **common,
    )  # fmt: skip
    for name, vector in (("fast", [-1.0, 0.0, 0.0]), ("slow", [0.0, -1.0, 0.0])):
        _put(
            module, f"{name}_pixel_direction", 75e-6, units="m", transformation_type="translation",
            depends_on=f"{module.name}/module_offset", vector=np.array(vector), **common,
        )  # fmt: skip


def _file(path, frames, **values):
    file = h5py.File(path, "w")
    file.attrs["NX_class"] = "NXroot"
    entry = file.create_group("entry")
    entry.attrs["NX_class"] = "NXentry"
    told = {"count_time": (0.0099, "s"), "frame_time": (0.01, "s"), "sensor_thickness": (450e-6, "m")}
    told |= {"saturation_value": (60000, ""), "underload_value": (0, ""), "beam_center_x": (20.25, "pixel")}
    group = detector(file, bits=False, **(told | values))
    group["sensor_material"] = np.bytes_("Si")
    group["description"], group["detector_number"] = np.bytes_("EIGER2 Si 9M"), np.bytes_("E-18-0999")
    group["pixel_mask"] = np.zeros(SIZE, np.uint32)
    beam(file, 0.9795)
    data = entry.create_group("data")
    data.attrs["NX_class"], data.attrs["signal"] = "NXdata", "data"
    data["data"] = stack(frames).astype(np.uint32)
    return file, entry, group


def kappa_nxmx(path, frames=6, turns="omega", width=0.1, axes=None):
    """NXmx as Diamond's I19 and VMXi write it: phi on kappa on omega, the end of each frame beside it."""
    file, entry, group = _file(path, frames)
    with file:
        _modules(group)
        entry["definition"] = "NXmx"
        entry["start_time"], entry["end_time_estimated"] = "2026-03-05T09:01:45Z", "2026-03-05T09:01:46Z"
        source = entry.create_group("source")
        source.attrs["NX_class"], source["name"] = "NXsource", "Diamond Light Source"
        entry["instrument/name"] = "DIAMOND BEAMLINE I19-2"
        sample = entry.create_group("sample")
        sample.attrs["NX_class"], sample["name"] = "NXsample", "ylid 3"
        place = sample.create_group("transformations")
        place.attrs["NX_class"] = "NXtransformations"
        axes = axes or {
            "phi": ([-1.0, 0.0, 0.0], 30.0),
            "kappa": ([-0.642788, 0.766044, 0.0], 25.0),
            "omega": ([-1.0, 0.0, 0.0], -95.0),
        }
        names = list(axes)
        for number, (name, (vector, start)) in enumerate(axes.items()):
            after = f"{place.name}/{names[number + 1]}" if number + 1 < len(names) else "."
            angles = start + width * np.arange(frames) if name == turns else np.array([start])
            _put(
                place, name, angles, units="deg", transformation_type="rotation", depends_on=after,
                vector=np.array(vector),
            )  # fmt: skip
        if turns:
            place[f"{turns}_end"] = place[turns][()] + width
            place[f"{turns}_increment_set"] = width
        sample["depends_on"] = np.bytes_(f"{place.name}/{names[0]}")
    return path


def dectris_master(path, frames=6, start=10.0, width=0.2, chain=False, **motors):
    """A master of a DECTRIS EIGER: ``goniometer`` with angles of each frame, and a chain of axes in newer ones."""
    file, entry, group = _file(path, frames)
    with file:
        _modules(group)
        specific = group.create_group("detectorSpecific")
        specific["data_collection_date"] = np.bytes_("2026-03-05T09:01:45.123456")
        specific["eiger_fw_version"], specific["nimages"], specific["ntrigger"] = b"release-2020.2.5", frames, 1
        sample = entry.create_group("sample")
        sample.attrs["NX_class"] = "NXsample"
        gonio = sample.create_group("goniometer")
        gonio.attrs["NX_class"] = "NXtransformations"
        angles = start + width * np.arange(frames)
        for name, values in {"omega": angles, "omega_end": angles + width, **motors}.items():
            _put(gonio, name, values, units="degree")
        gonio["omega_range_average"], gonio["omega_range_total"] = width, width * frames
        if chain:
            place = sample.create_group("transformations")
            place.attrs["NX_class"] = "NXtransformations"
            _put(
                place, "omega", angles, units="degree", transformation_type="rotation", depends_on=".",
                vector=np.array([0.0, 1.0, 0.0]),
            )  # fmt: skip
            sample["depends_on"] = np.bytes_("/entry/sample/transformations/omega")
    return path


def experiments(path, frames=5, still=False, gonio=None, angles=(12.5, 0.25), shape=SIZE):
    """Experiments of DIALS without a crystal, as dials.import writes them (format of dxtbx 3.12)."""
    panel = {
        "name": "Panel", "type": "SENSOR_PAD", "fast_axis": [1.0, 0.0, 0.0], "slow_axis": [0.0, -1.0, 0.0],
        "origin": [-20.25 * 0.172, 11.5 * 0.172, -200.0], "raw_image_offset": [0, 0], "image_size": list(shape[::-1]),
        "pixel_size": [0.172, 0.172], "trusted_range": [-1.0, 115897.0], "thickness": 0.45, "material": "Si",
        "mu": 3.96, "identifier": "", "mask": [], "gain": 1.0, "pedestal": 0.0,
        "px_mm_strategy": {"type": "ParallaxCorrectedPxMmStrategy"},
    }  # fmt: skip
    beam = {
        "direction": [0.0, 0.0, 1.0], "wavelength": 0.9795, "polarization_normal": [0.0, 1.0, 0.0],
        "polarization_fraction": 0.999,
    }  # fmt: skip
    gonio = gonio or {
        "axes": [[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [1.0, 0.0, 0.0]], "angles": [30.0, 25.0, angles[0]],
        "names": ["PHI", "KAPPA", "OMEGA"], "scan_axis": 2,
    }  # fmt: skip
    scan = {
        "image_range": [1, frames], "batch_offset": 0, "oscillation": list(angles), "exposure_time": [0.02] * frames,
        "epochs": [1772701305.5 + 0.02 * number for number in range(frames)],
    }  # fmt: skip
    entry = {"__id__": "Experiment", "identifier": "", "beam": 0, "detector": 0}
    entry |= {} if still else {"goniometer": 0, "scan": 0}
    content = {
        "__id__": "ExperimentList", "experiment": [entry], "imageset": [], "beam": [beam], "goniometer": [gonio],
        "detector": [{"panels": [panel]}], "scan": [scan], "crystal": [], "profile": [], "scaling_model": [],
    }  # fmt: skip
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
