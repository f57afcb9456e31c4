"""The steps of convergent-beam scaling: simulate, scale, merge, plot."""

from __future__ import annotations

from crystint.cbc.settings import MergeSettings, PlotSettings, ScaleSettings, SimulateSettings
from crystint.run.step import HDF5, PICTURES, Argument, Outputs, Step

__all__ = ["MERGE", "PLOT", "SCALE", "SIMULATE"]

_SCALED = Argument("scaled", "FILE")

SIMULATE = Step(
    "cbc simulate",
    SimulateSettings,
    "crystint.cbc.simulate_step:simulate",
    (),
    Outputs("HDF5 file to write", HDF5),
    device="",
    hidden=("min_pixels", "b_factor", "weakest", "frame_spread", "nodes", "length"),
)
SCALE = Step(
    "cbc scale",
    ScaleSettings,
    "crystint.cbc.scale_step:scale",
    (Argument("table", "TABLE"),),
    Outputs("HDF5 file to write", HDF5),
    device="OpenCL: gpu, cpu, an id such as 0:1 (default: NumPy)",
)
MERGE = Step(
    "cbc merge",
    MergeSettings,
    "crystint.cbc.merge_step:merge",
    (_SCALED,),
    Outputs("file to write, in the format of its suffix", (".mtz", ".hkl", ".txt"), many=True),
    device="",
)
PLOT = Step(
    "cbc plot",
    PlotSettings,
    "crystint.cbc.plot_step:plot",
    (_SCALED,),
    Outputs("picture to write", PICTURES),
    device="",
    picture="crystint.plot.cbc:draw",
)
