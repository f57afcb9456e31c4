"""Exposures whose correlations are known: Gaussian rings, particles turned at random, and frames of powder rings.

Equal settings give equal numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.correlate.simulation.simulated_frame import SimulatedFrame, simulate_frame
from crystint.correlate.sums.harmonics import cos_psi
from crystint.errors import SettingError, ShapeError

__all__ = ["SimulatedFrame", "SimulatedRings", "simulate_frame", "simulate_particles", "simulate_rings"]

_FLUCTUATION, _SHAPE, _SCATTER, _GAPS, _MASK, _SPIKES, _NOISE = range(7)


@dataclass(frozen=True, eq=False)
class SimulatedRings:
    """Rings of many exposures, and what is true of them. Made by `simulate_rings`."""

    values: NDArray[np.float32]
    """float32 [exposures, rings, n]: NaN where masked"""
    truth: Floats
    """float64 [rings, rings, n]: expected C of the fluctuations of rings i and j, about the mean and the anisotropy"""
    mean: Floats
    """float64 [rings]"""
    anisotropy: Floats
    """float64 [exposures, rings, n]: what is no fluctuation and no mean"""
    kind: NDArray[np.int64]
    """int64 [exposures]: exposures of one kind have the same anisotropy, but for its scatter"""
    spikes: NDArray[np.bool_]
    """bool [exposures, rings, n]: samples with a spike"""


def simulate_rings(
    exposures: int,
    n: int = 720,
    coefficients: ArrayLike = (0.0, 0.0, 1e-4, 0.0, 5e-5),
    *,
    rings: int = 1,
    mean: float | ArrayLike = 1.0,
    anisotropy: float = 0.0,
    kinds: int = 1,
    scatter: float = 0.0,
    noise: float = 0.0,
    masked: float = 0.0,
    gaps: int = 0,
    spikes: int = 0,
    seed: int = 0,
) -> SimulatedRings:
    """Gaussian random rings with given Fourier coefficients of their correlation.

    Parameters
    ----------
    exposures, n, rings : int
        n samples over 2 pi.
    coefficients : float [harmonics] or [harmonics, rings, rings]
        C_k of the fluctuations for k = 0, 1, ...: C(D) = C_0 + sum over k of 2 C_k cos(k D). Of matrices, each is
        symmetric without negative eigenvalues; without them all rings have the same fluctuations.
    mean : float or float [rings]
    anisotropy : float
        Standard deviation of a fixed pattern of the first five harmonics, in parts of the mean.
    kinds : int
        So many patterns; exposure i has pattern i % kinds.
    scatter : float
        Standard deviation by which the pattern's strength differs between exposures, in parts of it.
    noise : float
        Standard deviation of each sample, independent of all others; it adds noise^2 to C(0) of a ring with itself,
        in `truth` too.
    masked : float
        Share of samples masked at random, in each exposure anew.
    gaps : int
        So many gaps of n / 36 samples, the same in all exposures and rings.
    spikes : int
        So many Bragg peaks per ring and exposure, 5 samples wide and 3 to 30 means high.
    seed : int

    Returns
    -------
    SimulatedRings
        `values` float32 [exposures, rings, n], NaN = masked, and the `truth`: C at all lags.

    Raises
    ------
    ShapeError, SettingError
        When a setting is impossible.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_rings(20, 360, seed=1)
    >>> data.values.shape  # exposures, rings, samples
    (20, 1, 360)
    """
    if exposures < 1 or rings < 1 or n < 2 or kinds < 1 or gaps < 0 or spikes < 0:
        raise SettingError("exposures, rings and kinds must be 1 or more, n 2 or more, gaps and spikes 0 or more")
    if not 0.0 <= masked <= 1.0 or min(anisotropy, scatter, noise) < 0.0:
        raise SettingError("masked must lie between 0 and 1; anisotropy, scatter and noise must be 0 or more")
    power = _matrices(coefficients, rings, n)
    phi = 2.0 * np.pi * np.arange(n) / n
    waves = np.exp(1j * np.arange(len(power))[:, None] * phi)
    truth = np.einsum("kij,kn->ijn", power * np.where(np.arange(len(power)) == 0, 1, 2)[:, None, None], waves.real)
    truth[np.arange(rings), np.arange(rings), 0] += noise**2
    level = np.broadcast_to(np.asarray(mean, dtype=np.float64), (rings,)).copy()

    size, vector = np.linalg.eigh(power)
    root = vector * np.sqrt(np.maximum(size, 0.0))[:, None, :]
    draw = _generator(seed, _FLUCTUATION).normal(size=(2, exposures, len(power), rings))
    part = np.einsum("kij,ekj->eki", root, draw[0]) - 1j * np.einsum("kij,ekj->eki", root, draw[1])
    part[:, 1:] *= np.sqrt(2.0)
    values = np.einsum("eki,kn->ein", part, waves).real + level[:, None]

    kind = np.arange(exposures) % kinds
    shape = _generator(seed, _SHAPE).normal(size=(2, kinds, rings, 5))
    angle = np.arange(1, 6)[:, None] * phi
    pattern = (shape[0] @ np.cos(angle) + shape[1] @ np.sin(angle)) * (anisotropy / np.sqrt(5.0))
    strength = 1.0 + scatter * _generator(seed, _SCATTER).normal(size=(exposures, 1, 1))
    fixed = level[:, None] * pattern[kind] * strength
    values += fixed + noise * _generator(seed, _NOISE).normal(size=values.shape)

    peaks = np.zeros(values.shape, np.bool_)
    random = _generator(seed, _SPIKES)
    for exposure, ring in np.ndindex(exposures, rings):
        for start, height in zip(random.integers(0, n, spikes), random.uniform(3.0, 30.0, spikes)):
            where = (start + np.arange(5)) % n
            peaks[exposure, ring, where] = True
            values[exposure, ring, where] += height * level[ring] * np.exp(-0.5 * np.arange(-2, 3) ** 2)
    good = _generator(seed, _MASK).random(values.shape) >= masked
    for start in _generator(seed, _GAPS).integers(0, n, gaps):
        good[:, :, (start + np.arange(max(1, n // 36))) % n] = False
    return SimulatedRings(np.where(good, values, np.nan).astype(np.float32), truth, level, fixed, kind, peaks)


def simulate_particles(
    exposures: int,
    coefficients: ArrayLike,
    theta: ArrayLike,
    n: int = 360,
    *,
    particles: int = 1,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Exposures of particles turned at random, with I(q) = sum over l of A_l(|q|) P_l(cosine to the particle's axis).

    Parameters
    ----------
    exposures, n, particles : int
        Particles per exposure; their intensities add.
    coefficients : float [orders, rings]
        A_l for l = 0, 1, ...
    theta : float [rings]
        Half the angle of scattering of each ring, rad.

    Returns
    -------
    values : float64 [exposures, rings, n]
    truth : float64 [rings, rings, n]
        Expected C: of one particle B_l(i, j) = 4 pi A_l(i) A_l(j) / (2 l + 1), and B_0 alone between particles.
    """
    table, angle = np.asarray(coefficients, dtype=np.float64), np.asarray(theta, dtype=np.float64)
    if table.ndim != 2 or angle.shape != table.shape[1:] or exposures < 1 or particles < 1:
        raise ShapeError(
            f"coefficients is {table.shape} and theta {angle.shape}, expected (orders, rings) and (rings,)"
        )
    phi = 2.0 * np.pi * np.arange(n) / n
    q = np.stack(
        [
            np.outer(np.cos(angle), np.cos(phi)),
            np.outer(np.cos(angle), np.sin(phi)),
            np.outer(np.sin(angle), np.ones(n)),
        ]
    )
    axes = _generator(seed, _SHAPE).normal(size=(exposures, particles, 3))
    axes /= np.linalg.norm(axes, axis=2, keepdims=True)
    values = np.zeros((exposures, len(angle), n))
    for which in range(particles):
        cosine = np.tensordot(axes[:, which], q, 1)
        for ring in range(len(angle)):
            values[:, ring] += legendre.legval(cosine[:, ring], table[:, ring])
    x = cos_psi(phi, angle[:, None, None], angle[None, :, None])
    terms = table[:, :, None] * table[:, None, :] / (2.0 * np.arange(len(table)) + 1.0)[:, None, None]
    both = np.einsum("lij,lijn->ijn", terms, np.moveaxis(legendre.legvander(x, len(table) - 1), -1, 0))
    return values, particles * both + particles * (particles - 1) * terms[0][:, :, None]


def _matrices(coefficients: ArrayLike, rings: int, n: int) -> Floats:
    """float64 [harmonics, rings, rings]."""
    matrices = np.asarray(coefficients, dtype=np.float64)
    if matrices.ndim == 1:
        matrices = matrices[:, None, None] * np.ones((rings, rings))
    if matrices.ndim != 3 or matrices.shape[1:] != (rings, rings) or not 1 <= len(matrices) <= (n + 1) // 2:
        raise ShapeError(
            f"coefficients is {np.shape(coefficients)}, expected (harmonics,) or (harmonics, {rings}, {rings}), with "
            f"1 to {(n + 1) // 2} harmonics for {n} samples"
        )
    if (
        not np.allclose(matrices, matrices.transpose(0, 2, 1))
        or np.linalg.eigvalsh(matrices).min() < -1e-9 * np.abs(matrices).max()
    ):
        raise SettingError("coefficients must be symmetric and without negative eigenvalues")
    return matrices


def _generator(seed: int, purpose: int) -> Any:
    return np.random.default_rng([seed, purpose])
