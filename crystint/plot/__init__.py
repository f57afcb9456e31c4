"""Pictures of frames and comparisons, made with Matplotlib and without its global state."""

from __future__ import annotations

from crystint.plot.comparison import plot_comparison
from crystint.plot.frame import plot_frame
from crystint.plot.style import save_figure

__all__ = ["plot_comparison", "plot_frame", "save_figure"]
