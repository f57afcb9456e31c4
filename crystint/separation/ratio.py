"""How much smaller a sparse file is than the files its frames came from, said at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from crystint.errors import warn
from crystint.io.sparse.parts import file_parts
from crystint.units import readable_size

__all__ = ["SMALL", "Ratio"]

SMALL = 1_000_000
"""Bytes; of smaller files only the closing line tells the ratio."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """Sizes in bytes."""

    size: int
    """of the sparse file"""
    raw: int
    """of the files that hold the frames, or their share of them"""
    shared: int = 0
    """of the detector maps that it shares with other files, in a file of their own"""

    @classmethod
    def of(cls, output: Path, raw: int, maps: Path | None = None) -> Self:
        """Of a file that is written; a warning where it is larger than the raw files."""
        made = cls(output.stat().st_size, raw, 0 if maps is None else maps.stat().st_size)
        if made.size > max(raw, SMALL):
            parts = file_parts(output)
            advice = "put the frames of a run into one file"
            if not parts.shared:
                once = f"{readable_size(parts.maps)} of it are detector maps, which a file has once"
                advice = f"{once}: {advice}, or let the files of a series share them (--maps FILE.h5)"
            sizes = f"{readable_size(made.size)} against {readable_size(raw)}"
            warn(f"{output} is larger than the raw files ({sizes}); {advice}")
        return made

    @property
    def ratio(self) -> float:
        """Raw over sparse."""
        return self.raw / self.size

    @property
    def text(self) -> str:
        """ "12.3 times smaller than the raw files (1.2 GB)"."""
        raw = f"the raw files ({readable_size(self.raw)})"
        if self.shared:
            raw += f" without its detector maps ({readable_size(self.shared)}, once for all files that share them)"
        if self.ratio >= 1.0:
            return f"{self.ratio:.3g} times smaller than {raw}"
        return f"{1.0 / self.ratio:.3g} times LARGER than {raw}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"bytes": self.size, "shared_bytes": self.shared, "raw_bytes": self.raw, "ratio": self.ratio}
