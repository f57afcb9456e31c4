"""A scaling of convergent-beam data as a picture: maps of the crystal, intensities, convergence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.cbc.merging.result import CBCRun, agreement
from crystint.cbc.plot_step import Drawing
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.plot import cbc_panels as panels
from crystint.plot.style import GREY, INK, TITLE, frame_colours, new_figure, one_panel, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "plot_cbc"]

_LEFT, _RIGHT, _WIDTH = 0.06, 0.985, 13.2
_COLUMNS = 8
_HEAD, _PANEL, _FOOT, _GAP = 1.15, 3.0, 0.5, 0.88
"""Heights in inches: above the maps, of the panels, below them, and between maps and panels."""
_BETWEEN, _BAR, _MAP = 0.08, 0.42, 2.1
"""Inches: between maps, for the scale of grey, and the longest side of a map."""


def plot_cbc(
    run: CBCRun, *, frames: int = 8, title: str | None = None, panel: str | None = None, ax: Axes | None = None
) -> Figure:
    """Everything about a scaling in one picture, or one panel of it.

    The maps chi_n, and the true ones below them where there are any; |q|^2 against a reference or the truth; half sets,
    errors, and how the criterion converged.

    Parameters
    ----------
    run : CBCRun
    frames : int
        So many maps at most, evenly over the frames.
    title : str, optional
    panel : str, optional
        One panel alone: "agreement" and "deviates" (with a reference, or the truth), "significance" (with sigma),
        "halves" (with half sets) or "convergence".
    ax : matplotlib Axes, optional
        Where to draw the panel, which is then "convergence" unless said otherwise; its figure is returned.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For another panel, or one that the run has no data for.

    Examples
    --------
    >>> import subprocess
    >>> import sys
    >>> from crystint import cbc
    >>> from crystint.plot import plot_cbc, save_figure
    >>> for step in (
    ...     "simulate -o table.h5 --frames 2 --rows 1000",
    ...     "scale table.h5 -o scaled.h5 --bandwidth 5e-3 -q",
    ... ):
    ...     command = [sys.executable, "-m", "crystint", "cbc", *step.split()]
    ...     _ = subprocess.run(command, check=True, capture_output=True)
    >>> save_figure(plot_cbc(cbc.read_run("scaled.h5")), "scaled.png")
    """
    if panel is not None or ax is not None:
        return one_panel(_panels(run), panel or "convergence", title=title, ax=ax)
    reference = run.reference
    shown = _chosen(run.maps, max(1, min(frames, _COLUMNS)))
    maps = None if reference is None else reference.maps
    truth = None if maps is None else _same_frames(maps, run.maps.frames[shown])
    draws = list(_panels(run).values())
    draws = draws[:3] + draws[-1:] if len(draws) > 4 else draws
    lines = 1 if truth is None else 2
    room = (_RIGHT - _LEFT) * _WIDTH - _BAR
    side = min(room / len(shown) - _BETWEEN, _MAP)
    tall = _HEAD + lines * (side + _BETWEEN) + _GAP + _PANEL + _FOOT
    with style():
        figure = new_figure(_WIDTH, tall)
        _draw_maps(figure, run, shown, truth, side, tall)
        bottom = _FOOT / tall
        grid = figure.add_gridspec(
            1, len(draws), left=_LEFT, right=_RIGHT, bottom=bottom, top=(_FOOT + _PANEL) / tall, wspace=0.28
        )
        for number, draw in enumerate(draws):
            draw(figure.add_subplot(grid[0, number]))
        figure.text(_LEFT, 1.0 - 0.42 / tall, title or "Convergent-beam intensities", **TITLE)
        figure.text(_LEFT, 1.0 - 0.68 / tall, "   ·   ".join(_summary(run)), fontsize=9, color=GREY)
    return figure


def draw(drawing: Drawing) -> Figure:
    """The picture of ``crystint cbc plot``."""
    return plot_cbc(drawing.run, frames=drawing.frames, title=drawing.title)


def _chosen(maps: ProjectionMap, most: int) -> NDArray[np.intp]:
    count = len(maps.frames)
    return np.unique(np.rint(np.linspace(0, count - 1, min(most, count))).astype(np.intp))


def _same_frames(maps: ProjectionMap, frames: NDArray[np.int64]) -> list[NDArray[np.float64] | None]:
    row_of = {int(number): row for row, number in enumerate(maps.frames)}
    return [maps.values[row_of[int(number)]] if int(number) in row_of else None for number in frames]


def _draw_maps(
    figure: Figure,
    run: CBCRun,
    shown: NDArray[np.intp],
    truth: list[NDArray[np.float64] | None] | None,
    inches: float,
    tall: float,
) -> None:
    """Maps side by side, each `inches` wide, one scale of grey for all."""
    from matplotlib.colors import Normalize

    values = [run.maps.values[row] for row in shown]
    true = [one for one in truth or [] if one is not None]
    high = max(float(np.nanpercentile(np.concatenate([one.ravel() for one in [*values, *true]]), 99.5)), 1e-12)
    norm = Normalize(0.0, high, clip=True)
    side, step, high_one, down = (
        inches / _WIDTH,
        (inches + _BETWEEN) / _WIDTH,
        inches / tall,
        (inches + _BETWEEN) / tall,
    )
    top = 1.0 - _HEAD / tall
    x, y = 1e3 * run.maps.x, 1e3 * run.maps.y
    limits = (x[0], x[-1], y[0], y[-1])
    picture: Any = None
    rows: list[tuple[list[NDArray[np.float64] | None], ProjectionMap]] = [(list(values), run.maps)]
    if truth is not None and run.reference is not None and run.reference.maps is not None:
        rows.append((truth, run.reference.maps))
    for line, (images, grid) in enumerate(rows):
        for column, image in enumerate(images):
            axes: Axes = figure.add_axes((_LEFT + column * step, top - line * down - high_one, side, high_one))
            if image is None:
                axes.set_axis_off()
                continue
            edges = (_edges(1e3 * grid.x), _edges(1e3 * grid.y))
            picture = axes.pcolormesh(*edges, np.ma.masked_invalid(image), cmap=frame_colours(), norm=norm)
            axes.set_facecolor(frame_colours().get_bad())
            picture.set_rasterized(True)
            axes.set(xlim=limits[:2], ylim=limits[2:])
            axes.tick_params(length=2.5, labelsize=7)
            axes.set(xticks=_ticks(*limits[:2]), yticks=_ticks(*limits[2:]))
            if line == 0:
                axes.set_title(f"frame {run.maps.frames[shown[column]]}", fontsize=8.5, pad=3)
            if line < len(rows) - 1:
                axes.set_xticklabels([])
            if column:
                axes.set_yticklabels([])
            else:
                name = "recovered" if line == 0 else "" if run.reference is None else run.reference.name
                axes.set_ylabel(f"{name} χ\n$u_y$ (10⁻³)", fontsize=8, color=INK, linespacing=1.5)
            if line == len(rows) - 1:
                axes.set_xlabel("$u_x$ (10⁻³)", fontsize=8, labelpad=1)
    if picture is not None:
        height = (len(rows) - 1) * down + high_one
        bar = figure.add_axes((_LEFT + len(shown) * step + 0.002, top - height, 0.007, height))
        figure.colorbar(picture, cax=bar).outline.set_linewidth(0.6)
        bar.tick_params(length=2.5, labelsize=7)
        bar.set_title("χ", fontsize=8.5, pad=3)


def _ticks(low: float, high: float) -> NDArray[np.float64]:
    """A few round numbers away from the ends, so that neighbouring maps do not write over each other."""
    margin = 0.12 * (high - low)
    rough = 0.35 * (high - low)
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * max(one for one in (1.0, 2.0, 5.0) if one * power <= rough)
    return np.asarray(step * np.arange(np.ceil((low + margin) / step), np.floor((high - margin) / step) + 1.0))


def _edges(nodes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Borders half-way between nodes, and as far beyond the ends."""
    middle = 0.5 * (nodes[1:] + nodes[:-1])
    return np.concatenate([[2.0 * nodes[0] - middle[0]], middle, [2.0 * nodes[-1] - middle[-1]]])


def _panels(run: CBCRun) -> dict[str, Callable[[Axes], None]]:
    """What can be drawn of a run, by name, in the order in which it is shown."""
    draws: dict[str, Callable[[Axes], None]] = {}
    if run.reference is not None:
        reference, both = run.reference, agreement(run.hkl, run.q2, run.reference, run.sigma)
        draws["agreement"] = lambda axes: panels.draw_agreement(axes, both, reference.name)
        if reference.name == "true" and np.isfinite(both.sigma).any():
            draws["deviates"] = lambda axes: panels.draw_deviates(axes, both)
    if np.isfinite(run.sigma).any():
        draws["significance"] = lambda axes: panels.draw_errors(axes, run)
    if run.halves.shape[-1]:
        draws["halves"] = lambda axes: panels.draw_halves(axes, run.halves)
    draws["convergence"] = lambda axes: panels.draw_convergence(axes, run)
    return draws


def _summary(run: CBCRun) -> list[str]:
    settings = run.settings
    parts = [
        f"{len(run.table)} rows",
        f"{len(run.maps.frames)} frame{'' if len(run.maps.frames) == 1 else 's'}",
        f"{len(run.intercept)} streaks",
        f"{int(np.isfinite(run.q2).sum())} reflections",
    ]
    if settings.get("symmetry"):
        parts.append(
            f"symmetry {settings['symmetry']}{'' if settings.get('friedel', True) else ', Friedel mates apart'}"
        )
    if settings.get("bandwidth"):
        parts.append(f"bandwidth {float(settings['bandwidth']):.2g}")
    if run.reference is not None:
        both = agreement(run.hkl, run.q2, run.reference)
        parts += [f"CC {both.cc:.5f}", f"R {both.r:.4f}"]
    return parts
