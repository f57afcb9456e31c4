"""The rings of a detector, and the background found in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.ring_pickle import RingRecipe, pack_rings, unpack_rings

__all__ = ["ERROR_MODELS", "Background", "RingMap"]

ERROR_MODELS = ("poisson", "azimuthal", "hybrid")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class RingMap:
    """Which ring each pixel lies in, and what a count in it is worth.

    Rings are equally wide in their radius: ``radius[i] = radius[0] + i * step``. Pickled as its `recipe`.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> rings = separator.rings
    >>> rings.position.shape, len(rings.radius), rings.rings
    ((100, 110), 30, 30)
    """

    position: NDArray[np.float32]
    """float32 [slow, fast]: place between ring centres, in rings: the centre of ring i is at i, its borders
    at i - 0.5 and i + 0.5. NaN where the pixel is masked or lies in no ring."""
    weight: NDArray[np.float32]
    """float32 [slow, fast]: normalization w > 0 (solid angle, polarization, flat, ...): v = (raw - dark) / w."""
    mask: NDArray[np.uint32]
    """uint32 [slow, fast]: NXmx pixel mask, 0 = good."""
    radius: NDArray[np.float64]
    """float64 [rings]: ring centres, m."""
    q: NDArray[np.float64]
    """float64 [rings]: momentum transfer at the ring centres, 1/angstrom; NaN when the wavelength is unknown."""
    dark: NDArray[np.float32] | None = None
    """float32 [slow, fast]: counts of a dark frame, subtracted from the raw counts; None = 0."""
    recipe: RingRecipe | None = field(default=None, repr=False)
    """how another process makes this map (crystint.model.ring_pickle); None = from the arrays themselves"""
    packed: list[tuple[bytes, bytes]] = field(default_factory=list, init=False, repr=False)
    """what it is pickled as, once it was"""

    def __reduce__(self) -> tuple[Callable[..., RingMap], tuple[Any, ...]]:
        if self.recipe is None:
            return RingMap, (self.position, self.weight, self.mask, self.radius, self.q, self.dark)
        if not self.packed:
            self.packed.append(pack_rings(self, self.recipe))
        return unpack_rings, self.packed[0]

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast)."""
        return self.position.shape[0], self.position.shape[1]

    @property
    def rings(self) -> int:
        """Number of rings."""
        return len(self.radius)

    @property
    def step(self) -> float:
        """Width of a ring, m."""
        return float(self.radius[1] - self.radius[0]) if self.rings > 1 else float(2 * self.radius[0]) or 1.0


def interpolate(values: NDArray[np.float64], position: NDArray[Any]) -> NDArray[np.float64]:
    """Values at places between ring centres: linear, flat beyond the first and last centre.

    A ring without a value (NaN) gives NaN to its own pixels and nothing to its neighbours: there the one
    neighbour that has a value stands alone.

    Parameters
    ----------
    values : float64 [rings]
    position : float [...]
        As `RingMap.position`.
    """
    last = len(values) - 1
    place = np.clip(np.asarray(position, dtype=np.float64), 0.0, last)
    finite = np.isfinite(place)
    place = np.where(finite, place, 0.0)
    low = np.minimum(np.floor(place).astype(np.intp), max(last - 1, 0))
    high = np.minimum(low + 1, last)
    part = place - low
    own = values[np.floor(place + 0.5).astype(np.intp)]
    at_low, at_high = values[low], values[high]
    at_low, at_high = np.where(np.isnan(at_low), at_high, at_low), np.where(np.isnan(at_high), at_low, at_high)
    interpolated = at_low + part * (at_high - at_low)
    return np.where(finite & ~np.isnan(own), interpolated, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """What sigma clipping left in each ring of one frame. NaN = no usable pixel in the ring.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> background = separator.background(data[0])
    >>> background.mean.shape, background.image().shape
    ((30,), (100, 110))
    >>> bool(abs(background.mean[5] - 5.0) < 0.5)
    True
    """

    mean: NDArray[np.float64]
    """float64 [rings]: V / Omega, normalised counts per pixel."""
    std: NDArray[np.float64]
    """float64 [rings]: sqrt(VV / OmegaOmega), spread of one pixel, of the error model (Poisson for hybrid)."""
    count: NDArray[np.float64]
    """float64 [rings]: pixels left in the ring."""
    sem: NDArray[np.float64]
    """float64 [rings]: sqrt(VV) / Omega, standard error of `mean`."""
    excess: NDArray[np.float64]
    """float64 [rings]: phi, azimuthal variance / Poisson variance, at least 1; 1 where it is additive."""
    additive: NDArray[np.float64]
    """float64 [rings]: variance per pixel that does not come from counting (read-out noise), normalised counts^2."""
    rings: RingMap
    """where the rings are"""
    error_model: str
    """"poisson", "azimuthal" or "hybrid" """
    snr_clip: float | None = None
    """clipping threshold; None = Chauvenet's"""
    cycles: int = 5
    """most cycles of clipping"""
    saturation: float | None = None
    """largest valid value of a pixel; None = not known"""

    @property
    def radius(self) -> NDArray[np.float64]:
        """float64 [rings]: ring centres, m."""
        return self.rings.radius

    @property
    def q(self) -> NDArray[np.float64]:
        """float64 [rings]: ring centres, 1/angstrom; NaN when the wavelength is unknown."""
        return self.rings.q

    def image(self) -> NDArray[np.float64]:
        """float64 [slow, fast]: counts that the background puts into each pixel of the frame; NaN where unknown."""
        image = interpolate(self.mean, self.rings.position) * self.rings.weight
        return image if self.rings.dark is None else image + self.rings.dark
