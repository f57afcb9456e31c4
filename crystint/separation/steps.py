"""The steps of separation: peaks, sparsify, densify, mask, roi, convert."""

from __future__ import annotations

from crystint.run.step import HDF5, PICTURES, Argument, Outputs, Step
from crystint.separation.settings import (
    ConvertSettings,
    DensifySettings,
    MaskSettings,
    PeaksSettings,
    RoiSettings,
    SparsifySettings,
)

__all__ = ["CONVERT", "DENSIFY", "MASK", "PEAKS", "ROI", "SPARSIFY"]

_FRAMES = Argument("frames", "FILE", many=True, meaning="the frames, one sequence", kinds=("frames",))
_SPARSE = Argument("sparse", "SPARSE", meaning="a sparse file", kinds=("sparse file",))
PEAK_FILES = (".cxi", ".refl", ".h5", ".json", ".jsonl", ".xds", ".csv")

PEAKS = Step(
    "peaks",
    PeaksSettings,
    "crystint.separation.peaks_step:find",
    (_FRAMES,),
    Outputs(
        "file to write, in the format of its suffix: a peak list, or, .csv, the results of each frame",
        PEAK_FILES,
        many=True,
    ),
    by_frame=True,
    hidden=("snr_peak",),
)
SPARSIFY = Step(
    "sparsify",
    SparsifySettings,
    "crystint.separation.sparsify_step:sparsify",
    (_FRAMES,),
    Outputs("HDF5 file to write", required=False),
    by_frame=True,
    joins=True,
    json=True,
)
DENSIFY = Step(
    "densify",
    DensifySettings,
    "crystint.separation.densify_step:densify",
    (_SPARSE,),
    Outputs("NXmx HDF5 file to write"),
    by_frame=True,
)
MASK = Step(
    "mask",
    MaskSettings,
    "crystint.separation.mask_step:mask",
    (_FRAMES,),
    Outputs("file to write, in the format of its suffix", (*HDF5, ".tif", ".tiff", ".npy", *PICTURES), many=True),
    by_frame=True,
    hidden=("snr", "snr_peak", "strict_mask", "hit_peaks", "hits_only", "d_min", "d_max"),
    picture="crystint.plot.detector:plot_bad_pixels",
    json=True,
)
ROI = Step(
    "roi",
    RoiSettings,
    "crystint.separation.roi_step:sum_regions",
    (_FRAMES,),
    Outputs("file to write, in the format of its suffix", (*HDF5, ".csv"), many=True),
    by_frame=True,
    hidden=("snr_peak", "hits_only"),
    json=True,
)
CONVERT = Step(
    "convert",
    ConvertSettings,
    "crystint.separation.convert_step:convert",
    (_SPARSE,),
    Outputs("HDF5 file to write"),
    device="",
)
