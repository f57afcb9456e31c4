"""CrystFEL streams: crystals with their orientations, and the reflections that were integrated with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, unreadable, warn
from crystint.io.frames.image_files import source_of
from crystint.io.guard import reads_file
from crystint.io.reflections.crystfel_chunks import StreamReader
from crystint.io.reflections.crystfel_geometry import StreamGeometry
from crystint.model.cells import common_cell
from crystint.model.experiment import UNPLACED, Detector, Experiment
from crystint.model.observations import Flag, Observations
from crystint.model.peaks import PeakList, unknown_peaks
from crystint.units import wavelength_of

__all__ = ["FWHM", "StreamData", "StreamImages", "read_stream", "read_stream_images"]

_LOWEST = {
    "triclinic": "1",
    "monoclinic": "1 2 1",
    "orthorhombic": "2 2 2",
    "tetragonal": "4",
    "rhombohedral": "3",
    "hexagonal": "3",
    "cubic": "2 3",
}
"""the point group of lowest symmetry with each lattice"""
FWHM = 2.3548200450309493
"""full width at half maximum of a normal distribution, in standard deviations"""


@dataclass(frozen=True, eq=False)
class StreamData:
    """What a stream holds; an image for each crystal."""

    experiment: Experiment
    observations: Observations
    profile_radius: NDArray[np.float64]
    """float64 [n], 1/angstrom, of each image; NaN = unknown"""
    blank: int = 0
    """frames without a crystal"""


@reads_file
def read_stream(
    path: str | Path,
    *,
    geometry: str | Path | None = None,
    space_group: gemmi.SpaceGroup | None = None,
    placed: bool = True,
) -> StreamData:
    """Read a stream, its geometry from the stream itself or a .geom file.

    Intensities are as recorded; `correction` is the polarization, which CrystFEL corrects when it merges: the
    beam is taken to be polarized in the horizontal plane, as it does. Crystals keep the detector shift that they
    were predicted with. `frame` is the number of the event where all are of one file, else the serial number of the
    image - 1.

    Parameters
    ----------
    geometry : path, optional
        In place of that in the stream.
    space_group : gemmi.SpaceGroup, optional
        Streams name a lattice only; the default is the lowest symmetry with it.
    placed
        False: to scale and merge, a stream without a geometry, or without the package that reads it, will do. Places
        are then those of the data files, and the experiment has no detector (`UNPLACED`); a warning says so.

    Raises
    ------
    FileError
        When it is missing, no stream, or holds no crystal, or none with a photon energy (of its chunk, else of the
        geometry). A chunk that is cut off, and a crystal without an energy, are left out with a warning.
    GeometryError
        When there is no geometry, or it is not complete.
    ImportError
        When the package that reads geometries is not installed.
    """
    path = Path(path)
    reader = StreamReader(path, Path(geometry) if geometry is not None else None)
    _read(reader)
    if reader.geometry is None:
        if placed and reader.no_parser is not None:
            raise reader.no_parser
        lack = f"{path} holds no geometry" if reader.no_parser is None else f"{reader.no_parser}"
        if placed:
            raise FileError(f"{lack}; give the .geom file that it was made with")
        warn(f"{lack}: spots have no place on a detector, which scaling and merging do not need")
    experiment = _experiment(reader, space_group)
    radius = np.array([crystal.get("radius", np.nan) for crystal in reader.crystals])
    return StreamData(experiment, _observations(reader, experiment), radius, reader.blank)


def _read(reader: StreamReader) -> None:
    try:
        with reader.path.open(encoding="utf-8", errors="replace") as file:
            reader.read(file)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise unreadable(reader.path, error) from error


@dataclass(frozen=True, eq=False)
class StreamImages:
    """The images of a stream, with and without crystals, and their spots."""

    source: tuple[str, ...]
    """file of each image, and the event, as `Experiment.source`"""
    peaks: PeakList
    """sorted by `frame`, the image: those of the peak search; of images whose chunk lists none, the reflections"""
    reflections: int
    """images whose spots are reflections"""
    detector: Detector | None
    """at the camera length of the first image that has one; None = the stream does not tell it"""
    wavelength: float | None
    """angstrom, of the first image; None = not known"""


@reads_file
def read_stream_images(path: str | Path) -> StreamImages:
    """Read the images of a stream and their spots, indexed or not.

    Raises
    ------
    FileError
        When it is missing, no stream, or has no image.
    GeometryError
        When its geometry is none.
    """
    reader = StreamReader(Path(path), None, images=True)
    _read(reader)
    images, geometry = reader.images or [], reader.geometry
    if geometry is None:
        why = f"{path} holds no geometry" if reader.no_parser is None else f"{reader.no_parser}"
        warn(f"{why}: the places of its spots are those of the data files")
    numbers: dict[int, list[int]] = {}
    for number, crystal in enumerate(reader.crystals):
        numbers.setdefault(crystal["image"], []).append(number)
    parts, reflections = [], 0
    for image, chunk in enumerate(images):
        table, panel = chunk.get("peaks", (np.zeros((0, 4)), np.zeros(0, np.intp)))
        spots = unknown_peaks(len(table))
        if len(table):
            with np.errstate(divide="ignore"):
                spots["d"] = 10.0 / table[:, 2]
            spots["intensity"], spots["sigma"] = table[:, 3], np.nan
            slow, fast = table[:, 1], table[:, 0]
        else:
            tables = [reader.tables[number] for number in numbers.get(image, ())] or [(np.zeros((0, 9)), panel)]
            table, panel = (np.concatenate(column) for column in zip(*tables, strict=True))
            reflections += bool(len(table))
            spots = unknown_peaks(len(table))
            spots["intensity"], spots["sigma"], spots["background"] = table[:, 3], table[:, 4], table[:, 6]
            slow, fast = table[:, 8], table[:, 7]
        spots["frame"] = image
        spots["slow"], spots["fast"] = _places(geometry, panel, slow, fast)
        parts.append(spots)
    peaks = np.concatenate(parts)
    placed = np.isfinite(peaks["slow"]) & np.isfinite(peaks["fast"])
    if not placed.all():
        warn(f"{path}: {np.count_nonzero(~placed)} spots are on no panel of its geometry and are left out")
    with np.errstate(invalid="ignore", divide="ignore"):
        peaks["snr"] = peaks["intensity"] / peaks["sigma"]
    energy = next((chunk["energy"] for chunk in images if "energy" in chunk), np.nan)
    wavelength = wavelength_of(energy) if energy > 0.0 else None if geometry is None else geometry.wavelength
    length = next((chunk["length"] for chunk in images if np.isfinite(chunk["length"])), np.nan)
    detector = None
    if geometry is not None and geometry.moving.any() and not length > 0.0:
        warn(f"{path}: neither its geometry nor its images tell the camera length")
    elif geometry is not None:
        detector = geometry.detector(length, (0.0, 0.0))
    return StreamImages(tuple(map(_source, images)), peaks[placed], reflections, detector, wavelength)


def _places(
    geometry: StreamGeometry | None, panel: NDArray[np.intp], slow: NDArray[np.float64], fast: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places of the data file as px of the frame; NaN = on no panel."""
    if geometry is None:
        return slow, fast
    unnamed = panel == -2
    panel = panel.copy()
    panel[unnamed] = geometry.panel_at(slow[unnamed], fast[unnamed])
    places = geometry.to_frame(np.maximum(panel, 0), slow, fast)
    slow, fast = (np.where(panel >= 0, place, np.nan) for place in places)
    return slow, fast


def _experiment(reader: StreamReader, space_group: gemmi.SpaceGroup | None) -> Experiment:
    setting = np.array([[crystal[f"{axis}star"] for axis in "abc"] for crystal in reader.crystals]).transpose(0, 2, 1)
    wavelength = np.array([wavelength_of(crystal["energy"]) for crystal in reader.crystals])
    models, which = _detectors(reader)
    if space_group is None:
        space_group = _lattice(reader)
    bandwidth = float(np.median([crystal["bandwidth"] for crystal in reader.crystals])) / FWHM
    return Experiment(
        setting=setting,
        incident=np.stack([0.0 * wavelength, 0.0 * wavelength, 1.0 / wavelength], axis=1),
        detectors=models,
        cell=common_cell(setting, space_group),
        space_group=space_group,
        detector=np.array(which),
        frame=_frames(reader),
        name=tuple(f"{c.get('file', 'image')}{c['event']}" for c in reader.crystals),
        source=tuple(_source(crystal) for crystal in reader.crystals),
        polarization_fraction=1.0,
        bandwidth=bandwidth if bandwidth > 1e-6 else 0.0,
    )


def _detectors(reader: StreamReader) -> tuple[tuple[Detector, ...], list[int]]:
    """The detectors, one for each camera length and shift, and which each crystal has."""
    geometry = reader.geometry
    if geometry is None:
        return (UNPLACED,), [0] * len(reader.crystals)
    numbers: dict[tuple[float, float, float], int] = {}
    models: list[Detector] = []
    which = []
    for crystal in reader.crystals:
        x, y = crystal["shift"]
        key = (round(crystal["length"], 7) if geometry.moving.any() else 0.0, x, y)
        if key not in numbers:
            numbers[key] = len(models)
            models.append(geometry.detector(crystal["length"], crystal["shift"]))
        which.append(numbers[key])
    return tuple(models), which


def _frames(reader: StreamReader) -> NDArray[np.int64]:
    one = len({crystal.get("file") for crystal in reader.crystals}) == 1
    events = [re.fullmatch(r".*//(\d+)", crystal["event"]) for crystal in reader.crystals]
    if one and all(events):
        return np.array([int(event[1]) for event in events if event])
    return np.array([crystal["serial"] - 1 for crystal in reader.crystals])


def _source(crystal: dict[str, Any]) -> str:
    """ "file//number", or "file//part of its path/number"."""
    event = re.sub("/+", "/", crystal["event"]).strip("/")
    return source_of(crystal.get("file", ""), event or None)


def _lattice(reader: StreamReader) -> gemmi.SpaceGroup:
    lattices = [(crystal["lattice"], crystal["centering"]) for crystal in reader.crystals]
    lattice, centering = max(set(lattices), key=lattices.count)
    if len(set(lattices)) > 1:
        warn(f"{reader.path}: crystals have {len(set(lattices))} kinds of lattices; {lattice} {centering} is most")
    name = {"R": "R 3:R", "H": "R 3:H"}.get(centering, f"{centering} {_LOWEST.get(lattice, '1')}")
    group = gemmi.find_spacegroup_by_name(name) or gemmi.SpaceGroup("P 1")
    warn(f"{reader.path} names no space group: {group.xhm()}, the lowest with its lattice, until one is given")
    return group


def _observations(reader: StreamReader, experiment: Experiment) -> Observations:
    image = np.repeat(np.arange(len(reader.tables)), [len(table) for table, _ in reader.tables])
    table, panel = (np.concatenate(column) for column in zip(*reader.tables, strict=True))
    hkl, value, sigma, background = table[:, :3].astype(np.int32), table[:, 3], table[:, 4], table[:, 6]
    slow, fast = _places(reader.geometry, panel, table[:, 8], table[:, 7])
    r = np.einsum("nij,nj->ni", experiment.setting[image], table[:, :3])
    s1 = experiment.incident[image] + r
    length = np.linalg.norm(s1, axis=1)
    u = s1 / length[:, None]
    with np.errstate(divide="ignore"):
        d = 1.0 / np.linalg.norm(r, axis=1)
    return Observations(
        image=image.astype(np.int32),
        hkl=hkl,
        intensity=value,
        sigma=np.where(sigma > 0.0, sigma, np.nan),
        d=d,
        # all polarized in the horizontal plane x
        correction=1.0 - u[:, 0] ** 2,
        excitation=length - 1.0 / experiment.wavelength[image],
        slow=slow.astype(np.float32),
        fast=fast.astype(np.float32),
        background=background.astype(np.float32),
        flags=np.where(np.isfinite(value) & (sigma > 0.0), 0, Flag.BAD_VALUE).astype(np.uint32),
    )
