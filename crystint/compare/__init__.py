"""What a sparse file lost: raw frames against the frames that densify makes of it, per resolution shell."""

from __future__ import annotations

import lazy_loader

from crystint.packages import name_functions

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

name_functions(__name__, "crystint.compare.compare(frames, sparse) compares")
