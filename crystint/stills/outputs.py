"""Writers of the files of stills, under its roof."""

from __future__ import annotations

from crystint.io.reflections.mtz_out import write_merged_mtz, write_unmerged_mtz
from crystint.io.reflections.stills_file import StillsFile

__all__ = ["StillsFile", "write_merged_mtz", "write_unmerged_mtz"]
