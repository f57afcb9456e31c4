"""What the steps of convergent-beam work from files to files have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from crystint.cbc.run import CBCRun
from crystint.errors import FileError, SettingError

__all__ = ["HDF5", "Done", "Source", "check_output", "numbers"]

Source = str | PathLike[str]
HDF5 = (".h5", ".hdf5", ".hdf", ".nxs")


@dataclass(frozen=True, eq=False)
class Done:
    """How a step ended."""

    run: CBCRun | None
    text: str
    """what to tell at the end"""
    warnings: tuple[str, ...] = ()


def check_output(path: Source, known: Sequence[str], overwrite: bool) -> None:
    """Refuse, before anything is computed, an output of another suffix or one that exists.

    Raises
    ------
    SettingError, FileError
    """
    suffix = Path(path).suffix.lower()
    if suffix not in known:
        raise SettingError(f"output {Path(path).name!r} has the suffix {suffix!r}, expected {', '.join(known)}")
    if Path(path).exists() and not overwrite:
        raise FileError(f"{path} exists; --overwrite replaces it")


def numbers(name: str, text: str | None, count: int, kind: type) -> tuple[Any, ...] | None:
    """`count` numbers of a text with commas between them; None for None.

    Raises
    ------
    SettingError
        When they are not that many.
    """
    if text is None:
        return None
    try:
        values = tuple(kind(part) for part in text.replace(" ", ",").split(",") if part)
    except ValueError:
        values = ()
    if len(values) != count:
        raise SettingError(f"{name} is {text!r}, expected {count} numbers with commas between them")
    return values
