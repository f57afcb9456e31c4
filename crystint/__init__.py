"""crystint separates signal from background in X-ray diffraction frames on any OpenCL device.

>>> import crystint
>>> frames = crystint.open_frames("run_master.h5")           # doctest: +SKIP
>>> separator = crystint.Separator(frames.geometry)          # doctest: +SKIP
>>> peaks = separator.peaks(frames[0])                       # doctest: +SKIP

Importing it opens and creates nothing; each public name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystint.errors import (
    ClusterError,
    CrystintError,
    DeviceError,
    DTypeError,
    FileError,
    GeometryError,
    SettingError,
    ShapeError,
)
from crystint.lazy import lazy_names

if TYPE_CHECKING:
    from crystint import cbc, compare, correlate, plot, simulate, stills
    from crystint.engine import Device, Engine, devices
    from crystint.io.dense_file import DenseWriter
    from crystint.io.frames import Frames, open_frames
    from crystint.io.peak_files import read_peaks, write_peaks
    from crystint.io.provenance import provenance
    from crystint.io.sparse_file import SparseFile, SparseWriter, open_sparse
    from crystint.model.geometry import Geometry, Panel
    from crystint.model.peaks import PEAK_DTYPE, PeakFlag, PeakList
    from crystint.model.rings import Background, RingMap
    from crystint.model.sparse import SparseFrame
    from crystint.ops.densify import Densifier, densify
    from crystint.ops.separator import Separator

__version__ = "0.1.0"
"""Version of this package, as PEP 440 has it."""

__all__ = [
    "PEAK_DTYPE",
    "Background",
    "ClusterError",
    "CrystintError",
    "DTypeError",
    "DenseWriter",
    "Densifier",
    "Device",
    "DeviceError",
    "Engine",
    "FileError",
    "Frames",
    "Geometry",
    "GeometryError",
    "Panel",
    "PeakFlag",
    "PeakList",
    "RingMap",
    "Separator",
    "SettingError",
    "ShapeError",
    "SparseFile",
    "SparseFrame",
    "SparseWriter",
    "__version__",
    "cbc",
    "compare",
    "correlate",
    "densify",
    "devices",
    "open_frames",
    "open_sparse",
    "plot",
    "provenance",
    "read_peaks",
    "simulate",
    "stills",
    "write_peaks",
]

_HOME = {
    "PEAK_DTYPE": "model.peaks",
    "Background": "model.rings",
    "DenseWriter": "io.dense_file",
    "Densifier": "ops.densify",
    "Device": "engine",
    "Engine": "engine",
    "Frames": "io.frames",
    "Geometry": "model.geometry",
    "Panel": "model.geometry",
    "PeakFlag": "model.peaks",
    "PeakList": "model.peaks",
    "RingMap": "model.rings",
    "Separator": "ops.separator",
    "SparseFile": "io.sparse_file",
    "SparseFrame": "model.sparse",
    "SparseWriter": "io.sparse_file",
    "densify": "ops.densify",
    "devices": "engine",
    "open_frames": "io.frames",
    "open_sparse": "io.sparse_file",
    "provenance": "io.provenance",
    "read_peaks": "io.peak_files",
    "write_peaks": "io.peak_files",
}
_MODULES = ("cbc", "compare", "correlate", "plot", "simulate", "stills")

__getattr__, __dir__ = lazy_names(__name__, _HOME, _MODULES)
