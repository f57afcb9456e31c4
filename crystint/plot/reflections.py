"""Intensities of reflections, merged or not, whatever file they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.plot.style import BLUE, finish, style, titled_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_reflections"]

_SHELLS = 20
_MOST = 50_000
"""Reflections of a section that are drawn."""


def plot_reflections(
    hkl: NDArray[Any],
    intensity: NDArray[Any],
    sigma: NDArray[Any] | None = None,
    d: NDArray[Any] | None = None,
    *,
    title: str | None = None,
    about: tuple[str, ...] = (),
) -> Figure:
    """A section through reciprocal space, mean intensities and significance over the resolution, and the distribution.

    Parameters
    ----------
    hkl : int [n, 3]
    intensity : real [n]
        NaN = not known.
    sigma : real [n], optional
    d : real [n], optional
        Angstrom.
    title : str, optional
    about : tuple of str
        Facts for the line below the title.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import crystint
    >>> import numpy as np
    >>> hkl = np.stack(np.meshgrid(*3 * [np.arange(1, 6)]), axis=-1).reshape(-1, 3)
    >>> figure = crystint.plot.plot_reflections(hkl, np.full(len(hkl), 100.0), d=20.0 / np.linalg.norm(hkl, axis=1))
    """
    intensity = np.asarray(intensity, dtype=np.float64)
    usable = np.isfinite(intensity)
    with style():
        figure, panels = titled_panels(title or "Reflections", (f"{len(hkl)} reflections", *about), 4, columns=2)
        _draw_section(panels[0], np.asarray(hkl)[usable], intensity[usable])
        _draw_distribution(panels[1], intensity[usable])
        _draw_shells(panels[2], d, usable, intensity, "Mean intensity", "ln ⟨I⟩", logarithm=True)
        ratio = np.full(len(intensity), np.nan)
        if sigma is not None:
            sigma = np.asarray(sigma, dtype=np.float64)
            np.divide(intensity, sigma, out=ratio, where=usable & (sigma > 0))
        _draw_shells(panels[3], d, np.isfinite(ratio), ratio, "Significance", "⟨I / σ⟩")
    return figure


def _draw_section(axes: Axes, hkl: NDArray[Any], intensity: NDArray[np.float64]) -> None:
    """The plane of constant l that has most reflections; the darker, the stronger."""
    if not len(hkl):
        axes.text(0.5, 0.5, "no intensity is known", transform=axes.transAxes, ha="center")
        return
    layers, count = np.unique(hkl[:, 2], return_counts=True)
    layer = int(layers[np.argmax(count)])
    chosen = np.flatnonzero(hkl[:, 2] == layer)[:_MOST]
    shade = np.log10(np.maximum(intensity[chosen], 1e-3 * max(float(np.median(np.abs(intensity))), 1e-300)))
    axes.scatter(hkl[chosen, 0], hkl[chosen, 1], c=shade, cmap="Blues", s=10, edgecolors="#9aa5b4", linewidths=0.2)
    axes.set_aspect("equal", adjustable="datalim")
    finish(axes, f"Reflections h k {layer}, by log I", "h", "k")


def _draw_distribution(axes: Axes, intensity: NDArray[np.float64]) -> None:
    if len(intensity):
        low, high = np.percentile(intensity, (1, 99))
        counts, edges = np.histogram(intensity, 60, (float(low), float(max(high, low + 1e-12 + abs(low) * 1e-6))))
        axes.stairs(counts, edges, fill=True, color=BLUE, alpha=0.25)
        axes.stairs(counts, edges, color=BLUE, linewidth=1.0)
    finish(axes, "Distribution, 1 to 99 %", "I", "reflections")


def _draw_shells(
    axes: Axes, d: NDArray[Any] | None, usable: NDArray[np.bool_], values: NDArray[np.float64], title: str, label: str,
    *, logarithm: bool = False,
) -> None:  # fmt: skip
    finish(axes, title, "1 / d² (1/Å²)", label)
    shown = usable if d is None else usable & np.isfinite(d) & (np.asarray(d) > 0)
    if d is None or not shown.any():
        axes.text(0.5, 0.5, "no cell" if d is None else "none known", transform=axes.transAxes, ha="center")
        return
    place = 1.0 / np.asarray(d, dtype=np.float64)[shown] ** 2
    order = np.argsort(place, kind="stable")
    shells = np.array_split(order, min(_SHELLS, len(order)))  # of equal numbers
    x = np.array([place[shell].mean() for shell in shells])
    y = np.array([values[shown][shell].mean() for shell in shells])
    if logarithm:
        y = np.log(np.where(y > 0, y, np.nan))
    axes.plot(x, y, "o-", color=BLUE, markersize=3.5, linewidth=1.2)
