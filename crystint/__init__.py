"""crystint separates signal from background in X-ray diffraction frames on any OpenCL device.

>>> import crystint
>>> frames = crystint.open_frames("run_master.h5")           # doctest: +SKIP
>>> separator = crystint.Separator(frames.geometry)          # doctest: +SKIP
>>> peaks = separator.peaks(frames[0])                       # doctest: +SKIP

Importing it opens and creates nothing; each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from crystint import cbc, compare, correlate, plot, simulate, stills
    from crystint.engine import Device, Engine, devices
    from crystint.io.frames import Frames, open_frames
    from crystint.io.peak_files import read_peaks, write_peaks
    from crystint.io.sparse_file import open_sparse
    from crystint.model.geometry import Geometry
    from crystint.model.peaks import PEAK_DTYPE, PeakFlag, PeakList
    from crystint.model.rings import Background, RingMap
    from crystint.model.sparse import SparseFrame
    from crystint.ops.densify import densify
    from crystint.ops.separator import Separator

__version__ = "0.1.0"

__all__ = [
    "PEAK_DTYPE",
    "Background",
    "ClusterError",
    "CrystintError",
    "DTypeError",
    "Device",
    "DeviceError",
    "Engine",
    "FileError",
    "Frames",
    "Geometry",
    "GeometryError",
    "PeakFlag",
    "PeakList",
    "RingMap",
    "Separator",
    "SettingError",
    "ShapeError",
    "SparseFrame",
    "__version__",
    "cbc",
    "compare",
    "correlate",
    "densify",
    "devices",
    "open_frames",
    "open_sparse",
    "plot",
    "read_peaks",
    "simulate",
    "stills",
    "write_peaks",
]

_HOME = {
    "PEAK_DTYPE": "model.peaks",
    "Background": "model.rings",
    "Device": "engine",
    "Engine": "engine",
    "Frames": "io.frames",
    "Geometry": "model.geometry",
    "PeakFlag": "model.peaks",
    "PeakList": "model.peaks",
    "RingMap": "model.rings",
    "Separator": "ops.separator",
    "SparseFrame": "model.sparse",
    "densify": "ops.densify",
    "devices": "engine",
    "open_frames": "io.frames",
    "open_sparse": "io.sparse_file",
    "read_peaks": "io.peak_files",
    "write_peaks": "io.peak_files",
}
_MODULES = ("cbc", "compare", "correlate", "plot", "simulate", "stills")


def __getattr__(name: str) -> Any:
    """A public name, at its first use."""
    if name in _MODULES:
        return import_module(f"crystint.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'crystint' has no attribute {name!r}")
    value = getattr(import_module(f"crystint.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
