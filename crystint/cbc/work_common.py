"""What the steps of convergent-beam work from files to files have in common."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

from crystint.cbc.merging.result import CBCRun

__all__ = ["HDF5", "Done", "Source"]

Source = str | PathLike[str]
HDF5 = (".h5", ".hdf5", ".hdf", ".nxs")


@dataclass(frozen=True, eq=False)
class Done:
    """How a step ended."""

    run: CBCRun | None
    text: str
    """what to tell at the end"""
    warnings: tuple[str, ...] = ()
