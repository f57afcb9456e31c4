"""What all frames of a sparse file share: ring map, masks and normalization; in the file, or in one of several files.

The data sets are in the group ``/entry_0000/detector_maps`` of a file of their own when several sparse files share
them. Then the sparse files have external links in their place, so that every reader of HDF5 finds them, and the SHA-256
of what the links show.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint import __version__
from crystint.errors import FileError
from crystint.io.guard import reads_file
from crystint.io.hdf5.checksums import Digest, data_digest
from crystint.io.hdf5.files import create_hdf5, digests_in, group, open_hdf5, packed, put
from crystint.io.sparse.codec import fabio_radius, keep_bits, pixel_radius, same_bits
from crystint.io.sparse.mask import FirstMask
from crystint.model.mask import marker
from crystint.model.rings import RingMap

__all__ = ["MAPS", "MAP_NAMES", "SHARED", "SharedMaps", "check_shared", "maps_state", "put_maps", "refuse_maps"]

MAPS = "entry_0000/detector_maps"
"""Group of a file of maps."""
SHARED = "shared_maps"
"""Attribute of crystint's group in a sparse file: name of the file with the maps, and the sum of what is in it."""
_FORMAT = 1
_WEIGHT_BITS = 12
_LEVEL = 10
_OF_FABIO = ("mask", "radius", "normalization")
_LOST = ("unusable_index", "unusable_value", "unusable_radius")
MAP_NAMES = (*_OF_FABIO, "pixel_mask", "dark", "ring_radius", "ring_q", *_LOST)
"""Data sets of the maps, in a sparse file or in one that they share."""


@dataclass(frozen=True, slots=True, eq=False)
class _Map:
    """A data set."""

    values: NDArray[Any]
    attributes: dict[str, str]


def _maps(rings: RingMap, first: FirstMask) -> dict[str, _Map]:
    """The data sets by their names.

    ``mask`` is FabIO's: the radius of each pixel, NaN where it is masked or was unusable in the first frame.
    ``unusable_radius`` keeps the radius of the latter, ``unusable_value`` what the first frame held there.
    """
    step = rings.step
    radius = pixel_radius(rings, step)
    seen = radius.copy()
    seen[rings.mask != 0] = np.nan
    seen.ravel()[first.lost] = np.nan
    image, spectrum = {"interpretation": "image"}, {"interpretation": "spectrum"}
    maps = {
        "mask": _Map(seen, image | {"units": "m"}),
        "radius": _Map(fabio_radius(rings, step), spectrum | {"units": "m", "long_name": "Radius $r$ ($m$)"}),
        "normalization": _Map(keep_bits(rings.weight, _WEIGHT_BITS), image),
        "pixel_mask": _Map(rings.mask, image | {"meaning": "NXmx pixel mask, 0 = good"}),
        "ring_radius": _Map(np.asarray(rings.radius, dtype=np.float64), {"units": "m"}),
        "ring_q": _Map(np.asarray(rings.q, dtype=np.float64), {"units": "1/angstrom"}),
        "unusable_index": _Map(first.lost, {}),
        "unusable_value": _Map(first.value, {}),
        "unusable_radius": _Map(radius.ravel()[first.lost], {"units": "m"}),
    }
    if rings.dark is not None:
        maps["dark"] = _Map(rings.dark, image | {"units": "count"})
    return maps


def _put(parent: h5py.Group, name: str, one: _Map) -> None:
    """One chunk for a whole image: rings repeat themselves from row to row, which Zstandard then finds."""
    values = one.values
    how: dict[str, Any] = {}
    if values.ndim == 2:
        slow, fast = values.shape
        how = {"chunks": (max(1, min(slow, (1 << 28) // (fast * values.dtype.itemsize))), fast)}
    elif name in _LOST and len(values):
        how = {"chunks": (min(len(values), 1 << 25),)}
    made = parent.create_dataset(name, data=values, **how, **(packed(_LEVEL, parent) if how else {}))
    for key, value in one.attributes.items():
        made.attrs[key] = value


@dataclass(frozen=True, slots=True, eq=False)
class SharedMaps:
    """Maps in a file of their own, which a sparse file is to link to."""

    path: Path
    first: FirstMask
    """of the sparse file that it was made with, and of all that share it"""
    digests: dict[str, Digest]
    """of its data sets"""

    @classmethod
    @reads_file
    def read(cls, path: str | PathLike[str], rings: RingMap, dtype: np.dtype[Any], *, gzipped: bool = False) -> Self:
        """The maps in a file, which must be those of `rings`; packed with gzip where readers have no plug-ins.

        Raises
        ------
        FileError
            When it is no file of maps, damaged, or holds other maps.
        """
        with open_hdf5(path) as file:
            held = file.get(MAPS)
            if not isinstance(held, h5py.Group) or "format" not in held.attrs:
                raise FileError(f"{path} is there and holds no detector maps: name a file that --maps may make")
            if held.attrs["format"] > _FORMAT:
                raise FileError(
                    f"{path} has maps of format {held.attrs['format']}, known is {_FORMAT}: update crystint"
                )
            if gzipped and held["mask"].compression != "gzip":
                raise FileError(
                    f"{path} is packed with Zstandard, which readers without plug-ins cannot read: name another file "
                    "with --maps, or leave --compression gzip out"
                )
            lost, value = held["unusable_index"][()], held["unusable_value"][()]
            fits = lost.dtype == np.uint32 and lost.shape == value.shape and (np.diff(lost.astype(np.int64)) > 0).all()
            if not fits or (len(lost) and lost[-1] >= rings.shape[0] * rings.shape[1]):
                raise FileError(f"{path} holds maps of other frames, or is damaged: its unusable pixels do not fit")
            if value.dtype != dtype:
                raise FileError(f"{path} holds the maps of {value.dtype} frames, these are {dtype}")
            first = FirstMask(lost, value)
            for name, one in _maps(rings, first).items():
                if name not in held or not _same(held[name][()], one.values):
                    raise FileError(
                        f"{path} holds maps of another detector or of other settings: {name} is not that of these "
                        "frames (geometry, masks, dark, flat and the settings of rings must be the same); name another "
                        "file with --maps"
                    )
            digests = {name: digest for name in held if (digest := data_digest(held[name])) is not None}
            return cls(Path(path), first, digests)

    @classmethod
    def make(
        cls, path: str | PathLike[str], rings: RingMap, first: FirstMask, made_for: Path, *, gzipped: bool = False
    ) -> Self:
        """Write a file of maps; where another run has made one meanwhile, take that.

        Raises
        ------
        FileError
            When the file cannot be written, or that of the other run has other maps.
        """
        path = Path(path)
        try:
            with create_hdf5(path, False, f"crystint {__version__}", checksums=True, gzipped=gzipped) as file:
                file.attrs["default"] = "entry_0000"
                entry = group(file, "entry_0000", "NXentry", default="detector_maps")
                held = group(entry, "detector_maps", "NXdata", signal="normalization", format=_FORMAT)
                held.attrs["made_for"] = _made_for(made_for)
                for name, one in _maps(rings, first).items():
                    _put(held, name, one)
                put(entry, "program_name", f"crystint {__version__}")
        except FileError:
            if not path.exists():
                raise
        return cls.read(path, rings, first.value.dtype, gzipped=gzipped)

    def check(self, first: FirstMask) -> None:
        """Raise unless frames that were encoded with `first` can stand beside these maps."""
        if not _same(first.lost, self.first.lost) or not _same(first.value, self.first.value):
            raise FileError(
                f"{self.path} was made meanwhile, by another run, from a frame with other unusable pixels: "
                "start again, without --resume"
            )

    def link(self, data: h5py.Group, own: h5py.Group, target: Path) -> None:
        """Put links into the groups of a sparse file that is to stand at `target`, and the sum of what they show."""
        folder = os.path.dirname(os.path.realpath(target))
        name = os.path.relpath(os.path.realpath(self.path), folder)
        digests = digests_in(own)
        for each in self.digests:
            parent = data if each in _OF_FABIO else own
            parent[each] = h5py.ExternalLink(name, f"/{MAPS}/{each}")
            digests[f"{parent.name}/{each}"] = self.digests[each]
        own.attrs[SHARED] = json.dumps({"file": name, "sha256": _sum(self.digests)})


def put_maps(
    data: h5py.Group, own: h5py.Group, rings: RingMap, dtype: np.dtype[Any], first: FirstMask,
    shared: SharedMaps | None, target: Path,
) -> None:  # fmt: skip
    """The ring map, the masks and the normalization of a sparse file, or links to them."""
    if shared is None:
        for name, one in _maps(rings, first).items():
            _put(data if name in _OF_FABIO else own, name, one)
    else:
        shared.link(data, own, target)
    put(data, "dummy", np.asarray(marker(dtype, rings.valid), dtype=dtype))
    own.attrs["ring_step"] = rings.step
    own.attrs["valid_values"] = json.dumps(None if rings.valid is None else rings.valid.to_dict())


def refuse_maps(output: str | PathLike[str]) -> None:
    """Raise FileError where a file of detector maps stands in the place of an output: other files are read by it."""
    if not os.path.isfile(output):
        return
    try:
        with open_hdf5(output) as file:
            maps = file.get(MAPS)
            shared = isinstance(maps, h5py.Group) and "format" in maps.attrs
    except FileError:
        return  # what is no HDF5 file holds no maps
    if shared:
        raise FileError(
            f"{output} holds detector maps, without which the sparse files that share them cannot be read, and is not "
            "replaced: name another output, or remove the file if no sparse file needs it"
        )


def maps_state(path: Path | None, output: Path) -> dict[str, str]:
    """What must be the same of shared maps when a run is resumed; nothing where there are none."""
    if path is None:
        return {}
    try:
        with open_hdf5(path) as file:
            held = file[MAPS]
            digests = {name: digest for name in held if (digest := data_digest(held[name])) is not None}
            made_for = str(held.attrs.get("made_for", ""))
    except (FileError, KeyError):
        return {"maps_used": "made by this run"}  # what else is there is refused when it is to be used
    return {"maps_used": "made by this run" if made_for == _made_for(output) else _sum(digests)}


def _made_for(output: Path) -> str:
    return os.fsencode(output.name).decode("utf-8", "backslashreplace")


def check_shared(path: Path, data: h5py.Group, own: h5py.Group) -> str:
    """Name of the file with the maps of an open sparse file, which must be as they were; empty = it has its own.

    Raises
    ------
    FileError
        When the file is not there, or has changed.
    """
    if SHARED not in own.attrs:
        return ""
    shared = json.loads(own.attrs[SHARED])
    name = str(shared["file"])
    names = [
        (parent, each)
        for parent in (data, own)
        for each in parent
        if isinstance(parent.get(each, getlink=True), h5py.ExternalLink)
    ]
    digests: dict[str, Digest] = {}
    for parent, each in names:
        item = parent.get(each)
        if not isinstance(item, h5py.Dataset):
            raise FileError(
                f"{path} shares its detector maps with other files, in {name}, and they are not there: put that file "
                f"where it was as seen from this one, {path.parent / name}"
            )
        digest = data_digest(item)
        if digest is not None:
            digests[each] = digest
    if _sum(digests) != shared["sha256"]:
        raise FileError(
            f"{path} shares its detector maps with other files, in {path.parent / name}, which is not the file that it "
            "was made with, or has changed: its frames cannot be told without those maps"
        )
    return name


def _sum(digests: dict[str, Digest]) -> str:
    """One SHA-256 of those of all data sets."""
    lines = [f"{name} {digest.sha256.hexdigest()}\n" for name, digest in sorted(digests.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two arrays are the same bytes."""
    return one.shape == other.shape and one.dtype == other.dtype and bool(same_bits(one, other).all())
