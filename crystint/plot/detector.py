"""Detectors without frames: geometry, masks, and the crystals before them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.experiment import Experiment
from crystint.model.geometry import Geometry
from crystint.plot.assembled import Assembled, assembled, corners
from crystint.plot.frame import draw_rings
from crystint.plot.style import ACCENT, BLUE, GREY, INK, MASKED, finish, style, titled_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from crystint.separation.mask_step import FoundMask

__all__ = ["plot_bad_pixels", "plot_experiment", "plot_geometry", "plot_mask"]

_LARGEST = 1000
"""Pixels of a picture of a mask along its longer side."""


def plot_geometry(geometry: Geometry, *, title: str | None = None) -> Figure:
    """The detector with its panels, the beam, and rings of equal resolution.

    Parameters
    ----------
    geometry : Geometry
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import crystint
    >>> geometry = crystint.Geometry((200, 210), (1e-4, 1e-4), 0.1, (100.0, 105.0), wavelength=1.0)
    >>> figure = crystint.plot.plot_geometry(geometry)
    """
    about = [
        f"{geometry.shape[0]} × {geometry.shape[1]} px",
        f"distance {1e3 * geometry.distance:.5g} mm",
        f"beam {geometry.direct_beam[0]:.2f}, {geometry.direct_beam[1]:.2f} px (slow, fast)",
    ]
    if geometry.wavelength is not None:
        about.append(f"{geometry.wavelength:.5g} Å")
    with style():
        figure, (axes,) = titled_panels(title or "Geometry", about[:2], 1)
        figure.set_size_inches(8.0, 8.0)
        figure.texts[1].set_text("   ·   ".join(about))
        view = assembled(geometry)
        plane = geometry if view is None else view.plane
        _outline(axes, geometry, view)
        draw_rings(axes, plane)
        axes.set_aspect("equal")
        axes.set(xlim=(0, plane.shape[1]), ylim=(plane.shape[0], 0))
        names = ("fast (px)", "slow (px)") if view is None else ("x on a plane across the beam (px)", "y (px)")
        finish(axes, "", *names, grid=False)
    return figure


def _outline(axes: Axes, geometry: Geometry, view: Assembled | None) -> None:
    from matplotlib.patches import Polygon

    for panel in geometry.panels or ():
        slow, fast = corners(panel)
        places = np.stack([slow, fast]) if view is None else view.place(slow, fast)
        axes.add_patch(Polygon(places[::-1].T[[0, 1, 3, 2]], fill=False, edgecolor=GREY, linewidth=0.6))


_BITS = (
    (0x02, "dead", "#111111"),
    (0x08, "hot", ACCENT),
    (0x10, "flickering", "#ee9b00"),
    (0x04, "under-responding", "#0a9396"),
    (0x100, "user, beam stop", BLUE),
    (0x01, "gap", MASKED),
)
"""Bits of NXmx in the order in which a pixel of several is drawn, and their colours."""


def plot_mask(mask: NDArray[Any], *, title: str | None = None) -> Figure:
    """Masked pixels, coloured by their bits, and how many there are in each row and column.

    Parameters
    ----------
    mask : [slow, fast]
        Nonzero = masked. The bits of an integer mask are those of NXmx.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import crystint
    >>> import numpy as np
    >>> figure = crystint.plot.plot_mask(np.eye(100, 110))
    """
    values = np.asarray(mask)
    bad = values != 0
    about = [f"{bad.shape[0]} × {bad.shape[1]} px", f"{int(bad.sum())} masked ({100 * bad.mean():.3g} %)"]
    with style():
        figure, (image, rows, columns) = titled_panels(title or "Mask", about, 3)
        _draw_classes(image, values)
        finish(image, "Masked pixels", "fast (px)", "slow (px)", grid=False)
        for axes, axis, name in ((rows, 1, "row"), (columns, 0, "column")):
            axes.plot(bad.sum(axis=axis), color=BLUE, linewidth=0.8)
            finish(axes, f"Masked pixels of each {name}", f"{name} (px)", "pixels")
    return figure


def _draw_classes(axes: Axes, mask: NDArray[Any]) -> None:
    """The classes of masked pixels; a single one in a block of pixels is seen."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    bits = mask.astype(np.int64) if mask.dtype.kind in "iu" else (mask != 0) * np.int64(0x100)
    classes = np.where(bits != 0, len(_BITS) + 1, 0)  # masked, by a bit without a colour of its own
    for number, (bit, _, _) in reversed(list(enumerate(_BITS, start=1))):
        classes[bits & bit != 0] = number
    step = max(1, -(-max(classes.shape) // _LARGEST))
    rank = np.where(classes > 0, len(_BITS) + 2 - classes, 0)  # the first class of a block counts
    shown = np.maximum.reduceat(rank, np.arange(0, rank.shape[0], step), axis=0)
    shown = np.maximum.reduceat(shown, np.arange(0, rank.shape[1], step), axis=1)
    colours = ["white", GREY, *(colour for _, _, colour in reversed(_BITS))]
    extent = (0, mask.shape[1], mask.shape[0], 0)
    axes.imshow(
        shown, cmap=ListedColormap(colours), vmin=0, vmax=len(colours) - 1, extent=extent, interpolation="nearest"
    )
    counts = [(name, colour, int(np.count_nonzero(bits & bit))) for bit, name, colour in _BITS]
    patches = [Patch(color=colour, label=f"{name} {number}") for name, colour, number in counts if number]
    if patches and mask.dtype.kind in "iu":
        axes.legend(handles=patches, loc="upper right", fontsize="small")


def plot_bad_pixels(result: FoundMask) -> Figure:
    """What ``crystint mask`` result: the mask, and circles where spots come back."""
    figure = plot_mask(result.mask, title="Bad pixels")
    axes = figure.axes[0]
    axes.plot(
        result.places["fast"], result.places["slow"], "o", markersize=7, color=INK, markerfacecolor="none",
        markeredgewidth=0.8,
    )  # fmt: skip
    return figure


def plot_experiment(experiment: Experiment, *, title: str | None = None) -> Figure:
    """How the crystals of the images are turned, their cells and wavelengths.

    The axes a*, b* and c* of each image stand in a stereographic projection along the beam; those that point away from
    the source are hollow.

    Parameters
    ----------
    experiment : Experiment
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import crystint
    >>> from crystint import stills
    >>> made = stills.simulate_stills(3, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> figure = crystint.plot.plot_experiment(made.experiment)
    """
    setting = experiment.setting
    about = [f"{len(setting)} images", "cell " + " ".join(f"{value:.4g}" for value in experiment.cell)]
    about.append(experiment.space_group.xhm())
    with style():
        figure, (axes, lengths, waves) = titled_panels(title or "Experiments", about, 3)
        _draw_orientations(axes, setting)
        names = ("a*", "b*", "c*")
        for number, colour in enumerate((ACCENT, BLUE, GREY)):
            length = np.linalg.norm(setting[:, :, number], axis=1)
            lengths.plot(length, ".", color=colour, markersize=4, label=names[number])
        lengths.legend(loc="upper right")
        finish(lengths, "Lengths of the axes", "image", "1/Å")
        waves.plot(np.atleast_1d(experiment.wavelength), ".", color=INK, markersize=4)
        waves.ticklabel_format(useOffset=False)
        finish(waves, "Wavelength", "image", "Å")
    return figure


def _draw_orientations(axes: Axes, setting: NDArray[np.float64]) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle((0, 0), 1.0, fill=False, edgecolor=MASKED))
    for number, colour in enumerate((ACCENT, BLUE, GREY)):
        direction = setting[:, :, number] / np.linalg.norm(setting[:, :, number], axis=1, keepdims=True)
        ahead = direction[:, 2] >= 0
        place = direction[:, :2] / (1.0 + np.abs(direction[:, 2:]))
        for some, face in ((ahead, colour), (~ahead, "none")):
            axes.plot(*place[some].T, "o", markersize=3.5, color=colour, markerfacecolor=face, markeredgewidth=0.7)
    axes.set_aspect("equal")
    axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), xticks=[], yticks=[])
    finish(axes, "Directions of a* (red), b* (blue), c* (grey)", "", "", grid=False)
