"""Term 3, as a diagnostic: where spots are seen against where they are predicted, image by image.

The residual is split into a radial part, which a wrong distance or cell shows in, and a tangential part, which a wrong
orientation shows in. What to do about it is the business of `crystint.stills.scaling.geometry_refinement`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.errors import ShapeError
from crystint.model.experiment import Experiment
from crystint.prediction.offsets import excitation_of, rays
from crystint.stills.scaling.robust import huber_weight, median_spread

__all__ = ["CentroidResiduals", "ImageResiduals", "centroid_residuals"]

_LIMIT = 3.0
_WIDE = 0.5
"""px to both sides of a place for the derivatives of its ray"""


@dataclass(frozen=True, eq=False)
class ImageResiduals:
    """Per image, all [n_images]; NaN where it has no spots."""

    spots: NDArray[np.intp]
    radial: Floats
    """px: robust mean; positive = seen further out than predicted"""
    tangential: Floats
    """px"""
    radial_sigma: Floats
    """px: of the mean, from the spread of the spots"""
    tangential_sigma: Floats
    """px"""
    radial_rms: Floats
    """px: about 0, robust"""
    tangential_rms: Floats
    """px"""
    radial_inverse: Floats
    """1/angstrom: robust mean"""
    tangential_inverse: Floats
    """1/angstrom"""

    def off(self, limit: float = 5.0, least: float = 0.3) -> dict[int, str]:
        """Images whose mean residual is above `limit` sigma and above `least` px, and which part it is."""
        components = {}
        for number in np.flatnonzero(self.spots > 0):
            parts = []
            for name in ("radial", "tangential"):
                value, sigma = getattr(self, name)[number], getattr(self, f"{name}_sigma")[number]
                if abs(value) > least and abs(value) > limit * sigma:
                    parts.append(f"{name} {value:+.2f} px")
            if parts:
                components[int(number)] = f"spots are seen off their prediction: {', '.join(parts)}"
        return components


@dataclass(frozen=True, eq=False)
class CentroidResiduals:
    """Per spot, observed minus predicted; NaN where there is no centroid or no panel."""

    image: NDArray[np.intp]
    """intp [n]"""
    radial: Floats
    """float64 [n], 1/angstrom, away from the beam"""
    tangential: Floats
    """float64 [n], 1/angstrom, along u x s0"""
    radial_sigma: Floats
    """float64 [n], 1/angstrom"""
    tangential_sigma: Floats
    """float64 [n], 1/angstrom"""
    radial_pixel: Floats
    """float64 [n], 1/angstrom per px in the radial direction: radial / radial_pixel is in px"""
    tangential_pixel: Floats
    """float64 [n], 1/angstrom per px"""

    @property
    def used(self) -> NDArray[np.bool_]:
        """bool [n]: rows with a residual and a sigma; of hkl 0 0 0, which has no direction, there is none."""
        sigma, pixel = self.radial_sigma + self.tangential_sigma, self.radial_pixel * self.tangential_pixel
        good = np.isfinite(self.radial + self.tangential) & np.isfinite(sigma) & (sigma > 0.0)
        return np.asarray(good & (pixel > 0.0))

    def floor(self) -> tuple[float, float]:
        """Spread, px, that the sigmas from counts do not explain (sampling, profile, model), radial and tangential.

        0.1 to 0.9 px on real data, against 0.01 to 0.1 px from counts: it limits what centroids say.
        """
        floors = []
        for part in ("radial", "tangential"):
            pixel = getattr(self, f"{part}_pixel")[self.used]
            spread = median_spread(getattr(self, part)[self.used] / pixel)[1]
            counted = np.median(getattr(self, f"{part}_sigma")[self.used] / pixel) if pixel.size else np.nan
            floors.append(float(np.sqrt(max(spread**2 - counted**2, 0.0))) if pixel.size else float("nan"))
        return floors[0], floors[1]

    def per_image(self, n_images: int) -> ImageResiduals:
        """Robust means and spreads of each image."""
        use, floor = self.used, self.floor()
        image = self.image[use]
        count = np.bincount(image, minlength=n_images)
        columns: dict[str, Floats] = {}
        for part, extra in zip(("radial", "tangential"), floor, strict=True):
            pixel = getattr(self, f"{part}_pixel")[use]
            value = getattr(self, part)[use] / pixel
            variance = (getattr(self, f"{part}_sigma")[use] / pixel) ** 2 + max(extra, 1e-3) ** 2
            mean = np.zeros(n_images)
            weight = 1.0 / variance
            for _ in range(10):
                weight = huber_weight((value - mean[image]) / np.sqrt(variance), _LIMIT) / variance
                total = np.bincount(image, weight, n_images)
                with np.errstate(divide="ignore", invalid="ignore"):
                    mean = np.bincount(image, weight * value, n_images) / total
            with np.errstate(divide="ignore", invalid="ignore"):
                spread = np.bincount(image, weight * (value - mean[image]) ** 2, n_images) / total
                columns[f"{part}_sigma"] = np.sqrt(spread / np.maximum(count - 1, 1))
                near = huber_weight(value / np.sqrt(variance), _LIMIT) / variance
                square = np.bincount(image, near * value**2, n_images) / np.bincount(image, near, n_images)
                columns[f"{part}_rms"] = np.sqrt(square)
                columns[f"{part}_inverse"] = mean * np.bincount(image, pixel, n_images) / count
            columns[part] = mean
        return ImageResiduals(spots=count, **columns)


def centroid_residuals(
    experiment: Experiment,
    image: ArrayLike,
    hkl: NDArray[Any],
    slow: ArrayLike,
    fast: ArrayLike,
    sigma_slow: ArrayLike,
    sigma_fast: ArrayLike,
) -> CentroidResiduals:
    """Residuals of observed centroids against the prediction of an experiment.

    Parameters
    ----------
    image : int [n]
    hkl : int [n, 3]
    slow, fast : float [n]
        Centroids, px of the frame from the outer corner; NaN = none.
    sigma_slow, sigma_fast : float [n]
        Their standard deviations from the counts, px.

    Raises
    ------
    ShapeError
        When the columns differ in length.
    """
    image = np.asarray(image, dtype=np.intp)
    columns = [np.asarray(column, dtype=np.float64) for column in (slow, fast, sigma_slow, sigma_fast)]
    if any(column.shape != image.shape for column in columns) or np.shape(hkl) != (len(image), 3):
        shapes = [column.shape for column in columns]
        raise ShapeError(f"image is {image.shape}, hkl {np.shape(hkl)}, the others {shapes}: not one table")
    slow, fast, sigma_slow, sigma_fast = columns
    # the place itself, and places beside it along slow and fast, for the derivatives
    seen = rays(experiment, image, slow, fast)
    offsets = excitation_of(experiment, image, hkl, seen)
    slopes: dict[str, list[Floats]] = {"radial": [], "tangential": []}
    for step in ((_WIDE, 0.0), (0.0, _WIDE)):
        sides = []
        for sign in (1.0, -1.0):
            ray = rays(experiment, image, slow + sign * step[0], fast + sign * step[1])
            sides.append(np.where(np.isfinite(ray), ray, seen))
        ends = [excitation_of(experiment, image, hkl, ray) for ray in sides]
        with np.errstate(divide="ignore", invalid="ignore"):
            # at the edge of a panel one side is the place itself
            width = _WIDE * np.sum([(side != seen).any(axis=1) for side in sides], axis=0)
            for part in slopes:
                slopes[part].append((getattr(ends[0], part) - getattr(ends[1], part)) / width)
    pixel = {part: np.hypot(*slopes[part]) for part in slopes}
    sigma = {part: np.hypot(slopes[part][0] * sigma_slow, slopes[part][1] * sigma_fast) for part in slopes}
    return CentroidResiduals(
        image=image,
        radial=offsets.radial,
        tangential=offsets.tangential,
        radial_sigma=sigma["radial"],
        tangential_sigma=sigma["tangential"],
        radial_pixel=pixel["radial"],
        tangential_pixel=pixel["tangential"],
    )
