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
from crystint.errors import SettingError, warn
from crystint.html import html_table
from crystint.model.experiment import Experiment
from crystint.model.facts import counted
from crystint.prediction.offsets import rays
from crystint.prediction.partiality import RockingWidth
from crystint.stills.scaling.centroids import CentroidResiduals, centroid_residuals
from crystint.stills.scaling.gain import Gain, gain_of
from crystint.stills.scaling.geometry_moves import excitations, moved, reach_of, slopes_of_offsets
from crystint.stills.scaling.robust import huber_loss, huber_weight, median_spread

__all__ = ["GeometryRefinement", "refine_geometry"]

_LIMIT = 3.0
_CYCLES = 6
_NAMED = 3
_HELD = 1e-12
"""standard deviation of a distance that is not refined"""


@dataclass(frozen=True, eq=False)
class GeometryRefinement:
    """A new experiment, and what it is worth. Made by `refine_geometry`."""

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
    gain: tuple[Gain, Gain]
    """of the spots left out: in their places, and in their excitations, minus twice the log likelihood of a spot"""
    failed: dict[int, str]
    """image -> why it was not refined"""

    def __repr__(self) -> str:
        return (
            f"<GeometryRefinement: {len(self.rotation) - len(self.failed)} of {counted(len(self.rotation), 'image')} "
            f"turned by {np.degrees(self.turned):.3f} degrees (rms), it {'helps' if self.helps else 'does not help'}>"
        )

    def _repr_html_(self) -> str:
        facts = {
            "images refined": len(self.rotation) - len(self.failed),
            "rotation, rms (degrees)": float(np.degrees(self.turned)),
            "floor of centroids, radial and tangential (px)": "{:.2f}, {:.2f}".format(*self.floor),
            "verdict": self.verdict,
        }
        return html_table("GeometryRefinement", facts)

    @property
    def turned(self) -> float:
        """rad: rms angle of the images that were refined."""
        angle = np.linalg.norm(self.rotation, axis=1)
        return float(np.sqrt(np.nanmean(angle**2))) if np.isfinite(angle).any() else 0.0

    @property
    def helps(self) -> bool:
        """Spots that the fit did not see are explained better: in their places or their excitations, worse in neither.

        By two standard errors between images. The distances of `before` and `after` tell less: the spread of centroids
        is in both, and hides what places gain.
        """
        return any(gain.certain for gain in self.gain) and not any(gain.harms for gain in self.gain)

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
    experiment : Experiment
    image, hkl : int [n] and [n, 3]
        Of strong spots.
    slow, fast : float [n]
        Where they are seen: centroids, px of the frame from the outer corner; NaN = none.
    sigma_slow, sigma_fast : float [n]
        Their standard deviations from the counts, px.
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

    Returns
    -------
    GeometryRefinement
        The experiment to go on with if it `helps`, and the errors of what was moved. Spots of hkl 0 0 0 are left out,
        with a warning: no reflection is there.

    Raises
    ------
    SettingError
        When a prior, the floor or `min_spots` is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import stills
    >>> data = stills.simulate_stills(10, d_min=3.0, shape=(900, 920), orientation_error=1e-3, seed=1)
    >>> spots = data.listed.select(data.listed.signal > 200.0)  # where they are seen: here the truth
    >>> sigma = 2.5 / np.sqrt(spots.signal)
    >>> places, width = (spots.slow, spots.fast, sigma, sigma), stills.RockingWidth(1e-3)
    >>> refined = stills.refine_geometry(data.experiment, spots.image, spots.hkl, *places, width=width)
    >>> refined.helps, refined.failed
    (True, {})
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
    no_reflection = ~spots.hkl.any(axis=1)
    if no_reflection.any():
        where = ", ".join(experiment.name[number] for number in np.unique(spots.image[no_reflection])[:_NAMED])
        warn(f"{counted(int(no_reflection.sum()), 'spot')} of hkl 0 0 0 (on {where}) left out: no reflection is there")
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
        _gains(experiment, other, spots, out, floors),
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


def _gains(
    before: Experiment, after: Experiment, spots: _Spots, rows: NDArray[np.bool_], floors: tuple[float, float]
) -> tuple[Gain, Gain]:
    """What spots gain by new orientations, in places and in excitations."""
    image, hkl = spots.image[rows], spots.hkl[rows]
    if not rows.any():
        return gain_of(np.zeros(0), np.zeros(0), image), gain_of(np.zeros(0), np.zeros(0), image)
    places, away = [], []
    spread = median_spread(excitations(before, image, hkl))[1]
    for experiment in (before, after):
        residuals = spots.residuals(experiment)
        loss = np.zeros(len(image))
        for part, floor in zip(("radial", "tangential"), floors, strict=True):
            pixel = getattr(residuals, f"{part}_pixel")[rows]
            sigma = np.hypot(getattr(residuals, f"{part}_sigma")[rows], floor * pixel)
            loss += huber_loss(getattr(residuals, part)[rows] / sigma, _LIMIT)
        places.append(loss)
        away.append(huber_loss(excitations(experiment, image, hkl) / max(spread, 1e-300), _LIMIT))
    return gain_of(places[0], places[1], image), gain_of(away[0], away[1], image)


def _off(residuals: CentroidResiduals, rows: NDArray[np.bool_]) -> float:
    parts = (
        getattr(residuals, part)[rows] / getattr(residuals, f"{part}_pixel")[rows] for part in ("radial", "tangential")
    )
    return float(np.median(np.hypot(*parts))) if rows.any() else float("nan")


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
