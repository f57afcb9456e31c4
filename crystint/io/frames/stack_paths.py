"""Objects in an HDF5 file by path, through links, and links that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from crystint.errors import FileError
from crystint.io.hdf5.files import open_hdf5

__all__ = ["broken_link", "item_at", "walk"]

_DEEPEST = 32
"""Groups in groups that are looked through."""


def item_at(group: h5py.Group, path: str, name: str | None) -> Any:
    """The object at a path, or None.

    Parameters
    ----------
    name : str or None
        Of the file; None = an external link that leads nowhere is as if it were not there.

    Raises
    ------
    FileError
        When an external link on the way leads nowhere.
    """
    here: Any = group
    for part in [part for part in path.split("/") if part not in ("", ".")]:
        if not isinstance(here, h5py.Group):
            return None
        link = here.get(part, getlink=True)
        if link is None:
            return None
        try:
            here = here[part]
        except (KeyError, OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and name is not None:
                raise  # links that lead in circles
            if isinstance(link, h5py.ExternalLink) and name is not None:
                raise FileError(f"{name}: {_broken(link, here, part)}") from error
            return None
    return here


def broken_link(file: h5py.File, path: str) -> str:
    """Why the external link at a path leads nowhere; empty when it leads somewhere, or there is no such link."""
    folder, _, part = path.rpartition("/")
    group = item_at(file, folder, None)
    link = group.get(part, getlink=True) if isinstance(group, h5py.Group) else None
    if not isinstance(link, h5py.ExternalLink) or item_at(group, part, None) is not None:
        return ""
    return _broken(link, group, part)


def _broken(link: h5py.ExternalLink, group: h5py.Group, part: str) -> str:
    target = Path(group.file.filename).parent / link.filename
    what = f"{group.name.rstrip('/')}/{part} is a link to {link.path} in {link.filename}"
    if not target.exists():
        return f"{what}, which does not exist beside it"
    try:
        with open_hdf5(target):
            return f"{what}, which does not hold it"
    except FileError as error:
        return f"{what}: {error}"


def walk(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every data set in the file and behind its links, each once, by the first path that leads to it."""
    visited: set[tuple[str, int]] = set()
    waiting: list[tuple[str, h5py.Group]] = [("", file["/"])]
    while waiting:
        path, group = waiting.pop()
        members = {key: item_at(group, key, None) for key in group}
        for key, item in members.items():
            if not isinstance(item, h5py.Dataset | h5py.Group):
                continue
            place = (item.file.filename, int(h5py.h5o.get_info(item.id).addr))
            if place in visited:
                continue
            visited.add(place)
            if isinstance(item, h5py.Dataset):
                yield f"{path}/{key}", item
            elif path.count("/") < _DEEPEST:
                waiting.append((f"{path}/{key}", item))
