"""Where nothing indexes: which change of the geometry makes lattices appear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crystint.engine.engine import Engine
from crystint.index.indexer import FEWEST, Indexer, Solution
from crystint.index.known_cell import KnownCell
from crystint.index.refinement import SpotRays, refine
from crystint.index.spots import IndexSpots, places_on
from crystint.model.experiment import Detector
from crystint.prediction.offsets import panels_at

__all__ = ["likely_geometry"]

_FRAMES = 20
"""that are tried: those with most spots"""
_FACTORS = (0.94, 0.955, 0.97, 0.985, 1.015, 1.03, 1.045, 1.06)
"""of the distance; the search holds to about 1 %"""
_GAIN, _LEAST = 2, 3
"""times as many frames, and so many more, must index for a change to be told"""
_WIDE = 0.05
"""prior of the factor of a distance, less 1"""
_SURER = 1.5
"""or as many, with the sum of their evidence so many times as large"""


def likely_geometry(
    spots: IndexSpots,
    detector: Detector,
    incident: NDArray[np.float64],
    cell: KnownCell,
    engine: Engine,
    *,
    accepted: float,
) -> str:
    """A sentence about the change of the geometry that most frames index with; "" where none helps.

    Parameters
    ----------
    spots : IndexSpots
    detector : Detector
    incident : float64 [3]
        s0, 1/angstrom.
    cell : KnownCell
    engine : Engine
    accepted : float
        Evidence from which on a lattice is taken.
    """
    if spots.turned is not None:
        chosen = [np.argsort(-spots.intensity)[:500]]
    else:
        counts = np.bincount(spots.frame)
        chosen = [np.flatnonzero(spots.frame == frame) for frame in np.argsort(-counts)[:_FRAMES]]
    chosen = [rows for rows in chosen if len(rows) >= FEWEST]
    if not chosen:
        return ""
    results = []
    for what, moved, length in _changes(spots, detector):
        ray = moved / np.linalg.norm(moved, axis=1, keepdims=True)
        if not np.isfinite(ray).all():
            continue  # beside the detector
        q = replace(spots, ray=ray).q(incident * length)
        indexer = Indexer(engine, cell, float(np.quantile(np.linalg.norm(q, axis=1), 0.99)), accepted=accepted)
        solutions = indexer.index([q[rows] for rows in chosen])
        results.append((len(solutions), float(sum(each.evidence for each in solutions)), what, solutions))
    asis = results[0]
    best = max(results, key=lambda each: each[:2])
    enough = min(_LEAST, len(chosen))
    more = best[0] >= max(_GAIN * asis[0], asis[0] + enough)
    if best[2] and (more or (best[0] >= asis[0] and best[1] > _SURER * asis[1] + len(chosen) * accepted)):
        what = best[2] if "distance" not in best[2] else _distance(best[2], best[3], chosen, spots, incident, cell)
        return (
            f"with {what}, {best[0]} of the {len(chosen)} fullest frames are indexed, with an evidence of "
            f"{best[1] / best[0]:.0f}; without, {asis[0]}, with {asis[1] / max(asis[0], 1):.0f}: that is probably "
            "what is wrong with the geometry"
        )
    return ""


def _distance(
    what: str,
    solutions: Sequence[Solution],
    chosen: Sequence[NDArray[np.intp]],
    spots: IndexSpots,
    incident: NDArray[np.float64],
    cell: KnownCell,
) -> str:
    """The factor that all these lattices ask for, with the cell held: neighbouring factors index as well."""
    factor = float(what.split()[2])
    rows = np.concatenate([chosen[each.frame] for each in solutions])
    place = spots.ray[rows] * spots.reach[rows, None] * [1.0, 1.0, factor]
    reach = np.linalg.norm(place, axis=1)
    lattice = np.repeat(np.arange(len(solutions)), [len(chosen[each.frame]) for each in solutions])
    turned = None if spots.turned is None else spots.turned[rows]
    rays = SpotRays(place / reach[:, None], reach, np.broadcast_to(incident, (len(rows), 3)), lattice, turned)
    settings = np.stack([each.setting for each in solutions])
    fitted = refine(rays, settings, cell, strain=0.0, distance_sigma=_WIDE)
    return f"a distance {factor * fitted.distance:.3f} times as long"


def _changes(spots: IndexSpots, detector: Detector) -> Iterator[tuple[str, NDArray[np.float64], float]]:
    """What is changed, where spots are then, m, and the factor of the length of s0.

    A frame that is mirrored about the beam is not among them: a lattice seen in a mirror is that lattice turned.
    """
    place = spots.ray * spots.reach[:, None]

    def seen(slow: NDArray[np.float64], fast: NDArray[np.float64]) -> NDArray[np.float64]:
        return places_on(detector, panels_at(detector, slow, fast), slow, fast)

    yield "", place, 1.0
    for factor in _FACTORS:
        yield f"a distance {factor:g} times as long", place * [1.0, 1.0, factor], 1.0
    for factor in (0.97, 0.985, 1.015, 1.03):
        yield f"a wavelength {factor:g} times as long", place, 1.0 / factor
    (slow, fast), (height, width) = (spots.slow, spots.fast), detector.shape
    yield "slow counted from the other side", seen(height - slow, fast), 1.0
    yield "fast counted from the other side", seen(slow, width - fast), 1.0
    yield "slow and fast exchanged", seen(fast, slow), 1.0
    middle = float(np.median(place[:, 2]))
    for step in (5e-3, 1e-2, 2e-2):
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            shift = np.array([x, y, 0.0]) * step * middle
            words = f"the detector moved by {1e3 * shift[0]:+.1f} mm along x and {1e3 * shift[1]:+.1f} mm along y"
            yield words, place + shift, 1.0
