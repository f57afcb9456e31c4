"""What merging statistics are made of: sums per resolution shell that add, and the ratios made of them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np

from crystint.arrays import Floats
from crystint.errors import ShapeError
from crystint.stills.merging.moments import PairMoments

__all__ = ["ShellSums"]


def _zero() -> Floats:
    return np.zeros(())


def _ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole, NaN where whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole != 0.0, np.divide(part, whole), np.nan)


def _r_factor(part: Floats, whole: Floats) -> Floats:
    """part / whole; NaN where whole is not above 0, as the sum of intensities that are noise may be."""
    return np.where(whole > 0.0, _ratio(part, whole), np.nan)


@dataclass(frozen=True, eq=False)
class ShellSums:
    """Sums over unique reflections, one number per resolution shell: float64 [shells] everywhere.

    ``a + b`` is what one pass over the reflections of both would have given; ``ShellSums()`` is zero. The two must
    be of different unique reflections: sets of images are added before (`crystint.stills.merging.sums.MergeSums`).
    A number that cannot be made is NaN.

    Sources: R_meas Diederichs & Karplus (1997), Nat. Struct. Biol. 4, 269; R_pim Weiss (2001), J. Appl. Cryst. 34,
    130; CC1/2 and CC* Karplus & Diederichs (2012), Science 336, 1030; CC1/2 by variances Assmann, Brehm & Diederichs
    (2016), J. Appl. Cryst. 49, 1021; R_split White et al. (2012), J. Appl. Cryst. 45, 335.
    """

    observations: Floats = field(default_factory=_zero)
    unique: Floats = field(default_factory=_zero)
    possible: Floats = field(default_factory=_zero)
    """unique reflections that the shell can hold, absent ones not counted"""
    pairs: Floats = field(default_factory=_zero)
    """acentric reflections with both Friedel mates"""
    possible_pairs: Floats = field(default_factory=_zero)
    repeated: Floats = field(default_factory=_zero)
    """unique reflections observed at least twice"""
    intensity: Floats = field(default_factory=_zero)
    """sum of merged intensities"""
    significance: Floats = field(default_factory=_zero)
    """sum of merged I / sigma"""
    spread_merge: Floats = field(default_factory=_zero)
    """sum of |I - <I>| over the observations of repeated reflections"""
    spread_meas: Floats = field(default_factory=_zero)
    """the same, times sqrt(n / (n - 1))"""
    spread_pim: Floats = field(default_factory=_zero)
    """the same, times sqrt(1 / (n - 1))"""
    spread_of: Floats = field(default_factory=_zero)
    """sum of I over the observations of repeated reflections"""
    chi2: Floats = field(default_factory=_zero)
    """sum of (I - <I>)^2 / variance over the observations of repeated reflections"""
    freedom: Floats = field(default_factory=_zero)
    """sum of n - 1 over repeated reflections"""
    split: Floats = field(default_factory=_zero)
    """sum of |I_1 - I_2| over reflections in both halves of the images"""
    split_of: Floats = field(default_factory=_zero)
    """sum of (I_1 + I_2) / 2 over these"""
    reference_difference: Floats = field(default_factory=_zero)
    """sum of |I k - I_ref|, k one scale for all shells"""
    reference_of: Floats = field(default_factory=_zero)
    """sum of |I_ref| over the same reflections"""
    by_image: PairMoments = field(default_factory=PairMoments)
    """merged intensities of two halves of the images"""
    by_observation: PairMoments = field(default_factory=PairMoments)
    """merged intensities of two halves of the observations"""
    by_variance: PairMoments = field(default_factory=PairMoments)
    """x: plain mean of the observations of a repeated reflection; y: variance of that mean"""
    anomalous: PairMoments = field(default_factory=PairMoments)
    """I(+) - I(-) of two halves of the observations, acentric reflections"""
    reference: PairMoments = field(default_factory=PairMoments)
    """merged intensities, and those of a reference"""

    def __add__(self, other: Self) -> Self:
        shapes = np.shape(self.unique), np.shape(other.unique)
        if () not in shapes and shapes[0] != shapes[1]:
            raise ShapeError(
                f"statistics of {shapes[0][0]} and {shapes[1][0]} shells cannot be added: use the same shells"
            )
        return type(self)(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(self)))

    def __len__(self) -> int:
        return int(np.size(self.unique))

    @property
    def total(self) -> Self:
        """All shells in one: shape (1,)."""
        return self._each(lambda values: values.total if isinstance(values, PairMoments) else np.sum(values))

    def row(self, shell: int) -> Self:
        """One shell: shape (1,)."""
        return self._each(lambda values: values.row(shell) if isinstance(values, PairMoments) else values[shell])

    def _each(self, part_of: Any) -> Self:
        parts: list[Any] = []
        for part in fields(self):
            values = part_of(getattr(self, part.name))
            if isinstance(values, PairMoments):
                parts.append(PairMoments(*(np.atleast_1d(getattr(values, name.name)) for name in fields(values))))
            else:
                parts.append(np.atleast_1d(np.asarray(values, dtype=np.float64)))
        return type(self)(*parts)

    @property
    def completeness(self) -> Floats:
        """Unique reflections as a share of the possible ones."""
        return _ratio(self.unique, self.possible)

    @property
    def completeness_anomalous(self) -> Floats:
        """Acentric reflections with both Friedel mates, as a share of the possible ones."""
        return _ratio(self.pairs, self.possible_pairs)

    @property
    def multiplicity(self) -> Floats:
        """Observations per unique reflection."""
        return _ratio(self.observations, self.unique)

    @property
    def mean_intensity(self) -> Floats:
        """Mean merged intensity."""
        return _ratio(self.intensity, self.unique)

    @property
    def i_over_sigma(self) -> Floats:
        """Mean of merged I / sigma."""
        return _ratio(self.significance, self.unique)

    @property
    def r_merge(self) -> Floats:
        """sum |I - <I>| / sum I over reflections observed at least twice."""
        return _r_factor(self.spread_merge, self.spread_of)

    @property
    def r_meas(self) -> Floats:
        """R_merge that does not depend on the multiplicity: each reflection times sqrt(n / (n - 1))."""
        return _r_factor(self.spread_meas, self.spread_of)

    @property
    def r_pim(self) -> Floats:
        """Of the merged intensities: each reflection times sqrt(1 / (n - 1))."""
        return _r_factor(self.spread_pim, self.spread_of)

    @property
    def r_split(self) -> Floats:
        """sum |I_1 - I_2| / (sqrt(2) sum (I_1 + I_2) / 2), halves by image."""
        return _r_factor(self.split, np.sqrt(2.0) * self.split_of)

    @property
    def reduced_chi2(self) -> Floats:
        """Scatter of the observations as a multiple of what their variances say; 1 = the error model holds."""
        return _ratio(self.chi2, self.freedom)

    @property
    def cc_half(self) -> Floats:
        """CC1/2, halves by image."""
        return self.by_image.cc

    @property
    def cc_half_observations(self) -> Floats:
        """CC1/2, halves of the observations of each reflection."""
        return self.by_observation.cc

    @property
    def cc_half_variance(self) -> Floats:
        """CC1/2 without halves: from the variance of the means and the mean variance of a mean (unweighted)."""
        parts = self.by_variance
        with np.errstate(invalid="ignore", divide="ignore"):
            of_means = parts.xx / (parts.n - 1.0)
            correlation = (of_means - parts.y) / (of_means + parts.y)
        return np.where((parts.n > 2) & (of_means + parts.y > 0.0), correlation, np.nan)

    @property
    def cc_star(self) -> Floats:
        """sqrt(2 CC1/2 / (1 + CC1/2)): expected correlation to the true intensities; NaN where CC1/2 < 0."""
        cc = self.cc_half
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(2.0 * cc / (1.0 + cc)))

    @property
    def cc_anomalous(self) -> Floats:
        """Correlation of the anomalous differences of two halves of the observations."""
        return self.anomalous.cc

    @property
    def cc_reference(self) -> Floats:
        """Correlation of the merged intensities to the reference."""
        return self.reference.cc

    @property
    def r_reference(self) -> Floats:
        """sum |k I - I_ref| / sum |I_ref|, k one least-squares scale."""
        return _r_factor(self.reference_difference, self.reference_of)
