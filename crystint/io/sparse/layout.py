"""The groups of a sparse file, and what all its frames share.

``/entry_0000/sparse_frames`` holds what FabIO reads (its names are pyFAI's), ``/entry_0000/crystint`` what
only crystint needs, ``/entry_0000/sparsify`` how it was made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint import __version__
from crystint.io.frames.frame_sources import FrameSources
from crystint.io.hdf5.appendable import AppendableDataset
from crystint.io.hdf5.files import group, packed, process, put
from crystint.io.hdf5.provenance import plain
from crystint.io.hdf5.scan_group import write_scan
from crystint.io.outputs import utf8
from crystint.io.peaks.nxdata import POSITION, UNITS
from crystint.io.peaks.tables import put_rows
from crystint.io.sparse.row import SparseRow
from crystint.model.appended_rows import AppendedRows
from crystint.model.geometry import Geometry
from crystint.model.peaks import PEAK_DTYPE, PeakFlag, PeakList, empty_peaks
from crystint.model.scan import Scan

__all__ = [
    "COMPACT_NOTE",
    "ENTRY",
    "FORMAT",
    "INSTRUMENT",
    "PEAK_GROUP",
    "Peaks",
    "creator",
    "finish",
    "root",
]

ENTRY = "entry_0000"
FORMAT = 1
PEAK_GROUP = "peaks"
INSTRUMENT = "instrument"
COMPACT_NOTE = (
    "index_delta is uint8: the difference of a pixel number to the one before it in its frame (the first one "
    "to 0); 255 stands for the next number of index_escape. Frame i owns "
    "index_delta[frame_ptr[i]:frame_ptr[i+1]] and index_escape[escape_ptr[i]:escape_ptr[i+1]]. "
    "`crystint convert` writes the plain form that FabIO reads."
)


def creator(compact: bool) -> str:
    """The root attribute by which FabIO knows a sparse file; a compact file must not be taken for one."""
    return f"crystint {__version__}" if compact else f"pyFAI-compatible (crystint {__version__})"


def root(
    file: h5py.File,
    geometry: Geometry | None,
    provenance: Mapping[str, Any],
    first: SparseRow | None,
    compact: bool,
) -> tuple[h5py.Group, h5py.Group]:
    """Make the groups; (the one that FabIO reads, crystint's own)."""
    file.attrs["default"] = ENTRY
    entry = group(file, ENTRY, "NXentry", default="sparse_frames")
    entry.attrs["pyFAI_sparse_frames"] = f"/{ENTRY}/sparse_frames"
    put(entry, "program_name", f"crystint {__version__}")
    data = group(entry, "sparse_frames", "NXdata", signal="background_avg", axes=[".", "radius"])
    if compact:
        data.attrs["compact"] = COMPACT_NOTE
    own = group(entry, "crystint", "NXcollection", format_version=FORMAT, format=FORMAT)  # older versions read format
    own.attrs["error_model"] = "" if first is None else first.error_model
    if first is not None:
        own.attrs["cycles"] = first.cycles
        for name, value in (("snr_clip", first.snr_clip), ("saturation", first.saturation)):
            own.attrs[name] = np.nan if value is None else value  # NaN = Chauvenet's, not known
    place = None if geometry is None else geometry.to_dict()
    put(own, "geometry", json.dumps(place), type="text/json")
    settings = dict(plain(provenance.get("settings", {})))
    if first is not None:
        settings |= {"cutoff_pick": first.snr, "noise": first.noise, "error_model": first.error_model}
    process(entry, "sparsify", {"geometry": place, "sparsify": settings}, provenance)
    if geometry is not None:
        _detector(entry, geometry)
    return data, own


def finish(
    own: h5py.Group,
    provenance: Mapping[str, Any],
    sources: Sequence[Any] | None,
    frames: int,
    missing: Sequence[int],
    scan: Scan | None = None,
) -> None:
    """What is known at the end: where the `frames` came from, which of them are missing, and the provenance."""
    if missing:
        provenance = {**provenance, "missing": list(missing)}
    put(own, "provenance", json.dumps(plain(provenance)), type="text/json")
    if missing:
        made = put(own, "missing", np.array(missing, dtype=np.uint32))
        made.attrs["meaning"] = "frames, by their rows, that could not be read: they have no pixel and no background"
    if scan is not None:
        write_scan(own, scan.select(range(min(frames, len(scan)))))
    if sources is not None:
        some = FrameSources.of(sources)[:frames]
        put(own, "source_files", np.array([utf8(name) for name, _ in some.places], dtype=h5py.string_dtype()))
        put(own, "source_datasets", np.array([name or "" for _, name in some.places], dtype=h5py.string_dtype()))
        table = np.stack([some.place, some.number], axis=-1).astype(np.int64)
        own.create_dataset("sources", data=table, **(packed(parent=own) if len(table) else {}))


def _detector(entry: h5py.Group, geometry: Geometry) -> None:
    """A summary of the geometry for those who look with an HDF5 viewer."""
    instrument = group(entry, "instrument", "NXinstrument")
    detector = group(instrument, "detector", "NXdetector")
    put(detector, "distance", geometry.distance, "m")
    put(detector, "x_pixel_size", geometry.pixel_size[1], "m")
    put(detector, "y_pixel_size", geometry.pixel_size[0], "m")
    put(detector, "beam_center_x", geometry.direct_beam[1], "pixel", convention=POSITION)
    put(detector, "beam_center_y", geometry.direct_beam[0], "pixel", convention=POSITION)
    if geometry.wavelength is not None:
        beam = group(instrument, "beam", "NXbeam")
        put(beam, "incident_wavelength", geometry.wavelength, "angstrom")


class Peaks:
    """The peaks of all frames: pyFAI's padded tables, and crystint's columns one peak after the other."""

    _tables = (
        ("peakTotalIntensity", "intensity", 0.0),
        ("peakXPosRaw", "fast", -0.5),
        ("peakYPosRaw", "slow", -0.5),
        ("peakSNR", "snr", 0.0),
    )

    def __init__(self, entry: h5py.Group, name: str, pool: Executor | None = None) -> None:
        made = group(entry, name, "NXdata", signal="nPeaks", convention="the centre of the first pixel is (0, 0)")
        self._counts = AppendableDataset(made, "nPeaks", np.int32, chunk=1024, pool=pool)
        self._padded = [
            made.create_dataset(
                table, (0, 1), np.float32, maxshape=(None, None), chunks=(16, 128), **packed(parent=made)
            )
            for table, _, _ in self._tables
        ]
        columns = group(made, "columns", "NXcollection", convention=POSITION)
        self._columns = {
            column: AppendableDataset(
                columns, column, PEAK_DTYPE[column], chunk=4096, pool=pool, units=UNITS.get(column, "")
            )
            for column in PEAK_DTYPE.names or ()
        }
        self._waiting: list[PeakList] = []
        self._flags = AppendedRows(np.uint32)
        self.persistent: NDArray[np.bool_] | None = None
        """bool [peaks]: which are flagged as persistent; known when all frames are"""

    def add(self, peaks: PeakList | None) -> None:
        """Append the peaks of the next frame."""
        peaks = empty_peaks() if peaks is None else peaks
        self._counts.add(np.array([len(peaks)]))
        for name, column in self._columns.items():
            if name != "flags":
                column.add(peaks[name])
        self._flags.add(peaks["flags"])
        self._waiting.append(peaks)
        if len(self._waiting) >= 16:
            self._pad()

    def flush(self) -> None:
        """Write what is still waiting."""
        flags = self._flags.end()
        if self.persistent is not None:
            flags[self.persistent] |= np.uint32(PeakFlag.PERSISTENT)
        self._columns["flags"].add(flags)
        for column in (self._counts, *self._columns.values()):
            column.flush()
        self._pad()

    def _pad(self) -> None:
        if not self._waiting:
            return
        counts = np.array([len(peaks) for peaks in self._waiting])
        waiting = np.concatenate(self._waiting)
        start, wide = self._padded[0].shape
        for table, (_, column, shift) in zip(self._padded, self._tables, strict=True):
            table.resize((start + len(counts), max(wide, counts.max())))
            put_rows(table, start, counts, waiting[column] + shift)
        self._waiting.clear()
