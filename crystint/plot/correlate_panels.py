"""Panels of pictures of angular correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.correlate.center.ring_fit import Rings
from crystint.plot.style import ACCENT, BLUE, GREY, INK, RING, RING_TEXT, frame_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "draw_coefficients",
    "draw_cosine",
    "draw_frame",
    "draw_lags",
    "draw_map",
    "draw_polar",
    "draw_radial",
    "draw_ring",
    "draw_ring_levels",
    "mean_over",
    "median_of",
    "power",
    "say_no_data",
    "significance",
]

_POINTS = 2500
"""of a line: more are not to be seen"""
NO_DATA = "#f0d890"
"""colour without data, in all pictures: neither a count nor a correlation has it"""
_TRIMMED = 0.03
"""part of the circle about lag 0 whose values do not set a scale, on either side"""


def mean_over(values: Floats, axis: int) -> Floats:
    """Mean of finite values; NaN where there are none."""
    good = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(good, values, 0.0).sum(axis=axis) / good.sum(axis=axis))


def median_of(values: Floats) -> Floats:
    """float64 [rows]: median of the finite values of each row; NaN where there are none."""
    order = np.sort(values, axis=1)  # NaN come last
    count = np.isfinite(values).sum(axis=1)
    return np.where(count > 0, order[np.arange(len(values)), np.maximum(count - 1, 0) // 2], np.nan)


def significance(values: Floats) -> Floats:
    """float64 [rows]: spread of the smooth part of a correlation over that of the rest; NaN with few lags."""
    middle = mean_over(values, 1)
    spectrum = np.abs(np.fft.rfft(np.where(np.isfinite(values), values, middle[:, None]) - middle[:, None], axis=1))
    some = min(17, spectrum.shape[1])
    smooth = np.sqrt((spectrum[:, 1:some] ** 2).sum(axis=1))
    rest = np.sqrt((spectrum[:, some:] ** 2).sum(axis=1))
    complete = np.isfinite(values).mean(axis=1) > 0.9
    return np.where(complete & (rest > 0.0), smooth / np.where(rest > 0.0, rest, 1.0), np.nan)


def power(values: Floats) -> Floats:
    """float64 [rows]: spread of the correlation over the lags away from 0."""
    away = _away(values.shape[1])
    line = values[:, away] if away.any() else values
    return np.sqrt(mean_over((line - mean_over(line, 1)[:, None]) ** 2, 1))


def draw_frame(axes: Axes, values: Floats, rings: Rings) -> None:
    """The frame with the fitted rings and their centre."""
    low, high = _limits(values, 1.0, 99.7)
    axes.imshow(
        _smaller(values), cmap=_counts(), vmin=low, vmax=high, extent=(0, values.shape[1], values.shape[0], 0),
        interpolation="nearest",
    )  # fmt: skip
    for number in range(len(rings.radius)):
        slow, fast = rings.outline(number)
        axes.plot(fast, slow, color=RING, linewidth=0.9, linestyle=(0, (5, 4)))
    axes.plot(rings.center[1], rings.center[0], marker="+", color=ACCENT, markersize=11, markeredgewidth=1.3)
    axes.set(xlim=(0, values.shape[1]), ylim=(values.shape[0], 0), xlabel="fast (px)", ylabel="slow (px)")
    axes.set_title("Frame, fitted rings and centre", pad=6)


def draw_radial(axes: Axes, values: Floats, rings: Rings) -> None:
    """Median counts over the radius, which hot pixels do not reach, and where rings were found."""
    slow, fast = np.indices(values.shape) + 0.5
    distance = np.asarray(rings.shape.radius(slow, fast))
    good = np.isfinite(values) & (distance < max(values.shape))
    number, counts = distance[good].astype(np.intp), values[good]
    order = np.lexsort((counts, number))
    size = np.bincount(number)
    start = np.cumsum(size) - size
    bins = np.flatnonzero(size)
    middle = counts[order][start[bins] + size[bins] // 2]
    axes.plot(bins + 0.5, middle, color=BLUE, linewidth=1.1)
    for ring, radius in enumerate(rings.radius):
        axes.axvline(radius, color=RING, linewidth=0.9, linestyle=(0, (5, 3)))
        if ring < 8:
            axes.annotate(
                f"{radius:.1f}", (radius, 1), (0, 2), xycoords=("data", "axes fraction"),
                textcoords="offset points", fontsize=7.5, color=RING_TEXT, ha="center",
            )  # fmt: skip
    low, high = float(middle.min()), float(middle.max())
    axes.set(xlabel="radius (px)", ylabel="median counts of a pixel", xlim=(0, bins[-1] + 1))
    axes.set_ylim(max(0.0, low - 0.1 * (high - low)), high + 0.1 * (high - low) or 1.0)
    _finish(axes, "Radial profile", pad=15)


def draw_polar(axes: Axes, values: Floats, angles: Floats, places: Floats, label: str) -> None:
    """The polar image, rings as rows."""
    low, high = _limits(values, 1.0, 99.5)
    step = 360.0 / len(angles)
    if len(angles) > 1 and angles[1] < angles[0]:
        step = -step
    first = angles[0] - 0.5 * step
    last = first + len(angles) * step
    axes.imshow(
        _smaller(values), cmap=_counts(), vmin=low, vmax=high, aspect="auto", interpolation="nearest",
        extent=(first, last, *_ends(places)),
    )  # fmt: skip
    axes.set(xlabel="azimuth (deg)", ylabel=label)
    axes.xaxis.set_major_locator(_degrees())


def draw_ring_levels(axes: Axes, mean: Floats, places: Floats, chosen: list[int]) -> None:
    """The median of each ring, beside the polar image; chosen rings are marked."""
    axes.plot(mean, places, color=BLUE, linewidth=1.1)
    for row in chosen:
        axes.axhline(places[row], color=RING, linewidth=0.9, linestyle=(0, (5, 3)))
    low, high = _limits(mean, 0.5, 99.5)
    axes.set_xlim(max(min(0.0, low), low - 0.1 * (high - low)), high + 0.1 * (high - low))
    axes.set(xlabel="median counts")
    axes.tick_params(labelleft=False)
    _finish(axes, "", pad=6)


def draw_ring(axes: Axes, values: Floats, angles: Floats, name: str, *, last: bool) -> None:
    """The values along a ring."""
    order = np.argsort(angles)
    axes.plot(*_thin(angles[order], values[order]), color=BLUE, linewidth=0.8)
    finite = values[np.isfinite(values)]
    if finite.size:
        middle = float(np.median(finite))
        reach = 8.0 * float(np.median(np.abs(finite - middle))) or max(1.0, 0.1 * abs(middle))
        low, high = max(float(finite.min()), middle - reach), min(float(finite.max()), middle + reach)
        room = 0.12 * (high - low) or 1.0
        axes.set_ylim(low - room, high + room)
    else:
        say_no_data(axes)
    axes.set(ylabel="counts")
    if len(angles) > 1:
        axes.set_xlim(angles[order][0], angles[order][-1])
    axes.xaxis.set_major_locator(_degrees())
    axes.tick_params(labelbottom=last)
    if last:
        axes.set_xlabel("azimuth (deg)")
    _finish(axes, f"Ring at {name}", pad=4)


def draw_map(axes: Axes, values: Floats, rows: Floats, label: str) -> Any:
    """All rows over the lag; each about its own mean, over its own spread. Rows without spread are white."""
    spread = power(values)
    away = values[:, _away(values.shape[1])]
    middle = mean_over(away, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        shown = (values - middle[:, None]) / np.where(spread > 0.0, spread, np.nan)[:, None]
    shown[spread == 0.0] = np.where(np.isfinite(values[spread == 0.0]), 0.0, np.nan)
    picture = axes.imshow(
        _smaller(shown), cmap=_two_colours(), vmin=-3.0, vmax=3.0, aspect="auto", interpolation="nearest",
        extent=(-180.0 / values.shape[1], 360.0 - 180.0 / values.shape[1], *_ends(np.asarray(rows, np.float64))),
    )  # fmt: skip
    axes.set(xlabel="lag Δ (deg)", ylabel=label)
    axes.xaxis.set_major_locator(_degrees())
    axes.set_title("Correlation of each row, about its mean over the lags, in standard deviations", pad=6)
    if not np.isfinite(values).any():
        say_no_data(axes)
    elif not (spread > 0.0).any():
        finite = values[np.isfinite(values)]
        say_no_data(axes, "C does not change with the lag" if finite.any() else "C is 0 at all lags")
    return picture


def draw_lags(axes: Axes, values: Floats, error: Floats, name: str, *, last: bool) -> None:
    """A correlation over the lag, with one standard error on either side."""
    lag = 360.0 * np.arange(len(values)) / len(values)
    factor, unit = _thousands(values)
    _band(axes, lag, values * factor, error * factor)
    axes.set_xlim(0.0, 360.0)
    axes.xaxis.set_major_locator(_degrees())
    _scale(axes, values * factor)
    axes.set_ylabel(f"C(Δ){unit}")
    if last:
        axes.set_xlabel("lag Δ (deg)")
    _finish(axes, name, pad=5)


def draw_cosine(axes: Axes, values: Floats, error: Floats, cosine: Floats | None, *, last: bool) -> None:
    """A correlation over the cosine of the angle between scattering vectors; over cos of the lag where q is unknown."""
    n = len(values)
    x = np.cos(2.0 * np.pi * np.arange(n) / n) if cosine is None else cosine
    half = np.arange(n // 2 + 1)
    both = np.stack([values[half], values[-half % n]])
    factor, _ = _thousands(values)
    line = mean_over(both, 0) * factor
    order = np.argsort(x[half])
    _band(axes, x[half][order], line[order], error[half][order] * factor)
    _scale(axes, values * factor)
    axes.set_xlim(-1.0, 1.0)
    axes.set_xticks([-1.0, -0.5, 0.0, 0.5, 1.0])
    if last:
        axes.set_xlabel("cos Δ" if cosine is None else "cos ψ")
    _finish(axes, "over cos Δ" if cosine is None else "over cos ψ", pad=5)


def draw_coefficients(axes: Axes, values: Floats, error: Floats, noise: Floats, *, last: bool) -> None:
    """Fourier coefficients C_0 .. of a correlation, without the first: with errors, and the floor of the noise."""
    harmonic = np.arange(1, len(values))
    values, error, noise = values[1:], error[1:], noise[1:]
    factor, unit = _thousands(values)
    axes.bar(harmonic, factor * values, color=np.where(values < 0.0, ACCENT, BLUE).tolist(), width=0.7)
    if np.isfinite(error).any():
        axes.errorbar(harmonic, factor * values, factor * error, fmt="none", ecolor=INK, elinewidth=0.9, capsize=1.5)
    if np.isfinite(noise).any() and noise.any():
        axes.step(harmonic, factor * noise, where="mid", color=RING, linewidth=1.1)
        corner: dict[str, Any] = {"transform": axes.transAxes, "ha": "right", "va": "top"}
        axes.text(0.98, 0.95, "line: noise of pixels", fontsize=7, color=RING_TEXT, **corner)
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    axes.locator_params(axis="x", integer=True)
    if last:
        axes.set_xlabel("harmonic n" if np.isfinite(error).any() else "harmonic n (one exposure: no errors)")
    _finish(axes, f"Fourier coefficients $C_n${unit}", pad=5)


def say_no_data(axes: Axes, text: str = "no data") -> None:
    """In the middle of axes with nothing to draw."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color=INK)


def _band(axes: Axes, x: Floats, values: Floats, error: Floats) -> None:
    if np.isfinite(error).any():
        at, low = _thin(x, values - error)
        _, high = _thin(x, values + error)
        axes.fill_between(at, low, high, color=BLUE, alpha=0.22, linewidth=0)
    axes.plot(*_thin(x, values), color=BLUE, linewidth=1.0)


def _thousands(values: Floats) -> tuple[float, str]:
    """A factor that brings values to between 1 and 1000, and what to call it; none for values that are readable."""
    away = values[_away(len(values))] if len(values) > 40 else values
    high = float(np.nanmax(np.abs(away))) if np.isfinite(away).any() else 1.0
    if not 0.0 < high < np.inf or 0.03 < high < 10000.0:
        return 1.0, ""
    power = int(3 * np.floor(np.log10(high) / 3.0))
    return 10.0**-power, f" ($10^{{{power}}}$)"


def _scale(axes: Axes, values: Floats) -> None:
    """Limits of the lags away from 0, where the noise of a ring with itself stands like a needle."""
    away = values[_away(len(values))]
    line = away if np.isfinite(away).any() else values
    if not np.isfinite(line).any():
        say_no_data(axes)
        return
    low, high = float(np.nanmin(line)), float(np.nanmax(line))
    room = 0.12 * (high - low) or 0.1 * max(abs(high), 1e-12)
    axes.set_ylim(low - room, high + room)


def _finish(axes: Axes, title: str, *, pad: float) -> None:
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if title:
        axes.set_title(title, pad=pad)


def _away(n: int) -> NDArray[np.bool_]:
    lag = np.arange(n)
    return np.minimum(lag, n - lag) > _TRIMMED * n


def _degrees() -> Any:
    from matplotlib.ticker import MultipleLocator

    return MultipleLocator(45.0)


def _counts() -> Any:
    return frame_colours().with_extremes(bad=NO_DATA)


def _two_colours() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("crystint-two", ["#0f3f6b", BLUE, "#ffffff", ACCENT, "#6e0817"], N=512)
    return colours.with_extremes(bad=NO_DATA)


def _ends(places: Floats) -> tuple[float, float]:
    """Lower and upper end of an axis of rows; the first row lies on top."""
    step = float(np.median(np.diff(places))) if len(places) > 1 else 1.0
    return float(places[-1] + 0.5 * step), float(places[0] - 0.5 * step)


def _limits(values: Floats, low: float, high: float) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    first, last = np.percentile(finite, [low, high])
    return float(first), float(last if last > first else first + 1.0)


def _smaller(values: Floats, most: int = 2400) -> Any:
    """Means of neighbouring columns (and rows), no more of them than can be drawn; NaN are left out."""
    for axis in (0, 1):
        factor = -(-values.shape[axis] // most)
        if factor > 1:
            starts = np.arange(0, values.shape[axis], factor)
            good = np.isfinite(values)
            total = np.add.reduceat(np.where(good, values, 0.0), starts, axis=axis)
            with np.errstate(invalid="ignore", divide="ignore"):
                values = total / np.add.reduceat(good.astype(np.int64), starts, axis=axis)
    return np.ma.masked_invalid(values)


def _thin(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Means of neighbours, no more of them than can be seen."""
    factor = -(-len(x) // _POINTS)
    if factor <= 1:
        return x, y
    starts = np.arange(0, len(x), factor)
    count = np.add.reduceat(np.ones(len(x)), starts)
    return np.add.reduceat(x, starts) / count, np.add.reduceat(y, starts) / count
