"""What a file is, in words and numbers: the work behind ``crystint info``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import CrystintError, FileError, GeometryError
from crystint.io.frames.sequence import Frames, open_frames
from crystint.io.peaks.files import read_peaks
from crystint.io.sparse.dense_file import missing_in
from crystint.io.sparse.open import open_sparse
from crystint.model.geometry import Geometry
from crystint.model.mask import unusable
from crystint.units import energy_of

__all__ = ["describe"]


def describe(path: str | PathLike[str], dataset: str | None = None) -> dict[str, Any]:
    """What is known of a file: frames, a sparse file, a peak list or a geometry.

    Returns
    -------
    dict
        JSON-able: name of a property to text, a number, or a dict of those.

    Raises
    ------
    FileError
        When the file is missing, damaged or of no known kind.
    """
    place = Path(path)
    if not place.is_file():
        raise FileError(f"{path}: no such file")
    size = {"size": place.stat().st_size}
    suffix = place.suffix.lower()
    if suffix in (".poni", ".geom"):
        return {"kind": "geometry", **size, **_geometry(Geometry.read(path, beam_outside=True))}
    if suffix == ".json" and Path(place.stem).suffix.lower() in (".refl", ".xds"):
        return {"kind": f"how {place.stem} was made", **size}
    if suffix == ".json":
        with suppress(CrystintError):
            return {"kind": "geometry", **size, **_geometry(Geometry.read(path, beam_outside=True))}
    if suffix in (".cxi", ".refl", ".xds", ".jsonl", ".json") and dataset is None:
        return {"kind": "peak list", **size, **_peaks(place)}
    if dataset is None and h5py.is_hdf5(place):
        for look in (_sparse, _peaks):
            try:
                found = look(place)
            except (CrystintError, OSError, KeyError):
                continue
            return {"kind": "sparse file" if look is _sparse else "peak list", **size, **found}
    with open_frames(path, dataset=dataset) as frames:
        return {"kind": "frames", **size, **_missing(missing_in(place)), **_frames(frames)}


def _frames(frames: Frames) -> dict[str, Any]:
    slow, fast = frames.shape
    found: dict[str, Any] = {"frames": len(frames), "shape": f"{slow} x {fast} (slow x fast)"}
    found["dtype"] = str(frames.dtype)
    if len(frames) and (inside := frames.source(0).dataset):
        found["dataset"] = inside
    try:
        geometry = frames.geometry
        found |= {"geometry": "none; give one with -g"} if geometry is None else _geometry(geometry)
    except GeometryError as error:
        found["geometry"] = f"unusable: {error}"
    mask = frames.mask
    found["mask"] = "none" if mask is None else _mask(mask)
    found["saturation"] = "not known" if frames.saturation is None else float(frames.saturation)
    if len(frames):
        frame = frames[0]
        bad = unusable(frame)
        found["frame 0"] = _counts(frame, bad if mask is None else bad | (mask != 0))
    return found


def _counts(frame: NDArray[Any], bad: NDArray[np.bool_]) -> dict[str, Any]:
    """Usable pixels of a frame and what they hold."""
    good = frame[~bad]
    found: dict[str, Any] = {"unusable": f"{int(bad.sum())} px ({100 * bad.mean():.3g} %)"}
    if good.size:
        found |= {"mean": f"{good.mean(dtype=np.float64):.4g}", "median": f"{np.median(good):g}"}
        found["maximum"] = f"{good.max():g}"
    return found


def _mask(mask: NDArray[np.uint32]) -> str:
    """Number of masked pixels, and of those with each bit."""
    bits = {bit: int(np.count_nonzero(mask & np.uint32(1 << bit))) for bit in range(32)}
    used = ", ".join(f"bit {bit}: {count}" for bit, count in bits.items() if count)
    masked = int(np.count_nonzero(mask))
    return f"{masked} px ({100 * masked / mask.size:.3g} %)" + (f", {used}" if used else "")


def _geometry(geometry: Geometry) -> dict[str, Any]:
    """All fields of a geometry, and the resolution at border and corner."""
    slow_um, fast_um = (1e6 * size for size in geometry.pixel_size)
    found: dict[str, Any] = {
        "detector": f"{geometry.shape[0]} x {geometry.shape[1]} px of {slow_um:g} x {fast_um:g} um",
        "distance": f"{geometry.distance:g} m",
        "beam": f"{geometry.beam_center[0]:.2f}, {geometry.beam_center[1]:.2f} px (slow, fast)",
    }
    if any(geometry.rotation):
        found["tilt"] = ", ".join(f"{angle:g}" for angle in geometry.rotation) + " rad (rot1, rot2, rot3)"
        found["direct beam"] = "{:.2f}, {:.2f} px (slow, fast)".format(*geometry.direct_beam)
    if geometry.panels is not None:
        found["panels"] = len(geometry.panels)
    wavelength = geometry.wavelength
    if wavelength is None:
        found["wavelength"] = "not known"
    else:
        found["wavelength"] = f"{wavelength:g} angstrom ({energy_of(wavelength):.0f} eV)"
        found["resolution"] = _resolution(geometry)
    polarization = geometry.polarization
    found["polarization"] = "not known" if polarization is None else polarization
    return found


def _resolution(geometry: Geometry) -> str:
    """Finest spacing on the whole frame, and on the largest whole ring round the beam."""
    spacing = geometry.d()
    border = np.concatenate([spacing[0], spacing[-1], spacing[:, 0], spacing[:, -1]])
    finest = float(np.nanmin(spacing))
    if not np.isfinite(border).any():
        return f"{finest:.3g} angstrom"
    near = float(np.max(border[np.isfinite(border)]))
    return f"{near:.3g} angstrom at the nearest border, {finest:.3g} at the farthest"


def _sparse(path: Path) -> dict[str, Any]:
    with open_sparse(path) as file:
        found: dict[str, Any] = {"frames": len(file), "shape": "{} x {} (slow x fast)".format(*file.shape)}
        found |= {
            "dtype": str(file.dtype),
            "form": "compact" if file.compact else "plain",
            "rings": file.rings.rings,
        }
        made = file.provenance or {}
        if "program" in made:
            found["made by"] = f"{made['program']} {made.get('version', '')}".strip()
        if made.get("inputs"):
            found["from"] = ", ".join(made["inputs"][:3]) + (", ..." if len(made["inputs"]) > 3 else "")
        if file.geometry is not None:
            found |= _geometry(file.geometry)
        found["mask"] = _mask(file.rings.mask)
        there = next((number for number in range(len(file)) if number not in file.missing), None)
        found |= _missing(file.missing)
        if there is not None:
            first = file[there]
            found[f"frame {there}"] = {
                "pixels kept": len(first.index),
                "error model": first.error_model,
                "snr": first.snr,
            }
        return found


def _missing(numbers: Sequence[int]) -> dict[str, Any]:
    """Frames that could not be read when the file was made; nothing when there are none."""
    if not len(numbers):
        return {}
    some = ", ".join(map(str, numbers[:10])) + ", ..." * (len(numbers) > 10)
    return {"missing": f"{len(numbers)} frame{'s' * (len(numbers) > 1)}: {some}"}


def _peaks(path: Path) -> dict[str, Any]:
    peaks = read_peaks(path)
    found: dict[str, Any] = {
        "peaks": len(peaks),
        "frames": len(np.unique(peaks["frame"])) if len(peaks) else 0,
    }
    spacing = peaks["d"][np.isfinite(peaks["d"]) & (peaks["d"] > 0)]
    if len(spacing):
        found["resolution"] = f"{spacing.max():.3g} to {spacing.min():.3g} angstrom"
    return found
