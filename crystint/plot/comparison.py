"""A comparison of raw and densified frames as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from crystint.compare.comparison import Comparison
from crystint.compare.report import sizes
from crystint.errors import ShapeError
from crystint.plot.style import ACCENT, BLUE, GREY, RING, TITLE, figure_of, new_figure, style
from crystint.summation.report import CLASS_NAMES
from crystint.summation.verdict import FEWEST, SAFE
from crystint.units import readable_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_comparison"]


def plot_comparison(comparison: Comparison, *, title: str | None = None, axes: Sequence[Axes] | None = None) -> Figure:
    """Draw what the compression lost, shell by shell, and what it saved.

    Parameters
    ----------
    comparison : Comparison
    title : str or None
    axes : sequence of 6 matplotlib.axes.Axes, optional
        Draw bias, variance, zeros, what is kept by resolution, what is lost by I/sigma, and sizes there, and nothing
        else.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        When the comparison holds no frame, or axes are not 6.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> from crystint.plot import plot_comparison, save_figure
    >>> figure = plot_comparison(crystint.compare.compare(data[0], separator.sparsify(data[0]), shells=4))
    >>> save_figure(figure, "lost.png")
    """
    if not len(comparison.sums):
        raise ShapeError("the comparison holds no frame, expected one or more")
    if axes is not None:
        if len(axes) != 6:
            raise ShapeError(f"axes are {len(axes)}, expected 6")
        _draw_panels(axes, comparison)
        return figure_of(axes[0])
    with style():
        figure = new_figure(13.2, 7.4)
        grid = figure.add_gridspec(2, 3, left=0.06, right=0.98, top=0.84, bottom=0.08, hspace=0.42, wspace=0.26)
        panels = [figure.add_subplot(grid[i, j]) for i in range(2) for j in range(3)]
        _draw_panels(panels, comparison)
        total = comparison.total.sums[0]
        parts = [
            f"{comparison.frames} frame{'' if comparison.frames == 1 else 's'}",
            f"{total['picked']} pixels picked, {_verdict(comparison.wrong_picked)}",
            f"unusable pixels {_verdict(comparison.wrong_unusable)}",
            f"{total['missed']} pixels missed",
        ]
        if comparison.reflections is not None and comparison.reflections.total["raw"][0]:
            audit = comparison.reflections
            parts.append(
                f"{100 * audit.kept(audit.total)[0]:.1f} % of {audit.total['reflections'][0]} reflections' counts kept"
            )
        figure.text(0.06, 0.945, title or "What the compression lost", **TITLE)
        figure.text(0.06, 0.91, "   ·   ".join(parts), fontsize=9, color=GREY if comparison.exact else ACCENT)
    return figure


def _draw_panels(panels: Sequence[Axes], comparison: Comparison) -> None:
    for panel, draw in zip(panels, (_draw_bias, _draw_variance, _draw_zeros, _draw_kept)):
        draw(panel, comparison)
        _finish(panel, comparison)
    _draw_lost(panels[4], comparison)
    _draw_sizes(panels[5], comparison)


def _verdict(wrong: int) -> str:
    return "all exact" if wrong == 0 else f"{wrong} wrong"


def _x(comparison: Comparison) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    edges = comparison.edges * (1 if comparison.unit == "q" else 1e3)
    return 0.5 * (edges[1:] + edges[:-1])


def _finish(axes: Axes, comparison: Comparison) -> None:
    by_q = comparison.unit == "q"
    edges = comparison.edges * (1 if by_q else 1e3)
    axes.set(xlim=(edges[0], edges[-1]), xlabel="q (1/Å)" if by_q else "radius (mm)")
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if by_q:
        taken = 0.0
        for spacing in (50, 20, 10, 7, 5, 4, 3, 2.5, 2, 1.7, 1.5, 1.3, 1.2, 1.1, 1, 0.9, 0.8, 0.7, 0.6):
            place = float((2 * np.pi / spacing - edges[0]) / np.ptp(edges))
            if taken + 0.09 < place < 0.99:
                taken = place
                axes.text(
                    place,
                    1.015,
                    f"{spacing:g} Å",
                    transform=axes.transAxes,
                    fontsize=7,
                    color=RING,
                    ha="center",
                )


def _draw_bias(axes: Axes, comparison: Comparison) -> None:
    axes.axhline(0, color=GREY, linewidth=0.9)
    axes.errorbar(
        _x(comparison),
        comparison.bias_noisy,
        comparison.bias_error,
        fmt="o",
        markersize=3.5,
        color=BLUE,
        elinewidth=1.0,
        capsize=2,
        label="with its standard error",
    )
    axes.set_ylabel("densified − raw (counts)")
    axes.set_title("Bias of the background, noise drawn", pad=16)
    reach = 1.25 * float(np.nanmax(np.abs(comparison.bias_noisy) + comparison.bias_error, initial=1e-6))
    axes.set_ylim(-reach, reach)


def _draw_pair(axes: Axes, comparison: Comparison, raw: str, noisy: str, scale: float = 1.0) -> None:
    x = _x(comparison)
    axes.plot(x, scale * getattr(comparison, raw), color=GREY, linewidth=2.4, alpha=0.7, label="raw")
    axes.plot(x, scale * getattr(comparison, noisy), "o", color=BLUE, markersize=3.5, label="densified")
    axes.legend()


def _draw_variance(axes: Axes, comparison: Comparison) -> None:
    _draw_pair(axes, comparison, "variance_raw", "variance_noisy")
    axes.set_ylabel("counts²")
    values = comparison.variance_raw[comparison.variance_raw > 0]
    if values.size and values.max() > 30 * values.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_title("Variance of the background", pad=16)


def _draw_zeros(axes: Axes, comparison: Comparison) -> None:
    _draw_pair(axes, comparison, "zeros_raw", "zeros_noisy", 100.0)
    axes.set(ylabel="% of background pixels", ylim=(-3, 103))
    axes.set_title("Pixels that hold 0", pad=16)


def _draw_kept(axes: Axes, comparison: Comparison) -> None:
    x, share, audit = _x(comparison), 100 * comparison.signal_kept, comparison.reflections
    axes.plot(x, share, color=GREY, linewidth=1.2, label="counts above background")
    lowest = float(np.nanmin(share, initial=100.0))
    if audit is not None and audit.unit == comparison.unit:
        sums = audit.by_shell
        used = sums["reflections"] > 2  # that have a standard error
        percent, error = 100 * audit.kept(sums)[used], 100 * audit.kept_error(sums)[used]
        edges = audit.edges * (1 if audit.unit == "q" else 1e3)
        middle = 0.5 * (edges[1:] + edges[:-1])[used]
        axes.errorbar(
            middle, percent, error, fmt="o", markersize=3.5, color=BLUE, elinewidth=1.0, capsize=2,
            label="intensities of reflections",
        )  # fmt: skip
        lowest = min(lowest, float(np.nanmin(percent, initial=100.0)))
    axes.set(ylabel="% kept", ylim=(max(min(1.1 * lowest - 10, 90), -5), 104))
    axes.legend(loc="lower left")
    axes.set_title("What is kept, by resolution", pad=16)


def _draw_lost(axes: Axes, comparison: Comparison) -> None:
    audit = comparison.reflections
    axes.set_title("Counts lost, by I/σ of the reflections", pad=16)
    axes.spines[["top", "right"]].set_visible(False)
    if audit is None or not audit.total["reflections"].any():
        axes.text(0.5, 0.5, "no reflections were summed", transform=axes.transAxes, ha="center", color=GREY)
        axes.set(xticks=[], yticks=[])
        return
    sums = audit.by_class
    lost, error, place = 100 * (1 - audit.kept(sums)), 100 * audit.kept_error(sums), np.arange(len(sums))
    shown = np.isfinite(lost) & (sums["reflections"] >= FEWEST)
    shown[0] &= audit.expected  # those that noise made weak
    axes.axhline(0, color=GREY, linewidth=0.9)
    axes.axhspan(-SAFE, SAFE, color=BLUE, alpha=0.12, linewidth=0)
    axes.errorbar(place[shown], lost[shown], error[shown], fmt="o", markersize=5, color=BLUE, elinewidth=1.0, capsize=3)
    for i in place[shown]:
        axes.annotate(f"{lost[i]:.1f} %", (i, lost[i]), (8, 0), textcoords="offset points", fontsize=8.5, va="center")
    names = [f"{name}\n{count} refl." for name, count in zip(CLASS_NAMES, sums["reflections"])]
    top = float(np.max(lost[shown] + error[shown], initial=SAFE))
    low = float(np.min(lost[shown] - error[shown], initial=-SAFE))
    axes.set(xticks=place, xticklabels=names, xlim=(-0.5, len(sums) - 0.2), ylabel="% of the counts")
    axes.set_ylim(low - 0.08 * (top - low), top + 0.12 * (top - low))
    axes.grid(visible=True, axis="y")
    axes.set_axisbelow(True)


def _draw_sizes(axes: Axes, comparison: Comparison) -> None:
    forms = list(sizes(comparison).items())
    values = [size for _, (size, _) in forms]
    for i, (label, (size, ratio)) in enumerate(forms):
        axes.plot(size, i, "o", color=ACCENT if ratio is None else BLUE, markersize=6, clip_on=False)
        text = f"{label}: {readable_size(size)}" + ("" if ratio is None else f"  (× {ratio:.3g})")
        axes.text(0.0, i - 0.2, text, transform=axes.get_yaxis_transform(), fontsize=8.5, va="bottom")
    axes.set(
        xscale="log",
        yticks=[],
        ylim=(len(forms) - 0.5, -0.75),
        xlim=(0.3 * min(values) or 1, 2 * max(values) + 2),
    )
    axes.set_xlabel("bytes")
    axes.grid(visible=True, axis="x")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    which = "sparse file" if comparison.sparse_bytes else "picked pixels"
    axes.set_title(f"Sizes, in brackets: over that of the {which}", pad=16)
