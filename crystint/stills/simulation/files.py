"""Simulated stills as files: frames, the experiment as DIALS has it, and nothing that a beamline would not give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from crystint.io.hdf5.provenance import provenance
from crystint.io.reflections.dials_experiments_out import write_dials_experiments
from crystint.io.sparse.dense_file import DenseWriter
from crystint.model.geometry import Geometry
from crystint.stills.simulation.rotation import SimulatedRotation
from crystint.stills.simulation.simulate import SimulatedStills

__all__ = ["geometry_of", "write_frames", "write_numbered_frames", "write_rotation"]


def geometry_of(data: SimulatedStills) -> Geometry:
    """The detector as crystint's other systems describe it."""
    s = data.settings
    return Geometry(
        shape=s.shape,
        pixel_size=(s.pixel_size, s.pixel_size),
        distance=s.distance,
        beam_center=(0.5 * s.shape[0], 0.5 * s.shape[1]),
        wavelength=s.wavelength,
        polarization=2.0 * s.polarization_fraction - 1.0,
    )


def write_frames(
    data: SimulatedStills,
    path: str | PathLike[str],
    *,
    dtype: Any = np.int32,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, Path]:
    """Write all frames to `path` (NXmx HDF5), and the experiment beside it as ``.expt``; both names are returned.

    Parameters
    ----------
    data : SimulatedStills
    path : path
    dtype : dtype
        Of the frames; integers.
    overwrite : bool
        Replace existing files.
    progress : callable, optional
        Called with the number of frames done, and that of all.

    Returns
    -------
    (Path, Path)

    Raises
    ------
    FileError
        When a file exists and `overwrite` is False, or cannot be written.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> frames, experiment = stills.write_frames(data, "stills.h5")
    >>> experiment.name, len(stills.read_experiment(experiment))
    ('stills.expt', 6)
    """
    total = data.settings.frames

    def numbers() -> Iterator[int]:
        for number in range(total):
            yield number
            if progress is not None:
                progress(number + 1, total)

    record = provenance({"simulated": data.settings}, [])
    return write_numbered_frames(data, path, numbers(), record, dtype=dtype, overwrite=overwrite)


def write_numbered_frames(
    data: SimulatedStills,
    path: str | PathLike[str],
    numbers: Iterable[int],
    record: Mapping[str, Any],
    *,
    dtype: Any = np.int32,
    overwrite: bool = False,
) -> tuple[Path, Path]:
    """As `write_frames`: the frames of these numbers, which someone may watch as they are taken, with a provenance."""
    path = Path(path)
    s = data.settings
    beside = path.with_suffix(".expt")
    with DenseWriter(
        path,
        s.shape,
        dtype,
        geometry=geometry_of(data),
        mask=s.mask,
        saturation=s.saturation,
        provenance=record,
        overwrite=overwrite,
        compression="gzip",
        sensor_thickness=s.thickness or None,
    ) as writer:
        for number in numbers:
            writer.write(data.image(number, dtype))
    write_dials_experiments(beside, data.experiment, path, overwrite=overwrite)
    return path, beside


def write_rotation(
    data: SimulatedRotation,
    path: str | PathLike[str],
    *,
    dtype: Any = np.int32,
    overwrite: bool = False,
    compression: str = "gzip",
) -> tuple[Path, Path]:
    """Write the frames of a simulated scan to `path` (NXmx HDF5), and the experiment beside it as ``.expt``.

    Parameters
    ----------
    data : SimulatedRotation
    path : path
    dtype : dtype
        Of the frames; integers.
    overwrite : bool
        Replace existing files.
    compression : str
        As `crystint.DenseWriter`.

    Returns
    -------
    (Path, Path)
        Both names.

    Raises
    ------
    FileError
        When a file exists and `overwrite` is False, or cannot be written.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_rotation(4, d_min=4.0, shape=(300, 320), distance=0.1, seed=1)
    >>> frames, experiment = stills.write_rotation(data, "scan.h5")
    >>> experiment.name, len(stills.read_experiment(experiment))
    ('scan.expt', 4)
    """
    path = Path(path)
    beside = path.with_suffix(".expt")
    with DenseWriter(
        path,
        data.settings.shape,
        dtype,
        geometry=data.settings.geometry,
        mask=None,
        saturation=None,
        provenance=provenance({"simulated": data.settings}, []),
        overwrite=overwrite,
        compression=compression,
        scan=data.scan,
    ) as writer:
        for number in range(len(data)):
            writer.write(data.image(number, dtype))
    write_dials_experiments(beside, data.experiment, path, rotation=data.rotation, overwrite=overwrite)
    return path, beside
