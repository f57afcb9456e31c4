"""What a sparse file lost: raw frames against the frames that densify makes of it, per resolution shell."""

from __future__ import annotations

from crystint.compare.comparison import Comparison
from crystint.compare.measure import measure
from crystint.compare.run import compare
from crystint.compare.shells import SHELL_DTYPE, Shells

__all__ = ["SHELL_DTYPE", "Comparison", "Shells", "compare", "measure"]
