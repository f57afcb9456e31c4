"""``crystint stills simulate``: stills of known truth as a folder of files."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gemmi
import numpy as np

from crystint.errors import FileError, SettingError
from crystint.io.outputs import check_outputs
from crystint.io.reflections.mtz_out import write_merged_mtz
from crystint.run.outcome import Outcome
from crystint.run.step import Job
from crystint.stills.files import StillsRun, write_stills
from crystint.stills.settings import SimulateSettings
from crystint.stills.simulation.files import write_numbered_frames
from crystint.stills.simulation.simulate import Crystal, SimulatedStills, simulate_stills

__all__ = ["simulate_folder"]

_OF_CRYSTAL = {"cell", "space_group", "intensity"}
_OF_COMMAND = {"frames", "images", "seed"}


def simulate_folder(job: Job[SimulateSettings]) -> Outcome:
    """Write frames.h5 and frames.expt, truth.h5 and reference.mtz into a folder.

    The result is the `SimulatedStills`.

    Raises
    ------
    FileError, SettingError
        When a file exists, or a setting is impossible.
    """
    (folder,), settings, overwrite = job.outputs, job.settings, job.overwrite
    names = ["frames.h5", "frames.expt"] * settings.images + ["truth.h5", "reference.mtz"]
    paths = tuple(folder / name for name in names)
    for path in paths:
        if path.exists() and not overwrite:
            raise FileError(f"{path} exists; --overwrite replaces it")
    values = settings.model_dump()
    crystal = Crystal(seed=settings.seed, **{name: values[name] for name in _OF_CRYSTAL})
    rest = {name: value for name, value in values.items() if name not in _OF_CRYSTAL | _OF_COMMAND}
    data = simulate_stills(settings.frames, crystal=crystal, seed=settings.seed, **rest)
    if not len(data.listed):
        raise SettingError("nothing is simulated: no reflection is excited and meets the detector")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder} cannot be made a folder: {error.strerror}") from error
    check_outputs(paths, job.sources, overwrite)
    if settings.images:
        record = job.provenance(simulated=data.settings)
        numbers = job.progress(range(settings.frames), settings.frames, "simulate")
        write_numbered_frames(data, folder / "frames.h5", numbers, record, overwrite=overwrite)
    run = StillsRun(
        experiment=data.experiment,
        observations=data.observations(),
        reference=data.reference(),
        extra={"ln_g": data.ln_g, "b": data.b, "truth": _truth(data)},
        provenance=job.provenance(),
    )
    write_stills(folder / "truth.h5", run, overwrite=overwrite)
    write_merged_mtz(folder / "reference.mtz", _merged(data), overwrite=overwrite)
    text = f"{len(data.listed)} observations on {len(data.experiment)} images, {len(data.reference())} reflections"
    return Outcome(text, data, outputs=paths)


def _truth(data: SimulatedStills) -> dict[str, Any]:
    """Columns of what is so, in the order of the observations."""
    columns = ("unique", "excitation", "partiality", "polarization", "true_intensity", "signal", "background")
    return {name: getattr(data.listed, name) for name in columns}


def _merged(data: SimulatedStills) -> Any:
    """The true intensities, as a merged data set without errors."""
    reference = data.reference()
    return SimpleNamespace(
        hkl=reference.hkl,
        intensity=reference.intensity,
        sigma=reference.sigma,
        multiplicity=np.ones(len(reference), dtype=np.int32),
        plus=None,
        minus=None,
        multiplicity_plus=None,
        multiplicity_minus=None,
        cell=gemmi.UnitCell(*reference.cell),
        space_group=reference.space_group,
    )
