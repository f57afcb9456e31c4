"""Series for tests of files: frames packed by HDF5's own filters, and a run as the service has it."""

from __future__ import annotations

from io import BytesIO

import h5py
import hdf5plugin
import numpy as np

from crystint.model.frame_table import FrameStatus
from crystint.model.geometry import Geometry
from crystint.model.peaks import empty_peaks
from crystint.online.result import Result, empty_results
from crystint.online.series import Series
from crystint.stream.messages import Image, SeriesKey, Start
from crystint.stream.packed_frame import PackedFrame

SHAPE = (40, 50)
FILTERS = {"bslz4": dict(hdf5plugin.Bitshuffle(cname="lz4")), "lz4": dict(hdf5plugin.LZ4()), "none": {}}


def counts(number, dtype="uint16", shape=SHAPE):
    """The frame of a number: Poisson background, and the number itself in a corner."""
    frame = np.random.default_rng(number).poisson(3.0, shape).astype(dtype)
    frame[0, 0] = number % 100
    return frame


def pack(frame, algorithm="bslz4"):
    """The bytes of a chunk, by h5py and hdf5plugin."""
    with h5py.File(BytesIO(), "w") as file:
        data = file.create_dataset("x", data=frame, chunks=frame.shape, **FILTERS[algorithm])
        file.flush()
        return np.frombuffer(data.id.read_direct_chunk((0,) * frame.ndim)[1], np.uint8)


def image_of(series, number, frame=None, algorithm="bslz4", channels=("threshold_1",)):
    frame = counts(number) if frame is None else frame
    packed = {
        channel: PackedFrame(pack(frame + at, algorithm), frame.shape, frame.dtype, algorithm)
        for at, channel in enumerate(channels)
    }
    return Image(
        series, number, packed, started=10**18 + 10**7 * number, size=sum(len(p.data) for p in packed.values())
    )


def start_of(images=None, unique_id="a", series_id=1, **more):
    geometry = Geometry(SHAPE, (75e-6, 75e-6), 0.1, (20.0, 25.0), 1.0)
    more = {"geometry": geometry, "frame_time": 0.01, "count_time": 0.0099, **more}
    return Start(SeriesKey(series_id, unique_id), SHAPE, "stream2", images=images, **more)


def run_of(start, folder, name="run"):
    run = Series(start)
    run.folder, run.name = folder, name
    run.describe = lambda: {"settings": [{"version": 1, "first_image": 0, "snr": 5.0}]}
    return run


def result_of(series, number, peaks=2, status=FrameStatus.OK):
    row = empty_results(1)
    row["frame"], row["status"], row["n_spots"], row["n_no_ice"] = number, status, peaks, peaks
    row["t_start"] = 10**18 + 10**7 * number
    row["settings_version"] = 1
    table = empty_peaks() if not peaks else np.zeros(peaks, empty_peaks().dtype)
    table["frame"], table["slow"], table["fast"] = number, 3.5 + np.arange(peaks), 4.5
    table["intensity"], table["sigma"], table["npix"] = 100.0 + number, 10.0, 4
    return Result(series, row, table)
