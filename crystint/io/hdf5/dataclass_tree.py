"""Frozen dataclasses of arrays as HDF5 groups, and back, exactly.

A dataclass becomes a group with one entry per field; arrays become data sets; the attribute ``kind`` says what else
an entry was. A class that has been renamed says in `stored_name` what files call it. Only classes that the reader names
are made, so a file cannot choose what is run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import gemmi
import h5py
import numpy as np

from crystint.errors import FileError, SettingError
from crystint.io.hdf5.files import PACKED, group
from crystint.io.outputs import utf8

__all__ = ["read_tree", "write_tree"]

_PLAIN = {"bool": bool, "int": int, "float": float, "str": str}
_LARGE = 256
"""Elements from which an array is compressed."""


def write_tree(
    parent: h5py.Group, name: str, value: Any, *, units: Mapping[str, str] | None = None, nx_class: str = "NXcollection"
) -> None:
    """Store `value` as entry `name`; `units` by the names of fields, at any depth.

    Raises
    ------
    SettingError
        For a type that is neither a dataclass, array, number, text, space group, cell, nor a tuple, list or mapping.
    """
    units = units or {}
    if is_dataclass(value) and not isinstance(value, type):
        class_name = getattr(type(value), "stored_name", type(value).__name__)
        made = group(parent, name, nx_class, kind="dataclass", class_name=class_name)
        for entry in fields(value):
            write_tree(made, entry.name, getattr(value, entry.name), units=units)
        return
    if isinstance(value, Mapping):
        made = group(parent, name, nx_class, kind="mapping")
        keys = list(value)
        write_tree(made, "keys", tuple(keys))
        write_tree(made, "values", tuple(value[key] for key in keys))
        return
    if isinstance(value, tuple | list) and not _is_json(value):
        made = group(parent, name, nx_class, kind="sequence", length=len(value))
        for number, entry in enumerate(value):
            write_tree(made, str(number), entry, units=units)
        return
    data, kind = _leaf(value, name)
    large = isinstance(data, np.ndarray) and data.size >= _LARGE
    dataset = parent.create_dataset(name, data=data, **(PACKED if large else {}))
    dataset.attrs["kind"] = kind
    if name in units:
        dataset.attrs["units"] = units[name]


def read_tree(item: h5py.Group | h5py.Dataset, classes: Mapping[str, type]) -> Any:
    """What `write_tree` stored. Entries that the class does not know are left out, those it lacks have its defaults.

    Raises
    ------
    FileError
        When an entry is of an unknown kind or class, or does not fit its class.
    """
    kind = item.attrs.get("kind")
    where = f"{item.file.filename}, {item.name}"
    if kind == "dataclass":
        name = item.attrs.get("class_name")
        made = classes.get(str(name))
        if made is None:
            raise FileError(f"{where}: holds a {name}, which this version of crystint does not know")
        names = {entry.name for entry in fields(made)}
        values = {key: read_tree(item[key], classes) for key in item if key in names}
        try:
            return made(**values)
        except (TypeError, ValueError) as error:
            raise FileError(f"{where}: not the fields of a {name}: {error}") from error
    if kind == "mapping":
        return dict(zip(read_tree(item["keys"], classes), read_tree(item["values"], classes), strict=True))
    if kind == "sequence":
        return tuple(read_tree(item[str(number)], classes) for number in range(int(item.attrs["length"])))
    if not isinstance(item, h5py.Dataset):
        raise FileError(f"{where}: of no known kind ({kind!r})")
    if kind == "array":
        return item[()] if item.ndim else np.asarray(item[()])
    if kind == "strings":
        return tuple(item.asstr()[()].tolist())
    if kind in _PLAIN:
        return item.asstr()[()] if kind == "str" else _PLAIN[kind](item[()])
    if kind == "none":
        return None
    if kind not in _TEXT:
        raise FileError(f"{where}: of no known kind ({kind!r})")
    return _TEXT[kind](item.asstr()[()])


def _leaf(value: Any, name: str) -> tuple[Any, str]:
    if value is None:
        return h5py.Empty("f4"), "none"
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value, "array"
    if isinstance(value, np.generic):
        value = value.item()
    for kind, made in _PLAIN.items():
        if type(value) is made:
            return utf8(value) if isinstance(value, str) else value, kind
    if isinstance(value, gemmi.SpaceGroup):
        return value.xhm(), "space_group"
    if isinstance(value, gemmi.UnitCell):
        return json.dumps(list(value.parameters)), "cell"
    if isinstance(value, tuple | list):
        if value and all(isinstance(entry, str) for entry in value):
            return np.array([utf8(entry) for entry in value], dtype=h5py.string_dtype()), "strings"
        return json.dumps(value, default=lambda number: number.item()), "json"
    raise SettingError(f"{name} is a {type(value).__name__}, which cannot be stored")


def _is_json(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_json(entry) for entry in value)
    return value is None or isinstance(value, bool | int | float | str | np.number)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(entry) for entry in value) if isinstance(value, list) else value


_TEXT: dict[Any, Callable[[str], Any]] = {
    "json": lambda text: _tuples(json.loads(text)),
    "space_group": gemmi.SpaceGroup,
    "cell": lambda text: gemmi.UnitCell(*json.loads(text)),
}
