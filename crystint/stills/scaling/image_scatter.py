"""Images whose observations scatter more than their errors say, judged by chi^2 per observation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystint.model.facts import counted
from crystint.stills.scaling.scales import Scales

__all__ = ["scatter_of_images", "scattering_images"]

_LIMIT = 2.0
_CERTAIN = 5.0
"""standard deviations of chi^2 of Gaussian residuals, sqrt(2 / n)"""
_NAMED = 3


def scattering_images(scales: Scales) -> NDArray[np.intp]:
    """Numbers of the images with chi^2 above 2, and above what chance makes of so few observations; worst first."""
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = np.maximum(_LIMIT, 1.0 + _CERTAIN * np.sqrt(2.0 / scales.used))
        above = np.flatnonzero(scales.chi2 > limit)
    return above[np.argsort(-scales.chi2[above], kind="stable")]


def scatter_of_images(scales: Scales, names: Sequence[str]) -> tuple[str, str]:
    """A line about chi^2 per image, and a warning where images scatter more than their errors; "" = none."""
    good = np.isfinite(scales.chi2)
    if not good.any():
        return "", ""
    above = scattering_images(scales)
    low, middle, high = np.percentile(scales.chi2[good], (10, 50, 90))
    line = f"chi^2 of images {middle:.2f} (median; 10 % below {low:.2f}, 10 % above {high:.2f})"
    if not len(above):
        return line, ""
    worst = ", ".join(f"{names[number]} ({scales.chi2[number]:.1f})" for number in above[:_NAMED])
    more = f" and {len(above) - _NAMED} more" * (len(above) > _NAMED)
    return line, (
        f"{len(above)} of {counted(int(good.sum()), 'image')} scatter more than their errors, by chi^2 per "
        f"observation: {worst}{more}: another lattice, a wrong orientation, ice? merge --reject leaves out harmful ones"
    )
