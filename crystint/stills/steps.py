"""The steps of stills: predict, integrate, refine, scale, merge, simulate."""

from __future__ import annotations

from crystint.run.step import HDF5, PICTURES, Argument, Outputs, Step
from crystint.stills.settings import (
    IntegrateSettings,
    MergeSettings,
    PredictSettings,
    RefineSettings,
    ScaleSettings,
    SimulateSettings,
)

__all__ = ["INTEGRATE", "MERGE", "PREDICT", "REFINE", "SCALE", "SIMULATE"]

_EXPERIMENT = Argument(
    "experiment", "EXPERIMENT", meaning="orientations of the crystals, as indexing gave them",
    kinds=("experiments", "stream of indexed images", "stills file"),
)  # fmt: skip

PREDICT = Step(
    "stills predict",
    PredictSettings,
    "crystint.stills.predict_step:predict_reflections",
    (_EXPERIMENT,),
    Outputs("file to write", (".refl", ".csv", *HDF5), many=True),
    device="",
)
INTEGRATE = Step(
    "stills integrate",
    IntegrateSettings,
    "crystint.stills.integrate_step:integrate_frames",
    (_EXPERIMENT, Argument("frames", "FRAMES", many=True, meaning="the frames, one sequence", kinds=("frames",))),
    Outputs("file to write", (*HDF5, ".mtz"), many=True),
    by_frame=True,
    device="",
)
REFINE = Step(
    "stills refine",
    RefineSettings,
    "crystint.stills.refine_step:refine_images",
    (Argument("source", "INTEGRATED"),),
    Outputs("file to write", HDF5, many=True),
    device="",
)
SCALE = Step(
    "stills scale",
    ScaleSettings,
    "crystint.stills.scale_step:scale_images",
    (
        Argument(
            "sources",
            "FILE",
            many=True,
            meaning="integrated observations",
            kinds=("stills file", "reflections", "stream of indexed images", "MTZ file"),
        ),
    ),
    Outputs("file to write", (*HDF5, ".mtz"), many=True),
    device="",
)
MERGE = Step(
    "stills merge",
    MergeSettings,
    "crystint.stills.merge_step:merge_observations",
    (
        Argument(
            "source",
            "FILE",
            meaning="scaled observations",
            kinds=("stills file", "reflections", "stream of indexed images", "MTZ file"),
        ),
    ),
    Outputs("file to write", (".mtz", *HDF5, ".hkl", ".txt", *PICTURES), many=True),
    device="",
    picture="crystint.plot.stills:plot_stills",
)
SIMULATE = Step(
    "stills simulate",
    SimulateSettings,
    "crystint.stills.simulate_step:simulate_folder",
    (),
    Outputs("folder to write into, made if need be", folder="simulated"),
    device="",
)
