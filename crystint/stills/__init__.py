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
    from crystint.model.experiment import Detector, Experiment
    from crystint.model.observations import Flag, Observations
    from crystint.model.reference import Reference
    from crystint.stills.files import StillsRun, read_stills, write_stills
    from crystint.stills.inputs import read_data, read_experiment, read_observations, read_reference
    from crystint.stills.integration.first_width import first_width
    from crystint.stills.integration.integrate import Integrated, integrate
    from crystint.stills.merging.ambiguity import find_ambiguity
    from crystint.stills.merging.amplitudes import french_wilson
    from crystint.stills.merging.merge import merge
    from crystint.stills.merging.merged import Merged
    from crystint.stills.prediction.partiality import RockingWidth, partiality
    from crystint.stills.prediction.predict import Prediction, predict
    from crystint.stills.report import stills_report
    from crystint.stills.scaling.error_model import ErrorModel, fit_error_model
    from crystint.stills.scaling.rocking import fit_rocking
    from crystint.stills.scaling.scale import scale
    from crystint.stills.scaling.scales import Scales
    from crystint.stills.simulation.simulate import simulate_stills

_HOME = {
    "Detector": "model.experiment",
    "ErrorModel": "stills.scaling.error_model",
    "Experiment": "model.experiment",
    "Flag": "model.observations",
    "Integrated": "stills.integration.integrate",
    "Merged": "stills.merging.merged",
    "Observations": "model.observations",
    "Prediction": "stills.prediction.predict",
    "Reference": "model.reference",
    "RockingWidth": "stills.prediction.partiality",
    "Scales": "stills.scaling.scales",
    "StillsRun": "stills.files",
    "find_ambiguity": "stills.merging.ambiguity",
    "first_width": "stills.integration.first_width",
    "fit_error_model": "stills.scaling.error_model",
    "fit_rocking": "stills.scaling.rocking",
    "french_wilson": "stills.merging.amplitudes",
    "integrate": "stills.integration.integrate",
    "merge": "stills.merging.merge",
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
    "write_stills": "stills.files",
}

__all__ = [
    "Detector",
    "ErrorModel",
    "Experiment",
    "Flag",
    "Integrated",
    "Merged",
    "Observations",
    "Prediction",
    "Reference",
    "RockingWidth",
    "Scales",
    "StillsRun",
    "find_ambiguity",
    "first_width",
    "fit_error_model",
    "fit_rocking",
    "french_wilson",
    "integrate",
    "merge",
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
    "write_stills",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
