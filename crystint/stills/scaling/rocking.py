"""The rocking width of the crystals, one for all images: two-level fit of domain and mosaicity.

Partiality multiplies the intensity as the scale does, so that a width fitted to one image trades against the image's
scale (correlation about -0.5). So there is one width for all: the outer level moves it, the inner level lets every
image find its best scale and temperature factor for it. Both are one Gauss-Newton problem whose per-image unknowns
are eliminated (Schur complement), which also gives the uncertainty of the width with the scales free.

    R^2 = domain^2 + (mosaicity / d)^2 + (bandwidth wavelength)^2 / (2 d^4);   unknown: domain^2 and mosaicity^2 >= 0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError
from crystint.html import html_table
from crystint.model.experiment import Experiment
from crystint.model.facts import counted
from crystint.model.observations import Observations
from crystint.model.symmetry import as_space_group, groups
from crystint.prediction.partiality import RockingWidth
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.expected import SignalVariance
from crystint.stills.scaling.rocking_fit import RockingProblem
from crystint.stills.scaling.table import ScalingTable, misoriented

__all__ = ["RockingFit", "excitation_sweep", "fit_rocking"]

_SCAN = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
"""widths tried at first, in units of the start: a fit from far away may end in a side minimum"""


class _Reference(Protocol):
    def match(self, hkl: NDArray[np.int32], space_group: gemmi.SpaceGroup) -> Floats: ...


@dataclass(frozen=True, eq=False)
class RockingFit:
    """The width that fits best, and how well it is known. Made by `fit_rocking`."""

    width: RockingWidth
    """the fitted width"""
    covariance: Floats
    """float64 [2, 2] of (domain^2, mosaicity^2), in 1/angstrom^2 and rad^2; 0 for what was not fitted"""
    chi2: float
    """weighted mean square residual; 1 is as expected from the variances, error model in"""
    images: int
    """images that were used"""
    used: int
    """observations that were used"""
    error_model: ErrorModel
    """of the residuals"""
    scan: Floats
    """float64 [m, 2]: domain and minus twice the log likelihood per observation, of the widths tried at first"""
    iterations: int
    """steps that were made"""
    converged: bool
    """whether it stood still"""
    note: str = ""
    """what a reader should know; empty = nothing"""

    def __repr__(self) -> str:
        width, state = self.width, "converged" if self.converged else "not converged"
        return (
            f"<RockingFit: domain {width.domain:.4g} ± {self.sigma_domain:.2g} 1/angstrom, mosaicity "
            f"{width.mosaicity:.4g} rad, {counted(self.images, 'image')}, {state}>"
        )

    def _repr_html_(self) -> str:
        facts = {
            "domain (1/angstrom)": f"{self.width.domain:.4g} ± {self.sigma_domain:.2g}",
            "mosaicity (rad)": f"{self.width.mosaicity:.4g} + {self.sigma_mosaicity:.2g}",
            "bandwidth": self.width.bandwidth,
            "images": self.images,
            "observations": self.used,
            "chi^2": self.chi2,
            "iterations": self.iterations,
            "converged": self.converged,
            "note": self.note or None,
        }
        return html_table("RockingFit", facts)

    @property
    def sigma_domain(self) -> float:
        """Standard deviation of `width.domain`, 1/angstrom; NaN where that is 0."""
        domain = self.width.domain
        return float(np.sqrt(self.covariance[0, 0]) / (2.0 * domain)) if domain > 0.0 else float("nan")

    @property
    def sigma_mosaicity(self) -> float:
        """How much larger the mosaicity is, rad, with its square one standard deviation up; also where it is 0."""
        mosaicity = self.width.mosaicity
        return float(np.sqrt(mosaicity**2 + np.sqrt(self.covariance[1, 1])) - mosaicity)

    @property
    def mosaicity_significance(self) -> float:
        """mosaicity^2 in units of its standard deviation: below 2 or 3 a constant width does as well."""
        spread = float(np.sqrt(self.covariance[1, 1]))
        return self.width.mosaicity**2 / spread if spread > 0.0 else 0.0


def fit_rocking(
    observations: Observations,
    experiment: Experiment,
    *,
    reference: _Reference,
    space_group: gemmi.SpaceGroup | str,
    start: RockingWidth,
    merged: bool = False,
    mosaicity: bool = True,
    max_images: int = 200,
    limit: float = 4.0,
    gain: float | None = None,
    fit_errors: bool = True,
    prior_ln_g: float = 1.5,
    prior_b: float = 20.0,
    max_iterations: int = 60,
) -> RockingFit:
    """Fit the rocking width of a whole data set.

    Parameters
    ----------
    observations
        With `excitation`; their partialities are not used, those of the width under trial are. They should reach out
        to where the partiality has faded (a band of 1.5 widths or more): what was never predicted cannot show how
        wide the curve is.
    experiment
        Its wavelengths, and the change of the excitation over the exposure where it has a `sweep`.
    reference
        Whatever has `match(hkl, space_group)`: known intensities, or merged ones of the same data.
    start
        Width to begin with, right within a factor of about 4; its bandwidth is kept as it is.
    merged
        The reference was merged from these observations: it is what the intensities begin with, and they are fitted
        along, as weighted means. Only reflections that were observed several times say anything then.
    mosaicity
        False: keep that of `start` and fit the domain term alone.
    max_images
        So many images, evenly spread over the data set, are enough.
    limit
        Residual, in sigma, from which an observation pulls no harder (Huber).
    fit_errors
        Fit an error model to the residuals on the way.
    space_group
        By which reflections are equivalent.
    gain, prior_ln_g, prior_b, max_iterations
        As `crystint.stills.scale`.

    Returns
    -------
    RockingFit
        The `width`, its errors, and how well it explains the data.

    Raises
    ------
    SettingError
        When no observation can be used: nothing usable, no excitations, or none that the reference knows.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(20, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> observations, group = data.observations(), data.experiment.space_group
    >>> start = stills.RockingWidth(2e-3)
    >>> fit = stills.fit_rocking(
    ...     observations, data.experiment, reference=data.reference(), space_group=group, start=start
    ... )
    >>> bool(abs(fit.width.domain / 1e-3 - 1) < 0.2)  # simulated with 1e-3
    True
    """
    target = np.asarray(reference.match(observations.hkl, as_space_group(space_group)), dtype=np.float64)
    # partialities are renewed here, so the ones given must not hide a row
    bare = observations.replace(partiality=np.ones(len(observations)))
    use = bare.usable & np.isfinite(target) & np.isfinite(observations.excitation)
    use &= ~np.isin(observations.image, list(misoriented(experiment)))
    count = np.bincount(observations.image[use], minlength=len(experiment))
    images = np.flatnonzero(count >= 10)
    if not len(images):
        raise SettingError(
            "no image has 10 usable observations with an excitation and a reference intensity; of "
            f"{len(observations)} rows {int(bare.usable.sum())} are usable, "
            f"{int(np.isfinite(observations.excitation).sum())} have an excitation, {int(np.isfinite(target).sum())} "
            "a reference"
        )
    if len(images) > max_images:
        images = images[np.linspace(0, len(images) - 1, max_images).round().astype(np.intp)]
    use &= np.isin(observations.image, images)
    number = np.zeros(0, dtype=np.intp)
    if merged:
        number = groups(observations.hkl, space_group)[1]
        use &= np.bincount(number[use], minlength=int(number.max(initial=0)) + 1)[number] > 1
        if not use.any():
            raise SettingError(
                "no reflection was observed twice: without a reference nothing tells of the rocking width"
            )
    rows = np.flatnonzero(use)
    chosen = bare.select(rows)
    variance = SignalVariance.of(chosen, gain)
    table = ScalingTable.of(chosen, np.ones(len(rows), dtype=bool), variance)
    rows = rows[table.row]
    image = observations.image[rows]
    wavelength = observations.wavelength[rows].astype(np.float64)
    problem = RockingProblem(
        table=table,
        target=target[rows],
        excitation=observations.excitation[rows],
        sweep=None if experiment.sweep is None else excitation_sweep(experiment, image, observations.hkl[rows]),
        d=observations.d[rows],
        wavelength=np.where(np.isfinite(wavelength), wavelength, experiment.wavelength[image]),
        bandwidth=start.bandwidth,
        limit=limit,
        prior=(prior_ln_g, prior_b),
        fit_errors=fit_errors,
        group=np.unique(number[rows], return_inverse=True)[1] if merged else None,
    )
    scan = np.array(
        [
            (start.domain * factor, problem.likelihood(start.domain * factor, start.mosaicity * factor))
            for factor in _SCAN
        ]
    )
    best = _SCAN[int(np.argmin(scan[:, 1]))]
    problem.fit(start.domain * best, start.mosaicity * best, mosaicity, max_iterations)
    square, spread = problem.width2, problem.covariance
    edge = _SCAN.index(best) in (0, len(_SCAN) - 1)
    notes = [
        "the first scan ended at its edge: the start was far off, or the band of the prediction is too narrow"
    ] * edge
    if not problem.converged:
        notes.append(f"still moving after {problem.iterations} iterations")
    if square[0] <= 0.0 and not square[1:].any():
        notes.append("the width went to 0")
    width = RockingWidth(float(np.sqrt(square[0])), float(np.sqrt(square[1])), start.bandwidth)
    return RockingFit(
        width, spread, problem.chi2, len(table.images), len(table), problem.error_model, scan, problem.iterations,
        problem.converged, "; ".join(notes),
    )  # fmt: skip


def excitation_sweep(experiment: Experiment, image: NDArray[Any], hkl: NDArray[Any]) -> Floats:
    """float64 [n], 1/angstrom: change of the excitation of reflections over the exposure; 0 for stills."""
    if experiment.sweep is None:
        return np.zeros(len(image))
    index = np.asarray(hkl, dtype=np.float64)
    s1 = experiment.incident[image] + np.einsum("nij,nj->ni", experiment.setting[image], index)
    change = np.einsum("nij,nj->ni", experiment.sweep[image], index)
    return np.asarray(np.einsum("ni,ni->n", s1, change) / np.linalg.norm(s1, axis=1))
