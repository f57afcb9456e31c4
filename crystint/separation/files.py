"""From frames to files: source, separator, sinks.

Frames are worked on side by side by a pool of threads, each from its file to its result; results are written in order.
Outputs are temporary files that get their name at the end; a journal keeps what is done until then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.errors import FileError
from crystint.io.hdf5.provenance import provenance
from crystint.io.peaks.files import peak_format, write_peaks
from crystint.io.sparse.dense_file import DenseWriter
from crystint.io.sparse.file import SparseWriter, open_sparse
from crystint.io.sparse.row import SparseRow
from crystint.model.peaks import PeakList, empty_peaks
from crystint.ops.densify import Densifier
from crystint.run.execution import PLAIN, Execution, Work, at_work
from crystint.run.frames import Source
from crystint.run.journal import records_in
from crystint.run.ordered import in_order, thread_pool
from crystint.run.resume import check_made, check_outputs, files_of, is_finished
from crystint.run.settings import Settings
from crystint.separation.frame_step import Step, peaks_of
from crystint.separation.prepared import PreparedRun, opened

__all__ = [
    "HIT",
    "Execution",
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
    missing: tuple[int, ...] = ()
    """numbers of the frames that could not be read"""
    of: int = 0
    """frames of the input: more than `frames` when the run was stopped early, 0 when nothing was left to resume"""

    @property
    def stopped(self) -> bool:
        """Whether the run was stopped before its last frame."""
        return self.frames < self.of

    @property
    def size(self) -> int:
        """Bytes of all outputs."""
        return sum(path.stat().st_size for path in self.outputs)

    @property
    def hits(self) -> int:
        """Frames with at least `HIT` peaks."""
        return int(np.count_nonzero(self.peaks >= HIT))


def find_peaks(
    sources: Sequence[Source],
    outputs: Sequence[Source],
    settings: Settings | None = None,
    *,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
    execution: Execution = PLAIN,
) -> Summary:
    """Peaks of all frames, written to every one of `outputs` in the format of its suffix.

    A journal beside the first output keeps what was found while the run lasts.

    Raises
    ------
    CrystintError
        As the parts do. No partial output is left then.
    """
    settings = settings or Settings()
    step = Step("peaks", settings.snr if settings.snr is not None else 5.0)
    for path in outputs:
        peak_format(path)  # an unknown suffix is better told now
    if is_finished(outputs, resume=execution.resume, overwrite=overwrite):
        return _nothing_to_do(sources, outputs, settings, step)
    overwrite = overwrite or (execution.resume and records_in(Path(outputs[0])) > 0)
    paths = check_outputs(outputs, sources, overwrite)
    start = time.monotonic()
    found: list[PeakList] = []
    with opened(sources, settings, device, remote=execution.dask is not None, rehearse=step.rehearse) as run:
        check_outputs(paths, run.frames.files, overwrite)  # a pattern may name an output
        with at_work(paths[0], run, step, execution, device=device, command=command) as work:
            with closing(work.records(lambda: None)) as records:
                for record in progress(records, work.total, "peaks"):
                    peaks = peaks_of(record)
                    found.append(empty_peaks() if peaks is None else peaks)
            work.check()
            _write_peaks(paths, run, work, np.concatenate([empty_peaks(), *found]), step.snr, overwrite)
    counts = np.array([len(peaks) for peaks in found], dtype=np.int64)
    return _summary(work, paths, start, counts)


def _write_peaks(
    paths: Sequence[Path], run: PreparedRun, work: Work, peaks: PeakList, snr: float, overwrite: bool
) -> None:
    """All of the outputs, or none."""
    made: list[Path] = []
    sources = [run.frames.source(i) for i in range(work.done)]
    record = run.record(work.command, work.device, snr=snr)
    if work.stopped:
        record["incomplete"] = {"frames": work.done, "of": work.total}
    try:
        for path in paths:
            made += [one for one in files_of(path) if not one.exists()]
            write_peaks(
                path,
                peaks,
                shape=run.frames.shape,
                n_frames=work.done,
                geometry=run.geometry,
                frames_per_file=sources,
                provenance=record,
                missing=work.missing,
                overwrite=overwrite,
            )
    except BaseException:
        for one in made:
            one.unlink(missing_ok=True)
        raise


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
    execution: Execution = PLAIN,
) -> Summary:
    """Signal and background of all frames, streamed to a sparse file; with their peaks on request.

    A journal beside the output keeps what was done while the run lasts.

    Raises
    ------
    CrystintError
        As the parts do. No output is left then.
    """
    settings = settings or Settings()
    step = Step("sparsify", settings.snr if settings.snr is not None else 3.0, peaks)
    if is_finished([output], resume=execution.resume, overwrite=overwrite):
        return _nothing_to_do(sources, [output], settings, step)
    overwrite = overwrite or (execution.resume and records_in(Path(output)) > 0)
    paths = check_outputs([output], sources, overwrite)
    start = time.monotonic()
    counts, pixels = [], 0
    with opened(sources, settings, device, remote=execution.dask is not None, rehearse=step.rehearse) as run:
        check_outputs(paths, run.frames.files, overwrite)  # a pattern may name an output
        with at_work(paths[0], run, step, execution, device=device, command=command, compact=compact) as work:
            writer = SparseWriter(
                paths[0],
                run.rings,
                run.frames.dtype,
                geometry=run.geometry,
                provenance=run.record(work.command, work.device, snr=step.snr),
                sources=[run.frames.source(i) for i in range(work.total)],
                compact=compact,
                peaks=peaks,
                overwrite=overwrite,
                pool=work.pool,
            )
            with writer, closing(work.records(lambda: writer.first)) as records:
                for record in progress(records, work.total, "sparsify"):
                    spots = peaks_of(record)
                    if peaks:
                        counts.append(0 if spots is None else len(spots))
                    if record.missing is not None:
                        writer.put_missing(record.number)
                        continue
                    writer.put(SparseRow.of_record(record), spots)
                    pixels += record.facts["picked"]
                work.check()
                if work.stopped:
                    writer.end_early(work.total)
    return _summary(work, paths, start, np.array(counts, np.int64), pixels)


def _summary(work: Work, paths: tuple[Path, ...], start: float, peaks: NDArray[np.int64], pixels: int = 0) -> Summary:
    return Summary(
        frames=work.done,
        outputs=paths,
        seconds=time.monotonic() - start,
        peaks=peaks,
        pixels=pixels,
        unusable=tuple(work.dead),
        missing=tuple(work.missing),
        of=work.total,
    )


def _nothing_to_do(sources: Sequence[Source], outputs: Sequence[Source], settings: Settings, step: Step) -> Summary:
    """The summary of a run that is resumed though it was finished."""
    with opened(sources, settings, remote=True) as run:
        check_made(outputs, run.record(None, "", snr=step.snr))
    return Summary(0, tuple(map(Path, outputs)), 0.0)


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
    execution: Execution = PLAIN,
) -> Summary:
    """Whole frames again from a sparse file, streamed to an NXmx file. Missing frames become frames of masked pixels.

    Raises
    ------
    CrystintError
        As the parts do. No output is left then.
    """
    paths = check_outputs([output], [source], overwrite)
    start = time.monotonic()
    engine = Engine(device)
    done, missing = 0, []
    with open_sparse(source) as sparse:
        total = len(sparse)
        if not total:
            raise FileError(f"{source}: no frames in it")
        settings = {"noise": noise, "seed": seed, "device": engine.device.name, "sparse": sparse.provenance}
        densifier = Densifier(engine, sparse.rings)

        def dense(number: int) -> NDArray[Any] | str:
            """A frame, or why there is none."""
            try:
                frame = sparse[number]
            except FileError as error:
                return str(error)
            if frame.missing:
                return f"frame {number} is missing in {source}"
            return densifier.run(frame, noise, seed)

        with thread_pool(execution.workers) as pool, execution.until() as stop:
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
                pool=pool,
            )
            made = in_order(lambda number: pool.submit(dense, number), range(total), lambda: execution.workers, stop)
            with writer, closing(made):
                for frame in progress(made, total, "densify"):
                    if isinstance(frame, str):
                        if execution.strict:
                            raise FileError(frame)
                        execution.tell(f"{frame}; it is recorded as missing")
                        missing.append(done)
                        writer.write_missing()
                    else:
                        writer.write(frame)
                    done += 1
                if done < total:
                    if not done:
                        raise KeyboardInterrupt
                    writer.end_early(total)
    return Summary(done, paths, time.monotonic() - start, missing=tuple(missing), of=total)


def _saturation(made: Mapping[str, Any]) -> float | None:
    """The saturation value that a sparse file was made with, as its provenance tells; None = not told."""
    settings = made.get("settings", {})
    found = settings.get("saturation_used") if isinstance(settings, Mapping) else None
    return float(found) if isinstance(found, int | float) else None
