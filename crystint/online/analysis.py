"""What is done with an image of a stream: immutable, so that images go on while another one is made beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.errors import FileError, GeometryError, SettingError, StreamError
from crystint.io.frames.masks import read_mask
from crystint.io.geometry.crystfel_text import read_geom_text
from crystint.model.frame_table import FRAME_DTYPE, FrameStatus, FrameTable
from crystint.model.geometry import Geometry
from crystint.model.mask import USER_MASK, combine_masks
from crystint.model.partial_geometry import PartialGeometry
from crystint.model.peaks import PeakList
from crystint.model.roi_members import RoiMembers
from crystint.model.rois import Rois
from crystint.model.sparse import SparseFrame
from crystint.model.valid_values import FileLimits, ValidValues, valid_values
from crystint.online.result import ResultTable, empty_results
from crystint.online.settings import AnalysisSettings
from crystint.ops.roi_sums import RoiSums
from crystint.run.frames import check_shape, image_of, masks_in
from crystint.run.geometry import geometry_over
from crystint.separation.frame_search import FrameSearch, listed_peaks
from crystint.stream.messages import Start

__all__ = ["Analyses", "Analysis", "Examined"]

_REMEMBERED = 4
"""detectors whose separators are held: a series of one of them starts at once"""
_FRAME_COLUMNS = list(FRAME_DTYPE.names or ())
_ROW = empty_results(1)


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """What was found in an image. Made by `Analysis.examine`."""

    row: ResultTable
    peaks: PeakList
    regions: NDArray[np.void] | None
    """structured array of `crystint.model.rois.ROI_DTYPE` [regions]; None = there are none"""
    sparse: SparseFrame | None = None
    """None = it was not asked for, or there is no geometry"""


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is done with the images of a series from one image on. Made by `Analyses`; threads may share one."""

    start: Start
    settings: AnalysisSettings
    search: FrameSearch
    geometry: Geometry | None
    """None = it is not known: totals are all that is found"""
    channel: str | None
    """of the image that is looked at; None = the first"""
    dtype: np.dtype[Any]
    detector_mask: NDArray[np.uint32]
    """uint32 [slow, fast], of the start and the files given"""
    user_mask: NDArray[np.uint32] | None = None
    """uint32 [slow, fast], put in while the service runs"""
    asked: Mapping[str, Any] | None = None
    """fields of `Geometry` that were asked for"""
    rois: Rois = field(default_factory=Rois)
    regions: RoiSums | None = None
    settings_version: int = 0
    roi_version: int = 0

    @property
    def mask(self) -> NDArray[np.uint32]:
        """uint32 [slow, fast] of all."""
        return self.search.mask

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast)"""
        return self.start.shape

    def examine(self, frame: NDArray[Any], number: int, snr_sparse: float | None = None) -> Examined:
        """Look at a frame.

        Parameters
        ----------
        frame : integer [slow, fast]
            In native byte order.
        number : int
            Of the image in its series.
        snr_sparse : float, optional
            Significance of the pixels of the sparse frame; None = there is to be none.

        Raises
        ------
        StreamError
            When it is not of the shape and dtype of the series.
        DeviceError
            When the device fails.
        """
        self.check(number, frame.shape, frame.dtype)
        return self.examine_several(frame[None], (number,), snr_sparse)[0]

    def check(self, number: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Refuse an image that is not of the shape and dtype of the series, with a StreamError."""
        if shape != self.shape or dtype != self.dtype:
            raise StreamError(f"image {number} is {shape} {dtype}, expected {self.shape} {self.dtype} (slow, fast)")

    def examine_several(
        self, frames: NDArray[Any], numbers: Sequence[int], snr_sparse: float | None = None
    ) -> list[Examined]:
        """As `examine`, of frames [n, slow, fast] that were checked, in as few launches of the device as may be."""
        use = self.settings
        snr, pixels = (None, None) if self.geometry is None else (use.snr, snr_sparse)
        results = []
        searched = self.search.examine_several(frames, numbers, pixels, snr, self.regions)
        for number, (sparse, peaks, frame_row, regions) in zip(numbers, searched):
            listed, _ = listed_peaks(peaks, frame_row, use.hits_only)
            if sparse is not None and frame_row["status"][0] == FrameStatus.VETOED:
                sparse, frame_row["picked"] = sparse.vetoed_form(), 0
            results.append(Examined(self._row(frame_row, number), listed, regions, sparse))
        return results

    def _row(self, frame_row: FrameTable, number: int) -> ResultTable:
        row = _ROW.copy()
        row[_FRAME_COLUMNS] = frame_row
        row["source_frame"] = number
        row["settings_version"], row["roi_version"] = self.settings_version, self.roi_version
        return row

    def described(self) -> dict[str, Any]:
        """JSON-able: for the provenance of what it found."""
        return {
            "version": self.settings_version,
            "settings": self.settings.plain(),
            "geometry": None if self.geometry is None else self.geometry.to_dict(),
            "saturation": self.search.saturation,
            "valid_values": None if self.search.valid is None else self.search.valid.to_dict(),
            "masked": int(np.count_nonzero(self.mask)),
            "user_masked": 0 if self.user_mask is None else int(np.count_nonzero(self.user_mask)),
            "channel": self.channel,
            "device": self.search.separator.engine.device.name,
        }


@dataclass
class Analyses:
    """Makes them, and remembers the detectors of the last ones. One thread at a time makes them.

    Examples
    --------
    >>> import numpy as np
    >>> import crystint
    >>> from crystint.online.analysis import Analyses
    >>> from crystint.online.settings import AnalysisSettings
    >>> from crystint.stream.messages import SeriesKey, Start
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> start = Start(SeriesKey(1), data.shape, "stream2", dtype=np.dtype("u2"), geometry=data.geometry)
    >>> analysis = Analyses(crystint.Engine()).make(start, AnalysisSettings(rings=30))
    >>> examined = analysis.examine(data[0], 0)
    >>> len(examined.peaks), examined.row["n_spots"].tolist()
    (8, [8])
    """

    engine: Engine
    lazily: bool = False
    """separators, which take most of the time, are made when something is first looked for"""
    _searches: list[FrameSearch] = field(default_factory=list)
    _files: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def make(
        self,
        start: Start,
        settings: AnalysisSettings,
        *,
        dtype: np.dtype[Any] | None = None,
        channel: str | None = None,
        asked: Mapping[str, Any] | None = None,
        user_mask: NDArray[np.uint32] | None = None,
        rois: Rois | None = None,
        settings_version: int = 0,
        roi_version: int = 0,
    ) -> Analysis:
        """What is done with the images of a series.

        Parameters
        ----------
        start : Start
        settings : AnalysisSettings
        dtype : dtype, optional
            Of the pixels, where the start does not tell it.
        channel : str, optional
        asked : mapping, optional
            Fields of `Geometry` that were asked for; they go before all else.
        user_mask : uint32 [slow, fast], optional
            Nonzero = masked.
        rois : Rois, optional
            What of them does not fit has no pixels.
        settings_version, roi_version : int
            Numbers that results name.

        Raises
        ------
        CrystintError
            When something does not fit; DeviceError when the device fails.
        """
        pixels = np.dtype(dtype if dtype is not None else start.dtype).newbyteorder("=")
        if channel is None and start.channels:
            channel = start.channels[0]
        elif channel is not None and start.channels and channel not in start.channels:
            raise SettingError(f"channel is {channel!r}, the series has {', '.join(start.channels)}")
        own = start.partial if start.geometry is None else PartialGeometry.of(start.geometry, "the start message")
        geometry = geometry_over(settings, PartialGeometry(dict(asked or {})), own, start.shape)
        if geometry is not None and geometry.wavelength is None and (settings.d_min or settings.d_max):
            raise GeometryError("d_min and d_max need the wavelength, which is not known: give --wavelength")
        detector_mask = self._mask(start, settings, channel)
        mask = detector_mask
        if user_mask is not None:
            check_shape("the user mask", user_mask.shape, start.shape)
            mask = detector_mask | np.where(user_mask != 0, np.uint32(USER_MASK), np.uint32(0))
        if mask.all():
            raise FileError("no usable pixel: the mask covers the whole frame")
        valid = _valid(start, pixels, settings)
        saturation = valid.limit(self._saturation(start, settings))
        use, place = settings, geometry
        if place is None:  # one ring of all pixels: their totals need no place
            place = Geometry(start.shape, (1e-4, 1e-4), 0.1, (start.shape[0] / 2, start.shape[1] / 2))
            plain = {"rings": 1, "cycles": 0, "solid_angle": False, "d_min": None, "d_max": None}
            use = settings.model_copy(update=plain)
        images = self._images(settings, start.shape)
        search = self._search(FrameSearch(use, place, mask, images, saturation, self.engine, valid))
        made = Analysis(start, settings, search, geometry, channel, pixels, detector_mask, user_mask, asked)
        made = replace(made, settings_version=settings_version)
        return self.with_rois(made, rois or Rois(), roi_version)

    def with_rois(self, analysis: Analysis, rois: Rois, version: int, *, strict: bool = False) -> Analysis:
        """The same with other regions.

        Parameters
        ----------
        strict : bool
            As `Rois.members` takes it.

        Raises
        ------
        SettingError
            As `Rois.members`.
        """
        sums = None
        if len(rois):
            sums = _sums(analysis, rois.members(analysis.geometry, analysis.shape, strict=strict))
        return replace(analysis, rois=rois, regions=sums, roi_version=version)

    def changed(self, analysis: Analysis, settings: AnalysisSettings, version: int) -> Analysis | None:
        """The same with other settings that its separator can do; None = it needs to be made anew."""
        search = None if analysis.geometry is None else analysis.search.like(settings)
        same = ("mask", "mask_valid", "min_valid", "geometry", "distance", "beam", "wavelength", "pixel_size")
        if search is None or any(getattr(analysis.settings, name) != getattr(settings, name) for name in same):
            return None
        if analysis.settings.polarization != settings.polarization:
            return None
        return replace(analysis, settings=settings, search=search, settings_version=version)

    def renew(self, analysis: Analysis, engine: Engine) -> Analysis:
        """The same on another device, or on the same one begun anew."""
        self.engine = engine
        self._searches.clear()
        search = replace(analysis.search, engine=engine)
        search.separator  # noqa: B018  (now, not in the first frame)
        self._searches.append(search)
        renewed = replace(analysis, search=search)
        return self.with_rois(renewed, renewed.rois, renewed.roi_version)

    def _search(self, search: FrameSearch) -> FrameSearch:
        """One like it whose separator is there already, or this one with its separator made."""
        for other in self._searches:
            twin = _alike(other, search) and other.like(search.settings)
            if twin:
                self._searches.remove(other)
                self._searches.append(other)
                return twin
        if not self.lazily:
            search.separator  # noqa: B018  (now, not in the first frame)
        self._searches = [*self._searches[1 - _REMEMBERED :], search]
        return search

    def _mask(self, start: Start, settings: AnalysisSettings, channel: str | None) -> NDArray[np.uint32]:
        """As `crystint.run.frames.mask_of` makes it."""
        own = start.masks.get(channel) if channel is not None else next(iter(start.masks.values()), None)
        file = settings.geometry if settings.geometry is not None and settings.geometry.suffix == ".geom" else None
        bad_regions = (
            None if file is None else self._read("bad regions", lambda: read_mask(file, shape=start.shape), file)
        )
        masks = self._read(
            "masks", lambda: masks_in(settings, start.shape), *settings.mask, settings.mask_valid, start.shape
        )
        return combine_masks(own, bad_regions, *masks, shape=start.shape)

    def _saturation(self, start: Start, settings: AnalysisSettings) -> float | None:
        if settings.saturation == "none":
            return None
        if settings.saturation != "file":
            return float(settings.saturation)
        if settings.geometry is not None and settings.geometry.suffix.lower() == ".geom":
            limit = read_geom_text(settings.geometry).saturation
            if limit is not None:
                return limit
        return start.instrument.saturation

    def _images(self, settings: AnalysisSettings, shape: tuple[int, int]) -> dict[str, NDArray[np.float32] | None]:
        """dark, flat, normalization."""

        def image(path: Path | None, what: str) -> NDArray[np.float32] | None:
            if path is None:
                return None
            pixels: NDArray[np.float32] = self._read(what, lambda: image_of(path, what, shape), path, shape)
            return pixels

        factors = [image(path, "normalization") for path in settings.normalization]
        return {
            "dark": image(settings.dark, "dark"),
            "flat": image(settings.flat, "flat"),
            "normalization": np.prod(np.stack(factors), axis=0) if factors else None,  # type: ignore[arg-type]
        }

    def _read(self, what: str, read: Any, *names: Any) -> Any:
        """What was read of files once, unless they changed since."""
        times = tuple(name.stat().st_mtime_ns if isinstance(name, Path) and name.exists() else 0 for name in names)
        key = (what, *names, times)
        if key not in self._files:
            while len(self._files) >= 16:
                del self._files[next(iter(self._files))]
            self._files[key] = read()
        return self._files[key]


def _sums(analysis: Analysis, members: RoiMembers) -> RoiSums:
    """Without a geometry nothing is known of the background."""
    search = analysis.search
    if analysis.geometry is not None:
        return search.region_sums(members)
    return RoiSums(members, search.separator.engine, mask=search.mask, valid=search.valid, saturation=search.saturation)


def _valid(start: Start, dtype: np.dtype[Any], settings: AnalysisSettings) -> ValidValues:
    """Which values of its pixels are measurements."""
    if start.valid is not None and start.dtype == dtype and settings.lowest is None:
        return start.valid
    limits = FileLimits(error=getattr(start, "error_value", None))
    return valid_values(dtype, limits, masked=bool(start.masks), lowest=settings.lowest, negative=True)


def _alike(one: FrameSearch, other: FrameSearch) -> bool:
    """Whether a separator of one does for the other, settings aside."""
    if one.saturation != other.saturation or one.valid != other.valid or one.engine is not other.engine:
        return False
    if one.geometry is not other.geometry and one.geometry.to_dict() != other.geometry.to_dict():
        return False
    pairs = [(one.mask, other.mask), *((one.images[name], other.images[name]) for name in one.images)]
    return all(a is b or (a is not None and b is not None and np.array_equal(a, b)) for a, b in pairs)
