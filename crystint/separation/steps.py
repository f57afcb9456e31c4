"""The steps of separation: peaks, sparsify, densify, convert."""

from __future__ import annotations

from crystint.run.step import Argument, Outputs, Step
from crystint.separation.settings import ConvertSettings, DensifySettings, Settings, SparsifySettings

__all__ = ["CONVERT", "DENSIFY", "PEAKS", "SPARSIFY"]

_FRAMES = Argument("frames", "FILE", many=True)
_SPARSE = Argument("sparse", "SPARSE")
PEAK_FILES = (".cxi", ".refl", ".h5", ".json", ".jsonl", ".xds")

PEAKS = Step(
    "peaks",
    Settings,
    "crystint.separation.peaks_step:find",
    (_FRAMES,),
    Outputs("file to write, in the format of its suffix", PEAK_FILES, many=True),
    by_frame=True,
    hidden=("snr_peak",),
)
SPARSIFY = Step(
    "sparsify",
    SparsifySettings,
    "crystint.separation.sparsify_step:sparsify",
    (_FRAMES,),
    Outputs("HDF5 file to write"),
    by_frame=True,
)
DENSIFY = Step(
    "densify",
    DensifySettings,
    "crystint.separation.densify_step:densify",
    (_SPARSE,),
    Outputs("NXmx HDF5 file to write"),
    by_frame=True,
)
CONVERT = Step(
    "convert",
    ConvertSettings,
    "crystint.separation.convert_step:convert",
    (_SPARSE,),
    Outputs("HDF5 file to write"),
    device="",
)
