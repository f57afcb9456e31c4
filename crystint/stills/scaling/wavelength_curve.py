"""How strongly each wavelength of a polychromatic beam contributes: one smooth curve for all images.

In Laue and pink-beam data each reflection picks its own wavelength out of the spectrum, so that intensities carry the
spectrum, the sensor's efficiency and all else that depends on the wavelength. One scale per image cannot take that out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError

__all__ = ["WavelengthCurve"]


@dataclass(frozen=True, eq=False)
class WavelengthCurve:
    """ln of the factor at nodes, linear between them, flat beyond the last; its mean over the observations is 0."""

    wavelength: Floats
    """float64 [nodes], angstrom, ascending"""
    ln_factor: Floats
    """float64 [nodes]"""

    def __post_init__(self) -> None:
        if not (self.wavelength.shape == self.ln_factor.shape and self.wavelength.ndim == 1 and len(self.wavelength)):
            raise ShapeError(f"{self.wavelength.shape} wavelengths, {self.ln_factor.shape} factors: expected one each")
        if not (np.diff(self.wavelength) > 0.0).all():
            raise SettingError("wavelengths of the nodes do not ascend")

    @classmethod
    def flat(cls, wavelength: Floats, nodes: int) -> WavelengthCurve:
        """A curve of factor 1, its nodes spread so that as many observations lie between any two neighbours.

        Raises
        ------
        SettingError
            When there are fewer than 2 nodes, or no two different wavelengths.
        """
        if nodes < 2:
            raise SettingError(f"a wavelength curve of {nodes} nodes; expected 2 or more")
        finite = wavelength[np.isfinite(wavelength)]
        if not finite.size:
            raise SettingError("a wavelength curve needs the wavelength of each observation; the column is empty")
        place = np.unique(np.quantile(finite, np.linspace(0.0, 1.0, nodes)))
        if len(place) < 2:
            raise SettingError(f"all observations have the wavelength {place[0]:.5g} A: there is no curve to fit")
        return cls(place, np.zeros(len(place)))

    def at(self, wavelength: Floats) -> Floats:
        """Factor at `wavelength`, angstrom; NaN where that is NaN."""
        return np.asarray(np.exp(np.interp(wavelength, self.wavelength, self.ln_factor)))

    def improved(
        self, wavelength: Floats, intensity: Floats, model: Floats, weight: Floats, smooth: float
    ) -> WavelengthCurve:
        """The curve after one Gauss-Newton step of its nodes, and moved so that its weighted mean is 0.

        Minimises sum weight (intensity - model curve / old curve)^2 plus, for a straight line to be the natural shape,
        sum (second difference of ln / smooth)^2.

        Parameters
        ----------
        wavelength, intensity, model, weight : float64 [n]
            `model` is with the present curve; `weight` is 1 / variance, with the robust part in.
        smooth : float
            Standard deviation expected of the second differences of ln_factor between nodes.
        """
        nodes = len(self.wavelength)
        left = np.clip(np.searchsorted(self.wavelength, wavelength, side="right") - 1, 0, nodes - 2)
        span = np.diff(self.wavelength)[left]
        right_share = np.clip((wavelength - self.wavelength[left]) / span, 0.0, 1.0)
        left_share = 1.0 - right_share
        pull, hold = weight * model * (intensity - model), weight * model * model

        def gather(values: Floats, at: NDArray[np.intp]) -> Floats:
            return np.asarray(np.bincount(at, values, nodes), dtype=np.float64)

        slope = gather(pull * left_share, left) + gather(pull * right_share, left + 1)
        normal = np.diag(gather(hold * left_share**2, left) + gather(hold * right_share**2, left + 1))
        across = gather(hold * left_share * right_share, left)[:-1]
        normal += np.diag(across, 1) + np.diag(across, -1)
        bend = np.diff(np.eye(nodes), 2, axis=0) / smooth
        normal += bend.T @ bend
        slope -= bend.T @ (bend @ self.ln_factor)
        normal += np.eye(nodes) * 1e-9 * max(float(np.trace(normal)) / nodes, 1e-300)
        step = np.linalg.solve(normal, slope)
        moved = self.ln_factor + np.clip(step, -1.0, 1.0)
        share = gather(left_share, left) + gather(right_share, left + 1)
        return WavelengthCurve(self.wavelength, moved - float(share @ moved / share.sum()))
