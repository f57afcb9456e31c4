"""The geometry of a sequence of files: what each tells, compared, and put together where it agrees."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError, warn
from crystint.model.partial_geometry import OPTIONS, PartialGeometry

__all__ = ["alike_files", "joined_geometry"]

_SAME_LENGTH = 1e-4
"""relative, of distances and pixel sizes"""
_SAME_PLACE = 0.1
"""px"""
_SAME_ANGLE = 1e-4
"""rad"""
_SAME_FACTOR = 0.01
"""of polarization"""
_SAME_WAVELENGTH = 1e-6
"""relative"""


def joined_geometry(
    parts: Sequence[PartialGeometry],
    files: Sequence[str],
    counts: Sequence[int],
    besides: Collection[str] = (),
    frames: NDArray[np.int64] | None = None,
) -> PartialGeometry:
    """What files tell together. Wavelengths may differ: then each frame has its own.

    Parameters
    ----------
    parts : PartialGeometry
        Of each file.
    files : str
        Their names, for messages.
    counts : int
        How many frames each has.
    besides : names of fields
        That do not matter, because they come from elsewhere: they may differ.
    frames : int64 [n], optional
        The frames that count, of all of the files; None = all.

    Raises
    ------
    GeometryError
        When two files differ in where the detector is, with the names and the values of both.

    Warns
    -----
    CrystintWarning
        When some files do not tell what others do.
    """
    together = parts[0]
    silent: dict[tuple[int, ...], list[str]] = {}
    for name in dict.fromkeys(name for part in parts for name in part.values if name not in besides):
        telling = [number for number, part in enumerate(parts) if name in part.values]
        first = telling[0]
        together = together.over(parts[first].only(name))
        if len(telling) < len(parts) and name != "beam_outside":
            others = tuple(sorted({*range(len(parts))} - {*telling}))
            silent.setdefault(others, []).append(name.replace("_", " "))
        for number in telling[1:] if name != "wavelength" else ():
            if not _alike(name, parts[first], parts[number]):
                raise GeometryError(_difference(name, first, number, parts, files))
    if any(not part.missing for part in parts):
        for others, names in silent.items():
            warn(
                f"{len(others)} of {len(parts)} files, {files[others[0]]} first, do not tell: {', '.join(names)}; what "
                "the others tell is used"
            )
    return together if "wavelength" in besides else _with_wavelengths(together, parts, counts, frames)


def alike_files(parts: Sequence[PartialGeometry], besides: Collection[str], most: int) -> list[int] | None:
    """Of each file the number of its group, from 0: files of one group place the detector alike.

    None when there are more than `most` groups.
    """
    firsts: list[PartialGeometry] = []
    groups = []
    for part in parts:
        same = (group for group, first in enumerate(firsts) if _alike_in_all(first, part, besides))
        groups.append(next(same, len(firsts)))
        if groups[-1] == len(firsts):
            firsts.append(part)
        if len(firsts) > most:
            return None
    return groups


def _alike_in_all(one: PartialGeometry, other: PartialGeometry, besides: Collection[str]) -> bool:
    shared = one.values.keys() & other.values.keys() - {"wavelength", *besides}
    return all(_alike(name, one, other) for name in shared)


def _alike(name: str, one: PartialGeometry, other: PartialGeometry) -> bool:
    a, b = one.values[name], other.values[name]
    if name == "panels":
        return a == b or (len(a) == len(b) and all(map(_alike_panels, a, b)))
    if name == "beam_outside":
        return True
    difference = np.abs(np.subtract(a, b, dtype=np.float64))
    match name:
        case "beam_center":
            return bool((difference <= _SAME_PLACE).all())
        case "rotation":
            return bool((difference <= _SAME_ANGLE).all())
        case "polarization":
            return bool((difference <= _SAME_FACTOR).all())
    return bool((difference <= _SAME_LENGTH * np.abs(a)).all())


def _alike_panels(one: Any, other: Any) -> bool:
    """Whether the corners of two panels are at the same places."""
    if (one.slow, one.fast) != (other.slow, other.fast):
        return False
    slow, fast = np.meshgrid(one.slow, one.fast)
    apart = np.linalg.norm(one.lab(slow, fast) - other.lab(slow, fast), axis=0)
    return bool(apart.max() <= _SAME_PLACE * np.linalg.norm(one.fast_vector))


def _difference(name: str, first: int, number: int, parts: Sequence[PartialGeometry], files: Sequence[str]) -> str:
    words = name.replace("_", " ")
    told = [f"{parts[each].values[name]} in {files[each]}" for each in (first, number)]
    if name == "panels":
        told = [files[first], files[number]]
    option = f"{OPTIONS[name]}, or " if name in OPTIONS else ""
    return (
        f"the files differ in {words}: {told[0]} and {told[1]}; work on them one after the other, or give one for all "
        f"with {option}a geometry file (-g)"
    )


def _with_wavelengths(
    together: PartialGeometry,
    parts: Sequence[PartialGeometry],
    counts: Sequence[int],
    frames: NDArray[np.int64] | None,
) -> PartialGeometry:
    """With a wavelength for each frame, where they differ."""
    each = [
        np.full(count, part.values.get("wavelength", np.nan)) if part.wavelengths is None else part.wavelengths
        for part, count in zip(parts, counts, strict=True)
    ]
    flat = np.concatenate(each)
    if frames is not None:
        flat = flat[frames]
    if np.isnan(flat).all():
        return together
    mean = float(np.nanmean(flat))
    flat = np.where(np.isnan(flat), mean, flat)
    if np.ptp(flat) <= _SAME_WAVELENGTH * mean:
        return together if frames is None else PartialGeometry({**together.values, "wavelength": mean}, together.places)
    return PartialGeometry({**together.values, "wavelength": mean}, together.places, flat)
