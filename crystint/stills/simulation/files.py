"""Simulated stills as files: frames, the experiment as DIALS has it, and nothing that a beamline would not give."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crystint.io.hdf5.provenance import provenance
from crystint.io.reflections.dials_experiments_out import write_dials_experiments
from crystint.io.sparse.dense_file import DenseWriter
from crystint.model.geometry import Geometry

if TYPE_CHECKING:
    from crystint.stills.simulation.simulate import SimulatedStills

__all__ = ["geometry_of", "write_frames"]


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

    Raises
    ------
    FileError
        When a file exists and `overwrite` is False, or cannot be written.
    """
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
        provenance=provenance({"simulated": s}, []),
        overwrite=overwrite,
        compression="gzip",
        sensor_thickness=s.thickness or None,
    ) as writer:
        for number in range(s.frames):
            writer.write(data.image(number, dtype))
            if progress is not None:
                progress(number + 1, s.frames)
    write_dials_experiments(beside, data.experiment, path, overwrite=overwrite)
    return path, beside
