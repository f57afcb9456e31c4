"""Small HDF5 files as detectors write them, for tests."""

from __future__ import annotations

import h5py
import hdf5plugin
import numpy as np

SHAPE = (31, 47)


def stack(n=5, shape=SHAPE, dtype=np.uint16, seed=0):
    """Frames of Poisson counts, one masked pixel, and its number in pixel (0, 0)."""
    frames = np.random.default_rng(seed).poisson(3.0, (n, *shape)).astype(dtype)
    frames[:, 0, 0] = np.arange(n)
    return frames


def detector(file, *, bits=True, **values):
    """An NXdetector with DECTRIS's names; `values` replace or, when None, remove."""
    fields = {
        "beam_center_x": (20.25, "pixel"),
        "beam_center_y": (11.5, "pixel"),
        "detector_distance": (0.1, "m"),
        "x_pixel_size": (75e-6, "m"),
        "y_pixel_size": (75e-6, "m"),
    } | values
    entry = file.require_group("entry")
    entry.attrs["NX_class"] = "NXentry"
    entry.require_group("instrument").attrs["NX_class"] = "NXinstrument"
    group = entry.require_group("instrument/detector")
    group.attrs["NX_class"] = "NXdetector"
    for key, value in fields.items():
        if value is not None:
            group[key] = value[0]
            if value[1]:
                group[key].attrs["units"] = value[1]
    if bits:
        mask = np.zeros(SHAPE, dtype=np.uint32)
        mask[2, 3] = 1
        mask[4] = 1 << 30
        group["detectorSpecific/pixel_mask"] = mask
        group["detectorSpecific/countrate_correction_count_cutoff"] = np.uint32(60000)
    return group


def beam(file, value=1.0, name="incident_wavelength", unit="angstrom", place="entry/instrument/beam"):
    group = file.require_group(place)
    group.attrs["NX_class"] = "NXbeam"
    group[name] = value
    if unit:
        group[name].attrs["units"] = unit


def eiger_master(folder, frames, per_file=2, **values):
    """A DECTRIS master with external links data_000001, ...; the path of the master."""
    path = folder / "run_master.h5"
    with h5py.File(path, "w") as master:
        detector(master, **values)
        beam(master)
        data = master.create_group("entry/data")
        data.attrs["NX_class"] = "NXdata"
        for number, start in enumerate(range(0, len(frames), per_file), start=1):
            name = f"run_data_{number:06d}.h5"
            with h5py.File(folder / name, "w") as part:
                some = frames[start : start + per_file]
                part.create_dataset(
                    "entry/data/data",
                    data=some,
                    chunks=(1, *some.shape[1:]),
                    **hdf5plugin.Bitshuffle(cname="lz4"),
                )
            data[f"data_{number:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
    return path


def virtual_master(folder, frames, per_file=2):
    """A Jungfraujoch master with one virtual data set; the path of the master."""
    path = folder / "vds_master.h5"
    layout = h5py.VirtualLayout(shape=frames.shape, dtype=frames.dtype)
    for number, start in enumerate(range(0, len(frames), per_file), start=1):
        name = f"vds_data_{number:06d}.h5"
        some = frames[start : start + per_file]
        with h5py.File(folder / name, "w") as part:
            part.create_dataset("entry/data/data", data=some, chunks=(1, *some.shape[1:]), **hdf5plugin.Zstd())
        layout[start : start + len(some)] = h5py.VirtualSource(name, "entry/data/data", shape=some.shape)
    with h5py.File(path, "w") as master:
        master.attrs["default"] = "entry"
        group = detector(master, bits=False, detector_distance=None, distance=(100.0, "mm"))
        group["pixel_mask"] = np.eye(*SHAPE, dtype=np.uint32)
        group["saturation_value"] = np.int64(32766)
        beam(master, 12398.419843320026, "incident_energy", "eV")
        entry = master["entry"]
        entry.attrs["default"] = "data"
        data = entry.create_group("data")
        data.attrs.update(NX_class="NXdata", signal="data")
        data.create_virtual_dataset("data", layout, fillvalue=0)
        data["data_000001"] = h5py.ExternalLink("vds_data_000001.h5", "/entry/data/data")
    return path


def axis(group, name, value, kind, vector, depends_on, unit, offset=(0.0, 0.0, 0.0)):
    """One NXtransformations axis; returns its path."""
    group[name] = value
    group[name].attrs.update(
        transformation_type=kind,
        vector=vector,
        depends_on=depends_on,
        units=unit,
        offset=offset,
        offset_units="m",
    )
    return f"{group.name}/{name}"


def add_module(group, name, *, corner, depends_on, origin=(0, 0), size=SHAPE, fast=(-1, 0, 0), slow=(0, -1, 0)):
    """An NXdetector_module of 75 um pixels whose first pixel's corner is at `corner` m."""
    module = group.create_group(name)
    module.attrs["NX_class"] = "NXdetector_module"
    module["data_origin"], module["data_size"] = np.array(origin), np.array(size)
    offset = axis(module, "module_offset", 0.0, "translation", (1.0, 0.0, 0.0), depends_on, "m", corner)
    axis(module, "fast_pixel_direction", 0.075, "translation", fast, offset, "mm")
    axis(module, "slow_pixel_direction", 75e-6, "translation", slow, offset, "m")
