"""``crystint correlate center``: the centre of the powder rings of frames, and the geometry that follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.correlate.center.calibrant import Calibrated, fit_calibrant
from crystint.correlate.center.circles import Ellipse
from crystint.correlate.center.ring_fit import Rings, fit_rings
from crystint.correlate.center.ring_search import GUESSED
from crystint.correlate.exposures import Exposures, opened
from crystint.correlate.settings import CenterSettings
from crystint.errors import FileError, GeometryError, SettingError, warn
from crystint.io.frame_record import FrameRecord
from crystint.io.geometry.files import write_geometry
from crystint.model.geometry import Geometry
from crystint.model.mask import unusable
from crystint.model.valid_values import ValidValues
from crystint.run.in_progress import ended, in_progress
from crystint.run.outcome import NAMED, Outcome
from crystint.run.settings import DetectorSettings
from crystint.run.step import PICTURES, Job

__all__ = ["Centered", "FrameSums", "center"]

_GROUPS = 64
"""of neighbouring frames, at least, where there are as many: what a run is made of, and goes on with"""


@dataclass(frozen=True, eq=False)
class Centered:
    """Rings of the sum of frames, and the geometry that follows from them."""

    image: NDArray[np.float64]
    """float64 [slow, fast]: the frames added up; NaN = no data"""
    rings: Rings
    """of a calibrant: its own"""
    geometry: Geometry | None
    """None without a geometry to begin with"""
    calibrated: Calibrated | None = None


@dataclass(eq=False)
class FrameSums:
    """Frames added up, pixel by pixel."""

    total: NDArray[np.float64]
    """float64 [slow, fast]: of the pixels with data"""
    count: NDArray[np.int64]
    """int64 [slow, fast]: frames with data"""
    frames: int = 0

    @classmethod
    def of(cls, shape: tuple[int, int]) -> FrameSums:
        """Of no frame yet."""
        return cls(np.zeros(shape), np.zeros(shape, np.int64))

    def add_frame(self, frame: NDArray[Any], saturation: float | None, valid: ValidValues | None = None) -> None:
        """Add a frame; values that are no measurements, or lie above saturation, are no data."""
        bad = unusable(frame, valid)
        saturation = saturation if valid is None else valid.limit(saturation)
        if saturation is not None:
            bad |= frame > saturation
        self.total += np.where(bad, 0, frame)
        self.count += ~bad
        self.frames += 1

    def record(self, number: int, missing: Sequence[tuple[int, str]]) -> FrameRecord:
        """As a record, in as few bytes as hold the numbers."""
        arrays = {"total": _compact(self.total), "count": _compact(self.count)}
        return FrameRecord(number, facts={"frames": self.frames, "missing": missing}, arrays=arrays)

    def add_record(self, record: FrameRecord) -> None:
        """Add the sums of a record."""
        self.total += record.arrays["total"]
        self.count += record.arrays["count"]
        self.frames += record.facts["frames"]

    def image(self, mask: NDArray[np.uint32]) -> NDArray[np.float64]:
        """float64 [slow, fast]: the sum; NaN where no frame has data, or the mask is not 0.

        A pixel that some frames mark as unusable is brought to the scale of the others.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where((self.count > 0) & (mask == 0), self.total * (self.frames / self.count), np.nan)


def _compact(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in a smaller dtype, where one holds them."""
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            single = values.astype(np.float32)
        if (values != np.rint(values)).any() or not ((values >= 0.0) & (values < 2.0**53)).all():
            return single if (single == values).all() else values
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


@dataclass(frozen=True, eq=False)
class _Worker:
    """As `crystint.run.frame_work.FrameWorker`, of groups of neighbouring frames."""

    exposures: Exposures

    @property
    def size(self) -> int:
        """Frames of a group. It depends on the number of frames alone, so that sums of floats are the same anywhere."""
        return max(1, len(self.exposures.frames) // _GROUPS)

    @property
    def total(self) -> int:
        """Number of groups."""
        return -(-len(self.exposures.frames) // self.size)

    @property
    def device(self) -> str:
        """None is needed."""
        return ""

    def numbers(self, group: int) -> range:
        """The frames of a group."""
        return range(group * self.size, min((group + 1) * self.size, len(self.exposures.frames)))

    def record(self, number: int, _first: Any) -> FrameRecord:
        """The sum of the frames of a group that can be read, and why the others cannot."""
        frames = self.exposures.frames
        sums, missing = FrameSums.of(frames.shape), []
        for one in self.numbers(number):
            try:
                frame = self.exposures.read(one)
            except FileError as error:
                missing.append((one, str(error)))
                continue
            sums.add_frame(frame, frames.saturation, self.exposures.valid)
        return sums.record(number, missing)


@dataclass(frozen=True, slots=True)
class _Work:
    """As `crystint.run.frame_work.FrameWork`."""

    files: tuple[str, ...]
    settings: DetectorSettings

    @contextmanager
    def open(self, _device: str | None) -> Iterator[_Worker]:
        with opened(self.files, self.settings, from_the_middle=True) as exposures:
            yield _Worker(exposures)


def center(job: Job[CenterSettings]) -> Outcome:
    """Fit the powder rings of the sum of all frames.

    The centre that is told, or that of the geometry, is the start; with neither it is the middle of the frame.
    """
    settings, how = job.settings, job.execution
    geometries = [path for path in job.outputs if path.suffix.lower() not in PICTURES]
    if geometries and settings.shape == "ellipse":
        raise SettingError(f"an ellipse is no geometry to write to {geometries[0]}; --shape tilt is one, or circle")
    with opened(job.inputs["frames"], settings, from_the_middle=True) as exposures:
        files = tuple(exposures.frames.all_files())
        job.reads(files)
        _check(settings, exposures, geometries)
        if job.finished:
            return job.nothing_to_do(exposures.frames.files, **exposures.used(""), width=settings.width)
        worker = _Worker(exposures)
        sums, missing, frames = FrameSums.of(exposures.frames.shape), dict[int, str](), len(exposures.frames)
        work = _Work(exposures.files, settings.absolute())
        with in_progress(
            job, work, None if how.elsewhere else worker, worker.total, same=exposures.same, files=files
        ) as progress:
            with closing(progress.records()) as records:
                for record in job.progress(records, worker.total, "center"):
                    for number, reason in record.facts["missing"]:
                        if how.strict:
                            raise FileError(reason)
                        if len(missing) < NAMED:
                            warn(f"{reason}; it is left out")
                        missing[number] = reason
                    sums.add_record(record)
            done = min(progress.done * worker.size, frames)
            if not sums.frames:
                if progress.stopped:
                    raise KeyboardInterrupt
                raise FileError(f"none of the {frames} frames can be used; {next(iter(missing.values()))}")
            centered = _fit(sums.image(exposures.mask), exposures, settings)
            provenance = job.provenance(
                exposures.frames.files, progress.command, **exposures.used(""), width=settings.width
            )
            _write(job, centered, ended(provenance, missing, done, frames))
    text = _text_of_rings(centered.rings) if centered.calibrated is None else _text_of_calibrant(centered.calibrated)
    text += exposures.masked and f"\n{exposures.masked}"
    return Outcome(text, centered, frames=done, of=frames, missing=missing, resumable=bool(job.outputs))


def _check(settings: CenterSettings, exposures: Exposures, geometries: Sequence[Path]) -> None:
    """Refuse what cannot be before the work."""
    if settings.ring_q and exposures.geometry is None:
        raise GeometryError("rings of known q need a geometry to begin with: give -g FILE, or --distance and so on")
    if settings.ring_q and settings.shape == "ellipse":
        raise SettingError("an ellipse is no geometry; rings of known q are fitted with the shape circle or tilt")
    if settings.shape == "tilt" and exposures.geometry is None:
        raise GeometryError("a tilt needs a geometry to begin with: give -g FILE, or --distance and --pixel-size")
    if geometries and exposures.geometry is None:
        raise GeometryError(
            f"there is no geometry to write to {geometries[0]}: give -g FILE, or --distance and --pixel-size"
        )


def _fit(image: NDArray[np.float64], exposures: Exposures, settings: CenterSettings) -> Centered:
    geometry = exposures.geometry
    search: Any = {"radius": settings.radius or None, "reach": settings.reach, "width": settings.width}
    if settings.ring_q:
        assert geometry is not None
        tilt = settings.shape == "tilt"
        calibrated = fit_calibrant(image, geometry, settings.ring_q, exposures.mask, tilt=tilt, **search)
        _warn_of_absent(settings.radius, calibrated.rings, "of the calibrant ")
        return Centered(image, calibrated.rings, calibrated.geometry, calibrated)
    start: Any = geometry if geometry is not None else exposures.center
    rings = fit_rings(image, exposures.mask, start=start, shape=settings.shape, **search)
    _warn_of_absent(settings.radius, rings, "")
    return Centered(image, rings, None if geometry is None or settings.shape == "ellipse" else rings.geometry(geometry))


def _warn_of_absent(radius: Sequence[float], rings: Rings, which: str) -> None:
    """Warn of rings that were asked for and are not there."""
    for one in radius:
        if abs(rings.radius[rings.nearest(one)] - one) > GUESSED:
            warn(f"no ring {which}was found within {GUESSED:g} px of the radius {one:g} px")


def _write(job: Job[CenterSettings], centered: Centered, provenance: dict[str, Any]) -> None:
    """All of the outputs, or none."""

    def geometry(path: Path) -> None:
        assert centered.geometry is not None
        write_geometry(path, centered.geometry, overwrite=job.overwrite, provenance=provenance)

    job.write(centered, geometry)


def _text_of_rings(rings: Rings) -> str:
    (slow, fast), (slow_error, fast_error) = rings.center, rings.center_error
    lines = [f"centre (slow, fast)  {slow:.3f} ± {slow_error:.3f}, {fast:.3f} ± {fast_error:.3f} px"]
    if isinstance(rings.shape, Ellipse):
        if rings.shape.strain is not None:
            angle = np.degrees(rings.shape.angle)
            lines.append(f"axis ratio           {rings.shape.axis_ratio:.5f}, long axis {angle:.1f} deg from fast")
    else:
        rot1, rot2 = rings.shape.values[2:4]
        errors = np.degrees(np.sqrt(np.diag(rings.covariance)))[2:4]
        lines.append(
            f"tilt (rot1, rot2)    {np.degrees(rot1):.4f} ± {errors[0]:.4f}, {np.degrees(rot2):.4f} ± "
            f"{errors[1]:.4f} deg"
        )
    lines += _disagreement(rings.disagreement)
    lines.append("ring  radius (px)           width (px)  contrast")
    lines += [
        f"{number:4d}  {radius:9.3f} ± {error:.3f}  {width:12.2f}  {contrast:8.3g}"
        for number, (radius, error, width, contrast) in enumerate(
            zip(rings.radius, rings.radius_error, rings.width, rings.contrast, strict=True)
        )
    ]
    return "\n".join(lines)


def _text_of_calibrant(fit: Calibrated) -> str:
    (slow, fast), (slow_error, fast_error) = fit.geometry.direct_beam, fit.beam_error
    lines = [f"centre (slow, fast)  {slow:.3f} ± {slow_error:.3f}, {fast:.3f} ± {fast_error:.3f} px"]
    if any(fit.rotation_error):
        rot1, rot2, _ = np.degrees(fit.geometry.rotation)
        errors = np.degrees(fit.rotation_error)
        lines.append(f"tilt (rot1, rot2)    {rot1:.4f} ± {errors[0]:.4f}, {rot2:.4f} ± {errors[1]:.4f} deg")
    along = fit.geometry.distance_along_beam
    lines.append(f"distance along beam  {1e3 * along:.4f} ± {1e3 * fit.distance_error:.4f} mm")
    lines += _disagreement(fit.disagreement)
    lines.append("q (1/angstrom)  radius less the calibrant's (px)")
    lines += [f"{q:14.4f}  {residual:+.3f}" for q, residual in zip(fit.q, fit.residual, strict=True)]
    for q, radius in zip(fit.missing, fit.missing_radius, strict=True):
        where = f"not found at {radius:.1f} px" if np.isfinite(radius) else "outside the frame, or masked"
        lines.append(f"{q:14.4f}  {where}")
    return "\n".join(lines)


def _disagreement(factor: float) -> list[str]:
    if factor < 1.05:
        return []
    return [f"errors are enlarged {factor:.1f} times: rings, or arcs of a ring, disagree by more than their own"]
