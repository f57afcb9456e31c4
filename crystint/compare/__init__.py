"""What a sparse file lost: raw frames against the frames that densify makes of it, per resolution shell."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
