"""Signal separation from frames to files: peaks, sparsify, densify, as the commands do it."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
