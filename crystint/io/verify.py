"""Whether a file still is what was written: its bytes against the checksums in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import h5py

from crystint.errors import FileError
from crystint.io.containers import is_hdf5
from crystint.io.frames.cbf import wrong_sum_of
from crystint.io.guard import guarded
from crystint.io.hdf5.checksums import data_digest, note_of, structure_digest
from crystint.io.hdf5.files import open_hdf5
from crystint.io.opened_file import OpenedFile

__all__ = ["Verified", "verify"]


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` found.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> peaks = crystint.Separator(data.geometry, data.mask, rings=30).peaks(data[0])
    >>> crystint.write_peaks("peaks.h5", peaks, shape=data.shape, n_frames=1)
    >>> crystint.verify("peaks.h5").problems
    ()
    """

    path: Path
    """of the file"""
    sets: int
    """data sets that were looked at; 1 in a CBF file, its image"""
    size: int
    """bytes of them, as they are stored"""
    problems: tuple[str, ...]
    """a line for each thing that is not as it was written"""

    @property
    def ok(self) -> bool:
        """Whether everything is as it was written."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "file": str(self.path), "ok": self.ok, "data_sets": self.sets, "bytes": self.size,
            "problems": list(self.problems),
        }  # fmt: skip


def verify(path: str | PathLike[str]) -> Verified:
    """Read a file and compare it with the checksums in it.

    Of CBF files the MD5 sum of the image is compared, which reading their frames leaves out: it takes longer than
    decoding them.

    Of the files that crystint wrote, sparse files, dense NXmx files and peak lists in HDF5 have a table of the SHA-256
    of all their data sets, attributes and groups. One byte of them that is not as it was written is found, also in the
    maps that a sparse file shares with others. Not covered is what holds no data: free space of the file and counters
    of HDF5.

    Parameters
    ----------
    path : path

    Returns
    -------
    Verified
        ``.ok``, and ``.problems``: a line for each.

    Raises
    ------
    FileError
        When the file is missing, neither HDF5 nor CBF, cannot be opened, or has no checksums.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> with crystint.SparseWriter(
    ...     "sparse.h5", separator.rings, data.dtype, geometry=data.geometry, provenance={}
    ... ) as writer:
    ...     writer.write(separator.sparsify(data[0]))
    >>> crystint.verify("sparse.h5").ok
    True
    """
    path = Path(path)
    if path.is_file() and not is_hdf5(path):
        if OpenedFile(path).container != "cbf":
            raise FileError(f"{path} is neither HDF5 nor CBF: only CBF files and HDF5 files of crystint have checksums")
        size, problem = wrong_sum_of(path)
        return Verified(path, 1, size, (problem,) if problem else ())
    with guarded(path), open_hdf5(path) as file:
        note = f"{note_of(file)}/data"
        if note not in file:
            raise FileError(
                f"{path} has no checksums: it is not of crystint, or of a version that wrote none; "
                "`crystint convert` writes a sparse file anew, with them"
            )
        try:
            table = json.loads(file[note].asstr()[()])
            data, structure = dict(table["data"]), dict(table["structure"])
        except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
            return Verified(path, 0, 0, (f"{note}, the table of checksums, is damaged ({error})",))
        problems = [*_walk(file), *_structures(file, structure)]
        size, checked = 0, 0
        for name, row in data.items():
            problem, count = _data(file, name, row)
            problems += [problem] if problem else []
            size, checked = size + count, checked + 1
    return Verified(path, checked, size, tuple(problems))


def _walk(file: h5py.File) -> Iterator[str]:
    """What keeps HDF5 from walking through the whole file: links of its book-keeping that are broken."""
    try:
        file.visit(lambda name: None)
    except Exception as error:  # whatever damage makes of it
        yield f"the objects of the file cannot all be visited: {_words(error)}"


def _structures(file: h5py.File, structure: dict[str, str]) -> Iterator[str]:
    for name, expected in structure.items():
        try:
            item = file.get(name)
            actual = "" if item is None else structure_digest(item)
        except Exception as error:  # whatever damage makes of it
            yield f"{name} cannot be read: {_words(error)}"
            continue
        if item is None:
            yield f"{name} is not there"
        elif actual != expected:
            what = "attributes or members" if isinstance(item, h5py.Group) else "attributes, type, shape or packing"
            yield f"{name}: its {what} are not those that were written"


def _data(file: h5py.File, name: str, row: dict[str, Any]) -> tuple[str, int]:
    """What is wrong with a data set, and its bytes."""
    try:
        item = file[name]
        digest = data_digest(item)
    except Exception as error:  # whatever damage makes of it
        link = file.get(name, getlink=True) if name in file or name.rpartition("/")[0] in file else None
        place = f" (in {link.filename})" if isinstance(link, h5py.ExternalLink) else ""
        return f"{name}{place} cannot be read: {_words(error)}", 0
    behind = Path(item.file.filename).name
    place = name if behind == Path(file.filename).name else f"{name} (in {behind})"
    if digest is None or digest.row() != row:
        count = 0 if digest is None else digest.size
        return f"{place}: its {count} bytes are not the {row.get('bytes')} that were written", count
    return "", digest.size


def _words(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
