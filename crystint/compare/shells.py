"""The resolution shells of a comparison, and what is summed in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError, ShapeError
from crystint.model.geometry import Geometry
from crystint.model.rings import RingMap
from crystint.model.sparse import SparseFrame

__all__ = ["SHELL_DTYPE", "Shells"]

SHELL_DTYPE: np.dtype[Any] = np.dtype(
    [
        ("picked", np.int64),  # pixels kept as they are
        ("pixels", np.int64),  # usable pixels not picked: the background, which densify invents anew
        ("expected", np.float64),  # sum of the stored background over these, counts
        ("raw", np.float64),  # sum of raw - stored background over these, counts
        ("raw_square", np.float64),  # sum of its square
        ("clean", np.float64),  # sum of densified without noise - stored background
        ("noisy", np.float64),  # sum of densified with noise - stored background
        ("noisy_square", np.float64),  # sum of its square
        ("raw_zeros", np.int64),  # pixels that hold 0
        ("noisy_zeros", np.int64),
        ("signal", np.float64),  # sum of raw - stored background over the picked pixels, counts
        ("tail", np.float64),  # the same over unpicked pixels that touch a picked one
        ("missed", np.int64),  # unpicked pixels that should have been picked
        ("missed_signal", np.float64),  # sum of raw - stored background over these
        ("strongest", np.float64),  # highest significance of an unpicked pixel, sigma (adds as a maximum)
    ]
)
"""Dtype of the sums of a shell, pixels of each kind, and counts with their squares, raw and densified."""

_BLOCK = 131072
"""Pixels that are summed at a time: what is computed of them stays in the cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Shells:
    """Resolution shells: equally wide in q, or in the ring radius where q is unknown.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> sparse = separator.sparsify(data[0])
    >>> shells = crystint.compare.Shells.of(sparse, 4)
    >>> len(shells.edges), shells.unit
    (5, 'q')
    """

    edges: NDArray[np.float64]
    """float64 [shells + 1]: q in 1/angstrom, or radius in m"""
    unit: str
    """"q" or "radius" """
    number: NDArray[np.int32]
    """int32 [slow, fast]: shell of each pixel; `shells` where it lies in none"""
    blocks: tuple[NDArray[np.intp], ...]
    """intp each: some pixels (flat), by shell and then ascending: each pixel of each shell once, or every `thin`-th"""
    thin: int = 1
    """of the background every how many pixels are in `blocks`"""

    @classmethod
    def of(cls, sparse: SparseFrame, shells: int, geometry: Geometry | None = None) -> Self:
        """Divide the frame of `sparse`; q comes from `geometry`, else from the rings of the sparse frame."""
        return cls.of_rings(sparse.background.rings, shells, geometry)

    @classmethod
    def of_rings(cls, rings: RingMap, shells: int, geometry: Geometry | None = None, *, thin: int = 1) -> Self:
        """As `of`, for all frames with these rings; of the background every `thin`-th pixel of a shell is summed."""
        if shells < 1:
            raise SettingError(f"shells is {shells}, expected 1 or more")
        inside = np.isfinite(rings.position) & (rings.mask == 0)
        if geometry is not None and geometry.shape != rings.shape:
            raise ShapeError(f"geometry is {geometry.shape}, expected {rings.shape} (slow, fast) of the sparse frame")
        if geometry is not None and geometry.wavelength is not None:
            unit, value = "q", geometry.q()
        else:
            by_q = bool(np.isfinite(rings.q).all())
            unit, scale = ("q", rings.q) if by_q else ("radius", rings.radius)
            value = np.interp(rings.position, np.arange(rings.rings), scale)
        inside &= np.isfinite(value)
        low, high = (value[inside].min(), value[inside].max()) if inside.any() else (0.0, 1.0)
        edges = np.linspace(low, high if high > low else low + 1.0, shells + 1)
        nearest = np.clip(np.searchsorted(edges, value, side="right") - 1, 0, shells - 1)
        number = np.where(inside, nearest, shells).astype(np.int32)
        return cls(edges, unit, number, _blocks(number, shells, thin), thin)


def _blocks(number: NDArray[np.int32], shells: int, thin: int) -> tuple[NDArray[np.intp], ...]:
    """See `Shells.blocks`."""
    order = np.argsort(number.ravel().astype(np.min_scalar_type(shells)), kind="stable")
    pixels = order[: np.count_nonzero(number < shells)][::thin]
    return tuple(pixels[i : i + _BLOCK] for i in range(0, len(pixels), _BLOCK))
