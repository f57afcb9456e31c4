"""Sparse files of crystint and pyFAI opened, and converted between the plain and the compact form."""

from __future__ import annotations

from contextlib import closing
from os import PathLike

import h5py

from crystint.io.guard import reads_file
from crystint.io.hdf5.files import create_hdf5
from crystint.io.kinds import unexpected
from crystint.io.opened_file import OpenedFile
from crystint.io.sparse.convert import copy_sparse, rewrite_sparse
from crystint.io.sparse.file import SparseFile
from crystint.io.sparse.layout import ENTRY, creator
from crystint.io.sparse.pyfai import PyfaiSparseFile
from crystint.io.sparse.pyfai_layout import is_pyfai
from crystint.io.sparse.writer import SparseWriter

__all__ = ["SparseFile", "SparseWriter", "convert_sparse", "open_sparse", "sparse_in"]


@reads_file
def open_sparse(path: str | PathLike[str]) -> SparseFile:
    """Open a sparse file of crystint, plain or compact, or of pyFAI's sparsify-Bragg.

    Parameters
    ----------
    path : path

    Returns
    -------
    SparseFile
        A sequence of `SparseFrame`: ``len(file)``, ``file[i]``, iteration; close it, or use ``with``.

    Raises
    ------
    FileError
        When it is missing, damaged, or no sparse file.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> with crystint.SparseWriter(
    ...     "sparse.h5", separator.rings, data.dtype, geometry=data.geometry, provenance={}
    ... ) as writer:
    ...     writer.write(separator.sparsify(data[0]))
    >>> with crystint.open_sparse("sparse.h5") as file:
    ...     len(file), file[0].shape
    (1, (100, 110))
    """
    opened = OpenedFile(path)
    try:
        return sparse_in(opened)
    except BaseException:
        opened.close()
        raise


@reads_file
def sparse_in(opened: OpenedFile) -> SparseFile:
    """As `open_sparse`, of a file that is open already, which it takes over."""
    path, file = opened.path, opened.hdf5
    if file is None:
        raise unexpected(opened, "sparse file", f"{path} is not an HDF5 file, and no sparse file")
    own = file.get(f"{ENTRY}/crystint")
    if isinstance(own, h5py.Group) and "format" in own.attrs:
        return SparseFile(path, file)
    if is_pyfai(file):
        return PyfaiSparseFile(path, file)
    raise unexpected(opened, "sparse file", f"{path} is HDF5 but no sparse file of crystint or pyFAI")


def convert_sparse(
    source: str | PathLike[str], target: str | PathLike[str], compact: bool, overwrite: bool = False
) -> None:
    """Write a sparse file anew in the plain form, which FabIO reads, or in the compact form. Nothing
    changes but that.

    A file of pyFAI is rewritten in crystint's form. Frame after frame: memory does not grow with their
    number.

    Raises
    ------
    FileError
        When the source is no sparse file, or the target exists or cannot be written.
    """
    with closing(open_sparse(source)) as file:
        if type(file) is SparseFile:
            with create_hdf5(target, overwrite, creator(compact), checksums=True, gzipped=file.gzipped) as made:
                copy_sparse(file, made, compact)
        else:
            rewrite_sparse(file, target, compact, overwrite)
