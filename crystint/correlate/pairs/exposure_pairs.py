"""Pairs of a stream of exposures, and the correlations of their differences."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Literal

import numpy as np

from crystint.correlate.pairs.curve_likeness import Likeness
from crystint.correlate.pairs.pairing import pair_exposures
from crystint.correlate.pairs.ring_cleaning import CleanExposure
from crystint.correlate.sums.correlator import Correlator

__all__ = ["block_ends", "correlate_alike", "correlate_neighbours"]


def correlate_neighbours(correlator: Correlator, exposures: Iterable[CleanExposure]) -> list[int]:
    """Correlate the difference of each exposure and the next, and go on after it; numbers of those left over."""
    waiting: CleanExposure | None = None
    for exposure in exposures:
        if waiting is None:
            waiting = exposure
            continue
        _add(correlator, waiting, exposure)
        waiting = None
    return [] if waiting is None else [waiting.number]


def block_ends(total: int, block: int) -> list[int]:
    """Where blocks of exposures end; a short rest joins the block before it."""
    ends = list(range(block, total, block))
    if ends and total - ends[-1] < max(2, block // 4):
        ends.pop()
    return [*ends, total]


def correlate_alike(
    correlator: Correlator,
    exposures: Iterable[CleanExposure],
    again: Callable[[int], CleanExposure],
    method: Literal["optimal", "greedy"],
    ends: Sequence[int],
) -> list[int]:
    """Correlate the differences of exposures that are alike (`pair_exposures`), among blocks of them.

    Of each block the likenesses are held, and two exposures at a time.

    Parameters
    ----------
    correlator : Correlator
        Takes the differences, in the order of the exposures that come first.
    exposures
        With their likenesses, by number.
    again : callable
        An exposure that came already, by its number.
    ends : sequence of int
        Numbers before which blocks end (`block_ends`).

    Returns
    -------
    list of int
        Numbers of the exposures that have no partner.
    """
    left_over: list[int] = []
    for _, block in groupby(exposures, lambda exposure: bisect_right(ends, exposure.number)):
        numbers, parts = [], []
        for exposure in block:
            assert exposure.likeness is not None
            numbers.append(exposure.number)
            parts.append((exposure.likeness.points.copy(), exposure.likeness.errors.copy()))
        curves = Likeness(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        if np.isfinite(curves.points).all(axis=1).sum() < 2:
            left_over += numbers
            continue
        pairing = pair_exposures(curves.points, method, alike=curves.alike)
        for first, second in pairing.pairs:
            _add(correlator, again(numbers[first]), again(numbers[second]))
        left_over += [numbers[one] for one in pairing.left_over]
    return left_over


def _add(correlator: Correlator, first: CleanExposure, second: CleanExposure) -> None:
    weights = None
    if first.weights is not None and second.weights is not None:
        weights = np.minimum(first.weights, second.weights)
    correlator.add_difference(first.values, second.values, weights)
