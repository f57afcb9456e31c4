"""Mask files: NXmx and other HDF5 masks, TIFF, EDF, NumPy, CBF, CrystFEL bad regions."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import CrystintError, FileError, ShapeError
from crystint.io.containers import HDF5_SIGNATURE
from crystint.io.frames.nexus_mask import nexus_mask
from crystint.io.frames.sequence import open_frames
from crystint.io.geometry.crystfel_mask import geom_mask
from crystint.io.geometry.detector_group import detector_of
from crystint.io.guard import reads_file
from crystint.io.hdf5.files import planes
from crystint.io.kinds import NEVER_FRAMES, opened_kind, unexpected
from crystint.io.linked_files import linked_by
from crystint.io.opened_file import OpenedFile
from crystint.model.mask import combine_masks

__all__ = ["mask_in", "read_mask", "read_mask_bytes"]

_SIGNATURES = {
    b"II*\0": ".tif", b"MM\0*": ".tif", b"II+\0": ".tif", b"MM\0+": ".tif", b"\x93NUMPY": ".npy",
    HDF5_SIGNATURE: ".h5",
}  # fmt: skip
_RAW = "application/octet-stream"


@reads_file
def read_mask(
    path: str | PathLike[str], *, dataset: str | None = None, shape: tuple[int, int] | None = None
) -> NDArray[np.uint32]:
    """Read a mask. Nonzero = masked.

    Parameters
    ----------
    path : path
        An HDF5 file (the pixel mask of its detector, else its only 2-D data set), an image of one frame
        that FabIO reads (TIFF of 8, 16 or 32 bits, EDF, CBF, fit2d .msk, ...), .npy (bool or numbers), or a
        CrystFEL .geom (pixels in no panel, and bad regions).
    dataset : str, optional
        Path of the mask in an HDF5 file.
    shape : (slow, fast), optional
        Of the frames: one of another shape is refused before its pixels are read, and of several in a file that one
        is taken. A .geom needs it.

    Returns
    -------
    uint32 [slow, fast]
        NXmx bit field: integers keep their bits; True and nonzero floats become 0x100, "masked by the user".

    Raises
    ------
    FileError
        When the file is missing, damaged, of an unknown kind, or holds no mask or several frames.
    ShapeError
        When the mask has another shape; with both shapes.
    """
    path = Path(path)
    with OpenedFile(path, dataset) as file:
        if file.hdf5 is not None:
            return mask_in(file, shape)
        if file.container == "npy":
            return _from_npy(path, shape)
        if file.suffix == ".geom":
            return geom_mask(path, shape)
        if file.container == "other" and file.text and file.suffix != ".edf":
            raise unexpected(file, "mask", f"{path} is of unknown kind; expected a mask")
    with open_frames(path) as frames:
        if len(frames) != 1:
            raise FileError(f"{path} holds {len(frames)} frames, expected a mask of one")
        _check_shape(path, frames.shape, shape)
        return combine_masks(frames[0], shape=frames.shape)


def read_mask_bytes(data: bytes, content_type: str = "", shape: tuple[int, int] | None = None) -> NDArray[np.uint32]:
    """Read a mask from the bytes of a file: TIFF, NumPy or HDF5, or pixels alone. Nonzero = masked.

    Parameters
    ----------
    data : bytes
        By its first bytes it is TIFF, NumPy or HDF5.
    content_type : str
        "application/octet-stream": where it is none of them, it is the pixels, rows of unsigned integers of 8, 16 or 32
        bits, little endian, as many as `shape` says.
    shape : (slow, fast), optional
        Of the detector.

    Returns
    -------
    uint32 [slow, fast]
        As `read_mask`.

    Raises
    ------
    FileError
        When it is damaged, of another kind, holds colours or several images, or shows data of another file.
    ShapeError
        When it has another shape; with both shapes.

    Examples
    --------
    >>> from crystint.io.frames.masks import read_mask_bytes
    >>> read_mask_bytes(bytes([0, 1, 0, 0, 0, 2]), "application/octet-stream", (2, 3)).tolist()
    [[0, 1, 0], [0, 0, 2]]
    """
    head = data[:8]
    suffix = next((suffix for start, suffix in _SIGNATURES.items() if head.startswith(start)), None)
    if suffix is None:
        if content_type.partition(";")[0].strip().lower() == _RAW and shape is not None:
            return _of_pixels(data, shape)
        begin = head[:4].hex(" ") or "nothing"
        raise FileError(f"the mask begins with {begin}, expected TIFF, NumPy or HDF5")
    with TemporaryDirectory(prefix="crystint-") as folder:
        path = Path(folder) / f"mask{suffix}"
        path.write_bytes(data)
        if linked_by(path):
            raise FileError("the mask is an HDF5 file that shows data of another file, expected one that holds them")
        try:
            return read_mask(path, shape=shape)
        except CrystintError as error:
            raise type(error)(str(error).replace(str(path), "the mask")) from None


def _of_pixels(data: bytes, shape: tuple[int, int]) -> NDArray[np.uint32]:
    pixels, size = shape[0] * shape[1], len(data)
    dtype = {pixels: "u1", 2 * pixels: "<u2", 4 * pixels: "<u4"}.get(size)
    if dtype is None:
        raise ShapeError(
            f"the mask is {size} bytes, expected {pixels} pixels of {shape} (slow, fast) of 1, 2 or 4 bytes"
        )
    return np.frombuffer(data, dtype).reshape(shape).astype(np.uint32)


def _check_shape(name: object, own: tuple[int, ...], shape: tuple[int, int] | None) -> None:
    if shape is not None and own != tuple(shape):
        hint = "; it looks transposed" if own == tuple(shape)[::-1] else ""
        raise ShapeError(f"{name} is a mask of {own}, expected {tuple(shape)} (slow, fast){hint}")


def _from_npy(path: Path, shape: tuple[int, int] | None) -> NDArray[np.uint32]:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise FileError(f"{path} is damaged or no array of numbers: {error}") from error
    if values.ndim == 2:
        _check_shape(path, values.shape, shape)
    return _two_dimensional(values, str(path))


@reads_file
def mask_in(file: OpenedFile, shape: tuple[int, int] | None = None) -> NDArray[np.uint32]:
    """The mask in an open HDF5 file, as `read_mask`."""
    path, opened, dataset = file.path, file.hdf5, file.dataset
    assert opened is not None
    if dataset is None:
        mask, unusable = nexus_mask(opened, detector_of(opened, None, shape), str(path))
        if mask is not None and (shape is None or mask.common.shape == shape):
            return mask.common
        if unusable:
            raise FileError(unusable[0])
        flat = [name for name in planes(opened) if shape is None or opened[name].shape == shape]
        if len(flat) != 1:
            listed = ", ".join(flat[:12]) or "none"
            reason = f"{path} holds no pixel_mask, and its 2-D data sets are: {listed}" + (
                "; name one with dataset= in Python, or save it by itself (.npy)" if flat else ""
            )
            if opened_kind(file, NEVER_FRAMES) is not None:
                raise unexpected(file, "mask", reason)
            raise FileError(reason)
        dataset = flat[0]
    elif dataset not in opened:
        listed = ", ".join(planes(opened)) or "none"
        raise FileError(f"{path} has no data set {dataset}; 2-D data sets in it: {listed}")
    try:
        values = np.asarray(opened[dataset][()])
    except (OSError, RuntimeError, TypeError) as error:
        raise FileError(f"{path}: {dataset} cannot be read: {error}") from error
    return _two_dimensional(values, f"{path}: {dataset}")


def _two_dimensional(values: NDArray[Any], name: str) -> NDArray[np.uint32]:
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise FileError(f"{name} is {values.dtype} of shape {values.shape}, expected a mask (slow, fast) of numbers")
    return combine_masks(values, shape=(values.shape[0], values.shape[1]))
