"""What a source file holds beside the pixels, carried along as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["SourceMetadata"]


@dataclass(frozen=True, slots=True, eq=False)
class SourceMetadata:
    """Data sets and groups of the (first) file of a run; of formats with a header of text, that text.

    Examples
    --------
    >>> import crystint
    >>> crystint.SourceMetadata.of_header("frame.cbf", "# Detector: PILATUS").values["header"][0]
    '# Detector: PILATUS'
    """

    file: str = ""
    """the file"""
    groups: Mapping[str, str] = field(default_factory=dict)
    """NeXus class, "" for none, by the path from the entry; a group comes before what is in it"""
    values: Mapping[str, tuple[Any, Mapping[str, Any]]] = field(default_factory=dict)
    """value and attributes of each data set, by its path from the entry"""
    left_out: tuple[str, ...] = ()
    """paths of what is not carried: frames, masks and other large data sets, links that lead nowhere"""

    def __bool__(self) -> bool:
        return bool(self.values)

    @classmethod
    def of_header(cls, file: str, text: str) -> SourceMetadata:
        """Of a file with a header of text."""
        return cls(file, values={"header": (text, {})})
