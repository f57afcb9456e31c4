"""Peaks and predicted spots without the frames that they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.peaks import PeakList
from crystint.model.spots import SpotList
from crystint.plot.style import ACCENT, BLUE, finish, style, titled_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_places", "plot_peaks", "plot_spots"]

_MOST = 20_000
"""Spots that are drawn one by one; of more, a part evenly spread over the list."""


def plot_peaks(peaks: PeakList, *, spots: SpotList | None = None, title: str | None = None) -> Figure:
    """Where the peaks of all frames are, how many each frame has, their intensity over sigma, and their resolution.

    Parameters
    ----------
    peaks : PeakList
    spots : SpotList, optional
        What they were joined to: drawn in place of the peaks, with the number of frames of each.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((200, 210), background=9.0, peaks=20, intensity=900.0, dtype="uint16")
    >>> peaks = crystint.Separator(data.geometry, data.mask, rings=50).peaks(data[0])
    >>> figure = crystint.plot.plot_peaks(peaks)
    """
    about = [f"{len(peaks)} peaks", f"{len(np.unique(peaks['frame']))} frames with peaks"]
    what = "peaks"
    if spots is not None:
        what, about = "spots", [f"{len(spots)} spots, joined through frames", *about]
        named = {name: spots[name] for name in ("slow", "fast", "intensity", "snr", "d")}
        lengths, frame = spots["n_frames"], np.maximum(np.floor(spots["z"]).astype(np.int64), 0)
    else:
        named = {name: peaks[name] for name in ("slow", "fast", "intensity", "snr", "d")}
        frame = peaks["frame"]
    with style():
        figure, panels = titled_panels(title or what.capitalize(), about, 4 if spots is None else 5, columns=2)
        places, counts, strength, spacing = panels[:4]
        draw_places(places, named["slow"], named["fast"], f"Places{_part(len(frame))}")
        number = np.bincount(frame, minlength=1)
        counts.plot(np.arange(len(number)), number, "o", color=BLUE, markersize=3, markeredgewidth=0)
        finish(counts, f"{what.capitalize()} of each frame", "frame", what)
        snr = named["snr"][np.isfinite(named["snr"]) & (named["snr"] > 0)]
        if len(snr):
            _histogram(strength, np.log10(snr))
            finish(strength, "Intensity over sigma", "log₁₀ I / σ", what)
        else:
            intensity = named["intensity"][named["intensity"] > 0]
            _histogram(strength, np.log10(intensity))
            finish(strength, "Intensity", "log₁₀ counts", what)
        spacings = named["d"][np.isfinite(named["d"]) & (named["d"] > 0)]
        _histogram(spacing, 1.0 / spacings)
        finish(spacing, "Resolution", "1 / d (1/Å)", what)
        if spots is not None:
            number = np.bincount(lengths, minlength=2)[1:]
            panels[4].bar(np.arange(1, len(number) + 1), number, color=BLUE, alpha=0.4)
            finish(panels[4], "Frames of a spot", "frames", what)
    return figure


def plot_spots(
    slow: NDArray[Any], fast: NDArray[Any], values: NDArray[Any], label: str, *, title: str | None = None,
    about: tuple[str, ...] = (),
) -> Figure:  # fmt: skip
    """Where spots are, and the distribution of a property of theirs.

    Parameters
    ----------
    slow, fast : real [n]
        px from the outer corner.
    values : real [n]
    label : str
        What `values` are, with the unit.
    """
    with style():
        figure, (places, property_) = titled_panels(title or "Spots", (f"{len(slow)} spots", *about), 2)
        draw_places(places, slow, fast, f"Places{_part(len(slow))}")
        _histogram(property_, values[np.isfinite(values)])
        finish(property_, "Distribution", label, "spots")
    return figure


def draw_places(axes: Axes, slow: NDArray[Any], fast: NDArray[Any], title: str) -> None:
    """Points on the detector, slow downwards as in frames."""
    step = max(1, -(-len(slow) // _MOST))
    axes.plot(fast[::step], slow[::step], ".", color=ACCENT, markersize=2.5, markeredgewidth=0, alpha=0.6)
    axes.set_aspect("equal")
    if len(slow):
        axes.set(ylim=(float(np.nanmax(slow)) + 5, min(0.0, float(np.nanmin(slow)))))
    finish(axes, title, "fast (px)", "slow (px)")


def _part(count: int) -> str:
    return f", 1 of {-(-count // _MOST)}" if count > _MOST else ""


def _histogram(axes: Axes, values: NDArray[Any]) -> None:
    if not len(values):
        axes.text(0.5, 0.5, "none known", transform=axes.transAxes, ha="center")
        return
    counts, edges = np.histogram(values, 60)
    axes.stairs(counts, edges, fill=True, color=BLUE, alpha=0.25)
    axes.stairs(counts, edges, color=BLUE, linewidth=1.0)
