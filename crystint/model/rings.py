"""The rings of a detector, and the background found in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.html import html_table
from crystint.model.labelled_arrays import imported_xarray
from crystint.model.ring_pickle import RingRecipe, pack_rings, unpack_rings
from crystint.model.valid_values import ValidValues

if TYPE_CHECKING:
    from xarray import Dataset

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
    valid: ValidValues | None = None
    """which values of a pixel are measurements; None = the default of the frame's dtype"""
    packed: list[tuple[bytes, bytes]] = field(default_factory=list, init=False, repr=False)
    """what it is pickled as, once it was"""
    by_device: dict[object, object] = field(default_factory=dict, init=False, repr=False)
    """what operations made of the map for each device, as long as it lives; not pickled"""

    def __repr__(self) -> str:
        slow, fast = self.position.shape
        return f"<RingMap: {len(self.radius)} rings {self._span}, on {slow} x {fast} px>"

    def _repr_html_(self) -> str:
        masked = int(np.count_nonzero(self.mask))
        facts = {
            "shape (slow, fast)": "{} x {} px".format(*self.position.shape),
            "rings": len(self.radius),
            "from, to": self._span,
            "masked": f"{masked} px ({100 * masked / max(self.mask.size, 1):.3g} %)",
            "dark frame": self.dark is not None,
        }
        return html_table("RingMap", facts)

    @property
    def _span(self) -> str:
        if not len(self.radius):
            return "-"
        if np.isfinite(self.q).all():
            return f"{self.q[0]:.4g} to {self.q[-1]:.4g} 1/angstrom"
        return f"{1e3 * self.radius[0]:.4g} to {1e3 * self.radius[-1]:.4g} mm"

    def __reduce__(self) -> tuple[Callable[..., RingMap], tuple[Any, ...]]:
        if self.recipe is None:
            return RingMap, (self.position, self.weight, self.mask, self.radius, self.q, self.dark, None, self.valid)
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
    start, step = ring_halves(values)
    half, part = ring_places(position, len(values))
    return np.asarray(start[half] + part * step[half])


def ring_halves(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of the rings, float64 [rings], as `interpolate` takes them: of each half of a ring, inner and outer, the
    value at its start and the step to its end; float64 [2 rings] each."""
    last = len(values) - 1
    half = np.arange(2 * last + 2)  # of a ring: 2 i = its inner, 2 i + 1 = its outer half
    low = np.clip((half - 1) // 2, 0, max(last - 1, 0))
    at_low, at_high = values[low], values[np.minimum(low + 1, last)]
    at_low, at_high = np.where(np.isnan(at_low), at_high, at_low), np.where(np.isnan(at_high), at_low, at_high)
    return np.where(np.isnan(values[half // 2]), np.nan, at_low), at_high - at_low


def ring_places(position: NDArray[Any], rings: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Positions between ring centres as `interpolate` takes them: the half of a ring, and the place in it, 0 to 1; NaN
    where the position is."""
    last = rings - 1
    place = np.clip(np.asarray(position, dtype=np.float64), 0.0, last)
    half = np.fmax(2.0 * place + 1.0, 0.0).astype(np.intp)  # a place that is NaN makes what follows NaN
    return half, place - np.minimum(np.floor(place), max(last - 1, 0))


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
    _columns: Callable[[], dict[str, NDArray[np.float64]]] | None = field(default=None, init=False, repr=False)
    """what computes the columns over the rings, where none of them was asked for yet"""

    @classmethod
    def later(cls, columns: Callable[[], dict[str, NDArray[np.float64]]], **others: Any) -> Background:
        """One whose columns over the rings, `mean` to `additive`, are computed when the first of them is asked for.

        Parameters
        ----------
        columns : callable
            Gives all of them by name.
        **others
            All other fields.
        """
        made = object.__new__(cls)
        for name, value in {**others, "_columns": columns}.items():
            object.__setattr__(made, name, value)
        return made

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Of one that was made by `later`: the columns."""
            if name not in ("mean", "std", "count", "sem", "excess", "additive"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            columns = self._columns
            if columns is not None:
                for column, values in columns().items():
                    object.__setattr__(self, column, values)
                object.__setattr__(self, "_columns", None)
            return object.__getattribute__(self, name)

    def __repr__(self) -> str:
        return f"<Background: {len(self.mean)} rings, {self._levels}, {self.error_model}>"

    def _repr_html_(self) -> str:
        facts = {
            "rings": len(self.mean),
            "without a background": int(np.isnan(self.mean).sum()),
            "mean": self._levels,
            "spread of a pixel": f"{self.std[np.isfinite(self.std)].mean():.4g}"
            if np.isfinite(self.std).any()
            else None,
            "error model": self.error_model,
            "SNR_clip": "Chauvenet" if self.snr_clip is None else self.snr_clip,
            "cycles": self.cycles,
        }
        return html_table("Background", facts)

    @property
    def _levels(self) -> str:
        usable = self.mean[np.isfinite(self.mean)]
        return f"mean {usable.min():.4g} to {usable.max():.4g}" if usable.size else "nothing known"

    def to_xarray(self) -> Dataset:
        """The columns over the rings, an `xarray.Dataset` with the coordinates ``radius`` (m) and ``q`` (1/angstrom).

        Raises
        ------
        ImportError
            Without the package xarray.
        """
        names = ("mean", "std", "count", "sem", "excess", "additive")
        return imported_xarray().Dataset(  # type: ignore[no-any-return]
            {name: ("ring", getattr(self, name)) for name in names},
            coords={"radius": ("ring", self.radius, {"units": "m"}), "q": ("ring", self.q, {"units": "1/angstrom"})},
            attrs={"error_model": self.error_model},
        )

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
        return self.image_at(slice(None)).reshape(self.rings.shape)

    def image_at(self, pixels: NDArray[np.integer[Any]] | slice) -> NDArray[np.float64]:
        """float64 [pixels]: `image` at some pixels alone, given by their number in the flat frame."""
        rings = self.rings
        image = interpolate(self.mean, rings.position.ravel()[pixels]) * rings.weight.ravel()[pixels]
        return image if rings.dark is None else image + rings.dark.ravel()[pixels]
