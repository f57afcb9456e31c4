"""Indexing: from the peaks of frames to the orientations of the crystals.

>>> from crystint import index
>>> cell = index.KnownCell.of((79.1, 79.1, 38.3, 90, 90, 90), "P43212")
>>> index.index_files("peaks.cxi", ["indexed.expt"], cell=cell.cell)                  # doctest: +SKIP
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
