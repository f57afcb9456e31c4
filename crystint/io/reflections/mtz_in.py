"""Unmerged intensities of MTZ files (CCP4, DIALS, careless, our own) as `Observations`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, warn
from crystint.io.guard import reads_file
from crystint.io.reflections.mtz_header import check_mtz
from crystint.model.experiment import UNPLACED, Experiment
from crystint.model.observations import Flag, Observations

__all__ = ["is_unmerged", "open_mtz", "read_mtz_observations"]

_PARTIAL = 256
"""M of M/ISYM, times 256: the row is a part of a reflection"""
_OWN = "only LP applied, no scale"
"""in the history of our own files whose intensities are still partial"""


@reads_file
def open_mtz(path: str | Path) -> gemmi.Mtz:
    """An MTZ file with a cell and a space group.

    Raises
    ------
    FileError
        When it is missing, damaged, or lacks one of them.
    """
    path = Path(path)
    if not path.is_file():
        raise FileError(f"{path} does not exist")
    check_mtz(path)
    try:
        mtz = gemmi.read_mtz_file(str(path))
    except (RuntimeError, ValueError, OSError, MemoryError) as error:
        raise FileError(f"{path} is damaged or not an MTZ file: {error}") from error
    if mtz.spacegroup is None or not mtz.cell.is_crystal():
        raise FileError(
            f"{path} has no {'cell' if mtz.spacegroup else 'space group'} in its header; set it, with CAD say"
        )
    return mtz


def is_unmerged(mtz: gemmi.Mtz) -> bool:
    """Whether it has a row for each observation."""
    return _column(mtz, "BATCH") is not None or bool(mtz.batches)


@reads_file
def read_mtz_observations(path: str | Path, *, intensity: str | None = None) -> tuple[Observations, Experiment]:
    """Every row of an unmerged MTZ file, indices as they were measured.

    Read are I and SIGI (or those named by `intensity`), BATCH, M/ISYM; and where they are there XDET, YDET,
    Wavelength, ewald_offset, BG, FLAG. MTZ files have polarization, Lorentz factor and efficiency applied already:
    `correction` is 1. FRACTIONCALC is the `partiality` of rows that M marks as partial and of our own files with
    intensities that are not scaled; other programs write whole reflections, whatever it says. A column
    ``partiality`` always is.

    Parameters
    ----------
    intensity : str, optional
        Label of the intensities; the default is I, or else the first column of type J.

    Returns
    -------
    observations, experiment
        An image for each batch. The experiment has their names, cell, space group and wavelengths, and no
        orientations: it can be scaled and merged, not predicted.

    Raises
    ------
    FileError
        When it is missing, damaged, merged, or lacks a column.
    """
    path = Path(path)
    mtz = open_mtz(path)
    if not is_unmerged(mtz):
        raise FileError(f"{path} is merged (it has no BATCH column); scaling needs unmerged data, a reference takes it")
    if _column(mtz, "M/ISYM", "M_ISYM") is not None:
        isym = _array(mtz, "M/ISYM", "M_ISYM").astype(np.int64)
        mtz.switch_to_original_hkl()
    else:
        isym = np.ones(mtz.nreflections, dtype=np.int64)
        warn(f"{path} has no M/ISYM: its indices are taken as measured")
    label, error = _intensity(path, mtz, intensity)
    value, sigma = _array(mtz, label), _array(mtz, error)
    batch = _array(mtz, "BATCH").astype(np.int64)
    numbers, image = np.unique(batch, return_inverse=True)
    hkl = mtz.make_miller_array().astype(np.int32)
    flags = np.where(np.isfinite(value) & (sigma > 0.0), 0, Flag.BAD_VALUE).astype(np.uint32)
    if intensity is None:
        warn(f"{path}: {len(value)} intensities {label} of {len(numbers)} batches, taken as corrected already")
    background = _optional(mtz, "SIGBG") if _own(mtz) else None
    table = Observations(
        image=image.reshape(-1).astype(np.int32),
        hkl=hkl,
        intensity=value,
        sigma=np.where(sigma > 0.0, sigma, np.nan),
        d=np.asarray(mtz.make_d_array(), dtype=np.float64),
        partiality=_partiality(mtz, isym, path),
        excitation=_optional(mtz, "ewald_offset", "EWALD_OFFSET", "ewald offset", "EwaldOffset"),  # type: ignore[arg-type]
        slow=_optional(mtz, "YDET"),  # type: ignore[arg-type]
        fast=_optional(mtz, "XDET"),  # type: ignore[arg-type]
        background=_optional(mtz, "BG"),  # type: ignore[arg-type]
        background_variance=None if background is None else background**2,  # type: ignore[arg-type]
        wavelength=_wavelengths(mtz),  # type: ignore[arg-type]
        flags=flags,
    )
    experiment = _experiment(mtz, numbers, table)
    unknown = int(np.count_nonzero(~np.isfinite(experiment.wavelength)))
    if unknown:
        which = f"{unknown} of {len(numbers)} batches" if unknown < len(numbers) else "its data set and batches"
        warn(f"{path} has no wavelength for {which} (0 or none): none is written; to scale and merge needs none")
    return table, experiment


def _column(mtz: gemmi.Mtz, *names: str) -> Any:
    wanted = {name.lower() for name in names}
    return next((column for column in mtz.columns if column.label.lower() in wanted), None)


def _array(mtz: gemmi.Mtz, *names: str) -> NDArray[np.float64]:
    return np.array(_column(mtz, *names), dtype=np.float64)


def _optional(mtz: gemmi.Mtz, *names: str) -> NDArray[np.float64] | None:
    return None if _column(mtz, *names) is None else _array(mtz, *names)


def _wavelengths(mtz: gemmi.Mtz) -> NDArray[np.float64] | None:
    """That of each row where there is such a column; NaN for what is none."""
    wavelength = _optional(mtz, "Wavelength")
    if wavelength is None:
        return None
    return np.where(np.isfinite(wavelength) & (wavelength > 0.0), wavelength, np.nan)


def _own(mtz: gemmi.Mtz) -> bool:
    return any(line.startswith("crystint ") for line in mtz.history)


def _intensity(path: Path, mtz: gemmi.Mtz, wanted: str | None) -> tuple[str, str]:
    """Labels of intensities and of their sigmas."""
    labels = [column.label for column in mtz.columns]
    intensities = [column.label for column in mtz.columns if column.type == "J"]
    label = wanted or next(
        (name for name in intensities if name.upper() == "I"), intensities[0] if intensities else None
    )
    if label is None or label not in labels:
        what = f"no column {wanted}" if wanted else "no intensities (a column of type J)"
        raise FileError(f"{path} has {what}; its columns are {', '.join(labels)}")
    error = _column(mtz, f"SIG{label}", f"SIG_{label}", f"{label}_SIGMA")
    following = mtz.columns[min(labels.index(label) + 1, len(labels) - 1)]
    if error is None and following.type == "Q":
        error = following
    if error is None:
        raise FileError(f"{path} has no sigmas of {label} (SIG{label}); its columns are {', '.join(labels)}")
    return label, error.label


def _partiality(mtz: gemmi.Mtz, isym: NDArray[np.int64], path: Path) -> NDArray[np.float64] | Any:
    partiality = _optional(mtz, "partiality")
    if partiality is not None:
        return partiality
    fraction = _optional(mtz, "FRACTIONCALC")
    if fraction is None:
        return None
    if any(_OWN in line for line in mtz.history):
        return fraction
    partial = isym >= _PARTIAL
    if partial.any():
        warn(f"{path}: {partial.sum()} partial reflections, their fractions from FRACTIONCALC")
    return np.where(partial & np.isfinite(fraction) & (fraction > 0.0), fraction, 1.0)


def _untitled(title: str) -> str:
    """The title of a batch without the keyword of its line, which gemmi takes for a part, and writes once more."""
    while title.startswith("TITLE"):
        title = title.removeprefix("TITLE").lstrip()
    return title


def _experiment(mtz: gemmi.Mtz, numbers: NDArray[np.int64], table: Observations) -> Experiment:
    """Names, cell and wavelengths of the batches."""
    headers = {batch.number: batch for batch in mtz.batches}
    of_datasets = [dataset.wavelength for dataset in reversed(list(mtz.datasets))]
    common = next((value for value in of_datasets if np.isfinite(value) and value > 0.0), np.nan)
    if not np.isfinite(common) and np.isfinite(table.wavelength).any():
        common = float(np.nanmedian(table.wavelength))
    wavelength, name = np.full(len(numbers), common), []
    for row, number in enumerate(numbers.tolist()):
        header = headers.get(number)
        if header is not None and np.isfinite(header.wavelength) and header.wavelength > 0.0:
            wavelength[row] = header.wavelength
        title = header.title.strip() if header is not None and _own(mtz) else ""
        name.append(_untitled(title) or f"batch {number}")
    return Experiment(
        setting=np.full((len(numbers), 3, 3), np.nan),
        incident=np.stack([np.zeros(len(numbers)), np.zeros(len(numbers)), 1.0 / wavelength], axis=1),
        detectors=(UNPLACED,),
        cell=tuple(mtz.cell.parameters),
        space_group=mtz.spacegroup,
        name=tuple(name),
    )
