"""How wide the rocking curve is, measured on frames before anything else is known of the crystal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import erf

from crystint.errors import SettingError, warn
from crystint.io.frames.sequence import Frames
from crystint.model.experiment import Experiment
from crystint.model.observations import Flag, Observations
from crystint.prediction.partiality import RockingWidth
from crystint.stills.integration.integrate import integrate_sample

__all__ = ["NoWidthError", "first_width", "width_of"]

_WIDE = RockingWidth(domain=2e-3, mosaicity=2e-3)
_BAND = 1.5
_NARROWER = (0.5, 0.25, 0.125, 0.0625)
"""bands that are tried after the wide one, in its units: where spots are close, a wide band is full of overlaps"""
_WIDER = (2.0, 4.0)
"""and those where intensities hardly fall off within it"""
_TOO_NARROW = 1.0
"""half band over R: the curve is cut off so much that its width is uncertain"""
_TOO_WIDE = 5.0
"""half band over R: most of the reflections in a band so wide are not excited at all"""
_SAMPLE = 20
_LEAST = 0.1
"""of the measured width, where the bandwidth leaves nothing for the crystals"""
_SHELLS = 6
_FEW = 30
"""reflections above 5 sigma that an answer needs"""
_CERTAIN = 2.0
"""errors that the moment must lie below that of a flat distribution"""
_LEAST_ERROR = 0.01
"""of the square of a width, relative"""
_USED = int(Flag.excluding() | Flag.OVERLAPPED)
_RATIO = np.linspace(0.05, 6.0, 600)
"""half band over R"""
_MOMENT = 0.5 * (1.0 - 2.0 * _RATIO * np.exp(-(_RATIO**2)) / (np.sqrt(np.pi) * erf(_RATIO))) / _RATIO**2
"""<e^2> over the square of the half band, falling from 1/3, where all is excited alike"""


class NoWidthError(SettingError):
    """The frames do not tell the width of the rocking curve."""


class _FlatError(NoWidthError):
    """Intensities have nothing to do with the distance from the sphere."""


def first_width(
    frames: Frames | NDArray[Any],
    experiment: Experiment,
    *,
    bandwidth: float = 0.0,
    sample: int = _SAMPLE,
    **options: Any,
) -> RockingWidth:
    """Width of the rocking curve, from sums over the cores of reflections in a band about the sphere.

    The band is made wider where intensities hardly fall off within it, and narrower where most of it is dark. Warns
    of a curve that is wider than crystals make it.

    Parameters
    ----------
    frames, experiment, **options
        As `crystint.stills.integration.integrate.integrate` takes them.
    bandwidth : float
        Relative bandwidth of the beam, RMS; that of the result. What it adds to the width is not the crystals'.
    sample : int
        Frames to look at, evenly over all.

    Returns
    -------
    RockingWidth

    Raises
    ------
    NoWidthError
        When fewer than 30 reflections stand out, or intensities do not fall off with the distance from the sphere.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> width = stills.first_width(data.images(), data.experiment, d_min=4.0)
    >>> 3e-4 < width.domain < 3e-3  # simulated with 1e-3
    True
    """
    pairing = options.pop("pairing", None)
    frame = experiment.frame if pairing is None else pairing.frame
    numbers = np.unique(frame[frame >= 0])
    chosen = numbers[np.unique(np.linspace(0, len(numbers) - 1, min(sample, len(numbers))).round().astype(int))]
    some = np.isin(frame, chosen)
    part = experiment.select(some)
    options["pairing"] = None if pairing is None else pairing.select(some)

    def measured(scale: float) -> tuple[RockingWidth, float]:
        """The width within a band, and the half band over it."""
        wide = RockingWidth(_WIDE.domain * scale, _WIDE.mosaicity * scale)
        seen = integrate_sample(
            frames, part, sample, width=wide, band=_BAND, method="profile", recenter=False, **options
        )
        limit = _BAND * wide.at(seen.d, 1.0)
        width = width_of(seen, part, limit, bandwidth)
        return width, float(np.median(limit / width.at(seen.d, float(np.mean(part.wavelength)))))

    try:
        width, ratio = measured(1.0)
    except _FlatError as error:
        return _wider(measured, None, error)
    except NoWidthError as error:
        return _narrower(measured, None, error)
    if ratio < _TOO_NARROW:
        return _wider(measured, width, None)
    return _narrower(measured, width, None) if ratio > _TOO_WIDE else width


_Measured = Callable[[float], tuple[RockingWidth, float]]


def _narrower(measured: _Measured, width: RockingWidth | None, why: NoWidthError | None) -> RockingWidth:
    """From narrower bands, while they are dark, or while too little stands apart in them."""
    for scale in _NARROWER:
        try:
            width, ratio = measured(scale)
        except NoWidthError as error:
            if width is not None:
                return width
            why = error
        else:
            if ratio < _TOO_WIDE:
                return width
    if width is None:
        assert why is not None
        raise why
    return width


def _wider(measured: _Measured, width: RockingWidth | None, why: NoWidthError | None) -> RockingWidth:
    """From wider bands, until intensities fall off within them."""
    for scale in _WIDER:
        try:
            wider, ratio = measured(scale)
        except NoWidthError:
            continue
        if ratio >= _TOO_NARROW:
            width = wider
            break
    if width is None:
        assert why is not None
        raise why
    warn(
        f"the rocking curve is wide, {width.at(2.0, 1.0):.2g} 1/angstrom at 2 angstrom: where the crystals are not "
        "as mosaic as that, the orientations do not fit the frames and should be refined"
    )
    return width


def width_of(
    observations: Observations, experiment: Experiment, band: NDArray[np.float64], bandwidth: float = 0.0
) -> RockingWidth:
    """The width whose curve exp(-(e / R)^2) has the second moment that the intensities have.

    Intensities of reflections that lie anywhere in the band with equal chance have the mean square excitation
    <e^2> = R^2 / 2 (their strength does not matter, it has nothing to do with e), less where the band of half width L
    cuts the curve off: R^2 / 2 (1 - 2 t exp(-t^2) / (sqrt(pi) erf t)), t = L / R. An exposure that sweeps by De
    adds De^2 / 12. R^2 = domain^2 + (mosaicity / d)^2 is fitted to shells of resolution, less what the bandwidth makes.

    Parameters
    ----------
    observations : Observations
        Of all reflections in the band, whether they are seen or not.
    experiment : Experiment
        Theirs.
    band : float64 [n]
        Half width of the band at each reflection, 1/angstrom.
    bandwidth : float
        Of the beam, relative, RMS; that of the result.

    Raises
    ------
    NoWidthError
        When fewer than 30 of them are above 5 sigma, or intensities are as strong at the edges of the band.
    """
    sound = ((observations.flags & np.uint32(_USED)) == 0) & np.isfinite(observations.intensity)
    sound &= observations.sigma > 0.0
    use, limit = observations.select(sound), band[sound]
    if np.count_nonzero(use.intensity > 5.0 * use.sigma) < _FEW:
        raise NoWidthError(
            "the width of the rocking curve cannot be measured: fewer than 30 reflections that stand apart are above "
            "5 sigma; give it (--domain 1e-3, in 1/angstrom), and check that the orientations belong to the frames"
        )
    s2 = use.d**-2.0
    edges = np.quantile(s2, np.linspace(0.0, 1.0, _SHELLS + 1)[1:-1])
    shell = np.searchsorted(edges, s2)
    most = np.quantile(use.intensity, 0.99)  # a few reflections must not decide
    weight = np.clip(use.intensity, -most, most)
    square = (use.excitation**2 - _sweep(use, experiment) ** 2 / 12.0) / limit**2
    whole, error = _share(weight, square, use.sigma)
    if not whole < _MOMENT[0] - _CERTAIN * error:
        raise _FlatError(
            f"the width of the rocking curve cannot be measured: intensities do not fall off within "
            f"{np.median(limit):.2g} 1/angstrom of the sphere (mean square excitation {whole:.2f} +- {error:.2f} of "
            f"the band's, {_MOMENT[0]:.2f} if they do not depend on it); the orientations may not fit the frames: "
            "refine them, or give a width (--domain 1e-3, in 1/angstrom, and --mosaicity, in rad)"
        )
    total = np.bincount(shell, weight, _SHELLS)
    shares = np.bincount(shell, weight * square, _SHELLS)
    noise = np.bincount(shell, (use.sigma * square) ** 2, _SHELLS)
    scatter = np.bincount(shell, weight**2, _SHELLS) * _spread(weight, square, whole)
    cut = np.bincount(shell, limit, _SHELLS) / np.maximum(np.bincount(shell, minlength=_SHELLS), 1)
    good = (total > 0.0) & (noise > 0.0)
    share, cut = shares[good] / total[good], cut[good]
    off = np.sqrt(noise[good] + scatter[good]) / total[good]
    width2, error2 = (values * cut**2 for values in _square_width(share, off))
    certain = 1.0 / np.maximum(error2, _LEAST_ERROR * width2)
    place = np.bincount(shell, s2, _SHELLS)[good] / np.bincount(shell, minlength=_SHELLS)[good]
    spectral = 0.5 * (bandwidth * experiment.wavelength[use.image] * s2) ** 2
    rest = width2 - np.bincount(shell, spectral, _SHELLS)[good] / np.bincount(shell, minlength=_SHELLS)[good]
    terms, _ = nnls(np.stack([np.ones_like(place), place], axis=1) * certain[:, None], rest * certain)
    if not terms.any():  # the bandwidth is said to be larger than all that is seen
        terms[0] = _LEAST**2 * np.median(width2)
    return RockingWidth(float(np.sqrt(terms[0])), float(np.sqrt(terms[1])), bandwidth)


def _share(weight: NDArray[np.float64], square: NDArray[np.float64], sigma: NDArray[np.float64]) -> tuple[float, float]:
    """Weighted mean of `square`, and its error: of the weights, and of there being only so many."""
    total = float(weight.sum())
    if not total > 0.0:
        return np.inf, np.inf
    mean = float(weight @ square) / total
    scatter = _spread(weight, square, mean) * float(weight @ weight)
    return mean, float(np.sqrt(scatter + np.sum((sigma * square) ** 2)) / total)


def _spread(weight: NDArray[np.float64], square: NDArray[np.float64], mean: float) -> float:
    """Weighted variance."""
    return max(float(weight @ (square - mean) ** 2) / float(weight.sum()), 0.0)


def _square_width(
    share: NDArray[np.float64], error: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """R^2 over the square of the half band, for the share that <e^2> has of that; and its error."""
    low, middle, high = (
        np.interp(-np.clip(share + step * error, _MOMENT[-1], _MOMENT[0]), -_MOMENT, _RATIO) ** -2.0
        for step in (-1.0, 0.0, 1.0)
    )
    # of a wide curve the share is 1/3 - 4/45 / R^2
    return middle, np.where(middle > 2.0, 11.25 * middle**2 * error, 0.5 * (high - low))


def _sweep(use: Observations, experiment: Experiment) -> NDArray[np.float64]:
    """float64 [n]: change of the excitation over the exposure, 1/angstrom."""
    if experiment.sweep is None:
        return np.zeros(len(use))
    hkl = use.hkl.astype(np.float64)
    ray = experiment.incident[use.image] + np.einsum("ijk,ik->ij", experiment.setting[use.image], hkl)
    moved = np.einsum("ijk,ik->ij", experiment.sweep[use.image], hkl)
    return np.asarray(np.einsum("ij,ij->i", ray, moved) / np.linalg.norm(ray, axis=1))
