"""How fast this machine separates signal from background: times of one frame, in units of copying it.

Machines are shared and differ, so every operation is timed in turn, many times over, in one run on one
frame; the median is given, in milliseconds and in `copies`: in times of ``numpy.copyto`` of that frame.
Beside the wall time stands the processor time of all threads. docs/speed.md says how to read it.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
