"""Single images to files that other programs open: HDF5 with several of them, TIFF, NumPy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.io.hdf5.files import create_hdf5, group, packed, process, put
from crystint.io.outputs import atomic_path
from crystint.model.geometry import Geometry

__all__ = ["write_image", "write_images"]


def write_images(
    path: Path,
    images: Mapping[str, NDArray[Any]],
    *,
    meaning: Mapping[str, str],
    units: Mapping[str, str],
    mask: NDArray[np.uint32] | None,
    frames: int,
    geometry: Geometry | None,
    provenance: Mapping[str, Any],
    overwrite: bool,
) -> None:
    """``/entry/sum``: NXdata with a data set per image, the first of which is drawn, and ``pixel_mask``."""
    with create_hdf5(path, overwrite, "crystint") as file:
        file.attrs["default"] = "entry"
        entry = group(file, "entry", "NXentry", default="sum")
        put(entry, "title", "crystint sums over frames")
        data = group(entry, "sum", "NXdata", signal=next(iter(images)), frames=frames)
        for name, image in images.items():
            made = data.create_dataset(name, data=image, chunks=image.shape, **packed())
            made.attrs["units"], made.attrs["long_name"] = units[name], meaning[name]
            made.attrs["interpretation"] = "image"
        if mask is not None:
            made = data.create_dataset("pixel_mask", data=mask, chunks=mask.shape, **packed())
            made.attrs["long_name"] = "NXmx pixel mask, 0 = good"
        if geometry is not None:
            put(entry, "geometry", json.dumps(geometry.to_dict()), type="text/json")
        process(entry, "process", provenance, provenance)


def write_image(path: Path, image: NDArray[Any], provenance: Mapping[str, Any], *, overwrite: bool) -> None:
    """One image as .tif or .npy; its provenance stands in a second file, ``<name>.json``."""
    with atomic_path(path.with_name(path.name + ".json"), overwrite) as beside:
        beside.write_text(json.dumps({"provenance": dict(provenance)}, indent=1), encoding="utf-8")
        with atomic_path(path, overwrite) as temporary:
            if path.suffix.lower() == ".npy":
                with temporary.open("wb") as file:
                    np.save(file, image)
                return
            from tifffile import imwrite

            imwrite(temporary, _of_32_bits(image), photometric="minisblack", metadata=None)


def _of_32_bits(image: NDArray[Any]) -> NDArray[Any]:
    """The image in a dtype that programs read in TIFF: whole numbers exactly.

    Raises
    ------
    SettingError
        When they do not fit.
    """
    if image.dtype.kind == "f":
        return image.astype(np.float32)
    low, high = int(image.min()), int(image.max())
    for dtype in (np.int32, np.uint32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return image.astype(dtype)
    raise SettingError(
        f"the image has counts from {low} to {high}, which no TIFF of 32 bits holds: write .h5 or .npy, or the mean"
    )
