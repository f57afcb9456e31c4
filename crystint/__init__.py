"""crystint separates signal from background in X-ray diffraction frames on any OpenCL device.

>>> import crystint
>>> frames = crystint.open_frames("run_master.h5")           # doctest: +SKIP
>>> separator = crystint.Separator(frames.geometry)          # doctest: +SKIP
>>> peaks = separator.peaks(frames[0])                       # doctest: +SKIP

Importing it opens and creates nothing; each public name is loaded when it is first used.
"""

from __future__ import annotations

import lazy_loader

from crystint import moved

__version__ = "0.1.0"
"""Version of this package, as PEP 440 has it."""

moved.install()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
