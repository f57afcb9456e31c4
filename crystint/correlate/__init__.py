"""Angular correlation: ring centres, polar images, clean rings, pairing, difference correlations.

>>> from crystint import correlate
>>> rings = correlate.fit_rings(frame, mask)                                       # doctest: +SKIP
>>> grid = correlate.PolarGrid(rings.center, range(100, 1000))                     # doctest: +SKIP
>>> image = correlate.polar_image(frame, grid, mask=mask)                          # doctest: +SKIP
>>> found = correlate.autocorrelation(image.values)                                # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystint.lazy import lazy_names

if TYPE_CHECKING:
    from crystint.correlate.background import PeakRemoval, chebyshev_background, fourier_background, remove_peaks
    from crystint.correlate.calibrant import Calibrated, fit_calibrant
    from crystint.correlate.correlation import autocorrelation, cross_correlation, paired_differences
    from crystint.correlate.correlation_sums import CorrelationSums
    from crystint.correlate.correlator import Correlator
    from crystint.correlate.curve_likeness import Likeness, likeness
    from crystint.correlate.curves import RingCurves
    from crystint.correlate.files import read_correlations, write_correlations
    from crystint.correlate.harmonics import (
        LegendreFit,
        cos_psi,
        fourier_coefficients,
        half_scattering_angle,
        legendre_coefficients,
    )
    from crystint.correlate.outliers import Outliers, RingOutliers, is_outlier, ring_outliers
    from crystint.correlate.pairing import Pairing, pair_exposures
    from crystint.correlate.polar import PolarImage, PolarTransform, polar_image
    from crystint.correlate.polar_grid import PolarGrid
    from crystint.correlate.profile import RadialProfile
    from crystint.correlate.ring_fit import Rings, fit_rings
    from crystint.correlate.run import CorrelationRun
    from crystint.correlate.simulate import SimulatedRings, simulate_frame, simulate_rings
    from crystint.correlate.simulated_frame import SimulatedFrame

_HOME = {
    "Calibrated": "correlate.calibrant",
    "CorrelationRun": "correlate.run",
    "CorrelationSums": "correlate.correlation_sums",
    "Correlator": "correlate.correlator",
    "LegendreFit": "correlate.harmonics",
    "Likeness": "correlate.curve_likeness",
    "Outliers": "correlate.outliers",
    "Pairing": "correlate.pairing",
    "PeakRemoval": "correlate.background",
    "PolarGrid": "correlate.polar_grid",
    "PolarImage": "correlate.polar",
    "PolarTransform": "correlate.polar",
    "RadialProfile": "correlate.profile",
    "RingCurves": "correlate.curves",
    "RingOutliers": "correlate.outliers",
    "Rings": "correlate.ring_fit",
    "SimulatedFrame": "correlate.simulated_frame",
    "SimulatedRings": "correlate.simulate",
    "autocorrelation": "correlate.correlation",
    "chebyshev_background": "correlate.background",
    "cos_psi": "correlate.harmonics",
    "cross_correlation": "correlate.correlation",
    "fit_calibrant": "correlate.calibrant",
    "fit_rings": "correlate.ring_fit",
    "fourier_background": "correlate.background",
    "fourier_coefficients": "correlate.harmonics",
    "half_scattering_angle": "correlate.harmonics",
    "is_outlier": "correlate.outliers",
    "legendre_coefficients": "correlate.harmonics",
    "likeness": "correlate.curve_likeness",
    "pair_exposures": "correlate.pairing",
    "paired_differences": "correlate.correlation",
    "polar_image": "correlate.polar",
    "read_correlations": "correlate.files",
    "remove_peaks": "correlate.background",
    "ring_outliers": "correlate.outliers",
    "simulate_frame": "correlate.simulate",
    "simulate_rings": "correlate.simulate",
    "write_correlations": "correlate.files",
}

__all__ = [
    "Calibrated",
    "CorrelationRun",
    "CorrelationSums",
    "Correlator",
    "LegendreFit",
    "Likeness",
    "Outliers",
    "Pairing",
    "PeakRemoval",
    "PolarGrid",
    "PolarImage",
    "PolarTransform",
    "RadialProfile",
    "RingCurves",
    "RingOutliers",
    "Rings",
    "SimulatedFrame",
    "SimulatedRings",
    "autocorrelation",
    "chebyshev_background",
    "cos_psi",
    "cross_correlation",
    "fit_calibrant",
    "fit_rings",
    "fourier_background",
    "fourier_coefficients",
    "half_scattering_angle",
    "is_outlier",
    "legendre_coefficients",
    "likeness",
    "pair_exposures",
    "paired_differences",
    "polar_image",
    "read_correlations",
    "remove_peaks",
    "ring_outliers",
    "simulate_frame",
    "simulate_rings",
    "write_correlations",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
