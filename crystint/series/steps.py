"""The steps of series of frames: frames, sum."""

from __future__ import annotations

from crystint.run.step import HDF5, PICTURES, Argument, Outputs, Step
from crystint.series.settings import FramesSettings, MergePartsSettings, SumSettings

__all__ = ["FRAMES", "MERGE_PARTS", "SUM"]

FRAMES = Step(
    "frames",
    FramesSettings,
    "crystint.series.frames_step:frames",
    (Argument("files", "FILE", many=True),),
    Outputs("table or picture to write", (".csv", *HDF5, *PICTURES), many=True, required=False),
    device="",
    picture="crystint.plot.frame_table:plot_series",
    json=True,
)
SUM = Step(
    "sum",
    SumSettings,
    "crystint.series.sum_step:sum_frames",
    (Argument("frames", "FILE", many=True),),
    Outputs("images or picture to write", (*HDF5, ".tif", ".tiff", ".npy", *PICTURES), many=True),
    by_frame=True,
    device="",
    picture="crystint.plot.frame_table:plot_sums",
)
MERGE_PARTS = Step(
    "merge-parts",
    MergePartsSettings,
    "crystint.series.merge_parts_step:merge_parts",
    (Argument("parts", "PART", many=True, meaning="all parts of one run", kinds=("part of a run",)),),
    Outputs("file to write, as the command that made the parts would", many=True),
    device="",
    json=True,
)
