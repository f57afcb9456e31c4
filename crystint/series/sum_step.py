"""``crystint sum``: mean, sum, maximum and variance of frames, pixel by pixel; the virtual powder of peaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, GeometryError, SettingError, warn
from crystint.io.frame_record import FrameRecord
from crystint.io.frames.sequence import Frames, open_frames
from crystint.io.image_out import write_image, write_images
from crystint.io.names import expand
from crystint.io.opened_file import OpenedFile
from crystint.io.peaks.files import peaks_in, rows_in, shape_in
from crystint.io.recognise import peak_list, sparse
from crystint.model.geometry import Geometry
from crystint.model.valid_values import ValidValues
from crystint.ops.pixel_sums import PixelSums
from crystint.run.frames import mask_of, read_frame, saturation_in
from crystint.run.geometry import NoGeometryError, geometry_of
from crystint.run.in_progress import blocks, in_progress
from crystint.run.outcome import Outcome, rate_text
from crystint.run.step import HDF5, Job
from crystint.series.settings import WHAT, SumSettings
from crystint.series.sums import SumImages, images_of_frames, powder_of_peaks

__all__ = ["sum_frames"]

_BLOCK = 32
"""frames of a record, which holds whole images"""
_RECORDS = 64
"""of a run, at most: the journal keeps them"""
_ONE_IMAGE = (".tif", ".tiff", ".npy")


@dataclass(frozen=True, eq=False)
class _Opened:
    """Frames, and which of their pixels count."""

    frames: Frames
    mask: NDArray[np.uint32]
    valid: ValidValues
    limit: float | None
    about: str

    @classmethod
    @contextmanager
    def of(cls, files: tuple[Any, ...], settings: SumSettings) -> Iterator[_Opened]:
        """Open them."""
        with open_frames(*files, dataset=settings.dataset, frames=settings.frames) as frames:
            if not len(frames):
                raise FileError(f"{', '.join(frames.files)}: no frames in it")
            mask = mask_of(frames, settings, settings.geometry)
            valid = frames.valid_from(settings.lowest)
            yield cls(frames, mask.pixels, valid, valid.limit(saturation_in(frames, settings)), mask.about)

    def unusable(self, frame: NDArray[Any]) -> NDArray[np.intp]:
        """Numbers of the pixels that are not masked and hold no measurement in a frame, or are saturated."""
        bad = self.valid.unusable(frame)
        if self.limit is not None:
            bad |= frame > self.limit
        return np.flatnonzero(bad & (self.mask == 0))


@dataclass(eq=False)
class _Worker:
    """As `crystint.run.frame_work.FrameWorker`: a record per block of frames."""

    opened: _Opened
    block: int
    device: str = ""

    @property
    def total(self) -> int:
        return len(self.opened.frames)

    def record(self, number: int, _first: Any) -> FrameRecord:
        """The sums over a block."""
        frames, usable = self.opened.frames, int(np.count_nonzero(self.opened.mask == 0))
        sums = PixelSums.zeros(frames.shape, frames.dtype)
        missing: dict[str, str] = {}
        dead: list[int] = []
        room = np.empty(frames.shape, frames.dtype)
        for place in range(number * self.block, min((number + 1) * self.block, len(frames))):
            try:
                frame = read_frame(frames, place, room)
            except FileError as error:
                missing[str(place)] = str(error)
                continue
            unusable = self.opened.unusable(frame)
            if len(unusable) == usable:
                dead.append(place)
            sums.add(frame, unusable)
        return FrameRecord(number, facts={"missing_frames": missing, "dead_frames": dead}, arrays=sums.arrays())


@dataclass(frozen=True, slots=True)
class _Work:
    """As `crystint.run.frame_work.FrameWork`."""

    files: tuple[str, ...]
    settings: SumSettings
    block: int

    @contextmanager
    def open(self, _device: str | None) -> Iterator[_Worker]:
        with _Opened.of(self.files, self.settings) as opened:
            yield _Worker(opened, self.block)


def sum_frames(job: Job[SumSettings]) -> Outcome:
    """Images over all frames, or over all peaks."""
    paths = [path for name in job.inputs["frames"] for path in expand(name)]
    what = _what(job)
    with OpenedFile(paths[0], job.settings.dataset) as file:
        if job.settings.dataset is None and (peak_list(file) or sparse(file)):
            return _powder(job, paths, what)
    settings, how = job.settings, job.execution
    with _Opened.of(job.inputs["frames"], settings) as opened:
        frames = opened.frames
        files = tuple(frames.all_files())
        job.reads(files)
        geometry = _geometry(frames, settings)
        used = {"valid_values": opened.valid.to_dict(), "saturation_used": opened.limit}
        if job.finished:
            return job.nothing_to_do(frames.files, **used)
        block = max(_BLOCK, -(-len(frames) // _RECORDS))
        work = _Work(tuple(str(Path(name).resolve()) for name in frames.opened_files), settings.absolute(), block)
        worker = None if how.elsewhere else _Worker(opened, block)
        same = {"shape": list(frames.shape), "dtype": str(frames.dtype), "block": block}
        with in_progress(job, work, worker, len(frames), same=same, files=files, block=block) as progress:
            sums = PixelSums.zeros(frames.shape, frames.dtype)
            with closing(progress.records()) as records:
                for record in job.progress(records, blocks(len(frames), block), "sum"):
                    sums += PixelSums.of_arrays(record.arrays)
            progress.check()
            images = images_of_frames(sums, opened.mask, what, _title(paths))
            made = progress.at_its_end(job.provenance(frames.files, progress.command, **used))
            _write(job, images, geometry, made)
        text = f"{sums.frames} frames: {', '.join(what)}" + (f", {opened.about}" if opened.about else "")
        return Outcome(
            text + (f", {rate_text(progress.rate)}" if progress.rate else ""), images, frames=progress.done,
            of=progress.total, missing=dict(sorted(progress.missing.items())), resumable=True, rate=progress.rate,
        )  # fmt: skip


def _title(paths: list[Any]) -> str:
    return Path(paths[0]).name + " ..." * (len(paths) > 1)


def _what(job: Job[SumSettings]) -> tuple[str, ...]:
    """The images that are asked for.

    Raises
    ------
    SettingError
        When a file that holds one image is to hold several.
    """
    single = [path for path in job.outputs if path.suffix.lower() in _ONE_IMAGE]
    what = job.settings.what or (("mean",) if len(single) == len(job.outputs) else WHAT)
    if single and len(what) > 1:
        raise SettingError(
            f"{single[0]} holds one image, but {', '.join(what)} are to be written: name one of them with --what, or "
            "write .h5"
        )
    return tuple(name for name in WHAT if name in what)


def _powder(job: Job[SumSettings], paths: list[Any], what: tuple[str, ...]) -> Outcome:
    """The images of peaks."""
    what = tuple(name for name in what if name != "variance")
    if not what:
        raise SettingError("peaks have no variance: --what takes mean, sum and maximum of their intensities")
    job.reads(paths)
    total: SumImages | None = None
    frames = count = 0
    for path in paths:
        with OpenedFile(path) as file:
            peaks, shape, (number, missing) = peaks_in(file), shape_in(file), rows_in(file)
        if shape is None:
            raise FileError(f"{path} does not tell the shape of its frames: .h5, .jsonl and .cxi of crystint peaks do")
        frames += (int(peaks["frame"].max(initial=-1)) + 1 if number is None else number) - len(missing)
        count += len(peaks)
        total = _added(total, powder_of_peaks(peaks, shape, 1, ("sum", "maximum"), _title(paths)), path)
    assert total is not None
    by_name = total.images | {"mean": total.images["sum"] / np.float32(max(frames, 1))}
    images = SumImages({name: by_name[name] for name in (*what, "number")}, frames, None, total.title, peaks=True)
    _write(job, images, None, job.provenance(paths))
    return Outcome(f"{count} peaks of {frames} frames: {', '.join(what)}", images, frames=frames, of=frames)


def _added(one: SumImages | None, other: SumImages, path: Any) -> SumImages:
    if one is None:
        return other
    if one.images["sum"].shape != other.images["sum"].shape:
        shapes = f"{other.images['sum'].shape}, those before {one.images['sum'].shape}"
        raise FileError(f"{path} has peaks of frames of {shapes} (slow, fast)")
    one.images["sum"] += other.images["sum"]
    one.images["number"] += other.images["number"]
    np.maximum(one.images["maximum"], other.images["maximum"], out=one.images["maximum"])
    return one


def _geometry(frames: Frames, settings: SumSettings) -> Geometry | None:
    """Where the detector is, for those who read the images; nothing else depends on it."""
    try:
        return geometry_of(frames, settings)
    except NoGeometryError:
        return None
    except GeometryError as error:
        if settings.geometry is not None or settings.distance is not None or settings.beam is not None:
            raise
        warn(f"the geometry of the frames is left out: {error}")
        return None


def _write(job: Job[SumSettings], images: SumImages, geometry: Geometry | None, made: dict[str, Any]) -> None:
    several = partial(
        write_images, images=images.images, meaning=images.meaning, units=images.units, mask=images.mask,
        frames=images.frames, geometry=geometry, provenance=made, overwrite=job.overwrite,
    )  # fmt: skip
    one = partial(write_image, image=next(iter(images.images.values())), provenance=made, overwrite=job.overwrite)
    job.write(images, dict.fromkeys(HDF5, several) | dict.fromkeys(_ONE_IMAGE, one))
