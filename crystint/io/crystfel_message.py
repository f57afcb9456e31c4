"""Images and peaks as CrystFEL takes them from a stream: MessagePack.

It compares keys up to the length of the message's own one, so that of two keys of which one begins like the other the
longer one comes first (libcrystfel/src/image-msgpack.c).
"""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from crystint.model.geometry import Geometry
from crystint.model.peaks import PeakList
from crystint.units import energy_of

__all__ = ["BAD_VALUE", "crystfel_message", "crystfel_pixels"]

BAD_VALUE = -(2**31)
"""counts of pixels without a measurement"""
_TO_CENTRE = 0.5
"""px from the outer corner of a pixel, that peaks are told from, to its centre, that CrystFEL expects by default"""


def crystfel_message(
    peaks: PeakList, pixels: NDArray[Any] | None, *, number: int, series: str, geometry: Geometry | None
) -> bytes:
    """A message.

    Parameters
    ----------
    peaks : PeakList
    pixels : int32 or float32 [slow, fast], optional
        From `crystfel_pixels`.
    number : int
        Of the image in its series.
    series : str
    geometry : Geometry, optional
        For the photon energy and the camera length, which are NaN where they are not known.
    """
    wavelength = None if geometry is None else geometry.wavelength
    values: dict[str, Any] = {
        "peak_list": {
            "fs": (peaks["fast"] - _TO_CENTRE).tolist(),
            "ss": (peaks["slow"] - _TO_CENTRE).tolist(),
            "intensity": peaks["intensity"].tolist(),
        },
        "photon_energy_ev": float("nan") if wavelength is None else energy_of(wavelength),
        "camera_length_m": float("nan") if geometry is None else geometry.distance,
        "image_id": number,
        "series": series,
    }
    if pixels is not None:
        kind = "<f4" if pixels.dtype.kind == "f" else "<i4"
        values["image"] = {"type": kind, "shape": list(pixels.shape), "data": pixels.astype(kind).tobytes()}
    message: bytes = msgpack.packb(values)
    return message


def crystfel_pixels(frame: NDArray[Any], unusable: NDArray[np.bool_]) -> NDArray[Any]:
    """int32 or float32 [slow, fast]: a frame, with `BAD_VALUE` where it is unusable; what int32 cannot hold is its
    largest value."""
    if frame.dtype.kind == "f":
        pixels = frame.astype(np.float32)
    else:
        limits = np.iinfo(np.int32)
        pixels = np.clip(frame, max(limits.min, np.iinfo(frame.dtype).min), min(limits.max, np.iinfo(frame.dtype).max))
        pixels = pixels.astype(np.int32)
    pixels[unusable] = BAD_VALUE
    return pixels
