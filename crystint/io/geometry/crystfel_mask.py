"""The mask of a CrystFEL geometry file: bad regions, edges, panels left out, and mask files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError, warn
from crystint.io.geometry.crystfel import frame_panels
from crystint.io.geometry.crystfel_text import CrystfelText, read_geom_text
from crystint.io.hdf5.files import open_hdf5
from crystint.model.geometry import Panel
from crystint.model.mask import USER_MASK

__all__ = ["geom_mask"]

_OUTSIDE = 1
"""NXmx's bit of a gap: no pixel."""
_READ_ANYWAY = "pixel_mask"
"""Of masks in the data files, that of NXmx and DECTRIS is read without a word."""


class _BitMask(NamedTuple):
    """A mask whose numbers are bits: bad where one of `good` is missing or one of `bad` is set."""

    data: str
    file: str
    good: int
    bad: int


def geom_mask(path: Path, shape: tuple[int, int] | None = None) -> NDArray[np.uint32]:
    """uint32 [slow, fast]: 1 in no panel; 0x100 in bad regions, given in fs and ss or in x and y, at the edges that
    mask_edge_pixels says, in panels of no_index, and where maskN_file has bad bits.

    A mask in the data files is not read from here: those have their own. A camera length is not needed.

    Raises
    ------
    GeometryError, FileError
        As `read_geom`, and when a mask file is missing or has no such data set.
    """
    text = read_geom_text(path)
    text.warn_of_the_mask()
    panels, extent = frame_panels(text)
    mask = np.full(shape or extent, _OUTSIDE, dtype=np.uint32)
    if mask.shape[0] < extent[0] or mask.shape[1] < extent[1]:
        raise GeometryError(f"{path}: the panels reach to {extent} (slow, fast), beyond a frame of {shape}")
    for panel in panels.values():
        mask[panel.slices] = 0
    for name, panel in panels.items():
        view = mask[panel.slices]
        edge = text.edge(name)
        if text.flagged(name):
            view |= USER_MASK
        elif edge:
            inner = np.zeros(view.shape, dtype=bool)
            inner[edge : max(view.shape[0] - edge, edge), edge : max(view.shape[1] - edge, edge)] = True
            view[~inner] |= USER_MASK
    for bad in text.bad.values():
        mask[_region(text, panels, bad, mask.shape)] |= USER_MASK
    for bits, names in _masks(text).items():
        _apply(text, bits, [panels[name] for name in names], mask)
    return mask


def _region(text: CrystfelText, panels: dict[str, Panel], bad: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """bool [slow, fast]: a bad region."""
    region = np.zeros(shape, dtype=bool)
    if bad["is_fsss"]:
        region[bad["min_ss"] : bad["max_ss"] + 1, bad["min_fs"] : bad["max_fs"] + 1] = True
        if bad["panel"]:
            if bad["panel"] not in panels:
                raise GeometryError(f"{text.path}: a bad region is in panel {bad['panel']}, which is not there")
            inside = np.zeros(shape, dtype=bool)
            inside[panels[bad["panel"]].slices] = True
            region &= inside
        return region
    for name, panel in text.panels.items():
        rows, columns = panels[name].slices
        ss, fs = np.mgrid[: rows.stop - rows.start, : columns.stop - columns.start] + 0.5
        x = panel["cnx"] + fs * panel["fsx"] + ss * panel["ssx"]
        y = panel["cny"] + fs * panel["fsy"] + ss * panel["ssy"]
        inside = (x >= bad["min_x"]) & (x <= bad["max_x"]) & (y >= bad["min_y"]) & (y <= bad["max_y"])
        region[rows, columns] |= inside
    return region


def _masks(text: CrystfelText) -> dict[_BitMask, list[str]]:
    """The masks 0 to 7, each with the panels that it is of."""
    masks: dict[_BitMask, list[str]] = {}
    older = {
        "mask0_data": "mask",
        "mask0_file": "mask_file",
        "mask0_goodbits": "mask_good",
        "mask0_badbits": "mask_bad",
    }
    for name, values in text.own.items():
        both = dict(text.top) | dict(values)
        for number in range(8):
            data, file, good, bad = (
                both.get(key) or both.get(older.get(key, ""), "")
                for key in (f"mask{number}_{part}" for part in ("data", "file", "goodbits", "badbits"))
            )
            if data:
                mask = _BitMask(data, file, _bits(text.path, good), _bits(text.path, bad))
                masks.setdefault(mask, []).append(name)
    return masks


def _bits(path: Path, value: str) -> int:
    """A number of bits: decimal, or hexadecimal with 0x or without."""
    for base in (10, 16):
        try:
            return int(value or "0", base)
        except ValueError:
            continue
    raise GeometryError(f"{path}: the bits of a mask are {value!r}, expected a whole number such as 0xfeff")


def _apply(text: CrystfelText, bits: _BitMask, panels: list[Panel], mask: NDArray[np.uint32]) -> None:
    """Mark in `mask` the pixels of some panels that a mask says are bad."""
    if not bits.file:
        if Path(bits.data).name != _READ_ANYWAY:
            warn(
                f"{text.path}: the mask {bits.data} of the data files is not applied; crystint finds a pixel_mask "
                "in them by itself, and takes others as files (-m)"
            )
        return
    if not bits.good and not bits.bad:
        warn(f"{text.path}: the mask {bits.file} {bits.data} has neither goodbits nor badbits and masks nothing")
        return
    beside = text.path.parent / bits.file
    path = Path(bits.file) if Path(bits.file).exists() or not beside.exists() else beside
    with open_hdf5(path) as file:
        item = file.get(bits.data)
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "biu":
            raise GeometryError(f"{text.path}: {path} has no mask of whole numbers at {bits.data}")
        values = item[()].astype(np.int64)
    values = (
        values.reshape(values.shape[-2:]) if values.ndim > 2 and values.size == np.prod(values.shape[-2:]) else values
    )
    for panel in panels:
        part = values[panel.slices] if values.ndim == 2 else values
        if part.shape != mask[panel.slices].shape:
            raise GeometryError(f"{text.path}: the mask {path} {bits.data} is {values.shape}, smaller than the panels")
        bad = ((part & bits.good) != bits.good) | ((part & bits.bad) != 0)
        mask[panel.slices] |= np.where(bad, np.uint32(USER_MASK), np.uint32(0))
