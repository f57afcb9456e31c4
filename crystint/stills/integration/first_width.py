"""How wide the rocking curve is, measured on frames before anything else is known of the crystal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import erf

from crystint.errors import SettingError
from crystint.io.frames import Frames
from crystint.model.experiment import Experiment
from crystint.model.observations import Flag, Observations
from crystint.stills.integration.integrate import integrate
from crystint.stills.prediction.partiality import RockingWidth

__all__ = ["first_width", "width_of"]

_WIDE = RockingWidth(domain=2e-3, mosaicity=2e-3)
_BAND = 1.5
_NARROWER = (1.0, 0.5, 0.25, 0.125, 0.0625)
"""bands that are tried, in units of the wide one: where spots are close, a wide band is full of overlaps"""
_TOO_WIDE = 5.0
"""half band over R: most of the reflections in a band so wide are not excited at all"""
_SAMPLE = 20
_LEAST = 0.1
"""of the measured width, where the bandwidth leaves nothing for the crystals"""
_SHELLS = 6
_FEW = 30
"""reflections above 5 sigma that an answer needs"""
_USED = int(Flag.excluding() | Flag.OVERLAPPED)
_RATIO = np.linspace(0.05, 6.0, 600)
"""half band over R"""
_MOMENT = 0.5 * (1.0 - 2.0 * _RATIO * np.exp(-(_RATIO**2)) / (np.sqrt(np.pi) * erf(_RATIO))) / _RATIO**2
"""<e^2> over the square of the half band, falling from 1/3, where all is excited alike"""


def first_width(
    frames: Frames | NDArray[Any],
    experiment: Experiment,
    *,
    bandwidth: float = 0.0,
    sample: int = _SAMPLE,
    **options: Any,
) -> RockingWidth:
    """Width of the rocking curve, from sums over the cores of reflections in a wide band about the sphere.

    Parameters
    ----------
    frames, experiment, **options
        As `crystint.stills.integration.integrate.integrate` takes them.
    bandwidth : float
        Relative bandwidth of the beam, RMS; that of the result. What it adds to the width is not the crystals'.
    sample : int
        Frames to look at, evenly over all.

    Raises
    ------
    SettingError
        When fewer than 30 reflections stand out.
    """
    pairing = options.pop("pairing", None)
    frame = experiment.frame if pairing is None else pairing.frame
    numbers = np.unique(frame[frame >= 0])
    chosen = numbers[np.unique(np.linspace(0, len(numbers) - 1, min(sample, len(numbers))).round().astype(int))]
    some = np.isin(frame, chosen)
    part = experiment.select(some)
    options["pairing"] = None if pairing is None else pairing.select(some)
    found: RockingWidth | None = None
    for narrower in _NARROWER:
        wide = RockingWidth(_WIDE.domain * narrower, _WIDE.mosaicity * narrower)
        seen = integrate(frames, part, width=wide, band=_BAND, sample=sample, **options).observations
        limit = _BAND * wide.at(seen.d, 1.0)
        try:
            found = width_of(seen, part, limit, bandwidth)
        except SettingError:
            if found is not None:
                return found
            if narrower == _NARROWER[-1]:
                raise
            continue
        if np.median(limit / found.at(seen.d, float(np.mean(part.wavelength)))) < _TOO_WIDE:
            break
    assert found is not None
    return found


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
    SettingError
        When fewer than 30 of them are above 5 sigma.
    """
    sound = ((observations.flags & np.uint32(_USED)) == 0) & np.isfinite(observations.intensity)
    sound &= observations.sigma > 0.0
    use, limit = observations.select(sound), band[sound]
    if np.count_nonzero(use.intensity > 5.0 * use.sigma) < _FEW:
        raise SettingError(
            "the width of the rocking curve cannot be measured: fewer than 30 reflections that stand apart are above "
            "5 sigma; give it (--domain 1e-3, in 1/angstrom), and check that the orientations belong to the frames"
        )
    s2 = use.d**-2.0
    edges = np.quantile(s2, np.linspace(0.0, 1.0, _SHELLS + 1)[1:-1])
    shell = np.searchsorted(edges, s2)
    most = np.quantile(use.intensity, 0.99)  # a few reflections must not decide
    weight = np.clip(use.intensity, -most, most)
    total = np.bincount(shell, weight, _SHELLS)
    square = use.excitation**2 - _sweep(use, experiment) ** 2 / 12.0
    spread = np.bincount(shell, weight * square, _SHELLS)
    noise = np.sqrt(np.bincount(shell, (use.sigma * use.excitation**2) ** 2, _SHELLS))
    cut = np.bincount(shell, limit, _SHELLS) / np.maximum(np.bincount(shell, minlength=_SHELLS), 1)
    good = (total > 0.0) & (noise > 0.0)
    share = np.clip(spread[good] / total[good] / cut[good] ** 2, _MOMENT[-1], _MOMENT[0])
    width2 = (cut[good] / np.interp(-share, -_MOMENT, _RATIO)) ** 2
    certain = total[good] / noise[good]
    place = np.bincount(shell, s2, _SHELLS)[good] / np.bincount(shell, minlength=_SHELLS)[good]
    spectral = 0.5 * (bandwidth * experiment.wavelength[use.image] * s2) ** 2
    rest = width2 - np.bincount(shell, spectral, _SHELLS)[good] / np.bincount(shell, minlength=_SHELLS)[good]
    terms, _ = nnls(np.stack([np.ones_like(place), place], axis=1) * certain[:, None], rest * certain)
    if not terms.any():  # the bandwidth is said to be larger than all that is seen
        terms[0] = _LEAST**2 * np.median(width2)
    return RockingWidth(float(np.sqrt(terms[0])), float(np.sqrt(terms[1])), bandwidth)


def _sweep(use: Observations, experiment: Experiment) -> NDArray[np.float64]:
    """float64 [n]: change of the excitation over the exposure, 1/angstrom."""
    if experiment.sweep is None:
        return np.zeros(len(use))
    hkl = use.hkl.astype(np.float64)
    ray = experiment.incident[use.image] + np.einsum("ijk,ik->ij", experiment.setting[use.image], hkl)
    moved = np.einsum("ijk,ik->ij", experiment.sweep[use.image], hkl)
    return np.asarray(np.einsum("ij,ij->i", ray, moved) / np.linalg.norm(ray, axis=1))
