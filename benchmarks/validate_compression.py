"""Print what compression costs, in units of reflections: docs/validation.md, "Rotation data of known intensities".

    python benchmarks/validate_compression.py [PART...]

PART is any of table, auto; both take some ten minutes on one core. Frames are simulated (`stills.simulate_rotation`):
lysozyme, 60 frames of 0.4 degrees, background 3 counts per pixel on the beam to 0.2 at 2 A. They are separated and
densified again with noise, and every set is integrated in the same way by the summation below, which shares no code
with crystint: a disc of 4 px about the true place, less the mean of a ring of 5 to 8 px, over the frames that hold
99.7 % of the reflection. Ends with 1 where a limit is missed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.spatial import KDTree

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import crystint
from benchmarks.gates import Row, at_least, at_most, print_tables, within
from benchmarks.validate import payload_size
from crystint import stills
from crystint.ops.rest import rest_background
from crystint.prediction.reflection_boxes import reflection_boxes
from crystint.separation.loss import choose
from crystint.separation.prepared import opened
from crystint.separation.settings import SparsifySettings
from crystint.stills.simulation.rotation import SimulatedRotation, simulate_rotation

Floats = NDArray[np.float64]
_DISC, _RING = 4.0, (5.0, 8.0)
_CLASSES = (0.0, 1.0, 3.0, 10.0, np.inf)
_CLASS_NAMES = ("<1", "1-3", "3-10", ">10")


# --- summation -------------------------------------------------------------------------------------------------------


class Summation:
    """Sums of the reflections of a scan over its frames: add the frames, then ask.

    Parameters
    ----------
    truth : array of ROTATION_TRUTH_DTYPE
        Reflections that are summed and, where they are not `chosen`, those that are kept out of backgrounds.
    chosen : bool [n]
    """

    def __init__(self, truth: NDArray[np.void], chosen: NDArray[np.bool_]) -> None:
        self.all, self.rows = truth, np.flatnonzero(chosen)
        self.intensity, self.variance = np.zeros(len(truth)), np.zeros(len(truth))

    def add(self, number: int, frame: NDArray[Any]) -> None:
        """Add a frame."""
        frame = frame.astype(np.float64)
        here = (self.all["first"] <= number) & (self.all["last"] > number)
        near = np.zeros(frame.shape, bool)
        at, away, inside = _pixels(self.all[here], frame.shape, 5)
        near.ravel()[at[inside & (away <= _DISC + 0.5)]] = True
        rows = self.rows[here[self.rows]]
        at, away, inside = _pixels(self.all[rows], frame.shape, 9)
        disc = inside & (away <= _DISC)
        ring = inside & (away >= _RING[0]) & (away <= _RING[1]) & ~near.ravel()[at]
        values = frame.ravel()[at]
        n, m = disc.sum(axis=1), np.maximum(ring.sum(axis=1), 1)
        around = np.where(ring, values, 0.0).sum(axis=1)
        within_disc = np.where(disc, values, 0.0).sum(axis=1)
        self.intensity[rows] += within_disc - n * around / m
        self.variance[rows] += within_disc + (n / m) ** 2 * around


def _pixels(rows: NDArray[np.void], shape: tuple[int, int], reach: int) -> tuple[Any, Any, Any]:
    """Numbers of the pixels about each place, distances of their centres, and whether they are on the frame."""
    step = np.arange(-reach, reach + 1)
    slow = np.floor(rows["slow"]).astype(int)[:, None, None] + step[None, :, None]
    fast = np.floor(rows["fast"]).astype(int)[:, None, None] + step[None, None, :]
    away = np.hypot(slow + 0.5 - rows["slow"][:, None, None], fast + 0.5 - rows["fast"][:, None, None])
    inside = (slow >= 0) & (slow < shape[0]) & (fast >= 0) & (fast < shape[1])
    at = np.where(inside, slow * shape[1] + fast, 0)
    flat = (len(rows), -1)
    return at.reshape(flat), away.reshape(flat), inside.reshape(flat)


def alone(truth: NDArray[np.void]) -> NDArray[np.bool_]:
    """Reflections that are full and no other one's disc touches: 9 px to all others on their frames."""
    place = np.column_stack([truth["slow"], truth["fast"]])
    one, other = KDTree(place).query_pairs(9.0, output_type="ndarray").T
    together = (truth["first"][one] < truth["last"][other]) & (truth["first"][other] < truth["last"][one])
    good = truth["full"].copy()
    good[one[together]] = good[other[together]] = False
    return np.asarray(good)


# --- statistics ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """What a set of frames gives."""

    kept: float
    """%, pixels"""
    ratio: float
    """bytes of bitshuffle-LZ4 over bytes of the sparse file"""
    payload: float
    """the same of what is stored frame by frame"""
    i_sigma: tuple[float, float]
    """all, outer fifth"""
    r_merge: tuple[float, float]
    cc_half: float
    cc_true: tuple[float, float]
    total: tuple[float, float]
    classes: tuple[float, ...]
    """<I> / <true> in classes of true I/sigma"""
    errors: tuple[float, ...]
    """of these"""


def figures(summation: Summation, kept: float, ratio: float, payload: float) -> Figures:
    """Statistics of what was summed."""
    rows = summation.rows
    truth, intensity = summation.all[rows], summation.intensity[rows]
    sigma = np.sqrt(np.maximum(summation.variance[rows], 1.0))
    outer = truth["d"] <= np.quantile(truth["d"], 0.2)
    factor = truth["counts"] / truth["intensity"]
    parts = (np.ones(len(rows), bool), outer)
    number = np.searchsorted(_CLASSES, truth["counts"] / truth["sigma"], side="right") - 1
    shares, errors = [], []
    for k in range(len(_CLASSES) - 1):
        here = number == k
        expected = truth["counts"][here].sum()
        shares.append(float(intensity[here].sum() / expected))
        errors.append(float(np.sqrt(summation.variance[rows][here].sum()) / expected))
    merged = [_merge(truth["unique"][part], (intensity / factor)[part], truth["intensity"][part]) for part in parts]
    return Figures(
        kept,
        ratio,
        payload,
        _pair(float(np.mean((intensity / sigma)[part])) for part in parts),
        _pair(one[0] for one in merged),
        merged[1][1],
        _pair(one[2] for one in merged),
        _pair(float(intensity[part].sum() / truth["counts"][part].sum()) for part in parts),
        tuple(shares),
        tuple(errors),
    )


def _pair(values: Any) -> tuple[float, float]:
    one, other = values
    return one, other


def _merge(unique: NDArray[Any], intensity: Floats, true: Floats) -> tuple[float, float, float]:
    """Rmerge, CC1/2 of random halves, and correlation of the means with the truth."""
    _, number, count = np.unique(unique, return_inverse=True, return_counts=True)
    mean = np.bincount(number, intensity) / count
    several = count[number] > 1
    r_merge = np.abs(intensity - mean[number])[several].sum() / intensity[several].sum()
    order = np.lexsort((np.random.default_rng(7).random(len(number)), number))
    rank = np.empty(len(number), int)
    rank[order] = np.arange(len(number)) - np.repeat(np.cumsum(count) - count, count)
    halves = []
    for half in (0, 1):
        here = rank % 2 == half
        size = np.bincount(number[here], minlength=len(count))
        halves.append(np.bincount(number[here], intensity[here], len(count)) / np.maximum(size, 1))
    both = count > 1
    cc_half = np.corrcoef(halves[0][both], halves[1][both])[0, 1]
    cc_true = np.corrcoef(mean, np.bincount(number, true) / count)[0, 1]
    return float(r_merge), float(cc_half), float(cc_true)


# --- frames, and what compression makes of them ----------------------------------------------------------------------


Picks = Callable[[Any, NDArray[Any], int], Any]
"""(separator, frame, number) -> SparseFrame"""


@cache
def data() -> SimulatedRotation:
    """The scan of the table."""
    return simulate_rotation(60, seed=1)


def picked(snr: float, grow: int = 0) -> Picks:
    """Pixels above a threshold, and those within `grow` px of them."""

    def pick(separator: Any, frame: NDArray[Any], number: int) -> Any:
        sparse = separator.sparsify(frame, snr, number=number)
        if not grow:
            return sparse
        mask = np.zeros(frame.shape, bool)
        mask.ravel()[sparse.index] = True
        step = np.arange(-grow, grow + 1)
        disc = np.hypot(step[:, None], step[None, :]) <= grow + 0.5
        return _with(sparse, frame, binary_dilation(mask, disc))

    return pick


def predicted(boxes: Any) -> Picks:
    """Pixels above 3, and all of the boxes of predicted reflections."""

    def pick(separator: Any, frame: NDArray[Any], number: int) -> Any:
        kept = crystint.keep_pixels(separator.sparsify(frame, 3.0, number=number), frame, boxes.of_frame(number))
        return replace(kept, background=rest_background(kept, frame))

    return pick


def _with(sparse: Any, frame: NDArray[Any], mask: NDArray[np.bool_]) -> Any:
    index = np.flatnonzero(mask).astype(sparse.index.dtype)
    kept = replace(sparse, index=index, value=frame.ravel()[index])
    return replace(kept, background=rest_background(kept, frame))


def measure(
    scan: SimulatedRotation, variants: Mapping[str, Picks | None]
) -> tuple[dict[str, Figures], dict[str, Summation]]:
    """Integrate the frames, raw and after each variant; None = raw."""
    truth = scan.truth
    chosen = alone(truth)
    separator = crystint.Separator(scan.settings.geometry)
    densifier = crystint.Densifier(separator.engine, separator.rings)
    sums = {name: Summation(truth, chosen) for name in variants}
    kept = dict.fromkeys(variants, 0)
    with tempfile.TemporaryDirectory() as folder:
        record = crystint.provenance({}, ["simulated"])
        writers = {
            name: crystint.SparseWriter(
                f"{folder}/{number}.h5", separator.rings, np.uint16, geometry=scan.settings.geometry, provenance=record
            )
            for number, (name, pick) in enumerate(variants.items())
            if pick is not None
        }
        raw = crystint.DenseWriter(
            f"{folder}/raw.h5", scan.settings.shape, np.uint16, geometry=scan.settings.geometry, mask=None,
            saturation=None, provenance=record, compression="bslz4",
        )  # fmt: skip
        with ExitStack() as stack:
            for writer in (raw, *writers.values()):
                stack.enter_context(writer)
            for number in range(len(scan)):
                frame = scan.image(number, np.uint16)
                raw.write(frame)
                for name, pick in variants.items():
                    if pick is None:
                        sums[name].add(number, frame)
                        kept[name] += frame.size
                        continue
                    sparse = pick(separator, frame, number)
                    kept[name] += len(sparse.index)
                    writers[name].write(sparse, frame=frame)
                    sums[name].add(number, densifier.run(sparse, noise=True, seed=0))
        whole = Path(f"{folder}/raw.h5").stat().st_size
        chunks = _stored(f"{folder}/raw.h5", "entry/data/data")
        found = {}
        for number, name in enumerate(variants):
            ratio = payload = 1.0
            if name in writers:
                path = Path(f"{folder}/{number}.h5")
                ratio, payload = whole / path.stat().st_size, chunks / payload_size(path)
            share = 100.0 * kept[name] / (len(scan) * separator.rings.position.size)
            found[name] = figures(sums[name], share, ratio, payload)
    return found, sums


def _stored(path: str, name: str) -> int:
    with h5py.File(path) as file:
        return int(file[name].id.get_storage_size())


def lost(summation: Summation, raw: Summation, above: float) -> float:
    """Share of the intensity of reflections above a true I/sigma that is lost."""
    rows = summation.rows
    here = rows[(summation.all["counts"] / summation.all["sigma"])[rows] >= above]
    return float(1.0 - summation.intensity[here].sum() / raw.intensity[here].sum())


# --- parts -----------------------------------------------------------------------------------------------------------


def table() -> Iterator[Row]:
    """All variants of the scan, and what is asked of predicted boxes."""
    scan = data()
    variants: dict[str, Picks | None] = {"raw": None}
    variants |= {f"snr {snr}": picked(snr) for snr in (1, 2, 3)}
    variants |= {f"snr 3, grow {grow}": picked(3, grow) for grow in (1, 2, 3)}
    with tempfile.TemporaryDirectory() as folder:
        frames, model = stills.write_rotation(scan, Path(folder) / "scan.h5", dtype=np.uint16)
        with crystint.open_frames(frames) as opened_frames:
            whole = {"geometry": scan.settings.geometry, "mosaicity": scan.settings.mosaicity, "d_min": 2.0}
            variants["--keep"] = predicted(reflection_boxes(model, opened_frames, **whole))
            variants[KEEP] = predicted(reflection_boxes(model, opened_frames, **whole, radius=3.0, margin=0))
    found, _ = measure(scan, variants)
    print(HEAD)
    for name, one in found.items():
        print(line(name, one), flush=True)
    print("\n| what | found | wanted | met |\n|---|---|---|---|")
    raw, keep = found["raw"], found[KEEP]
    for name, one, other, error in zip(_CLASS_NAMES, raw.classes, keep.classes, raw.errors, strict=True):
        limit = max(0.01, 1.5 * error)
        yield at_most(f"keep: <I>/<true> against raw, true I/sigma {name}", abs(other - one), limit)
    yield at_least("keep: times smaller than bitshuffle-LZ4, frame by frame", keep.payload, 10.0, ".1f")
    yield at_most("keep: CC1/2 of the outer fifth against raw", abs(keep.cc_half - raw.cc_half), 0.003)


KEEP = "--keep, boxes of 3 px about each place"
HEAD = "\n".join(
    [
        "| frames | pixels kept % | smaller than bslz4: file, frames | <I/s> all / outer | Rmerge all / outer "
        "| CC1/2 outer | CC to truth all / outer | sum all / outer | <I>/<true> at true I/s <1, 1-3, 3-10, >10 |",
        "|---" * 9 + "|",
    ]
)


def line(name: str, one: Figures) -> str:
    """A row of the table."""
    cells = (
        name,
        f"{one.kept:.2f}",
        f"{one.ratio:.1f}, {one.payload:.1f}",
        "{:.2f} / {:.2f}".format(*one.i_sigma),
        "{:.3f} / {:.3f}".format(*one.r_merge),
        f"{one.cc_half:.3f}",
        "{:.4f} / {:.3f}".format(*one.cc_true),
        "{:.3f} / {:.3f}".format(*one.total),
        " ".join(f"{value:.3f}" for value in one.classes),
    )
    return "| " + " | ".join(cells) + " |"


STATED = ((0.005, 10.0), (0.01, 10.0), (0.02, 10.0), (0.05, 10.0), (0.01, 3.0), (0.05, 3.0))
BACKGROUNDS = {"3 to 0.2": (3.0, 0.2), "12 to 2": (12.0, 2.0), "0.3 to 0.03": (0.3, 0.03)}


def auto() -> Iterator[Row]:
    """Stated losses, and those found, on several backgrounds."""
    for name, background in BACKGROUNDS.items():
        scan = simulate_rotation(24, seed=5, background=background)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scan.h5"
            _write(scan, path)
            chosen = {}
            with opened([path], SparsifySettings()) as run:
                for loss, above in STATED:
                    chosen[loss, above] = choose(run, loss, above)
            variants: dict[str, Picks | None] = {"raw": None}
            variants |= {f"{key}": picked(one.snr, one.grow) for key, one in chosen.items()}
            found, sums = measure(scan, variants)
        for (loss, above), one in chosen.items():
            told_ = f"background {name}: {100 * loss:g} % above I/sigma {above:g}, snr {one.snr:g}, grow {one.grow}"
            told_ += f", {found[f'{loss, above}'].kept:.1f} % kept"
            real = lost(sums[f"{loss, above}"], sums["raw"], above)
            yield within(told_ + ": loss found over stated", real / loss, 1 / 1.5, 1.5)


def _write(scan: SimulatedRotation, path: Path) -> None:
    writer = crystint.DenseWriter(
        path, scan.settings.shape, np.uint16, geometry=scan.settings.geometry, mask=None, saturation=None,
        provenance=crystint.provenance({}, ["simulated"]), compression="bslz4", scan=scan.scan,
    )  # fmt: skip
    with writer:
        for number in range(len(scan)):
            writer.write(scan.image(number, np.uint16))


PARTS: dict[str, tuple[str, Callable[[], Iterator[Row]]]] = {
    "table": ("Rotation data of known intensities", table),
    "auto": ("Thresholds for a stated loss", auto),
}


def main(names: list[str]) -> int:
    """Print the parts that are named, or all; 1 where a limit is missed."""
    return int(print_tables(PARTS, names) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
