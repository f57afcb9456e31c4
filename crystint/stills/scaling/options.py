"""What scaling is told, and the centre of its priors."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from crystint.arrays import Floats
from crystint.errors import SettingError
from crystint.stills.scaling.signal import SIGNIFICANT
from crystint.stills.settings import ScaleSettings

__all__ = ["ScalingOptions", "prior_centre"]

_DEFAULTS = ScaleSettings()


@dataclass(frozen=True)
class ScalingOptions:
    """See `scale`."""

    refine_b: bool = _DEFAULTS.refine_b
    prior_ln_g: float = _DEFAULTS.prior_ln_g
    prior_b: float = _DEFAULTS.prior_b
    limit: float = 3.0
    max_b: float = 100.0
    fit_errors: bool = True
    max_iterations: int = 200
    wavelength_nodes: int = _DEFAULTS.wavelength_nodes

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 1 if field.name == "max_iterations" else 0
            if not isinstance(value, bool) and not value >= least:
                raise SettingError(f"{field.name} is {value!r}, expected a number, {least} or more")
        for name in ("prior_ln_g", "prior_b", "limit", "max_b"):
            if getattr(self, name) == 0:
                raise SettingError(f"{name} is 0, expected a number above 0 (infinite = none)")

    @property
    def needs_signal(self) -> bool:
        """Images have to show that they were exposed; the prior on ln G does not say so."""
        return self.prior_ln_g * SIGNIFICANT > 1.0


def prior_centre(value: Floats, gradient: Floats, information: Floats, inverse: Floats) -> Floats:
    """Centre of the priors, float64 [p]: the mean of the images once each has followed it.

    With H the information of an image, g its gradient and P that of the priors, the image goes to
    (H + P)^-1 (H x + g + P m), and m is the mean of that over the images: a linear equation for m. (To take the mean of
    the present values instead converges the more slowly the stronger the priors are.)

    Parameters
    ----------
    value, gradient : float64 [n, p]
        x and g.
    information, inverse : float64 [n, p, p]
        H and (H + P)^-1.
    """
    shrinkage = (inverse @ information).sum(axis=0)
    wanted = (inverse @ (information @ value[:, :, None] + gradient[:, :, None])).sum(axis=0)
    try:
        return np.asarray(np.linalg.solve(shrinkage, wanted)[:, 0])
    except np.linalg.LinAlgError:
        return np.full(value.shape[1], np.nan)
