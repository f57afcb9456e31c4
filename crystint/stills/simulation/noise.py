"""Observations without pixels, with the noise that integration would leave; and references of known quality."""

from __future__ import annotations

import numpy as np

from crystint.arrays import Floats
from crystint.errors import SettingError
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.stills.simulation.forward import Truth, meeting
from crystint.stills.simulation.scene import Scene

__all__ = ["empty_variance", "fitted_variance", "observe", "reference_of"]

_NOISE, _REFERENCE = 20, 21
_SHELLS = 20


def observe(
    data: Scene,
    truth: Truth,
    noise: str = "gaussian",
    *,
    error_a: float = 1.0,
    error_b: float = 0.0,
    outliers: float = 0.0,
) -> Observations:
    """What an unbiased integration of the listed reflections gives.

    Parameters
    ----------
    data : Scene
    truth : Truth
        The listed reflections.
    noise : "gaussian", "poisson" or "none"
        gaussian: J plus normal noise of the variance of the best profile fit (`fitted_variance`), which is `sigma`^2.
        poisson: counts in `spot_pixels` pixels minus their background, as measured in `ring_pixels`.
    error_a, error_b : float
        The sigma that is stored is too small: the intensity scatters with the variance
        ``error_a sigma^2 + (error_b J)^2``.
    outliers : float
        Share of observations multiplied by a log-normal number of width 1.5.

    Returns
    -------
    Observations
        Excitation, partiality and place are those of `SimulatedStills.experiment` and the width of the settings: with
        an orientation error, or widths that differ between images, they are not quite so.
    """
    if noise not in ("gaussian", "poisson", "none"):
        raise SettingError(f"noise is {noise!r}, expected gaussian, poisson or none")
    if not (error_a > 0 and error_b >= 0 and 0 <= outliers <= 1):
        raise SettingError(
            f"error_a, error_b, outliers are {error_a}, {error_b}, {outliers}: expected > 0, >= 0, 0 to 1"
        )
    s = data.settings
    rng = np.random.default_rng([s.seed, _NOISE])
    signal, pixels, ring = truth.signal, truth.spot_pixels, s.ring_pixels
    background = rng.poisson(ring * truth.background) / ring
    if noise == "poisson":
        variance = signal + pixels * truth.background * (1.0 + pixels / ring)
        intensity = rng.poisson(signal + pixels * truth.background) - pixels * background
    else:
        variance = fitted_variance(signal, truth.background, pixels, ring)
        spread = np.sqrt(variance) if noise == "gaussian" else np.zeros_like(variance)
        intensity = signal + spread * rng.normal(size=len(truth))
    sigma = np.sqrt(variance / error_a)
    if error_b:
        intensity = intensity + error_b * signal * rng.normal(size=len(truth))
    if outliers:
        wild = rng.random(len(truth)) < outliers
        intensity = np.where(wild, intensity * np.exp(1.5 * rng.normal(size=len(truth))), intensity)
    place = (
        _expected_places(data, truth)
        if s.orientation_error or s.spread_width
        else (truth.excitation, truth.partiality, truth.slow, truth.fast)
    )
    return Observations(
        image=truth.image,
        hkl=truth.hkl,
        intensity=intensity,
        sigma=sigma,
        d=truth.d,
        partiality=place[1],
        correction=truth.polarization * truth.efficiency,
        excitation=place[0],
        slow=place[2].astype(np.float32),
        fast=place[3].astype(np.float32),
        background=background.astype(np.float32),
        background_variance=empty_variance(truth.background, pixels, ring),
        wavelength=data.wavelengths[truth.image].astype(np.float32),
        flags=np.zeros(len(truth), np.uint32),
    )


def fitted_variance(signal: Floats, background: Floats, pixels: Floats, ring: float) -> Floats:
    """Variance of the amplitude of a Gaussian profile fitted with the true expectations as weights.

    With P = P0 exp(-r^2 / R^2), P0 = 2 / `pixels`, and x = J P0 / b:
    F = sum P^2 / (b + J P) = (1 - ln(1 + x) / x) / J, and sum P / (b + J P) = ln(1 + x) / (x b); the background,
    the mean of `ring` pixels, adds its own variance b / `ring` times the square of their ratio.
    """
    peak = 2.0 / pixels
    background = np.maximum(background, 1e-12)
    x = np.maximum(signal, 0.0) * peak / background
    small = x < 1e-3
    safe = np.where(small, 1.0, x)
    # ln(1 + x) / x, and (1 - that) / x
    share = np.where(small, 1.0 - x / 2.0 + x**2 / 3.0, np.log1p(safe) / safe)
    rest = np.where(small, 0.5 - x / 3.0 + x**2 / 4.0, (1.0 - share) / safe)
    information = peak / background * rest
    return np.asarray(1.0 / information + (share / background / information) ** 2 * background / ring)


def empty_variance(background: Floats, pixels: Floats, ring: float) -> Floats:
    """The same without a signal: b n (1 + n / ring), n = `pixels`."""
    return np.asarray(background * pixels * (1.0 + pixels / ring))


def _expected_places(data: Scene, truth: Truth) -> tuple[Floats, Floats, Floats, Floats]:
    """Excitation, partiality, slow and fast as the experiment's settings have them."""
    experiment = data.experiment
    s1 = experiment.incident[truth.image] + np.einsum("nij,nj->ni", experiment.setting[truth.image], truth.hkl)
    length = np.linalg.norm(s1, axis=1)
    beam = np.linalg.norm(experiment.incident, axis=1)[truth.image]
    excitation = length - beam
    slow, fast = meeting(data.settings.detector, s1 / length[:, None])
    return excitation, np.exp(-((excitation / data.settings.rocking(truth.d, 1.0 / beam)) ** 2)), slow, fast


def reference_of(data: Scene, error: float = 0.0, permuted: bool = False) -> Reference:
    """The unique intensities, one row each.

    Parameters
    ----------
    data : Scene
    error : float
        Standard deviation of the logarithm of a factor on every intensity; also its sigma, relative.
    permuted : bool
        Exchange intensities at random within 20 resolution shells: right in every distribution, wrong in every value.
    """
    lattice, s = data.lattice, data.settings
    rng = np.random.default_rng([s.seed, _REFERENCE])
    intensity = lattice.unique_intensity * np.exp(error * rng.normal(size=len(lattice.unique_hkl)))
    if permuted:
        order = np.argsort(lattice.unique_d, kind="stable")
        for shell in np.array_split(order, _SHELLS):
            intensity[shell] = intensity[rng.permutation(shell)]
    sigma = np.maximum(error, 1e-3) * np.maximum(intensity, 1e-3 * s.crystal.intensity)
    return Reference(
        hkl=lattice.unique_hkl, intensity=intensity, sigma=sigma, cell=s.crystal.cell, space_group=s.crystal.group
    )
