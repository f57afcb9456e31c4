"""Peak lists to and from files; the format follows from the name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import DTypeError, FileError, SettingError, warn
from crystint.io.frame_table import RESULTS, json_table
from crystint.io.frames.frame_sources import FrameSources
from crystint.io.guard import reads_file
from crystint.io.hdf5.provenance import provenance as made_by_program
from crystint.io.hdf5.provenance import provenance_in
from crystint.io.hdf5.scan_group import read_scan
from crystint.io.json_lists import write_json
from crystint.io.kinds import opened_kind, unexpected
from crystint.io.opened_file import OpenedFile
from crystint.io.outputs import atomic_path
from crystint.io.peaks.cxi import cxi_peaks, write_cxi
from crystint.io.peaks.image_numbers import image_numbers
from crystint.io.peaks.nxdata import hdf5_peaks, hdf5_spots, write_hdf5
from crystint.io.peaks.refl import read_refl, refl_spots, write_refl
from crystint.io.peaks.text import (
    json_spots,
    read_json_lines,
    read_spot_xds,
    write_json_lines,
    write_spot_xds,
    xds_spots,
)
from crystint.io.recognise import peak_list as form_of
from crystint.io.recognise import reflections, sparse
from crystint.io.sparse.open import sparse_in
from crystint.model.frame_table import FrameTable
from crystint.model.geometry import Geometry
from crystint.model.peaks import PEAK_DTYPE, PeakList
from crystint.model.scan import Scan
from crystint.model.spots import SPOT_DTYPE, SpotList

__all__ = [
    "geometry_told",
    "notes_of",
    "peak_format",
    "peaks_in",
    "read_peaks",
    "read_spots",
    "rows_in",
    "scan_in",
    "shape_in",
    "spots_in",
    "write_peaks",
]

_FORMATS = {
    ".cxi": "cxi",
    ".refl": "refl",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".nxs": "hdf5",
    ".json": "json",
    ".jsonl": "json",
    ".xds": "xds",
}


def peak_format(path: str | PathLike[str]) -> str:
    """ "cxi", "refl", "hdf5", "json" or "xds", by the suffix of the name.

    Raises
    ------
    SettingError
        For any other suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise SettingError(
            f"{path}: no peak list format has the suffix {suffix!r}; "
            "known are .cxi, .refl, .h5 (.hdf5, .nxs), .json (.jsonl) and .XDS (SPOT.XDS)"
        )
    return _FORMATS[suffix]


def _sizes(
    peaks: PeakList,
    shape: tuple[int, int] | None,
    n_frames: int | None,
    geometry: Geometry | None,
    frames_per_file: Sequence[Any] | None,
) -> tuple[tuple[int, int], int]:
    """Shape and number of the frames, where they are not given: of the geometry, and of the peaks."""
    if shape is None:
        if geometry is None:
            raise SettingError("the shape of the frames is not known: give shape=(slow, fast), or geometry")
        shape = geometry.shape
    if n_frames is None and frames_per_file is not None:
        n_frames = len(frames_per_file)
    if n_frames is None:
        n_frames = int(peaks["frame"].max()) + 1 if len(peaks) and getattr(peaks, "dtype", None) == PEAK_DTYPE else 1
        if n_frames > 1:
            warn(f"n_frames is taken as {n_frames}, by the last frame with a peak; give n_frames where there are more")
    return shape, n_frames


def write_peaks(
    path: str | PathLike[str],
    peaks: PeakList,
    *,
    shape: tuple[int, int] | None = None,
    n_frames: int | None = None,
    geometry: Geometry | None = None,
    frames_per_file: Sequence[Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    missing: Sequence[int] = (),
    results: FrameTable | None = None,
    overwrite: bool = False,
    scan: Scan | None = None,
    spots: SpotList | None = None,
    numbers: NDArray[np.int64] | None = None,
) -> None:
    """Write a peak list; the suffix says how: .cxi, .refl, .h5, .json (JSON lines) or .XDS.

    Formats without room for it (.refl, .XDS) get a second file ``<name>.json`` with the provenance, the
    geometry and the names of the input's frames.

    Parameters
    ----------
    path : path
    peaks : PeakList [n]
        Sorted by frame; positions in px from the outer corner. Each format gets its own half-pixel.
    shape : (slow, fast), optional
        Of the frames; None = that of the geometry.
    n_frames : int, optional
        Frames of the input; those without peaks are rows too. None = to the last frame with a peak, with a warning
        where there are several.
    geometry : Geometry, optional
    frames_per_file : sequence of FrameSource, optional
        Where frame i came from; `n_frames` of them.
    provenance : mapping, optional
        From `crystint.provenance`; None = the program that runs.
    missing : sequence of int, optional
        Frames of the input that could not be read. They are rows without peaks; which they are is recorded beside
        them, or with the provenance.
    results : FrameTable, optional
        A row for each of the `n_frames` frames, which `read_frame_table` reads again.
    overwrite : bool
        Replace an existing file.
    scan : Scan, optional
        Of the frames of the input; those beyond `n_frames` are left out. With one that rotates, all rows of a .refl are
        of one experiment, ``id`` 0; else each frame is one.
    spots : SpotList, optional
        What the peaks of a rotation scan were joined to (`join_peaks`). They stand in .refl and .XDS in place of the
        peaks, in .h5 and .json beside them; CXI is a list by frame and goes without them.
    numbers : int64 [n_frames], optional
        Of each frame in the sequence that it was selected from, such as `Frames.numbers`: .refl and .XDS count frames
        as DIALS and XDS do, from the names of files of a series, and else by these. None = all of it is here.

    Raises
    ------
    FileError
        When the file exists or cannot be written.
    SettingError
        For an unknown suffix, a peak in a frame that is not there, or a wrong number of sources.
    DTypeError
        When `peaks` is not a peak list.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> peaks = separator.peaks(data[0])
    >>> crystint.write_peaks("p.h5", peaks, shape=data.shape, n_frames=1, geometry=data.geometry, provenance={})
    >>> len(crystint.read_peaks("p.h5")) == len(peaks)
    True
    """
    path, kind = Path(path), peak_format(path)
    shape, n_frames = _sizes(peaks, shape, n_frames, geometry, frames_per_file)
    provenance = made_by_program({}, []) if provenance is None else provenance
    sources = None if frames_per_file is None else FrameSources.of(frames_per_file)
    peaks = _checked(peaks, n_frames, sources)
    if scan is not None:
        if len(scan) < n_frames:
            raise SettingError(f"the scan has {len(scan)} frames, the input {n_frames}")
        scan = scan.select(range(n_frames))
    if results is not None and len(results) != n_frames:
        raise SettingError(f"{len(results)} rows of results were given for {n_frames} frames")
    _check_spots(spots, n_frames)
    if kind in ("refl", "xds"):
        notes = {
            "provenance": dict(provenance),
            "missing": list(missing),
            "n_frames": n_frames,
            "shape": list(shape),
            "geometry": None if geometry is None else geometry.to_dict(),
            "scan": None if scan is None else scan.to_dict(),
            "frames": None if sources is None else ([[each.file, each.index]] for each in sources),
            **({} if results is None else {RESULTS: json_table(results)}),
        }
        images = image_numbers(n_frames, sources, numbers)
        with atomic_path(path.with_name(path.name + ".json"), overwrite) as beside:
            with beside.open("w", encoding="utf-8") as file:
                write_json(file, notes)
            if kind == "refl":
                turns = spots is not None or (scan is not None and scan.rotates)
                write_refl(path, peaks, spots, shape=shape, images=images, one_scan=turns, overwrite=overwrite)
            else:
                write_spot_xds(path, peaks, spots, images=images, overwrite=overwrite)
        return
    write = {"cxi": write_cxi, "hdf5": write_hdf5, "json": write_json_lines}[kind]
    more: dict[str, Any] = {} if kind == "cxi" else {"spots": spots}
    write(
        path,
        peaks,
        shape=shape,
        n_frames=n_frames,
        geometry=geometry,
        sources=sources,
        provenance=provenance,
        missing=missing,
        results=results,
        overwrite=overwrite,
        scan=scan,
        **more,
    )


def _checked(peaks: PeakList, n_frames: int, sources: Sequence[Any] | None) -> PeakList:
    """`peaks` sorted by frame, or the reason why it cannot be written."""
    if peaks.dtype != PEAK_DTYPE:
        raise DTypeError(f"the peak list is {peaks.dtype}, expected the columns of PEAK_DTYPE")
    if len(peaks) and not 0 <= peaks["frame"].min() <= peaks["frame"].max() < n_frames:
        raise SettingError(
            f"the peak list has frames {peaks['frame'].min()} to {peaks['frame'].max()}, "
            f"but the input has {n_frames}, numbered from 0"
        )
    if sources is not None and len(sources) != n_frames:
        raise SettingError(f"{len(sources)} frame sources were given for {n_frames} frames")
    in_order = bool((np.diff(peaks["frame"]) >= 0).all())
    return peaks if in_order else peaks[np.argsort(peaks["frame"], kind="stable")]


def _check_spots(spots: SpotList | None, n_frames: int) -> None:
    """Raise when joined spots cannot be written."""
    if spots is None:
        return
    if spots.dtype != SPOT_DTYPE:
        raise DTypeError(f"the list of spots is {spots.dtype}, expected the columns of SPOT_DTYPE")
    if len(spots) and not 0 <= spots["frame0"].min() <= spots["frame1"].max() <= n_frames:
        raise SettingError(
            f"the list of spots has frames {spots['frame0'].min()} to {spots['frame1'].max() - 1}, "
            f"but the input has {n_frames}, numbered from 0"
        )


@reads_file
def read_peaks(path: str | PathLike[str]) -> PeakList:
    """Read a peak list of any format that `write_peaks` writes, or that of a sparse file; what the format does not hold
    is 0, or NaN for ``d``.

    The content of the file says the format, whatever its name.

    Parameters
    ----------
    path : path

    Returns
    -------
    PeakList [n]

    Raises
    ------
    FileError
        When the file is missing, damaged or holds no peak list; the message says what it is instead.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> crystint.write_peaks("p.cxi", separator.peaks(data[0]), shape=(100, 110), n_frames=1, provenance={})
    >>> len(crystint.read_peaks("p.cxi")) == len(separator.peaks(data[0]))
    True
    """
    with OpenedFile(path) as file:
        return peaks_in(file)


@reads_file
def peaks_in(file: OpenedFile) -> PeakList:
    """As `read_peaks`, of a file that is open."""
    path = file.path
    form = form_of(file)
    if file.hdf5 is not None:
        if form is not None:
            return cxi_peaks(file.hdf5, path) if form == "CXI" else hdf5_peaks(file.hdf5, path)
        if sparse(file):
            opened = sparse_in(file)
            if opened.has_peaks:
                return opened.peaks
            raise FileError(f"{path} is a sparse file without peaks: crystint sparsify stores them with --peaks")
        raise unexpected(file, "peak list", f"{path} holds no peak list: neither /entry/peaks nor /entry_1/result_1")
    if form == "JSON lines":
        return read_json_lines(path)
    if form == "SPOT.XDS":
        return read_spot_xds(path)
    if form is not None or reflections(file):
        return read_refl(path)
    recognised = opened_kind(file)
    if recognised is None and file.suffix in _TEXT:
        return _TEXT[file.suffix](path)  # says which line is damaged
    raise unexpected(file, "peak list", f"{path} holds no peak list; crystint reads {', '.join(_FORMATS)}")


@reads_file
def read_spots(path: str | PathLike[str]) -> SpotList:
    """Read the spots that the peaks of a rotation scan were joined to: of crystint, of dials.find_spots or of COLSPOT.

    What the format does not hold is 0, or NaN for ``d``, ``significance`` and the standard deviations.

    Parameters
    ----------
    path : path
        A .refl, SPOT.XDS, .h5 or .json file.

    Returns
    -------
    SpotList [n]
        Its frames are those of the sequence, from 0.

    Raises
    ------
    FileError
        When the file is missing, damaged or holds no joined spots; the message says what it is instead.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=2.0, peaks=6, intensity=900.0, dtype="uint16", seed=1)
    >>> peaks = crystint.Separator(data.geometry, data.mask, rings=30).peaks(data[0])
    >>> spots = crystint.join_peaks(peaks)
    >>> crystint.write_peaks("p.refl", peaks, shape=data.shape, n_frames=1, spots=spots)
    >>> crystint.read_spots("p.refl")["z"].tolist() == spots["z"].tolist()
    True
    """
    with OpenedFile(path) as file:
        spots = spots_in(file)
        if spots is None:
            peaks_in(file)  # says so when it is something else altogether
            raise FileError(
                f"{file.path} lists the peaks of each frame, which are not joined to spots: read_peaks reads them, "
                "join_peaks joins them, and crystint peaks --join writes such files"
            )
        return spots


@reads_file
def spots_in(file: OpenedFile) -> SpotList | None:
    """As `read_spots`, of a file that is open; None = its peaks are not joined."""
    form = form_of(file)
    if file.hdf5 is not None:
        return hdf5_spots(file.hdf5) if form == "HDF5" else None
    if form == "JSON lines":
        return json_spots(file.path)
    if form == "SPOT.XDS":
        return xds_spots(file.path)
    return refl_spots(file.path) if form is not None or reflections(file) else None


def rows_in(file: OpenedFile) -> tuple[int | None, list[int]]:
    """How many frames a peak list is of, those without peaks too, and which of them could not be read.

    The number is None where nothing tells it: formats that list peaks alone, without crystint's notes beside them.
    """
    if file.hdf5 is not None:
        for place, name, more in _ROWS:
            group = file.hdf5.get(place)
            if isinstance(group, h5py.Group) and isinstance(group.get(name), h5py.Dataset):
                missing = group["missing"][()].tolist() if "missing" in group else []
                return len(group[name]) - more, missing
        return None, []
    if form_of(file) == "JSON lines":
        lines = [json.loads(line) for line in file.path.read_text(encoding="utf-8").splitlines() if line.strip()]
        lines = [line for line in lines if "frame" in line]
        return len(lines), [line["frame"] for line in lines if line.get("missing")]
    try:
        notes = notes_of(file)
        return int(notes["n_frames"]), list(notes.get("missing") or ())
    except (ValueError, KeyError, TypeError):
        return None, []


def notes_of(file: OpenedFile) -> dict[str, Any]:
    """What a peak list that is no HDF5 tells beside the peaks: JSON lines in the first, others in the file of notes."""
    lines = form_of(file) == "JSON lines"
    notes = file.path if lines else file.path.with_name(file.path.name + ".json")
    try:
        with notes.open(encoding="utf-8") as text:
            values = json.loads(text.readline() if lines else text.read())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def geometry_told(file: OpenedFile) -> Geometry | None:
    """Where the detector of a peak list is, as the program that wrote it noted; None where it did not."""
    if file.hdf5 is None:
        values = notes_of(file).get("geometry")
    else:
        values = (provenance_in(file.hdf5).get("settings") or {}).get("geometry_used")
    return Geometry.from_dict(values) if isinstance(values, dict) else None


def scan_in(file: OpenedFile) -> Scan | None:
    """How the crystal was turned and exposed in the frames of a peak list; None where that is not known."""
    if file.hdf5 is not None:
        if sparse(file):
            return sparse_in(file).scan
        groups = [file.hdf5.get(place) for place in ("entry_1", "entry")]
        return next((scan for group in groups if isinstance(group, h5py.Group) and (scan := read_scan(group))), None)
    stored = notes_of(file).get("scan")
    return Scan.from_dict(stored) if isinstance(stored, dict) else None


def shape_in(file: OpenedFile) -> tuple[int, int] | None:
    """(slow, fast) of the frames of a peak list; None where nothing tells it."""
    shape: Any = None
    if file.hdf5 is not None:
        if sparse(file):
            with sparse_in(file) as opened:
                return opened.shape
        for place in ("entry_1/result_1", "entry/peaks"):
            if place in file.hdf5:
                shape = file.hdf5[place].attrs.get("frame_shape")
        if shape is None:
            settings = provenance_in(file.hdf5).get("settings") or {}
            shape = (settings.get("geometry_used") or {}).get("shape")
    else:
        shape = notes_of(file).get("shape")
    try:
        slow, fast = shape
        return int(slow), int(fast)
    except (TypeError, ValueError):
        return None


_ROWS = (("entry_1/result_1", "nPeaks", 0), ("entry/peaks", "frame_ptr", 1), ("entry_0000/peaks", "nPeaks", 0))
"""Where HDF5 files count their frames, and how many entries more than these there are."""
_TEXT = {".json": read_json_lines, ".jsonl": read_json_lines, ".xds": read_spot_xds, ".refl": read_refl}
"""Readers of damaged files, by suffix."""
