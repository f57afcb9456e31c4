"""From files to files in Python: indexing as a function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crystint.arrays import FileName
from crystint.index.steps import INDEX
from crystint.run.outcome import Outcome

__all__ = ["index_files"]


def index_files(
    peaks: FileName,
    outputs: Sequence[FileName],
    *,
    device: str | None = None,
    overwrite: bool = False,
    command: Sequence[str] | None = None,
    **settings: Any,
) -> Outcome:
    """Find the lattices in the peaks of frames, and write .expt, .refl, .stream or .h5.

    Parameters
    ----------
    peaks : path
        A peak list of any format.
    outputs : paths
        The suffix is the format.
    device : str, optional
        As `crystint.Engine` takes it.
    overwrite : bool
        Replace files that are there.
    command : sequence of str, optional
        For the provenance; None = ``sys.argv``.
    **settings
        Fields of `crystint.index.settings.IndexSettings`: cell (six numbers, angstrom and degrees), space_group,
        lattices, d_min...

    Returns
    -------
    Outcome
        Its `result` is an `Indexed`.

    Raises
    ------
    FileError, GeometryError, SettingError
        When something is missing or impossible, or nothing is indexed.

    Examples
    --------
    >>> from crystint import index, separation, stills
    >>> data = stills.simulate_stills(3, d_min=2.5, shape=(600, 640), distance=0.08, seed=1)
    >>> frames, truth = stills.write_frames(data, "made.h5")
    >>> _ = separation.find_peaks(["made.h5"], ["peaks.h5"], {"rings": 100})
    >>> outcome = index.index_files("peaks.h5", ["indexed.h5"], cell=data.experiment.cell, space_group="P212121")
    >>> len(stills.read_experiment("indexed.h5"))
    3
    """
    return INDEX(peaks, outputs=outputs, settings=settings, overwrite=overwrite, command=command, device=device)
