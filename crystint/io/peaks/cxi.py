"""Peak lists as CXI files in the layout of Cheetah, which CrystFEL reads with ``--peaks=cxi``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from crystint.errors import FileError
from crystint.io.frame_table import put_frame_table
from crystint.io.frames.frame_sources import FrameSources
from crystint.io.hdf5.files import create_hdf5, group, open_hdf5, process, put
from crystint.io.hdf5.scan_group import write_scan
from crystint.io.names import near
from crystint.io.outputs import utf8
from crystint.io.peaks.nxdata import MEANING
from crystint.io.peaks.tables import ROWS, WIDE, peaks_of_tables, put_rows
from crystint.model.frame_table import FrameTable
from crystint.model.geometry import Geometry
from crystint.model.peaks import PeakList
from crystint.model.scan import Scan
from crystint.units import energy_of

__all__ = ["cxi_peaks", "write_cxi"]

CONVENTION = "position of a pixel's centre is its index: the centre of the first pixel is (0, 0)"

_COLUMNS: dict[str, tuple[str, str]] = {
    "peakXPosRaw": ("fast", "pixel"),
    "peakYPosRaw": ("slow", "pixel"),
    "peakTotalIntensity": ("intensity", "count"),
    "peakSNR": ("snr", ""),
    "peakSignificance": ("significance", ""),
    "peakSigma": ("sigma", "count"),
    "peakNPixels": ("npix", ""),
    "peakMaximumValue": ("maximum", "count"),
    "peakBackground": ("background", "count"),
    "peakResolution": ("d", "angstrom"),
    "peakFlags": ("flags", ""),
}
_JOULE_PER_EV = 1.602176634e-19


def write_cxi(
    path: Path,
    peaks: PeakList,
    *,
    shape: tuple[int, int],
    n_frames: int,
    geometry: Geometry | None,
    sources: FrameSources | None,
    provenance: Mapping[str, Any],
    missing: Sequence[int] = (),
    results: FrameTable | None = None,
    overwrite: bool,
    scan: Scan | None = None,
) -> None:
    """One row per frame of the input, frames without peaks too; positions lowered by half a pixel.

    ``/entry_1/result_1``: nPeaks int32 [frames]; the rest float32 [frames, most peaks in a frame], zeros
    after the last peak. ``/entry_1/data_1/data`` shows the frames where they are, when `sources` are HDF5
    files. ``missing`` int64: the frames that could not be read, whose rows are empty. Of the tables those chunks alone
    are stored that hold peaks.
    """
    with create_hdf5(path, overwrite, "crystint", checksums=True) as file:
        put(file, "cxi_version", np.int32(160))
        file.attrs["default"] = "entry_1"
        entry = group(file, "entry_1", "NXentry", default="result_1")
        result = group(entry, "result_1", "NXdata", signal="nPeaks", convention=CONVENTION)
        result.attrs["frame_shape"] = np.array(shape, dtype=np.int64)
        _results(result, peaks, n_frames)
        if missing:
            put(result, "missing", np.array(missing, dtype=np.int64))
        _instrument(group(entry, "instrument_1", "NXinstrument"), geometry)
        if sources is not None:
            _data(group(entry, "data_1", "NXdata"), path, sources, shape)
        if scan is not None:
            write_scan(entry, scan)
        if results is not None:
            put_frame_table(entry, results)
        process(entry, "process_1", provenance, provenance)


def _results(result: h5py.Group, peaks: PeakList, n_frames: int) -> None:
    counts = np.bincount(peaks["frame"], minlength=n_frames).astype(np.int32)
    first = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    width = max(1, int(counts.max(initial=0)))
    put(result, "nPeaks", counts)
    for name, (column, unit) in _COLUMNS.items():
        table = result.create_dataset(
            name,
            shape=(n_frames, width),
            dtype=np.float32,
            chunks=(max(1, min(n_frames, ROWS)), min(width, WIDE)),
            compression="gzip",
            shuffle=True,
        )
        table.attrs["units"] = unit
        if column in MEANING:
            table.attrs["meaning"] = MEANING[column]
        if column in ("slow", "fast"):
            table.attrs["convention"] = CONVENTION
        shift = 0.5 if column in ("slow", "fast") else 0.0
        for start in range(0, n_frames, ROWS):
            some = slice(start, min(start + ROWS, n_frames))
            put_rows(table, start, counts[some], peaks[column][first[start] : first[some.stop]] - shift)


def _instrument(instrument: h5py.Group, geometry: Geometry | None) -> None:
    detector = group(instrument, "detector_1", "NXdetector")
    if geometry is None:
        return
    put(detector, "distance", geometry.distance, "m")
    put(detector, "x_pixel_size", geometry.pixel_size[1], "m")
    put(detector, "y_pixel_size", geometry.pixel_size[0], "m")
    slow, fast = geometry.beam_center
    corner = "pixels from the outer corner of the first pixel"
    put(detector, "beam_center_x", fast, "pixel", convention=corner)
    put(detector, "beam_center_y", slow, "pixel", convention=corner)
    if geometry.wavelength is not None:
        source = group(instrument, "source_1", "NXsource")
        energy = energy_of(geometry.wavelength)
        put(source, "energy", energy * _JOULE_PER_EV, "J")
        put(source, "photon_energy", energy, "eV")
        put(source, "wavelength", geometry.wavelength, "angstrom")


def _data(data: h5py.Group, path: Path, sources: FrameSources, shape: tuple[int, int]) -> None:
    """A virtual data set over the frames of the input, and their names."""
    names = np.array([utf8(name) for name, _ in sources.places], dtype=h5py.string_dtype())
    put(data, "source_file", names[sources.place])
    put(data, "source_index", sources.number)
    places = [(name, dataset) for name, dataset in sources.places if dataset is not None]
    if not places or len(places) < len(sources.places):
        return
    stored = {place: _stored(*place) for place in places}
    dtype = next((about[1] for about in stored.values() if about is not None), None)
    if dtype is None:
        return  # frames that are not plain HDF5: the names above have to do
    layout = h5py.VirtualLayout(shape=(len(sources), *shape), dtype=dtype)
    for start, stop in _runs(sources):
        (name, dataset), index = places[sources.place[start]], int(sources.number[start])
        about = stored[name, dataset]
        if about is None:
            continue  # frames of a file that is not there: a hole
        source = h5py.VirtualSource(near(name, path), dataset, shape=about[0])
        if len(about[0]) <= 3:
            layout[start:stop] = source if len(about[0]) == 2 else source[index : index + stop - start]
            continue
        for number in range(start, stop):
            layout[number] = source[np.unravel_index(index + number - start, about[0][:-2])]
    data.create_virtual_dataset("data", layout)
    data.attrs["signal"] = "data"


def _stored(name: str, dataset: str) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
    """Shape and dtype of a data set; None where it cannot be opened."""
    try:
        with open_hdf5(name) as file:
            return file[dataset].shape, file[dataset].dtype
    except (OSError, KeyError, RuntimeError):
        return None


def _runs(sources: FrameSources) -> Iterator[tuple[int, int]]:
    """First and last + 1 of the frames that follow one another in one data set."""
    follows = (np.diff(sources.place) == 0) & (np.diff(sources.number) == 1)
    starts = [0, *(np.flatnonzero(~follows) + 1).tolist()]
    yield from zip(starts, [*starts[1:], len(sources)], strict=True)


def cxi_peaks(file: h5py.File, path: Path, frames: slice = slice(None)) -> PeakList:
    """The peaks in an open CXI file, crystint's or another program's; columns it lacks are 0, or NaN for ``d``.

    Parameters
    ----------
    frames : slice
        Those of these frames alone; the numbers of the frames stay what they are.
    """
    result = file.get("entry_1/result_1")
    if not isinstance(result, h5py.Group) or not {"nPeaks", "peakXPosRaw", "peakYPosRaw"} <= set(result):
        raise FileError(f"{path} holds no peak list: /entry_1/result_1 with nPeaks, peakXPosRaw, peakYPosRaw")
    return peaks_of_tables(result, {name: column for name, (column, _) in _COLUMNS.items()}, path, frames)
