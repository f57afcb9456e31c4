"""What `crystint correlate polar` and `correlate` do, without the command line: frames in, HDF5 files out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.correlate.exposures import HDF5, Done, Exposures, Progress, Source, numbers, q_of, silent
from crystint.correlate.pairs.ring_cleaning import Chain, Cleaning
from crystint.correlate.polar.polar_grid import PolarGrid
from crystint.correlate.sums.correlation_sums import CorrelationSums, Norm
from crystint.correlate.sums.correlator import Correlator
from crystint.correlate.sums.files import polar_writer, read_correlations, write_correlations
from crystint.correlate.sums.result import CorrelationRun
from crystint.engine import Engine
from crystint.errors import SettingError
from crystint.io.hdf5.provenance import provenance, read_provenance
from crystint.io.outputs import check_output

__all__ = ["about", "correlate_frames", "polar_frames", "row_pairs"]

_MEMORY = 8e9
"""bytes that sums may take"""


def polar_frames(
    exposures: Exposures,
    output: Source,
    grid: PolarGrid,
    *,
    method: str = "area",
    corrections: bool = True,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] = (),
) -> Done:
    """Write the polar images of all frames; a frame that cannot be read is left NaN.

    Parameters
    ----------
    method
        As `crystint.correlate.polar.polar.PolarTransform`.
    corrections
        Divide by solid angle and polarization, where there is a geometry.

    Raises
    ------
    CrystintError
        As the parts do; nothing is written then.
    """
    check_output(output, HDF5, overwrite)
    transform = exposures.transform(Engine(device), grid, method, corrections=corrections)
    total = len(exposures.frames)

    def record() -> dict[str, Any]:
        settings = _settings(exposures, grid, method=method, corrections=corrections, device=device)
        return provenance(settings, exposures.frames.files, list(command))

    q = q_of(grid, exposures.geometry)
    with polar_writer(output, grid, total, q=q, provenance=record, overwrite=overwrite) as file:
        for number, frame in exposures.each(progress(range(total), total, "polar")):
            file.write(number, transform.run(frame))
    rows, columns = grid.shape
    text = f"{total} frame{'' if total == 1 else 's'}, {rows} rings x {columns} azimuths"
    return exposures.done(text)


def correlate_frames(
    exposures: Exposures,
    output: Source,
    grid: PolarGrid,
    *,
    cleaning: Cleaning | None = None,
    difference: str | None = None,
    block: int = 500,
    cross: Sequence[str] = (),
    method: str = "area",
    corrections: bool = True,
    norm: Norm = "mask",
    by_intensity: bool = False,
    coefficients: int | None = None,
    files: Sequence[Source] = (),
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] = (),
) -> Done:
    """Correlate all frames and write the mean, its error, and the sums. Memory does not grow with the frames.

    Parameters
    ----------
    cleaning
        What is done to the rings first.
    difference : "optimal", "greedy", "next" or None
        Correlate differences of pairs of exposures: with like anisotropy (`pair_exposures`), or each with the one
        after it. None = each exposure by itself.
    block : int
        Pairs are sought among so many exposures in a row.
    cross
        Rings to correlate with one another: "R1,R2" in px (1/angstrom in a grid of q), or "all"; none = each ring
        with itself.
    norm, by_intensity, coefficients
        As `write_correlations`.
    files
        Results of earlier runs, which are added; those that do not fit are refused before any work.
    Others as `polar_frames`.

    Raises
    ------
    CrystintError
        As the parts do; nothing is written then.
    """
    check_output(output, HDF5, overwrite)
    pairs = row_pairs(grid, cross)
    _check_memory(len(grid.radii) if pairs is None else len(pairs), grid.azimuths)
    if coefficients is not None and not 0 <= coefficients <= grid.azimuths // 2:
        raise SettingError(
            f"coefficients is {coefficients}, expected 0 to {grid.azimuths // 2} for {grid.azimuths} lags"
        )
    cleaning = cleaning or Cleaning()
    rows = np.repeat(np.arange(len(grid.radii))[:, None], 2, axis=1) if pairs is None else pairs
    geometry = exposures.geometry
    run = CorrelationRun(
        sums=CorrelationSums(),
        radii=grid.radii,
        pairs=rows.astype(np.int64),
        q=q_of(grid, geometry),
        wavelength=None if geometry is None else geometry.wavelength,
        kind=cleaning.kind(difference is not None),
        norm=norm,
        by_intensity=by_intensity,
        of_q=grid.q is not None,
        direction=grid.direction,
    )
    for path in files:
        run.check_adds(read_correlations(path), grid.azimuths, f"{path} and these frames")
    engine = Engine(device)
    chain = Chain(exposures, exposures.transform(engine, grid, method, corrections=corrections), cleaning, engine)
    correlator = Correlator(pairs=pairs, centered=cleaning.subtract == "mean" and difference is None)
    said: list[str] = []
    if difference is None:
        for values in chain.each(progress):
            correlator.add(*values)
    else:
        said += chain.differences(correlator, difference, block, progress)
    settings = _settings(
        exposures, grid, method=method, corrections=corrections, device=device, difference=difference, block=block,
        cross=list(cross), norm=norm, by_intensity=by_intensity, **asdict(cleaning),
    )  # fmt: skip
    run = replace(run, sums=correlator.sums)
    for path in files:
        run += read_correlations(path)
    if files:
        settings["parts"] = [read_provenance(path) for path in files]
    names = [*exposures.frames.files, *map(str, files)]
    run = replace(run, provenance=provenance(settings, names, list(command)))
    write_correlations(output, run, coefficients=coefficients, overwrite=overwrite)
    total = len(exposures.frames)
    return exposures.done(f"{total} frame{'' if total == 1 else 's'}; {about(run)}", said)


def row_pairs(grid: PolarGrid, cross: Sequence[str]) -> NDArray[np.int64] | None:
    """int64 [rows, 2]: the rows of the grid that texts name; None = each with itself.

    Raises
    ------
    SettingError
        When a text names no ring of the grid.
    """
    if not cross:
        return None
    values = grid.radii if grid.q is None else grid.q
    found: list[tuple[int, int]] = []
    for text in cross:
        if text == "all":
            found += [(i, j) for i in range(len(values)) for j in range(i, len(values))]
            _check_memory(len(found), grid.azimuths)
            continue
        try:
            named = numbers("cross", text, (2,))
        except SettingError:
            raise SettingError(f"cross is {text!r}, expected two rings with a comma between them, or all") from None
        first, second = (_row(values, value) for value in named)
        found.append((first, second))
    return np.array(list(dict.fromkeys(found)), dtype=np.int64)


def _row(values: NDArray[np.float64], value: float) -> int:
    row = int(np.argmin(np.abs(values - value)))
    step = float(np.diff(values).max()) if len(values) > 1 else 1.0
    if abs(values[row] - value) > 0.5 * step * (1.0 + 1e-9):
        raise SettingError(f"there is no ring at {value:g}: rings are from {values[0]:g} to {values[-1]:g}")
    return row


def _check_memory(rows: int, azimuths: int) -> None:
    size = 40.0 * rows * azimuths
    if size > _MEMORY:
        raise SettingError(
            f"{rows} correlations of {azimuths} lags take {size / 1e9:.0f} GB, more than {_MEMORY / 1e9:.0f}: choose "
            "fewer rings or azimuths, or crystint.correlate.sums.all_pairs, which works in parts"
        )


def _settings(exposures: Exposures, grid: PolarGrid, **more: Any) -> dict[str, Any]:
    geometry = exposures.geometry
    return {
        "center": grid.center,
        "radii": [grid.radii[0], grid.radii[-1], len(grid.radii)],
        "q": None if grid.q is None else [grid.q[0], grid.q[-1]],
        "azimuths": grid.azimuths,
        "origin": grid.origin,
        "direction": grid.direction,
        "masked_pixels": int((exposures.mask != 0).sum()),
        "geometry_used": None if geometry is None else geometry.to_dict(),
        "missing": sorted(exposures.missing),
        **more,
    }


def about(run: CorrelationRun) -> str:
    """What was correlated, for the closing line."""
    sums = run.sums
    what = "pair" if run.kind.startswith("difference") else "exposure"
    rows = len(run.pairs)
    return (
        f"{sums.number} {what}{'' if sums.number == 1 else 's'} correlated, {rows} row{'' if rows == 1 else 's'} x "
        f"{sums.n} lags"
    )
