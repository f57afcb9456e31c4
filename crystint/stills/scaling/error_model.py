"""Two constants that make the standard deviations true: sigma'^2 = a sigma^2 + (b <I>)^2.

<I> is the mean of the reflection, never the single intensity, which would bias every weighted mean. The constants
come from how far equivalents lie from their mean. Other programs write the same model in other ways:

| program                          | variance                                     | ISa             |
|----------------------------------|----------------------------------------------|-----------------|
| here                             | a s^2 + (b I)^2                              | 1 / b           |
| XDS (Kabsch 2010)                | a (s^2 + b I^2)                              | 1 / sqrt(a b)   |
| DIALS, basic                     | a^2 (s^2 + (b I)^2)                          | 1 / (a b)       |
| Evans 2011 (cctbx ev11, Aimless) | sdfac^2 (s^2 + sdb^2 I + (sdadd I)^2)        | 1 / (sdfac sdadd) |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError
from crystint.html import html_table
from crystint.stills.scaling.variance_fit import BINS, LIMIT, fit_variance

__all__ = ["DialsModel", "ErrorModel", "EvansModel", "XdsModel", "fit_error_model"]

_UNSURE = 0.25
"""relative error of a mean from which its own error spoils the weak bins"""
_MIN_DEVIATES = 150
"""equivalents needed for a fit"""


@dataclass(frozen=True)
class XdsModel:
    """a (s^2 + b I^2)."""

    a: float
    b: float

    @property
    def isa(self) -> float:
        """I / sigma' of infinitely strong reflections."""
        return 1.0 / sqrt(self.a * self.b) if self.b > 0.0 else inf


@dataclass(frozen=True)
class DialsModel:
    """a^2 (s^2 + (b I)^2)."""

    a: float
    b: float

    @property
    def isa(self) -> float:
        """I / sigma' of infinitely strong reflections."""
        return 1.0 / (self.a * self.b) if self.b > 0.0 else inf


@dataclass(frozen=True)
class EvansModel:
    """sdfac^2 (s^2 + sdb^2 I + (sdadd I)^2)."""

    sdfac: float
    sdb: float
    sdadd: float

    @property
    def isa(self) -> float:
        """I / sigma' of infinitely strong reflections."""
        return 1.0 / (self.sdfac * self.sdadd) if self.sdadd > 0.0 else inf


@dataclass(frozen=True)
class ErrorModel:
    """sigma'^2 = a sigma^2 + (b <I>)^2; without a fit a = 1, b = 0: the standard deviations as they came.

    Raises
    ------
    SettingError
        When a is not above 0 or b is negative.

    Examples
    --------
    >>> from crystint import stills
    >>> model = stills.ErrorModel(a=1.44, b=0.05)
    >>> round(model.isa, 2)
    20.0
    """

    a: float = 1.0
    """factor of the variances"""
    b: float = 0.0
    """relative error of strong reflections; about 1 / ISa"""
    converged: bool = True
    """False: do not trust a and b; `note` says why"""
    note: str = ""
    """what a reader should know of the fit; empty when nothing"""
    used: int = 0
    """deviates that the fit used"""
    rejected: int = 0
    """deviates that it left out as outliers"""

    def __post_init__(self) -> None:
        if not (0.0 < self.a < inf and 0.0 <= self.b < inf):
            raise SettingError(f"error model a = {self.a!r}, b = {self.b!r}: expected a above 0, b 0 or more")

    def __repr__(self) -> str:
        state = "" if self.converged else ", not converged"
        return f"<ErrorModel: a = {self.a:.4g}, b = {self.b:.4g}, ISa {self.isa:.4g}{state}>"

    def _repr_html_(self) -> str:
        facts = {
            "variance": "a sigma^2 + (b <I>)^2",
            "a": self.a,
            "b": self.b,
            "ISa": self.isa,
            "deviates used": self.used,
            "rejected": self.rejected,
            "converged": self.converged,
            "note": self.note or None,
        }
        return html_table("ErrorModel", facts)

    @property
    def isa(self) -> float:
        """I / sigma' of infinitely strong reflections (Diederichs 2010); infinite when b is 0."""
        return 1.0 / self.b if self.b > 0.0 else inf

    @property
    def doubtful(self) -> bool:
        """Whether `note` is a warning; that b is 0, of sigmas that explain all the spread, is none."""
        return not self.converged or (bool(self.note) and self.b > 0.0)

    def variance(self, sigma: Floats, mean_intensity: Floats) -> Floats:
        """sigma'^2 of observations with `sigma`, whose reflections have the mean `mean_intensity`, both [n]."""
        return np.asarray(self.a * np.square(sigma) + np.square(self.b * np.maximum(mean_intensity, 0.0)))

    def to_xds(self) -> XdsModel:
        """The same variance as XDS writes it."""
        return XdsModel(self.a, self.b**2 / self.a)

    def to_dials(self) -> DialsModel:
        """The same variance as DIALS's basic model."""
        return DialsModel(sqrt(self.a), self.b / sqrt(self.a))

    def to_evans(self) -> EvansModel:
        """The same variance after Evans (2011); its term in I is 0."""
        return EvansModel(sqrt(self.a), 0.0, self.b / sqrt(self.a))


def fit_error_model(
    group: NDArray[np.intp],
    intensity: Floats,
    sigma: Floats,
    *,
    bins: int = BINS,
    limit: float = LIMIT,
    max_iterations: int = 50,
    min_deviates: int = _MIN_DEVIATES,
) -> ErrorModel:
    """Fit a and b to the spread of equivalents.

    The deviates I - <I> about the weighted mean, their squares over (1 - w / W) because the mean follows them, fall
    into bins of equal count in <I>; there the means of squares, sigma^2 and <I>^2, each over the variance expected of
    its observation, are fitted by a mean(sigma^2) + b^2 mean(<I>^2). So every observation counts alike: neither the
    strongest nor those of enormous sigma decide alone, and the weak bins, which fix a, count as much as the strong
    ones, which fix b. What `limit` does to ISa: on data with tails (4 sweeps of l-cysteine, scaled by DIALS, ISa 18.9
    there) it is 18.4 without a limit, 18.9 with 8 and 24 with 4. Outliers are the business of a step of their own.
    Weights of the means and the outliers (beyond `limit` sigma') follow the model until it stands still.

    Parameters
    ----------
    group : int [n]
        Number of the unique reflection, from 0.
    intensity, sigma : float64 [n]
        On one scale. Rows that are not finite, or whose sigma is not above 0, are left out.
    bins : int
        Of equal count in <I>.
    limit : float
        Deviates beyond so many sigma' are outliers.
    max_iterations : int
    min_deviates : int
        Fewer observations of reflections seen twice or more determine no error model.

    Returns
    -------
    ErrorModel
        With `converged` False, a reason in `note` and a = 1, b = 0 when fewer than `min_deviates` observations are of
        reflections seen twice or more; with `converged` False and the last a and b when they do not stand still, or
        when a is at its lower limit (0.25: with a = 0 reflections of mean 0 would have no error at all).

    Raises
    ------
    ShapeError
        When the columns differ in length.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import stills
    >>> rng = np.random.default_rng(1)
    >>> group = np.repeat(np.arange(500), 6)
    >>> true = np.repeat(rng.exponential(1000.0, 500) + 20, 6)
    >>> sigma = np.sqrt(true)
    >>> model = stills.fit_error_model(group, true + rng.normal(0, np.hypot(sigma, 0.05 * true)), sigma)
    >>> abs(model.a - 1) < 0.2, abs(model.b - 0.05) < 0.005
    (True, True)
    """
    if not len(group) == len(intensity) == len(sigma):
        raise ShapeError(f"{len(group)} groups, {len(intensity)} intensities and {len(sigma)} sigmas: not one table")
    good = np.isfinite(intensity) & (sigma > 0.0) & np.isfinite(sigma)
    number = np.asarray(group)[good]
    if number.size:
        count = np.bincount(number)
        again = count[number] > 1
        good[good] = again
        number = np.unique(number[again], return_inverse=True)[1]
    if number.size < min_deviates:
        return ErrorModel(
            converged=False,
            note=f"{number.size} observations of reflections seen twice or more, {min_deviates} needed: a = 1, b = 0",
        )
    value, variance = intensity[good], sigma[good] ** 2
    n = int(number.max()) + 1
    a, b = 1.0, 0.0
    model = ErrorModel()
    keep = np.ones(len(value), dtype=bool)
    plain = np.bincount(number, value, n) / np.bincount(number, minlength=n)
    mean = plain
    for iteration in range(max_iterations):
        total_variance = a * variance + np.square(b * np.maximum(mean, 0.0))[number]
        weight = keep / total_variance
        total = np.bincount(number, weight, n)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(total > 0.0, np.bincount(number, weight * value, n) / total, plain)
            # left-out rows are compared with a mean that does not know them: their deviate is larger, not smaller
            follow = np.where(keep, 1.0 - weight / total[number], 1.0)
        counts = follow > 1e-6
        square = np.where(counts, (value - mean[number]) ** 2 / np.where(counts, follow, 1.0), 0.0)
        first = iteration == 0
        start = None if first else (a, b)
        columns = (square[counts], variance[counts], mean[number][counts])
        now = fit_variance(*columns, bins=bins, limit=limit, start=start, even=True)
        change = max(abs(now.a / a - 1.0), abs(now.b - b) / max(now.b, 0.01))
        a, b = now.a, now.b
        model = ErrorModel(a, b, not now.limited, now.note, now.used, now.rejected)
        limit2 = limit**2 * (a * variance + np.square(b * np.maximum(mean, 0.0))[number])
        if iteration < max_iterations // 2:  # then the set of outliers is final, so that nothing can go to and fro
            keep = square <= limit2
        if change < 1e-3 and not first:
            return _with_doubt(model, len(value) / n)
    return replace(model, converged=False, note=f"a and b still change after {max_iterations} iterations")


def _with_doubt(model: ErrorModel, multiplicity: float) -> ErrorModel:
    """The model, with a note where the means that it was fitted with are themselves too uncertain."""
    if model.note or model.b <= _UNSURE * sqrt(multiplicity):
        return model
    note = (
        f"observations of a reflection scatter by {model.b:.0%} of their mean (b), and {multiplicity:.1f} of them per "
        "reflection are too few to tell the factor on sigma (a) as well: sigma and ISa are rough; more images help, "
        "and so do partialities where all are 1"
    )
    return replace(model, note=note)
