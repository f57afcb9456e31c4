"""Pictures of angular correlation: powder rings and their centre, polar images, correlation maps and curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.correlate.center.ring_fit import Rings
from crystint.correlate.center_step import Centered
from crystint.correlate.plot_step import Content
from crystint.correlate.sums.coefficients import coefficients_of
from crystint.errors import SettingError
from crystint.model.correlation_run import CorrelationRun
from crystint.model.polar_image import PolarImage
from crystint.plot import correlate_panels as panels
from crystint.plot.style import GREY, TITLE, figure_of, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_centered", "plot_content", "plot_correlations", "plot_polar", "plot_rings"]

_WIDTH = 12.0
_CURVES = 3
"""rings shown as curves where none are named"""
_SHARE = 0.5
"""of a ring with data, for it to be shown unasked; less where no ring has twice as much"""
_MOST = 16
"""highest harmonic shown"""
_MAP = 6
"""rows from which a map is worth drawing"""


def plot_centered(centered: Centered) -> Figure:
    """The sum of frames with the rings that `crystint correlate center` fitted."""
    title = None if centered.calibrated is None else "Rings of the calibrant"
    return plot_rings(centered.image, centered.rings, title=title)


def plot_content(content: Content) -> Figure:
    """What `crystint correlate plot` draws."""
    if isinstance(content.data, PolarImage):
        return plot_polar(content.data, q=content.q, rings=content.rings, title=content.title)
    return plot_correlations(content.data, rings=content.rings, title=content.title)


def plot_rings(image: NDArray[Any], rings: Rings, *, title: str | None = None, ax: Axes | None = None) -> Figure:
    """A frame with the rings that were fitted, and the median of its counts at each radius.

    Parameters
    ----------
    image : real [slow, fast]
        NaN = no data.
    rings : Rings
    title : str, optional
    ax : matplotlib.axes.Axes, optional
        Draw the frame with its rings there, and nothing else.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_frame((150, 160), center=(75.3, 81.8), radii=(30.0, 50.0), seed=1)
    >>> from crystint.plot import plot_rings, save_figure
    >>> save_figure(plot_rings(data.frame, correlate.fit_rings(data.frame, data.mask)), "rings.png")
    """
    values = np.asarray(image, dtype=np.float64)
    if ax is not None:
        panels.draw_frame(ax, values, rings)
        return figure_of(ax, title)
    with style():
        figure = new_figure(_WIDTH, 5.9)
        grid = figure.add_gridspec(1, 2, left=0.055, right=0.985, bottom=0.095, top=0.83, width_ratios=(1.0, 1.1))
        panels.draw_frame(figure.add_subplot(grid[0, 0]), values, rings)
        panels.draw_radial(figure.add_subplot(grid[0, 1]), values, rings)
        (slow, fast), (slow_error, fast_error) = rings.center, rings.center_error
        about = [
            f"centre {slow:.2f} ± {slow_error:.2f}, {fast:.2f} ± {fast_error:.2f} px (slow, fast)",
            f"{len(rings.radius)} ring{'' if len(rings.radius) == 1 else 's'}",
        ]
        _head(figure, title or "Powder rings", about)
    return figure


def plot_polar(
    image: PolarImage,
    *,
    q: Floats | None = None,
    rings: Sequence[float] = (),
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """A polar image, the median of each ring beside it, and single rings below.

    Parameters
    ----------
    image : PolarImage
    q : float64 [rows], optional
        1/angstrom: of the rows, where known.
    rings : sequence of float
        Rings to show, px (1/angstrom in a grid of q); none = some that stand out.
    title : str, optional
    ax : matplotlib.axes.Axes, optional
        Draw the polar image there, and nothing else.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        When a ring is not there.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_frame((150, 160), center=(75.3, 81.8), radii=(30.0, 50.0), seed=1)
    >>> grid = correlate.PolarGrid(data.center, np.arange(20.0, 60.0))
    >>> from crystint.plot import plot_polar, save_figure
    >>> save_figure(plot_polar(correlate.polar_image(data.frame, grid)), "polar.png")
    """
    places, label = (image.grid.radii, "radius (px)") if image.grid.q is None else (image.grid.q, "q (1/Å)")
    values = image.values.astype(np.float64)
    if ax is not None:
        panels.draw_polar(ax, values, np.degrees(image.grid.angles), places, label)
        return figure_of(ax, title)
    middle = panels.median_of(values)
    share = np.isfinite(values).mean(axis=1)
    full = share >= min(_SHARE, 0.5 * float(share.max()))
    chosen = [_row(places, value) for value in rings] or _strong(np.where(full, middle, np.nan), _CURVES)
    with style():
        figure = new_figure(_WIDTH, 4.9 + 1.35 * len(chosen))
        tall = figure.get_figheight()
        top = figure.add_gridspec(
            1, 2, left=0.065, right=0.985, bottom=1.0 - 4.35 / tall, top=1.0 - 0.95 / tall,
            width_ratios=(3.2, 1.0), wspace=0.02,
        )  # fmt: skip
        main = figure.add_subplot(top[0, 0])
        panels.draw_polar(main, values, np.degrees(image.grid.angles), places, label)
        if not np.isfinite(values).any():
            panels.say_no_data(main)
        panels.draw_ring_levels(figure.add_subplot(top[0, 1], sharey=main), middle, places, chosen)
        if chosen:
            low = figure.add_gridspec(
                len(chosen), 1, left=0.065, right=0.985, bottom=0.5 / tall, top=1.0 - 5.05 / tall, hspace=0.42
            )
            for number, row in enumerate(chosen):
                axes = figure.add_subplot(low[number, 0])
                name = _name(places, label, row, None if image.grid.q is not None or q is None else q)
                last = number == len(chosen) - 1
                panels.draw_ring(axes, values[row], np.degrees(image.grid.angles), name, last=last)
        covered = 100.0 * float(np.mean(image.weights))
        about = [f"{len(places)} rings × {image.grid.azimuths} azimuths", f"{covered:.1f} % with data"]
        about.append(f"centre {image.grid.center[0]:.2f}, {image.grid.center[1]:.2f} px (slow, fast)")
        _head(figure, title or "Polar image", about)
    return figure


def plot_correlations(
    run: CorrelationRun, *, rings: Sequence[float] = (), title: str | None = None, ax: Axes | None = None
) -> Figure:
    """A map of all correlations, some of them as curves over the lag and cos psi, and their Fourier coefficients.

    Parameters
    ----------
    run : CorrelationRun
    rings : sequence of float
        Rings to show, px (1/angstrom where they were laid out by q); the first 8 rows that hold one are shown. None =
        the strongest.
    title : str, optional
    ax : matplotlib.axes.Axes, optional
        Draw the map there, or the first row with one of the rings over the lag, and nothing else.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        When a ring is in no row.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_rings(20, 360, seed=1)
    >>> correlator = correlate.Correlator()
    >>> for exposure in data.values:
    ...     correlator.add(exposure)
    >>> run = correlate.CorrelationRun(correlator.sums, radii=np.array([100.0]), pairs=np.array([[0, 0]]))
    >>> from crystint.plot import plot_correlations, save_figure
    >>> save_figure(plot_correlations(run), "correlations.png")
    """
    values, error, names, cosine = run.correlation, run.error, run.names(), run.cos_psi()
    own = bool((run.pairs[:, 0] == run.pairs[:, 1]).all())
    chosen = _rows_with(run, rings) if rings else _strong(panels.significance(values), _CURVES)
    mapped = len(values) >= _MAP
    if not chosen and not mapped:
        chosen = list(range(min(_CURVES, len(values))))
    rows = run.places[run.pairs[:, 0]] if own else np.arange(float(len(values)))
    label = "row" if not own else "q (1/Å)" if run.of_q else "radius (px)"
    if ax is not None:
        if rings:
            panels.draw_lags(ax, values[chosen[0]], error[chosen[0]], names[chosen[0]], last=True)
        else:
            panels.draw_map(ax, values, rows, label)
        return figure_of(ax, title)
    lines = len(chosen)
    c = coefficients_of(run, min(_MOST, (run.sums.n - 1) // 2), chosen)
    with style():
        figure = new_figure(_WIDTH, (5.15 if mapped else 1.65) + 2.1 * lines)
        tall = figure.get_figheight()
        if mapped:
            box = (0.065, 1.0 - 4.35 / tall, 0.865, 3.4 / tall)
            axes = figure.add_axes(box)
            picture = panels.draw_map(axes, values, rows, label)
            bar = figure.add_axes((0.94, box[1], 0.012, box[3]))
            figure.colorbar(picture, cax=bar).outline.set_linewidth(0.6)
        if chosen:
            low = figure.add_gridspec(
                lines, 3, left=0.065, right=0.985, bottom=0.5 / tall, top=1.0 - (5.15 if mapped else 1.1) / tall,
                wspace=0.24, hspace=0.62, width_ratios=(1.5, 1.0, 0.8),
            )  # fmt: skip
        for number, row in enumerate(chosen):
            last = number == lines - 1
            one = values[row], error[row]
            panels.draw_lags(figure.add_subplot(low[number, 0]), *one, names[row], last=last)
            panels.draw_cosine(
                figure.add_subplot(low[number, 1]), *one, None if cosine is None else cosine[row], last=last
            )
            spectrum = c.values.real[number], c.error[number], c.noise[number]
            panels.draw_coefficients(figure.add_subplot(low[number, 2]), *spectrum, last=last)
        _head(figure, title or "Angular correlation", _about(run))
    return figure


def _about(run: CorrelationRun) -> list[str]:
    difference = run.kind.startswith("difference")
    number = run.sums.number
    what = "pair" if difference else "exposure"
    rows = len(run.pairs)
    parts = [f"{number} {what}{'' if number == 1 else 's'}", f"{rows} row{'' if rows == 1 else 's'}", run.kind]
    norm = {"mask": "per pair of valid samples", "mean": "per sample", "sum": "sums over the ring"}[run.norm]
    return [*parts, norm + (", over ⟨I₁⟩⟨I₂⟩" if run.by_intensity else "")]


def _head(figure: Figure, title: str, about: Sequence[str]) -> None:
    tall = figure.get_figheight()
    figure.text(0.065, 1.0 - 0.36 / tall, title, **TITLE)
    figure.text(0.065, 1.0 - 0.6 / tall, "   ·   ".join(about), fontsize=9, color=GREY)


def _name(places: Floats, label: str, row: int, q: Floats | None) -> str:
    unit = label[label.index("(") + 1 : -1]
    text = f"{places[row]:.4g} {unit}"
    return text if q is None else f"{text}, q {q[row]:.3f} 1/Å"


def _row(places: Floats, value: float) -> int:
    row = int(np.argmin(np.abs(places - value)))
    step = float(np.diff(places).max()) if len(places) > 1 else max(1.0, places[0])
    if abs(places[row] - value) > 0.5 * step * (1.0 + 1e-9):
        raise SettingError(f"there is no ring at {value:g}: rings are from {places[0]:g} to {places[-1]:g}")
    return row


def _rows_with(run: CorrelationRun, rings: Sequence[float]) -> list[int]:
    chosen: list[int] = []
    for value in rings:
        ring = _row(run.places, value)
        rows = np.flatnonzero((run.pairs == ring).any(axis=1)).tolist()
        if not rows:
            raise SettingError(f"the ring at {value:g} is in no row of this file")
        chosen += [row for row in rows if row not in chosen]
    return chosen[:8]


def _strong(score: Floats, most: int) -> list[int]:
    """Rows of local maxima of a score above the median about them, the strongest, in ascending order."""
    finite = np.where(np.isfinite(score), score, -np.inf)
    if not np.isfinite(finite).any():
        return []
    if len(finite) <= most:
        return [int(row) for row in np.flatnonzero(np.isfinite(finite))]
    reach = max(2, len(finite) // 20)
    line = np.where(np.isfinite(finite), finite, np.nanmin(np.where(np.isfinite(score), score, np.nan)))
    around = np.lib.stride_tricks.sliding_window_view(np.pad(line, reach, mode="edge"), 2 * reach + 1)
    stands = np.where(np.isfinite(finite), line - np.median(around, axis=1), -np.inf)
    rows: list[int] = []
    for row in np.argsort(-stands, kind="stable"):
        if len(rows) < most and np.isfinite(stands[row]) and all(abs(int(row) - one) > reach for one in rows):
            rows.append(int(row))
    return sorted(rows)
