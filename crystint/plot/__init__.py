"""Pictures of frames and results, made with Matplotlib and without its global state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystint.lazy import lazy_names

if TYPE_CHECKING:
    from crystint.plot.cbc import plot_cbc
    from crystint.plot.comparison import plot_comparison
    from crystint.plot.correlate import plot_correlations, plot_polar, plot_rings
    from crystint.plot.frame import plot_frame
    from crystint.plot.stills import plot_prediction, plot_stills
    from crystint.plot.style import save_figure

_HOME = {
    "plot_cbc": "plot.cbc",
    "plot_comparison": "plot.comparison",
    "plot_correlations": "plot.correlate",
    "plot_frame": "plot.frame",
    "plot_polar": "plot.correlate",
    "plot_prediction": "plot.stills",
    "plot_rings": "plot.correlate",
    "plot_stills": "plot.stills",
    "save_figure": "plot.style",
}

__all__ = [
    "plot_cbc",
    "plot_comparison",
    "plot_correlations",
    "plot_frame",
    "plot_polar",
    "plot_prediction",
    "plot_rings",
    "plot_stills",
    "save_figure",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
