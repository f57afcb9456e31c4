"""Merging statistics from merged sums and the observations behind them."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.stats import theilslopes

from crystint.arrays import Floats
from crystint.model import symmetry
from crystint.stills.merging.moments import PairMoments
from crystint.stills.merging.shell_sums import ShellSums
from crystint.stills.merging.shells import ResolutionShells
from crystint.stills.merging.statistics import Statistics
from crystint.stills.merging.sums import MergeSums, image_halves, observation_halves

__all__ = ["collect", "wilson_b"]


_PROTEIN = (("C", 5.0), ("N", 1.35), ("O", 1.5), ("H", 8.0))
"""atoms of an average residue"""
_CLEAR = 3.0
"""standard errors of a mean that is no noise"""
_FAR, _BUMP = 4.0, 0.5
"""from the line, in ln I: standard errors of a mean of Wilson's distribution, and what structure may do"""


def collect(
    sums: MergeSums,
    number: NDArray[np.intp],
    intensity: Floats,
    *,
    cell: gemmi.UnitCell,
    space_group: gemmi.SpaceGroup,
    shells: ResolutionShells,
    sigma: Floats | None = None,
    reference: Floats | None = None,
    weight: Floats | None = None,
    image: NDArray[Any] | None = None,
    repeats: int = 1,
    seed: int = 0,
    limit: float = 0.0,
) -> Statistics:
    """Statistics of merged observations.

    Parameters
    ----------
    sums : MergeSums
        Of all observations.
    number : int [n]
        Row of `sums` that each observation is of.
    intensity : float64 [n]
        On the common scale.
    sigma : float64 [m], optional
        Of the merged intensities; None = from the weights.
    reference : float64 [m], optional
        Intensities to compare with, NaN where there is none.
    weight, image : [n], optional
        1 / variance and image of each observation: needed for `repeats` above 1.
    repeats
        How often halves are drawn. CC1/2 is that of all draws together: less noise, the same expectation.
    seed
        Of the draws after the first, which `sums` has.
    limit
        Resolution, angstrom, beyond which nothing counts for the Wilson B.
    """
    count, total, mean, spread = sums.merged
    d = symmetry.spacing(sums.hkl, cell)
    shell, k = shells.number(d), len(shells)

    def add(values: NDArray[Any], rows: NDArray[np.bool_] | None = None) -> Floats:
        use = (shell >= 0) & (count > 0) & np.isfinite(values)
        if rows is not None:
            use &= rows
        return np.asarray(np.bincount(shell[use], values[use], minlength=k), dtype=np.float64)

    ones = np.ones(len(count))
    again = count > 1
    off = intensity - mean[number]
    absolute = np.bincount(number, np.abs(off), len(count))
    plain = np.bincount(number, intensity, len(count))
    rest = np.maximum(count - 1.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = mean * np.sqrt(total) if sigma is None else mean / sigma
        simple = plain / count
    step = simple - mean
    square = np.bincount(number, off * off, len(count))
    scatter = np.where(again, np.maximum(square - count * step**2, 0.0) / rest / np.maximum(count, 1.0), np.nan)

    halves = sums.halves(0), sums.halves(1)
    by_image, by_observation = (PairMoments.of(half[:, 0], half[:, 1], shell, k) for half in halves)
    if repeats > 1 and weight is not None:
        for repeat in range(1, repeats):
            draws = [observation_halves(number, seed + repeat)]
            if image is not None:
                draws.append(image_halves(int(image.max(initial=-1)) + 1, seed + repeat)[image])
            pair_moments = [
                PairMoments.of(*_halved(number, draw, intensity, weight, len(count)), shell, k) for draw in draws
            ]
            by_observation = by_observation + pair_moments[0]
            by_image = by_image + pair_moments[1] if image is not None else by_image
    split = halves[0]
    anomalous = sums.anomalous_halves

    fitting, difference, against = np.full(len(count), np.nan), np.zeros(k), np.zeros(k)
    if reference is not None:
        fitting = np.where(np.isfinite(mean), reference, np.nan)
        common = np.isfinite(fitting) & (shell >= 0)
        if common.any():
            squares = float(np.sum(mean[common] ** 2))
            scale = float(np.sum(mean[common] * fitting[common])) / squares if squares > 0.0 else np.nan
            difference, against = add(np.abs(scale * mean - fitting), common), add(np.abs(fitting), common)

    everything = symmetry.possible(cell, space_group, float(shells.edges[-1]), float(shells.edges[0]))
    place = shells.number(symmetry.spacing(everything, cell))
    both = place[(place >= 0) & ~symmetry.centric(everything, space_group, repeated=False)]
    return Statistics(
        shells.edges,
        ShellSums(
            observations=add(count),
            unique=add(ones),
            possible=np.bincount(place[place >= 0], minlength=k).astype(np.float64),
            pairs=add(ones, np.asarray((sums.count > 0).all(axis=1))),
            possible_pairs=np.bincount(both, minlength=k).astype(np.float64),
            repeated=add(ones, again),
            intensity=add(mean),
            significance=add(ratio),
            spread_merge=add(absolute, again),
            spread_meas=add(absolute * np.sqrt(count / rest), again),
            spread_pim=add(absolute / np.sqrt(rest), again),
            spread_of=add(plain, again),
            chi2=add(spread, again),
            freedom=add(rest, again),
            split=add(np.abs(split[:, 0] - split[:, 1])),
            split_of=add(0.5 * (split[:, 0] + split[:, 1])),
            reference_difference=difference,
            reference_of=against,
            by_image=by_image,
            by_observation=by_observation,
            by_variance=PairMoments.of(simple, scatter, shell, k),
            anomalous=PairMoments.of(anomalous[:, 0], anomalous[:, 1], shell, k),
            reference=PairMoments.of(mean, fitting, shell, k),
        ),
        wilson_b(mean, d, symmetry.epsilon(sums.hkl, space_group, repeated=False), total**-0.5, d_min=limit),
    )


def _halved(
    number: NDArray[np.intp], half: NDArray[np.int8], intensity: Floats, weight: Floats, m: int
) -> tuple[Floats, Floats]:
    """float64 [m] twice: weighted means of two halves, NaN where one has none."""
    place = number + m * half.astype(np.intp)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, weight * intensity, 2 * m) / np.bincount(place, weight, 2 * m)
    return mean[:m], mean[m:]


def wilson_b(
    intensity: Floats,
    d: Floats,
    epsilon: NDArray[Any],
    sigma: Floats | None = None,
    *,
    d_max: float = 4.0,
    d_min: float = 0.0,
    bins: int = 20,
) -> float:
    """B of merged intensities, angstrom^2: slope of ln(<I / epsilon> / sum f^2) over 1 / 4 d^2.

    The f are those of average protein atoms. Reflections beyond `d_max` angstrom are left out where enough remain,
    because solvent and packing shape them, and those below `d_min`; so are bins whose mean is not three times its
    error (by `sigma`), as noise does not fall off, and bins far from the line of Theil and Sen, such as a last one that
    is half noise. NaN with fewer than 60 reflections, or 3 bins.

    Source: Wilson (1942), Nature 150, 152; Sen (1968), J. Am. Stat. Assoc. 63, 1379 (the line).
    """
    usable = np.isfinite(intensity) & np.isfinite(d) & (d > 0.0) & (d >= d_min)
    if np.count_nonzero(usable & (d < d_max)) >= 100:
        usable &= d < d_max
    if np.count_nonzero(usable) < 60:
        return float("nan")
    x = 0.25 / d[usable] ** 2
    order = np.argsort(x, kind="stable")
    parts = np.array_split(order, min(bins, len(order) // 20))
    value = intensity[usable] / epsilon[usable]
    level = np.array([value[part].mean() for part in parts])
    middle = np.array([x[part].mean() for part in parts])
    atoms = [(share, gemmi.Element(name).it92) for name, share in _PROTEIN]
    expected = np.array([sum(share * atom.calculate_sf(float(at)) ** 2 for share, atom in atoms) for at in middle])
    good = level > 0.0
    if np.any(d < d_min):
        good[-1] = False  # where a signal ends is known to a few reflections only
    if sigma is not None:
        variance = np.square(sigma[usable] / epsilon[usable])
        error = np.array([np.sqrt(np.nansum(variance[part])) / len(part) for part in parts])
        good &= level > _CLEAR * error
    if np.count_nonzero(good) < 3:
        return float("nan")
    x, y = middle[good], np.log(level[good] / expected[good])
    line = theilslopes(y, x)
    size = np.array([len(part) for part in parts])[good]
    near = np.abs(y - line.intercept - line.slope * x) < np.maximum(_FAR / np.sqrt(size), _BUMP)
    return float(-0.5 * np.polyfit(x[near], y[near], 1)[0])
