"""Pictures of frames, comparisons and files of all kinds, made with Matplotlib and without its global state."""

from __future__ import annotations

import lazy_loader

from crystint.packages import name_functions

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

name_functions(__name__, "crystint.plot.plot_frame(frame) draws a frame, crystint.plot.save_figure writes a figure")
