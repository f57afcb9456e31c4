"""One HDF5 file for a run on stills: experiment, observations, and whatever was made of them.

/entry (NXentry, attribute ``crystint_stills`` = version of the layout)
    observations   NXdata: a data set per column, with ``units`` and ``long_name``; grows row by row
    <part>         a dataclass each: experiment, scales, error_model, profile, merged... (see `dataclass_tree`)
    shells         NXdata: the statistics as a table, for other programs
    process        NXprocess: provenance, without a date
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from os import PathLike
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint import __version__
from crystint.errors import FileError, SettingError, ShapeError
from crystint.html import html_table
from crystint.io.guard import guarded, reads_file
from crystint.io.hdf5.dataclass_tree import read_tree, write_tree
from crystint.io.hdf5.files import check_written, create_hdf5, group, open_hdf5, packed, process, put
from crystint.io.hdf5.provenance import provenance_in
from crystint.io.opened_file import OpenedFile
from crystint.model.experiment import Detector, Experiment
from crystint.model.facts import counted
from crystint.model.observations import Flag, Observations
from crystint.model.panels import Panel

__all__ = ["COLUMNS", "VERSION", "StillsFile", "StillsWriter"]

VERSION = 1
_MARK = "crystint_stills"
_ROWS = 1 << 16
"""Rows of a chunk."""
_MODEL = {"Experiment": Experiment, "Detector": Detector, "Panel": Panel}

COLUMNS: dict[str, tuple[str, str]] = {
    "image": ("", "row of the experiment"),
    "hkl": ("", "Miller indices as indexed, not reduced by symmetry"),
    "intensity": ("count", "intensity as recorded: nothing divided out"),
    "sigma": ("count", "its standard deviation"),
    "d": ("angstrom", "spacing"),
    "partiality": ("", "share of the full intensity, 0 to 1"),
    "correction": ("", "polarization, efficiency of the sensor (and 1 / Lorentz), as factors on the intensity"),
    "excitation": ("1/angstrom", "distance from the Ewald sphere, positive outside (Ewald offset)"),
    "slow": ("pixel", "predicted place, from the outer corner of the first pixel, whose centre is 0.5"),
    "fast": ("pixel", "predicted place, from the outer corner of the first pixel, whose centre is 0.5"),
    "background": ("count", "background per pixel"),
    "background_variance": ("count^2", "variance that the intensity would have without any signal"),
    "profile_error": ("", "share of the intensity that is uncertain as spots are not like their profiles"),
    "wavelength": ("angstrom", "of the reflection; NaN = that of the image"),
    "flags": ("", "bits: " + ", ".join(f"{flag.value} {flag.name}" for flag in Flag)),
}
"""Units and meaning of the columns of observations."""
_LATER = ("profile_error",)
"""columns that files of earlier versions do not have: 0"""
_UNITS = {
    "setting": "1/angstrom",
    "incident": "1/angstrom",
    "sweep": "1/angstrom",
    "b": "angstrom^2",
    "edges": "see the class",
    "radial": "1/angstrom",
    "tangential": "1/angstrom",
    "thickness": "m",
    "attenuation": "1/m",
}


class StillsWriter:
    """A file in the making: ``with StillsWriter(path) as writer: writer.append(observations); writer.put(...)``.

    The file appears, whole, when the block ends well. Memory does not grow with the number of observations.

    Raises
    ------
    FileError
        When entering the block: the file exists and `overwrite` is False, or cannot be written.
    """

    def __init__(
        self, path: str | PathLike[str], *, provenance: Mapping[str, Any] | None = None, overwrite: bool = False
    ) -> None:
        self._path, self._overwrite, self._provenance = path, overwrite, provenance or {}
        self._stack = ExitStack()
        self._entry: h5py.Group | None = None

    def __enter__(self) -> Self:
        file = self._stack.enter_context(create_hdf5(self._path, self._overwrite, f"crystint {__version__}"))
        file.attrs["default"] = "entry"
        self._entry = group(file, "entry", "NXentry", **{_MARK: VERSION})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        entry, self._entry = self._entry, None
        if kind is None and entry is not None:
            with self._stack:
                process(entry, "process", self._provenance, self._provenance)
            return None
        return self._stack.__exit__(kind, error, trace)

    def append(self, observations: Observations) -> None:
        """Add rows to the observations."""
        entry = self._open()
        if "observations" not in entry:
            entry.attrs["default"] = "observations"
            data = group(entry, "observations", "NXdata", signal="intensity")
            for name, (units, meaning) in COLUMNS.items():
                values = getattr(observations, name)
                column = data.create_dataset(
                    name,
                    shape=(0, *values.shape[1:]),
                    maxshape=(None, *values.shape[1:]),
                    chunks=(_ROWS, *values.shape[1:]),
                    dtype=values.dtype,
                    **packed(1),
                )
                column.attrs["long_name"] = meaning
                if units:
                    column.attrs["units"] = units
        data = entry["observations"]
        start = len(data["image"])
        for name in COLUMNS:
            data[name].resize(start + len(observations), axis=0)
            data[name][start:] = getattr(observations, name)
        check_written(data)

    def put(self, name: str, value: Any) -> None:
        """Store a part: a dataclass, or mapping, of arrays, numbers and text. Each name once."""
        entry = self._open()
        if name in entry or name in ("observations", "process"):
            raise SettingError(f"the part {name!r} is in the file already, or its name is taken")
        write_tree(entry, name, value, units=_UNITS)

    def put_table(
        self, name: str, columns: Mapping[str, Any], signal: str, axis: str, units: Mapping[str, str]
    ) -> None:
        """Store columns of the same length as NXdata, for other programs; `StillsFile` does not read it back."""
        data = group(self._open(), name, "NXdata", signal=signal, axes=axis)
        for key, values in columns.items():
            put(data, key, np.asarray(values), units.get(key))

    def _open(self) -> h5py.Group:
        if self._entry is None:
            raise SettingError("the writer is not open: use it as `with StillsWriter(...) as writer:`")
        return self._entry


class StillsFile:
    """A file that `StillsWriter` made, open for reading: ``with StillsFile(path) as file: ...``.

    Made by `open_stills`.

    Parameters
    ----------
    path : path or OpenedFile
        One that is open already is taken over.
    classes : mapping
        Dataclasses by name, beyond those of `crystint.model`, that parts may be made of.

    Raises
    ------
    FileError
        When the file is missing, damaged, something else, or of a newer version.
    """

    def __init__(self, path: str | PathLike[str] | OpenedFile, classes: Mapping[str, type] | None = None) -> None:
        self.path: str | PathLike[str] = path.path if isinstance(path, OpenedFile) else path
        self._classes = {**_MODEL, **(classes or {})}
        handed = path.hand_over() if isinstance(path, OpenedFile) else None
        self._file = open_hdf5(self.path) if handed is None else handed
        try:
            self._entry = self._checked()
        except BaseException:
            self._file.close()
            raise

    def __repr__(self) -> str:
        return f"<StillsFile {self.path}: {', '.join(self._contents) or 'nothing'}>"

    def _repr_html_(self) -> str:
        facts = {"file": str(self.path), "parts": ", ".join(self._contents) or None}
        return html_table("StillsFile", facts)

    @property
    def _contents(self) -> tuple[str, ...]:
        if not self._file:
            return ("closed",)
        return (*([counted(self.rows, "observation")] if "observations" in self else ()), *self.parts)

    @reads_file
    def _checked(self) -> h5py.Group:
        entry = self._file.get("entry")
        version = entry.attrs.get(_MARK) if isinstance(entry, h5py.Group) else None
        if version is None:
            raise FileError(f"{self.path} is no file of crystint stills: /entry has no attribute {_MARK}")
        if int(version) > VERSION:
            raise FileError(
                f"{self.path} has version {version} of the layout, this crystint knows {VERSION}: a newer one wrote it"
            )
        return entry

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @reads_file
    def __contains__(self, name: object) -> bool:
        return name in self._entry

    @property
    @reads_file
    def parts(self) -> tuple[str, ...]:
        """Names of what `get` gives."""
        return tuple(name for name in self._entry if "kind" in self._entry[name].attrs)

    @reads_file
    def get(self, name: str) -> Any:
        """A part; None when the file has none of that name.

        Raises
        ------
        FileError
            When it is damaged.
        """
        if name not in self._entry:
            return None
        with guarded(self.path, f"part {name}"):
            return read_tree(self._entry[name], self._classes)

    @property
    def provenance(self) -> dict[str, Any]:
        """What the file was made with; empty when it does not say so."""
        return provenance_in(self._file)

    @property
    @reads_file
    def rows(self) -> int:
        """Number of observations."""
        return len(self._entry["observations/image"]) if "observations" in self._entry else 0

    @reads_file
    def image_of_rows(self) -> NDArray[np.int32]:
        """int32 [rows]: the image of each observation."""
        image = self._entry["observations/image"][()] if "observations" in self._entry else []
        return np.asarray(image, np.int32)

    @reads_file
    def observations(self, start: int = 0, stop: int | None = None) -> Observations:
        """Rows `start` to `stop` of the observations.

        Raises
        ------
        FileError
            When a column is missing or damaged.
        """
        if "observations" not in self._entry:
            return Observations.join([])
        data = self._entry["observations"]
        with guarded(self.path, "observations"):
            columns = {name: data[name][start:stop] for name in COLUMNS if name in data or name not in _LATER}
        try:
            return Observations(**columns)
        except ShapeError as error:
            raise FileError(f"{self.path}, observations: {error}") from error

    def blocks(self, rows: int = 1 << 18) -> Iterator[Observations]:
        """All observations, some rows at a time."""
        for start in range(0, self.rows, rows):
            yield self.observations(start, min(start + rows, self.rows))
