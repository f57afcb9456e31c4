"""Simulated stills as a folder of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gemmi
import numpy as np

from crystint.errors import FileError, SettingError
from crystint.io.hdf5.provenance import provenance
from crystint.io.reflections.mtz_out import write_merged_mtz
from crystint.io.text_numbers import numbers
from crystint.stills.files import write_stills
from crystint.stills.simulation.files import write_frames
from crystint.stills.simulation.simulate import Crystal, SimulatedStills, simulate_stills

__all__ = ["simulate_files"]


def simulate_files(
    folder: Path,
    *,
    frames: int = 20,
    images: bool = True,
    cell: str | None = None,
    space_group: str | None = None,
    intensity: float | None = None,
    shape: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    command: Sequence[str] = (),
    **settings: Any,
) -> tuple[list[Path], str]:
    """Write frames.h5 and frames.expt, truth.h5 and reference.mtz into a folder.

    Parameters
    ----------
    images
        False: the table only.
    cell, shape
        Numbers with commas between them.
    intensity, space_group
        Of the `Crystal`; the other settings are those of `StillsSettings`, None = as it is there.

    Returns
    -------
    paths, text
        What was written, and a line about it.

    Raises
    ------
    FileError, SettingError
        When a file exists, or a setting is impossible.
    """
    folder = Path(folder)
    names = ["frames.h5", "frames.expt"] * images + ["truth.h5", "reference.mtz"]
    paths = [folder / name for name in names]
    for path in paths:
        if path.exists() and not overwrite:
            raise FileError(f"{path} exists; --overwrite replaces it")
    of_crystal: dict[str, Any] = {
        "cell": numbers("cell", cell, 6, float),
        "space_group": space_group,
        "intensity": intensity,
    }
    settings["shape"] = numbers("shape", shape, 2, int)
    crystal = Crystal(seed=seed, **{name: value for name, value in of_crystal.items() if value is not None})
    known = {name: value for name, value in settings.items() if value is not None}
    data = simulate_stills(frames, crystal=crystal, seed=seed, **known)
    if not len(data.listed):
        raise SettingError("nothing is simulated: no reflection is excited and meets the detector")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder} cannot be made a folder: {error.strerror}") from error
    if images:
        write_frames(data, folder / "frames.h5", overwrite=overwrite, progress=progress)
    observations = data.observations()
    record = provenance(
        {"frames": frames, "cell": crystal.cell, "space_group": crystal.space_group, **known}, [], command
    )
    write_stills(
        folder / "truth.h5",
        experiment=data.experiment,
        observations=observations,
        reference=data.reference(),
        extra={"ln_g": data.ln_g, "b": data.b, "truth": _truth(data)},
        provenance=record,
        overwrite=overwrite,
    )
    write_merged_mtz(folder / "reference.mtz", _merged(data), overwrite=overwrite)
    return (
        paths,
        f"{len(observations)} observations on {len(data.experiment)} images, {len(data.reference())} reflections",
    )


def _truth(data: SimulatedStills) -> dict[str, Any]:
    """Columns of what is so, in the order of the observations."""
    columns = ("unique", "excitation", "partiality", "polarization", "true_intensity", "signal", "background")
    return {name: getattr(data.listed, name) for name in columns}


def _merged(data: SimulatedStills) -> Any:
    """The true intensities, as a merged data set without errors."""
    known = data.reference()
    return SimpleNamespace(
        hkl=known.hkl,
        intensity=known.intensity,
        sigma=known.sigma,
        multiplicity=np.ones(len(known), dtype=np.int32),
        plus=None,
        minus=None,
        multiplicity_plus=None,
        multiplicity_minus=None,
        cell=gemmi.UnitCell(*known.cell),
        space_group=known.space_group,
    )
