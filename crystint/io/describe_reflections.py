"""What is in files of reflections, indexed images and structure factors: for ``crystint info``."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.opened_file import OpenedFile
from crystint.io.reflections.dials_experiments import read_expt
from crystint.io.reflections.dials_table import read_table
from crystint.io.reflections.mtz_in import is_unmerged, open_mtz
from crystint.io.reflections.shelx import row_words
from crystint.model.experiment import Experiment

__all__ = [
    "cbc_list",
    "crystal",
    "experiments",
    "hkl",
    "images",
    "mtz",
    "prediction",
    "resolution",
    "rows_of",
    "stream",
    "structure_factors",
    "table",
]

_INTEGRATED, _INDEXED = (1 << 8) | (1 << 9), 1 << 2
"""Flags of DIALS's reflection tables."""


def crystal(cell: Any, space_group: gemmi.SpaceGroup | None) -> dict[str, str]:
    """Cell and space group as text."""
    parameters = cell.parameters if isinstance(cell, gemmi.UnitCell) else cell
    about = {"cell": " ".join(f"{value:.5g}" for value in parameters) + " angstrom, degrees"}
    return about | {"space group": "not known" if space_group is None else space_group.xhm()}


def resolution(spacing: NDArray[Any]) -> dict[str, str]:
    """Coarsest and finest of spacings, angstrom."""
    usable = spacing[np.isfinite(spacing) & (spacing > 0)]
    return {"resolution": f"{usable.max():.3g} to {usable.min():.3g} angstrom"} if usable.size else {}


def images(experiment: Experiment) -> dict[str, Any]:
    """Images, crystal, wavelengths, detectors and files of an experiment."""
    about: dict[str, Any] = {"images": len(experiment.setting)}
    about |= crystal(experiment.cell, experiment.space_group)
    if len(experiment.setting):
        low, high = float(np.min(experiment.wavelength)), float(np.max(experiment.wavelength))
        about["wavelength"] = f"{low:.6g} angstrom" if high - low < 1e-6 * low else f"{low:.6g} to {high:.6g} angstrom"
    about["detectors"] = ", ".join(
        f"{detector.shape[0]} x {detector.shape[1]} px, {len(detector.panels)} panel{'s' * (len(detector.panels) > 1)}"
        for detector in experiment.detectors[:3]
    )
    files = dict.fromkeys(source.partition("//")[0] for source in experiment.source if source)
    if files:
        about["frames of"] = ", ".join(list(files)[:3]) + ", ..." * (len(files) > 3)
    return about | {"scan": "rotation" if experiment.sweep is not None else "stills"}


def experiments(file: OpenedFile) -> dict[str, Any]:
    """Of a DIALS .expt."""
    return images(read_expt(file.path))


def table(file: OpenedFile) -> dict[str, Any]:
    """Rows of a reflection table of DIALS, and how many of them are indexed and integrated."""
    content = read_table(file.path)
    about: dict[str, Any] = {"reflections": content.rows}
    if "flags" in content:
        flags = content["flags"].astype(np.int64)
        about |= {
            "indexed": int(np.count_nonzero(flags & _INDEXED)),
            "integrated": int(np.count_nonzero(flags & _INTEGRATED)),
        }
    if "id" in content:
        about["experiments"] = len(np.unique(content["id"][content["id"] >= 0]))
    if "d" in content:
        about |= resolution(content["d"])
    return about | {"columns": ", ".join(sorted(content.columns))}


def stream(file: OpenedFile) -> dict[str, Any]:
    """Crystals of a CrystFEL stream."""
    from crystint.io.reflections.crystfel_stream import read_stream

    content = read_stream(file.path)
    about: dict[str, Any] = {"reflections": len(content.observations), **images(content.experiment)}
    return about | resolution(content.observations.d)


def mtz(file: OpenedFile) -> dict[str, Any]:
    """Reflections, crystal and columns of an MTZ file."""
    content = open_mtz(file.path)
    about: dict[str, Any] = {"observations" if is_unmerged(content) else "reflections": content.nreflections}
    if content.batches:
        about["images"] = len(content.batches)
    about |= crystal(content.cell, content.spacegroup)
    wavelengths = sorted({f"{dataset.wavelength:.6g}" for dataset in content.datasets if dataset.wavelength > 0})
    if wavelengths:
        about["wavelength"] = ", ".join(wavelengths) + " angstrom"
    if content.nreflections:
        about |= resolution(content.make_d_array())
    about["columns"] = ", ".join(f"{column.label} ({column.type})" for column in content.columns)
    return about | {"history": content.history[0].strip()} if content.history else about


def structure_factors(file: OpenedFile) -> dict[str, Any]:
    """Blocks of reflections of an mmCIF file."""
    try:
        blocks = [block for block in gemmi.as_refln_blocks(gemmi.cif.read(str(file.path))) if block.column_labels()]
    except (RuntimeError, ValueError, OSError, UnicodeDecodeError) as error:
        raise FileError(f"{file.path} is damaged or not an mmCIF file: {error}") from error
    if not blocks:
        raise FileError(f"{file.path} has no reflections")
    first = blocks[0]
    about: dict[str, Any] = {"blocks": len(blocks), "reflections": len(first.make_miller_array())}
    if first.cell.is_crystal():
        about |= crystal(first.cell, first.spacegroup) | resolution(np.asarray(first.make_d_array()))
    return about | {"columns": ", ".join(first.column_labels())}


def hkl(file: OpenedFile) -> dict[str, Any]:
    """Rows of a list of reflections."""
    indices = rows_of(file)[:, :3]
    reach = ", ".join(f"{name} {int(low)} to {int(high)}" for name, low, high in zip("hkl", *_limits(indices)))
    return {"reflections": len(indices), "indices": reach}


def cbc_list(file: OpenedFile) -> dict[str, Any]:
    """Rows of the list, and what its head says."""
    head = [line[2:].strip() for line in file.text.splitlines() if line.startswith("# ")][1:3]
    return hkl(file) | dict(line.split(": ", 1) for line in head if ": " in line)


def _limits(indices: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return (indices.min(axis=0), indices.max(axis=0)) if len(indices) else (np.zeros(3), np.zeros(3))


def rows_of(file: OpenedFile) -> NDArray[np.float64]:
    """float64 [n, 5]: h, k, l, value and sigma of the rows of a text; NaN = no sigma.

    Raises
    ------
    FileError
        When there are none.
    """
    rows = []
    crystfel = file.text.startswith("CrystFEL")
    for line in file.path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("End of reflections"):
            break
        if crystfel:
            words = line.split()
            words = [*words[:4], *words[5:6]]
        else:
            words = row_words(line)[:5]
        try:
            values = [float("nan") if word == "-" else float(word) for word in words]
        except ValueError:
            continue
        if len(values) >= 4 and any(values[:3]):
            rows.append([*values, float("nan")][:5])
    if not rows:
        raise FileError(f"{file.path} has no reflections")
    return np.array(rows)


def prediction(file: OpenedFile) -> dict[str, Any]:
    """Spots and images of a list of predicted spots."""
    lines = file.path.read_text(encoding="utf-8").splitlines()[1:]
    names = {line.split(",", 2)[1] for line in lines if line.count(",") > 2}
    return {"spots": len(lines), "images": len(names)}
