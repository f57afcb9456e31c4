"""What separation works on: frames, geometry, masks and corrections that fit one another, and a separator."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import FileName
from crystint.engine import Engine
from crystint.errors import FileError
from crystint.io.frames.sequence import Frames, open_frames
from crystint.model.frame_table import FrameTable
from crystint.model.geometry import Geometry
from crystint.model.instrument import Instrument
from crystint.model.peaks import PeakList
from crystint.model.rings import RingMap
from crystint.model.scan import Scan
from crystint.model.sparse import SparseFrame
from crystint.model.valid_values import ValidValues
from crystint.ops.cells import LEAST_PIXELS
from crystint.ops.rest import rest_background
from crystint.ops.separator import Separator
from crystint.prediction.boxes import ReflectionBoxes
from crystint.prediction.keep import PanelPlaces, keep_pixels
from crystint.prediction.reflection_boxes import reflection_boxes
from crystint.run.frames import image_of, mask_of, read_frame, saturation_in
from crystint.run.geometry import geometries_of, geometry_of, wavelengths_of
from crystint.run.scan import scan_of
from crystint.separation.audit import AuditTools
from crystint.separation.frame_search import FrameSearch
from crystint.separation.settings import Settings, SparsifySettings
from crystint.summation.frame_audit import FrameAudit

__all__ = ["PreparedRun", "opened"]


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """Opened frames, everything that fits them, and the separator made of it lazily, when it is first used."""

    frames: Frames
    settings: Settings
    geometry: Geometry
    mask: NDArray[np.uint32]
    images: Mapping[str, NDArray[np.float32] | None]
    """dark, flat, normalization, float32 [slow, fast]"""
    saturation: float | None
    engine: Engine | None
    """None = this process has no device to work with: the workers of a cluster do"""
    wavelengths: NDArray[np.float64] | None = None
    """float64 [frames], angstrom: of each frame; None = that of the geometry"""
    apart: tuple[PreparedRun, ...] = ()
    """of files that place the detector differently: the same with the other geometries; for peaks alone"""
    which: tuple[int, ...] = ()
    """of each file: 0 = its geometry is that of this run, n = that of ``apart[n - 1]``"""
    valid: ValidValues | None = None
    """which values are measurements; None = the default of the dtype"""
    masked: str = ""
    """how much of the frame is masked, for the end of the run; empty without masks that were given"""
    boxes: ReflectionBoxes | None = None
    """of reflections whose pixels are kept whatever their counts"""
    panels: PanelPlaces | None = None
    """of a detector of several"""
    _tools: list[AuditTools] = field(default_factory=list, init=False)
    _own: threading.local = field(default_factory=threading.local, init=False)
    _making: threading.Lock = field(default_factory=threading.Lock, init=False)

    @cached_property
    def search(self) -> FrameSearch:
        """What is looked for in a frame."""
        return FrameSearch(
            self.settings, self.geometry, self.mask, self.images, self.saturation, self.engine, self.valid
        )

    @property
    def separator(self) -> Separator:
        """The separator of the run."""
        return self.search.separator

    def small_run(self) -> tuple[PreparedRun, NDArray[Any]]:
        """A run with few pixels, and a frame with one spot, that need the kernels of this run."""
        counted = self.geometry.shape[0] * self.geometry.shape[1] >= LEAST_PIXELS
        side, rings = math.isqrt(LEAST_PIXELS) + 1 if counted else 128, min(self.settings.rings, 256)
        geometry = replace(
            self.geometry, shape=(side, side), beam_center=(side / 2, side / 2), rotation=(0.0, 0.0, 0.0), panels=None
        )
        frame = (np.arange(side * side) * 7 % 5).astype(self.frames.dtype).reshape(side, side)
        frame[20:23, 40:43] = 100  # with a flat top
        dark = None if self.images["dark"] is None else np.zeros(frame.shape, np.float32)
        images = {"dark": dark, "flat": None, "normalization": None}
        settings = self.settings.model_copy(update={"rings": rings})
        mask = np.zeros(frame.shape, np.uint32)
        small = replace(self, settings=settings, geometry=geometry, mask=mask, images=images, boxes=None, panels=None)
        return small, frame

    def keep(self, sparse: SparseFrame, frame: NDArray[Any], number: int, grow: int) -> SparseFrame:
        """A sparse frame with the pixels of predicted reflections, and those around significant ones.

        The background is that of all other pixels: the ring's own has the spots in it that are too weak to stand out.
        """
        if self.boxes is None and not grow:
            return sparse
        boxes = None if self.boxes is None else self.boxes.of_frame(number)
        more = keep_pixels(sparse, frame, boxes, grow, self.panels)
        return replace(more, background=rest_background(more, frame))

    @cached_property
    def _told(self) -> tuple[Scan | None, Instrument]:
        return scan_of(self.frames, self.settings)

    @property
    def scan(self) -> Scan | None:
        """How the crystal was turned and exposed, of each frame."""
        return self._told[0]

    @property
    def instrument(self) -> Instrument:
        """What is known of sensor, detector, source and sample."""
        return self._told[1]

    @property
    def rings(self) -> RingMap:
        """Those of the separator."""
        return self.search.rings

    @property
    def batch(self) -> int:
        """Frames that the device works on at a time."""
        return 1 if self.engine is None else self.separator.batch

    def read(self, number: int) -> NDArray[Any]:
        """A frame. The memory is this thread's, and used again for its next frame.

        Raises
        ------
        FileError
            With the number of the frame and its file, when it cannot be read.
        """
        return read_frame(self.frames, number, self._room[0])

    def read_several(self, numbers: Sequence[int]) -> tuple[list[int], NDArray[Any], dict[int, str]]:
        """Which of at most `batch` frames could be read, these frames, and why the others could not, by their numbers.

        The memory is that of `read`.
        """
        missing: dict[int, str] = {}
        there: list[int] = []
        for number in numbers:
            try:
                read_frame(self.frames, number, self._room[len(there)])
            except FileError as error:
                missing[number] = str(error)
            else:
                there.append(number)
        return there, self._room[: len(there)], missing

    @property
    def _room(self) -> NDArray[Any]:
        """Memory of this thread for a batch of frames, which the device reads where it is."""
        if not hasattr(self._own, "room"):
            shape = (self.batch, *self.frames.shape)
            engine = self.engine
            own = np.empty(shape, self.frames.dtype) if engine is None else engine.new_input(shape, self.frames.dtype)
            self._own.room = own
        room: NDArray[Any] = self._own.room
        return room

    def used(self, device: str) -> dict[str, Any]:
        """What the run used where the settings leave it open, for the provenance of its outputs."""
        used = {
            "device": device,
            "geometry_used": self.geometry.to_dict(),
            "saturation_used": self.saturation,
            "valid_values": None if self.valid is None else self.valid.to_dict(),
            "frames_in_bslz4": self._in_bslz4,
        }
        if self.boxes is not None:
            used["boxes_used"] = self.boxes.facts
        return used | ({"geometries_used": self._geometries_used} if self.apart else {})

    @cached_property
    def _in_bslz4(self) -> bool:
        """Whether the frames lie in HDF5 files under bitshuffle and LZ4, so that their readers know it."""
        try:
            return self.frames.chunk(0) is not None
        except FileError:
            return False

    @property
    def _geometries_used(self) -> list[dict[str, Any]]:
        """That of each file, where they differ."""
        each = [run.geometry.to_dict() for run in (self, *self.apart)]
        return [each[number] for number in self.which]

    def examine(
        self, frames: NDArray[Any], numbers: Sequence[int], snr: float | None, snr_peak: float | None
    ) -> list[tuple[SparseFrame | None, PeakList | None, FrameTable]]:
        """Signal and background of frames, their peaks, and their rows in the table of frames, as the settings say.

        Parameters
        ----------
        frames : [n, slow, fast]
        numbers : sequence of int
        snr, snr_peak : float or None
            Significance of a pixel, and of a peak; None = they are not asked for.
        """
        results: list[tuple[SparseFrame | None, PeakList | None, FrameTable]] = []
        for run, some in groupby(range(len(numbers)), lambda place: self._of_frame(numbers[place])):
            places = list(some)
            which = [numbers[place] for place in places]
            examined = run.search.examine_several(
                frames[places[0] : places[-1] + 1], which, snr, snr_peak, None, [run.wavelength_ratio(n) for n in which]
            )
            results += [each[:3] for each in examined]
        return results

    def _of_frame(self, number: int) -> PreparedRun:
        """The run with the geometry of a frame."""
        return (self, *self.apart)[self.which[self.frames.place(number)[0]]] if self.apart else self

    def audit(self, frame: NDArray[Any], number: int, sparse: SparseFrame) -> FrameAudit:
        """Its reflections, raw and densified."""
        separator = self.separator
        with self._making:
            if not self._tools:
                self._tools.append(AuditTools.of(separator, self.settings, self.boxes))
        return self._tools[0].audit(number, frame, sparse)

    def wavelength_ratio(self, number: int) -> float:
        """Wavelength of a frame over that of the separator."""
        if self.wavelengths is None or self.geometry.wavelength is None:
            return 1.0
        return float(self.wavelengths[number]) / self.geometry.wavelength


@contextmanager
def opened(
    sources: Sequence[FileName] | Frames,
    settings: Settings,
    device: str | None = None,
    *,
    remote: bool = False,
    apart: bool = False,
    warm_up: Callable[[PreparedRun], object] | None = None,
) -> Iterator[PreparedRun]:
    """Open frames and make the separator for them.

    Parameters
    ----------
    sources : paths or patterns, or Frames
        Frames that are open already stay open.
    settings : Settings
    device : str, optional
        As `Engine` takes it.
    remote : bool
        Workers of a cluster do the work: no device is needed here, and no separator is made.
    apart : bool
        Files may place the detector differently.
    warm_up : callable, optional
        Called with the run in a thread of its own, while the separator is made. An error in it is no error.

    Raises
    ------
    DeviceError, FileError, GeometryError, SettingError, ShapeError
        Before anything is computed, when something does not fit.
    """
    engine = None if remote else Engine(device)
    with (
        nullcontext(sources)
        if isinstance(sources, Frames)
        else open_frames(*sources, dataset=settings.dataset, frames=settings.frames)
    ) as frames:
        if not len(frames):
            raise FileError(f"{', '.join(frames.files)}: no frames in it")
        geometries, which = geometries_of(frames, settings) if apart else ([geometry_of(frames, settings)], [])
        mask = mask_of(frames, settings, settings.geometry)
        factors = [image_of(path, "normalization", frames.shape) for path in settings.normalization]
        images = {
            "dark": None if settings.dark is None else image_of(settings.dark, "dark", frames.shape),
            "flat": None if settings.flat is None else image_of(settings.flat, "flat", frames.shape),
            "normalization": np.prod(np.stack(factors), axis=0) if factors else None,
        }
        saturation = saturation_in(frames, settings) if settings.saturation == "file" else settings.saturation
        limit = None if saturation is None or saturation == "none" else float(saturation)
        valid = frames.valid_from(settings.lowest)
        common: Any = {"wavelengths": wavelengths_of(frames, settings), "valid": valid, "masked": mask.about}
        common |= {"boxes": _boxes_of(frames, settings, geometries[0]), "panels": PanelPlaces.of(geometries[0])}
        limit = valid.limit(limit)
        runs = [
            PreparedRun(frames, settings, geometry, mask.pixels, images, limit, engine, **common)
            for geometry in geometries
        ]
        run = replace(runs[0], apart=tuple(runs[1:]), which=tuple(which))
        if engine is not None:
            warming = threading.Thread(target=_warm_up_quietly, args=(warm_up, run))
            warming.start()
            run.separator  # noqa: B018  (now, not in the first frame)
            warming.join()
        yield run


def _boxes_of(frames: Frames, settings: Settings, geometry: Geometry) -> ReflectionBoxes | None:
    """Boxes of the model whose reflections are to be kept; None = there is no such model."""
    if not isinstance(settings, SparsifySettings) or settings.keep is None:
        return None
    return reflection_boxes(
        settings.keep,
        frames,
        geometry=geometry,
        d_min=settings.d_min,
        margin=settings.keep_margin,
        radius=settings.keep_radius,
        mosaicity=settings.keep_mosaicity,
    )


def _warm_up_quietly(warm_up: Callable[[PreparedRun], object] | None, run: PreparedRun) -> None:
    """Warm up; what is wrong will show with the first frame."""
    with suppress(Exception):
        if warm_up is not None:
            warm_up(run)
