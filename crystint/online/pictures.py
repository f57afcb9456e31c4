"""An image as a picture for people: colours, and what is drawn over it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystint.model.geometry import Geometry
from crystint.model.peaks import PeakFlag, PeakList
from crystint.model.roi_members import RoiMembers
from crystint.online.views import View, contrast

__all__ = ["COLORS", "Overlay", "picture"]

COLORS = ("indigo", "viridis", "bw", "magma", "inferno", "heat")
"""Names of colour scales; the first, dark blue on white, is the default."""
_LUT: dict[str, str] = {"viridis": "viridis", "magma": "magma", "inferno": "inferno", "heat": "hot", "bw": "gray_r"}
_MASKED = (190, 190, 190)
_USER_MASK = (220, 150, 90)
_SATURATED = (255, 0, 255)
_RING, _LIMIT, _REGION = (120, 120, 120), (200, 0, 0), (0, 140, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """What is drawn over an image; nothing where it is None or empty."""

    peaks: PeakList | None = None
    regions: RoiMembers | None = None
    user_mask: NDArray[np.bool_] | None = None
    """bool [slow, fast]"""
    geometry: Geometry | None = None
    beam_center: bool = False
    rings: Sequence[float] = ()
    """angstrom: spacings of circles"""
    limit: float | None = None
    """angstrom: to which spots are seen, a circle"""


def picture(
    view: View,
    overlay: Overlay | None = None,
    *,
    saturation: float | None = None,
    brightest: float | None = None,
    color: str = COLORS[0],
    kind: Literal["jpeg", "png"] = "jpeg",
    quality: int = 85,
    width: int | None = None,
) -> bytes:
    """A picture of a view.

    Parameters
    ----------
    view : View
    overlay : Overlay, optional
    saturation : float, optional
        Counts above it are drawn in a colour of their own.
    brightest : float, optional
        Counts of the end of the scale; None = by what is in the image.
    color : str
        One of `COLORS`.
    kind : {"jpeg", "png"}
    quality : int
        Of JPEG, 1 to 100.
    width : int, optional
        Pixels of the picture; None = one for each block of the view.

    Returns
    -------
    bytes
        A file.
    """
    from PIL import Image, ImageDraw

    values = view.values
    usable = np.isfinite(values) if view.unusable is None else values != view.unusable
    low, high = contrast(values, usable)
    if brightest is not None:
        high = max(float(brightest), low + 1e-9)
    scaled = np.clip((values.astype(np.float32) - low) * (255.0 / (high - low)), 0.0, 255.0)
    pixels = _table(color)[np.where(usable, scaled, 0.0).astype(np.uint8)]
    pixels[~usable] = _MASKED
    if saturation is not None:
        pixels[usable & (values > saturation)] = _SATURATED
    overlay = overlay or Overlay()
    if overlay.user_mask is not None:
        pixels[_blocks(overlay.user_mask, view)] = _USER_MASK
    for edge, shade in _edges(overlay, view):
        pixels[edge] = shade
    image = Image.fromarray(pixels)
    scale = 1.0
    if width is not None and width != image.width:
        scale = width / image.width
        image = image.resize((width, max(round(image.height * scale), 1)), Image.Resampling.NEAREST)
    _draw(ImageDraw.Draw(image), overlay, view, scale)
    stream = io.BytesIO()
    if kind == "png":
        image.save(stream, "PNG")
    else:
        image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _table(color: str) -> NDArray[np.uint8]:
    """uint8 [256, 3]."""
    if color not in _LUT:
        part = np.linspace(0.0, 1.0, 256)[:, None]
        return np.asarray(255.0 * (1.0 - part) + part * np.array([40.0, 0.0, 110.0]), np.uint8)
    import matplotlib

    return np.asarray(255.0 * matplotlib.colormaps[_LUT[color]](np.arange(256))[:, :3], np.uint8)


def _blocks(pixels: NDArray[np.bool_], view: View) -> NDArray[np.bool_]:
    """Blocks in which one of the pixels lies."""
    slow0, slow1, fast0, fast1 = view.region
    blocks = np.zeros(view.values.shape, bool)
    slow, fast = np.nonzero(pixels[slow0:slow1, fast0:fast1])
    blocks[slow // view.factor, fast // view.factor] = True
    return blocks


def _edges(overlay: Overlay, view: View) -> Iterator[tuple[NDArray[np.bool_], tuple[int, int, int]]]:
    """Blocks that are coloured, of rings and of the rims of regions."""
    geometry = overlay.geometry
    if geometry is not None and geometry.wavelength is not None:
        d = [*overlay.rings, *([overlay.limit] if overlay.limit is not None and overlay.limit > 0 else [])]
        for edge, each in zip(_ring(geometry, d, view), d, strict=True):
            yield edge, _LIMIT if each == overlay.limit else _RING
    if overlay.regions is not None:
        for inside in _members(overlay.regions):
            blocks = _blocks(inside, view)
            within = blocks.copy()
            within[1:-1, 1:-1] = (
                blocks[:-2, 1:-1] & blocks[2:, 1:-1] & blocks[1:-1, :-2] & blocks[1:-1, 2:] & blocks[1:-1, 1:-1]
            )
            within[[0, -1]] = within[:, [0, -1]] = False
            yield blocks & ~within, _REGION


def _draw(draw: Any, overlay: Overlay, view: View, scale: float) -> None:
    """Spots and the beam, in pixels of the picture."""

    def at(slow: Any, fast: Any) -> tuple[Any, Any]:
        return (fast - view.region[2]) / view.factor * scale, (slow - view.region[0]) / view.factor * scale

    geometry = overlay.geometry
    if geometry is not None and overlay.beam_center:
        x, y = at(*geometry.beam_center)
        draw.line((x - 8, y, x + 8, y), fill=(200, 0, 0))
        draw.line((x, y - 8, x, y + 8), fill=(200, 0, 0))
    if overlay.peaks is not None:
        for peak in overlay.peaks:
            x, y = at(peak["slow"], peak["fast"])
            shade = (0, 150, 255) if peak["flags"] & PeakFlag.ICE else (255, 90, 0)
            draw.ellipse((x - 5, y - 5, x + 5, y + 5), outline=shade)


def _members(regions: RoiMembers) -> list[NDArray[np.bool_]]:
    bits = regions.map()
    return [(bits >> bits.dtype.type(bit) & 1).astype(bool) for bit in range(len(regions.names))]


def _ring(geometry: Geometry, d: Sequence[float], view: View) -> list[NDArray[np.bool_]]:
    """bool [slow, fast] of blocks, for each spacing: those that it runs through."""
    slow, fast = (
        first + view.factor * (np.arange(count) + 0.5)
        for first, count in zip(view.region[::2], view.values.shape, strict=True)
    )
    with np.errstate(divide="ignore"):
        at = 1.0 / geometry.d_at(slow[:, None], fast[None, :])
    edges = []
    for each in d:
        outside = at > 1.0 / each
        edge = np.zeros(outside.shape, bool)
        edge[1:] |= outside[1:] != outside[:-1]
        edge[:, 1:] |= outside[:, 1:] != outside[:, :-1]
        edges.append(edge & np.isfinite(at))
    return edges
