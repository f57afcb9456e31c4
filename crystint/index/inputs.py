"""What a peak list tells an indexer: spots, where the detector is, how the crystal turned, which frames there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crystint.errors import FileError, GeometryError
from crystint.io.geometry.files import read_geometry
from crystint.io.guard import reads_file
from crystint.io.opened_file import OpenedFile
from crystint.io.peaks.by_frame import sources_in
from crystint.io.peaks.files import geometry_told, peaks_in, rows_in, scan_in, spots_in
from crystint.model.geometry import Geometry
from crystint.model.peaks import PeakList
from crystint.model.scan import Scan
from crystint.model.spots import SpotList

__all__ = ["PeakInput", "read_input"]


@dataclass(frozen=True, slots=True, eq=False)
class PeakInput:
    """Peaks and what is known of their frames."""

    rows: PeakList | SpotList
    """joined spots, where the list has them"""
    frames: int
    geometry: Geometry
    wavelength: float
    """angstrom"""
    scan: Scan | None
    """of a crystal that turns; None = stills"""
    sources: list[tuple[str, int]]
    """file of each frame and its number in it; empty = not known"""


@reads_file
def read_input(path: Path, geometry_file: Path | None = None) -> PeakInput:
    """Read a peak list.

    Raises
    ------
    FileError
        When the file is missing, damaged, or holds no peaks.
    GeometryError
        When nothing tells where the detector is, or the wavelength is not known.
    """
    with OpenedFile(path) as file:
        scan = scan_in(file)
        if scan is not None and not scan.rotates:
            scan = None
        spots = spots_in(file) if scan is not None else None
        rows = peaks_in(file) if spots is None else spots
        told = geometry_told(file)
        frames, _ = rows_in(file)
    geometry = told if geometry_file is None else read_geometry(geometry_file)
    if geometry is None:
        raise GeometryError(f"{path} does not tell where the detector is: give its geometry with -g")
    if geometry.wavelength is None:
        raise GeometryError(
            f"the wavelength is not known: give a geometry that has it with -g, of the frames of {path}"
        )
    if not len(rows):
        raise FileError(f"{path} holds no peaks: there is nothing to index")
    last = int(rows["z"].max()) if spots is not None else int(rows["frame"].max())
    count = max(frames or 0, last + 1)
    if scan is not None and len(scan) < count:
        raise FileError(f"{path} has peaks on {count} frames, and its scan has {len(scan)}")
    return PeakInput(rows, count, geometry, geometry.wavelength, scan, sources_in(path))
