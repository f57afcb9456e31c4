"""SHA-256 of everything that an HDF5 file holds, in a table in that file.

The table is the JSON text ``<entry>/checksums/data``:

- ``data``: of each data set the SHA-256 and the number of its bytes. Of a data set in chunks they are the chunks as
  they are stored, in ascending order of their place; of any other its values in C order, little-endian; of texts their
  UTF-8, with a zero byte between two.
- ``structure``: of each group and data set the SHA-256 of a description: its attributes, and its members, or its type,
  shape and packing.

Chunks that `crystint.io.hdf5.packing.ChunkWriter` writes are added up as they go; the rest is read at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from crystint.errors import FileError
from crystint.units import readable_size

__all__ = ["ALGORITHM", "NOTE", "Digest", "checksums_of", "data_digest", "members", "note_of", "structure_digest"]

NOTE = "checksums"
"""Name of the NXnote in the entry of a file."""
ALGORITHM = (
    "SHA-256 of the chunks as they are stored, in ascending order of their place; where there are none, of the values "
    "in C order, little-endian; texts are UTF-8 with a zero byte between two"
)


@dataclass(slots=True)
class Digest:
    """The sum of the bytes of a data set so far."""

    sha256: Any = field(default_factory=hashlib.sha256)
    size: int = 0
    _place: int = -1
    _before: tuple[Any, int] | None = None

    def add(self, values: Any, place: int | None = None) -> None:
        """Add bytes; those of a chunk that was written before, and is the last, replace what they were."""
        if place is not None:
            if place == self._place and self._before is not None:
                self.sha256, self.size = self._before
            self._place, self._before = place, (self.sha256.copy(), self.size)
        self.sha256.update(values)
        self.size += len(values)

    def row(self) -> dict[str, Any]:
        """As it stands in the table."""
        return {"sha256": self.sha256.hexdigest(), "bytes": self.size}


def data_digest(data: h5py.Dataset) -> Digest | None:
    """The sum of a data set as it is stored; None of a virtual one, whose values are elsewhere."""
    if data.is_virtual:
        return None
    digest = Digest()
    if data.chunks is None or data.dtype.hasobject:
        digest.add(_bytes(None if data.shape is None else data[()]))
        return digest
    places: list[tuple[int, ...]] = []
    largest = os.stat(data.file.filename).st_size if os.path.exists(data.file.filename) else None

    def add_place(chunk: Any) -> None:
        if largest is not None and chunk.size > largest:
            raise FileError(f"a chunk of {data.name} claims {readable_size(chunk.size)}, more than the file has")
        places.append(chunk.chunk_offset)

    data.id.chunk_iter(add_place)
    for place in sorted(places):
        digest.add(data.id.read_direct_chunk(place)[1])
    return digest


def structure_digest(item: h5py.Group | h5py.Dataset) -> str:
    """SHA-256 of what a group or a data set is, without the values of data sets."""
    lines = [f"attribute {name} {_described(item.attrs[name])}" for name in sorted(item.attrs)]
    if isinstance(item, h5py.Group):
        lines += [f"member {text}" for _, text, _ in members(item)]
    else:
        plist = item.id.get_create_plist()
        filters = [plist.get_filter(number)[:3] for number in range(plist.get_nfilters())]
        kind = "text" if item.dtype.hasobject else item.dtype.str if item.dtype.names is None else str(item.dtype)
        lines.append(f"data set {kind} {item.shape} {item.chunks} {filters}")
        if item.is_virtual:
            lines += _sources(item)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _sources(item: h5py.Dataset) -> list[str]:
    """Where the values of a virtual data set are."""
    try:
        return [f"source {each.file_name} {each.dset_name}" for each in item.virtual_sources()]
    except UnicodeDecodeError:  # h5py does not give names of files that are no UTF-8
        plist = item.id.get_create_plist()
        return [f"source {plist.get_virtual_dsetname(number)}" for number in range(plist.get_virtual_count())]


def members(group: h5py.Group) -> Iterator[tuple[str, str, bool]]:
    """Name, description, and whether it is a link of each member, by name; the table itself left out."""
    note = note_of(group.file)
    for name in sorted(group):
        if f"{group.name.rstrip('/')}/{name}" == note:
            continue
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            yield name, f"{name} in {link.filename} {link.path}", True
        elif isinstance(link, h5py.SoftLink):
            yield name, f"{name} is {link.path}", True
        else:
            yield name, name, False


def note_of(file: h5py.File) -> str:
    """Path of the NXnote with the table."""
    entry = file.attrs.get("default", "")
    return f"/{entry}/{NOTE}" if isinstance(entry, str) and entry else f"/{NOTE}"


def checksums_of(file: h5py.File, written: Mapping[str, Digest]) -> str:
    """The table of a file that is whole, as JSON text.

    Parameters
    ----------
    written
        Sums that are known by the paths of their data sets, those behind external links among them.
    """
    data: dict[str, Any] = {}
    structure: dict[str, str] = {}
    waiting, seen = [file["/"]], set()
    while waiting:
        item = waiting.pop()
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            continue
        seen.add(address)
        structure[item.name] = structure_digest(item)
        if isinstance(item, h5py.Dataset):
            digest = written.get(item.name) or data_digest(item)
            if digest is not None:
                data[item.name] = digest.row()
            continue
        inside = []
        for name, _, linked in members(item):
            place = f"{item.name.rstrip('/')}/{name}"
            if not linked:
                inside.append(item[name])
            elif place in written:
                data[place] = written[place].row()
        waiting += reversed(inside)
    table = {"algorithm": ALGORITHM, "data": dict(sorted(data.items())), "structure": dict(sorted(structure.items()))}
    return json.dumps(table, indent=1)


def _described(value: Any) -> str:
    """Type, shape and SHA-256 of an attribute."""
    if isinstance(value, h5py.Empty | h5py.Reference | h5py.RegionReference):
        return type(value).__name__
    values = np.asarray(value)
    kind = "text" if values.dtype.kind in "OU" else values.dtype.str
    return f"{kind} {values.shape} {hashlib.sha256(_bytes(value)).hexdigest()}"


def _bytes(value: Any) -> bytes:
    """Values in C order, little-endian; texts as UTF-8 with a zero byte between two."""
    if value is None:
        return b""
    values = np.asarray(value)
    if values.dtype.kind in "OU":
        texts = (each.encode("utf-8", "surrogateescape") if isinstance(each, str) else each for each in values.flat)
        return b"\0".join(texts)
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
