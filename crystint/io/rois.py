"""Regions of interest in HDF5 files: results of each frame, definitions, and a map of their pixels.

The paths are those of Jungfraujoch where it has them: programs that go over ``entry/roi`` find a group of results for
each region there, and nothing else. What the regions are stands in ``entry/roi_defs``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, SettingError
from crystint.io.hdf5.files import group, packed, put
from crystint.io.hdf5.packing import BSLZ4
from crystint.model.geometry import Geometry
from crystint.model.roi_members import PIXEL_CONVENTION, RoiMembers, phi_convention
from crystint.model.roi_table import RoiTable, RoiVersion
from crystint.model.rois import ROI_COLUMNS, Roi, Rois, empty_roi_values

__all__ = ["DEFINITIONS", "RESULTS", "RoiWriter", "roi_table_in"]

RESULTS = "roi"
DEFINITIONS = "roi_defs"
"""names of the groups in an entry"""

_TYPES = {
    "sum": "i8", "sum_sq": "f8", "max": "i8", "npixel": "u4", "x": "f4", "y": "f4", "masked": "u4", "saturated": "u4",
    "background": "f4", "signal": "f4", "sigma": "f4", "spots": "i4", "version": "u2",
}  # fmt: skip
"""columns of a region in a file, and how wide they are there"""
_MEANING = {column.name: (column.unit, column.meaning) for column in ROI_COLUMNS}
_MEANING["version"] = ("", "of the regions, see roi_defs; 0 = the frame is missing, or there was no such region")
_UNITS = {
    "slow_min": "pixel", "slow_max": "pixel", "fast_min": "pixel", "fast_max": "pixel", "center": "pixel",
    "radius": "pixel", "corners": "pixel", "runs": "pixel", "shape": "pixel", "q_min": "1/angstrom",
    "q_max": "1/angstrom", "d_min": "angstrom", "d_max": "angstrom", "phi_min_deg": "deg", "phi_max_deg": "deg",
}  # fmt: skip
_CHUNK = 1024
_WAITING = 256
"""frames that wait in memory"""
_NO_MAXIMUM = np.iinfo(np.int64).min


class RoiWriter:
    """Writes what regions hold into an entry of a file, frame by frame, in any order of frames.

    Parameters
    ----------
    entry : h5py.Group
        Without regions.

    Examples
    --------
    >>> import h5py, numpy as np
    >>> from crystint.io.rois import RoiWriter, roi_table_in
    >>> from crystint.model.rois import Roi, Rois, empty_roi_values
    >>> rois = Rois((Roi.box("a", slow=(0, 1), fast=(0, 1)),))
    >>> with h5py.File("regions.h5", "w") as file:
    ...     writer = RoiWriter(file.create_group("entry"))
    ...     writer.define(rois, rois.members(None, (4, 5)), None)
    ...     writer.put(1, empty_roi_values(1)[None])
    ...     writer.flush(3)
    ...     file["entry/roi/a/version"][()].tolist()
    [0, 1, 0]
    """

    def __init__(self, entry: h5py.Group) -> None:
        self._results = group(entry, RESULTS, "NXcollection")
        self._definitions = group(entry, DEFINITIONS, "NXcollection")
        self._names: dict[int, tuple[str, ...]] = {}
        self._version = 0
        self._waiting: list[tuple[int, int, NDArray[np.void]]] = []
        self._rows = 0

    def define(
        self, rois: Rois, members: RoiMembers, geometry: Geometry | None, *, version: int = 1, first_frame: int = 0
    ) -> None:
        """Say what the regions are, from a frame on.

        Parameters
        ----------
        rois : Rois
        members : RoiMembers
            Their pixels.
        geometry : Geometry or None
            That they were found with.
        version : int
            Number of these regions, above that of those before.
        first_frame : int
            That they are summed up in.
        """
        if version <= self._version:
            raise SettingError(f"version is {version}, expected a number above {self._version}")
        if self._version:
            self._keep_in_history()
        _put_definitions(self._definitions, rois, members, geometry, version, first_frame)
        if self._version:
            self._keep_in_history(only_link=True)
        self._version = version
        self._names[version] = rois.names
        for name in rois.names:
            if name not in self._results:
                self._create(name)

    def _keep_in_history(self, *, only_link: bool = False) -> None:
        """The definitions of now as a version of the history; there they stay when others take their place."""
        here = self._definitions
        history = here["history"] if "history" in here else group(here, "history", "NXcollection")
        name = str(int(here["roi_map"].attrs["version"]))
        if name not in history:
            stored = group(history, name, "NXcollection")
            for item in ("roi_map", "json"):
                stored[item] = here[item]
            put(stored, "first_image", here["roi_map"].attrs["first_image"])
        if not only_link:
            for item in [item for item in here if item != "history"]:
                del here[item]

    def _create(self, name: str) -> None:
        made = group(self._results, name, "NXcollection")
        for column, kind in _TYPES.items():
            fill = np.nan if kind[0] == "f" else -1 if column in ("max", "spots") else 0
            unit, meaning = _MEANING[column]
            data = made.create_dataset(
                column, (0,), kind, maxshape=(None,), chunks=(_CHUNK,), fillvalue=fill, **packed(parent=made)
            )
            if unit:
                data.attrs["units"] = unit
            data.attrs["long_name"] = meaning
            if column in ("x", "y"):
                data.attrs["pixel_convention"] = PIXEL_CONVENTION
            if column == "max":
                data.attrs["no_value"] = -1
                data.attrs["no_value_where"] = "npixel = 0"

    def put(self, first: int, values: NDArray[np.void], version: int | None = None) -> None:
        """Add frames that follow one another.

        Parameters
        ----------
        first : int
            Number of the first one: its row.
        values : ROI_DTYPE [frames, regions]
            In the order of the regions of that version.
        version : int, optional
            None = the last one that was defined.
        """
        version = self._version if version is None else version
        names = self._names.get(version)
        if names is None or values.shape[1:] != (len(names),):
            raise SettingError(
                f"values are {values.shape} of version {version}, expected (frames, regions) of one that was defined"
            )
        self._waiting.append((first, version, values.copy()))
        self._rows = max(self._rows, first + len(values))
        if sum(len(rows) for _, _, rows in self._waiting) >= _WAITING:
            self.flush()

    def flush(self, frames: int | None = None) -> None:
        """Write what waits.

        Parameters
        ----------
        frames : int, optional
            How many there are, those without values among them.
        """
        self._rows = max(self._rows, frames or 0)
        blocks = list(_joined(self._waiting))
        self._waiting = []
        for name in self._results:
            columns = self._results[name]
            for column in _TYPES:
                data = columns[column]
                if len(data) < self._rows:
                    data.resize(self._rows, axis=0)
                for first, version, values in blocks:
                    if name in self._names[version]:
                        data[first : first + len(values)] = _stored(
                            values[:, self._names[version].index(name)], column, version
                        )


def _stored(values: NDArray[np.void], column: str, version: int) -> NDArray[Any]:
    """A column as it is in a file."""
    if column == "version":
        return np.full(len(values), version, np.uint16)
    if column == "max":
        return np.where(values["npixel"] == 0, -1, values["max"])
    return values[column]


def _joined(waiting: Sequence[tuple[int, int, NDArray[np.void]]]) -> Iterator[tuple[int, int, NDArray[np.void]]]:
    """Frames that follow one another in one piece."""
    pieces: list[tuple[int, int, list[NDArray[np.void]]]] = []
    end = -1
    for first, version, values in waiting:
        if pieces and first == end and version == pieces[-1][1]:
            pieces[-1][2].append(values)
        else:
            pieces.append((first, version, [values]))
        end = first + len(values)
    for first, version, parts in pieces:
        yield first, version, np.concatenate(parts)


def _put_definitions(
    place: h5py.Group, rois: Rois, members: RoiMembers, geometry: Geometry | None, version: int, first_frame: int
) -> None:
    image = members.map()
    data = place.create_dataset("roi_map", data=image, chunks=image.shape, **BSLZ4.options)
    data.attrs["names"] = np.array(rois.names, dtype=h5py.string_dtype())
    data.attrs["version"], data.attrs["first_image"] = version, first_frame
    text = put(place, "json", json.dumps(rois.to_dict()))
    text.attrs["phi_convention"] = phi_convention(geometry)
    text.attrs["pixel_convention"] = PIXEL_CONVENTION
    for bit, roi in enumerate(rois):
        made = group(place, roi.name, "NXcollection")
        put(made, "type", roi.type)
        put(made, "bit", np.uint8(bit))
        put(made, "first_image", np.int64(first_frame))
        put(made, "n_pixels", np.int64(len(members.pixels[bit])))
        for key, value in roi.parameters.items():
            put(made, key, np.array(value), _UNITS[key])


def roi_table_in(file: h5py.File) -> RoiTable | None:
    """What regions held in a file that is open; None = there are none in it.

    Raises
    ------
    FileError
        When it is damaged.
    """
    entry = next((file[name] for name in ("entry", "entry_1", "entry_0000") if name in file), None)
    if not isinstance(entry, h5py.Group) or not isinstance(entry.get(DEFINITIONS), h5py.Group):
        return None
    place = entry[DEFINITIONS]
    if not isinstance(place.get("roi_map"), h5py.Dataset):
        return None
    history = place.get("history")
    groups = (
        [place] if not isinstance(history, h5py.Group) else [history[name] for name in sorted(history, key=_number)]
    )
    versions = tuple(_version(one, file.filename) for one in groups)
    results = entry.get(RESULTS)
    values, numbers = {}, {}
    for name in results if isinstance(results, h5py.Group) else ():
        if isinstance(results[name], h5py.Group):
            values[name], numbers[name] = _values(results[name], file.filename)
            pixels = {
                one.version: int(np.count_nonzero(one.map >> one.map.dtype.type(one.rois.names.index(name)) & 1))
                for one in versions
                if name in one.rois.names
            }
            for version, count in pixels.items():
                values[name]["pixels"][numbers[name] == version] = count
    convention = place["json"].attrs.get("phi_convention", "") if "json" in place else ""
    return RoiTable(values, numbers, versions, str(convention))


def _number(name: str) -> int:
    return int(name) if name.isdecimal() else -1


def _version(place: h5py.Group, path: str) -> RoiVersion:
    """The regions of a group of definitions: as they were defined, or, in a file of others, as bitmaps."""
    data = place["roi_map"]
    image = np.asarray(data[()])
    if image.ndim != 2 or image.dtype.kind != "u":
        raise FileError(f"{path} is damaged: {data.name} is {image.dtype} {image.shape}, expected a map of bits")
    names = [str(name) for name in np.atleast_1d(data.attrs.get("names", []))]
    if "json" in place:
        try:
            rois = Rois.from_dict(json.loads(place["json"].asstr()[()]))
        except (ValueError, TypeError, RecursionError) as error:
            raise FileError(f"{path} is damaged: its regions cannot be read ({error})") from error
    else:
        rois = Rois(tuple(_bitmap(name, bit, image) for bit, name in enumerate(names)))
    if 8 * image.dtype.itemsize < len(rois):
        raise FileError(f"{path} is damaged: {data.name} has fewer bits than there are regions ({len(rois)})")
    return RoiVersion(int(data.attrs.get("version", 1)), int(data.attrs.get("first_image", 0)), rois, image)


def _bitmap(name: str, bit: int, image: NDArray[Any]) -> Roi:
    return Roi.bitmap(name, image >> image.dtype.type(bit) & 1)


def _values(columns: h5py.Group, path: str) -> tuple[NDArray[np.void], NDArray[np.uint16]]:
    """Values and versions of a region, [frames]."""
    total = columns.get("sum")
    if not isinstance(total, h5py.Dataset) or total.ndim != 1:
        raise FileError(f"{path} is damaged: {columns.name} has no column sum")
    values = empty_roi_values(len(total))
    version = np.ones(len(total), np.uint16)
    for column in _TYPES:
        data = columns.get(column)
        if data is None:
            continue
        if not isinstance(data, h5py.Dataset) or data.shape != total.shape or data.dtype.kind not in "iuf":
            raise FileError(f"{path} is damaged: {columns.name}/{column} is no column of {len(total)} numbers")
        if column == "version":
            version[:] = data[()]
        else:
            values[column] = data[()]
    values["max"][values["npixel"] == 0] = _NO_MAXIMUM
    some = values["npixel"] > 0
    values["mean"][some] = values["sum"][some] / values["npixel"][some]
    sure = values["sigma"] > 0
    values["snr"][sure] = values["signal"][sure] / values["sigma"][sure]
    return values, version
