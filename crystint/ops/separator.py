"""Separate the signal of a frame from its background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Frame, FrameStack
from crystint.engine import Buffer, Engine, default_engine, engine_on, refuse_after_fork
from crystint.errors import DeviceError, DeviceMemoryError, GeometryError, SettingError, check, described, warn
from crystint.model.geometry import Geometry
from crystint.model.peaks import PeakFlag, PeakList, empty_peaks
from crystint.model.rings import ERROR_MODELS, Background, RingMap
from crystint.model.sparse import SparseFrame
from crystint.model.valid_values import ValidValues
from crystint.ops.background import (
    Clipping,
    read_background,
    read_table,
    start_statistics,
    start_table,
    variance_of_mean,
)
from crystint.ops.detector_buffers import DetectorBuffers
from crystint.ops.frame_row import FrameRows, FrameStatistics
from crystint.ops.ice import NO_ICE, IceRings
from crystint.ops.layout import ring_map
from crystint.ops.maxima import PeakSettings, panel_buffer, spot_records
from crystint.ops.peaks import peaks_of_spots
from crystint.ops.pixels import PIXEL_TYPES
from crystint.ops.roi_sums import RoiSums
from crystint.ops.significant import picked_pixels, start_picking, unusable_pixels
from crystint.ops.totals import read_totals
from crystint.ops.workspace import Workspace

__all__ = ["Examined", "Separator"]

_BATCH = 8
"""frames that a GPU works on in one launch"""

_ON_THE_DEVICE = {
    "engine",
    "rows",
    "_detector",
    "_ice",
    "_free",
    "_panels",
    "_lock",
    "_room",
    "batch",
    "_most",
    "_at_once",
    "_working",
}
"""attributes of a `Separator` that no other process can use"""
_ONE_START = threading.Lock()

_T = TypeVar("_T")


class Examined(NamedTuple):
    """What was found in a frame."""

    sparse: SparseFrame | None
    """None = it was not asked for, as `peaks`"""
    peaks: PeakList | None
    statistics: FrameStatistics


class _Launch(NamedTuple):
    """Frames that a device works on together."""

    workspace: Workspace
    buffer: Buffer
    """holds the frames"""
    frames: NDArray[Any]
    """[n, slow, fast], the same on the host"""
    first: int
    """number of the first"""


def _number(name: str, value: Any, low: float, *, inclusive: bool = True) -> float:
    if isinstance(value, str | bytes | bool):
        raise SettingError(f"{name} is {described(value)}, expected a number")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise SettingError(f"{name} is {value!r}, expected a number") from None
    if not (np.isfinite(number) and (number >= low if inclusive else number > low)):
        raise SettingError(f"{name} is {value!r}, expected a number {'of at least' if inclusive else 'above'} {low:g}")
    return number


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise SettingError(f"{name} is {value!r}, expected a whole number from {low} to {high}")
    return int(value)


class Separator:
    """Separates signal from background in the frames of one detector.

    What is fixed (rings, normalization, mask, settings) is uploaded once; each call moves one frame in and one result
    out. Threads may share one: it works on several frames at a time, and the results are the same. Pickled, it is what
    it is made from; a process that was forked cannot use it (`multiprocessing` with "spawn" can).

    `background`, `sparsify`, `peaks` and `separate` also take several frames as one array of (n, slow, fast), and
    return a list then: a GPU works on them in one launch.

    Parameters
    ----------
    geometry : Geometry
    mask : integer or bool [slow, fast], optional
        Nonzero = masked. Pixels that a frame itself marks as unusable need no mask (see `valid`).
    rings : int
        Rings of equal width between the smallest and the largest radius of the detector.
    error_model : {"hybrid", "poisson", "azimuthal"}
        What the spread of a ring is taken from: its counts, its pixels, or the pixels while clipping and the counts
        afterwards.
    snr_clip : float, optional
        Clipping threshold in standard deviations; None = Chauvenet's.
    cycles : int
        Most cycles of clipping; 0 = no clipping.
    engine : Engine or str, optional
        A string names a device as `Engine` does; None = the default device.
    dark, flat, normalization : real [slow, fast], optional
        Dark counts, relative efficiency, any further factor.
    solid_angle : bool
        Whether the solid angle of the pixels belongs to the normalization. The polarization does when the geometry
        has one.
    saturation : float, optional
        Largest valid value of a pixel. Saturated pixels never enter the background; they are signal.
    valid : ValidValues, optional
        Which values of a pixel are measurements, such as `Frames.valid`. None = no negative values in signed integer
        frames, not the all-ones value in unsigned ones; NaN and infinities in float frames never are.

    Raises
    ------
    GeometryError, SettingError, ShapeError, DTypeError
        For what is missing, impossible or does not fit together.
    DeviceError
        If there is no device, or too little memory on it.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> background = separator.background(data[0])
    >>> peaks = separator.peaks(data[0], snr=5.0, background=background)
    >>> sparse = separator.sparsify(data[0], snr=3.0, background=background)
    >>> len(peaks) > 4, len(sparse.index) > len(peaks)
    (True, True)
    """

    def __init__(
        self,
        geometry: Geometry,
        mask: NDArray[Any] | None = None,
        rings: int = 1000,
        error_model: str = "hybrid",
        snr_clip: float | None = None,
        cycles: int = 5,
        engine: Engine | str | None = None,
        *,
        dark: NDArray[Any] | None = None,
        flat: NDArray[Any] | None = None,
        normalization: NDArray[Any] | None = None,
        solid_angle: bool = True,
        saturation: float | None = None,
        valid: ValidValues | None = None,
    ) -> None:
        if geometry is None:
            raise GeometryError(
                "no geometry: the rings need the distance, the beam centre and the pixel size; give a crystint.Geometry"
            )
        if not isinstance(geometry, Geometry):
            raise GeometryError(f"geometry is {geometry!r}, expected a crystint.Geometry; Geometry.read opens a file")
        if error_model not in ERROR_MODELS:
            raise SettingError(f"error_model is {error_model!r}, expected one of {', '.join(ERROR_MODELS)}")
        if snr_clip is not None:
            snr_clip = _number("snr_clip", snr_clip, 0.0, inclusive=False)
        if saturation is not None:
            saturation = _number("saturation", saturation, 0.0)
        if valid is not None:
            saturation = valid.limit(saturation)
        cycles = _whole("cycles", cycles, 0, 1000)
        self.geometry, self.error_model, self.saturation = geometry, error_model, saturation
        self.rings: RingMap = ring_map(
            geometry,
            mask,
            rings,
            dark=dark,
            flat=flat,
            normalization=normalization,
            solid_angle=solid_angle,
            valid=valid,
        )
        if isinstance(engine, str):
            engine = Engine(engine)
        self._clip = Clipping(error_model, snr_clip, cycles, saturation)
        self._start(engine if engine is not None else default_engine())

    @classmethod
    def of_background(
        cls, background: Background, geometry: Geometry | None = None, engine: Engine | None = None
    ) -> Separator:
        """A separator like the one that made a background: its rings, mask, corrections and settings.

        Parameters
        ----------
        background : Background
            Such as that of a frame of a sparse file.
        geometry : Geometry, optional
            For the panels and the spacings of peaks; None = one panel, and spacings are unknown.
        engine : Engine, optional
            None = the default device.

        Examples
        --------
        >>> import crystint
        >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, seed=1)
        >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
        >>> again = crystint.Separator.of_background(separator.background(data[0]), data.geometry)
        >>> len(again.peaks(data[0])) == len(separator.peaks(data[0]))
        True
        """
        made, rings = cls.__new__(cls), background.rings
        if geometry is None:
            slow, fast = rings.shape
            geometry = Geometry(rings.shape, (1e-4, 1e-4), 0.1, (slow / 2, fast / 2))
        made.geometry, made.error_model, made.saturation = geometry, background.error_model, background.saturation
        made.rings = rings
        made._clip = Clipping(background.error_model, background.snr_clip, background.cycles, background.saturation)
        made._start(engine if engine is not None else default_engine())
        return made

    def _start(self, engine: Engine) -> None:
        """What lies on the device."""
        self.engine = engine
        self._fits()
        self._detector = DetectorBuffers(self.engine, self.rings)
        self._ice = IceRings(self.rings.q)
        self.rows = FrameRows(self.rings.q, self._detector.ring_pixels, self._detector.mean_weight)
        self._free: list[Workspace] = []
        self._panels: Buffer | None = None
        self._lock = threading.Lock()
        fitting = self.engine.device.max_allocation // (4 * self.rings.position.size)
        self.batch = 1 if self.engine.on_cpu else max(1, min(_BATCH, fitting))
        """frames that callers give at a time: a launch has as many while there is memory for them"""
        self._most = self.batch
        self._at_once = max(2, self.engine.device.compute_units) if self.engine.on_cpu else 4
        self._working, self._room = 0, threading.Condition()

    def __getstate__(self) -> dict[str, Any]:
        """What another process makes it from; the rings are pickled as what they are made of."""
        names = ("geometry", "error_model", "saturation", "rings", "_clip")
        device = self.__dict__.get("_device") or (self.engine.device.name, self.engine.device.platform)
        return {name: getattr(self, name) for name in names} | {"_device": device}

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Of one that was pickled, what lies on the device is made when it is first used: `engine` and the rest."""
            device = self.__dict__.get("_device")
            if device is None or name not in _ON_THE_DEVICE:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            refuse_after_fork()
            with _ONE_START:
                if "_room" not in self.__dict__:
                    self._start(engine_on(*device))
            return self.__dict__[name]

    def __repr__(self) -> str:
        slow, fast = self.rings.shape
        device = self.__dict__["_device"][0] if "engine" not in self.__dict__ else self.engine.device.name
        return f"<Separator: {self.rings.rings} rings, {slow} x {fast} px, {self.error_model}, {device}>"

    def _fits(self) -> None:
        """Refuse a detector that the device cannot hold with one frame at a time, before anything is allocated.

        More frames in flight take more, as much as there is (`_take_fewer`).
        """
        needed = 40 * self.rings.position.size
        if needed > self.engine.device.memory:
            raise DeviceMemoryError(
                f"frames of {self.rings.position.size / 1e6:.1f} Mpx need {needed / 2**20:.0f} MiB on the device; "
                f"{self.engine.device.name} has {self.engine.device.memory / 2**20:.0f} MiB"
            )

    def _check(self, frame: NDArray[Any]) -> NDArray[Any]:
        """The frame, or frames, in native byte order and contiguous."""
        refuse_after_fork()  # before a lock that a thread had which is not there any more
        if isinstance(frame, np.ma.MaskedArray):
            raise SettingError("frame is a masked array; give its mask to the Separator, or fill it")
        frame = np.asarray(frame)
        if not frame.dtype.isnative:
            frame = frame.astype(frame.dtype.newbyteorder("="))
        check("frame", frame[0] if frame.ndim == 3 and len(frame) else frame, self.rings.shape, PIXEL_TYPES)
        return np.ascontiguousarray(frame)

    def _check_background(self, background: Background) -> None:
        """Refuse one whose rings are not those of this detector."""
        if not isinstance(background, Background):
            raise SettingError(f"background is {described(background)}, expected what Separator.background gives")
        theirs, own = background.rings, self.rings
        if theirs is own:
            return
        what = "of another detector, or with another mask or normalization"
        if theirs.shape != own.shape:
            what = f"of a frame of {theirs.shape}, expected {own.shape} (slow, fast)"
        elif theirs.rings != own.rings:
            what = f"of {theirs.rings} rings, expected {own.rings}"
        elif all(
            np.array_equal(getattr(theirs, name), getattr(own, name), equal_nan=True)
            for name in ("radius", "position", "weight")
        ):
            return
        raise SettingError(f"background is {what}: take one that this Separator made, or one like it")

    @contextmanager
    def _workspace(self, frames: int) -> Iterator[Workspace]:
        """A workspace that no other thread uses meanwhile."""
        with self._room:
            self._room.wait_for(lambda: self._working < self._at_once)
            self._working += 1
        try:
            with self._lock:
                workspace = next((one for one in self._free if one.frames >= frames), None)
                if workspace is not None:
                    self._free.remove(workspace)
            workspace = workspace or Workspace(self._detector, frames)
            try:
                yield workspace
            except BaseException:  # what failed is not used again
                with suppress(DeviceError):
                    workspace.engine.finish()
                raise
            workspace.engine.finish()  # nothing may read the frame any more
            with self._lock:
                self._free.append(workspace)
        finally:
            with self._room:
                self._working -= 1
                self._room.notify()

    def _launched(self, frame: NDArray[Any], work: Callable[[_Launch], list[_T]]) -> list[_T]:
        """What `work` makes of the frame, or frames, in as many launches as they need, whose statistics are started.

        Where the memory of the device does not suffice, fewer frames are in
        flight from there on.
        """
        frames = frame.reshape(-1, *self.rings.shape)
        results: list[_T] = []
        while (first := len(results)) < len(frames):
            some, at_once = frames[first : first + self._most], self._at_once
            try:
                results += self._launch(some, first, work)
            except DeviceMemoryError as error:
                self._take_fewer(len(some), at_once, error)
        return results

    def _launch(self, frames: NDArray[Any], first: int, work: Callable[[_Launch], list[_T]]) -> list[_T]:
        """What `work` makes of frames that are worked on together. Nothing of them is left on the device."""
        with self._workspace(len(frames)) as workspace:
            buffer = workspace.upload(frames)
            start_statistics(workspace, buffer, frames, self._clip)
            return work(_Launch(workspace, buffer, frames, first))

    def _take_fewer(self, frames: int, at_once: int, error: DeviceMemoryError) -> None:
        """After a launch of so many frames for which there was no memory: half of them, then fewer launches at a time.

        Parameters
        ----------
        at_once : int
            Launches that were allowed before it began; 1 = it was alone.

        Raises
        ------
        DeviceMemoryError
            `error`, when one frame was all that there was.
        """
        with self._lock:
            self._free.clear()
            before = self._most, self._at_once
            if frames > 1:
                self._most = min(self._most, frames // 2)
            elif at_once > 1:
                self._at_once = min(self._at_once, at_once - 1)
            else:
                raise error
            left = f"{self._most} frames are worked on in a launch, and {self._at_once} launches at a time"
            changed = before != (self._most, self._at_once)
        if changed:
            warn(f"{error}. From here on {left}")

    def _each(
        self, frame: NDArray[Any], find: Callable[[_Launch], list[_T]], background: Background | None = None
    ) -> _T | list[_T]:
        """What `find` makes of each launch, once its table of rings is there; for a single frame, its one result."""
        if background is not None and frame.ndim == 3:
            raise SettingError("background is given for several frames, expected one frame")
        if background is not None:
            self._check_background(background)

        def work(launch: _Launch) -> list[_T]:
            start_table(launch.workspace, self._clip, background, len(launch.frames))
            return find(launch)

        results = self._launched(frame, work)
        return results if frame.ndim == 3 else results[0]

    @overload
    def background(self, frame: Frame) -> Background: ...
    @overload
    def background(self, frame: FrameStack) -> list[Background]: ...
    @overload
    def background(self, frame: NDArray[Any]) -> Background: ...
    def background(self, frame: NDArray[Any]) -> Background | list[Background]:
        """Background of a frame, ring by ring.

        Parameters
        ----------
        frame : uint8, uint16, uint32, int16, int32 or float32 [slow, fast]
            Raw counts. Or [n, slow, fast].

        Returns
        -------
        Background; of n frames, a list of them

        Raises
        ------
        ShapeError, DTypeError
            If the frame does not fit the geometry or no kernel was written for its dtype.
        """
        frame = self._check(frame)

        def find(launch: _Launch) -> list[Background]:
            return [read_background(launch.workspace, self._clip, i) for i in range(len(launch.frames))]

        results = self._launched(frame, find)
        return results if frame.ndim == 3 else results[0]

    @overload
    def sparsify(
        self,
        frame: Frame,
        snr: float = ...,
        noise: float = ...,
        *,
        number: int = ...,
        background: Background | None = ...,
    ) -> SparseFrame: ...
    @overload
    def sparsify(
        self,
        frame: FrameStack,
        snr: float = ...,
        noise: float = ...,
        *,
        number: int = ...,
        background: Background | None = ...,
    ) -> list[SparseFrame]: ...
    @overload
    def sparsify(
        self,
        frame: NDArray[Any],
        snr: float = ...,
        noise: float = ...,
        *,
        number: int = ...,
        background: Background | None = ...,
    ) -> SparseFrame: ...
    def sparsify(
        self,
        frame: NDArray[Any],
        snr: float = 3.0,
        noise: float = 0.0,
        *,
        number: int = 0,
        background: Background | None = None,
    ) -> SparseFrame | list[SparseFrame]:
        """Keep the pixels that are more than `snr` sigma above the background, and the background of all others.

        Parameters
        ----------
        frame : as `background`
        snr : float
            SNR_pick. Saturated pixels are always kept.
        noise : float
            Constant noise of a pixel, counts, added in quadrature (read-out noise).
        number : int
            Number of the frame in its sequence; of the first one, of several.
        background : Background, optional
            Of one frame: what it is judged by. None = its own.

        Returns
        -------
        SparseFrame; of n frames, a list of them
        """
        frame, snr, noise = self._check(frame), self._snr("snr", snr), _number("noise", noise, 0.0)

        def find(launch: _Launch) -> list[SparseFrame]:
            return self._sparse(launch, snr, noise, number, background)

        return self._each(frame, find, background)

    @overload
    def peaks(
        self,
        frame: Frame,
        snr: float = ...,
        snr_pick: float = ...,
        connected: int = ...,
        patch: int = ...,
        noise: float = ...,
        *,
        strict_mask: bool = ...,
        d_min: float | None = ...,
        d_max: float | None = ...,
        number: int = ...,
        background: Background | None = ...,
    ) -> PeakList: ...
    @overload
    def peaks(
        self,
        frame: FrameStack,
        snr: float = ...,
        snr_pick: float = ...,
        connected: int = ...,
        patch: int = ...,
        noise: float = ...,
        *,
        strict_mask: bool = ...,
        d_min: float | None = ...,
        d_max: float | None = ...,
        number: int = ...,
        background: Background | None = ...,
    ) -> list[PeakList]: ...
    @overload
    def peaks(
        self,
        frame: NDArray[Any],
        snr: float = ...,
        snr_pick: float = ...,
        connected: int = ...,
        patch: int = ...,
        noise: float = ...,
        *,
        strict_mask: bool = ...,
        d_min: float | None = ...,
        d_max: float | None = ...,
        number: int = ...,
        background: Background | None = ...,
    ) -> PeakList: ...
    def peaks(
        self,
        frame: NDArray[Any],
        snr: float = 5.0,
        snr_pick: float = 2.0,
        connected: int = 3,
        patch: int = 3,
        noise: float = 0.0,
        *,
        strict_mask: bool = False,
        d_min: float | None = None,
        d_max: float | None = None,
        number: int = 0,
        background: Background | None = None,
    ) -> PeakList | list[PeakList]:
        """Find the spots of a frame.

        Parameters
        ----------
        frame : as `background`
        snr : float
            SNR_peak: significance of a spot's strongest pixel.
        snr_pick : float
            SNR_pick: significance of the pixels that are counted as part of a spot.
        connected : int
            Least number of pixels above SNR_pick in the neighbourhood of the strongest, itself included.
        patch : {3, 5}
            Side of the neighbourhood, px.
        noise, number, background : as `sparsify`
        strict_mask : bool
            Drop peaks whose neighbourhood touches a masked or unusable pixel.
        d_min, d_max : float, optional
            Drop peaks beyond these spacings, angstrom.

        Returns
        -------
        PeakList
            Structured array of `crystint.PEAK_DTYPE`, sorted by pixel number. Of n frames, a list of them.
        """
        frame, use = self._check(frame), self._peak_settings(snr, snr_pick, connected, patch, noise)
        keep = self._keep(strict_mask, d_min, d_max)

        def find(launch: _Launch) -> list[PeakList]:
            return [keep(peaks) for peaks in self._peaks(launch, use, number)]

        return self._each(frame, find, background)

    @overload
    def separate(
        self,
        frame: Frame,
        snr: float = ...,
        snr_peak: float = ...,
        snr_pick: float = ...,
        connected: int = ...,
        patch: int = ...,
        noise: float = ...,
        *,
        strict_mask: bool = ...,
        d_min: float | None = ...,
        d_max: float | None = ...,
        number: int = ...,
    ) -> tuple[SparseFrame, PeakList]: ...
    @overload
    def separate(
        self,
        frame: FrameStack,
        snr: float = ...,
        snr_peak: float = ...,
        snr_pick: float = ...,
        connected: int = ...,
        patch: int = ...,
        noise: float = ...,
        *,
        strict_mask: bool = ...,
        d_min: float | None = ...,
        d_max: float | None = ...,
        number: int = ...,
    ) -> list[tuple[SparseFrame, PeakList]]: ...
    @overload
    def separate(
        self,
        frame: NDArray[Any],
        snr: float = ...,
        snr_peak: float = ...,
        snr_pick: float = ...,
        connected: int = ...,
        patch: int = ...,
        noise: float = ...,
        *,
        strict_mask: bool = ...,
        d_min: float | None = ...,
        d_max: float | None = ...,
        number: int = ...,
    ) -> tuple[SparseFrame, PeakList]: ...
    def separate(
        self,
        frame: NDArray[Any],
        snr: float = 3.0,
        snr_peak: float = 5.0,
        snr_pick: float = 2.0,
        connected: int = 3,
        patch: int = 3,
        noise: float = 0.0,
        *,
        strict_mask: bool = False,
        d_min: float | None = None,
        d_max: float | None = None,
        number: int = 0,
    ) -> tuple[SparseFrame, PeakList] | list[tuple[SparseFrame, PeakList]]:
        """`sparsify` and `peaks` of the same frame at once, which reads it once.

        Parameters
        ----------
        snr, noise, number : as `sparsify`
        snr_peak : float
            `snr` of `peaks`.
        snr_pick, connected, patch, strict_mask, d_min, d_max : as `peaks`

        Returns
        -------
        SparseFrame, PeakList; of n frames, a list of such pairs
        """
        frame, snr = self._check(frame), self._snr("snr", snr)
        use = self._peak_settings(snr_peak, snr_pick, connected, patch, noise)
        keep = self._keep(strict_mask, d_min, d_max)

        def find(launch: _Launch) -> list[tuple[SparseFrame, PeakList]]:
            sparse = self._sparse(launch, snr, use.noise, number, None)
            return [(one, keep(peaks)) for one, peaks in zip(sparse, self._peaks(launch, use, number))]

        return self._each(frame, find)

    @overload
    def examine(self, frame: Frame, *settings: Any, **more: Any) -> Examined: ...
    @overload
    def examine(self, frame: FrameStack, *settings: Any, **more: Any) -> list[Examined]: ...
    @overload
    def examine(self, frame: NDArray[Any], *settings: Any, **more: Any) -> Examined: ...
    def examine(
        self,
        frame: NDArray[Any],
        snr: float | None = 3.0,
        snr_peak: float | None = 5.0,
        snr_pick: float = 2.0,
        connected: int = 3,
        patch: int = 3,
        noise: float = 0.0,
        *,
        strict_mask: bool = False,
        d_min: float | None = None,
        d_max: float | None = None,
        number: int = 0,
        regions: RoiSums | None = None,
    ) -> Examined | list[Examined]:
        """`sparsify` and `peaks` of the same frame, and what `rows` makes its row in the table of frames of.

        Parameters
        ----------
        snr, snr_peak : float or None
            As `separate`; None = the pixels, or the peaks, are not asked for.
        snr_pick, connected, patch, noise, strict_mask, d_min, d_max, number
            As `separate`.
        regions : RoiSums, optional
            Made with the engine and the rings of this separator: what they hold is among the statistics.

        Returns
        -------
        Examined; of n frames, a list of them
        """
        frame = self._check(frame)
        snr = None if snr is None else self._snr("snr", snr)
        use = None if snr_peak is None else self._peak_settings(snr_peak, snr_pick, connected, patch, noise)
        keep = self._keep(strict_mask, d_min, d_max)

        def find(launch: _Launch) -> list[Examined]:
            workspace, n = launch.workspace, len(launch.frames)
            tables = [read_table(workspace, i) for i in range(n)]
            ice = [self._ice.scores(table[:, 0], variance) for table, variance in tables]
            totals = [read_totals(workspace, frame.dtype, i) for i in range(n)]
            sparse: Sequence[SparseFrame | None] = [None] * n
            peaks: Sequence[PeakList | None] = [None] * n
            if snr is not None:
                sparse = self._sparse(launch, snr, noise, number, None)
            if use is not None:
                peaks = [keep(some) for some in self._peaks(launch, use, number, np.stack(ice) > 1.0)]
            values: list[NDArray[np.void] | None] = [None] * n
            if regions is not None:  # last: the search for peaks has brought the frame into the cache, row by row
                partial = workspace.buffer("sums of regions", n * regions.size, np.int64)
                regions.start(workspace.engine, launch.buffer, frame.dtype, partial, n)
                sums = workspace.engine.receive(partial, n * regions.size).reshape(n, -1)
                for i, one in enumerate(launch.frames):
                    values[i] = regions.values(sums[i], one, *tables[i], peaks[i], noise)
            return [
                Examined(sparse[i], peaks[i], FrameStatistics(totals[i], tables[i][0], ice[i], values[i]))
                for i in range(n)
            ]

        return self._each(frame, find)

    def _sparse(
        self, launch: _Launch, snr: float, noise: float, number: int, background: Background | None
    ) -> list[SparseFrame]:
        """The sparse frames of a launch whose table of rings is there."""
        workspace, buffer, frames, first = launch
        n, dtype = len(frames), frames.dtype
        start_picking(workspace, buffer, dtype, snr, noise, self.saturation, n)
        results = []
        for i, (count, rings_lost) in enumerate(workspace.engine.receive(workspace.count, 2 * n).reshape(n, 2)):
            picked, values = picked_pixels(workspace, buffer, frames, i, int(count))
            gaps = unusable_pixels(workspace, buffer, dtype, i) if rings_lost else None
            results.append(
                SparseFrame(
                    index=picked,
                    value=values,
                    background=background or read_background(workspace, self._clip, i),
                    dtype=dtype,
                    snr=snr,
                    noise=noise,
                    unusable_index=None if gaps is None else gaps.index,
                    unusable_value=None if gaps is None else gaps.value,
                    frame=number + first + i,
                )
            )
        return results

    def _peaks(
        self, launch: _Launch, use: PeakSettings, number: int, ice: NDArray[np.bool_] | None = None
    ) -> list[PeakList]:
        """The peaks of the frames of a launch whose table of rings is there.

        `ice`, bool [n, ICE_D]: rings that stand out in each frame, where that is known already.
        """
        workspace, buffer, frames, first = launch
        n, rings = len(frames), self.rings.rings
        with self._lock:
            if self._panels is None:
                self._panels = panel_buffer(self._detector, self.geometry)
        also = () if ice is not None else ((workspace.table, 4 * rings * n), (workspace.sem, rings * n))
        records, more = spot_records(workspace, buffer, frames.dtype, self._panels, use, n, *also)
        if not any(len(some.head) for some in records):
            return [empty_peaks() for _ in records]
        if ice is None:
            tables = zip(more[0].reshape(n, rings, 4), more[1].reshape(n, rings))
            ice = np.stack(
                [
                    self._ice.standing_out(table[:, 0], variance_of_mean(table, sem)) if len(some.head) else NO_ICE
                    for some, (table, sem) in zip(records, tables)
                ]
            )
        return peaks_of_spots(
            frames,
            records,
            geometry=self.geometry,
            dark=self.rings.dark,
            saturation=self.saturation,
            snr=use.snr,
            ice=ice,
            number=number + first,
        )

    def _peak_settings(self, snr: float, snr_pick: float, connected: int, patch: int, noise: float) -> PeakSettings:
        noise = _number("noise", noise, 0.0)
        snr, snr_pick = self._snr("snr", snr), self._snr("snr_pick", snr_pick)
        if snr_pick > snr:
            raise SettingError(f"snr_pick is {snr_pick:g}, above snr = {snr:g}; expected at most snr")
        if patch not in (3, 5):
            raise SettingError(f"patch is {patch!r}, expected 3 or 5")
        connected = _whole("connected", connected, 1, patch * patch)
        return PeakSettings(snr, snr_pick, connected, patch // 2, noise, self.saturation)

    def _keep(self, strict_mask: bool, d_min: float | None, d_max: float | None) -> Callable[[PeakList], PeakList]:
        """What drops the peaks that are not wanted."""
        for name, limit in (("d_min", d_min), ("d_max", d_max)):
            if limit is not None:
                _number(name, limit, 0.0)
                if self.geometry.wavelength is None:
                    raise GeometryError(f"{name} needs the wavelength, which the geometry does not have")
        if d_min is not None and d_max is not None and d_min > d_max:
            raise SettingError(f"d_min is {d_min:g}, above d_max = {d_max:g}")

        def keep(peaks: PeakList) -> PeakList:
            good = np.ones(len(peaks), dtype=bool)
            if strict_mask:
                good &= (peaks["flags"] & PeakFlag.MASKED) == 0
            if d_min is not None:
                good &= peaks["d"] >= d_min
            if d_max is not None:
                good &= peaks["d"] <= d_max
            return peaks if good.all() else peaks[good]

        return keep

    @staticmethod
    def _snr(name: str, value: Any) -> float:
        return _number(name, value, 0.0, inclusive=False)
