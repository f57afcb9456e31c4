"""What the next series can be asked to be taken with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crystint.errors import CrystintError, RefusedError
from crystint.model.partial_geometry import PartialGeometry
from crystint.online.output_names import checked_prefix

__all__ = ["GEOMETRY_FIELDS", "checked_options"]

OPTIONS = ("prefix", "images", "geometry", "grid", "user", "tokens")
GEOMETRY_FIELDS = ("distance", "beam_center", "pixel_size", "wavelength", "rotation", "polarization", "beam_outside")
"""of `Geometry`, that may be asked for"""
_SOME_GEOMETRY = {"pixel_size": (1e-4, 1e-4), "distance": 0.1, "beam_center": (500.0, 500.0)}


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a start, that can be.

    Raises
    ------
    RefusedError
        Which one cannot be, and why.
    """
    for name in options:
        if name not in OPTIONS:
            raise RefusedError("bad_value", f"{name}: no such option; there are {', '.join(OPTIONS)}", name)
    prefix, images = options.get("prefix"), options.get("images")
    if prefix is not None:
        if not isinstance(prefix, str):
            raise RefusedError("bad_value", f"prefix is {prefix!r:.60}, expected a text", "prefix")
        checked_prefix(prefix)
    if images is not None and (isinstance(images, bool) or not isinstance(images, int) or not 0 < images < 2**31):
        raise RefusedError("bad_value", f"images is {images!r}, expected a whole number above 0", "images")
    geometry = options.get("geometry")
    if geometry is not None:
        if not isinstance(geometry, Mapping) or set(geometry) - set(GEOMETRY_FIELDS):
            raise RefusedError("bad_value", f"geometry has the fields {', '.join(GEOMETRY_FIELDS)}", "geometry")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in geometry.items()}
        try:
            PartialGeometry({**_SOME_GEOMETRY, **values, "beam_outside": True}).whole((1000, 1000))
        except (CrystintError, TypeError, ValueError) as error:
            raise RefusedError("bad_value", f"geometry: {error}", "geometry") from None
        options = {**options, "geometry": values}
    return {name: value for name, value in options.items() if value is not None}
