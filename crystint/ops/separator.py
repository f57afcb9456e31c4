"""Separate the signal of a frame from its background."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine, default_engine
from crystint.errors import DeviceError, GeometryError, SettingError, check
from crystint.model.geometry import Geometry
from crystint.model.peaks import PeakFlag, PeakList
from crystint.model.rings import ERROR_MODELS, Background, RingMap
from crystint.model.sparse import SparseFrame
from crystint.ops.background import RingStatistics
from crystint.ops.layout import ring_map
from crystint.ops.peaks import measure_peaks
from crystint.ops.pixels import PIXEL_TYPES
from crystint.ops.significant import BLOCK, SignificantPixels

__all__ = ["Separator"]

_VALLEY = 0.8
"""Two maxima are two spots when the counts between them fall by this many standard deviations ..."""
_SHARE = 0.25
"""... and by this share of the lower maximum above its background (docs/peaks.md)."""


def _number(name: str, value: Any, low: float, *, inclusive: bool = True) -> float:
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
    out. Threads may share one, and wait for one another then; one each is faster.

    Parameters
    ----------
    geometry : Geometry
    mask : integer or bool [slow, fast], optional
        Nonzero = masked. Pixels that a frame itself marks as unusable need no mask: negative values in signed integer
        frames, the all-ones value in unsigned ones, NaN and infinities in float frames.
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

    Raises
    ------
    GeometryError, SettingError, ShapeError, DTypeError
        For what is missing, impossible or does not fit together.
    DeviceError
        If there is no device, or too little memory on it.
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
        cycles = _whole("cycles", cycles, 0, 1000)
        self.geometry, self.error_model, self.saturation = geometry, error_model, saturation
        self.rings: RingMap = ring_map(
            geometry, mask, rings, dark=dark, flat=flat, normalization=normalization, solid_angle=solid_angle
        )
        if isinstance(engine, str):
            engine = Engine(engine)
        self.engine = engine if engine is not None else default_engine()
        self._fits()
        self._statistics = RingStatistics(
            self.engine, self.rings, error_model=error_model, snr_clip=snr_clip, cycles=cycles, saturation=saturation
        )
        blocks = -(-self.rings.position.size // BLOCK)
        self._scratch = self.engine.empty(max(self._statistics.padded, blocks * BLOCK), np.uint32)
        self._lock = threading.Lock()  # the buffers on the device hold one frame at a time
        self._significant = SignificantPixels(self.engine, self.rings, self._scratch, saturation=saturation)

    def _fits(self) -> None:
        """Refuse a detector that the device cannot hold, before anything is allocated."""
        needed = 40 * self.rings.position.size
        if needed > self.engine.device.memory:
            raise DeviceError(
                f"frames of {self.rings.position.size / 1e6:.1f} Mpx need {needed / 2**20:.0f} MiB on the device; "
                f"{self.engine.device.name} has {self.engine.device.memory / 2**20:.0f} MiB"
            )

    def _check(self, frame: NDArray[Any]) -> NDArray[Any]:
        """The frame, in native byte order and contiguous."""
        if isinstance(frame, np.ma.MaskedArray):
            raise SettingError("frame is a masked array; give its mask to the Separator, or fill it")
        frame = np.asarray(frame)
        if not frame.dtype.isnative:
            frame = frame.astype(frame.dtype.newbyteorder("="))
        check("frame", frame, self.rings.shape, PIXEL_TYPES)
        return np.ascontiguousarray(frame)

    def background(self, frame: NDArray[Any]) -> Background:
        """Background of a frame, ring by ring.

        Parameters
        ----------
        frame : uint8, uint16, uint32, int16, int32 or float32 [slow, fast]
            Raw counts.

        Raises
        ------
        ShapeError, DTypeError
            If the frame does not fit the geometry or no kernel was written for its dtype.
        """
        frame = self._check(frame)
        with self._lock:
            return self._statistics.run(self.engine.lend(frame), frame.dtype, self._scratch)

    def sparsify(
        self,
        frame: NDArray[Any],
        snr: float = 3.0,
        noise: float = 0.0,
        *,
        number: int = 0,
        background: Background | None = None,
    ) -> SparseFrame:
        """Keep the pixels that are more than `snr` sigma above the background, and the background of all others.

        Parameters
        ----------
        frame : as `background`
        snr : float
            SNR_pick. Saturated pixels are always kept.
        noise : float
            Constant noise of a pixel, counts, added in quadrature (read-out noise).
        number : int
            Number of the frame in its sequence.
        background : Background, optional
            What `background` gave for this very frame; None = computed.
        """
        frame, snr, noise = self._check(frame), self._snr("snr", snr), _number("noise", noise, 0.0)
        if background is None:
            background = self.background(frame)
        with self._lock:
            picked, lost = self._significant.pick(self.engine.lend(frame), frame.dtype, background, snr, noise)
        flat = frame.ravel()
        return SparseFrame(
            index=picked,
            value=flat[picked],
            background=background,
            dtype=frame.dtype,
            snr=snr,
            noise=noise,
            unusable_index=lost if len(lost) else None,
            unusable_value=flat[lost] if len(lost) else None,
            frame=number,
        )

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
    ) -> PeakList:
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
            Structured array of `crystint.PEAK_DTYPE`, sorted by pixel number.
        """
        frame, noise = self._check(frame), _number("noise", noise, 0.0)
        snr, snr_pick = self._snr("snr", snr), self._snr("snr_pick", snr_pick)
        if snr_pick > snr:
            raise SettingError(f"snr_pick is {snr_pick:g}, above snr = {snr:g}; expected at most snr")
        if patch not in (3, 5):
            raise SettingError(f"patch is {patch!r}, expected 3 or 5")
        connected = _whole("connected", connected, 1, patch * patch)
        for name, limit in (("d_min", d_min), ("d_max", d_max)):
            if limit is not None:
                _number(name, limit, 0.0)
                if self.geometry.wavelength is None:
                    raise GeometryError(f"{name} needs the wavelength, which the geometry does not have")
        if d_min is not None and d_max is not None and d_min > d_max:
            raise SettingError(f"d_min is {d_min:g}, above d_max = {d_max:g}")
        if background is None:
            background = self.background(frame)
        reach = patch // 2
        with self._lock:
            maxima, parent = self._significant.maxima(
                self.engine.lend(frame),
                frame.dtype,
                background,
                snr=snr,
                snr_pick=snr_pick,
                noise=noise,
                connected=connected,
                reach=reach,
                valley=_VALLEY,
                share=_SHARE,
            )
        peaks = measure_peaks(
            frame,
            background,
            maxima,
            parent,
            geometry=self.geometry,
            snr_pick=snr_pick,
            noise=noise,
            reach=reach,
            saturation=self.saturation,
            number=number,
        )
        keep = np.ones(len(peaks), dtype=bool)
        if strict_mask:
            keep &= (peaks["flags"] & PeakFlag.MASKED) == 0
        if d_min is not None:
            keep &= peaks["d"] >= d_min
        if d_max is not None:
            keep &= peaks["d"] <= d_max
        return peaks[keep]

    @staticmethod
    def _snr(name: str, value: Any) -> float:
        return _number(name, value, 0.0, inclusive=False)
