"""What is told of an image beside its pixels: its results, its spots and why they are spots, one pixel, the rings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystint.errors import RefusedError
from crystint.model.geometry import Geometry
from crystint.model.peaks import PEAK_DTYPE, PeakFlag, PeakList, empty_peaks
from crystint.model.rings import interpolate
from crystint.model.roi_members import phi_at
from crystint.model.rois import ROI_COLUMNS
from crystint.online.analysis import Analysis
from crystint.online.frame_source import HeldFrame
from crystint.online.image_views import ImageViews, ViewWish
from crystint.online.layers import DETECTOR_MASKED, NO_MEASUREMENT, USER_MASKED
from crystint.online.result import RESULT_DTYPE, Result
from crystint.online.views import parse_range
from crystint.ops.threshold import ring_table, significance, thresholds

__all__ = [
    "MASK_BITS",
    "about_image",
    "histogram",
    "pixel",
    "regions_now",
    "ring_profile",
    "row_and_spots",
    "spot_columns",
    "spot_explained",
    "spots_of",
]

MASK_BITS = {
    DETECTOR_MASKED: "masked: of the detector",
    USER_MASKED: "masked: by the user",
    NO_MEASUREMENT: "no measurement in this image",
}
_SPOT_COLUMNS = ("slow", "fast", "intensity", "sigma", "npix", "maximum", "d", "flags", "significance")
_FLAGS = {
    PeakFlag.SATURATED: "a pixel of the spot is at or above the saturation value",
    PeakFlag.MASKED: "the neighbourhood touches a pixel that is masked or unusable in this image",
    PeakFlag.EDGE: "the neighbourhood touches the border of the frame or of a detector panel",
    PeakFlag.ICE: "the spot lies on a powder ring of hexagonal ice that stands out of the background",
    PeakFlag.PERSISTENT: "the spot comes back at one place of the detector",
    PeakFlag.CUT: "the spot may go on beyond the scan",
}
_MARGIN = 3
"""px that are shown about a spot"""
_WIDEST = 64
"""px of what is shown of a spot"""


def spot_columns(peaks: PeakList) -> dict[str, NDArray[Any]]:
    """Columns of a list of peaks, by name."""
    assert peaks.dtype == PEAK_DTYPE
    return {name: np.ascontiguousarray(peaks[name]) for name in _SPOT_COLUMNS}


def row_of(result: Result) -> dict[str, Any]:
    """Every column of the results of an image."""
    return {name: result.row[name][0] for name in RESULT_DTYPE.names or ()}


def about_image(views: ImageViews, frame: HeldFrame) -> dict[str, Any]:
    """What is known of an image."""
    analysis, result = views.images.analysis(frame), views.images.result(frame)
    geometry = None if analysis is None else analysis.geometry
    laboratory = views.laboratory(analysis)
    return {
        "series": frame.series,
        "image": frame.number,
        "shape": list(frame.pixels.shape),
        "dtype": frame.pixels.dtype.newbyteorder("<").str,
        "saturation": None if analysis is None else analysis.search.saturation,
        "geometry": None if geometry is None else geometry.to_dict(),
        "laboratory": None if laboratory is None else laboratory.to_dict(),
        "panels": None if laboratory is None else laboratory.panels(),
        "row": None if result is None else row_of(result),
        "rois": _region_rows(result),
        "settings_version": None if result is None else int(result.row["settings_version"][0]),
        "roi_version": None if result is None else int(result.row["roi_version"][0]),
        "hit": None if result is None or result.row["hit"][0] < 0 else result.hit,
    }


def regions_now(views: ImageViews, frame: HeldFrame) -> dict[str, Any]:
    """What an image holds in the regions as they are now: it is looked at again.

    Raises
    ------
    RefusedError
        wrong_state, where nothing is known of the detector.
    """
    result = views.images.seen_now(frame)
    if result is None:
        raise RefusedError("wrong_state", "nothing is known of the detector that the image is of")
    return {
        "series": frame.series,
        "image": frame.number,
        "roi_version": int(result.row["roi_version"][0]),
        "rois": _region_rows(result),
    }


def _region_rows(result: Result | None) -> dict[str, dict[str, Any]]:
    """Every column of each region, by name."""
    if result is None or not result.roi_names:
        return {}
    return {
        name: {column.name: values[column.name] for column in ROI_COLUMNS}
        for name, values in zip(result.roi_names, result.rois, strict=True)
    }


def peaks_of(views: ImageViews, frame: HeldFrame) -> tuple[PeakList, Literal["series", "again"]]:
    """Spots of an image as the series has them; where they are not remembered, as they are found now.

    Raises
    ------
    RefusedError
        wrong_state, where they are not remembered, and the geometry is not known.
    """
    peaks = views.images.peaks(frame)
    if peaks is not None:
        return peaks, "series"
    views.images.searched(frame)
    seen = views.images.seen_now(frame)
    return empty_peaks() if seen is None else seen.peaks, "again"


def spots_of(views: ImageViews, frame: HeldFrame) -> dict[str, Any]:
    """Columns of the spots of an image."""
    peaks, origin = peaks_of(views, frame)
    return {"series": frame.series, "image": frame.number, "source": origin, "spots": spot_columns(peaks)}


def spot_explained(views: ImageViews, frame: HeldFrame, number: int) -> dict[str, Any]:
    """Why there is a spot: pixels about it, and what was expected there.

    Raises
    ------
    RefusedError
        not_found, without such a spot.
    """
    peaks, origin = peaks_of(views, frame)
    if not 0 <= number < len(peaks):
        raise RefusedError("not_found", f"spot {number}: image {frame.number} has {len(peaks)} spots, from 0", "n")
    peak, analysis = peaks[number], views.images.searched(frame)
    settings = analysis.settings
    (slow0, slow1), (fast0, fast1) = (_about(peak, axis, n) for axis, n in zip(("slow", "fast"), frame.pixels.shape))
    box = _Box(views, frame, analysis, (slow0, slow1, fast0, fast1))
    counts = np.where(box.mask == 0, frame.pixels[slow0:slow1, fast0:fast1].astype(np.float64), -np.inf)
    inner = (slice(peak["slow0"] - slow0, peak["slow1"] - slow0), slice(peak["fast0"] - fast0, peak["fast1"] - fast0))
    within = np.full(counts.shape, -np.inf)
    within[inner] = np.where(counts[inner] == peak["maximum"], box.significance[inner], -np.inf)
    at = np.unravel_index(int(np.argmax(np.nan_to_num(within, nan=-np.inf))), counts.shape)
    threshold, pick = (float(box.thresholds(snr)[at]) for snr in (settings.snr, settings.snr_pick))
    flags = [flag for flag in _FLAGS if peak["flags"] & flag]
    return {
        "series": frame.series,
        "image": frame.number,
        "spot": number,
        "source": origin,
        "slow0": slow0,
        "fast0": fast0,
        "counts": frame.pixels[slow0:slow1, fast0:fast1].tolist(),
        "background": box.expected.tolist(),
        "sigma": box.sigma.tolist(),
        "significance": box.significance.tolist(),
        "mask": box.mask.tolist(),
        "strongest": [slow0 + int(at[0]), fast0 + int(at[1])],
        "snr": settings.snr,
        "threshold": threshold,
        "snr_pick": settings.snr_pick,
        "threshold_pick": pick,
        "noise": settings.noise,
        "settings_version": analysis.settings_version,
        "row": {name: peak[name] for name in PEAK_DTYPE.names or ()},
        "flags": [{"name": str(flag.name).lower(), "meaning": _FLAGS[flag]} for flag in flags],
        "text": _words(peak, box, at, threshold, settings.snr, settings.snr_pick, flags),
    }


def _about(peak: Any, axis: str, length: int) -> tuple[int, int]:
    """Pixels that are shown along an axis: the box of a spot and some more, or those about its centre."""
    low, high = int(peak[f"{axis}0"]), int(peak[f"{axis}1"])
    if not 0 < high - low <= _WIDEST:
        low = int(peak[axis])
        high = low + 1
    return max(low - _MARGIN, 0), min(high + _MARGIN, length)


class _Box:
    """What the rings tell of the pixels of a box, as the separator judges them."""

    def __init__(self, views: ImageViews, frame: HeldFrame, analysis: Analysis, box: tuple[int, int, int, int]) -> None:
        at = (slice(box[0], box[1]), slice(box[2], box[3]))
        self.background = views.layers.background(frame)
        self.noise = analysis.settings.noise
        self.mask = views.layers.mask(frame)[at]
        rings = self.background.rings
        self._position, self._weight = rings.position[at], rings.weight[at]
        self._dark = 0.0 if rings.dark is None else rings.dark[at].astype(np.float64)
        width = frame.pixels.shape[1]
        numbers = np.arange(box[0], box[1])[:, None] * width + np.arange(box[2], box[3])
        self.expected = self.background.image_at(numbers)
        pixels = frame.pixels[at].astype(np.float64)
        phi, spread = (self.ring_values(column) for column in (1, 2))
        other = np.square(spread * self._weight) + self.noise**2
        own = self.expected - self._dark
        sigma = significance((pixels - self._dark).ravel(), own.ravel(), phi.ravel(), other.ravel())
        self.significance = np.where(self.mask == 0, sigma.reshape(pixels.shape), np.nan)
        self.sigma = np.sqrt(np.maximum(own, 0.0) * phi + other)

    def ring_values(self, column: int) -> NDArray[np.float64]:
        """A column of `ring_table` at the pixels."""
        return interpolate(ring_table(self.background).astype(np.float64)[:, column], self._position)

    def thresholds(self, snr: float) -> NDArray[np.float64]:
        """Counts above which a pixel is more than `snr` sigma above the background."""
        shape = self._position.shape
        position, weight = self._position.ravel(), self._weight.ravel()
        return thresholds(self.background, position, weight, snr, self.noise).reshape(shape) + self._dark


def _words(peak: Any, box: _Box, at: Any, threshold: float, snr: float, snr_pick: float, flags: list[PeakFlag]) -> str:
    text = (
        f"The strongest pixel has {peak['maximum']:.6g} counts where {box.expected[at]:.4g} are expected: "
        f"{peak['significance']:.3g} sigma. A spot needs {snr:g} sigma there, more than {threshold:.4g} counts, and "
        f" {int(peak['npix'])} pixels of it are above {snr_pick:g} sigma."
    )
    return " ".join([text, *(f"{str(flag.name).capitalize()}: {_FLAGS[flag]}." for flag in flags)])


def pixel(views: ImageViews, frame: HeldFrame, slow: float, fast: float) -> dict[str, Any]:
    """What is known of the pixel that a position, px, lies in.

    Raises
    ------
    RefusedError
        bad_value, outside the image.
    """
    row, column = int(np.floor(slow)), int(np.floor(fast))
    shape = frame.pixels.shape
    if not (0 <= row < shape[0] and 0 <= column < shape[1]):
        raise RefusedError("bad_value", f"({slow:g}, {fast:g}) lies outside the image of {shape} (slow, fast)", "slow")
    analysis = views.images.analysis(frame)
    geometry = None if analysis is None else analysis.geometry
    bits = int(views.layers.mask(frame)[row, column])
    values: dict[str, Any] = {"background": None, "sigma": None, "significance": None}
    if analysis is not None and geometry is not None:
        box = _Box(views, frame, analysis, (row, row + 1, column, column + 1))
        values = {
            "background": box.expected[0, 0],
            "sigma": box.sigma[0, 0],
            "significance": box.significance[0, 0],
        }
    return {
        "series": frame.series,
        "image": frame.number,
        "slow": row,
        "fast": column,
        "counts": None if bits else frame.pixels[row, column].item(),
        "stored": frame.pixels[row, column].item(),
        **values,
        **_place(geometry, row + 0.5, column + 0.5),
        "mask": [text for bit, text in MASK_BITS.items() if bits & bit],
    }


def _place(geometry: Geometry | None, slow: float, fast: float) -> dict[str, Any]:
    """Where the centre of a pixel is."""
    if geometry is None:
        return dict.fromkeys(("d", "q", "two_theta_deg", "phi_deg", "panel"))
    panels = geometry.panels or ()
    number = next((i for i, one in enumerate(panels) if one.holds(np.array(slow), np.array(fast))), None)
    return {
        "d": float(geometry.d_at(slow, fast)),
        "q": float(geometry.q_at(slow, fast)),
        "two_theta_deg": float(np.degrees(geometry.two_theta_at(slow, fast))),
        "phi_deg": float(phi_at(geometry, slow, fast)),
        "panel": number,
    }


def ring_profile(views: ImageViews, frame: HeldFrame) -> dict[str, Any]:
    """The background of an image over the rings of the separator."""
    background = views.layers.background(frame)
    rings = background.rings
    two_theta = np.degrees(views.images.searched(frame).search.geometry.ring_two_theta(rings.radius))
    with np.errstate(divide="ignore"):
        d = 2.0 * np.pi / background.q
    return {
        "series": frame.series,
        "image": frame.number,
        "title": "background of the rings",
        "unit": "count",
        "q": background.q,
        "d": d,
        "two_theta_deg": two_theta,
        "background": background.mean,
        "spread": background.std,
        "error": background.sem,
        "pixels": background.count,
    }


def histogram(views: ImageViews, frame: HeldFrame, wish: ViewWish, bins: int) -> dict[str, Any]:
    """How many usable pixels of a region have which value of a layer: bins that are equally wide in arcsinh(value)."""
    if wish.layer == "mask":
        raise RefusedError("bad_value", "layer is mask, which has bits and no values; take another layer", "layer")
    shown, _ = views.shown(frame, wish)
    shape = shown.values.shape
    rows, columns = slice(*parse_range(wish.slow, shape[0], "slow")), slice(*parse_range(wish.fast, shape[1], "fast"))
    part = shown.values[rows, columns]
    bad = shown.usable.unusable(part, (rows, columns))
    values = part[~bad]
    edges = _edges(values, bins)
    counts = np.histogram(values, edges)[0] if len(edges) > 1 else np.zeros(0, np.int64)
    return {
        "series": frame.series,
        "image": frame.number,
        "layer": wish.layer,
        "region": [rows.start, rows.stop, columns.start, columns.stop],
        "edges": edges,
        "counts": counts,
        "unusable": int(np.count_nonzero(bad)),
    }


def _edges(values: NDArray[Any], bins: int) -> NDArray[np.float64]:
    """Half-open bins that hold all values; of whole numbers at least one wide."""
    if not values.size:
        return np.zeros(0)
    whole = values.dtype.kind in "iu"
    low, high = float(values.min()), float(values.max())
    high = high + 1.0 if whole else high if high > low else low + 1.0
    edges = np.sinh(np.linspace(np.arcsinh(low), np.arcsinh(high), bins + 1))
    edges[0], edges[-1] = low, high
    return np.unique(np.round(edges)) if whole else edges


def row_and_spots(views: ImageViews, frame: HeldFrame) -> Mapping[str, Any]:
    """For live views: columns of the spots as the series has them, and the row; null where they have not come yet.

    Fractions of spots have seven digits, which is what float32 holds: in JSON the others make them twice as long.
    """
    result, peaks = views.images.result(frame), views.images.peaks(frame)
    return {
        "row": None if result is None else row_of(result),
        "spots": None if peaks is None else {name: _rounded(each) for name, each in spot_columns(peaks).items()},
    }


def _rounded(values: NDArray[Any]) -> NDArray[Any]:
    """Fractions with seven digits, in float64; whole numbers as they are."""
    if values.dtype.kind != "f":
        return values
    wide = values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.clip(np.floor(np.log10(np.abs(wide))), -30, 30)
    power[~np.isfinite(power)] = 0.0
    # by a power of ten that is a whole number, so that the digits end where they should
    digits = 6 - power
    up, down = 10.0 ** np.maximum(digits, 0.0), 10.0 ** np.maximum(-digits, 0.0)
    return np.asarray(np.round(wide * up / down) / up * down)
