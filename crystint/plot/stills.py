"""A run on stills as pictures: an overview, predictions over a frame, residuals of centroids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import ShapeError
from crystint.model.mask import combine_masks, unusable
from crystint.model.valid_values import ValidValues
from crystint.plot import stills_panels as panels
from crystint.plot.frame import _draw_frame
from crystint.plot.panels import draw_closeup
from crystint.plot.style import ACCENT, BLUE, GREY, TITLE, figure_of, new_figure, one_panel, style
from crystint.stills.merging.deviates import binned_deviates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from crystint.model.observations import Observations
    from crystint.prediction.predict import Prediction
    from crystint.stills.files import StillsRun
    from crystint.stills.scaling.centroids import CentroidResiduals

__all__ = ["plot_centroids", "plot_prediction", "plot_stills"]

_COLUMNS = 3
_CLOSEUPS = 12
_PAD = 16.0
"""Points between a panel and its title: spacings are written there."""


def plot_stills(
    run: StillsRun, *, title: str | None = None, panel: str | None = None, ax: Axes | None = None
) -> Figure:
    """Everything about a run in one picture, a panel for each thing that the run has; or one panel of it.

    Parameters
    ----------
    run : StillsRun
    title : str, optional
    panel : str, optional
        One panel alone: "scales" and "temperature factors" (with scales), "correlations", "significance",
        "completeness" and "R factors" (with statistics), "error model" (with the observations that were merged),
        "widths" (with a profile) or "excitation" (with excitation errors).
    ax : matplotlib.axes.Axes, optional
        Where to draw the panel, which is then the first that there is unless said otherwise; its figure is returned.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        When it has none of scales, merged intensities, profile widths and observations.
    SettingError
        For another panel, or one that the run has no data for.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(20, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> observations, group = data.observations(), data.experiment.space_group
    >>> merged = stills.merge(observations, space_group=group, cell=data.experiment.cell)
    >>> from crystint.plot import plot_stills, save_figure
    >>> save_figure(plot_stills(stills.StillsRun(observations=observations, merged=merged)), "run.png")
    """
    chosen = _panels(run)
    if not chosen:
        raise ShapeError("the run has nothing to draw: neither scales, merged intensities, widths nor observations")
    if panel is not None or ax is not None:
        return one_panel(chosen, panel or next(iter(chosen)), title=title, ax=ax, pad=_PAD)
    rows = -(-len(chosen) // _COLUMNS)
    with style():
        height = 0.9 + 3.25 * rows
        figure = new_figure(13.2, height)
        grid = figure.add_gridspec(
            rows, _COLUMNS, left=0.055, right=0.955, top=1.0 - 1.15 / height, bottom=0.5 / height,
            hspace=0.5, wspace=0.36,
        )  # fmt: skip
        for number, draw in enumerate(chosen.values()):
            draw(figure.add_subplot(grid[number // _COLUMNS, number % _COLUMNS]))
        figure.text(0.055, 1.0 - 0.42 / height, title or "Still images", **TITLE)
        figure.text(0.055, 1.0 - 0.68 / height, "   ·   ".join(_summary(run)), fontsize=9, color=GREY)
    return figure


def _panels(run: StillsRun) -> dict[str, Callable[[Axes], None]]:
    draws: dict[str, Callable[[Axes], None]] = {}
    merged, scales, table, profile = run.merged, run.scales, run.observations, run.profile
    if scales is not None and len(scales):
        draws["scales"] = lambda axes: panels.draw_scales(axes, scales)
        draws["temperature factors"] = lambda axes: panels.draw_b(axes, scales)
    if merged is not None and merged.statistics.shells:
        statistics = merged.statistics
        draws["correlations"] = lambda axes: panels.draw_correlations(axes, statistics)
        draws["significance"] = lambda axes: panels.draw_significance(axes, statistics)
        draws["completeness"] = lambda axes: panels.draw_completeness(axes, statistics)
        draws["R factors"] = lambda axes: panels.draw_r_factors(axes, statistics)
        if table is not None and len(merged.flags) == len(table):
            deviates = binned_deviates(table, merged, scales)
            model = merged.error_model
            if len(deviates.intensity):
                draws["error model"] = lambda axes: panels.draw_deviates(axes, deviates, model.a, model.b)
    if profile is not None:
        draws["widths"] = lambda axes: panels.draw_widths(axes, profile)
    if table is not None and np.isfinite(table.excitation).any():
        draws["excitation"] = lambda axes: panels.draw_excitation(axes, table, run.width)
    return draws


def _summary(run: StillsRun) -> list[str]:
    parts = []
    if run.scales is not None:
        parts.append(f"{int(np.isfinite(run.scales.ln_g).sum())} of {len(run.scales)} images scaled")
    if run.observations is not None:
        parts.append(f"{len(run.observations)} observations")
    if run.merged is not None and len(run.merged):
        shell = run.merged.statistics.overall
        parts += [
            f"{len(run.merged)} unique",
            f"CC½ {shell.cc_half:.3f}",
            f"R_meas {shell.r_meas:.3f}",
            *([f"ISa {isa:.1f}"] if np.isfinite(isa := run.merged.error_model.isa) else []),
        ]
    return parts


def plot_prediction(
    frame: NDArray[Any],
    predicted: Prediction | Observations,
    *,
    image: int | None = None,
    mask: NDArray[Any] | None = None,
    title: str | None = None,
    valid: ValidValues | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Predicted spots over a frame, and close-ups of those that are excited most.

    Parameters
    ----------
    frame : [slow, fast]
    predicted : Prediction or Observations
    image : int, optional
        Only the spots of this row of the experiment.
    mask : [slow, fast], optional
        Nonzero = masked.
    title : str, optional
    valid : ValidValues, optional
        Which values are measurements; None = the default of the dtype.
    ax : matplotlib.axes.Axes, optional
        Draw the frame with its spots there, and nothing else.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        When frame is not an image, or the mask of another shape.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> width = stills.RockingWidth(domain=1e-3)
    >>> from crystint.plot import plot_prediction, save_figure
    >>> predicted = stills.predict(data.experiment, 4.0, width)
    >>> save_figure(plot_prediction(next(iter(data.images())), predicted, image=0), "predicted.png")
    """
    frame = np.asarray(frame)
    if frame.ndim != 2 or 0 in frame.shape:
        raise ShapeError(f"frame is {frame.shape}, expected an image (slow, fast)")
    rows = np.ones(len(predicted), bool) if image is None else predicted.image == image
    slow, fast = np.asarray(predicted.slow, float)[rows], np.asarray(predicted.fast, float)[rows]
    share, d = predicted.partiality[rows], predicted.d[rows]
    bad = unusable(frame, valid) | (combine_masks(mask, shape=frame.shape) != 0)
    if ax is not None:
        _draw_spots(ax, frame, bad, slow, fast, share)
        if len(share):
            ax.legend(loc="lower left", fontsize="small")
        return figure_of(ax, title)
    with style():
        figure = new_figure(13.2, 8.2)
        side = figure.add_gridspec(
            1, 2, width_ratios=(1.62, 1), left=0.05, right=0.985, top=0.9, bottom=0.07, wspace=0.27
        )
        main = figure.add_subplot(side[0])
        _draw_spots(main, frame, bad, slow, fast, share)
        if len(share):
            main.legend(
                loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.1, handletextpad=0.2,
                columnspacing=1.2,
            )  # fmt: skip
        cells = side[1].subgridspec(4, 3, hspace=0.25, wspace=0.1)
        for number, row in enumerate(_best(frame, bad, slow, fast, share, d)):
            at = {"slow": slow[row], "fast": fast[row], "d": d[row], "snr": np.nan, "intensity": 0.0}
            axes = figure.add_subplot(cells[number // 3, number % 3])
            draw_closeup(axes, frame, bad, at)
            axes.set_title(f"{d[row]:.2f} Å   p {share[row]:.2f}", fontsize=8, pad=3)
        figure.text(side[1].get_position(figure).x0, 0.933, "Where the most excited are predicted", fontsize=9.5)
        figure.text(0.05, 0.962, title or "Predicted spots", **TITLE)
    return figure


def _draw_spots(
    axes: Axes,
    frame: NDArray[Any],
    bad: NDArray[np.bool_],
    slow: NDArray[np.float64],
    fast: NDArray[np.float64],
    share: NDArray[np.float64],
) -> None:
    """The frame, and circles around spots coloured by their partiality."""
    _draw_frame(axes, frame, bad, None)
    for low, high, colour, label in (
        (0.5, 1.1, ACCENT, "partiality 0.5 and more"),
        (0.1, 0.5, BLUE, "0.1 to 0.5"),
        (-0.1, 0.1, GREY, "below 0.1"),
    ):
        here = (share >= low) & (share < high)
        if here.any():
            axes.plot(
                fast[here], slow[here], linestyle="none", marker="o", markersize=6, fillstyle="none",
                markeredgecolor=colour, markeredgewidth=0.8, label=f"{label}: {int(here.sum())}",
            )  # fmt: skip


def _best(
    frame: NDArray[Any],
    bad: NDArray[np.bool_],
    slow: NDArray[np.float64],
    fast: NDArray[np.float64],
    share: NDArray[np.float64],
    d: NDArray[np.float64],
) -> NDArray[np.intp]:
    """Rows to look at closely: the most partial of each shell of resolution, on usable pixels."""
    row, column = np.floor(slow).astype(int), np.floor(fast).astype(int)
    inside = (row >= 0) & (row < frame.shape[0]) & (column >= 0) & (column < frame.shape[1])
    inside[inside] = ~bad[row[inside], column[inside]]
    good = np.flatnonzero(inside)
    good = good[np.argsort(-d[good], kind="stable")]
    parts = [part for part in np.array_split(good, _CLOSEUPS) if len(part)]
    return np.array([part[np.argmax(share[part])] for part in parts], dtype=np.intp)


def plot_centroids(
    residuals: CentroidResiduals, n_images: int, *, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Where spots are seen against where they are predicted: all of them, and the mean of each image.

    Parameters
    ----------
    residuals : CentroidResiduals
    n_images : int
        Images of the experiment.
    title : str, optional
    ax : matplotlib.axes.Axes, optional
        Draw the cloud of all spots there, and nothing else.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        When no spot has a residual.
    """
    use = residuals.used
    if not use.any():
        raise ShapeError("no spot has a residual: there is nothing to draw")
    parts = {
        name: (getattr(residuals, name) / getattr(residuals, f"{name}_pixel"))[use] for name in ("radial", "tangential")
    }
    reach = float(np.percentile(np.abs(np.concatenate(list(parts.values()))), 99)) or 1.0
    if ax is not None:
        _draw_cloud(ax, parts, reach)
        return figure_of(ax, title)
    per_image = residuals.per_image(n_images)
    with style():
        figure = new_figure(13.2, 4.6)
        grid = figure.add_gridspec(1, 3, left=0.06, right=0.98, top=0.78, bottom=0.12, wspace=0.26)
        cloud, counts, images = (figure.add_subplot(grid[i]) for i in range(3))
        _draw_cloud(cloud, parts, reach)
        edges = np.linspace(-reach, reach, 61)
        for (name, values), colour in zip(parts.items(), (BLUE, ACCENT), strict=True):
            counts.stairs(np.histogram(values, edges)[0], edges, color=colour, linewidth=1.2, label=name)
        counts.set(xlabel="px", ylabel="spots", xlim=(-reach, reach))
        counts.legend(loc="upper right")
        panels.finish(counts, "Distribution")
        number = np.arange(n_images)
        images.axhline(0, color=GREY, linewidth=0.8)
        for name, colour in (("radial", BLUE), ("tangential", ACCENT)):
            mean, sigma = getattr(per_image, name), getattr(per_image, f"{name}_sigma")
            images.vlines(number, mean - sigma, mean + sigma, color=colour, alpha=0.3, linewidth=0.8)
            size = 3 if n_images < 400 else 1.5
            images.plot(number, mean, "o", color=colour, markersize=size, markeredgewidth=0, label=name)
        images.set(xlabel="image", ylabel="mean (px)", xlim=(-0.5, max(n_images - 0.5, 0.5)))
        images.legend(loc="upper right")
        panels.finish(images, "Mean of each image")
        floor = residuals.floor()
        text = (
            f"{int(use.sum())} spots of {n_images} images   ·   spread beyond that of the counts: "
            f"radial {floor[0]:.2f} px, tangential {floor[1]:.2f} px"
        )
        figure.text(0.06, 0.91, title or "Centroids of strong spots", **TITLE)
        figure.text(0.06, 0.855, text, fontsize=9, color=GREY)
    return figure


def _draw_cloud(axes: Axes, parts: Mapping[str, NDArray[np.float64]], reach: float) -> None:
    """Radial over tangential residuals of all spots."""
    alpha = float(np.clip(300 / len(parts["radial"]), 0.05, 0.6))
    place = (parts["tangential"], parts["radial"])
    axes.plot(*place, "o", color=BLUE, markersize=2.5, alpha=alpha, markeredgewidth=0)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.plot(np.median(place[0]), np.median(place[1]), "+", color=ACCENT, markersize=12, label="median")
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="tangential (px)", ylabel="radial, outwards (px)")
    axes.set_aspect("equal")
    axes.legend(loc="upper right")
    panels.finish(axes, "Seen minus predicted")
