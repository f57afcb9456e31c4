"""What an output was made with, so that the run can be repeated."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from crystint import __version__
from crystint.errors import FileError
from crystint.io.containers import is_hdf5
from crystint.io.guard import guarded
from crystint.io.hdf5.files import open_hdf5

__all__ = ["differences", "plain", "provenance", "provenance_in", "read_provenance"]


def provenance(
    settings: Mapping[str, Any], inputs: Sequence[str | PathLike[str]], command: Sequence[str] | None = None
) -> dict[str, Any]:
    """The record that every output file carries.

    Parameters
    ----------
    settings : mapping
        Every setting that the result depends on. NumPy scalars and arrays, paths and dataclasses are turned
        into what JSON can hold; NaN and infinities into text.
    inputs : sequence of str or path
        Names of the input files.
    command : sequence of str, optional
        The command line; None = ``sys.argv``.

    Returns
    -------
    dict
        JSON-able: ``program``, ``version``, ``command``, ``inputs``, ``settings``. No date: the same run gives the same
        bytes, and the file system knows when a file was written.

    Examples
    --------
    >>> import crystint
    >>> record = crystint.provenance({"snr": 5.0}, ["run.h5"], ["my_script.py"])
    >>> sorted(record), record["settings"]
    (['command', 'inputs', 'program', 'settings', 'version'], {'snr': 5.0})
    """
    return {
        "program": "crystint",
        "version": __version__,
        "command": list(sys.argv if command is None else command),
        "inputs": [fspath(name) for name in inputs],
        "settings": plain(settings),
    }


_SHOWN = 5
"""Differences named in a message."""
_PLACES = (
    "entry_0000/crystint/provenance",
    "entry/process/configuration/data",
    "entry/densify/configuration/data",
    "entry_1/process_1/configuration/data",
)


def read_provenance(path: str | PathLike[str]) -> dict[str, Any]:
    """The record of an output of crystint; empty when it has none, or is something else."""
    path = Path(path)
    beside = path.with_name(path.name + ".json")
    with suppress(FileError), guarded(path):
        if is_hdf5(path):
            with open_hdf5(path) as file:
                return provenance_in(file)
        if path.suffix.lower() in (".refl", ".xds", ".csv"):
            return dict(json.loads(beside.read_text(encoding="utf-8"))["provenance"])
        with path.open(encoding="utf-8") as lines:
            text = lines.readline()
            if text == "{\n":
                text += lines.read()
            elif path.suffix.lower() == ".poni":
                text = next((line[2:] for line in lines if line.startswith("# {")), "")
            return dict(json.loads(text)["provenance"])
    return {}


def provenance_in(file: h5py.File) -> dict[str, Any]:
    """The record in an open HDF5 file; empty when it has none."""
    with suppress(FileError), guarded(file.filename):
        return next((dict(json.loads(file[place].asstr()[()])) for place in _PLACES if place in file), {})
    return {}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What is not the same in two records, in words, the first few of them; empty when nothing is."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    listed = [f"{name} was {old.get(name)}, is {new.get(name)}" for name in names[:_SHOWN]]
    return "; ".join(listed + [f"{len(names) - _SHOWN} more"] * (len(names) > _SHOWN))


def plain(value: Any) -> Any:
    """`value` as JSON can hold it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if isinstance(value, PathLike):
        return fspath(value)
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    return str(value)
