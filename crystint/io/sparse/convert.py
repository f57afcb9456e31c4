"""Sparse files from one form into another, frame after frame."""

from __future__ import annotations

from os import PathLike

import h5py
import numpy as np

from crystint.io.hdf5.appendable import AppendableDataset
from crystint.io.hdf5.checksums import NOTE
from crystint.io.sparse.codec import encode_index
from crystint.io.sparse.file import SparseFile
from crystint.io.sparse.layout import COMPACT_NOTE, ENTRY
from crystint.io.sparse.maps import SHARED
from crystint.io.sparse.writer import PIXELS, SparseWriter

__all__ = ["copy_sparse", "rewrite_sparse"]

_INDEX = ("index", "index_delta", "index_escape", "escape_ptr")


def copy_sparse(file: SparseFile, made: h5py.File, compact: bool) -> None:
    """Copy everything as it is stored but the pixel numbers, which are written in the requested form."""
    source = file._file
    made.attrs["default"] = ENTRY
    entry = made.create_group(ENTRY)
    for name, value in source[ENTRY].attrs.items():
        entry.attrs[name] = value
    for name in source[ENTRY]:
        if name not in ("sparse_frames", NOTE):
            source.copy(source[ENTRY][name], entry, name, expand_external=True)  # a file that stands alone
    entry["crystint"].attrs.pop(SHARED, None)
    old, data = source[ENTRY]["sparse_frames"], entry.create_group("sparse_frames")
    for name, value in old.attrs.items():
        if name != "compact":
            data.attrs[name] = value
    for name in old:
        if name not in (*_INDEX, "errors"):
            source.copy(old[name], data, name)
    data["errors"] = data["background_std"]
    if not compact:
        index = AppendableDataset(data, "index", np.uint32, chunk=PIXELS)
        for number in range(len(file)):
            index.add(file.stored_index(number))
        index.flush()
        return
    data.attrs["compact"] = COMPACT_NOTE
    delta = AppendableDataset(data, "index_delta", np.uint8, chunk=PIXELS)
    escape = AppendableDataset(data, "index_escape", np.uint32, chunk=PIXELS // 4)
    pointer = AppendableDataset(data, "escape_ptr", np.uint64, chunk=1024)
    pointer.add(np.zeros(1))
    total = 0
    for number in range(len(file)):
        small, large = encode_index(file.stored_index(number))
        total += len(large)
        delta.add(small)
        escape.add(large)
        pointer.add(np.array([total]))
    for column in (delta, escape, pointer):
        column.flush()


def rewrite_sparse(file: SparseFile, target: str | PathLike[str], compact: bool, overwrite: bool) -> None:
    """Write the frames of any sparse file in crystint's form."""
    peaks = file.peaks
    writer = SparseWriter(
        target,
        file.rings,
        file.dtype,
        geometry=file.geometry,
        provenance=file.provenance,
        sources=file.sources or None,
        compact=compact,
        peaks=len(peaks) > 0,
        overwrite=overwrite,
    )
    with writer:
        writer.audit = file.audit
        for number, sparse in enumerate(file):
            writer.write(sparse, peaks[peaks["frame"] == number])
        if file.results is not None:
            writer.put_results(file.results)
