"""The header of MarCCD and Rayonix frames: 3072 bytes behind the first 1024 of a TIFF file.

Offsets and units: "The MarCCD image format", mar research; the horizontal axis is the fast one.
"""

from __future__ import annotations

import struct

from crystint.model.partial_geometry import PartialGeometry

__all__ = ["MARCCD_BYTES", "marccd_geometry", "marccd_saturation"]

MARCCD_BYTES = 4096
_START = 1024
_BIG_ENDIAN = b"MM"


def _field(content: bytes, offset: int) -> int:
    """An int32 at a place of the header."""
    order = ">" if content[:2] == _BIG_ENDIAN else "<"
    return int(struct.unpack_from(f"{order}i", content, _START + offset)[0])


def _is_marccd(content: bytes, shape: tuple[int, int]) -> bool:
    """Whether the header is there: it repeats the size of the frame and the bytes of a pixel."""
    if len(content) < MARCCD_BYTES:
        return False
    size = _field(content, 84), _field(content, 80)
    return size == shape and _field(content, 88) in (1, 2, 4)


def marccd_geometry(content: bytes, shape: tuple[int, int]) -> PartialGeometry:
    """What the header tells, of the first `MARCCD_BYTES` bytes of a TIFF file; empty where there is none.

    A zero stands for what was not set. The beam centre of a detector on an arm, or turned, is left out.
    """
    if not _is_marccd(content, shape):
        return PartialGeometry()
    distance = _field(content, 640) or _field(content, 696)
    beam = _field(content, 648) * 1e-3, _field(content, 644) * 1e-3
    pixel = _field(content, 776) * 1e-9, _field(content, 772) * 1e-9
    values = {
        "distance": distance * 1e-6,
        "beam_center": beam,
        "pixel_size": pixel,
        "wavelength": _field(content, 908) * 1e-5,
    }
    values = {name: value for name, value in values.items() if (all(value) if isinstance(value, tuple) else value)}
    places = dict.fromkeys(values, "header of MarCCD")
    angles = {"start_twotheta": 668} | {f"detector_rot{axis}": 740 + 4 * number for number, axis in enumerate("xyz")}
    for name, offset in angles.items():
        if _field(content, offset):
            values.pop("beam_center", None)
            places["beam_center"] = f"{name} of the MarCCD header is {_field(content, offset) * 1e-3:g} degrees"
    return PartialGeometry(values, places)


def marccd_saturation(content: bytes, shape: tuple[int, int]) -> float | None:
    """saturated_value of the header; None = not recorded."""
    value = _field(content, 104) if _is_marccd(content, shape) else 0
    return float(value) if value > 0 else None
