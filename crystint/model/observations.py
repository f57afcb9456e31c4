"""One row per observed reflection: the table that integration makes, scaling uses and merging ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntFlag
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import ShapeError
from crystint.html import html_table
from crystint.model.facts import counted, resolution_text
from crystint.model.labelled_arrays import data_frame

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Flag", "Observations"]


class Flag(IntFlag):
    """Why an observation is not used, or used with care.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> bool((data.observations().flags == 0).any())
    True
    """

    MASKED = 1
    """too few of its pixels, or of its background, can be used"""
    SATURATED = 2
    OVERLAPPED = 4
    """a neighbour's core takes pixels of its own"""
    EDGE = 8
    """its core reaches over the edge of the panel"""
    BAD_VALUE = 16
    """intensity, sigma or a factor is NaN, infinite or not above 0"""
    LOW_PARTIALITY = 32
    OUTLIER = 64
    """rejected against its equivalents"""
    BAD_IMAGE = 128
    """its image could not be scaled or was rejected"""
    ABSENT = 256
    """systematically absent in the space group"""
    DUPLICATE = 512
    """the same observation is there already"""

    @classmethod
    def excluding(cls) -> int:
        """Flags that keep an observation out of scaling and merging."""
        return int(
            cls.MASKED
            | cls.SATURATED
            | cls.BAD_VALUE
            | cls.LOW_PARTIALITY
            | cls.OUTLIER
            | cls.BAD_IMAGE
            | cls.ABSENT
            | cls.DUPLICATE
        )


def _reason(flag: Flag) -> str:
    """What rows with a flag are called in a list."""
    return {
        Flag.BAD_VALUE: "left out by the input",
        Flag.LOW_PARTIALITY: "of low partiality",
        Flag.OUTLIER: "outliers",
        Flag.BAD_IMAGE: "of images without a scale or rejected",
        Flag.ABSENT: "systematically absent",
        Flag.DUPLICATE: "there twice",
    }.get(flag, str(flag.name).lower())


_COLUMNS: dict[str, tuple[Any, int, float]] = {
    "image": (np.int32, 1, 0),
    "hkl": (np.int32, 3, 0),
    "intensity": (np.float64, 1, np.nan),
    "sigma": (np.float64, 1, np.nan),
    "d": (np.float64, 1, np.nan),
    "partiality": (np.float64, 1, 1.0),
    "correction": (np.float64, 1, 1.0),
    "excitation": (np.float64, 1, np.nan),
    "slow": (np.float32, 1, np.nan),
    "fast": (np.float32, 1, np.nan),
    "background": (np.float32, 1, np.nan),
    "background_variance": (np.float64, 1, np.nan),
    "profile_error": (np.float32, 1, 0),
    "wavelength": (np.float32, 1, np.nan),
    "flags": (np.uint32, 1, 0),
}
"""dtype, width and the value where nothing is known"""


@dataclass(frozen=True, eq=False)
class Observations:
    """Columns of the same length n. What a column does not say is NaN; factors that are not known are 1.

    The model of an observation is  intensity = G exp(-B / 4 d^2) correction partiality I(hkl),  with the scale G
    and the temperature factor B of its image.

    Raises
    ------
    ShapeError
        When the columns differ in length or width.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import stills
    >>> observations = stills.Observations(
    ...     image=np.array([0, 0, 1]), hkl=np.array([[1, 0, 0], [0, 2, 0], [1, 0, 0]]),
    ...     intensity=np.array([10.0, 25.0, 12.0]), sigma=np.array([3.0, 5.0, 3.5]),
    ... )
    >>> len(observations.select(observations.intensity > 11))
    2
    """

    image: NDArray[np.int32]
    """int32 [n]: row of the experiment"""
    hkl: NDArray[np.int32]
    """int32 [n, 3]: as indexed, not reduced by symmetry"""
    intensity: NDArray[np.float64]
    """float64 [n], counts, as recorded: nothing divided out"""
    sigma: NDArray[np.float64]
    """float64 [n], counts; NaN or <= 0: the observation cannot be used"""
    d: NDArray[np.float64] = None  # type: ignore[assignment]
    """float64 [n], angstrom"""
    partiality: NDArray[np.float64] = None  # type: ignore[assignment]
    """float64 [n], 0 to 1"""
    correction: NDArray[np.float64] = None  # type: ignore[assignment]
    """float64 [n]: polarization, efficiency of the sensor (and 1 / Lorentz of rotation data), as factors"""
    excitation: NDArray[np.float64] = None  # type: ignore[assignment]
    """float64 [n], 1/angstrom: distance from the Ewald sphere, positive outside"""
    slow: NDArray[np.float32] = None  # type: ignore[assignment]
    """float32 [n], px from the outer corner: predicted place"""
    fast: NDArray[np.float32] = None  # type: ignore[assignment]
    """float32 [n], px"""
    background: NDArray[np.float32] = None  # type: ignore[assignment]
    """float32 [n], counts per pixel"""
    background_variance: NDArray[np.float64] = None  # type: ignore[assignment]
    """float64 [n], counts^2: the variance of `intensity` that would be left without any signal"""
    profile_error: NDArray[np.float32] = None  # type: ignore[assignment]
    """float32 [n]: share of the intensity that is uncertain as spots are not like their profiles; it is in `sigma`"""
    wavelength: NDArray[np.float32] = None  # type: ignore[assignment]
    """float32 [n], angstrom, of the reflection (Laue, pink beam); NaN = that of the image"""
    flags: NDArray[np.uint32] = None  # type: ignore[assignment]
    """uint32 [n], see `Flag`"""

    def __post_init__(self) -> None:
        n = len(self.image)
        for name, (dtype, width, default) in _COLUMNS.items():
            shape = (n,) if width == 1 else (n, width)
            column = getattr(self, name)
            values = np.full(shape, default, dtype) if column is None else np.asarray(column, dtype=dtype)
            if values.shape != shape:
                raise ShapeError(f"column {name} is {values.shape}, expected {shape}")
            object.__setattr__(self, name, values)

    def __repr__(self) -> str:
        resolution = resolution_text(self.d)
        images = counted(len(np.unique(self.image)), "image")
        return f"<Observations: {len(self)} of {images}{resolution and ', '}{resolution}>"

    def _repr_html_(self) -> str:
        flags = {flag: int(np.count_nonzero(self.flags & np.uint32(flag))) for flag in Flag}
        facts = {
            "observations": len(self),
            "that can be used": int(np.count_nonzero(self.usable)),
            "images": len(np.unique(self.image)),
            "resolution": resolution_text(self.d) or None,
            "flags": [f"{count} {str(flag.name).lower().replace('_', ' ')}" for flag, count in flags.items() if count]
            or None,
        }
        return html_table("Observations", facts)

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(field.name for field in fields(cls))

    @property
    def usable(self) -> NDArray[np.bool_]:
        """bool [n]: no excluding flag, finite, sigma and factors above 0."""
        good = (self.flags & np.uint32(Flag.excluding())) == 0
        for name in ("sigma", "partiality", "correction", "d"):
            good &= getattr(self, name) > 0.0
        return np.asarray(good & np.isfinite(self.intensity) & np.isfinite(self.sigma))

    @property
    def left_out(self) -> dict[str, int]:
        """Why rows are not `usable`, and how many each; a row counts once, for the first reason."""
        rest = ~self.usable
        factors = (self.partiality > 0.0) & (self.correction > 0.0)
        reasons = {
            "with an intensity that is no number": ~np.isfinite(self.intensity),
            "with a sigma not above 0": ~(np.isfinite(self.sigma) & (self.sigma > 0.0)),
            "with a partiality or correction not above 0": ~factors,
            "without a resolution": ~(self.d > 0.0),
        }
        excluding = [flag for flag in Flag if flag & Flag.excluding()]
        reasons |= {_reason(flag): (self.flags & np.uint32(flag)) != 0 for flag in excluding}
        counts = {}
        for reason, rows in reasons.items():
            if count := int(np.count_nonzero(rest & rows)):
                counts[reason] = count
            rest &= ~rows
        return counts

    def to_pandas(self) -> DataFrame:
        """The columns as a pandas data frame, a row per observation; hkl as h, k, l.

        Raises
        ------
        ImportError
            When pandas is not installed.
        """
        return data_frame({name: getattr(self, name) for name in self.columns()})

    def select(self, rows: NDArray[Any]) -> Self:
        """Some of the rows (numbers or a mask)."""
        return type(self)(**{name: getattr(self, name)[rows] for name in self.columns()})

    def replace(self, **columns: NDArray[Any]) -> Self:
        """The same rows with other values in some columns."""
        return type(self)(**{name: columns.get(name, getattr(self, name)) for name in self.columns()})

    @classmethod
    def join(cls, parts: Sequence[Observations]) -> Self:
        """The rows of all parts, in order; of one part these are its own columns."""
        if not parts:
            empty = {
                name: np.zeros((0, width) if width > 1 else 0, dtype) for name, (dtype, width, _) in _COLUMNS.items()
            }
            return cls(**empty)
        if len(parts) == 1:
            return cls(**{name: getattr(parts[0], name) for name in cls.columns()})
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.columns()})
