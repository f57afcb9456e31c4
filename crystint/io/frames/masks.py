"""Mask files: NXmx and other HDF5 masks, TIFF, EDF, NumPy, CBF, CrystFEL bad regions."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.frames.readers import file_kind
from crystint.io.frames.sequence import open_frames
from crystint.io.frames.stacks import open_stack_file
from crystint.io.geometry.crystfel import geom_mask
from crystint.io.geometry.nexus import nexus_mask
from crystint.model.mask import combine_masks

__all__ = ["read_mask"]


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
        Of the frames, for files that may hold several masks and for .geom.

    Returns
    -------
    uint32 [slow, fast]
        NXmx bit field: integers keep their bits; True and nonzero floats become 0x100, "masked by the user".

    Raises
    ------
    FileError
        When the file is missing, damaged, of an unknown kind, or holds no mask or several frames.
    """
    path = Path(path)
    kind = file_kind(path)
    if kind == "hdf5":
        return _from_hdf5(path, dataset, shape)
    if kind == "npy":
        return _from_npy(path)
    if path.suffix.lower() == ".geom":
        return geom_mask(path, shape)
    with open_frames(path) as frames:
        if len(frames) != 1:
            raise FileError(f"{path} holds {len(frames)} frames, expected a mask of one")
        return combine_masks(frames[0], shape=frames.shape)


def _from_npy(path: Path) -> NDArray[np.uint32]:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise FileError(f"{path} is damaged or no array of numbers: {error}") from error
    return _two_dimensional(values, str(path))


def _from_hdf5(path: Path, dataset: str | None, shape: tuple[int, int] | None) -> NDArray[np.uint32]:
    with open_stack_file(path) as file:
        if dataset is None:
            mask = nexus_mask(file, shape, str(path))
            if mask is not None:
                return mask
            flat = [name for name in _planes(file) if shape is None or file[name].shape == shape]
            if len(flat) != 1:
                listed = ", ".join(flat[:12]) or "none"
                raise FileError(
                    f"{path} holds no pixel_mask, and its 2-D data sets are: {listed}; name one with dataset="
                )
            dataset = flat[0]
        elif dataset not in file:
            raise FileError(
                f"{path} has no data set {dataset}; 2-D data sets in it: {', '.join(_planes(file)) or 'none'}"
            )
        try:
            values = np.asarray(file[dataset][()])
        except (OSError, RuntimeError, TypeError) as error:
            raise FileError(f"{path}: {dataset} cannot be read: {error}") from error
    return _two_dimensional(values, f"{path}: {dataset}")


def _planes(file: Any) -> list[str]:
    """Every 2-D data set of numbers in the file."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append("/" + name) if getattr(item, "ndim", 0) == 2 else None)
    return [name for name in names if file[name].dtype.kind in "biuf"]


def _two_dimensional(values: NDArray[Any], name: str) -> NDArray[np.uint32]:
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise FileError(f"{name} is {values.dtype} of shape {values.shape}, expected a mask (slow, fast) of numbers")
    return combine_masks(values, shape=(values.shape[0], values.shape[1]))
