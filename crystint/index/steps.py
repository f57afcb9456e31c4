"""The step of indexing."""

from __future__ import annotations

from crystint.index.settings import IndexSettings
from crystint.run.step import HDF5, Argument, Outputs, Step

__all__ = ["INDEX"]

INDEX = Step(
    "index",
    IndexSettings,
    "crystint.index.index_step:index_peaks",
    (Argument("peaks", "PEAKS", meaning="the peaks of frames", kinds=("peak list", "sparse file", "reflections")),),
    Outputs("file to write, in the format of its suffix", (".expt", ".refl", ".stream", *HDF5), many=True),
)
