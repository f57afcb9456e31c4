"""A demonstration on simulated frames, whose truth is known: peaks, sparsify, densify, compare, pictures."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from crystint.compare.comparison import Comparison
from crystint.compare.steps import COMPARE
from crystint.demo.settings import DemoSettings
from crystint.demo.steps import DEMO
from crystint.engine import Engine
from crystint.errors import CrystintWarning, FileError
from crystint.io.kinds import kind_of
from crystint.io.outputs import check_outputs
from crystint.io.peaks.files import read_peaks
from crystint.io.sparse.dense_file import DenseWriter
from crystint.io.sparse.open import convert_sparse
from crystint.model.peaks import PeakList
from crystint.plot.steps import PLOT
from crystint.run.outcome import Outcome, rate_text
from crystint.run.step import Job, Progress, silent
from crystint.separation.files import densify_file, find_peaks, sparsify
from crystint.simulate import Simulation, ice_rings, simulate

__all__ = ["FILES", "Demo", "Recall", "demo", "recall", "report", "run"]

FRAMES = "frames.h5"
PEAKS = ("peaks.cxi", "peaks.refl", "peaks.h5", "peaks.jsonl", "SPOT.XDS")
NOTES = ("peaks.refl.json", "SPOT.XDS.json")
SPARSE, COMPACT, DENSE = "sparse.h5", "compact.h5", "dense.h5"
FRAME_PICTURE, COMPARE_PICTURE = "frame.png", "compare.png"
FILES = (
    *(FRAMES, *PEAKS, *NOTES),
    *(SPARSE, COMPACT, DENSE, FRAME_PICTURE, COMPARE_PICTURE),
)
"""Everything that the demonstration writes."""

_NEAR = 2.0
"""A found peak within this many pixels of a true one is that one."""
_ONCE = "masks, rings and geometry are stored once per file: with more frames it is smaller than they are"
_STRONG = 7.0
"""Only true peaks of at least this many sigma are expected to be found."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Found peaks against the truth."""

    strong: int
    """true peaks of at least 7 sigma"""
    recovered: int
    """of these, found within 2 px"""
    peaks: int
    right: int
    """found peaks within 2 px of any true one"""
    rms: float
    """distance of a recovered isolated peak from its true place, px, root mean square per axis"""


@dataclass(frozen=True, eq=False)
class Demo:
    """What the demonstration made."""

    folder: Path
    peaks: Outcome
    sparse: Outcome
    dense: Outcome
    recall: Recall
    comparison: Comparison


def run(
    folder: str | Path = "demo",
    *,
    frames: int | None = None,
    shape: tuple[int, int] | None = None,
    device: str | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    progress: Progress = silent,
    command: list[str] | None = None,
) -> Demo:
    """Simulate frames and take them through everything.

    Parameters
    ----------
    folder : path
        Made when it is not there. Files of an earlier demonstration are replaced.
    frames, shape : optional
        See `crystint.demo.settings.DemoSettings`.
    overwrite : bool
        Go on when the folder holds other files, too; they are left alone.
    say : callable
        Told what was done, line by line.

    Raises
    ------
    FileError
        When the folder holds other files, or cannot be written.
    """
    settings = {"frames": frames, "shape": shape}
    outcome = DEMO(
        outputs=folder, settings=settings, device=device, overwrite=overwrite, progress=progress, command=command
    )
    for line in outcome.text.splitlines():
        say(line)
    made: Demo = outcome.result
    return made


def demo(job: Job[DemoSettings]) -> Outcome:
    """Simulate frames, run every step of separation on them, and compare with the truth."""
    folder = _folder(job.outputs[0], job.overwrite)
    check_outputs([folder / name for name in FILES if name not in NOTES], job.sources, overwrite=True)
    frames, shape = job.settings.frames, job.settings.shape
    engine = Engine(job.execution.device)
    data, raw = _scene(shape, frames), folder / FRAMES
    _write(data, raw, job)

    how: dict[str, Any] = {"device": engine.device.id, "overwrite": True}
    how |= {"progress": job.progress, "command": job.command}
    peaks = find_peaks([raw], [folder / name for name in PEAKS], **how)
    listed = read_peaks(folder / "peaks.h5")
    with warnings.catch_warnings():  # the demo tells the sizes itself
        warnings.filterwarnings("ignore", message=".* is larger than the raw files", category=CrystintWarning)
        sparse = sparsify([raw], folder / SPARSE, peaks=True, **how)
    convert_sparse(folder / SPARSE, folder / COMPACT, compact=True, overwrite=True)
    dense = densify_file(folder / SPARSE, folder / DENSE, **how)
    compared = COMPARE([raw], folder / SPARSE, outputs=folder / COMPARE_PICTURE, **how)
    PLOT([raw], outputs=folder / FRAME_PICTURE, settings={"peaks": folder / PEAKS[0]}, **how)
    made = Demo(folder, peaks, sparse, dense, recall(listed, data.truth), compared.result)
    steps = [
        f"OpenCL device: {engine.device.name} ({engine.device.platform})",
        f"1. {frames} simulated frames of {shape[0]} x {shape[1]} px -> {raw}",
        f"2. crystint peaks {raw} -> {', '.join(PEAKS)}",
        f"3. crystint sparsify {raw} -> {SPARSE}, {COMPACT}",
        f"4. crystint densify {folder / SPARSE} -> {DENSE}",
        f"5. crystint compare {raw} {folder / SPARSE} -> {COMPARE_PICTURE}",
        f"6. crystint plot {raw} -> {FRAME_PICTURE}",
    ]
    files = tuple(folder / name for name in FILES)
    return Outcome("\n".join([*steps, report(made)]), made, outputs=files, broken=compared.broken)


def _folder(folder: Path, overwrite: bool) -> Path:
    """The folder, empty or with the files of an earlier demonstration."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        other = sorted(path.name for path in folder.iterdir() if not _of_a_demo(path))
    except OSError as error:
        raise FileError(f"{folder} cannot be the folder of the demo: {error.strerror}") from None
    if other and not overwrite:
        raise FileError(
            f"{folder} holds files that are not of a demo ({', '.join(other[:3])}); "
            "choose another folder with -o, or --overwrite to work beside them"
        )
    return folder


def _of_a_demo(path: Path) -> bool:
    """Whether a file has the name of one that a demonstration writes, and is of a kind that crystint writes."""
    if path.name not in FILES:
        return False
    try:
        return bool(kind_of(path).kind.name)
    except FileError:
        return False


def _scene(shape: tuple[int, int], frames: int) -> Simulation:
    """A small detector of modules with gaps, a weak background, ice rings, and about 80 spots per frame."""
    return simulate(
        shape,
        frames,
        dtype=np.uint16,
        background=12.0,
        falloff=2.0,
        rings=ice_rings(6.0),
        peaks=80,
        intensity=600.0,
        width=0.8,
        modules=(195, 256),
        dead=200,
        hot=50,
        saturation=60000,
        seed=7,
    )


def _write(data: Simulation, path: Path, job: Job[DemoSettings]) -> None:
    writer = DenseWriter(
        path,
        data.shape,
        data.dtype,
        geometry=data.geometry,
        mask=data.mask,
        saturation=data.saturation,
        provenance=job.provenance((), simulated=True, seed=data.scene.seed),
        overwrite=True,
    )
    with writer:
        for frame in job.progress(data, len(data), "simulate"):
            writer.write(frame)


def recall(peaks: PeakList, truth: NDArray[np.void], near: float = _NEAR, strong: float = _STRONG) -> Recall:
    """Compare found peaks with the simulator's truth.

    Parameters
    ----------
    peaks : PeakList
    truth : structured array of `crystint.simulate.TRUTH_DTYPE`
    near : float
        Largest distance of a match, px.
    strong : float
        True peaks of counts / sqrt(counts + 9 background) at least this are expected to be found.
    """
    noise = np.sqrt(np.maximum(truth["counts"] + 9 * truth["background"], 1.0))
    expected = (truth["counts"] / noise >= strong) & (truth["counts"] > 0)
    recovered = right = 0
    offsets = [np.zeros((0, 2))]
    for number in np.union1d(peaks["frame"], truth["frame"]):
        here, there = peaks[peaks["frame"] == number], truth["frame"] == number
        places = np.column_stack([here["slow"], here["fast"]])
        true = np.column_stack([truth["slow"], truth["fast"]])[there]
        if not len(places) or not len(true):
            continue
        distance, nearest = KDTree(places).query(true)
        hit = expected[there] & (distance <= near)
        recovered += int(hit.sum())
        alone = hit & truth["isolated"][there]
        offsets.append(places[nearest[alone]] - true[alone])
        right += int(np.count_nonzero(KDTree(true).query(places)[0] <= near))
    offset = np.concatenate(offsets)
    rms = float(np.sqrt(np.mean(offset**2))) if len(offset) else float("nan")
    return Recall(int(expected.sum()), recovered, len(peaks), right, rms)


def report(done: Demo) -> str:
    """What came out, in words."""
    score, total = done.recall, done.comparison.total
    dense, packed = done.comparison.dense_bytes, done.comparison.packed_bytes
    plain, compact = ((done.folder / name).stat().st_size for name in (SPARSE, COMPACT))
    exact = "exact" if done.comparison.exact else "NOT EXACT"
    sections = {
        "peaks": [
            f"{score.peaks} in {done.peaks.frames} frames, {_speed(done.peaks)}",
            f"{score.recovered} of {score.strong} true spots above {_STRONG:g} sigma were found "
            f"({_percent(score.recovered, score.strong)}), position error {score.rms:.3f} px rms",
            f"{score.right} of {score.peaks} peaks are true spots ({_percent(score.right, score.peaks)})",
        ],
        "sparsify": [
            f"{done.sparse.result.pixels / done.sparse.frames:.0f} pixels per frame, {_speed(done.sparse)}",
            f"{dense / 1e6:.1f} MB of counts, {packed / 1e6:.1f} MB under bitshuffle-LZ4",
            f"{plain / 1e6:.2f} MB sparse ({_times(packed, plain)}), "
            f"{compact / 1e6:.2f} MB compact ({_times(packed, compact)})",
            *([_ONCE] if plain > packed else []),
        ],
        "densify": [_speed(done.dense)],
        "compare": [
            f"picked pixels {exact}; background {total.mean[0]:.3f}, off by {total.bias_noisy[0]:.4f}, "
            f"variance {total.variance_noisy[0]:.3f}, was {total.variance_raw[0]:.3f}",
        ],
    }
    lines = [f"{name if not i else '':10s}{text}" for name, texts in sections.items() for i, text in enumerate(texts)]
    return "\n".join(["", *lines])


def _speed(summary: Outcome) -> str:
    return f"{rate_text(summary.rate)} with reading and writing" if summary.rate else "done before"


def _times(before: int, after: int) -> str:
    """How much smaller a file is, or larger."""
    return f"{before / after:.1f} times smaller" if after <= before else f"{after / before:.1f} times larger"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"
