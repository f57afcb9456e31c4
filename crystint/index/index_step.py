"""``crystint index``: from peaks to orientations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine.engine import Engine
from crystint.errors import FileError, SettingError, recorded_warnings, warn
from crystint.index.index import Indexed, index_spots
from crystint.index.inputs import PeakInput, read_input
from crystint.index.known_cell import KnownCell
from crystint.index.settings import IndexSettings
from crystint.index.spots import IndexSpots, detector_of_geometry
from crystint.index.wrong_geometry import likely_geometry
from crystint.io.reflections.crystfel_stream_out import write_stream
from crystint.io.reflections.dials_experiments_out import first_image, write_dials_experiments
from crystint.io.reflections.dials_indexed_out import write_indexed
from crystint.io.reflections.dials_rotation import Rotation
from crystint.io.reflections.stills_file import StillsWriter
from crystint.model.cells import cells_of
from crystint.model.experiment import Experiment
from crystint.model.facts import cell_text, counted
from crystint.model.geometry import Geometry
from crystint.model.panels import moved
from crystint.model.scan import Scan
from crystint.model.turns import turns
from crystint.prediction.partiality import RockingWidth
from crystint.prediction.rays import pixel_rays
from crystint.run.outcome import Outcome
from crystint.run.step import HDF5, Job

__all__ = ["index_peaks"]

_FAILED, _SPOTS = 0.9, 20
"""share of the frames with so many spots that are not indexed, from which on the geometry is doubted"""
_USED = 0.5
"""share of the spots of indexed frames, below which it is doubted too"""
_FACTOR = 2e-3
"""by which a distance may be off before it is told"""


def index_peaks(job: Job[IndexSettings]) -> Outcome:
    """Index the peaks of a list and write .expt, .refl, .stream or .h5. The result is a `crystint.index.Indexed`."""
    source, settings = job.input("peaks"), job.settings
    if settings.cell is None:
        raise SettingError("cell is not given: --cell A,B,C,AL,BE,GA, angstrom and degrees", "cell")
    cell = KnownCell.of(settings.cell, settings.space_group or "P 1")
    if settings.space_group is None:
        warn(
            "no space group is given: P 1 is taken, and all six constants of the cell are free; --space-group names it"
        )
    with recorded_warnings() as messages:
        listed = read_input(source, settings.geometry)
        detector = detector_of_geometry(listed.geometry)
        incident = np.array([0.0, 0.0, 1.0 / listed.wavelength])
        spots = IndexSpots.of(listed.rows, detector, listed.frames, scan=listed.scan, d_min=settings.d_min or 0.0)
        engine = Engine(job.execution.device)
        indexed = index_spots(
            spots,
            incident,
            cell,
            engine,
            accepted=settings.evidence,
            lattices=settings.lattices,
            strain=settings.strain,
        )
        doubt = ""
        if _is_doubtful(indexed, spots):
            doubt = likely_geometry(spots, detector, incident, cell, engine, accepted=settings.evidence)
            if doubt:
                warn(doubt)
        if indexed.held is not None and not doubt:
            _tell_distance(indexed, listed)
    if not len(indexed.frame):
        raise FileError(f"{source}: none of {_tried(indexed, listed)} is indexed. {_advice(spots, cell)}")
    listed = replace(listed, geometry=_shifted(listed.geometry, indexed.refined.shift))
    experiment = _experiment(indexed, listed, incident, cell)
    spots = replace(spots, ray=pixel_rays(experiment.detectors[0], spots.panel, spots.slow, spots.fast))
    _write(job, indexed, experiment, spots, listed, messages)
    return Outcome(_text(indexed, spots, listed, experiment), indexed, notes={}, frames=listed.frames, of=listed.frames)


def _is_doubtful(indexed: Indexed, spots: IndexSpots) -> bool:
    """Whether so few frames, or so few of their spots, are indexed that the geometry may be wrong."""
    images = len(np.unique(indexed.frame))
    if images <= (1.0 - _FAILED) * _rich(spots):
        return True
    own = np.isin(spots.frame, indexed.frame) if spots.turned is None else np.ones(len(spots), bool)
    return bool((indexed.lattice[own] >= 0).mean() < _USED)


def _rich(spots: IndexSpots) -> int:
    """Frames with many spots."""
    if spots.turned is not None:
        return 1
    return int((np.bincount(spots.frame, minlength=1) >= _SPOTS).sum())


def _tried(indexed: Indexed, listed: PeakInput) -> str:
    if listed.scan is not None:
        return "the lattices of the scan"
    return f"{counted(indexed.tried, 'frame')} with spots enough, of {listed.frames},"


def _advice(spots: IndexSpots, cell: KnownCell) -> str:
    each = np.bincount(spots.frame, minlength=1)
    most = int(each.max(initial=0))
    if spots.turned is None and most < 8:
        return f"The fullest frame has {counted(most, 'spot')}; a lattice needs about 8 to be told from chance."
    if len(spots) and spots.ice.mean() > 0.5:
        return f"{spots.ice.mean():.0%} of the spots lie on rings of ice."
    return (
        f"Check the cell {cell_text(cell.cell)}, the beam centre, the distance and the wavelength; crystint plot shows "
        "the peaks on the frame"
    )


def _tell_distance(indexed: Indexed, listed: PeakInput) -> None:
    """Say so when all images together want another distance, or another cell."""
    held = indexed.held
    assert held is not None
    off, distance = held.distance - 1.0, 1e3 * listed.geometry.distance
    if abs(off) > max(_FACTOR, 4.0 * held.distance_sigma):
        warn(
            f"the spots fit this cell when the distance is {held.distance:.4f} times the one given, that is "
            f"{held.distance * distance:.2f} mm in place of {distance:.2f}, within {100 * held.distance_sigma:.2f} %; "
            f"or the cell is {1.0 / held.distance:.4f} times as large. "
            "Neither was changed: stills cannot tell one from the other"
        )


def _rotation(scan: Scan) -> Rotation:
    """The scan as DIALS tells one.

    Raises
    ------
    FileError
        When it is several.
    """
    gaps = np.flatnonzero(~scan.follows[1:]) + 1
    if len(gaps):
        raise FileError(
            f"frame {gaps[0]} does not follow the one before: these are {len(gaps) + 1} sweeps, and DIALS knows one "
            "scan. Write .h5 or .stream, or index each sweep"
        )
    fixed, outer = np.eye(3), np.eye(3)
    for number in range(scan.scan_axis):
        fixed = turns(scan.vectors[number], np.radians(scan.angles[number, 0])) @ fixed
    for number in range(scan.scan_axis + 1, len(scan.names)):
        outer = turns(scan.vectors[number], np.radians(scan.angles[number, 0])) @ outer
    start, step = np.radians(scan.angles[scan.scan_axis, 0]), np.radians(float(scan.width[0]))
    return Rotation(scan.vectors[scan.scan_axis], float(start), float(step), fixed, outer)


def _shifted(geometry: Geometry, shift: NDArray[np.float64]) -> Geometry:
    """The geometry with the detector moved, m."""
    return replace(geometry, panels=moved(geometry.as_panels, shift)) if shift.any() else geometry


def _experiment(indexed: Indexed, listed: PeakInput, incident: NDArray[np.float64], cell: KnownCell) -> Experiment:
    """The images: one for each lattice of a still, one for each frame of a scan."""
    setting, frame, group = indexed.refined.setting, indexed.frame, np.arange(len(indexed.frame))
    sweep = None
    if listed.scan is not None:
        numbers = np.arange(len(listed.scan))
        at = [listed.scan.rotation(numbers, moment) for moment in (0.0, 0.5, 1.0)]
        sweep = np.concatenate([(at[2] - at[0]) @ own for own in setting])
        setting = np.concatenate([at[1] @ own for own in setting])
        frame = np.tile(numbers, len(indexed.frame))
        group = np.repeat(group, len(numbers))
    names = tuple(
        f"{Path(listed.sources[f][0]).name}//{listed.sources[f][1]}" if listed.sources else f"frame {f}" for f in frame
    )
    sources = tuple(f"{listed.sources[f][0]}//{listed.sources[f][1]}" if listed.sources else "" for f in frame)
    polarization = listed.geometry.polarization
    return Experiment(
        setting=setting,
        incident=np.tile(incident, (len(setting), 1)),
        detectors=(detector_of_geometry(listed.geometry),),
        cell=_mean_cell(indexed, cell),
        space_group=cell.space_group,
        sweep=sweep,
        frame=frame,
        group=group,
        name=names,
        source=sources,
        polarization_fraction=0.5 if polarization is None else 0.5 * (1.0 + polarization),
    )


def _mean_cell(indexed: Indexed, cell: KnownCell) -> tuple[float, float, float, float, float, float]:
    """The listed one with the median of the strains."""
    strain = np.median(indexed.refined.strain, axis=0)
    strains = cell.strains[: len(strain)]
    setting = (np.eye(3) + np.einsum("k,kij->ij", strain, strains)) @ np.linalg.inv(cell.basis)
    a, b, c, alpha, beta, gamma = (float(value) for value in cells_of(setting[None])[0])
    return a, b, c, alpha, beta, gamma


def _width(indexed: Indexed, spots: IndexSpots, q: NDArray[np.float64]) -> RockingWidth:
    """Of the rocking curve, from the excitation errors of the spots: sqrt(2) of their standard deviation."""
    error = np.abs(indexed.refined.excitation[indexed.refined.inlier])
    long = np.linalg.norm(q[indexed.rows[indexed.refined.inlier]], axis=1)
    square = 2.0 * (error / 0.6745) ** 2
    middle = np.median(long)
    low, high = (float(np.median(np.sqrt(square[part]))) for part in (long <= middle, long > middle))
    near, far = (float(np.mean(long[part] ** 2)) for part in (long <= middle, long > middle))
    slope = max(high**2 - low**2, 0.0) / max(far - near, 1e-12)
    return RockingWidth(float(np.sqrt(max(low**2 - slope * near, 1e-9))), float(np.sqrt(slope)))


def _write(
    job: Job[IndexSettings],
    indexed: Indexed,
    experiment: Experiment,
    spots: IndexSpots,
    listed: PeakInput,
    messages: list[str],
) -> None:
    incident = experiment.incident[0]
    q = spots.q(incident)
    width = _width(indexed, spots, q)
    record = job.provenance(width=vars(width), cell=list(experiment.cell))
    columns = _columns(indexed, spots)
    dials = any(path.suffix.lower() in (".expt", ".refl") for path in job.outputs)
    rotation = _rotation(listed.scan) if listed.scan is not None and dials else None

    def stills(path: Path) -> None:
        with StillsWriter(path, provenance=record, overwrite=job.overwrite) as writer:
            writer.put("experiment", experiment)
            writer.put("width", width)
            writer.put(
                "extra",
                {
                    "warnings": messages,
                    "evidence": indexed.evidence,
                    "covariance": indexed.refined.covariance,
                    **{f"spot_{name}": values for name, values in columns.items()},
                },
            )

    def experiments(path: Path) -> None:
        if not listed.sources:
            raise FileError(
                f"{job.input('peaks')} does not tell which files its frames are in, which an .expt must: write .h5 or "
                ".stream"
            )
        write_dials_experiments(path, experiment, listed.sources, rotation=rotation, overwrite=job.overwrite)

    writers: dict[str, Callable[[Path], None]] = {
        ".expt": experiments,
        ".refl": partial(
            write_indexed, columns=columns, experiment=experiment, rotation=rotation,
            first=first_image(listed.sources) if rotation and listed.sources else 1, overwrite=job.overwrite,
        ),
        ".stream": partial(
            write_stream, columns=columns, experiment=experiment, geometry=listed.geometry,
            radius=width.domain, frames=listed.frames, sources=listed.sources, overwrite=job.overwrite,
        ),
        **dict.fromkeys(HDF5, stills),
    }  # fmt: skip
    job.write(indexed, writers)


def _columns(indexed: Indexed, spots: IndexSpots) -> dict[str, NDArray[Any]]:
    """Of all spots."""
    return {
        "frame": spots.frame,
        "z": spots.z,
        "slow": spots.slow,
        "fast": spots.fast,
        "panel": spots.panel,
        "intensity": spots.intensity,
        "sigma": spots.sigma,
        "ray": spots.ray,
        "lattice": indexed.lattice,
        "hkl": indexed.hkl,
    }


def _text(indexed: Indexed, spots: IndexSpots, listed: PeakInput, experiment: Experiment) -> str:
    refined = indexed.refined
    of_lattice = np.bincount(indexed.lattice[indexed.lattice >= 0], minlength=len(indexed.frame))
    used = float((indexed.lattice >= 0).mean())
    pixel = listed.geometry.pixel_size
    across = refined.spread_across * listed.wavelength * listed.geometry.distance
    lines = []
    if listed.scan is not None:
        lines.append(f"{counted(len(indexed.frame), 'lattice')} of a scan of {listed.frames} frames")
    else:
        images = len(np.unique(indexed.frame))
        lines.append(
            f"{images} of {listed.frames} frames indexed ({images / max(listed.frames, 1):.1%}; {indexed.tried} have "
            f"spots enough), {counted(len(indexed.frame), 'lattice')}"
        )
    lines[0] += f"; {used:.0%} of {counted(len(spots), 'spot')}, median {np.median(of_lattice):.0f} of a lattice"
    cells = cells_of(refined.setting)
    spread = f" (spread of a, b, c {', '.join(f'{v:.2f}' for v in cells[:, :3].std(axis=0))})" if len(cells) > 1 else ""
    lines.append(f"cell {cell_text(experiment.cell)}{spread}, {experiment.space_group.xhm()}")
    lines.append(
        f"spots are {across / pixel[1]:.2f} px from where the lattice has them (1 sigma), nodes "
        f"{refined.spread_along:.2g} 1/angstrom off the sphere; least evidence {indexed.evidence.min():.1f}"
    )
    if refined.shift.any():
        lines.append(
            f"the detector of all images was moved by {1e3 * refined.shift[0]:+.3f} mm along x and "
            f"{1e3 * refined.shift[1]:+.3f} mm along y, which the spots of all together ask for"
        )
    return "\n".join(lines)
