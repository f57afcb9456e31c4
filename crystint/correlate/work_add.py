"""Results of several runs added, without frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crystint.correlate.exposures import HDF5, Done, Source
from crystint.correlate.sums.correlation_sums import Norm
from crystint.correlate.sums.files import read_correlations, write_correlations
from crystint.correlate.work import about
from crystint.errors import SettingError
from crystint.io.hdf5.provenance import provenance, read_provenance
from crystint.io.outputs import check_output

__all__ = ["add_files"]


def add_files(
    files: Sequence[Source],
    output: Source,
    *,
    norm: Norm | None = None,
    by_intensity: bool | None = None,
    coefficients: int | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
) -> Done:
    """Add the sums of several files and write what one run over all their frames would have.

    One file is in memory at a time, besides the sums.

    Parameters
    ----------
    norm, by_intensity
        None = as the first file has it.
    Others as `crystint.correlate.work.correlate_frames`.

    Raises
    ------
    FileError
        When a file is missing, damaged, or no such file.
    SettingError
        When they do not add.
    """
    check_output(output, HDF5, overwrite)
    if not files:
        raise SettingError("there is nothing to add: give frames, or files of correlations with --add")
    run = read_correlations(files[0])
    for path in files[1:]:
        other = read_correlations(path)
        run.check_adds(other, run.sums.n, f"{files[0]} and {path}")
        run += other
    run = replace(
        run,
        norm=run.norm if norm is None else norm,
        by_intensity=run.by_intensity if by_intensity is None else by_intensity,
    )
    parts = [read_provenance(path) for path in files]
    settings = {"norm": run.norm, "by_intensity": run.by_intensity, "parts": parts}
    run = replace(run, provenance=provenance(settings, [str(path) for path in files], list(command)))
    write_correlations(output, run, coefficients=coefficients, overwrite=overwrite)
    return Done(f"{len(files)} file{'' if len(files) == 1 else 's'}; {about(run)}")
