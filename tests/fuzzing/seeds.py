"""Small valid files of every format, as crystint and other programs write them."""

from __future__ import annotations

import bz2
import gzip
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabio
import gemmi
import h5py
import numpy as np
import tifffile
from click.testing import CliRunner

import crystint
from crystint import cbc, stills
from crystint.cli import main
from tests.correlate.case import GRID, exposures
from tests.io.hdf5_files import eiger_master, stack, virtual_master
from tests.io.scan_files import dectris_master, kappa_nxmx
from tests.oracles import dials_files
from tests.stills.streams import write_stream

__all__ = ["SEEDS", "Seed"]

Seed = tuple[str, tuple[str, ...]]
"""The file that is read, and those that are damaged: itself, or what lies behind it"""

MINI_HEADER = """# Detector: PILATUS3 6M, S/N 60-0119
# Pixel_size 172e-6 m x 172e-6 m
# Count_cutoff 1009869 counts
# Wavelength 0.97930 A
# Detector_distance 0.20000 m
# Beam_xy (20.00, 15.00) pixels
"""
PONI = """poni_version: 2.1
Detector: Detector
Detector_config: {"pixel1": 7.5e-05, "pixel2": 7.5e-05, "max_shape": [31, 47], "orientation": 3}
Distance: 0.1
Poni1: 0.0011
Poni2: 0.0015
Rot1: 0.01
Rot2: 0.0
Rot3: 0.0
Wavelength: 1e-10
"""
GEOM = """photon_energy = 9000 eV
clen = 0.1
res = 13333.3
adu_per_eV = 0.0001
data = /entry/data/data
mask = /entry/mask
mask_good = 0x0
bad1/min_x = -3
bad1/max_x = 3
bad1/min_y = -3
bad1/max_y = 3
rigid_group_q0 = a,b
a/min_ss = 0
a/max_ss = 14
a/min_fs = 0
a/max_fs = 46
a/corner_x = -23
a/corner_y = -16
a/fs = +1.0x +0.001y
a/ss = -0.001x +1.0y
b/min_ss = 15
b/max_ss = 30
b/min_fs = 0
b/max_fs = 46
b/corner_x = -23
b/corner_y = 1
b/fs = +1.0x
b/ss = +1.0y
"""
ROIS = """{"rois": [
{"name": "a", "type": "box", "slow_min": 1, "slow_max": 9, "fast_min": 2, "fast_max": 8},
{"name": "b", "type": "polygon", "corners": [[1, 2], [9.5, 3], [4, 12]]},
{"name": "c", "type": "bitmap", "shape": [60, 70], "runs": [[3, 9], [50, 51]]}]}
"""
CIF = """data_r1abcsf
_cell.length_a 78.2
_cell.length_b 78.2
_cell.length_c 37.1
_cell.angle_alpha 90
_cell.angle_beta 90
_cell.angle_gamma 90
_symmetry.space_group_name_H-M 'P 43 21 2'
loop_
_refln.index_h
_refln.index_k
_refln.index_l
_refln.status
_refln.intensity_meas
_refln.intensity_sigma
"""
HKL = """CrystFEL reflection list version 2.0
Symmetry: 4/mmm
   h    k    l          I    phase   sigma(I)   nmeas
"""


def _counts(shape: tuple[int, int] = (31, 47)) -> Any:
    return stack(1, shape, np.int32)[0]


def _packed(path: Path) -> None:
    content = path.read_bytes()
    path.with_name("g_" + path.name + ".gz").write_bytes(gzip.compress(content))
    path.with_name("b_" + path.name + ".bz2").write_bytes(bz2.compress(content))


def cbf() -> None:
    """As PILATUS detectors write them, plain and packed, and without compression or MD5."""
    header = {"_array_data.header_convention": "PILATUS_1.2", "_array_data.header_contents": MINI_HEADER}
    fabio.cbfimage.CbfImage(data=_counts(), header=header).write("a.cbf")
    content = Path("a.cbf").read_bytes()
    lines = [line for line in content.split(b"\r\n") if not line.startswith(b"Content-MD5")]
    Path("n.cbf").write_bytes(b"\r\n".join(lines))
    _packed(Path("a.cbf"))


def hdf5() -> list[Seed]:
    """A DECTRIS master with its data files, a virtual data set, a plain stack."""
    for name, made in (("eiger", eiger_master), ("virtual", virtual_master)):
        Path(name).mkdir()
        made(Path(name), stack(5))
    with h5py.File("plain.h5", "w") as file:
        file.create_dataset("entry/data/data", data=stack(3), chunks=(2, 16, 47), compression="gzip", shuffle=True)
        file["entry/instrument/detector/pixel_mask"] = np.zeros((31, 47), np.uint32)
        file["entry/instrument/detector/distance"] = 0.1
    eiger, virtual = (tuple(map(str, sorted(Path(name).glob("*.h5")))) for name in ("eiger", "virtual"))
    kappa_nxmx(Path("kappa.h5"))
    dectris_master(Path("goniometer.h5"))
    alone = [(name, (name,)) for name in ("plain.h5", "kappa.h5", "goniometer.h5")]
    return [("eiger/run_master.h5", eiger), ("virtual/vds_master.h5", virtual), *alone]


def _simulated(frames: int = 2) -> Any:
    return crystint.simulate.simulate(
        (60, 70), frames=frames, background=3.0, peaks=5, intensity=900.0, dtype="uint16", seed=1
    )


def _crystint(*arguments: str) -> None:
    done = CliRunner().invoke(main, [*arguments, "-q"])
    assert done.exit_code == 0, done.output


def _frames() -> Any:
    data = _simulated()
    with h5py.File("frames.h5", "w") as file:
        file["entry/data/data"] = np.array([data[0], data[1]])
    data.geometry.write("g.json")
    return data


def sparse() -> list[Seed]:
    """Plain and compact, with peaks; and frames of it again."""
    _frames()
    with h5py.File("frames.h5", "a") as file:
        sample = file.create_group("entry/sample")
        sample.attrs["NX_class"] = "NXsample"
        for name, values in {"omega": [1.0, 1.5], "omega_end": [1.5, 2.0]}.items():
            sample[f"goniometer/{name}"] = values
    _crystint("sparsify", "frames.h5", "-g", "g.json", "-o", "plain.h5", "--peaks", "--rings", "30")
    _crystint("convert", "plain.h5", "-o", "compact.h5")
    _crystint("densify", "plain.h5", "-o", "dense.h5")
    return [(name, (name,)) for name in ("plain.h5", "compact.h5", "dense.h5")]


def _peaks() -> None:
    _frames()
    outputs = [part for suffix in ("cxi", "refl", "h5", "json", "XDS") for part in ("-o", f"p.{suffix}")]
    _crystint("peaks", "frames.h5", "-g", "g.json", "--rings", "30", *outputs)


def regions() -> list[Seed]:
    """What they held, as HDF5, and documents."""
    _frames()
    Path("rois.json").write_text(ROIS)
    _crystint(
        "roi", "frames.h5", "-g", "g.json", "--rings", "30", "--rois", "rois.json", "-o", "roi.h5", "-o", "roi.csv"
    )
    return [(name, (name,)) for name in ("roi.h5", "rois.json", "roi.csv")]


def cxi() -> list[Seed]:
    """With frames behind it."""
    _peaks()
    return [("p.cxi", ("p.cxi",))]


def peaks() -> list[Seed]:
    """crystint's HDF5, JSON lines, SPOT.XDS, and the notes beside a .refl."""
    _peaks()
    return [(name, (name,)) for name in ("p.h5", "p.json", "p.XDS", "p.refl.json")]


def refl() -> list[Seed]:
    """Of crystint, and as DIALS writes them: MessagePack and old pickles."""
    _peaks()
    rng = np.random.default_rng(0)
    columns = {
        "id": ("int", np.zeros(20, int)),
        "flags": ("std::size_t", np.full(20, 1 << 8)),
        "miller_index": ("cctbx::miller::index<>", rng.integers(-9, 9, (20, 3))),
        "intensity.sum.value": ("double", rng.normal(90, 9, 20)),
        "intensity.sum.variance": ("double", rng.uniform(1, 9, 20)),
        "xyzobs.px.value": ("vec3<double>", rng.uniform(0, 30, (20, 3))),
        "xyzcal.px": ("vec3<double>", rng.uniform(0, 30, (20, 3))),
        "bbox": ("int6", rng.integers(0, 30, (20, 6))),
    }
    Path("d.refl").write_bytes(dials_files.table(columns, identifiers={0: "x"}))
    Path("old.refl").write_bytes(dials_files.pickled(columns, identifiers={0: "x"}))
    for name in ("frames.h5", "g.json", "p.cxi", "p.h5", "p.json", "p.XDS"):
        Path(name).unlink()
    return [(name, (name,)) for name in ("p.refl", "d.refl", "old.refl")]


def _stills(frames: int = 6) -> Any:
    return stills.simulate_stills(frames, d_min=4.0, shape=(60, 70), distance=0.02, seed=1)


def expt() -> list[Seed]:
    """With the frames that it names."""
    stills.write_frames(_stills(), "s.h5")
    return [("s.expt", ("s.expt",))]


def stream() -> list[Seed]:
    """With its geometry in it."""
    data = _stills()
    write_stream(Path("a.stream"), data, data.observations())
    return [("a.stream", ("a.stream",))]


def stills_file() -> list[Seed]:
    """Of `crystint stills`."""
    data = _stills()
    stills.write_stills("r.h5", experiment=data.experiment, observations=data.observations(), provenance={})
    return [("r.h5", ("r.h5",))]


def mtz() -> None:
    """Merged and unmerged."""
    data = gemmi.Mtz(with_base=True)
    data.spacegroup, data.cell = gemmi.SpaceGroup("P 43 21 2"), gemmi.UnitCell(78, 78, 37, 90, 90, 90)
    data.add_dataset("d").wavelength = 1.0
    for label, kind in (("I", "J"), ("SIGI", "Q")):
        data.add_column(label, kind)
    rows = np.array([(h, k, k, 10 * h, h) for h in range(1, 9) for k in range(5)], np.float32)
    data.set_data(rows)
    data.write_to_file("m.mtz")
    made = _stills()
    stills.write_unmerged_mtz("u.mtz", made.observations(), made.experiment)


def structure_factors() -> None:
    """mmCIF and CrystFEL's list."""
    rows = [(h, k, k, 10 * h, h) for h in range(1, 9) for k in range(5)]
    Path("s.cif").write_text(CIF + "".join(f"{h} {k} {m} o {i} {s}\n" for h, k, m, i, s in rows))
    body = "".join(f"{h:4d} {k:4d} {m:4d} {i:10.2f} - {s:10.2f} 3\n" for h, k, m, i, s in rows)
    Path("s.hkl").write_text(HKL + body + "End of reflections\n")


def poni() -> None:
    """Of pyFAI."""
    Path("a.poni").write_text(PONI)


def geom() -> None:
    """Of CrystFEL."""
    Path("a.geom").write_text(GEOM)


def geometry_json() -> None:
    """Of crystint."""
    _simulated(1).geometry.write("a.json")


def tiff() -> None:
    """One frame and several, plain, packed inside and outside."""
    frames = stack(3)
    fabio.tifimage.TifImage(data=frames[0]).write("a.tif")
    tifffile.imwrite("several.tif", frames, photometric="minisblack", metadata=None)
    tifffile.imwrite("zlib.tif", frames[0], compression="zlib")
    tifffile.imwrite("imagej.tif", frames, imagej=True)
    _packed(Path("a.tif"))


def edf() -> None:
    """One frame and several, and packed."""
    image = fabio.edfimage.EdfImage(data=_counts(), header={"Title": "x"})
    image.write("a.edf")
    image.append_frame(data=_counts())
    image.write("several.edf")
    _packed(Path("a.edf"))


def npy() -> None:
    """Frames and a mask."""
    np.save("a.npy", stack(3))
    np.save("mask.npy", np.zeros((31, 47), bool))


def mask() -> None:
    """HDF5 and EDF."""
    with h5py.File("m.h5", "w") as file:
        file.create_dataset("entry/mask", data=np.ones((31, 47), np.uint8), compression="gzip")
    fabio.edfimage.EdfImage(data=np.zeros((31, 47), np.uint8)).write("m.edf")


def cbc_files() -> list[Seed]:
    """Table, setup and scaling of a convergent-beam run."""
    _crystint("cbc", "simulate", "-o", "t.h5", "--frames", "3")
    cbc.CBCSetup.read("t.h5").write("s.h5")
    cbc.write_table("t.csv", cbc.read_table("t.h5"))
    _crystint("cbc", "scale", "t.h5", "-o", "r.h5", "--iterations", "1")
    return [(name, (name,)) for name in ("t.h5", "s.h5", "t.csv", "r.h5")]


def correlations() -> list[Seed]:
    """Polar images and their correlations."""
    with h5py.File("f.h5", "w") as file:
        file["entry/data/data"] = exposures(4)
    grid = [str(part) for part in GRID if part != "-q"]
    _crystint("correlate", "polar", "f.h5", *grid, "-o", "p.h5")
    _crystint("correlate", "correlate", "f.h5", *grid, "-o", "c.h5")
    return [(name, (name,)) for name in ("p.h5", "c.h5")]


def journal() -> None:
    """A run that was stopped, as `crystint.run.journal` lays it out."""
    header = {"command": ["crystint", "peaks"], "same": {"frames": 5}}
    records = [json.dumps(header).encode(), b"\0" * 40]
    packed = b"".join(struct.pack("<II", len(record), zlib.crc32(record)) + record for record in records)
    Path("p.partial").write_bytes(b"crystint journal 1\n" + packed)


SEEDS: dict[str, Callable[[], list[Seed] | None]] = {
    "cbf": cbf, "hdf5": hdf5, "sparse": sparse, "cxi": cxi, "peaks": peaks, "refl": refl, "expt": expt, "poni": poni,
    "geom": geom, "json": geometry_json, "stream": stream, "mtz": mtz, "cif": structure_factors, "tiff": tiff,
    "edf": edf, "npy": npy, "mask": mask, "cbc": cbc_files, "correlations": correlations, "stills": stills_file,
    "journal": journal, "regions": regions,
}  # fmt: skip
"""What makes the files of a format in the working folder; None = each of them is one to read and to damage"""
