"""The result of scaling: a scale and a temperature factor per image, and how to apply them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import ShapeError
from crystint.html import html_table
from crystint.model.facts import counted, range_text
from crystint.model.observations import Observations
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.expected import SignalVariance
from crystint.stills.scaling.wavelength_curve import WavelengthCurve

__all__ = ["Scales"]


@dataclass(frozen=True, eq=False)
class Scales:
    """G = exp(ln_g) and B of each image: intensity = G exp(-B / 4 d^2) curve(wavelength) correction partiality I(hkl).

    With a reference, I is on its scale. Without one only ratios are known: the means of ln_g and of B over the scaled
    images are set to 0, and the mean temperature factor of the crystals stays in the intensities.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(20, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> observations, group = data.observations(), data.experiment.space_group
    >>> scales = stills.scale(observations, data.experiment, space_group=group)
    >>> scales.ln_g.shape, scales.converged, scales.failed
    ((20,), True, {})
    """

    ln_g: Floats
    """float64 [n_images]; NaN where the image has no scale"""
    b: Floats
    """float64 [n_images], angstrom^2"""
    covariance: Floats
    """float64 [n_images, 2, 2] of (ln_g, b), error model and priors in. A reference counts as exact. Without one the
    errors of the means are in it (`shared_means`); of more than 400 images those of the other scales are not"""
    used: NDArray[np.intp]
    """intp [n_images]: observations that the fit used"""
    chi2: Floats
    """float64 [n_images]: mean square residual in units of the expected variance, error model in; 1 is as expected"""
    failed: dict[int, str]
    """image -> why it has no scale, with its name"""
    iterations: int
    """steps that were made"""
    converged: bool
    """False: `failed` names the images that still moved, or `note` says what else"""
    error_model: ErrorModel = field(default_factory=ErrorModel)
    """of the residuals about the model, by which the fit was weighted; its I is the model in counts"""
    gain: float = 1.0
    """variance per count of signal that the expected variances were made with"""
    curve: WavelengthCurve | None = None
    """over the wavelength; None = 1"""
    note: str = ""
    """what a reader should know; empty = nothing"""

    def __repr__(self) -> str:
        scaled = np.count_nonzero(np.isfinite(self.ln_g))
        state = "converged" if self.converged else "not converged"
        return (
            f"<Scales: {scaled} of {counted(len(self), 'image')} scaled, "
            f"{state} after {counted(self.iterations, 'iteration')}>"
        )

    def _repr_html_(self) -> str:
        chi2 = self.chi2[np.isfinite(self.chi2)]
        facts = {
            "images": len(self),
            "scaled": int(np.count_nonzero(np.isfinite(self.ln_g))),
            "G": range_text(np.exp(self.ln_g)) or None,
            "B (angstrom^2)": range_text(self.b) or None,
            "observations used": int(self.used.sum()),
            "chi^2, median": float(np.median(chi2)) if chi2.size else None,
            "iterations": self.iterations,
            "converged": self.converged,
            "error model": f"a = {self.error_model.a:.4g}, b = {self.error_model.b:.4g}",
            "curve over the wavelength": self.curve is not None,
            "note": self.note or None,
        }
        return html_table("Scales", facts)

    def __len__(self) -> int:
        return len(self.ln_g)

    def factor(self, observations: Observations) -> Floats:
        """float64 [n]: what the full intensity of each row was multiplied by; NaN where its image has no scale."""
        if len(observations) and not 0 <= observations.image.min() <= observations.image.max() < len(self):
            raise ShapeError(f"observations of images up to {observations.image.max()}, but {len(self)} scales")
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            exponent = self.ln_g[observations.image] - self.b[observations.image] * (0.25 / observations.d**2)
            factor = np.exp(exponent) * observations.correction * observations.partiality
            if self.curve is not None:
                factor *= self.curve.at(observations.wavelength.astype(np.float64))
        return np.where(factor > 0.0, factor, np.nan)

    def apply(self, observations: Observations, mean: Floats | None = None) -> tuple[Floats, Floats]:
        """Intensity and its sigma on the common scale, both float64 [n]; NaN where the image has no scale.

        Parameters
        ----------
        observations
            The rows that were scaled, or others of the same images.
        mean : float64 [n], optional
            Intensity expected of each row's reflection on the common scale, such as its reference or its mean: sigma
            is then that of this signal. Without it, or where it is NaN, sigma is as recorded; weights from such sigmas
            bias means where the variance came from the observed counts.

        Raises
        ------
        ShapeError
            When a row belongs to an image that was not scaled with the others.
        """
        factor = self.factor(observations)
        sigma = observations.sigma
        if mean is not None:
            variance = SignalVariance.of(observations, self.gain).expected(factor * mean)
            sigma = np.where(np.isfinite(mean), np.sqrt(variance), sigma)
        return observations.intensity / factor, sigma / factor
