"""Merged and unmerged intensities as MTZ files, which CCP4, Phenix, careless and reciprocalspaceship read."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from os import PathLike
from pathlib import PurePath
from typing import Any, Protocol

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint import __version__
from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError
from crystint.io.outputs import atomic_path
from crystint.io.reflections.mtz_batches import batch_headers
from crystint.model.experiment import Experiment
from crystint.model.free_set import free_numbers
from crystint.model.observations import Observations

__all__ = ["history_of", "write_merged_mtz", "write_unmerged_mtz"]

_LINE = 80
_HALF = 1 << 20
"""Indices are below it."""
_LINES = 30
"""Lines of history that an MTZ file may have."""
_INPUT_LINES = 20
"""Lines of them for the names of inputs."""


class _Merged(Protocol):
    """What `crystint.stills.merging.merge` gives."""

    hkl: NDArray[np.int32]
    intensity: Floats
    sigma: Floats
    multiplicity: NDArray[np.int32]
    plus: Floats | None
    minus: Floats | None
    multiplicity_plus: NDArray[np.int32] | None
    multiplicity_minus: NDArray[np.int32] | None
    cell: gemmi.UnitCell
    space_group: gemmi.SpaceGroup


def write_merged_mtz(
    path: str | PathLike[str],
    merged: Any,
    *,
    amplitudes: tuple[Floats, Floats] | None = None,
    free: float | None = None,
    seed: int = 0,
    flags: tuple[str, NDArray[Any]] | None = None,
    wavelength: float = 0.0,
    history: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write merged intensities: H K L IMEAN SIGIMEAN N, the mates where they were kept apart, F SIGF, FreeR_flag.

    Mates are I(+) SIGI(+) I(-) SIGI(-) N(+) N(-), types K, M and I; F SIGF are F, Q; what is unknown is MTZ's missing
    value.

    Parameters
    ----------
    path : path
    merged : Merged
        Indices must be in CCP4's asymmetric unit, which they are.
    amplitudes : (float64 [m], float64 [m]), optional
        F and its sigma, such as French and Wilson's estimates.
    free : float, optional
        Share of the reflections to set aside (0.05): flags 0 to 1 / share - 1, as CCP4 numbers them; 0 is the test set.
        They are a hash of the indices (`crystint.model.free_set`), the same for every set of data of this lattice, to
        whatever resolution.
    seed : int
        Another number gives other flags.
    flags : (str, int [m]), optional
        In place of these: the label of the column, and the flags, such as those of another file.
    wavelength : float
        angstrom, for the data set's header; 0 = not known.
    history : sequence of str
        What was done; lines are cut after 80 characters, the first 29 of them are kept (`history_of` makes such lines).
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    ShapeError, SettingError
        When amplitudes or `free` make no sense.
    FileError
        When the file exists and `overwrite` is False, or cannot be written.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(20, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> observations, group = data.observations(), data.experiment.space_group
    >>> merged = stills.merge(observations, space_group=group, cell=data.experiment.cell)
    >>> stills.write_merged_mtz("merged.mtz", merged, free=0.05)
    >>> bool((stills.read_reference("merged.mtz").hkl == merged.hkl).all())
    True
    """
    table: _Merged = merged
    columns: list[tuple[str, str, NDArray[Any]]] = [
        ("IMEAN", "J", table.intensity),
        ("SIGIMEAN", "Q", table.sigma),
        ("N", "I", table.multiplicity),
    ]
    if table.plus is not None and table.minus is not None:
        columns += [
            ("I(+)", "K", table.plus[:, 0]),
            ("SIGI(+)", "M", table.plus[:, 1]),
            ("I(-)", "K", table.minus[:, 0]),
            ("SIGI(-)", "M", table.minus[:, 1]),
        ]
        if table.multiplicity_plus is not None and table.multiplicity_minus is not None:
            columns += [("N(+)", "I", table.multiplicity_plus), ("N(-)", "I", table.multiplicity_minus)]
    if amplitudes is not None:
        columns += [("F", "F", amplitudes[0]), ("SIGF", "Q", amplitudes[1])]
    if free is not None:
        if not 0.0 < free <= 0.5:
            raise SettingError(f"free is {free}, expected a share above 0, at most 0.5")
        flags = flags or ("FreeR_flag", free_numbers(table.hkl, table.space_group, round(1.0 / free), seed))
    if flags is not None:
        columns.append((flags[0], "I", flags[1]))
    mtz = _start("merged", table.cell, table.space_group, wavelength, history)
    _fill(mtz, table.hkl, columns)
    mtz.sort()
    with atomic_path(path, overwrite) as temporary:
        mtz.write_to_file(str(temporary))


def history_of(inputs: Sequence[Any]) -> list[str]:
    """Lines for the history of an MTZ file that name the inputs, without their folders; many are counted."""
    names = [PurePath(str(each)).name.encode("ascii", "replace").decode() for each in inputs]
    lines = textwrap.wrap(f"inputs: {', '.join(names)}", _LINE, subsequent_indent="  ", break_on_hyphens=False)
    if len(lines) <= _INPUT_LINES:
        return lines
    lines = lines[: _INPUT_LINES - 1]
    whole = sum(line.count(",") for line in lines)
    return [*lines, f"  ... {len(names) - whole} more; {len(names)} in all"]


def write_unmerged_mtz(
    path: str | PathLike[str],
    observations: Observations,
    experiment: Experiment,
    *,
    factor: Floats | None = None,
    sigma: Floats | None = None,
    history: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write every usable observation, a batch per image.

    Columns: H K L M/ISYM BATCH I SIGI FRACTIONCALC XDET YDET ewald_offset LP SCALEUSED BG SIGBG Wavelength d. XDET and
    YDET are px along fast and slow from the outer corner; ewald_offset (1/angstrom, positive outside the sphere) and
    Wavelength have the names that careless and reciprocalspaceship use; FRACTIONCALC is the partiality; LP is what
    1 / (polarization efficiency Lorentz) amounts to; SCALEUSED is the factor that I and SIGI were divided by, as in
    DIALS's files; BG is counts per pixel, SIGBG what SIGI would be without a signal.

    Parameters
    ----------
    path : path
    observations : Observations
    experiment : Experiment
        Of its images: the batch headers get cell, orientation, wavelength and distance. Batch = image + 1.
    factor : float64 [n], optional
        Divide intensities by it (`Scales.factor`, partiality included): the common scale, for CCP4. None = by
        `correction` only, for careless, which finds scale and partiality itself. Rows with a NaN are left out.
    sigma : float64 [n], optional
        On the same scale, in place of the one that is stored: from an error model, say.
    history : sequence of str
        As in `write_merged_mtz`.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    ShapeError
        When a column does not fit, or the experiment lacks images.
    FileError
        When the file exists and `overwrite` is False, or cannot be written.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(20, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> observations, group = data.observations(), data.experiment.space_group
    >>> stills.write_unmerged_mtz("observations.mtz", observations, data.experiment)
    >>> len(stills.read_observations("observations.mtz", intensity="I")) == len(observations)
    True
    """
    n = len(observations)
    scaled = factor is not None
    divide = np.asarray(observations.correction if factor is None else factor, dtype=np.float64)
    columns_of = (
        {"factor": divide} if sigma is None else {"factor": divide, "sigma": np.asarray(sigma, dtype=np.float64)}
    )
    for name, values in columns_of.items():
        if values.shape != (n,):
            raise ShapeError(f"{name} is {values.shape}, expected {(n,)}")
    error = columns_of.get("sigma", observations.sigma / divide)
    if n and not 0 <= observations.image.min() <= observations.image.max() < len(experiment):
        raise ShapeError(f"observations of images up to {observations.image.max()}, experiment of {len(experiment)}")
    keep = observations.usable & np.isfinite(divide) & (divide > 0.0) & np.isfinite(error) & (error > 0.0)
    table, divide, error = observations.select(keep), divide[keep], error[keep]
    wavelength = np.where(np.isfinite(table.wavelength), table.wavelength, experiment.wavelength[table.image])
    hkl, isym = _reduced(table.hkl, experiment.space_group)
    columns: list[tuple[str, str, NDArray[Any]]] = [
        ("M/ISYM", "Y", isym),
        ("BATCH", "B", table.image + 1),
        ("I", "J", table.intensity / divide),
        ("SIGI", "Q", error),
        ("FRACTIONCALC", "R", table.partiality),
        ("XDET", "R", table.fast),
        ("YDET", "R", table.slow),
        ("ewald_offset", "R", table.excitation),
        ("LP", "R", 1.0 / table.correction),
        ("SCALEUSED", "R", divide),
        ("BG", "R", table.background),
        ("SIGBG", "R", np.sqrt(table.background_variance) / divide),
        ("Wavelength", "R", wavelength),
        ("d", "R", table.d),
    ]
    lines = [
        "I, SIGI: on a common scale, partiality divided out" if scaled else "I, SIGI: only LP applied, no scale",
        "SCALEUSED: divided out; FRACTIONCALC: partiality; XDET, YDET: px fast, slow",
        *history,
    ]
    mtz = _start(
        "unmerged", gemmi.UnitCell(*experiment.cell), experiment.space_group, experiment.mean_wavelength, lines
    )
    _fill(mtz, hkl, columns)
    for batch in batch_headers(experiment, np.unique(table.image)):
        mtz.batches.append(batch)
    mtz.sort(5)
    with atomic_path(path, overwrite) as temporary:
        mtz.write_to_file(str(temporary))


def _reduced(hkl: NDArray[np.int32], space_group: gemmi.SpaceGroup) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Indices in the asymmetric unit [n, 3] and the number of the operator [n], asked once for each form."""
    key = ((hkl[:, 0].astype(np.int64) + _HALF << 42) | (hkl[:, 1].astype(np.int64) + _HALF << 21)) + hkl[:, 2]
    _, first, row = np.unique(key, return_index=True, return_inverse=True)
    asu, operations = gemmi.ReciprocalAsu(space_group), space_group.operations()
    in_asu = [asu.to_asu(form, operations) for form in hkl[first].tolist()]
    reduced = np.array([entry[0] for entry in in_asu], dtype=np.int32).reshape(-1, 3)
    number = np.array([entry[1] for entry in in_asu], dtype=np.int32)
    return reduced[row], number[row]


def _start(
    what: str, cell: gemmi.UnitCell, space_group: gemmi.SpaceGroup, wavelength: float, history: Sequence[str]
) -> gemmi.Mtz:
    mtz = gemmi.Mtz(with_base=True)
    mtz.title = f"{what} stills"
    mtz.history = [line[:_LINE] for line in [f"crystint {__version__}: {what} intensities", *history]][:_LINES]
    mtz.spacegroup = space_group
    dataset = mtz.add_dataset("stills")
    dataset.project_name, dataset.crystal_name = "crystint", "crystal"
    mtz.set_cell_for_all(cell)
    for entry in mtz.datasets:
        entry.wavelength = wavelength
    return mtz


def _fill(mtz: gemmi.Mtz, hkl: NDArray[np.int32], columns: Sequence[tuple[str, str, NDArray[Any]]]) -> None:
    for name, kind, _ in columns:
        mtz.add_column(name, kind, dataset_id=1)
    data = np.empty((len(hkl), 3 + len(columns)), dtype=np.float32)
    data[:, :3] = hkl
    for at, (name, _, values) in enumerate(columns):
        if np.shape(values) != (len(hkl),):
            raise ShapeError(f"{name} is {np.shape(values)}, expected {(len(hkl),)}")
        data[:, 3 + at] = values
    mtz.set_data(data)
