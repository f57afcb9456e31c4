"""Merged intensities of MTZ, mmCIF and CrystFEL .hkl files as a `Reference`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import FileError, SettingError, unreadable, warn
from crystint.io.guard import reads_file
from crystint.io.kinds import kind_by_suffix, opened_kind, unexpected
from crystint.io.opened_file import OpenedFile
from crystint.io.reflections.mtz_in import is_unmerged, open_mtz
from crystint.io.reflections.shelx import row_words
from crystint.model.reference import Reference
from crystint.model.symmetry import as_space_group

__all__ = ["read_reference", "read_reference_cif", "read_reference_hkl", "read_reference_mtz"]

_Cell = tuple[float, float, float, float, float, float]
_CIF: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("I", (("intensity_meas", "intensity_sigma"),)),
    ("I", (("pdbx_I_plus", "pdbx_I_plus_sigma"), ("pdbx_I_minus", "pdbx_I_minus_sigma"))),
    ("I", (("F_squared_meas", "F_squared_sigma"),)),
    ("F", (("F_meas_au", "F_meas_sigma_au"),)),
    ("F", (("F_meas", "F_meas_sigma"),)),
    ("F", (("pdbx_F_plus", "pdbx_F_plus_sigma"), ("pdbx_F_minus", "pdbx_F_minus_sigma"))),
)
_MODEL = re.compile(r"FC(?![A-Z])|FC_|FCALC|.*MODEL|.*CALC", re.IGNORECASE)
"""amplitudes of a model"""
_DIFFERENCE = re.compile(r"DEL|D?ANO|FAN|M?FO-?D?FC|FOFC", re.IGNORECASE)
"""coefficients of difference maps"""
_MAP = re.compile(r"2M?FO|FWT|FDM|FEM|F_PHI", re.IGNORECASE)
"""those of other maps; amplitudes that a phase follows at once are as well"""


_KINDS = ("MTZ file", "structure factors", "list of reflections")
"""of files, see `crystint.io.kinds`"""


@reads_file
def read_reference(
    path: str | Path,
    *,
    column: str | None = None,
    cell: _Cell | None = None,
    space_group: gemmi.SpaceGroup | str | int | None = None,
) -> Reference:
    """Merged intensities of another program: the content of the file says the format, then its suffix.

    Parameters
    ----------
    path
        A merged MTZ, an mmCIF file of structure factors (.cif, .ent, .mmcif), or a reflection list (.hkl).
    column : str, optional
        MTZ, mmCIF: label of the intensities or amplitudes; plain .hkl: "I" or "F".
    cell, space_group : optional
        Of a .hkl, which has none: those of the data.

    Raises
    ------
    FileError
        When it is missing, damaged, or of another kind.
    SettingError
        When a .hkl comes without cell and space group.
    """
    with OpenedFile(path) as file:
        recognised = opened_kind(file)
        kind = kind_by_suffix(file.suffix, _KINDS) if recognised is None else recognised.name
        if kind not in _KINDS:
            wanted = "merged intensities: an .mtz, an mmCIF file of structure factors or a CrystFEL .hkl"
            raise unexpected(file, wanted, f"{path} has no merged intensities; expected {wanted}")
    if kind == "MTZ file":
        return read_reference_mtz(path, column=column)
    if kind == "structure factors":
        return read_reference_cif(path, column=column)
    if cell is None or space_group is None:
        raise SettingError(f"{path} has no cell and no space group: give those of the data, or an .mtz or .cif")
    return read_reference_hkl(path, cell=cell, space_group=as_space_group(space_group), kind=column)


@reads_file
def read_reference_mtz(path: str | Path, *, column: str | None = None) -> Reference:
    """Intensities of a merged MTZ file, F^2 where there are only amplitudes; I(+) and I(-) are averaged.

    Parameters
    ----------
    column : str, optional
        Label; the default is the first mean intensity, else I(+), else the first observed amplitude, F(+), a model's;
        coefficients of maps where there is nothing else, with a warning, and never those of difference maps.

    Raises
    ------
    FileError
        When it is missing, damaged, unmerged, or has neither.
    """
    mtz = open_mtz(path)
    if is_unmerged(mtz):
        raise FileError(f"{path} is unmerged; a reference is merged data: merge it first")
    kind, labels = _choose(Path(path), mtz, column)
    hkl = mtz.make_miller_array().astype(np.int32)
    pairs = []
    for label in labels:
        at = mtz.column_labels().index(label)
        follow = mtz.columns[at + 1] if at + 1 < len(mtz.columns) else None
        sigma = np.array(follow, dtype=np.float64) if follow is not None and follow.type in "QML" else None
        pairs.append((np.array(mtz.columns[at], dtype=np.float64), sigma))
    return _reference(hkl, kind, pairs, tuple(mtz.cell.parameters), mtz.spacegroup, " and ".join(labels))


def _choose(path: Path, mtz: gemmi.Mtz, wanted: str | None) -> tuple[str, list[str]]:
    """I or F, and the labels of one or two columns."""
    of = {kind: [column.label for column in mtz.columns if column.type == kind] for kind in "JKFG"}
    if wanted is not None:
        kind = next((kind for kind, labels in of.items() if wanted in labels), None)
        if kind is None:
            choices = ", ".join(label for labels in of.values() for label in labels)
            raise FileError(f"{path} has no intensities or amplitudes {wanted}; it has {choices or 'none'}")
        return ("I" if kind in "JK" else "F"), [wanted]
    if of["J"]:
        return "I", of["J"][:1]
    if of["K"]:
        return "I", of["K"][:2]
    what = {label: _amplitudes(mtz, label) for label in of["F"]}
    observed = [label for label in of["F"] if what[label] == "observed"]
    if observed:
        return "F", observed[:1]
    mates = [label for label in of["G"] if not _MODEL.match(label)]
    if mates:
        return "F", mates[:2]
    models = [label for label in of["F"] if what[label] == "model"]
    if models:
        return "F", models[:1]
    maps = [label for label in of["F"] if what[label] == "map"]
    if maps:
        warn(f"{path} has coefficients of maps only; {maps[0]} is taken for amplitudes, which it is only roughly")
        return "F", maps[:1]
    columns = ", ".join(mtz.column_labels())
    raise FileError(f"{path} has neither intensities nor amplitudes to compare with; its columns are {columns}")


def _amplitudes(mtz: gemmi.Mtz, label: str) -> str:
    """What a column of type F is: observed, model, map or difference (coefficients of such maps)."""
    if _DIFFERENCE.match(label):
        return "difference"
    if _MAP.match(label):
        return "map"
    if _MODEL.match(label):
        return "model"
    at = mtz.column_labels().index(label)
    phased = at + 1 < len(mtz.columns) and mtz.columns[at + 1].type == "P"
    return "map" if phased else "observed"


def _reference(
    hkl: NDArray[np.int32],
    kind: str,
    pairs: Sequence[tuple[Floats, Floats | None]],
    cell: _Cell,
    space_group: gemmi.SpaceGroup,
    label: str,
) -> Reference:
    """Mates averaged, amplitudes squared."""
    values, sigmas = [], []
    for value, sigma in pairs:
        error = np.full(len(value), np.nan) if sigma is None else sigma
        values.append(value * np.abs(value) if kind == "F" else value)
        sigmas.append(2.0 * np.abs(value) * error if kind == "F" else error)
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(finite, values, 0.0).sum(axis=0) / count
        error = np.sqrt(np.where(finite, np.square(sigmas), 0.0).sum(axis=0)) / count
    return Reference.averaged(hkl, mean, error, cell, space_group, label)


@reads_file
def read_reference_cif(path: str | Path, *, column: str | None = None) -> Reference:
    """Structure factors of an mmCIF file: measured intensities, else F^2 of measured amplitudes.

    Parameters
    ----------
    column : str, optional
        One of these by its item's name, such as intensity_meas.

    Raises
    ------
    FileError
        When it is missing, damaged, or has neither, or no cell or space group.
    """
    path = Path(path)
    if not path.is_file():
        raise FileError(f"{path} does not exist")
    try:
        blocks = gemmi.as_refln_blocks(gemmi.cif.read(str(path)))
    except (RuntimeError, ValueError, OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} is damaged or not an mmCIF file: {error}") from error
    for block in blocks:
        labels = block.column_labels()
        for kind, pairs in _CIF:
            there = [pair for pair in pairs if pair[0] in labels and column in (None, pair[0])]
            if not there:
                continue
            if block.spacegroup is None or not block.cell.is_crystal():
                raise FileError(f"{path} has no cell or no space group with its reflections")
            columns = [
                (
                    np.array(block.make_float_array(value), dtype=np.float64),
                    np.array(block.make_float_array(sigma), dtype=np.float64) if sigma in labels else None,
                )
                for value, sigma in there
            ]
            hkl = np.asarray(block.make_miller_array(), dtype=np.int32)
            label = " and ".join(value for value, _ in there)
            return _reference(hkl, kind, columns, tuple(block.cell.parameters), block.spacegroup, label)
    available = sorted({label for block in blocks for label in block.column_labels()})
    what = "measured intensities or amplitudes" + (f" {column}" if column else "")
    raise FileError(f"{path} has no {what}; it has {', '.join(available) or 'no reflections'}")


@reads_file
def read_reference_hkl(
    path: str | Path, *, cell: _Cell, space_group: gemmi.SpaceGroup, kind: str | None = None
) -> Reference:
    """A reflection list of CrystFEL (.hkl), or rows of h k l value sigma.

    Parameters
    ----------
    cell, space_group
        Which such files do not have: of the data.
    kind : "I" or "F", optional
        What the values of plain rows are; CrystFEL's say it.

    Raises
    ------
    FileError
        When it is missing, damaged, or neither.
    SettingError
        When plain rows come without a `kind`.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise unreadable(path, error) from error
    crystfel = bool(lines) and lines[0].startswith("CrystFEL reflection list")
    if kind not in (None, "I", "F"):
        raise SettingError(f"kind is {kind!r}, expected I or F")
    if not crystfel and kind is None:
        raise SettingError(
            f"{path} does not say what its values are: give I (intensities) or F (amplitudes), --reference-column"
        )
    rows: list[list[float]] = []
    for number, line in enumerate(lines, 1):
        words = line.split() if crystfel else row_words(line)
        if line.startswith("End of reflections"):
            break
        try:
            values: list[Any] = [float("nan") if word == "-" else float(word) for word in words]
        except ValueError:
            if rows:
                raise FileError(f"{path}, line {number}: {line.strip()[:60]!r} is no reflection") from None
            continue
        if not crystfel and len(values) >= 3 and not any(values[:3]):
            break  # the end of lists of SHELX; what follows is text
        if len(values) >= (6 if crystfel else 5):
            rows.append([*values[:4], values[5 if crystfel else 4]])
        elif values:
            raise FileError(f"{path}, line {number}: {line.strip()[:60]!r} is no reflection; is the file cut off?")
    if not rows:
        raise FileError(f"{path} has no reflections")
    table = np.array(rows)
    table = table[(table[:, :3] != 0.0).any(axis=1)]
    hkl = table[:, :3].astype(np.int32)
    kind = "I" if crystfel else str(kind)
    return _reference(hkl, kind, [(table[:, 3], table[:, 4])], cell, space_group, kind)
