"""What is in the HDF5 files of stills, convergent beams and correlations: for ``crystint info``.

Only what is told is read, from the file as it stands, so that a file of many observations costs little more than a
small one.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from crystint.errors import FileError
from crystint.io.describe import made_by
from crystint.io.describe_reflections import crystal, resolution
from crystint.io.hdf5.dataclass_tree import read_tree
from crystint.io.hdf5.provenance import provenance_in
from crystint.io.opened_file import OpenedFile

__all__ = ["cbc_csv", "cbc_scaling", "cbc_setup", "cbc_table", "correlations", "polar_images", "stills_run"]


def _opened(file: OpenedFile) -> h5py.File:
    if file.hdf5 is None:
        raise FileError(f"{file.path} is not an HDF5 file")
    return file.hdf5


def _told(file: OpenedFile, tell: Any) -> dict[str, Any]:
    """What `tell` says of an open HDF5 file, and how it was made."""
    opened = _opened(file)
    return {**tell(opened), **made_by(provenance_in(opened))}


def stills_run(file: OpenedFile) -> dict[str, Any]:
    """The parts of a file of stills, their sizes, crystal and resolution."""
    return _told(file, _stills)


def _stills(file: h5py.File) -> dict[str, Any]:
    entry = file["entry"]
    parts = [name for name in entry if "kind" in entry[name].attrs and name not in ("notes", "extra")]
    about: dict[str, Any] = {"holds": ", ".join(parts + ["observations"] * ("observations" in entry))}
    if "experiment" in entry:
        about["images"] = len(entry["experiment/setting"])
        cell, group = (read_tree(entry["experiment"][name], {}) for name in ("cell", "space_group"))
        about |= crystal(cell, group)
    if "observations" in entry:
        about["observations"] = len(entry["observations/image"])
        about |= resolution(entry["observations/d"][()])
    if "merged" in entry:
        merged = entry["merged"]
        about["merged"] = len(merged["hkl"])
        about |= crystal(read_tree(merged["cell"], {}), read_tree(merged["space_group"], {}))
        about |= resolution(merged["d"][()])
    if "notes" in entry:
        about["images with a note"] = len(read_tree(entry["notes"], {}))
    return about


def cbc_table(file: OpenedFile) -> dict[str, Any]:
    """Rows, frames and streaks of a table of pixels of streaks."""
    return _told(file, _table)


def _table(file: h5py.File) -> dict[str, Any]:
    group = next(
        (file[place] for place in ("entry/table", "table", "data") if isinstance(file.get(place), h5py.Group)),
        file["/"],
    )
    if "pandas_type" in group.attrs:
        return {"stored by": "pandas"}
    ours = {"frames": "frame", "index": "streak", "sfac": "q2"}
    columns = {ours.get(name, name): item for name, item in group.items() if isinstance(item, h5py.Dataset)}
    about: dict[str, Any] = {"rows": len(columns["x"])}
    for name, plural in (("frame", "frames"), ("streak", "streaks")):
        if name in columns:
            about[plural] = len(np.unique(columns[name][()]))
    about["indexed"] = "yes" if {"h", "k", "l"} <= set(columns) or "hkl" in columns else "no"
    about["columns"] = ", ".join(columns)
    if "entry/geometry" in file:
        about |= _setup(file["entry/geometry"])
    if "entry/known" in file:
        about["simulated"] = "yes: the true maps and |q|^2 are in it"
    return about


def cbc_csv(file: OpenedFile) -> dict[str, Any]:
    """Rows and columns of a table as CSV."""
    with file.path.open("rb") as stream:
        rows = sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    ended = file.tail.endswith(b"\n")
    columns = [name.strip().strip('"') for name in file.first_line.split(",")]
    return {"rows": rows - 1 + (not ended), "columns": ", ".join(columns)}


def cbc_scaling(file: OpenedFile) -> dict[str, Any]:
    """Reflections, maps and iterations of a scaling, and the table that it is of."""
    return _told(file, lambda opened: {**_scaling(opened["entry/scaling"]), **_table(opened)})


def _scaling(group: h5py.Group) -> dict[str, Any]:
    about: dict[str, Any] = {"reflections": len(group["hkl"])}
    if "maps" in group and "values" in group["maps"]:
        shape = group["maps/values"].shape
        about["maps"] = f"{shape[0]} of {' x '.join(map(str, shape[1:]))} nodes"
    if "sigma" in group and "q2" in group:
        q2, sigma = group["q2"][()], group["sigma"][()]
        usable = np.isfinite(q2) & (sigma > 0)
        if usable.any():
            about["|q|^2 / sigma"] = f"{np.median(q2[usable] / sigma[usable]):.3g} (median)"
    return about


def cbc_setup(file: OpenedFile) -> dict[str, Any]:
    """Focus, wavelength and crystal of a convergent-beam experiment."""

    def tell(opened: h5py.File) -> dict[str, Any]:
        places = ("entry/geometry", "geometry", "setup")
        return _setup(next(opened[place] for place in places if isinstance(opened.get(place), h5py.Group)))

    return _told(file, tell)


def _setup(group: h5py.Group) -> dict[str, Any]:
    about: dict[str, Any] = {}
    if "wavelength" in group:
        about["wavelength"] = f"{1e10 * float(group['wavelength'][()]):.5g} angstrom"
    if "foc_pos" in group:
        about["focus"] = ", ".join(f"{1e3 * value:.5g}" for value in group["foc_pos"][()]) + " mm (x, y, z)"
    if "basis_mat" in group and "wavelength" in group:
        # rows a*, b*, c* in units of 1/wavelength
        lengths = np.linalg.norm(np.linalg.inv(group["basis_mat"][()]), axis=0) * 1e10 * float(group["wavelength"][()])
        about["cell lengths"] = ", ".join(f"{value:.5g}" for value in lengths) + " angstrom"
    if "sample_rmats" in group:
        about["orientations"] = len(group["sample_rmats"])
    return about


def polar_images(file: OpenedFile) -> dict[str, Any]:
    """Number and grid of polar images."""
    return _told(file, _polar)


def _polar(file: h5py.File) -> dict[str, Any]:
    values = file["entry/data/values"]
    count, rings, azimuths = values.shape
    about = {"frames": count, "grid": f"{rings} rings x {azimuths} azimuths", **_radii(file["entry/data"])}
    slow, fast = file["entry/center"][()]
    return {**about, "center": f"{slow:.2f}, {fast:.2f} px (slow, fast)"}


def _radii(group: h5py.Group) -> dict[str, Any]:
    about: dict[str, Any] = {}
    if "radius" in group:
        radius = group["radius"][()]
        about["radii"] = f"{radius.min():.5g} to {radius.max():.5g} px"
    if "q" in group:
        q = group["q"][()]
        about["q"] = f"{np.nanmin(q):.4g} to {np.nanmax(q):.4g} 1/angstrom"
    return about


def correlations(file: OpenedFile) -> dict[str, Any]:
    """Rows, lags and number of exposures of correlations."""
    return _told(file, _correlations)


def _correlations(file: h5py.File) -> dict[str, Any]:
    data, grid = file["entry/data"], file["entry/grid"]
    rows, lags = data["correlation"].shape
    return {
        "correlation": f"{grid['kind'].asstr()[()]}: {rows} rows x {lags} lags",
        "exposures": int(data["number"][()]),
        "norm": data["norm"].asstr()[()],
        **_radii(grid),
    }
