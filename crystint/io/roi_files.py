"""Files of regions of interest: their documents, and what they held in each frame of a run."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, SettingError
from crystint.io.frame_table import put_frame_table
from crystint.io.guard import reads_file
from crystint.io.hdf5.files import create_hdf5, group, process
from crystint.io.kinds import unexpected
from crystint.io.opened_file import OpenedFile
from crystint.io.outputs import atomic_path
from crystint.io.rois import RoiWriter, roi_table_in
from crystint.model.frame_table import FrameStatus, FrameTable
from crystint.model.geometry import Geometry
from crystint.model.roi_members import RoiMembers
from crystint.model.roi_table import RoiTable
from crystint.model.rois import ROI_COLUMNS, Rois

__all__ = ["read_roi_document", "read_rois", "write_rois"]

_LARGEST = 64 << 20
"""bytes of a document"""


@reads_file
def read_roi_document(path: str | PathLike[str]) -> Rois:
    """Read regions of interest: a JSON document of crystint or of Jungfraujoch, or those of a file that has them.

    Parameters
    ----------
    path : path

    Raises
    ------
    FileError
        When the file is missing or damaged, or holds no regions; it names the field.
    """
    path = Path(path)
    with OpenedFile(path) as file:
        if file.hdf5 is not None:
            table = roi_table_in(file.hdf5)
            if table is None:
                raise unexpected(file, "regions of interest", f"{path} holds no regions of interest")
            return table.rois
        if file.size > _LARGEST:
            raise FileError(f"{path} has {file.size} bytes, expected a document of regions of at most {_LARGEST}")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        theirs = isinstance(document, dict) and document and set(document) <= {"box", "circle", "azim"}
        return Rois.from_jungfraujoch(document) if theirs else Rois.from_dict(document)
    except SettingError as error:
        place = f" ({error.field})" if error.field else ""
        raise FileError(f"{path} is no document of regions: {error}{place}") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is no document of regions, which is JSON: {error}") from error


@reads_file
def read_rois(path: str | PathLike[str]) -> RoiTable:
    """Read what regions of interest held in each frame: a file of ``crystint roi``, or of the online service.

    Parameters
    ----------
    path : path
        HDF5.

    Returns
    -------
    RoiTable
        With the regions as they were defined, and the map of their pixels.

    Raises
    ------
    FileError
        When the file is missing or damaged, or has no regions.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), frames=2, background=5.0, peaks=8, intensity=900.0, seed=1)
    >>> with crystint.DenseWriter(
    ...     "run.h5", data.shape, data.dtype, geometry=data.geometry, mask=None, saturation=None, provenance={}
    ... ) as writer:
    ...     for frame in data:
    ...         writer.write(frame)
    >>> rois = {"rois": [{"name": "powder", "type": "azimuthal", "q_min": 0.2, "q_max": 0.4}]}
    >>> outcome = crystint.separation.sum_regions(["run.h5"], ["roi.h5"], crystint.Rois.from_dict(rois))
    >>> table = crystint.read_rois("roi.h5")
    >>> table.rois.to_dict() == rois, len(table)
    (True, 2)
    """
    with OpenedFile(path) as file:
        table = None if file.hdf5 is None else roi_table_in(file.hdf5)
        if table is None:
            raise unexpected(file, "regions of interest", f"{path} holds no regions of interest")
        return table


def write_rois(
    path: Path,
    values: NDArray[np.void],
    rois: Rois,
    members: RoiMembers,
    *,
    results: FrameTable,
    geometry: Geometry | None,
    provenance: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Write what regions held in each frame; the suffix says how: .h5 (.hdf5, .hdf, .nxs), or .csv.

    CSV has one line of names, with the unit in brackets, then a line per frame and region; missing frames have none.
    A second file ``<name>.json`` has the regions and the provenance.

    Parameters
    ----------
    values : ROI_DTYPE [frames, regions]
    results : FrameTable [frames]
    """
    there = results["status"] != FrameStatus.MISSING
    if path.suffix.lower() == ".csv":
        with atomic_path(path.with_name(path.name + ".json"), overwrite) as beside:
            notes = rois.to_dict() | {"details": members.details, "provenance": dict(provenance)}
            beside.write_text(json.dumps(notes, indent=1), encoding="utf-8")
            with atomic_path(path, overwrite) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["frame", "region", *(_heading(column.name, column.unit) for column in ROI_COLUMNS)])
                for frame in np.flatnonzero(there):
                    for name, row in zip(rois.names, values[frame], strict=True):
                        writer.writerow([int(results["frame"][frame]), name, *_texts(row)])
        return
    with create_hdf5(path, overwrite, "crystint") as made:
        made.attrs["default"] = "entry"
        entry = group(made, "entry", "NXentry", default="results")
        put_frame_table(entry, results)
        writer_of = RoiWriter(entry)
        writer_of.define(rois, members, geometry)
        for first, last in _runs(there):
            writer_of.put(first, values[first:last])
        writer_of.flush(len(values))
        process(entry, "process", provenance, provenance)


def _runs(there: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and behind the last of frames that follow one another."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def _heading(name: str, unit: str) -> str:
    return f"{name} [{unit}]" if unit else name


def _texts(row: np.void) -> list[str]:
    """Values; what is not known is empty."""
    texts = []
    for column in ROI_COLUMNS:
        value = row[column.name].item()
        unknown = (
            value != value or (column.name == "max" and not row["npixel"]) or (column.name == "spots" and value < 0)
        )
        texts.append("" if unknown else repr(value))
    return texts
