"""Values of a beam monitor: columns of a CSV file, or a data set of an HDF5 file with a value per frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crystint.arrays import AnyArray, Floats
from crystint.errors import FileError
from crystint.io.cbc.table_csv import read_csv
from crystint.io.containers import is_hdf5
from crystint.io.guard import guarded
from crystint.io.hdf5.files import open_hdf5

__all__ = ["monitor_file", "read_monitor_values"]


def monitor_file(source: str) -> tuple[Path, str]:
    """The file of ``file.csv`` or ``file.h5:/path``, and the path in it; "" = none."""
    file, mark, place = source.rpartition(":/")
    return (Path(file), f"/{place}") if mark and len(file) > 1 else (Path(source), "")


def read_monitor_values(source: str) -> tuple[AnyArray, Floats]:
    """Frames [n], numbers from 0 or names, and the value of each, float64 [n].

    Raises
    ------
    FileError
        When the file is missing or damaged, has no such data set, or not the columns: ``image`` and one with values.
    """
    path, place = monitor_file(source)
    if not path.is_file():
        raise FileError(f"{path} does not exist")
    if place:
        return _dataset(path, place)
    if is_hdf5(path):
        raise FileError(f"{path} is an HDF5 file: name the data set with a value per frame, such as {path}:/entry/flux")
    columns = read_csv(path)
    others = [name for name in columns if name != "image"]
    if "image" not in columns or len(others) != 1:
        raise FileError(
            f"{path} has the columns {', '.join(columns)}; expected image (name, or number from 0) and one with the "
            "values of the monitor"
        )
    values, frames = columns[others[0]], columns["image"]
    if values.ndim != 1 or values.dtype.kind not in "if":
        raise FileError(f"{path}: the column {others[0]} has something else than numbers")
    if frames.dtype.kind == "f":
        raise FileError(f"{path}: the column image has numbers that are not whole; expected names, or numbers from 0")
    return frames, values.astype(np.float64)


def _dataset(path: Path, place: str) -> tuple[AnyArray, Floats]:
    with open_hdf5(path) as file, guarded(path, place):
        if place not in file or not hasattr(file[place], "shape"):
            raise FileError(f"{path} has no data set {place}")
        dataset = file[place]
        if dataset.dtype.kind not in "iuf" or dataset.ndim == 0 or dataset.size != dataset.shape[0]:
            raise FileError(f"{path}: {place} is {dataset.shape} {dataset.dtype}; expected one number per frame")
        values = np.asarray(dataset[()], dtype=np.float64).ravel()
    return np.arange(len(values)), values
