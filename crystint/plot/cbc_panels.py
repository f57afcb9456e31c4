"""Panels of a picture of convergent-beam scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crystint.arrays import Floats
from crystint.cbc.merging.result import Agreement, CBCRun
from crystint.plot.style import ACCENT, BLUE, GREY, RING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_agreement", "draw_convergence", "draw_deviates", "draw_errors", "draw_halves"]

_DOTS: dict[str, Any] = {"marker": "o", "linestyle": "none", "markeredgewidth": 0, "color": BLUE}
_REACH = 4.5
"""Deviates beyond are drawn in the outermost bins."""


def _finish(axes: Axes, title: str) -> None:
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, pad=6)


def _size(count: int) -> float:
    return 3.6 if count < 400 else 2.0 if count < 4000 else 1.1


def _decades(*values: Floats) -> tuple[float, float]:
    """Limits of a logarithmic axis; the lowest few of a hundred may be left to the edge."""
    every = np.concatenate([one[np.isfinite(one) & (one > 0.0)] for one in values])
    if not every.size:
        return 0.1, 10.0
    high = float(every.max())
    return max(0.6 * float(every.min()), 0.2 * float(np.percentile(every, 4)), 1e-6 * high), 1.7 * high


def _pairs(axes: Axes, x: Floats, y: Floats, sigma: Floats | None = None) -> None:
    """Dots about the diagonal, on logarithmic axes; what is not above 0 lies at their edge."""
    low, high = _decades(x, y)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.9)
    at, of = np.clip(x, low, high), np.clip(y, low, high)
    if sigma is not None:
        finite = np.isfinite(sigma)
        axes.vlines(
            at[finite], np.clip(of - sigma, low, high)[finite], (of + sigma)[finite],
            color=BLUE, alpha=0.3, linewidth=0.8,
        )  # fmt: skip
    axes.plot(at, of, markersize=_size(len(x)), alpha=0.85, **_DOTS)


def draw_agreement(axes: Axes, both: Agreement, name: str) -> None:
    """|q|^2 against those of a reference."""
    _pairs(axes, both.reference, both.scaled, both.sigma)
    axes.set(xlabel=f"{name} |q|² (counts)" if name == "true" else f"|q|², {name}", ylabel="|q|², on its scale")
    text = f"CC {both.cc:.5f}\nCC log {both.cc_log:.5f}\nR {both.r:.4f}"
    axes.text(0.05, 0.95, text, transform=axes.transAxes, fontsize=8.5, va="top", linespacing=1.45)
    _finish(axes, f"Recovered against {name} |q|²")


def draw_deviates(axes: Axes, both: Agreement) -> None:
    """(log |q|^2 - log true) / sigma of the logarithm, beside a standard normal curve."""
    use = (both.scaled > 0.0) & (both.reference > 0.0) & (both.sigma > 0.0)
    deviate = np.log(both.scaled[use] / both.reference[use]) * both.scaled[use] / both.sigma[use]
    edges = np.linspace(-_REACH, _REACH, 28)
    axes.hist(np.clip(deviate, -_REACH, _REACH), bins=edges.tolist(), color=BLUE, alpha=0.55)
    x = np.linspace(-_REACH, _REACH, 200)
    curve = len(deviate) * (edges[1] - edges[0]) * np.exp(-0.5 * x**2) / np.sqrt(2.0 * np.pi)
    axes.plot(x, curve, color=RING, linewidth=1.4, label="standard normal")
    axes.set(xlabel="(ln |q|² − ln true) / σ", ylabel="reflections", xlim=(-_REACH, _REACH))
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
    if len(deviate):
        inside = 100.0 * float(np.mean(np.abs(deviate) <= 1.0))
        text = f"{inside:.0f} % within 1 σ\nr.m.s. {np.sqrt(np.mean(deviate**2)):.2f}"
        if len(deviate) < len(both.scaled):
            text += f"\n{len(both.scaled) - len(deviate)} without"
        axes.text(0.04, 0.95, text, transform=axes.transAxes, fontsize=8.5, va="top", linespacing=1.45)
    axes.legend(loc="upper right")
    _finish(axes, "Errors against their σ")


def draw_errors(axes: Axes, run: CBCRun) -> None:
    """|q|^2 / sigma against |q|^2."""
    use = np.isfinite(run.sigma) & (run.sigma > 0.0) & (run.q2 > 0.0)
    q2, ratio = run.q2[use], (run.q2 / np.where(use, run.sigma, 1.0))[use]
    across, up = _decades(q2), _decades(ratio)
    axes.set(xscale="log", yscale="log", xlim=across, ylim=up)
    axes.plot(np.clip(q2, *across), np.clip(ratio, *up), markersize=_size(len(q2)), alpha=0.85, **_DOTS)
    axes.set(xlabel="|q|² (counts)", ylabel="|q|² / σ")
    _finish(axes, "Significance")


def draw_halves(axes: Axes, halves: Floats) -> None:
    """|q|^2 of one half of the streaks against that of the other."""
    use = np.isfinite(halves).all(axis=0)
    first, second = halves[0, use], halves[1, use]
    if second.sum() > 0.0:
        second = second * (first.sum() / second.sum())
    _pairs(axes, first, second)
    if len(first) > 2 and np.ptp(first) > 0.0 and np.ptp(second) > 0.0:
        axes.text(
            0.05, 0.95, f"CC½ {np.corrcoef(first, second)[0, 1]:.5f}\n{len(first)} in both",
            transform=axes.transAxes, fontsize=8.5, va="top", linespacing=1.45,
        )  # fmt: skip
    axes.set(xlabel="|q|², half 1", ylabel="|q|², half 2")
    _finish(axes, "Half sets")


def draw_convergence(axes: Axes, run: CBCRun) -> None:
    """How far the criterion was above its lowest value, iteration by iteration."""
    trace = run.trace
    above = trace - np.nanmin(trace) if len(trace) else trace
    number = np.arange(len(trace))
    shown = above > 0.0
    axes.plot(number[shown], above[shown], color=BLUE, linewidth=1.2, marker="o", markersize=3.5)
    if shown.any() and above[shown].max() > 30.0 * above[shown].min():
        axes.set_yscale("log")
    worse = np.flatnonzero(np.diff(trace) > 0.0) + 1
    worse = worse[shown[worse]]
    if len(worse):
        axes.plot(number[worse], above[worse], "o", color=ACCENT, markersize=5, label="went up")
        axes.legend(loc="lower left")
    axes.set(xlabel="iteration", ylabel="criterion less its lowest value", xlim=(-0.4, max(len(trace) - 0.6, 1.0)))
    axes.locator_params(axis="x", integer=True)
    lowest = f"lowest {np.nanmin(trace):.2f}" if len(trace) else "no iterations"
    axes.text(0.96, 0.95, lowest, transform=axes.transAxes, fontsize=8.5, va="top", ha="right")
    _finish(axes, "Convergence")
