"""The panels of a run on stills: each draws one thing into its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crystint.arrays import Floats
from crystint.model.observations import Observations
from crystint.plot.style import ACCENT, BLUE, GREY, RING
from crystint.prediction.partiality import RockingWidth, partiality
from crystint.stills.integration.profile import ProfileWidths
from crystint.stills.merging.deviates import BinnedDeviates
from crystint.stills.merging.statistics import Statistics
from crystint.stills.scaling.scales import Scales

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "draw_b",
    "draw_completeness",
    "draw_correlations",
    "draw_deviates",
    "draw_excitation",
    "draw_r_factors",
    "draw_scales",
    "draw_significance",
    "draw_widths",
    "finish",
]

_DOTS: dict[str, Any] = {"marker": "o", "linestyle": "none", "markeredgewidth": 0}
_LINE: dict[str, Any] = {"marker": "o", "markersize": 3.5, "linewidth": 1.2}
_SPACINGS = (20, 10, 7, 5, 4, 3.5, 3, 2.7, 2.5, 2.3, 2.1, *(n / 10 for n in range(20, 5, -1)))
_GREEN = "#2a7f62"
_MOST = 2.0
"""Largest R factor that is drawn."""
_STEEP = 8.0
"""Deviates from which their axis is logarithmic."""
_FAR = 0.35
"""1/angstrom^2: end of the axis of widths that hold for every resolution."""


def finish(axes: Axes, title: str, pad: float = 6.0) -> None:
    """Grid, spines and title, the same for all."""
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, pad=pad)


def _legend(axes: Axes, place: str) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc=place)


def _per_image(axes: Axes, values: Floats, sigma: Floats, failed: list[int]) -> None:
    number = np.arange(len(values))
    good = np.isfinite(values)
    size = 3.5 if good.sum() < 400 else 1.6
    axes.vlines(number[good], (values - sigma)[good], (values + sigma)[good], color=BLUE, alpha=0.25, linewidth=0.8)
    axes.plot(number[good], values[good], color=BLUE, markersize=size, **_DOTS)
    if failed:
        axes.plot(
            failed, np.full(len(failed), 0.02), "|", color=ACCENT, markersize=7, transform=axes.get_xaxis_transform(),
            label=f"{len(failed)} without a scale", clip_on=False,
        )  # fmt: skip
        axes.legend(loc="upper right")
    axes.set(xlabel="image", xlim=(-0.5, max(len(values) - 0.5, 0.5)))


def draw_scales(axes: Axes, scales: Scales) -> None:
    """ln G of each image, the axis labelled in G."""
    from matplotlib.ticker import FuncFormatter

    sigma = np.sqrt(scales.covariance[:, 0, 0])
    _per_image(axes, scales.ln_g, sigma, sorted(scales.failed))
    good = scales.ln_g[np.isfinite(scales.ln_g)]
    if good.size:
        low, high = np.exp(good.min()), np.exp(good.max())
        steps = np.array([1.0, 2.0, 5.0]) if high < 200 * low else np.array([1.0])
        decades = 10.0 ** np.arange(np.floor(np.log10(low)) - 1, np.ceil(np.log10(high)) + 1)
        ticks = np.log(np.outer(decades, steps).ravel())
        margin = 0.08 * (good.max() - good.min()) + 0.05
        axes.set_ylim(good.min() - margin, good.max() + margin)
        axes.set_yticks([tick for tick in ticks if good.min() - margin <= tick <= good.max() + margin])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{np.exp(value):.3g}"))
    axes.set_ylabel("G")
    finish(axes, "Scale of each image")


def draw_b(axes: Axes, scales: Scales) -> None:
    """B of each image."""
    _per_image(axes, scales.b, np.sqrt(scales.covariance[:, 1, 1]), sorted(scales.failed))
    axes.set_ylabel("B (Å²)")
    finish(axes, "Temperature factor of each image")


def _by_shell(axes: Axes, statistics: Statistics, title: str) -> Floats:
    """Axis of 1/d^2 with spacings above it; the middles of the shells."""
    s2 = statistics.edges**-2.0
    _resolution_axis(axes, float(s2[0]), float(s2[-1]))
    finish(axes, title, pad=16)
    return np.asarray(0.5 * (s2[1:] + s2[:-1]))


def _resolution_axis(axes: Axes, low: float, high: float) -> None:
    axes.set(xlim=(low, high), xlabel="1/d² (1/Å²)")
    taken = -1.0
    for spacing in _SPACINGS:
        place = (spacing**-2.0 - low) / max(high - low, 1e-12)
        if max(taken + 0.1, 0.02) < place < 0.99:
            taken = place
            axes.text(place, 1.015, f"{spacing:g} Å", transform=axes.transAxes, fontsize=7, color=RING, ha="center")


def draw_correlations(axes: Axes, statistics: Statistics) -> None:
    """CC1/2, CC* and the correlation with a reference."""
    x = _by_shell(axes, statistics, "Correlations")
    low = 1.0
    for name, label, colour, marker in (
        ("cc_half", "CC½, halves of images", BLUE, "o"),
        ("cc_half_observations", "CC½, halves of observations", GREY, "."),
        ("cc_star", "CC*", _GREEN, "s"),
        ("cc_reference", "CC to the reference", ACCENT, "D"),
    ):
        values = statistics.column(name)
        if np.isfinite(values).any():
            axes.plot(x, values, color=colour, label=label, **{**_LINE, "marker": marker})
            low = min(low, float(np.nanmin(values)))
    span = max(1.0 - low, 0.02)
    axes.set_ylim(max(low - 0.9 * span, -1.0), 1.0 + 0.06 * span)
    _legend(axes, "lower left")


def draw_significance(axes: Axes, statistics: Statistics) -> None:
    """Mean I / sigma of merged intensities."""
    x = _by_shell(axes, statistics, "Mean I / σ of merged intensities")
    values = statistics.column("i_over_sigma")
    axes.plot(x, values, color=BLUE, **_LINE)
    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size == np.isfinite(values).sum() and positive.size and positive.max() > 30 * positive.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(min(0.0, 1.1 * float(np.nanmin(values, initial=0.0))), None)
    axes.set_ylabel("⟨I / σ⟩")


def draw_completeness(axes: Axes, statistics: Statistics) -> None:
    """Completeness, and multiplicity on an axis of its own."""
    x = _by_shell(axes, statistics, "Completeness and multiplicity")
    axes.plot(x, 100 * statistics.column("completeness"), color=BLUE, **_LINE)
    axes.set_ylim(0, 104)
    axes.set_ylabel("completeness (%)", color=BLUE)
    other = axes.twinx()
    values = statistics.column("multiplicity")
    other.plot(x, values, color=ACCENT, **{**_LINE, "marker": "s"})
    other.set_ylim(0, 1.15 * float(np.nanmax(values, initial=1.0)))
    other.set_ylabel("multiplicity", color=ACCENT)
    other.spines[["top", "left"]].set_visible(False)


def draw_r_factors(axes: Axes, statistics: Statistics) -> None:
    """R_meas, R_pim, R_split; where the mean intensity is about 0 they mean nothing and are not shown."""
    x = _by_shell(axes, statistics, "R factors")
    top = 0.0
    for name, label, colour, marker in (
        ("r_meas", "R_meas", BLUE, "o"),
        ("r_pim", "R_pim", _GREEN, "s"),
        ("r_split", "R_split", ACCENT, "D"),
    ):
        values = statistics.column(name)
        if np.isfinite(values).any():
            shown = np.where((values >= 0.0) & (values <= _MOST), values, np.nan)
            axes.plot(x, shown, color=colour, label=label, **{**_LINE, "marker": marker})
            top = max(top, float(np.nanmax(shown, initial=0.0)))
    axes.set_ylim(0, 1.35 * top or 1.0)
    _legend(axes, "upper left")


def draw_deviates(axes: Axes, deviates: BinnedDeviates, a: float, b: float) -> None:
    """Root mean square deviates before and after the error model."""
    x = deviates.intensity
    axes.axhline(1.0, color=GREY, linewidth=0.9)
    axes.plot(x, deviates.recorded, color=GREY, markersize=4, label="as recorded", **_DOTS)
    axes.plot(x, deviates.expected, color=RING, linewidth=1.4, label=f"fit: a = {a:.3g}, b = {b:.3g}")
    axes.plot(x, deviates.corrected, color=BLUE, markersize=4, label="with the error model", **_DOTS)
    threshold = max(0.3 * float(np.median(np.abs(x))), 1e-6) if x.size else 1.0
    highest = max(float(np.max(x, initial=1.0)), threshold)
    powers = 10.0 ** np.arange(np.floor(np.log10(threshold)), np.ceil(np.log10(highest)) + 1)
    steps = (1.0,) if highest > 200 * threshold else (1.0, 3.0)
    ticks = [tick for tick in np.outer(powers, steps).ravel() if threshold <= tick <= highest]
    axes.set_xscale("symlog", linthresh=threshold)
    axes.set_xticks([0.0, *ticks], ["0", *(f"{tick:,.6g}".replace(",", "\u2009") for tick in ticks)])
    axes.minorticks_off()
    drawn = np.concatenate([deviates.recorded, deviates.corrected])
    top = float(np.nanmax(drawn, initial=1.0))
    if top > _STEEP:
        axes.set_yscale("log")
        axes.set_ylim(0.5 * min(float(np.nanmin(drawn, initial=1.0)), 1.0), 8.0 * top)
    else:
        axes.set_ylim(0, 1.3 * top)
    axes.set(xlabel="mean intensity of the reflection", ylabel="r.m.s. deviate (σ)")
    _legend(axes, "upper left")
    finish(axes, "Error model")


def draw_widths(axes: Axes, profile: ProfileWidths) -> None:
    """Profile widths R1 of the shells."""
    edges = np.where(np.isfinite(profile.edges), profile.edges, _FAR)
    low, high = float(edges[0]), float(edges[-1])
    inside = (profile.center > edges[:-1]) & (profile.center < edges[1:])
    center = np.where(inside, profile.center, 0.5 * (edges[1:] + edges[:-1]))
    _resolution_axis(axes, low, high)
    for values, label, colour, marker in (
        (profile.radial, "radial", BLUE, "o"),
        (profile.tangential, "tangential", ACCENT, "s"),
    ):
        axes.stairs(1e3 * values, edges, baseline=None, color=colour, alpha=0.35, linewidth=1.0)
        dashes = (0, (4, 3)) if marker == "s" else "solid"
        look = {**_LINE, "marker": marker, "linestyle": dashes}
        axes.plot(center, 1e3 * values, color=colour, label=label, **look)
    axes.set_ylim(0, 1.35e3 * float(max(profile.radial.max(), profile.tangential.max())))
    axes.set_ylabel("R₁ (10⁻³ / Å)")
    _legend(axes, "lower left")
    finish(axes, "Width of the profiles", pad=16)


def draw_excitation(axes: Axes, observations: Observations, width: RockingWidth | None) -> None:
    """How many observations there are at which excitation error, and how partial they are there."""
    finite = np.isfinite(observations.excitation)
    e, p = 1e3 * observations.excitation[finite], observations.partiality[finite]
    reach = float(np.percentile(np.abs(e), 99.5)) if e.size else 1.0
    edges = np.linspace(-reach, reach, 61)
    place = np.searchsorted(edges, e, side="right") - 1
    inside = (place >= 0) & (place < 60)
    place, p = place[inside], p[inside]
    count = np.bincount(place, minlength=60)
    axes.stairs(count, edges, fill=True, color=BLUE, alpha=0.25)
    axes.stairs(count, edges, color=BLUE, linewidth=1.0)
    axes.set(xlabel="excitation error (10⁻³ / Å)", xlim=(-reach, reach), ylim=(0, 1.4 * max(count.max(), 1)))
    axes.set_ylabel("observations", color=BLUE)
    other = axes.twinx()
    middle = 0.5 * (edges[1:] + edges[:-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(place, p, 60) / count
    other.plot(middle, mean, color=ACCENT, markersize=3, label="mean partiality", **_DOTS)
    if width is not None and finite.any():
        d = float(np.median(observations.d[finite]))
        wavelength = observations.wavelength[finite].astype(np.float64)
        wave = float(np.nanmedian(wavelength)) if np.isfinite(wavelength).any() else 1.0
        curve = partiality(1e-3 * middle, width.at(np.full(60, d), wave))
        other.plot(middle, curve, color=RING, linewidth=1.3, label=f"model at {d:.3g} Å")
    other.set_ylim(0, 1.4)
    other.set_yticks([0, 0.5, 1.0])
    other.set_ylabel("partiality", color=ACCENT)
    other.legend(loc="upper right")
    other.spines[["top", "left"]].set_visible(False)
    finish(axes, "Excitation errors")
    axes.grid(visible=False)
