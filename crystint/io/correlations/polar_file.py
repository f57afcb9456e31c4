"""Files of polar images: written image by image, read one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint import __version__
from crystint.arrays import Bytes, FileName
from crystint.errors import FileError
from crystint.io.correlations.layout import POLAR, check_kind, new_entry, put_axes
from crystint.io.guard import reads_file
from crystint.io.hdf5.files import create_hdf5, group, open_hdf5, process, put
from crystint.io.hdf5.packing import BSLZ4, ChunkWriter
from crystint.model.polar_grid import PolarGrid
from crystint.model.polar_image import PolarImage

__all__ = ["PolarFile", "pack_image", "polar_writer", "read_polar"]


def pack_image(image: PolarImage) -> tuple[Bytes, Bytes] | None:
    """Values and weights as they stand in the file; any thread, or another machine, may do it.

    Returns
    -------
    two of uint8 [n], or None where only HDF5 can pack them.
    """
    if not BSLZ4.direct:
        return None
    return BSLZ4.pack(image.values[None]), BSLZ4.pack(np.ascontiguousarray(image.weights)[None])


class PolarFile:
    """Polar images that are put into an open file one by one; those never written are NaN, with weight 0."""

    def __init__(self, values: h5py.Dataset, weights: h5py.Dataset) -> None:
        self._data = (values, weights)
        self._writers = tuple(ChunkWriter(data, BSLZ4, waiting=0) for data in self._data)

    def write(self, number: int, image: PolarImage) -> None:
        """Put the image of a frame in its place."""
        self.write_arrays(number, image.values, image.weights)

    def write_arrays(self, number: int, values: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
        """As `write`, of values and weights, float32 [rows, azimuths]."""
        for writer, array in zip(self._writers, (values, weights), strict=True):
            writer.put(number, 1, np.ascontiguousarray(array)[None])

    def write_packed(self, number: int, values: Bytes, weights: Bytes) -> None:
        """As `write`, of what `pack_image` gave."""
        for writer, packed in zip(self._writers, (values, weights), strict=True):
            writer.put_packed(number, 1, packed)

    def end_early(self, frames: int) -> None:
        """Let the file hold the first `frames` images only."""
        for data in self._data:
            data.resize(frames, axis=0)


@contextmanager
def polar_writer(
    path: FileName,
    grid: PolarGrid,
    frames: int,
    *,
    q: NDArray[np.float64] | None = None,
    provenance: Callable[[], Mapping[str, Any]],
    overwrite: bool = False,
) -> Iterator[PolarFile]:
    """A new file for the polar images of so many frames, compressed frame by frame.

    `provenance` is asked for when all frames are written: by then it is known which could not be read.

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    """
    with create_hdf5(path, overwrite, f"crystint {__version__}") as file:
        entry = new_entry(file, POLAR)
        axis = "radius" if grid.q is None else "q"
        data = group(entry, "data", "NXdata", signal="values", axes=[".", axis, "azimuth"], azimuth_indices=2)
        shape = (frames, *grid.shape)
        how: dict[str, Any] = {"dtype": np.float32, "chunks": (1, *grid.shape), **BSLZ4.options}
        values = data.create_dataset("values", shape, fillvalue=np.nan, **how)
        weights = data.create_dataset("weights", shape, fillvalue=0.0, **how)
        values.attrs["units"] = "count"
        values.attrs["long_name"] = "counts per pixel; NaN = no data"
        weights.attrs["long_name"] = "share of the cell that rests on data"
        put_axes(data, grid.radii, grid.q if grid.q is not None else q, along=1)
        put(data, "azimuth", grid.angles, "rad", long_name="from the fast axis towards the slow one")
        put(entry, "center", np.array(grid.center), "pixel", long_name="(slow, fast) from the outer corner")
        yield PolarFile(values, weights)
        record = provenance()
        process(entry, "process", record, record)


@reads_file
def read_polar(path: FileName, number: int = 0) -> tuple[PolarImage, NDArray[np.float64] | None, int]:
    """One polar image of a file, the q of its rows where known, and how many images there are.

    The grid of the image has the radii and directions of the file, and its q where rows were laid out by q.

    Raises
    ------
    FileError
        When the file is missing, damaged, or something else, or has no such frame.
    """
    with open_hdf5(path) as file:
        check_kind(path, file, POLAR, "polar images")
        data = file["entry/data"]
        count = len(data["values"])
        if not -count <= number < count:
            raise FileError(f"{path} has {count} frames, from 0 to {count - 1}; there is no frame {number}")
        values, weights = data["values"][number % count], data["weights"][number % count]
        angles, radii = data["azimuth"][()], data["radius"][()]
        q = data["q"][()] if "q" in data else None
        rows = q if "q" in data.attrs["axes"] else None
        center = tuple(float(part) for part in file["entry/center"][()])
    direction = -1 if len(angles) > 1 and angles[1] < angles[0] else 1
    grid = PolarGrid((center[0], center[1]), radii, len(angles), float(angles[0]), direction, rows)
    return PolarImage(values, grid, weights), q, count
