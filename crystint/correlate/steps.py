"""The steps of angular correlation: center, polar, correlate, plot."""

from __future__ import annotations

from crystint.correlate.settings import CenterSettings, CorrelateSettings, PlotSettings, PolarSettings
from crystint.run.step import HDF5, PICTURES, Argument, Outputs, Step

__all__ = ["CENTER", "CORRELATE", "PLOT", "POLAR"]

_FRAMES = Argument("frames", "FRAMES", many=True)

CENTER = Step(
    "correlate center",
    CenterSettings,
    "crystint.correlate.center_step:center",
    (_FRAMES,),
    Outputs(
        "geometry to write, or a picture, in the format of its suffix",
        (".poni", ".json", *PICTURES),
        many=True,
        required=False,
    ),
    by_frame=True,
    device="",
    picture="crystint.plot.correlate:plot_centered",
)
POLAR = Step(
    "correlate polar",
    PolarSettings,
    "crystint.correlate.polar_step:polar",
    (_FRAMES,),
    Outputs("HDF5 file to write", HDF5),
    by_frame=True,
)
CORRELATE = Step(
    "correlate correlate",
    CorrelateSettings,
    "crystint.correlate.correlate_step:correlate",
    (Argument("frames", "FRAMES", many=True, required=False),),
    Outputs("HDF5 file to write", HDF5),
    by_frame=True,
)
PLOT = Step(
    "correlate plot",
    PlotSettings,
    "crystint.correlate.plot_step:plot",
    (Argument("source", "FILE"),),
    Outputs("picture to write", PICTURES),
    device="",
    picture="crystint.plot.correlate:plot_content",
)
