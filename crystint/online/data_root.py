"""Files that a request may name: those below one folder, and nothing that they link to outside of it."""

from __future__ import annotations

from pathlib import Path

from crystint.errors import RefusedError
from crystint.io.linked_files import files_read

__all__ = ["file_below", "folder_below"]


def file_below(root: Path | None, name: str, field: str = "path") -> Path:
    """The file of a name below a folder.

    Parameters
    ----------
    root : path or None
        None = no file may be named.
    name : str
        Relative to the folder, or the absolute path of a file in it.
    field : str
        Of the request.

    Raises
    ------
    RefusedError
        forbidden, when it lies elsewhere, or shows data of files elsewhere: by a symbolic link, an external link,
        external storage or a virtual data set of HDF5. not_found, when there is no such file.
    """
    if not name:
        raise RefusedError("bad_value", "the name of the file is empty", field)
    folder, path = _below(root, name, field)
    if not path.is_file():
        raise RefusedError("not_found", f"there is no file {name[:200]!r} below the data root", field)
    for other in files_read([path]):
        if not other.resolve().is_relative_to(folder):
            raise RefusedError(
                "forbidden", f"{name[:200]!r} shows data of {other.name!r}, which lies outside of the data root", field
            )
    return path


def folder_below(root: Path | None, name: str, field: str = "path") -> Path:
    """The folder of a name below another one; an empty name is that one itself.

    Raises
    ------
    RefusedError
        As `file_below`.
    """
    _, path = _below(root, name, field)
    if not path.is_dir():
        raise RefusedError("not_found", f"there is no folder {name[:200]!r} below the data root", field)
    return path


def _below(root: Path | None, name: str, field: str) -> tuple[Path, Path]:
    """The root and the place of a name below it, both without links."""
    if root is None:
        text = "no file may be named here: the service was started without --data-root and without --out"
        raise RefusedError("forbidden", text, field)
    if "\0" in name:
        raise RefusedError("bad_value", "the name of the file has a zero byte", field)
    folder = root.resolve()
    try:
        path = (folder / name).resolve()
        path.is_file()
    except (OSError, RuntimeError):  # a name that is too long, a circle of links
        raise RefusedError("bad_value", f"{name[:200]!r} cannot be the name of a file", field) from None
    if not path.is_relative_to(folder):
        raise RefusedError("forbidden", f"{name[:200]!r} lies outside of the data root", field)
    return folder, path
