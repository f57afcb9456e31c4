"""Whether profiles sit on their spots and hold what the spots hold: said in shells of resolution, and warned of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crystint.stills.integration.misfit import ImageFit
from crystint.stills.integration.one_frame import FramePart
from crystint.stills.integration.profile import ENOUGH, ProfileWidths

__all__ = ["check_fit", "image_fit", "typical_offset"]

_LESS = 0.05
"""of the sums over cores of strong spots, that profiles may be off"""
_BESIDE, _PIXELS = 1.0 / 3.0, 0.5
"""R, and px: how far spots of a shell may be, on average, from their profiles"""
_ERRORS = 4.0
_MOST = 0.95
"""quantile of the sums, above which a spot counts no more than one there"""


def check_fit(
    profile: ProfileWidths, parts: Sequence[FramePart], *, fitted: bool = True
) -> tuple[ProfileWidths, list[str]]:
    """The widths with `offset` and `fitted` of the strong spots of all frames, and warnings.

    Parameters
    ----------
    profile : ProfileWidths
    parts : list of FramePart
    fitted : bool
        Profiles are fitted: sums do not suffer from a bad one.
    """
    if not sum(len(part.moments) for part in parts):
        return profile, []
    d = np.concatenate([part.moments.d for part in parts])
    both, away, pixel = (np.concatenate([getattr(part, name) for part in parts]) for name in ("both", "away", "pixel"))
    shells = len(profile.radial)
    shell = np.clip(np.searchsorted(profile.edges, d**-2.0) - 1, 0, shells - 1)
    distance = np.linalg.norm(away, axis=2)
    offset, ratio = np.full((shells, 2), np.nan), np.full(shells, np.nan)
    less, beside = [], []
    for number in range(shells):
        rows = (shell == number) & np.isfinite(both).all(axis=1) & np.isfinite(distance).all(axis=1)
        if rows.sum() < ENOUGH:
            continue
        offset[number] = np.median(distance[rows], axis=0)
        own = both[rows]
        own = own * np.minimum(1.0, np.quantile(own[:, 1], _MOST) / np.maximum(own[:, 1], 1e-300))[:, None]
        total = own.sum(axis=0)
        ratio[number] = total[0] / total[1]
        error = np.sqrt(np.sum((own[:, 0] - ratio[number] * own[:, 1]) ** 2)) / total[1]
        name = _shell(profile, number)
        if abs(ratio[number] - 1.0) > max(_LESS, _ERRORS * error):
            less.append(f"{100.0 * (ratio[number] - 1.0):+.0f} % at {name}")
        mean = np.median(away[rows, 1], axis=0)
        width = np.array([profile.radial[number], profile.tangential[number]]) / np.median(pixel[rows])
        spread = 1.25 * away[rows, 1].std(axis=0) / np.sqrt(rows.sum())
        for part, value, wide, sigma in zip(("radially", "tangentially"), mean, width, spread, strict=True):
            if abs(value) > max(_BESIDE * wide, _PIXELS, _ERRORS * sigma):
                beside.append(f"{value:+.1f} px {part} at {name}")
    warnings = []
    if less and fitted:
        warnings.append(
            f"fitted profiles are off the sums over cores of strong spots by {', '.join(less)}: the spots are not like "
            "their profiles, or not where they are predicted; --method sum fits none"
        )
    if beside:
        warnings.append(
            f"spots are seen off their profiles by {', '.join(beside)}: orientations, cell or detector should be "
            "refined"
        )
    return replace(profile, offset=offset, fitted=ratio), warnings


def image_fit(parts: Sequence[FramePart], images: int) -> ImageFit:
    """How the strong spots of all frames fit their profiles, image by image."""
    image = np.concatenate([part.moments.image for part in parts] or [np.zeros(0, dtype=np.int32)])
    fit = np.concatenate([part.fit for part in parts] or [np.zeros((0, 3))])
    return ImageFit.of(images, image, fit, np.concatenate([part.both[:, 1] for part in parts] or [np.zeros(0)]))


def _shell(profile: ProfileWidths, number: int) -> str:
    with np.errstate(divide="ignore"):
        low, high = (1.0 / np.sqrt(profile.edges[number + side]) for side in (0, 1))
    return f"{low:.2f}-{high:.2f} A" if np.isfinite(low) and high > 0.0 else "all resolutions"


def typical_offset(profile: ProfileWidths) -> NDArray[np.float64]:
    """float64 [2], px: median distance of strong spots from predicted and from moved places, all shells; or NaN."""
    measured = np.isfinite(profile.offset).all(axis=1)
    if not measured.any():
        return np.full(2, np.nan)
    return np.asarray(np.average(profile.offset[measured], axis=0, weights=np.maximum(profile.spots[measured], 1)))
