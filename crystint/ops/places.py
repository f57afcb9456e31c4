"""Places of a detector to which peaks come back from frame to frame, and whether they can be reflections.

A defect of the detector keeps its place while the crystal turns, or while one crystal follows another. So does a
reflection, for as long as it stays in its reflecting range: that is wide for a mosaic crystal and near the rotation
axis, and without end when the crystal does not move. A place *persists* when all of this holds:

- there are at least `FEWEST` frames, and the crystal moves: it turns as the scan says, or frames that are hits show
  different crystals (fewer than `ALIKE` of the peaks of one stand at the places of those of the next);
- peaks come back to it on at least `SHARE` of the frames, and more often than chance has it where the places about it
  hold as many peaks as they do;
- it is *steady*: no third of the run has less than `STEADY` of the intensity of another. A reflection that is turned
  through its range rises and falls;
- in a scan, the crystal turned on these frames by more than any reflection there can last: `TURN` degrees, or `TIMES`
  as much as the middle one of the other places, over zeta, where zeta is the sine of the angle between the rotation
  axis and the plane of the beam and the reflected ray (the Lorentz factor of the place; W. Kabsch (2010), Acta Cryst.
  D66, 133).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.special import pdtrc

from crystint.model.geometry import Geometry
from crystint.model.peaks import HIT, PeakList
from crystint.model.scan import Scan

__all__ = ["ALIKE", "FEWEST", "PLACE_DTYPE", "SHARE", "STEADY", "TIMES", "TURN", "Motion", "Verdict", "at_places",
           "limit_of", "motion_of", "places_of", "steady", "third", "zeta_at"]  # fmt: skip

FEWEST = 10
"""frames"""
SHARE = 0.1
"""of the frames"""
ALIKE = 0.3
"""share of the peaks of a hit that stand where those of the next one do; unmoved crystals have more"""
STEADY = 0.2
"""intensity of the weakest third of a run over that of the strongest"""
TURN = 2.0
"""degrees: no reflection at zeta = 1 lasts longer"""
TIMES = 4.0
"""durations of the middle one of all places"""
_REACH = 1.5
"""px: peaks that are nearer than this to the middle of a place belong to it"""
_ABOUT = 12.0
"""px about a place, in which the density of peaks is counted"""
_CHANCE = 1e-3
"""expected places that persist by chance"""


class Verdict(IntEnum):
    """What is known of a place to which peaks come back."""

    UNKNOWN = 0
    """the crystal is not known to move, or there are too few frames"""
    FADES = 1
    """its intensity rises or falls over the run, as that of a reflection does"""
    LASTS = 2
    """the crystal turned by less than a reflection may last there"""
    PERSISTS = 3
    """no reflection does that: it belongs to the detector"""


PLACE_DTYPE: np.dtype[np.void] = np.dtype(
    [
        ("slow", np.float64),  # middle, px from the outer corner of the first pixel
        ("fast", np.float64),
        ("frames", np.int64),  # on which it has a peak
        ("first", np.int64),  # number of the first and the last of them
        ("last", np.int64),
        ("intensity", np.float64),  # mean over these frames
        ("steadiness", np.float64),  # intensity of the weakest third of the run over that of the strongest
        ("zeta", np.float64),  # 1 where it is not known
        ("verdict", np.uint8),  # Verdict
    ]
)


@dataclass(frozen=True, slots=True)
class Motion:
    """Whether the crystal moves from frame to frame."""

    moves: bool
    scan: Scan | None
    """that turns it; None = frames show different crystals, or nothing is known to move"""
    text: str
    """in words"""


def third(frame: NDArray[np.integer] | int, frames: int) -> NDArray[np.int64]:
    """Number of the third of a run, 0 to 2, in which frames are."""
    return np.minimum(3 * np.asarray(frame, np.int64) // max(frames, 1), 2)


def steady(thirds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weakest third over the strongest; 0 where one is empty.

    Parameters
    ----------
    thirds : float64 [..., 3]
        What the thirds of a run have, per frame.
    """
    most = thirds.max(axis=-1)
    return np.asarray(np.divide(np.maximum(thirds.min(axis=-1), 0.0), most, out=np.zeros_like(most), where=most > 0))


def motion_of(peaks: PeakList, frames: int, scan: Scan | None, asked: str = "auto") -> Motion:
    """Whether the crystal is known to move.

    Parameters
    ----------
    peaks : PeakList
        Of all frames.
    frames : int
        How many there are.
    scan : Scan or None
    asked : {"auto", "yes", "no"}
        What the user knows.
    """
    if asked == "no":
        return Motion(False, None, "the crystal does not move, as was said")
    if scan is not None and scan.rotates and len(scan) >= frames:
        turned = float(np.abs(scan.width[:frames]).sum())
        return Motion(True, scan, f"the crystal turns by {turned:.4g} degrees")
    if asked == "yes":
        return Motion(True, None, "the crystal moves, as was said")
    overlap = _overlap(peaks)
    if overlap is None:
        return Motion(False, None, f"no scan, and fewer than {FEWEST} hits: the crystal is not known to move")
    if overlap < ALIKE:
        return Motion(True, None, f"hits show different crystals ({overlap:.0%} of their peaks alike)")
    return Motion(False, None, f"no scan, and hits are alike ({overlap:.0%} of their peaks): the crystal may not move")


def _overlap(peaks: PeakList) -> float | None:
    """Share of the peaks of a hit that stand where the next hit has one: the median; None = too few hits."""
    _, starts, counts = np.unique(peaks["frame"], return_index=True, return_counts=True)
    hits = [(start, start + count) for start, count in zip(starts, counts, strict=True) if count >= HIT]
    if len(hits) < FEWEST:
        return None
    chosen = np.linspace(0, len(hits) - 2, min(len(hits) - 1, 200)).astype(int)
    places = np.column_stack([peaks["slow"], peaks["fast"]])
    shares = []
    for i in chosen:
        this, following = (places[slice(*hits[j])] for j in (i, i + 1))
        near, _ = KDTree(following).query(this, distance_upper_bound=_REACH)
        shares.append(np.count_nonzero(np.isfinite(near)) / min(len(this), len(following)))
    return float(np.median(shares))


def places_of(
    peaks: PeakList, frames: int, motion: Motion, geometry: Geometry | None = None, least: float = SHARE
) -> NDArray[np.void]:
    """Places to which peaks come back on a share of the frames, with a verdict on each.

    Parameters
    ----------
    peaks : PeakList
        Of all frames, in any order.
    frames : int
        How many there are.
    motion : Motion
    geometry : Geometry, optional
        For zeta, in scans.
    least : float
        Share of the frames.

    Returns
    -------
    structured array of `PLACE_DTYPE`, by pixel number
    """
    fewest = max(3, int(np.ceil(least * frames)))
    at = np.column_stack([peaks["slow"], peaks["fast"]])
    if len(at) < fewest:
        return np.zeros(0, PLACE_DTYPE)
    tree = KDTree(at)
    rows: list[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], float]] = []
    taken = _Taken()
    for start in _crowded(at, peaks["frame"], fewest):
        members = np.asarray(tree.query_ball_point(start, _REACH))
        middle = np.median(at[members], axis=0)
        members = np.asarray(tree.query_ball_point(middle, _REACH), dtype=np.int64)
        number, one = np.unique(peaks["frame"][members], return_index=True)
        if len(number) < fewest or not taken.add(float(middle[0]), float(middle[1])):
            continue
        about = len(tree.query_ball_point(middle, _ABOUT)) - len(members)
        by_chance = max(about, 1) * _REACH**2 / (_ABOUT**2 - _REACH**2)
        rows.append((middle, number, peaks["intensity"][members[one]], by_chance))
    places = np.zeros(len(rows), PLACE_DTYPE)
    likely = np.zeros(len(rows), bool)
    in_third = np.maximum(np.bincount(third(np.arange(frames), frames), minlength=3), 1)
    for place, (middle, number, intensity, _) in zip(places, rows, strict=True):
        place["slow"], place["fast"] = middle
        place["frames"], place["first"], place["last"] = len(number), number[0], number[-1]
        place["intensity"] = intensity.mean()
        place["steadiness"] = steady(np.bincount(third(number, frames), intensity, minlength=3) / in_third)
    for i, (_, number, _, by_chance) in enumerate(rows):
        likely[i] = pdtrc(len(number) - 1, by_chance) * max(len(peaks), 1) > _CHANCE
    places["zeta"] = _zeta(places, motion.scan, geometry)
    places["verdict"] = _verdicts(places, peaks, frames, motion)
    places = places[~likely]
    return places[np.lexsort((places["fast"], places["slow"]))]


class _Taken:
    """Middles of places that are nowhere nearer to one another than `_REACH`, in squares of that side."""

    def __init__(self) -> None:
        self._squares: dict[tuple[int, int], list[tuple[float, float]]] = {}

    def add(self, slow: float, fast: float) -> bool:
        """Take a place in; False = another is too near."""
        row, column = int(slow // _REACH), int(fast // _REACH)
        for square in product((row - 1, row, row + 1), (column - 1, column, column + 1)):
            if any(math.hypot(slow - other[0], fast - other[1]) < _REACH for other in self._squares.get(square, ())):
                return False
        self._squares.setdefault((row, column), []).append((slow, fast))
        return True


def _crowded(at: NDArray[np.float64], frame: NDArray[np.int64], fewest: int) -> list[NDArray[np.float64]]:
    """Middles of the pixels about which peaks of at least so many frames stand, the most crowded first."""
    low = np.floor(at.min(axis=0)).astype(np.int64) - 2
    shape = np.floor(at.max(axis=0)).astype(np.int64) - low + 3
    pixel = np.floor(at).astype(np.int64) - low
    number = pixel[:, 0] * shape[1] + pixel[:, 1]
    span = int(frame.max()) + 1
    once = np.unique(number * span + frame) // span
    own, counts = np.unique(once, return_counts=True)
    about = np.zeros(len(own), np.int64)
    for offset in (slow * shape[1] + fast for slow in (-1, 0, 1) for fast in (-1, 0, 1)):
        place = np.minimum(np.searchsorted(own, own + offset), len(own) - 1)
        about += np.where(own[place] == own + offset, counts[place], 0)
    chosen = np.flatnonzero(about >= fewest)
    chosen = chosen[np.argsort(-counts[chosen], kind="stable")]
    return [np.array(divmod(int(own[i]), int(shape[1]))) + low + 0.5 for i in chosen]


def _zeta(places: NDArray[np.void], scan: Scan | None, geometry: Geometry | None) -> NDArray[np.float64]:
    if scan is None or geometry is None or not len(places):
        return np.ones(len(places))
    return zeta_at(places["slow"], places["fast"], scan, geometry)


def zeta_at(
    slow: NDArray[np.float64], fast: NDArray[np.float64], scan: Scan, geometry: Geometry
) -> NDArray[np.float64]:
    """float64 [n]: |e . (s1 x s0)| / |s1 x s0| of positions in px, e = rotation axis; 0 where it is not defined."""
    ray = np.stack(geometry._lab(np.asarray(slow, np.float64), np.asarray(fast, np.float64)), axis=-1)
    normal = np.cross(ray, [0.0, 0.0, 1.0])
    length = np.linalg.norm(normal, axis=-1)
    zeta = np.divide(np.abs(normal @ scan.axis), length, out=np.zeros_like(length), where=length > 0)
    return np.asarray(np.nan_to_num(zeta))


def limit_of(peaks: PeakList, motion: Motion, frames: int) -> float:
    """Degrees that a reflection at zeta = 1 may last: `TURN`, or `TIMES` what the middle one of the peaks does."""
    if motion.scan is None:
        return TURN
    return _turn_limit(_durations(peaks) * float(np.median(np.abs(motion.scan.width[:frames]))))


def _turn_limit(durations: NDArray[np.float64]) -> float:
    """Degrees that a reflection at zeta = 1 may last, from how long those of the run do (frames times width times
    zeta)."""
    return max(TURN, TIMES * float(np.median(durations))) if len(durations) else TURN


def _verdicts(places: NDArray[np.void], peaks: PeakList, frames: int, motion: Motion) -> NDArray[np.uint8]:
    verdict = np.full(len(places), Verdict.PERSISTS, np.uint8)
    if motion.scan is not None:
        width = np.abs(motion.scan.width[:frames])
        typical = float(np.median(width))
        turned = places["frames"] * typical
        verdict[turned * places["zeta"] <= limit_of(peaks, motion, frames)] = Verdict.LASTS
    verdict[places["frames"] < SHARE * frames] = Verdict.UNKNOWN
    verdict[places["steadiness"] < STEADY] = Verdict.FADES
    if not motion.moves or frames < FEWEST:
        verdict[:] = Verdict.UNKNOWN
    return verdict


def _durations(peaks: PeakList) -> NDArray[np.float64]:
    """float64 [some]: on how many frames the spot of a peak is seen, one after the other; of a sample of peaks."""
    at = np.column_stack([peaks["slow"], peaks["fast"]])
    if not len(at):
        return np.zeros(0)
    tree, chosen = KDTree(at), np.linspace(0, len(at) - 1, min(len(at), 2000)).astype(int)
    lengths = []
    for i, near in zip(chosen, tree.query_ball_point(at[chosen], _REACH), strict=True):
        numbers = np.unique(peaks["frame"][near])
        run = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
        lengths.append(next(len(part) for part in run if peaks["frame"][i] in part))
    return np.asarray(lengths, np.float64)


def at_places(peaks: PeakList, places: NDArray[np.void]) -> NDArray[np.bool_]:
    """bool [peaks]: which peaks stand at one of the places."""
    if not len(places) or not len(peaks):
        return np.zeros(len(peaks), bool)
    tree = KDTree(np.column_stack([places["slow"], places["fast"]]))
    near, _ = tree.query(np.column_stack([peaks["slow"], peaks["fast"]]), distance_upper_bound=_REACH)
    return np.asarray(np.isfinite(near))
