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

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
