"""From frames to files: source, separator, sinks.

The frames are read ahead by a thread of their own, so that decompression runs beside the kernels. Nothing is
written before the whole run has succeeded: outputs are temporary files that get their name at the end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.config import Settings
from crystint.engine import Engine
from crystint.errors import FileError, SettingError
from crystint.inputs import Source, opened, read_ahead
from crystint.io.dense_file import DenseWriter
from crystint.io.peak_files import peak_format, write_peaks
from crystint.io.provenance import provenance
from crystint.io.sparse_file import SparseWriter, open_sparse
from crystint.model.peaks import empty_peaks
from crystint.ops.densify import Densifier

__all__ = [
    "HIT",
    "Progress",
    "Summary",
    "check_outputs",
    "densify_file",
    "find_peaks",
    "silent",
    "sparsify",
]

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""(items, how many, what is being done) -> the items"""

_WITH_NOTES = (".refl", ".xds")
"""Suffixes of peak lists that write a second file, <name>.json."""

HIT = 10
"""Peaks that make a frame a hit."""


def silent(items: Iterable[Any], _total: int, _what: str) -> Iterable[Any]:
    """The items: progress that nobody watches."""
    return items


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """What a run did."""

    frames: int
    outputs: tuple[Path, ...]
    seconds: float
    peaks: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """int64 [frames]: peaks per frame; empty when no peaks were looked for"""
    pixels: int = 0
    """pixels kept, of all frames"""
    unusable: tuple[int, ...] = ()
    """numbers of the frames without one usable pixel"""

    @property
    def size(self) -> int:
        """Bytes of all outputs."""
        return sum(path.stat().st_size for path in self.outputs)

    @property
    def hits(self) -> int:
        """Frames with at least `HIT` peaks."""
        return int(np.count_nonzero(self.peaks >= HIT))


def check_outputs(outputs: Sequence[Source], sources: Sequence[Source], overwrite: bool) -> tuple[Path, ...]:
    """The outputs as paths, when each of them can be written; better now than after the work.

    Raises
    ------
    FileError
        When one exists and is not to be replaced, is one of the `sources`, or has no open folder.
    SettingError
        When one is given twice.
    """
    paths = tuple(Path(output) for output in outputs)
    read = {os.path.realpath(source) for source in sources}
    for path in (one for output in paths for one in _files_of(output)):
        folder = path.parent
        if os.path.realpath(path) in read:
            raise FileError(f"{path} is also an input; give the output another name")
        if path.exists() and not path.is_file():
            raise FileError(f"{path} is not a file that could be replaced")
        if path.exists() and not overwrite:
            raise FileError(f"{path} exists; --overwrite replaces it")
        if not folder.is_dir():
            raise FileError(f"{path} cannot be written: there is no folder {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise FileError(f"{path} cannot be written: the folder {folder} is not writable")
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise SettingError(f"the same output twice: {', '.join(map(str, paths))}")
    return paths


def _files_of(path: Path) -> tuple[Path, ...]:
    """The files that an output is made of."""
    notes = path.with_name(path.name + ".json")
    return (path, notes) if path.suffix.lower() in _WITH_NOTES else (path,)


def find_peaks(
    sources: Sequence[Source],
    outputs: Sequence[Source],
    settings: Settings | None = None,
    *,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
) -> Summary:
    """Peaks of all frames, written to every one of `outputs` in the format of its suffix.

    Raises
    ------
    CrystintError
        As the parts do. No partial output is left then.
    """
    settings = settings or Settings()
    snr = settings.snr if settings.snr is not None else 5.0
    paths = check_outputs(outputs, sources, overwrite)
    for path in paths:
        peak_format(path)  # an unknown suffix is better told now
    start = time.monotonic()
    found, dead = [], []
    with opened(sources, settings, device) as run, closing(read_ahead(run.frames)) as ahead:
        total = len(run.frames)
        check_outputs(paths, run.frames.files, overwrite)  # a pattern may name an output
        for number, frame in progress(ahead, total, "peaks"):
            found.append(run.peaks(frame, number, snr))
            if not len(found[-1]) and run.nothing_in(frame):
                dead.append(number)
        _check_some(total, dead)
        peaks = np.concatenate([empty_peaks(), *found])
        made: list[Path] = []
        try:
            for path in paths:
                made += [one for one in _files_of(path) if not one.exists()]
                write_peaks(
                    path,
                    peaks,
                    shape=run.frames.shape,
                    n_frames=total,
                    geometry=run.geometry,
                    frames_per_file=[run.frames.source(i) for i in range(total)],
                    provenance=run.record(command, snr=snr),
                    overwrite=overwrite,
                )
        except BaseException:
            for one in made:  # all of the outputs, or none
                one.unlink(missing_ok=True)
            raise
    counts = np.array([len(peaks) for peaks in found], dtype=np.int64)
    return Summary(total, paths, time.monotonic() - start, counts, unusable=tuple(dead))


def sparsify(
    sources: Sequence[Source],
    output: Source,
    settings: Settings | None = None,
    *,
    compact: bool = False,
    peaks: bool = False,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
) -> Summary:
    """Signal and background of all frames, streamed to a sparse file; with their peaks on request.

    Raises
    ------
    CrystintError
        As the parts do. No output is left then.
    """
    settings = settings or Settings()
    snr = settings.snr if settings.snr is not None else 3.0
    paths = check_outputs([output], sources, overwrite)
    start = time.monotonic()
    counts, dead, pixels = [], [], 0
    with opened(sources, settings, device) as run, closing(read_ahead(run.frames)) as ahead:
        total = len(run.frames)
        check_outputs(paths, run.frames.files, overwrite)  # a pattern may name an output
        writer = SparseWriter(
            paths[0],
            run.separator.rings,
            run.frames.dtype,
            geometry=run.geometry,
            provenance=run.record(command, snr=snr),
            sources=[run.frames.source(i) for i in range(total)],
            compact=compact,
            peaks=peaks,
            overwrite=overwrite,
        )
        with writer:
            for number, frame in progress(ahead, total, "sparsify"):
                sparse = run.separator.sparsify(frame, snr, settings.noise, number=number)
                spots = run.peaks(frame, number, settings.snr_peak, sparse.background) if peaks else None
                writer.write(sparse, spots, frame)
                pixels += len(sparse.index)
                if spots is not None:
                    counts.append(len(spots))
                if np.isnan(sparse.background.mean).all():
                    dead.append(number)
            _check_some(total, dead)
    seconds = time.monotonic() - start
    return Summary(total, paths, seconds, np.array(counts, np.int64), pixels, tuple(dead))


def _check_some(frames: int, dead: Sequence[int]) -> None:
    """Raise when no frame had a usable pixel."""
    if frames and len(dead) == frames:
        which = "the frame" if frames == 1 else f"any of the {frames} frames"
        raise FileError(f"no usable pixel in {which}: all are masked, marked as unusable, or saturated")


def densify_file(
    source: Source,
    output: Source,
    *,
    noise: bool = True,
    seed: int = 0,
    compression: str = "gzip",
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
) -> Summary:
    """Whole frames again from a sparse file, streamed to an NXmx file.

    Raises
    ------
    CrystintError
        As the parts do. No output is left then.
    """
    paths = check_outputs([output], [source], overwrite)
    start = time.monotonic()
    engine = Engine(device)
    with open_sparse(source) as sparse:
        total = len(sparse)
        if not total:
            raise FileError(f"{source}: no frames in it")
        settings = {"noise": noise, "seed": seed, "device": engine.device.name, "sparse": sparse.provenance}
        writer = DenseWriter(
            paths[0],
            sparse.shape,
            sparse.dtype,
            geometry=sparse.geometry,
            mask=sparse.rings.mask,
            saturation=_saturation(sparse.provenance),
            provenance=provenance(settings, [str(source)], command),
            compression=compression,
            overwrite=overwrite,
        )
        densifier = Densifier(engine, sparse.rings)
        with writer:
            for frame in progress(sparse, total, "densify"):
                writer.write(densifier.run(frame, noise, seed))
    return Summary(total, paths, time.monotonic() - start)


def _saturation(made: Mapping[str, Any]) -> float | None:
    """The saturation value that a sparse file was made with, as its provenance tells; None = not told."""
    settings = made.get("settings", {})
    found = settings.get("saturation_used") if isinstance(settings, Mapping) else None
    return float(found) if isinstance(found, int | float) else None
