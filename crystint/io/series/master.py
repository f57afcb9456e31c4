"""The master of a series: an NXmx file whose frames lie in parts, some of which are not there yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint import __version__
from crystint.io.hdf5.files import create_hdf5, open_hdf5, process
from crystint.io.nxmx import NXmxFacts, as_images, put_sample_scan
from crystint.io.series.part_file import Stack
from crystint.model.scan import Scan

__all__ = ["Part", "images_in", "write_master"]


@dataclass(frozen=True, slots=True)
class Part:
    """A file of raw frames, that is there or is to come."""

    name: str
    """without its folder"""
    first: int
    """number of its first image"""
    rows: int


def write_master(
    path: Path,
    facts: NXmxFacts,
    stacks: Sequence[Stack],
    parts: Sequence[Part],
    images: int,
    *,
    scan: Scan | None,
    provenance: Mapping[str, Any],
    links: Mapping[str, tuple[str, str]] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write it, in place of the one that is there.

    Frames of parts that are not there, and those that a part does not have, hold the value that marks pixels without a
    measurement.

    Parameters
    ----------
    path : path
    facts : NXmxFacts
    stacks : sequence of Stack
        The first one is that which programs look at.
    parts : sequence of Part
    images : int
        Of the series.
    scan : Scan or None
        Of these images.
    provenance : mapping
    links : mapping, optional
        Name in the entry to file (in the same folder) and path in it.
    attributes : mapping, optional
        Of the entry.

    Raises
    ------
    FileError
        When it cannot be written.
    """
    with create_hdf5(path, True, f"crystint {__version__}") as file:
        entry = facts.begin(file)
        for key, value in (attributes or {}).items():
            entry.attrs[key] = value
        for stack in stacks:
            layout = h5py.VirtualLayout((images, *stack.shape), stack.dtype)
            for part in parts:
                rows = min(part.rows, images - part.first)
                if rows > 0:
                    source = h5py.VirtualSource(part.name, stack.path, (part.rows, *stack.shape))
                    layout[part.first : part.first + rows] = source[:rows]
            as_images(stack.group(file).create_virtual_dataset("data", layout, fillvalue=stack.fill))
        facts.describe(entry)
        put_sample_scan(entry, scan)
        process(entry, "process", provenance, provenance)
        for name, (target, place) in (links or {}).items():
            entry[name] = h5py.ExternalLink(target, place)


def images_in(path: Path) -> tuple[int, NDArray[np.int64]]:
    """Rows of a part that is closed, and the numbers of the images in it, int64 [n].

    Raises
    ------
    FileError
        When it cannot be read.
    """
    with open_hdf5(path) as file:
        numbers = np.asarray(file["entry/data/image_id"][()], np.int64)
    return len(numbers), numbers[numbers >= 0]
