"""The step of pictures: plot."""

from __future__ import annotations

from crystint.plot.settings import PlotSettings
from crystint.run.step import PICTURES, Argument, Outputs, Step

__all__ = ["PLOT"]

PLOT = Step(
    "plot",
    PlotSettings,
    "crystint.plot.plot_step:plot",
    (Argument("files", "FILE", many=True),),
    Outputs("picture to write", PICTURES),
    hidden=("snr_peak", "hit_peaks", "hits_only"),
)
