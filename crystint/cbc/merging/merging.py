"""Merged |q|^2 with uncertainties.

Reflections of a family are averaged with weights w = sum a^2 / lambda over their rows, with lambda at their mean: the
information each would have if its |q|^2 were the mean, so that the noise of an estimate is not in its own weight, which
would favour those that came out low. The variance of the mean is w C w / (sum w)^2 with the whole covariance C, chi
and common pixels in it. (cbclib takes the plain mean over streaks, and sqrt(|q|^2 / pixels) over an arbitrary scale for
the error; the released version returns NaN.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from crystint.arrays import Floats
from crystint.cbc.merging.families import Families, families
from crystint.cbc.merging.uncertainty import uncertainty
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.objective import FLOOR
from crystint.cbc.scaling.scaler import Scaler
from crystint.cbc.scaling.scales import mixed_families, scale_groups, scales_text
from crystint.cbc.scaling.sums import expected_counts, row_sums
from crystint.errors import SettingError, warn

__all__ = ["merged_intensities"]


def merged_intensities(
    scaler: Scaler[Any],
    b: Floats,
    q2: Floats,
    bandwidth: float | None,
    symmetry: Any,
    friedel: bool,
    errors: bool = True,
) -> dict[str, NDArray[Any]]:
    """|q|^2 of families.

    Parameters
    ----------
    scaler : Scaler
    b, q2 : float64 [S], float64 [H]
        Its estimate, converged; |q|^2 is NaN where the reflection is seen nowhere.
    bandwidth : float or None
        Of the regression of the maps; None = they are known.
    symmetry, friedel
        As for `families`.
    errors : bool
        False: no sigma (serr is NaN), which for large tables is most of the time.

    Returns
    -------
    dict
        hkl int32 [m, 3]; sfac float64 [m], |q|^2 in counts; serr float64 [m], its sigma; cnts int [m], streaks. NaN
        where a reflection is seen nowhere; serr also where it is an average over reflections without a common scale.

    Warns
    -----
    CrystintWarning
        When reflections have no common scale (`scales.scale_groups`), as those of streaks that were each scaled by
        itself: an average over different scales is no measurement.

    Raises
    ------
    SettingError
        When the scaler has merged reflections that are not equivalent under this symmetry.
    """
    layout = scaler.layout
    merging = families(layout.reflection_hkl, symmetry, friedel=friedel)
    _check_finer(layout, merging, symmetry, friedel)
    family, m = merging.number, len(merging)
    seen = np.flatnonzero(np.isfinite(q2))
    group, has = scale_groups(layout, scaler.maps, q2, bandwidth), np.isfinite(q2)
    text = scales_text(group, has, family)
    if text is not None:
        warn(text)
    covariance = _covariance(scaler, b, q2, bandwidth) if errors else None
    amplitude, exposure = scaler.amplitude, scaler.exposure
    of, many = family[seen], np.bincount(family[seen], minlength=m)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(of, (exposure * q2)[seen], m) / np.bincount(of, exposure[seen], m)
    level = np.nan_to_num(mean[family], nan=0.0)
    weight = 1.0 / np.maximum(expected_counts(layout, amplitude, b, level), FLOOR)
    information = row_sums(layout, amplitude * amplitude, weight)[1]
    share = np.zeros(len(q2))
    share[seen] = information[seen] / np.bincount(of, information[seen], m)[of]
    sfac = np.bincount(of, (share * q2)[seen], m)
    serr = np.full(m, np.nan)
    if covariance is not None:
        averaging = sparse.csr_matrix((share[seen], (of, seen)), shape=(m, len(q2)))
        certain = np.isfinite(np.diagonal(covariance))
        unknown = (np.bincount(of, ~certain[seen], m) > 0) | mixed_families(group, has, family)
        part = averaging @ np.where(np.isfinite(covariance), covariance, 0.0)
        variance = np.asarray(averaging.multiply(part).sum(axis=1)).ravel()
        serr = np.where((many > 0) & ~unknown, np.sqrt(np.maximum(variance, 0.0)), np.nan)
    counted = np.bincount(family[layout.streak_reflection], minlength=m)
    return {
        "hkl": merging.hkl,
        "sfac": np.where(many > 0, sfac, np.nan),
        "serr": serr,
        "cnts": counted,
    }


def _check_finer(layout: Layout, merging: Families, symmetry: Any, friedel: bool) -> None:
    """Raise where a merged reflection has streaks that the symmetry does not merge."""
    own = families(np.concatenate([merging.hkl, layout.streak_hkl]), symmetry, friedel=friedel).number
    apart = own[len(merging) :] != own[: len(merging)][merging.number][layout.streak_reflection]
    if apart.any():
        streak = int(np.argmax(apart))
        other = layout.reflection_hkl[layout.streak_reflection[streak]]
        raise SettingError(
            f"reflections {layout.streak_hkl[streak].tolist()} and {other.tolist()} are merged in the scaler, but not"
            f" equivalent under {symmetry!r}{'' if friedel else ' without Friedel'}; train with `merge_hkl` of that"
            " symmetry, or of None"
        )


def _covariance(scaler: Scaler[Any], b: Floats, q2: Floats, bandwidth: float | None) -> Floats:
    """Covariance of |q|^2, float64 [H, H]; NaN where the data say nothing."""
    fitted = b if (b > 0.0).any() else None
    strength = np.nan_to_num(q2, nan=0.0)
    estimate = uncertainty(scaler.layout, scaler.maps, strength, bandwidth, intercepts=fitted)
    return np.asarray(estimate.covariance * np.outer(strength, strength))
