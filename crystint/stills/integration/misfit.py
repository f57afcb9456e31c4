"""How far strong spots are from their profiles, image by image, and what that makes uncertain.

With counts c of a pixel, background B, intensity J (the sum over the core) and profile P, the fit of a spot is

    chi^2 = sum (c - B - J P)^2 / v,        v = B + J P + noise^2

over its core and its ring (where P is 0), per degree of freedom: 1 where only noise is between them (Pearson).

A sum over the whole core does not mind a wrong profile. Where only the share f of the profile can be used, the sum is
divided by f, which is then wrong. By how much is seen in eight cells of whole cores, quadrants within and beyond half
of the height: where the profile has the share p and the counts have s,

    k^2 = sum ((s - p)^2 - var s) / p / 2,    and the intensity is uncertain by    k J sqrt((1 - f) / f).

Eight cells that are wrong independently of each other, about a sum of 0, would have 7 in place of 2, and one that is
wrong as a part is missing, 1 (by the inequality of Cauchy and Schwarz): cells side by side are wrong together, as
spots are shifted, longer or split, and parts are missing on one side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from crystint.html import html_table
from crystint.model.facts import counted, range_text
from crystint.model.observations import Observations
from crystint.stills.integration.shoeboxes import Shoeboxes

__all__ = ["ImageFit", "spot_fit"]

_CELLS = 8
_FREE = 2
"""ways in which cells are wrong independently"""
_FEW, _ENOUGH = 5, 30
"""spots of an image: to say anything of it, and for a k of its own"""
_SMALL, _TIMES, _ERRORS = 0.2, 4.0, 4.0
"""an image is named for a misfit above the first, the second times that of the better images, and so many errors"""
_OF_MEDIAN = 1.25 * 1.48
"""standard error of a median, from the median of the absolute deviations"""
_NAMED = 10


def spot_fit(
    boxes: Shoeboxes,
    rows: NDArray[np.intp],
    background: NDArray[np.float64],
    intensity: NDArray[np.float64],
    *,
    floor: float,
    noise: float,
) -> NDArray[np.float64]:
    """chi^2 of spots against their profiles, and what their halves say.

    Parameters
    ----------
    boxes : Shoeboxes
    rows : int [m]
        Which of the boxes: strong, and all pixels of their cores can be used.
    background, intensity : float64 [m]
        counts per pixel, and sums over the cores in counts
    floor : float
        Counts per pixel of background that are expected at least.
    noise : float
        RMS of the detector's own noise, counts per pixel.

    Returns
    -------
    float64 [m, 3]
        chi^2, degrees of freedom, k^2 of each.
    """
    profile, ring = boxes.profile[rows], boxes.ring[rows]
    core = profile > 0.0
    above = boxes.counts[rows] - background[:, None]
    expected = intensity[:, None] * profile
    variance = (np.maximum(background, floor) + noise**2)[:, None] + expected
    chi2 = np.sum((core | ring) * (above - expected) ** 2 / variance, axis=1)
    square = _cells(boxes, rows, np.where(core, above, 0.0), np.where(core, variance, 0.0))
    return np.stack([chi2, np.sum(core | ring, axis=1) - 1.0, square], axis=1)


def _cells(
    boxes: Shoeboxes, rows: NDArray[np.intp], above: NDArray[np.float64], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """float64 [m]: k^2 of spots."""
    profile = boxes.profile[rows]
    share = profile / profile.sum(axis=1, keepdims=True)
    slow, fast = (offset[rows] > 0.0 for offset in boxes.offset)
    inner = profile > 0.5 * profile.max(axis=1, keepdims=True)
    cell = 4 * inner + 2 * np.repeat(slow, boxes.side, axis=1) + np.tile(fast, (1, boxes.side))
    square = np.zeros(len(rows))
    for number in range(_CELLS):
        here = cell == number
        p = np.sum(share * here, axis=1, keepdims=True)
        away = here - p
        excess = np.sum(above * away, axis=1) ** 2 - np.sum(variance * away**2, axis=1)
        square += np.divide(excess, p[:, 0], out=np.zeros(len(rows)), where=p[:, 0] > 0.0)
    return np.asarray(square / (_FREE * np.sum(above, axis=1) ** 2))


@dataclass(frozen=True, eq=False)
class ImageFit:
    """How strong spots fit their profiles, one row per image. Made by `integrate`.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> fit = stills.integrate(data.images(), data.experiment, d_min=4.0, width=stills.RockingWidth(1e-3)).fit
    >>> bool(abs(np.median(fit.chi2) - 1) < 0.3), fit.worst.tolist()
    (True, [])
    """

    spots: NDArray[np.int64]
    """int64 [images]: strong spots, all pixels of whose cores could be used"""
    chi2: NDArray[np.float64]
    """float64 [images]: per degree of freedom, median of the spots; 1 = noise alone, NaN = no spot"""
    misfit: NDArray[np.float64]
    """float64 [images]: median of (chi^2 - degrees of freedom) / J, which does not depend on J; NaN = no spot"""
    misfit_error: NDArray[np.float64]
    """float64 [images]: standard error of that"""
    profile_error: NDArray[np.float64]
    """float64 [images]: k, 0 where the spots show none"""

    @classmethod
    def of(
        cls, images: int, image: NDArray[np.integer], fit: NDArray[np.float64], intensity: NDArray[np.float64]
    ) -> Self:
        """Of strong spots.

        Parameters
        ----------
        images : int
        image : int [m]
            Of each spot.
        fit : float64 [m, 3]
            As `spot_fit` gives it.
        intensity : float64 [m]
            Sums over the cores, counts.
        """
        good = np.isfinite(fit).all(axis=1) & (intensity > 0.0)
        image, fit, intensity = image[good], fit[good], intensity[good]
        per_freedom, misfit = fit[:, 0] / np.maximum(fit[:, 1], 1.0), (fit[:, 0] - fit[:, 1]) / intensity
        columns = np.full((4, images), np.nan)
        overall = _profile_error(fit[:, 2])
        columns[3] = overall
        for number in np.unique(image):
            rows = image == number
            middle = np.median(misfit[rows])
            error = _OF_MEDIAN * np.median(np.abs(misfit[rows] - middle)) / np.sqrt(rows.sum())
            own = _profile_error(fit[rows, 2]) if rows.sum() >= _ENOUGH else overall
            columns[:, number] = np.median(per_freedom[rows]), middle, error, own
        return cls(np.bincount(image, minlength=images), *columns)

    def __repr__(self) -> str:
        return f"<ImageFit: {counted(len(self.chi2), 'image')}, chi^2 {range_text(self.chi2) or '-'}>"

    def _repr_html_(self) -> str:
        facts = {
            "images": len(self.chi2),
            "strong spots": int(self.spots.sum()),
            "chi^2 per pixel": range_text(self.chi2) or None,
            "profile error": range_text(self.profile_error) or None,
            "images that are not like their profiles": len(self.worst),
        }
        return html_table("ImageFit", facts)

    @property
    def worst(self) -> NDArray[np.intp]:
        """Numbers of the images whose spots are less like their profiles than those of the run, worst first."""
        good = np.isfinite(self.misfit) & (self.spots >= _FEW)
        if not good.any():
            return np.zeros(0, dtype=np.intp)
        usual = max(float(np.quantile(self.misfit[good], 0.25)), 0.0)
        limit = _SMALL + _TIMES * usual + _ERRORS * self.misfit_error
        bad = np.flatnonzero(good & (self.misfit > np.where(good, limit, np.inf)))
        return bad[np.argsort(-self.misfit[bad], kind="stable")]

    def named(self, names: Sequence[str]) -> list[str]:
        """The `worst` images with their chi^2, and how many more there are."""
        told = [f"{names[image]} ({self.chi2[image]:.1f})" for image in self.worst[:_NAMED]]
        rest = len(self.worst) - len(told)
        return [*told, f"{rest} more"] if rest else told

    def warning(self, names: Sequence[str]) -> str:
        """What is to be said of them; "" = nothing."""
        if not len(self.worst):
            return ""
        usual = np.nanmedian(np.delete(self.chi2, self.worst)) if len(self.worst) < len(self.chi2) else np.nan
        return (
            f"strong spots are not like their profiles on {counted(len(self.worst), 'image')} "
            f"(chi^2 per pixel, {usual:.1f} on the others): {', '.join(self.named(names))}; are their crystals split, "
            "or their orientations off?"
        )

    def uncertain(self, observations: Observations, captured: NDArray[np.floating]) -> Observations:
        """Observations with `profile_error`, which is in their sigma as well.

        Parameters
        ----------
        observations : Observations
        captured : float [n]
            Share f of each in the pixels that were used.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            missing = np.sqrt(np.clip((1.0 - captured) / captured, 0.0, None))
        error = self.profile_error[observations.image] * np.where(np.isfinite(missing), missing, 0.0)
        signal = np.maximum(observations.intensity, 0.0)
        sigma = np.where(error > 0.0, np.hypot(observations.sigma, error * signal), observations.sigma)
        return observations.replace(sigma=sigma, profile_error=error)


def _profile_error(square: NDArray[np.float64]) -> float:
    """k of spots: the root of their mean, where that is above what chance makes of it."""
    square = np.minimum(square, 1.0)
    if len(square) < _FEW or not square.mean() > _ERRORS * square.std() / np.sqrt(len(square)):
        return 0.0
    return float(np.sqrt(square.mean()))
