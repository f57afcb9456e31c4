"""Still images: prediction, integration, scaling and merging with one factored likelihood.

>>> from crystint import stills
>>> experiment = stills.read_experiment("indexed.expt")                              # doctest: +SKIP
>>> found = stills.integrate(frames, experiment, width=stills.RockingWidth(1e-3))     # doctest: +SKIP
>>> scales = stills.scale(found.observations, experiment, space_group="P43212")       # doctest: +SKIP
>>> merged = stills.merge(                                                            # doctest: +SKIP
...     found.observations, scales, space_group="P43212", cell=experiment.cell
... )
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystint.lazy import lazy_names

if TYPE_CHECKING:
    from crystint.io.mtz_out import write_merged_mtz, write_unmerged_mtz
    from crystint.io.stills_file import StillsFile
    from crystint.model.experiment import Detector, Experiment
    from crystint.model.observations import Flag, Observations
    from crystint.model.reference import Reference
    from crystint.stills.files import StillsRun, open_stills, read_stills, write_stills
    from crystint.stills.inputs import StillsInput, read_data, read_experiment, read_observations, read_reference
    from crystint.stills.integration.first_width import first_width
    from crystint.stills.integration.integrate import Integrated, integrate
    from crystint.stills.integration.profile import ProfileWidths
    from crystint.stills.integration.shoeboxes import BoxRules
    from crystint.stills.integration.spot_moments import SpotMoments
    from crystint.stills.merging.ambiguity import Ambiguity, find_ambiguity
    from crystint.stills.merging.amplitudes import Amplitudes, french_wilson
    from crystint.stills.merging.merge import merge
    from crystint.stills.merging.merged import Merged
    from crystint.stills.merging.statistics import Statistics
    from crystint.stills.prediction.partiality import RockingWidth, partiality
    from crystint.stills.prediction.predict import Prediction, predict
    from crystint.stills.report import stills_report
    from crystint.stills.scaling.error_model import ErrorModel, fit_error_model
    from crystint.stills.scaling.rocking import RockingFit, fit_rocking
    from crystint.stills.scaling.scale import scale
    from crystint.stills.scaling.scales import Scales
    from crystint.stills.simulation.crystal import Crystal
    from crystint.stills.simulation.files import write_frames
    from crystint.stills.simulation.settings import StillsSettings
    from crystint.stills.simulation.simulate import SimulatedStills, simulate_stills

_HOME = {
    "Ambiguity": "stills.merging.ambiguity",
    "Amplitudes": "stills.merging.amplitudes",
    "BoxRules": "stills.integration.shoeboxes",
    "Crystal": "stills.simulation.crystal",
    "Detector": "model.experiment",
    "ErrorModel": "stills.scaling.error_model",
    "Experiment": "model.experiment",
    "Flag": "model.observations",
    "Integrated": "stills.integration.integrate",
    "Merged": "stills.merging.merged",
    "Observations": "model.observations",
    "Prediction": "stills.prediction.predict",
    "ProfileWidths": "stills.integration.profile",
    "Reference": "model.reference",
    "RockingFit": "stills.scaling.rocking",
    "RockingWidth": "stills.prediction.partiality",
    "Scales": "stills.scaling.scales",
    "SimulatedStills": "stills.simulation.simulate",
    "SpotMoments": "stills.integration.spot_moments",
    "Statistics": "stills.merging.statistics",
    "StillsFile": "io.stills_file",
    "StillsInput": "stills.inputs",
    "StillsRun": "stills.files",
    "StillsSettings": "stills.simulation.settings",
    "find_ambiguity": "stills.merging.ambiguity",
    "first_width": "stills.integration.first_width",
    "fit_error_model": "stills.scaling.error_model",
    "fit_rocking": "stills.scaling.rocking",
    "french_wilson": "stills.merging.amplitudes",
    "integrate": "stills.integration.integrate",
    "merge": "stills.merging.merge",
    "open_stills": "stills.files",
    "partiality": "stills.prediction.partiality",
    "predict": "stills.prediction.predict",
    "read_data": "stills.inputs",
    "read_experiment": "stills.inputs",
    "read_observations": "stills.inputs",
    "read_reference": "stills.inputs",
    "read_stills": "stills.files",
    "scale": "stills.scaling.scale",
    "simulate_stills": "stills.simulation.simulate",
    "stills_report": "stills.report",
    "write_frames": "stills.simulation.files",
    "write_merged_mtz": "io.mtz_out",
    "write_stills": "stills.files",
    "write_unmerged_mtz": "io.mtz_out",
}

__all__ = [
    "Ambiguity",
    "Amplitudes",
    "BoxRules",
    "Crystal",
    "Detector",
    "ErrorModel",
    "Experiment",
    "Flag",
    "Integrated",
    "Merged",
    "Observations",
    "Prediction",
    "ProfileWidths",
    "Reference",
    "RockingFit",
    "RockingWidth",
    "Scales",
    "SimulatedStills",
    "SpotMoments",
    "Statistics",
    "StillsFile",
    "StillsInput",
    "StillsRun",
    "StillsSettings",
    "find_ambiguity",
    "first_width",
    "fit_error_model",
    "fit_rocking",
    "french_wilson",
    "integrate",
    "merge",
    "open_stills",
    "partiality",
    "predict",
    "read_data",
    "read_experiment",
    "read_observations",
    "read_reference",
    "read_stills",
    "scale",
    "simulate_stills",
    "stills_report",
    "write_frames",
    "write_merged_mtz",
    "write_stills",
    "write_unmerged_mtz",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
