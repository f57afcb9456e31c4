"""Widths of profiles from the frames themselves: cores make widths, and widths make cores, until they agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.io.frames.sequence import Frames
from crystint.stills.integration.frame_stream import stream_parts
from crystint.stills.integration.one_frame import FrameIntegrator, FramePart
from crystint.stills.integration.profile import MOST_ERROR, ProfileWidths
from crystint.stills.integration.spot_moments import SpotMoments

__all__ = ["settle_widths"]

_SPOTS = 3000
"""strong spots that are enough, on fewer frames than that"""
_ROUNDS = 7
_FIRST_WIDTHS = (2.0, 1.0, 0.7)
"""px: R of the profiles before any was measured; the next where all cores of the last one overlap"""
_SETTLED = 0.02
"""widths that change by less are the widths"""


def settle_widths(
    frames: Frames,
    integrator: FrameIntegrator,
    units: list[tuple[int, NDArray[np.intp]]],
    sample: int,
    threads: int,
    round_profile: bool,
) -> tuple[ProfileWidths, str]:
    """Widths and, where they are only a guess, why. `units` are frames with their images."""
    chosen = np.unique(np.linspace(0, len(units) - 1, min(sample, len(units))).round().astype(int))
    some = [units[number] for number in np.random.default_rng(0).permutation(chosen)] if units else []
    guess = 1e-3
    for first in _FIRST_WIDTHS:
        parts: list[FramePart] = []
        start = replace(integrator, reference=None, first_width=first)
        for part, *_ in stream_parts(frames, start, None, some, threads):
            parts += [part] if part is not None else []
            if sum(len(part.moments) for part in parts) >= _SPOTS:
                break
        guess = float(np.median([part.guess for part in parts])) if parts else guess
        profile = _measured(parts, integrator, round_profile)
        if profile is not None:
            break
    else:
        why = f"no spot of {len(some)} frames is above {integrator.strong:g} sigma; profiles are a guess"
        return ProfileWidths.constant(guess), f"{why}, R = {guess:.2g} 1/angstrom"
    used = {int(image) for part in parts for image in np.unique(part.observations.image)}
    some = [(number, images) for number, images in some if used.intersection(images.tolist())]
    for _ in range(_ROUNDS):
        results = stream_parts(frames, replace(integrator, reference=None), profile, some, threads)
        after = _measured([part for part, *_ in results if part is not None], integrator, round_profile)
        if after is None:
            break
        profile, change = after, _change(profile, after)
        if change < _SETTLED:
            break
    if integrator.recenter:
        results = stream_parts(frames, replace(integrator, reference=None), profile, some, threads)
        profile = _formed([part for part, *_ in results if part is not None], profile)
    return profile, ""


def _formed(parts: list[FramePart], profile: ProfileWidths) -> ProfileWidths:
    """The same widths, with the form of the spots that have little noise."""
    if not parts:
        return profile
    moments = SpotMoments.join([part.moments for part in parts])
    seen, expected = (np.concatenate([part.rings[which] for part in parts]) for which in (0, 1))
    clear = moments.moment_error < MOST_ERROR
    return profile.with_form(moments.d[clear], seen[clear], expected[clear])


def _measured(parts: list[FramePart], integrator: FrameIntegrator, round_profile: bool) -> ProfileWidths | None:
    """Widths of the strong spots of all parts; None without any."""
    moments = SpotMoments.join([part.moments for part in parts])
    try:
        return ProfileWidths.measure(moments, reach=integrator.rules.reach, round_profile=round_profile)
    except SettingError:
        return None


def _change(before: ProfileWidths, after: ProfileWidths) -> float:
    """The largest relative change of a width."""
    d = 1.0 / np.sqrt(np.maximum(after.center, 1e-12))
    return float(np.abs(before.at(d) / after.at(d) - 1.0).max())
