"""The small panels beside a frame: close-ups, background profile, histogram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.rings import Background
from crystint.plot.style import ACCENT, BLUE, GREY, RING, RING_TEXT, frame_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_closeup", "draw_histogram", "draw_profile"]


def draw_closeup(axes: Axes, frame: NDArray[Any], bad: NDArray[np.bool_], peak: Any, reach: int = 9) -> None:
    """The pixels about a peak, counts from white to black, and where its centroid lies."""
    from matplotlib.colors import PowerNorm

    row, column = int(peak["slow"]), int(peak["fast"])
    rows = slice(max(0, row - reach), min(frame.shape[0], row + reach + 1))
    columns = slice(max(0, column - reach), min(frame.shape[1], column + reach + 1))
    image = np.where(bad[rows, columns], np.nan, frame[rows, columns].astype(np.float64))
    high = np.nanmax(image) if np.isfinite(image).any() else 1.0
    low = min(np.nanmin(image), high - 1) if np.isfinite(image).any() else 0.0
    extent = (columns.start, columns.stop, rows.stop, rows.start)
    norm = PowerNorm(0.5, low, high, clip=True)
    axes.imshow(np.ma.masked_invalid(image), cmap=frame_colours(), norm=norm, extent=extent, interpolation="nearest")
    for turn in np.radians([0, 90, 180, 270]):
        tick = np.array([1.6, 3.8])
        axes.plot(
            peak["fast"] + tick * np.cos(turn),
            peak["slow"] + tick * np.sin(turn),
            color=ACCENT,
            linewidth=1.1,
        )
    axes.set(xticks=[], yticks=[], xlim=(column - reach, column + reach + 1), ylim=(row + reach + 1, row - reach))
    axes.set_facecolor("#f3f4f6")
    d = f"{peak['d']:.2f} Å" if np.isfinite(peak["d"]) and peak["d"] > 0 else f"{peak['slow']:.0f}, {peak['fast']:.0f}"
    strength = (
        f"I/σ {peak['snr']:.0f}" if np.isfinite(peak["snr"]) and peak["snr"] > 0 else f"I {peak['intensity']:.0f}"
    )
    axes.set_title(f"{d}   {strength}", fontsize=8, pad=3)


def draw_profile(axes: Axes, background: Background, levels: tuple[NDArray[np.float64], list[str]]) -> None:
    """Mean and spread of the background against q, or against the radius where q is unknown."""
    by_q = bool(np.isfinite(background.q).all())
    x = background.q if by_q else 1e3 * background.radius
    mean, std = background.mean, background.std
    finite = np.isfinite(mean)
    axes.plot(x, mean, color=BLUE, linewidth=1.2)
    axes.plot([], [], color=BLUE, linewidth=1.2, label="mean")
    axes.fill_between([], [], color=BLUE, alpha=0.18, linewidth=0, label="± spread of one pixel")
    axes.set(xlabel="q (1/Å)" if by_q else "radius (mm)", ylabel="counts per pixel (normalised)", xlim=(0, x.max()))
    top = float(np.nanmax(mean + std)) if finite.any() else 1.0
    positive, floor = mean[finite & (mean > 0)], 0.0
    if positive.size and top > 60 * np.percentile(positive, 2):
        axes.set_yscale("log")
        floor = max(0.4 * float(np.percentile(positive, 1)), 1e-4 * top)
    axes.set_ylim(floor, 1.6 * top if floor else 1.08 * top or 1.0)
    low = np.maximum(mean - std, floor)
    axes.fill_between(x, low, mean + std, where=finite, color=BLUE, alpha=0.18, linewidth=0)
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    if by_q:
        for level, label in zip(*levels):
            axes.axvline(level, color=RING, linewidth=0.8, linestyle=(0, (5, 3)))
            axes.annotate(
                label, (level, 1), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points",
                fontsize=8, color=RING_TEXT, ha="center", annotation_clip=True,
            )  # fmt: skip
    axes.legend(loc="upper right", frameon=True, framealpha=0.85, edgecolor="none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("Background", pad=15)


def draw_histogram(axes: Axes, counts: NDArray[Any]) -> None:
    """How many pixels hold how many counts."""
    axes.set(xlabel="counts", ylabel="pixels", title="Counts of the usable pixels")
    axes.spines[["top", "right"]].set_visible(False)
    if not counts.size:
        axes.text(0.5, 0.5, "no usable pixel", transform=axes.transAxes, ha="center", color=GREY)
        return
    high = float(counts.max())
    edges = np.concatenate([np.arange(10), np.geomspace(10, max(high, 11.0) * 1.02, 60)]) - 0.5
    if counts.dtype.kind != "f":
        edges = np.unique(np.ceil(edges)) - 0.5
    pixels, _ = np.histogram(counts, edges)
    axes.stairs(pixels, edges, fill=True, color=BLUE, alpha=0.25)
    axes.stairs(pixels, edges, color=BLUE, linewidth=1.0)
    axes.set_xscale("symlog", linthresh=10)
    axes.set_yscale("log")
    axes.set(xlim=(-0.5, edges[-1]), ylim=(0.7, 2.0 * pixels.max() + 1))
    axes.grid(visible=True, color="#e3e7ec")
    axes.set_axisbelow(True)
