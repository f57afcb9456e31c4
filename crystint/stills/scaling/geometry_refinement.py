"""Term 3, as a refinement of orientation and distance from centroids: opt-in, with priors, judged on spots left out.

What to expect: with a few hundred strong spots the counts alone would give the two rotations across the beam to about
0.1 mrad, that about it to 0.02 mrad and the relative distance to 2e-5. The centroids' floor (sampling, profile, mosaic
shape) is ten times and more what counts give: on well-indexed images the refinement moves parameters by what it cannot
know. Positions alone determine the rotations across the beam worst, and these are what partialities depend on: without
`width` they may get worse while the spots come closer to their prediction. It helps where the prediction is off by
more than the floor; `GeometryRefinement.verdict` says which it was, from spots that the fit did not see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError
from crystint.model.experiment import Experiment
from crystint.stills.prediction.offsets import rays
from crystint.stills.prediction.partiality import RockingWidth
from crystint.stills.scaling.centroids import CentroidResiduals, centroid_residuals
from crystint.stills.scaling.geometry_moves import excitations, moved, reach_of, slopes_of_offsets
from crystint.stills.scaling.robust import huber_weight

__all__ = ["GeometryRefinement", "refine_geometry"]

_LIMIT = 3.0
_CYCLES = 6
_HELD = 1e-12
"""standard deviation of a distance that is not refined"""


@dataclass(frozen=True, eq=False)
class GeometryRefinement:
    """A new experiment, and what it is worth."""

    experiment: Experiment
    """images that were not refined are as before; with a distance refined each image has a detector of its own"""
    rotation: Floats
    """float64 [n, 3], rad: rotation vectors in the laboratory frame, of the settings; NaN = not refined"""
    distance: Floats
    """float64 [n]: relative change of the distance along the beam; 0 where it was not refined"""
    covariance: Floats
    """float64 [n, 4, 4] of (rotation, distance), floor of the centroids and priors in"""
    floor: tuple[float, float]
    """px, radial and tangential: spread that counts do not explain, from the residuals before"""
    before: tuple[float, float]
    """median distance, px, of all spots from their prediction, and of those left out of a fit to the other half"""
    after: tuple[float, float]
    """the same, refined"""
    excitation: tuple[float, float]
    """median |excitation| of the spots left out, 1/angstrom, before and refined: what was seen is near the sphere"""
    failed: dict[int, str]

    @property
    def helps(self) -> bool:
        """Spots that the fit did not see come closer to their prediction, by 2 % or more, and not off the sphere."""
        return bool(self.after[1] < 0.98 * self.before[1] and self.excitation[1] <= 1.002 * self.excitation[0])

    @property
    def verdict(self) -> str:
        """In words."""
        answer = "it helps" if self.helps else "it does not help, keep the old geometry"
        return (
            f"{answer}: spots left out of the fit are {self.before[1]:.3f} px from their prediction before, "
            f"{self.after[1]:.3f} px after; {self.excitation[0]:.2e} 1/A from the sphere before, "
            f"{self.excitation[1]:.2e} after"
        )


def refine_geometry(
    experiment: Experiment,
    image: ArrayLike,
    hkl: NDArray[Any],
    slow: ArrayLike,
    fast: ArrayLike,
    sigma_slow: ArrayLike,
    sigma_fast: ArrayLike,
    *,
    prior_rotation: float = 2e-3,
    prior_distance: float | None = None,
    width: RockingWidth | None = None,
    floor: float | None = None,
    min_spots: int = 10,
) -> GeometryRefinement:
    """Rotate each crystal, and move its detector, to where its spots are seen.

    Parameters
    ----------
    image, hkl, slow, fast, sigma_slow, sigma_fast
        As in `centroid_residuals`; of strong spots.
    prior_rotation : float
        rad: how well the orientations are known.
    prior_distance : float, optional
        Relative: how well the distances are known. None = they are right.
    width : optional
        Rocking width: the excitations of the spots, which were seen and so are near the sphere, are residuals too.
    floor : float, optional
        px, added in quadrature to the sigmas; None = measured from the residuals before.
    min_spots : int
        Images with fewer are not refined.

    Raises
    ------
    SettingError
        When a prior, the floor or `min_spots` is not above 0.
    """
    for name, value in (("prior_rotation", prior_rotation), ("prior_distance", prior_distance), ("floor", floor)):
        if value is not None and not (np.isfinite(value) and value > 0.0):
            raise SettingError(f"{name} is {value!r}, expected a number above 0")
    if min_spots < 2:
        raise SettingError(f"min_spots is {min_spots!r}, expected 2 or more")
    spots = _Spots(
        np.asarray(image, dtype=np.intp), np.asarray(hkl),
        *(np.asarray(column, dtype=np.float64) for column in (slow, fast, sigma_slow, sigma_fast)),
    )  # fmt: skip
    start = spots.residuals(experiment)
    floors = start.floor() if floor is None else (floor, floor)
    priors = np.array([prior_rotation] * 3 + [prior_distance or _HELD])
    use = start.used
    every, rotation, distance, covariance = _refine(experiment, spots, use, floors, priors, width, min_spots)
    half = np.zeros(len(use), dtype=bool)
    order = np.flatnonzero(use)[np.argsort(spots.image[use], kind="stable")]
    half[order[::2]] = True
    other, *_ = _refine(experiment, spots, use & half, floors, priors, width, max(min_spots // 2, 2))
    out = use & ~half
    count = np.bincount(spots.image[use], minlength=len(experiment))
    few = np.flatnonzero((count > 0) & (count < min_spots))
    failed = {int(i): f"{experiment.name[i]}: {count[i]} centroids, {min_spots} needed to refine it" for i in few}
    failed |= {int(i): f"{experiment.name[i]}: no centroids" for i in np.flatnonzero(count == 0)}
    return GeometryRefinement(
        every, rotation, distance, covariance, floors,
        (_off(start, use), _off(start, out)),
        (_off(spots.residuals(every), use), _off(spots.residuals(other), out)),
        (_away(experiment, spots, out), _away(other, spots, out)),
        dict(sorted(failed.items())),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Spots:
    image: NDArray[np.intp]
    hkl: NDArray[Any]
    slow: Floats
    fast: Floats
    sigma_slow: Floats
    sigma_fast: Floats

    def residuals(self, experiment: Experiment) -> CentroidResiduals:
        return centroid_residuals(
            experiment, self.image, self.hkl, self.slow, self.fast, self.sigma_slow, self.sigma_fast
        )


def _off(residuals: CentroidResiduals, rows: NDArray[np.bool_]) -> float:
    apart = np.hypot(residuals.radial / residuals.radial_pixel, residuals.tangential / residuals.tangential_pixel)
    return float(np.median(apart[rows])) if rows.any() else float("nan")


def _away(experiment: Experiment, spots: _Spots, rows: NDArray[np.bool_]) -> float:
    return (
        float(np.median(np.abs(excitations(experiment, spots.image[rows], spots.hkl[rows])))) if rows.any() else np.nan
    )


def _refine(
    experiment: Experiment,
    spots: _Spots,
    use: NDArray[np.bool_],
    floors: tuple[float, float],
    priors: Floats,
    width: RockingWidth | None,
    min_spots: int,
) -> tuple[Experiment, Floats, Floats, Floats]:
    n = len(experiment)
    enough = np.bincount(spots.image[use], minlength=n) >= min_spots
    rows = np.flatnonzero(use & enough[spots.image])
    image, hkl = spots.image[rows], spots.hkl[rows]
    total, covariance = np.zeros((n, 4)), np.full((n, 4, 4), np.nan)
    distances = bool(priors[3] > _HELD)
    now = experiment
    for _ in range(_CYCLES if len(rows) else 0):
        residuals = spots.residuals(now)
        ray = rays(now, image, spots.slow[rows], spots.fast[rows])
        slopes = slopes_of_offsets(now, image, hkl, ray, reach_of(now, image, spots.slow[rows], spots.fast[rows]))
        radial = np.hypot(residuals.radial_sigma, floors[0] * residuals.radial_pixel)[rows]
        tangential = np.hypot(residuals.tangential_sigma, floors[1] * residuals.tangential_pixel)[rows]
        parts = [(residuals.radial[rows], radial, slopes[0]), (residuals.tangential[rows], tangential, slopes[1])]
        if width is not None:
            spacing = 1.0 / np.linalg.norm(np.einsum("nij,nj->ni", now.setting[image], hkl.astype(np.float64)), axis=1)
            sigma = width.at(spacing, now.wavelength[image]) / np.sqrt(2.0)
            parts.append((excitations(now, image, hkl), sigma, slopes[2]))
        normal = np.tile(np.diag(priors**-2.0), (n, 1, 1))
        slope = -total * priors**-2.0
        for value, sigma, by in parts:
            weight = huber_weight(value / sigma, _LIMIT) / sigma**2
            for i in range(4):
                slope[:, i] -= np.bincount(image, weight * value * by[:, i], n)
                for j in range(4):
                    normal[:, i, j] += np.bincount(image, weight * by[:, i] * by[:, j], n)
        covariance = np.linalg.inv(normal)
        total += np.einsum("nij,nj->ni", covariance, slope) * enough[:, None]
        total[:, 3] *= distances
        now = moved(experiment, total, enough, distances)
    nothing = ~enough[:, None]
    covariance = np.where(nothing[:, :, None], np.nan, covariance)
    return now, np.where(nothing, np.nan, total[:, :3]), np.where(enough, total[:, 3], 0.0), covariance
