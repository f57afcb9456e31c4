"""A frame as a picture: counts, rings, masked pixels, peaks, close-ups and the background profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import ShapeError, described
from crystint.model.geometry import Geometry
from crystint.model.mask import combine_masks, unusable
from crystint.model.peaks import PeakFlag, PeakList, empty_peaks
from crystint.model.rings import Background
from crystint.model.valid_values import ValidValues
from crystint.plot.assembled import assembled
from crystint.plot.levels import label_place, ring_levels
from crystint.plot.panels import draw_closeup, draw_histogram, draw_profile
from crystint.plot.style import ACCENT, BLUE, GREY, RING, RING_TEXT, TITLE, figure_of, frame_colours, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

__all__ = ["draw_rings", "plot_frame"]

_LARGEST = 1150
"""Pixels of the picture along its longer side; larger frames are shown by the maximum of blocks."""

_CLASSES = (
    ("persistent", PeakFlag.PERSISTENT, "#6c757d"),
    ("saturated", PeakFlag.SATURATED, "#8e44ad"),
    ("ice ring", PeakFlag.ICE, "#0a9396"),
    ("touches masked pixel or edge", PeakFlag.MASKED | PeakFlag.EDGE, BLUE),
)


def plot_frame(
    frame: NDArray[Any],
    *,
    background: Background | None = None,
    peaks: PeakList | None = None,
    geometry: Geometry | None = None,
    mask: NDArray[Any] | None = None,
    title: str | None = None,
    valid: ValidValues | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a frame; the more is given, the more is shown.

    Parameters
    ----------
    frame : [slow, fast]
        Counts; slow runs down, fast to the right, and the outer corner of the first pixel is at (0, 0).
    background : Background or None
        Adds the radial profile of the background. Without it the counts are shown as a histogram.
    peaks : PeakList or None
        Circles coloured by their flags, and close-ups of the best.
    geometry : Geometry or None
        Adds the beam and rings of equal resolution (of equal 2 theta without a wavelength). A detector of several
        panels is drawn as the sample sees it, on a plane across the beam; peaks with it.
    mask : [slow, fast] or None
        Nonzero = masked, shown in pale blue, as are pixels that the frame marks as unusable.
    title : str or None
    valid : ValidValues or None
        Which values are measurements; None = the default of the dtype.
    ax : matplotlib.axes.Axes, optional
        Draw the frame with its rings and peaks there, and nothing else.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        When frame is not an image, or mask or geometry are of another shape.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> from crystint.plot import plot_frame, save_figure
    >>> figure = plot_frame(data[0], background=separator.background(data[0]), geometry=data.geometry)
    >>> save_figure(figure, "frame.png")
    """
    frame = np.asarray(frame)
    if frame.ndim != 2 or 0 in frame.shape:
        raise ShapeError(
            f"frame is {frame.shape if frame.ndim else described(frame.item())}, expected an image (slow, fast)"
        )
    if geometry is not None and geometry.shape != frame.shape:
        raise ShapeError(f"geometry is {geometry.shape}, expected {frame.shape} (slow, fast)")
    bad = unusable(frame, valid) | (combine_masks(mask, shape=frame.shape) != 0)
    if ax is not None:
        _draw_detector(ax, frame, bad, geometry, peaks)
        return figure_of(ax, title)
    with style():
        figure = new_figure(13.2, 8.2)
        side = figure.add_gridspec(
            1, 2, width_ratios=(1.62, 1), left=0.05, right=0.985, top=0.9, bottom=0.07, wspace=0.27
        )
        main = figure.add_subplot(side[0])
        levels = _draw_detector(main, frame, bad, geometry, peaks)
        best = _best(peaks, frame.shape)
        rows = side[1].subgridspec(2, 1, height_ratios=(1.15, 1), hspace=0.27)
        if len(best):
            cells = rows[0].subgridspec(2, 3, hspace=0.28, wspace=0.1)
            for cell, peak in zip([cells[i, j] for i in range(2) for j in range(3)], best):
                draw_closeup(figure.add_subplot(cell), frame, bad, peak)
            figure.text(side[1].get_position(figure).x0, 0.933, "Strongest peaks without flags", fontsize=9.5)
        elif background is not None:
            draw_histogram(figure.add_subplot(rows[0]), frame[~bad])
        if background is not None:
            draw_profile(figure.add_subplot(rows[1]), background, levels)
        else:
            draw_histogram(figure.add_subplot(rows[1] if len(best) else side[1]), frame[~bad])
        _draw_title(figure, frame, bad, peaks, title)
    return figure


def _draw_title(
    figure: Figure, frame: NDArray[Any], bad: NDArray[np.bool_], peaks: PeakList | None, title: str | None
) -> None:
    parts = [f"{frame.shape[0]} × {frame.shape[1]} px", str(frame.dtype)]
    if not bad.all():
        highest = frame[~bad].max()
        text = f"{highest:,}" if frame.dtype.kind != "f" else f"{highest:,.6g}"
        parts.append(f"highest {text} counts".replace(",", "\u2009"))
    parts.append(f"{100 * bad.mean():.3g} % masked")
    if peaks is not None:
        parts.append(f"{len(peaks)} peak{'' if len(peaks) == 1 else 's'}")
    figure.text(0.05, 0.962, title or "Frame", **TITLE)
    figure.text(0.05, 0.933, "   ·   ".join(parts), fontsize=9, color=GREY)


def _blocks(frame: NDArray[Any], bad: NDArray[np.bool_]) -> tuple[NDArray[np.float64], int]:
    """The frame as floats, NaN where bad, reduced by the maximum of square blocks; and their size."""
    size = max(1, -(-max(frame.shape) // _LARGEST))
    image = np.where(bad, -np.inf, frame.astype(np.float64))
    short = [-length % size for length in frame.shape]
    image = np.pad(image, [(0, short[0]), (0, short[1])], constant_values=-np.inf)
    image = image.reshape(image.shape[0] // size, size, image.shape[1] // size, size).max(axis=(1, 3))
    return np.where(np.isneginf(image), np.nan, image), size


def _ticks(norm: Normalize, low: float, high: float) -> list[float]:
    """Round counts for the colour bar, none so close to another that they overlap."""
    from matplotlib.ticker import MaxNLocator

    chosen: list[float] = []
    for value in MaxNLocator(7).tick_values(low, high):
        if low <= value <= high and (not chosen or norm(value) - norm(chosen[-1]) > 0.04):
            chosen.append(float(value))
    return chosen


def _range(image: NDArray[np.float64]) -> tuple[float, float]:
    """Counts shown as white and as black: robust against spots, hot and dead pixels."""
    good = image[np.isfinite(image)]
    if not good.size:
        return 0.0, 1.0
    low, middle, high = np.percentile(good, (1, 50, 99.65))
    return float(min(low, middle)), float(max(high, middle + 4 * np.sqrt(max(middle, 1.0))))


def _draw_detector(
    axes: Axes, frame: NDArray[Any], bad: NDArray[np.bool_], geometry: Geometry | None, peaks: PeakList | None
) -> tuple[NDArray[np.float64], list[str]]:
    """The frame with its rings and peaks; panels where the sample sees them, on a plane across the beam."""
    view = None if geometry is None else assembled(geometry)
    if view is not None:
        frame, bad, geometry = view.image(frame), view.image(bad, True), view.plane
        if peaks is not None:
            peaks = peaks.copy()
            peaks["slow"], peaks["fast"] = view.place(peaks["slow"], peaks["fast"])
    levels = _draw_frame(axes, frame, bad, geometry)
    if peaks is not None:
        _draw_peaks(axes, peaks, frame.shape)
    if view is not None:
        axes.set(xlabel="x on a plane across the beam (px)", ylabel="y (px)")
    return levels


def _draw_frame(
    axes: Axes, frame: NDArray[Any], bad: NDArray[np.bool_], geometry: Geometry | None
) -> tuple[NDArray[np.float64], list[str]]:
    from matplotlib.colors import PowerNorm

    image, size = _blocks(frame, bad)
    low, high = _range(image)
    extent = (0, image.shape[1] * size, image.shape[0] * size, 0)
    norm = PowerNorm(0.6, low, high, clip=True)
    shown = axes.imshow(
        np.ma.masked_invalid(image), cmap=frame_colours(), norm=norm, extent=extent, interpolation="nearest"
    )
    axes.set(xlim=(0, frame.shape[1]), ylim=(frame.shape[0], 0), xlabel="fast (px)", ylabel="slow (px)")
    axes.set_anchor("N")
    bar = axes.figure.colorbar(shown, cax=axes.inset_axes((1.015, 0.0, 0.022, 1.0)), extend="max")
    bar.set_ticks(_ticks(norm, low, high))
    bar.minorticks_off()
    bar.set_label("counts" if size == 1 else f"counts, maximum of {size} × {size} px")
    bar.outline.set_linewidth(0.5)
    if geometry is None:
        return np.zeros(0), []
    return draw_rings(axes, geometry)


def draw_rings(axes: Axes, geometry: Geometry) -> tuple[NDArray[np.float64], list[str]]:
    from matplotlib import patheffects

    values, levels, labels = ring_levels(geometry)
    stride = max(1, max(geometry.shape) // 400)
    coarse = values[::stride, ::stride]
    beam = geometry.direct_beam
    if len(levels) and min(coarse.shape) > 1:
        slow = np.arange(geometry.shape[0])[::stride] + 0.5
        fast = np.arange(geometry.shape[1])[::stride] + 0.5
        lines = axes.contour(
            fast, slow, np.ma.masked_invalid(coarse), levels, colors=RING, linewidths=0.8, linestyles="dashed"
        )
        halo = [patheffects.withStroke(linewidth=2.5, foreground="white")]
        for path, label in zip(lines.get_paths(), labels):
            place = label_place(np.asarray(path.vertices), geometry.shape, beam)
            if place is not None:
                axes.text(
                    *place,
                    label,
                    color=RING_TEXT,
                    fontsize=8.5,
                    ha="center",
                    va="center",
                    path_effects=halo,
                    zorder=5,
                )
    if 0 <= beam[0] <= geometry.shape[0] and 0 <= beam[1] <= geometry.shape[1]:
        axes.plot(beam[1], beam[0], "+", color=RING_TEXT, markersize=9, markeredgewidth=1.2)
    return levels, labels


def _draw_peaks(axes: Axes, peaks: PeakList, shape: tuple[int, ...]) -> None:
    rest = np.ones(len(peaks), dtype=bool)
    groups = []
    for name, bits, colour in _CLASSES:
        chosen = rest & ((peaks["flags"] & np.uint32(bits)) != 0)
        rest &= ~chosen
        groups.append((name, chosen, colour))
    width, area = (0.7, 36) if len(peaks) > 1000 else (1.0, 52)
    for name, chosen, colour in [("peak", rest, ACCENT), *groups]:
        if chosen.any():
            axes.scatter(
                peaks["fast"][chosen],
                peaks["slow"][chosen],
                s=area,
                facecolors="none",
                edgecolors=colour,
                linewidths=width,
                label=f"{name} ({chosen.sum()})",
                zorder=4,
            )
    if len(peaks):
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, borderaxespad=0.2, handletextpad=0.1)
    axes.set(xlim=(0, shape[1]), ylim=(shape[0], 0))


def _best(peaks: PeakList | None, shape: tuple[int, ...], count: int = 6) -> PeakList:
    """The most significant peaks without flags, on the frame."""
    if peaks is None:
        return empty_peaks()
    key = np.where(np.isfinite(peaks["snr"]) & (peaks["snr"] > 0), peaks["snr"], 0.0)
    if not key.any():
        key = np.nan_to_num(peaks["intensity"])
    inside = (peaks["slow"] >= 0) & (peaks["slow"] < shape[0]) & (peaks["fast"] >= 0) & (peaks["fast"] < shape[1])
    good = np.flatnonzero((peaks["flags"] == 0) & inside)
    chosen: PeakList = peaks[good[np.argsort(-key[good], kind="stable")[:count]]]
    return chosen
