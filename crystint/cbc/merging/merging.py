"""Merged |q|^2 with uncertainties, and their way to a file.

Reflections of a family are averaged with weights w = sum a^2 / lambda over their rows, with lambda at their mean: the
information each would have if its |q|^2 were the mean, so that the noise of an estimate is not in its own weight, which
would favour those that came out low. The variance of the mean is w C w / (sum w)^2 with the whole covariance C, chi
and common pixels in it. (cbclib takes the plain mean over streaks, and sqrt(|q|^2 / pixels) over an arbitrary scale for
the error; the released version returns NaN.)
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from crystint.cbc.merging.families import Families, families
from crystint.cbc.merging.uncertainty import uncertainty
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.objective import FLOOR
from crystint.cbc.scaling.scales import mixed_families, scale_groups, scales_text
from crystint.cbc.scaling.sums import expected_counts, row_sums
from crystint.errors import SettingError

if TYPE_CHECKING:
    from crystint.cbc.scaling.scaler import IntensityScaler

__all__ = ["export_sfac", "merged_sfac"]

Floats = NDArray[np.float64]


def merged_sfac(
    scaler: IntensityScaler, x: ArrayLike, symmetry: Any, friedel: bool, errors: bool = True
) -> dict[str, NDArray[Any]]:
    """|q|^2 of families.

    Parameters
    ----------
    scaler : IntensityScaler
    x : float [S + H]
        Its estimate, converged.
    symmetry
        As for `merge_hkl`; "same": the scaler's own (equal indices, where it has every streak by itself). In cbclib,
        None stands for that; here None keeps apart what is not equal, and cannot be had from a coarser merging.
    friedel : bool
        As for `merge_hkl`.
    errors : bool
        False: no sigma (serr is NaN), which for large tables is most of the time.

    Returns
    -------
    dict
        hkl int32 [m, 3]; sfac float64 [m], |q|^2 in counts (that of cbclib too is no |q|); serr float64 [m], its sigma;
        cnts int [m], streaks. NaN where a reflection is seen nowhere; serr also where it is an average over reflections
        without a common scale.

    Warns
    -----
    UserWarning
        When reflections have no common scale (`scales.scale_groups`), as those of streaks that were each scaled by
        itself: an average over different scales is no measurement.

    Raises
    ------
    SettingError
        When the scaler has merged reflections that are not equivalent under this symmetry.
    """
    layout = scaler.layout
    symmetry, friedel = _named(scaler, symmetry, friedel)
    found = families(layout.reflection_hkl, symmetry, friedel=friedel)
    _check_finer(layout, found, symmetry, friedel)
    family, m = found.number, len(found)
    q2 = scaler.q2(x)
    covariance = _covariance(scaler, x, q2) if errors else None
    seen = np.flatnonzero(np.isfinite(q2))
    group, has = scale_groups(layout, scaler.xtal, q2, scaler.bandwidth), np.isfinite(q2)
    said = scales_text(group, has, family)
    if said is not None:
        warnings.warn(said, UserWarning, stacklevel=3)
    amplitude = np.nan_to_num(scaler.xtal_bi, nan=0.0) * layout.profile
    exposure = row_sums(layout, amplitude, np.ones(layout.n_pixels))[1]
    of, many = family[seen], np.bincount(family[seen], minlength=m)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(of, (exposure * q2)[seen], m) / np.bincount(of, exposure[seen], m)
    b = np.asarray(x, dtype=np.float64)[: layout.n_streaks]
    level = np.nan_to_num(mean[family], nan=0.0)
    weight = 1.0 / np.maximum(expected_counts(layout, amplitude, b, level), FLOOR)
    information = row_sums(layout, amplitude * amplitude, weight)[1]
    share = np.zeros(len(q2))
    share[seen] = information[seen] / np.bincount(of, information[seen], m)[of]
    sfac = np.bincount(of, (share * q2)[seen], m)
    serr = np.full(m, np.nan)
    if covariance is not None:
        averaging = sparse.csr_matrix((share[seen], (of, seen)), shape=(m, len(q2)))
        known = np.isfinite(np.diagonal(covariance))
        unknown = (np.bincount(of, ~known[seen], m) > 0) | mixed_families(group, has, family)
        part = averaging @ np.where(np.isfinite(covariance), covariance, 0.0)
        variance = np.asarray(averaging.multiply(part).sum(axis=1)).ravel()
        serr = np.where((many > 0) & ~unknown, np.sqrt(np.maximum(variance, 0.0)), np.nan)
    counted = np.bincount(family[layout.streak_reflection], minlength=m)
    return {
        "hkl": found.hkl,
        "sfac": np.where(many > 0, sfac, np.nan),
        "serr": serr,
        "cnts": counted,
    }


def export_sfac(scaler: IntensityScaler, x: ArrayLike, path: Any, symmetry: Any, friedel: bool, **options: Any) -> None:
    """Write merged |q|^2: MTZ, SHELX HKLF 4 or text by the suffix; options and errors as `export.write_sfac`."""
    from crystint.cbc.merging.export import write_sfac

    group, mates = _named(scaler, symmetry, friedel)
    write_sfac(path, merged_sfac(scaler, x, group, mates), symmetry=group, **options)


def _named(scaler: IntensityScaler, symmetry: Any, friedel: bool) -> tuple[Any, bool]:
    """Symmetry and Friedel's law as `families` takes them."""
    if not (isinstance(symmetry, str) and symmetry == "same"):
        return symmetry, friedel
    own = scaler.symmetry
    return (None, True) if isinstance(own, str) and own == "streaks" else (own, scaler.friedel)


def _check_finer(layout: Layout, found: Families, symmetry: Any, friedel: bool) -> None:
    """Raise where a merged reflection holds streaks that the symmetry keeps apart."""
    own = families(np.concatenate([found.hkl, layout.streak_hkl]), symmetry, friedel=friedel).number
    apart = own[len(found) :] != own[: len(found)][found.number][layout.streak_reflection]
    if apart.any():
        streak = int(np.argmax(apart))
        other = layout.reflection_hkl[layout.streak_reflection[streak]]
        raise SettingError(
            f"reflections {layout.streak_hkl[streak].tolist()} and {other.tolist()} are merged in the scaler, but not"
            f" equivalent under {symmetry!r}{'' if friedel else ' without Friedel'}; train with `merge_hkl` of that"
            " symmetry, or of None"
        )


def _covariance(scaler: IntensityScaler, x: ArrayLike, q2: Floats) -> Floats:
    """Covariance of |q|^2, float64 [H, H]; NaN where the data say nothing."""
    intercepts = np.asarray(x, dtype=np.float64)[: scaler.layout.n_streaks]
    fitted = intercepts if (intercepts > 0.0).any() else None
    strength = np.nan_to_num(q2, nan=0.0)
    found = uncertainty(scaler.layout, scaler.xtal, strength, scaler.bandwidth, intercepts=fitted)
    return np.asarray(found.covariance * np.outer(strength, strength))
