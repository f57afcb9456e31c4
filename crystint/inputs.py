"""What a run works on: frames, geometry, masks and corrections that fit one another, and a separator."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.config import Settings
from crystint.engine import Engine
from crystint.errors import FileError, GeometryError, ShapeError
from crystint.io.frames import Frames, open_frames
from crystint.io.masks import read_mask
from crystint.io.provenance import provenance
from crystint.model.geometry import Geometry
from crystint.model.mask import combine_masks, unusable
from crystint.model.peaks import PeakList
from crystint.model.rings import RingMap
from crystint.model.sparse import SparseFrame
from crystint.ops.layout import ring_map
from crystint.ops.separator import Separator

__all__ = ["Run", "Source", "geometry_of", "mask_of", "opened"]

Source = str | PathLike[str]


@dataclass(frozen=True, eq=False)
class Run:
    """Opened frames, everything that fits them, and the separator made of it when it is first asked for."""

    frames: Frames
    settings: Settings
    geometry: Geometry
    mask: NDArray[np.uint32]
    images: Mapping[str, NDArray[np.float32] | None]
    """dark, flat, normalization, float32 [slow, fast]"""
    saturation: float | None
    engine: Engine | None
    """None = this process has no device to work with: other machines do the work"""
    _own: threading.local = field(default_factory=threading.local, init=False)
    _made: list[Separator] = field(default_factory=list, init=False)
    _making: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def separator(self) -> Separator:
        """The separator of the run."""
        use = self.settings
        with self._making:  # that of cached_property is one for all runs
            if not self._made:
                made = Separator(
                    self.geometry,
                    self.mask,
                    use.rings,
                    use.error_model,
                    use.clip,
                    use.cycles,
                    self.engine,
                    **self.images,
                    solid_angle=use.solid_angle,
                    saturation=self.saturation,
                )
                self._made.append(made)
            return self._made[0]

    def in_small(self) -> tuple[Run, NDArray[Any]]:
        """A run with few pixels, and a frame with one spot, that need nothing of the device that this run does not."""
        side, rings = 128, min(self.settings.rings, 256)
        geometry = replace(
            self.geometry, shape=(side, side), beam_center=(side / 2, side / 2), rotation=(0.0, 0.0, 0.0), panels=None
        )
        frame = (np.arange(side * side) * 7 % 5).astype(self.frames.dtype).reshape(side, side)
        frame[20:23, 40:43] = 100  # with a flat top
        dark = None if self.images["dark"] is None else np.zeros(frame.shape, np.float32)
        images = {"dark": dark, "flat": None, "normalization": None}
        settings = self.settings.model_copy(update={"rings": rings})
        mask = np.zeros(frame.shape, np.uint32)
        return replace(self, settings=settings, geometry=geometry, mask=mask, images=images), frame

    @cached_property
    def rings(self) -> RingMap:
        """Those of the separator."""
        if self.engine is not None:
            return self.separator.rings
        use = self.settings
        return ring_map(self.geometry, self.mask, use.rings, **self.images, solid_angle=use.solid_angle)

    def read(self, number: int) -> NDArray[Any]:
        """A frame. The memory is this thread's, and used again for its next frame.

        Raises
        ------
        FileError
            With the number of the frame and its file, when it cannot be read.
        """
        if not hasattr(self._own, "frame"):
            self._own.frame = np.empty(self.frames.shape, self.frames.dtype)
        try:
            return self.frames.read(number, self._own.frame)
        except OSError as error:
            raise FileError(f"frame {number}{self._place(number, str(error))}: {error}") from error

    def _place(self, number: int, text: str) -> str:
        """Where a frame is, unless the text says so already."""
        try:
            source = self.frames.source(number)
        except OSError:
            return ""
        return "" if source.file in text else f" ({source.file}, frame {source.index} in it)"

    def record(self, command: Sequence[str] | None, device: str, **used: Any) -> dict[str, Any]:
        """Provenance: everything that is needed to repeat the run, which used `device`."""
        settings = self.settings.plain() | used
        settings["device"] = device
        settings["geometry_used"] = self.geometry.to_dict()
        settings["saturation_used"] = self.saturation
        return provenance(settings, self.frames.files, command)

    def peaks(self, frame: NDArray[Any], number: int, snr: float) -> PeakList:
        """Peaks of one frame, with the settings of the run."""
        found: PeakList = self.separator.peaks(frame, snr, number=number, **self._spots)
        return found

    def sparsify(self, frame: NDArray[Any], number: int, snr: float) -> SparseFrame:
        """Signal and background of one frame, with the settings of the run."""
        found: SparseFrame = self.separator.sparsify(frame, snr, self.settings.noise, number=number)
        return found

    def separate(self, frame: NDArray[Any], number: int, snr: float) -> tuple[SparseFrame, PeakList]:
        """`sparsify`, and the peaks above ``settings.snr_peak``, in one go."""
        peak = self.settings.snr_peak
        found: tuple[SparseFrame, PeakList] = self.separator.separate(frame, snr, peak, number=number, **self._spots)
        return found

    @cached_property
    def _spots(self) -> dict[str, Any]:
        """What makes a peak, besides its significance."""
        names = ("snr_pick", "connected", "patch", "noise", "strict_mask", "d_min", "d_max")
        return {name: getattr(self.settings, name) for name in names}

    @cached_property
    def _good(self) -> NDArray[np.intp]:
        """Numbers of the pixels that the mask leaves."""
        return np.flatnonzero(self.separator.rings.mask == 0)

    def nothing_in(self, frame: NDArray[Any]) -> bool:
        """Whether the frame has no usable pixel at all."""
        flat = frame.reshape(-1)
        limit = self.saturation
        some = self._good[:: max(1, len(self._good) // 1000)]
        for place in (some, self._good):  # nearly always the few say enough
            values = flat[place]
            bad = unusable(values)
            if limit is not None:
                bad |= values > limit
            if not bad.all():
                return False
        return True


@contextmanager
def opened(
    sources: Sequence[Source],
    settings: Settings,
    device: str | None = None,
    *,
    remote: bool = False,
    rehearse: Callable[[Run], object] | None = None,
) -> Iterator[Run]:
    """Open frames and make the separator for them.

    Parameters
    ----------
    sources : paths or patterns
    settings : Settings
    device : str, optional
        As `Engine` takes it.
    remote : bool
        Others do the work: no device is needed here, and no separator is made.
    rehearse : callable, optional
        Called with the run in a thread of its own, while the separator is made. An error in it is no error.

    Raises
    ------
    DeviceError, FileError, GeometryError, SettingError, ShapeError
        Before anything is computed, when something does not fit.
    """
    engine = None if remote else Engine(device)
    with open_frames(*sources, dataset=settings.dataset) as frames:
        if not len(frames):
            raise FileError(f"{', '.join(map(str, sources))}: no frames in it")
        geometry = geometry_of(frames, settings)
        mask = mask_of(frames, settings)
        factors = [_image(path, "normalization", frames.shape) for path in settings.normalization]
        images = {
            "dark": None if settings.dark is None else _image(settings.dark, "dark", frames.shape),
            "flat": None if settings.flat is None else _image(settings.flat, "flat", frames.shape),
            "normalization": np.prod(np.stack(factors), axis=0) if factors else None,
        }
        saturation = frames.saturation if settings.saturation == "file" else settings.saturation
        limit = None if saturation is None or saturation == "none" else float(saturation)
        run = Run(frames, settings, geometry, mask, images, limit, engine)
        if engine is not None:
            rehearsal = threading.Thread(target=_in_vain, args=(rehearse, run))
            rehearsal.start()
            run.separator  # noqa: B018  (now, not in the first frame)
            rehearsal.join()
        yield run


def _in_vain(rehearse: Callable[[Run], object] | None, run: Run) -> None:
    """Rehearse; what is wrong will show in earnest."""
    with suppress(Exception):
        if rehearse is not None:
            rehearse(run)


def geometry_of(frames: Frames, settings: Settings) -> Geometry:
    """The geometry of a run: of the file given, or of the frames; explicit numbers replace its own.

    Raises
    ------
    GeometryError
        When there is none, or it is impossible.
    ShapeError
        When it belongs to a detector of another shape.
    """
    explicit: dict[str, Any] = {
        "distance": settings.distance,
        "beam_center": settings.beam,
        "wavelength": settings.wavelength,
        "pixel_size": settings.pixel_size,
    }
    explicit = {name: value for name, value in explicit.items() if value is not None}
    if settings.polarization != "file":
        explicit["polarization"] = None if settings.polarization == "none" else settings.polarization
    complete = {"distance", "beam_center", "pixel_size"} <= explicit.keys()
    known = _known_geometry(frames, settings, tolerant=complete)
    explicit["beam_outside"] = settings.beam_outside
    if known is None:
        if not complete:
            names = {"distance": "--distance", "beam_center": "--beam", "pixel_size": "--pixel-size"}
            missing = ", ".join(option for name, option in names.items() if name not in explicit)
            raise GeometryError(
                f"{frames.files[0] if frames.files else 'the frames'}: no geometry in it; give one with "
                f"-g FILE (.poni, .geom, NXmx, CBF), or the missing {missing} (and --wavelength)"
            )
        return Geometry(shape=frames.shape, **explicit)
    if known.shape != frames.shape:
        where = settings.geometry or "the geometry"
        hint = "; it looks transposed" if known.shape == frames.shape[::-1] else ""
        raise ShapeError(f"{where} is for {known.shape}, the frames are {frames.shape} (slow, fast){hint}")
    return replace(known, **explicit)


def _known_geometry(frames: Frames, settings: Settings, tolerant: bool) -> Geometry | None:
    """The geometry on file. With `tolerant`, an impossible one in the frames counts as none."""
    if settings.geometry is not None:
        return Geometry.read(settings.geometry, beam_outside=True)
    try:
        return frames.geometry
    except GeometryError:
        if tolerant:
            return None
        if settings.beam_outside and frames.files:
            return Geometry.read(frames.files[0], beam_outside=True)
        raise


def mask_of(frames: Frames, settings: Settings) -> NDArray[np.uint32]:
    """uint32 [slow, fast]: the mask of the frames and those of the settings together.

    Raises
    ------
    ShapeError
        When one has another shape than the frames.
    FileError
        When no pixel is left.
    """
    paths = list(settings.mask)
    masks = [read_mask(path) for path in paths]
    if settings.geometry is not None and settings.geometry.suffix.lower() == ".geom":
        paths.append(settings.geometry)  # its bad regions
        masks.append(read_mask(settings.geometry, shape=frames.shape))
    for path, mask in zip(paths, masks):
        _check_shape(f"mask {path}", mask.shape, frames.shape)
    together = combine_masks(frames.mask, *masks, shape=frames.shape)
    if together.all():
        raise FileError("no usable pixel: the mask covers the whole frame")
    return together


def _check_shape(what: str, shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    if shape != expected:
        hint = "; it looks transposed" if shape == expected[::-1] else ""
        raise ShapeError(f"{what} is {shape}, the frames are {expected} (slow, fast){hint}")


def _image(path: Path, what: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    """float32 [slow, fast]: the one frame of a file."""
    with open_frames(path) as images:
        if len(images) != 1:
            raise FileError(f"{what} {path} holds {len(images)} frames, expected one")
        image = images[0]
    _check_shape(f"{what} {path}", image.shape, shape)
    return image.astype(np.float32)
