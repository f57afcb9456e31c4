"""|q|^2 and sigma of reflections as MTZ, SHELX HKLF 4 or text.

`write_sfac` chooses by the suffix. All files are whole or not there. Reflections without |q|^2 (NaN) are missing values
in MTZ and text, and are left out of HKLF 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gemmi
from numpy.typing import ArrayLike

from crystint import __version__
from crystint.arrays import FileName
from crystint.cbc.merging.export_mtz import write_mtz
from crystint.cbc.merging.families import symmetry_group
from crystint.errors import SettingError
from crystint.io.outputs import atomic_path
from crystint.io.reflections.shelx import checked_columns, write_hklf4

__all__ = ["write_hklf4", "write_mtz", "write_sfac", "write_text"]


def write_sfac(path: FileName, merged: Mapping[str, ArrayLike], **options: Any) -> None:
    """Write merged or unmerged |q|^2 to .mtz, .hkl (SHELX HKLF 4) or .txt (also .dat, .asc).

    Parameters
    ----------
    path : path
    merged : mapping
        hkl int [n, 3]; sfac float [n], |q|^2; serr float [n], sigma; cnts int [n], streaks; optional batch int [n],
        which makes files unmerged.
    **options
        symmetry, cell, wavelength, history, overwrite: see `write_mtz`; those that a format does not hold are ignored.

    Raises
    ------
    SettingError
        For another suffix, or as the formats do.
    ShapeError, FileError
        As the formats do.

    Examples
    --------
    >>> from crystint import cbc
    >>> data = cbc.simulate_cbc(3, d_min=5.0, seed=1)
    >>> scaler, x = cbc.IntensityScaler.of(data.table, data.setup).merge_hkl("mmm").train(bandwidth=2e-3)
    >>> cbc.write_sfac("merged.mtz", scaler.merge_sfac(x), symmetry="mmm", cell=data.setup.cell)
    """
    formats: dict[str, Callable[..., Any]] = {
        ".mtz": write_mtz, ".hkl": write_hklf4, ".txt": write_text, ".dat": write_text, ".asc": write_text,
    }  # fmt: skip
    suffix = Path(path).suffix.lower()
    if suffix not in formats:
        raise SettingError(
            f"{path}: |q|^2 are written to .mtz, .hkl (SHELX HKLF 4) or .txt, not to {suffix or 'no suffix'}"
        )
    if suffix == ".hkl":
        options = {name: value for name, value in options.items() if name in ("overwrite", "scale")}
    formats[suffix](
        path, merged["hkl"], merged["sfac"], merged["serr"], merged["cnts"], batch=merged.get("batch"), **options
    )


def write_text(
    path: FileName,
    hkl: ArrayLike,
    intensity: ArrayLike,
    sigma: ArrayLike,
    count: ArrayLike,
    *,
    batch: ArrayLike | None = None,
    symmetry: gemmi.SpaceGroup | str | int | None = None,
    cell: Sequence[float] | gemmi.UnitCell | None = None,
    wavelength: float = 0.0,
    history: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write columns h k l I sigma N (and batch) with a header of lines that begin with #. Parameters as `write_mtz`."""
    rows, columns = checked_columns(hkl, intensity=intensity, sigma=sigma, count=count, batch=batch)
    group = symmetry_group(symmetry)
    head = [f"crystint {__version__}: |q|^2 from convergent-beam diffraction, {len(rows)} reflections"]
    head.append("symmetry: " + ("equal indices only" if group is None else f"that of {group.xhm()}"))
    if cell is not None:
        unit = cell.parameters if isinstance(cell, gemmi.UnitCell) else tuple(cell)
        head.append("cell: " + " ".join(f"{value:g}" for value in unit) + " angstrom, degrees")
    if wavelength:
        head.append(f"wavelength: {wavelength:g} angstrom")
    head += [*history, "I: |q|^2, counts where chi is 1; sigma: of it, the common scale taken as known; N: streaks"]
    names = f"{'h':>3}{'k':>5}{'l':>5}{'I':>15}{'sigma':>15}{'N':>7}" + (f"{'batch':>8}" if batch is not None else "")
    last = columns.get("batch")
    with atomic_path(path, overwrite) as temporary, open(temporary, "w", encoding="utf-8") as out:
        out.writelines(f"# {line}\n" for line in head)
        out.write(f"# {names}\n")
        for row, (h, k, l) in enumerate(rows.tolist()):  # noqa: E741
            tail = "" if last is None else f"{int(last[row]):8d}"
            value, error, n = (columns[name][row] for name in ("intensity", "sigma", "count"))
            out.write(f"{h:5d}{k:5d}{l:5d}{value:15.7g}{error:15.7g}{int(n):7d}{tail}\n")
