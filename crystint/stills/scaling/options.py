"""What scaling is told, and its priors."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError
from crystint.stills.scaling.signal import SIGNIFICANT
from crystint.stills.settings import ScaleSettings

__all__ = ["ScalePriors", "ScalingOptions", "prior_centre"]

_DEFAULTS = ScaleSettings()


@dataclass(frozen=True)
class ScalingOptions:
    """See `scale`."""

    refine_b: bool = _DEFAULTS.refine_b
    prior_ln_g: float = _DEFAULTS.prior_ln_g
    prior_b: float = _DEFAULTS.prior_b
    prior_monitor: float = _DEFAULTS.prior_monitor
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
        for name in ("prior_ln_g", "prior_b", "prior_monitor", "limit", "max_b"):
            if getattr(self, name) == 0:
                raise SettingError(f"{name} is 0, expected a number above 0 (infinite = none)")

    @property
    def needs_signal(self) -> bool:
        """Images have to show that they were exposed; the prior on ln G does not say so."""
        return self.prior_ln_g * SIGNIFICANT > 1.0


@dataclass(frozen=True, eq=False)
class ScalePriors:
    """Gaussians about the scales of k images: ln G about a common centre + `offset`, B about a common centre."""

    offset: Floats
    """float64 [k]: ln of the monitor of an image, less the mean of those; 0 without one"""
    stiffness: Floats
    """float64 [k, 2]: 1 / standard deviation^2 of ln G and B"""
    tied: bool
    """to a monitor, some of them"""

    @classmethod
    def of(cls, options: ScalingOptions, images: int, monitor: Floats | None = None) -> ScalePriors:
        """Of `monitor` [k], NaN where an image has none."""
        stiffness = np.tile(np.array([options.prior_ln_g, options.prior_b]) ** -2.0, (images, 1))
        offset = np.zeros(images)
        there = np.zeros(images, dtype=bool) if monitor is None else np.isfinite(monitor)
        if monitor is not None and there.any():
            offset[there] = np.log(monitor[there]) - np.log(monitor[there]).mean()
            stiffness[there, 0] = options.prior_monitor**-2.0
        return cls(offset, stiffness, bool(there.any()))

    @cached_property
    def weight(self) -> Floats:
        """float64 [k, 2]: stiffness over its mean; 1 where there is no prior."""
        mean = self.stiffness.mean(axis=0)
        return np.asarray(np.where(mean > 0.0, self.stiffness / np.where(mean > 0.0, mean, 1.0), 1.0))

    def middle(self, ln_g: Floats, good: NDArray[np.bool_]) -> float:
        """The common centre of ln G of the good images, as they are; 0 where no prior asks for one."""
        total = self.stiffness[good, 0].sum() if self.tied else 0.0
        return float((self.stiffness[good, 0] * (ln_g - self.offset)[good]).sum() / total) if total > 0.0 else 0.0


def prior_centre(
    value: Floats, gradient: Floats, information: Floats, inverse: Floats, weight: Floats | float = 1.0
) -> Floats:
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
    weight : float64 [n, p], optional
        Of the images in the mean, in proportion to P where that differs between them.
    """
    share = np.asarray(weight)[..., None]
    shrinkage = (share * (inverse @ information)).sum(axis=0)
    wanted = (share * (inverse @ (information @ value[:, :, None] + gradient[:, :, None]))).sum(axis=0)
    try:
        return np.asarray(np.linalg.solve(shrinkage, wanted)[:, 0])
    except np.linalg.LinAlgError:
        return np.full(value.shape[1], np.nan)
