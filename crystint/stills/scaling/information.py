"""What the three terms of one image tell about its parameters: information matrices, and the correlations they leave.

Per reflection there is an intensity (term 1), a second moment (term 2) and a centroid of two parts (term 3). Their
residuals over sigma, differentiated by all parameters, give the information J^T W J of each term; the sum, and the
priors, give the covariance. So it can be read off which parameters a set of terms ties together:

- terms 2 and 3 say nothing about scale and temperature factor; term 3 nothing about the width of the spots either;
- with R1 measured on the same image and J integrated with it, the error of R1 does reach J (`shared_width`): little
  with expected weights, one to one with uniform ones. With R1 from other images it does not;
- G and the rocking width stay tied within one image (one reason to fit the width to all of them);
- the excitation, and by it term 1, depends on the two rotations across the beam: that block is not empty.

`per_pixel` is the same for a fit of all pixels at once, the thing that the factored terms replace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError
from crystint.model.experiment import Experiment
from crystint.prediction.partiality import RockingWidth
from crystint.stills.scaling.geometry_moves import excitations, slopes_of_offsets
from crystint.stills.scaling.spot_information import Weights, spot_information

__all__ = ["PARAMETERS", "Information", "image_information"]

PARAMETERS = ("ln G", "B", "ln R1", "ln domain", "ln mosaicity", "rot x", "rot y", "rot z", "distance")
"""B in angstrom^2, rotations in rad about the axes of the laboratory, the distance as a relative change"""


@dataclass(frozen=True, eq=False)
class Information:
    """Information matrices about `names`, one for each term."""

    names: tuple[str, ...]
    terms: dict[str, Floats]
    """term -> float64 [p, p]"""
    priors: dict[str, float] = field(default_factory=dict)
    """parameter -> standard deviation"""

    @property
    def matrix(self) -> Floats:
        """float64 [p, p]: of all terms and priors."""
        prior = [1.0 / self.priors[name] ** 2 if name in self.priors else 0.0 for name in self.names]
        return np.asarray(np.sum(list(self.terms.values()), axis=0) + np.diag(prior))

    def of(self, *terms: str) -> Information:
        """That of some terms only, priors kept."""
        missing = [term for term in terms if term not in self.terms]
        if missing:
            raise SettingError(f"no term {missing[0]!r}; there are {', '.join(self.terms)}")
        return Information(self.names, {term: self.terms[term] for term in terms}, self.priors)

    def without(self, *names: str) -> Information:
        """With some parameters known and fixed."""
        keep = [i for i, name in enumerate(self.names) if name not in names]
        at = np.ix_(keep, keep)
        return Information(
            tuple(self.names[i] for i in keep), {term: value[at] for term, value in self.terms.items()}, self.priors
        )

    @property
    def covariance(self) -> Floats:
        """float64 [p, p]; NaN for parameters that nothing is known about."""
        matrix = self.matrix
        determined = np.flatnonzero(np.diag(matrix) > 0.0)
        scale = np.sqrt(np.diag(matrix)[determined])
        inverse = np.linalg.pinv(
            matrix[np.ix_(determined, determined)] / np.outer(scale, scale), rcond=1e-12, hermitian=True
        )
        result = np.full(matrix.shape, np.nan)
        result[np.ix_(determined, determined)] = inverse / np.outer(scale, scale)
        return result

    @property
    def sigma(self) -> dict[str, float]:
        """Standard deviation of each parameter, the others unknown."""
        return dict(zip(self.names, np.sqrt(np.diag(self.covariance)).tolist(), strict=True))

    @property
    def correlations(self) -> Floats:
        """float64 [p, p] of the parameters' errors."""
        covariance = self.covariance
        sigma = np.sqrt(np.diag(covariance))
        with np.errstate(invalid="ignore"):
            return np.asarray(covariance / np.outer(sigma, sigma))

    def correlation(self, one: str, other: str) -> float:
        """Of two parameters' errors."""
        return float(self.correlations[self.names.index(one), self.names.index(other)])

    def coupling(self, term: str, one: Sequence[str], other: Sequence[str]) -> float:
        """Largest element of a term's information between two blocks, over the root of the diagonal of all terms.

        0: the term does not tie the blocks together; towards 1: it does.
        """
        diagonal = np.sqrt(np.diag(self.matrix))
        rows, columns = ([self.names.index(name) for name in block if name in self.names] for block in (one, other))
        if not rows or not columns:
            return 0.0
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.abs(self.terms[term] / np.outer(diagonal, diagonal))[np.ix_(rows, columns)]
        return float(np.nanmax(part))

    def text(self) -> str:
        """Standard deviations, and correlations in per cent below them, as a table."""
        width = max(len(name) for name in self.names) + 2
        lines = [
            f"terms: {', '.join(self.terms)}"
            + "".join(f"; prior {name} +- {value:g}" for name, value in self.priors.items()),
            " " * width + "sigma".rjust(11) + "".join(name.rjust(width) for name in self.names),
        ]
        correlations, sigma = self.correlations, self.sigma
        for row, name in enumerate(self.names):
            cells = ["" if column > row else _percent(correlations[row, column]) for column in range(len(self.names))]
            lines.append(name.ljust(width) + f"{sigma[name]:11.3g}" + "".join(cell.rjust(width) for cell in cells))
        return "\n".join(line.rstrip() for line in lines)


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100.0 * value:.0f}"


def image_information(
    experiment: Experiment,
    image: int,
    hkl: NDArray[Any],
    *,
    signal: Floats,
    background: Floats,
    width: RockingWidth,
    spot_width: Floats | float,
    pixel: float,
    weights: Weights = "expected",
    floor: float = 0.0,
    shared_width: bool = True,
    per_pixel: bool = False,
    priors: Mapping[str, float] | None = None,
) -> Information:
    """Information of one image about its parameters.

    Parameters
    ----------
    image : int
        Row of the experiment.
    hkl : int [n, 3]
        Reflections whose intensities are measured.
    signal : float64 [n]
        Photons expected in each, at its partiality.
    background : float64 [n]
        Photons per pixel.
    width : RockingWidth
        Its terms that are 0 are no parameters.
    spot_width : float64 [n] or float
        R1, 1/angstrom, of the profile exp(-e_t^2 / R1^2).
    pixel : float
        Size of a pixel in 1/angstrom: size / (wavelength distance).
    weights : "expected" or "uniform"
        Variance of pixels while integrating: of background and signal, or of the background alone.
    floor : float
        px: error of centroids that counts do not explain.
    shared_width : bool
        R1 is measured on this image and used to integrate it, so that its error moves the intensities of term 1. False:
        it comes from elsewhere.
    per_pixel : bool
        One term instead of three: a fit of all pixels.
    priors : mapping, optional
        Parameter -> standard deviation.

    Raises
    ------
    ShapeError
        When the columns differ in length.
    SettingError
        When a prior is of an unknown parameter, or not above 0.
    """
    n = len(hkl)
    signal, background = np.asarray(signal, dtype=np.float64), np.asarray(background, dtype=np.float64)
    spot = np.broadcast_to(np.asarray(spot_width, dtype=np.float64), (n,))
    if not signal.shape == background.shape == (n,):
        raise ShapeError(f"signal is {signal.shape}, background {background.shape}; expected {(n,)}")
    for name, value in (priors or {}).items():
        if name not in PARAMETERS or not value > 0.0:
            raise SettingError(f"prior of {name!r} is {value!r}; expected a number above 0, of {', '.join(PARAMETERS)}")
    number = np.full(n, image, dtype=np.intp)
    index = np.asarray(hkl, dtype=np.float64)
    s1 = experiment.incident[image] + index @ experiment.setting[image].T
    ray = s1 / np.linalg.norm(s1, axis=1)[:, None]
    d = 1.0 / np.linalg.norm(s1 - experiment.incident[image], axis=1)
    beam = experiment.incident[image] * experiment.wavelength[image]
    # of a flat detector across the beam: the part of the way that is along the beam
    reach = np.abs(ray @ beam)
    radial, tangential, excitation_by = slopes_of_offsets(experiment, number, hkl, ray, reach)

    excitation = excitations(experiment, number, np.asarray(hkl))
    rocking = width.at(d, experiment.wavelength[image])
    slope = 2.0 * (excitation / rocking**2) ** 2  # d ln p / d R^2 times 2
    intensity = np.zeros((n, len(PARAMETERS)))
    intensity[:, 0] = 1.0
    intensity[:, 1] = -0.25 / d**2
    intensity[:, 3] = slope * width.domain**2
    intensity[:, 4] = slope * (width.mosaicity / d) ** 2
    intensity[:, 5:] = (-2.0 * excitation / rocking**2)[:, None] * excitation_by
    shape, places = np.zeros_like(intensity), (np.zeros_like(intensity), np.zeros_like(intensity))
    shape[:, 2] = 1.0
    for place, by in zip(places, (radial, tangential), strict=True):
        place[:, 5:] = by

    facts = spot_information(signal, background * np.pi * (spot / pixel) ** 2, weights)
    if per_pixel:
        both = np.einsum("n,ni,nj->ij", facts.both, intensity, shape)
        terms = {
            "pixels": _square(facts.amplitude, intensity)
            + _square(facts.width, shape)
            + both
            + both.T
            + sum(_square(facts.shift / spot**2, place) for place in places)
        }
    else:
        if shared_width:
            # the residual is J(R1) - model: the derivative of J goes the other way
            intensity[:, 2] = -facts.sensitivity
        # <e_t^2> of a two-dimensional Gaussian has a relative variance of 1 / N, each part of a centroid R^2 / (2 N)
        variance = 0.5 * spot**2 / facts.photons + (floor * pixel) ** 2
        terms = {
            "intensity": _square(facts.achieved, intensity),
            "shape": _square(4.0 * facts.photons, shape),
            "position": sum((_square(1.0 / variance, place) for place in places), np.zeros((9, 9))),
        }
    gone = [name for name, value in (("ln domain", width.domain), ("ln mosaicity", width.mosaicity)) if value == 0.0]
    return Information(PARAMETERS, terms, dict(priors or {})).without(*gone)


def _square(weight: Floats, slopes: Floats) -> Floats:
    return np.asarray(np.einsum("n,ni,nj->ij", weight, slopes, slopes))
