"""What the files of polar images and of correlations have in common.

/entry                 NXentry
    title              which of the two it is
    data               NXdata: values and weights of polar images, or the correlation with its error and variance
    sums, grid         NXcollection: of correlations, the sums that files add by, and the rings they are of
    process            how it was made
"""

from __future__ import annotations

from typing import Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.arrays import FileName
from crystint.io.guard import reads_file
from crystint.io.hdf5.files import group, put
from crystint.io.kinds import unexpected
from crystint.io.opened_file import OpenedFile
from crystint.io.recognise import correlations, polar_images

__all__ = ["CORRELATION", "POLAR", "check_kind", "kind_of", "new_entry", "put_axes"]

POLAR, CORRELATION = "crystint polar images", "crystint angular correlations"
"""titles of the entry"""


@reads_file
def kind_of(path: FileName) -> Literal["polar", "correlation"]:
    """What a file holds.

    Raises
    ------
    FileError
        When the file is missing or something else.
    """
    with OpenedFile(path) as file:
        if polar_images(file):
            return "polar"
        if correlations(file):
            return "correlation"
        wanted = "polar images or correlations, as `crystint correlate` writes them"
        raise unexpected(file, wanted, f"{path} holds neither polar images nor correlations; expected {wanted}")


def check_kind(path: FileName, file: h5py.File, title: str, what: str) -> None:
    """Raise FileError unless the entry has this title."""
    if _title(file) != title:
        raise unexpected(path, what, f"{path} holds no {what}; expected what `crystint correlate` wrote")


def new_entry(file: h5py.File, title: str) -> h5py.Group:
    """The entry of a new file."""
    file.attrs["default"] = "entry"
    entry = group(file, "entry", "NXentry", default="data")
    put(entry, "title", title)
    return entry


def put_axes(
    parent: h5py.Group, radii: NDArray[np.float64], q: NDArray[np.float64] | None, along: int | None = None
) -> None:
    """Radii, and q where it is known: of an axis of the data, in a NXdata."""
    for name, values, units in (("radius", radii, "pixel"), ("q", q, "1/angstrom")):
        if values is not None:
            put(parent, name, values, units)
            if along is not None:
                parent.attrs[f"{name}_indices"] = along


def _title(file: h5py.File) -> str:
    title = file.get("entry/title")
    try:
        return str(title.asstr()[()]) if isinstance(title, h5py.Dataset) else ""
    except (TypeError, OSError):
        return ""
