"""Detectors that are not flat, and that the header of a frame does not describe as panels."""

from __future__ import annotations

import re

__all__ = ["PANELS_NEEDED", "curved_detector"]

PANELS_NEEDED = "give its panels with -g (CrystFEL .geom, or an NXmx file with the axes of its modules)"

_NAMES = {
    r"PILATUS[23]?\s*(?:X\s*)?(?:CdTe\s*)?12\s*M\b|P12M\b": "a PILATUS 12M, banks of modules on half a cylinder",
    r"\bHyPix-?\s*Arc\b": "a HyPix-Arc, modules round the sample",
    r"\bRAPID\b": "a R-AXIS RAPID, an imaging plate on a cylinder",
    r"\bAarhus\b": "the vacuum imaging plate of Aarhus, a cylinder",
}
_SHAPES = {(5071, 2463): "a PILATUS 12M (by its shape), banks of modules on half a cylinder"}
"""24 banks of 195 rows, 17 rows apart, are as high as no flat PILATUS."""


def curved_detector(shape: tuple[int, int], name: str = "") -> str | None:
    """What it is, when the shape (slow, fast) of its frames or its name is that of a detector that is not flat."""
    for pattern, text in _NAMES.items():
        if re.search(pattern, name, re.IGNORECASE):
            return text
    return _SHAPES.get(shape)
