"""Tables of streaks of convergent beams before they are scaled, and how the beam and the sample stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crystint.plot.style import ACCENT, BLUE, finish, frame_colours, style, titled_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from crystint.cbc import CBCSetup, CBCTable

__all__ = ["plot_setup", "plot_table"]


def plot_table(table: CBCTable, *, frame: int = 0, title: str | None = None) -> Figure:
    """The pixels of the streaks of one frame by their counts, and all pixels' counts and profiles.

    Parameters
    ----------
    table : CBCTable
    frame : int
        Which of the frames of the table, from 0; -1 = the last.
    title : str, optional
    """
    numbers, starts = np.unique(table.frame, return_index=True)
    chosen = table.frame == numbers[frame]
    about = [f"{len(table.x)} pixels", f"{len(np.unique(table.streak))} streaks", f"{len(numbers)} frames"]
    with style():
        figure, (image, profile, sizes) = titled_panels(title or "Streaks", about, 3)
        over = table.counts - table.background
        shade = np.sqrt(np.maximum(over[chosen], 0.0))
        image.scatter(table.x[chosen], table.y[chosen], c=shade, cmap=frame_colours(), s=2, linewidths=0)
        image.set_aspect("equal")
        image.invert_yaxis()
        finish(image, f"Frame {numbers[frame]}: counts above background", "fast (px)", "slow (px)", grid=False)
        profile.plot(table.profile[chosen], over[chosen], ".", color=BLUE, markersize=1.5, alpha=0.5)
        finish(profile, "Counts above background against the profile", "f²", "counts")
        sizes.plot(numbers, np.diff([*starts, len(table.frame)]), "o", color=ACCENT, markersize=3)
        finish(sizes, "Pixels of each frame", "frame", "pixels")
    return figure


def plot_setup(setup: CBCSetup, *, title: str | None = None) -> Figure:
    """The shadow of the lens on the detector, and where the sample stood in each frame."""
    from matplotlib.patches import Rectangle

    y0, y1, x0, x1 = (float(value) for value in setup.pupil)
    about = [f"wavelength {1e10 * setup.wavelength:.5g} Å", f"{len(setup.rotation)} orientations"]
    about.append("cell " + " ".join(f"{value:.4g}" for value in setup.cell))
    with style():
        figure, (pupil, sample) = titled_panels(title or "Convergent-beam setup", about, 2)
        pupil.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, facecolor=BLUE, alpha=0.3, edgecolor=BLUE))
        slow, fast = setup.shape if setup.shape is not None else (1.2 * y1, 1.2 * x1)
        pupil.set(xlim=(0, fast), ylim=(slow, 0))
        pupil.set_aspect("equal")
        finish(pupil, "Shadow of the lens", "fast (px)", "slow (px)", grid=False)
        z = 1e3 * np.atleast_1d(np.asarray(setup.sample_z, dtype=np.float64))
        sample.plot(z, "o", color=ACCENT, markersize=3)
        finish(sample, "Sample before the detector", "frame", "mm")
    return figure
