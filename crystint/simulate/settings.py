"""What a scene may hold: every setting is checked once, before a frame is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crystint.errors import GeometryError, SettingError
from crystint.simulate.sample import Lattice

if TYPE_CHECKING:
    from crystint.simulate.scene import Scene

__all__ = ["check_scene"]

_DTYPES = ("uint8", "uint16", "uint32", "int16", "int32", "float32", "float64")


def check_scene(scene: Scene) -> None:
    """Raise SettingError or GeometryError for the first impossible setting, with its name."""

    def wrong(name: str, expected: str) -> SettingError:
        return SettingError(f"{name} is {getattr(scene, name)!r}, expected {expected}")

    try:
        dtype = np.dtype(scene.dtype)
    except TypeError:
        raise wrong("dtype", f"one of {', '.join(_DTYPES)}") from None
    if dtype.name not in _DTYPES or not dtype.isnative:
        raise wrong("dtype", f"one of {', '.join(_DTYPES)}")
    if isinstance(scene.background, (int, float)) and not 0 <= scene.background < np.inf:
        raise wrong("background", "0 or more counts per pixel")
    if scene.falloff is not None and not scene.falloff > 0:
        raise wrong("falloff", "more than 0 (1/angstrom), or None")
    if isinstance(scene.background, (int, float)) is False and scene.falloff is not None:
        raise wrong("falloff", "None when the background is a function or an image")
    for ring in scene.rings:
        if not (ring.q > 0 and ring.width > 0 and ring.strength >= 0):
            raise SettingError(f"powder ring is {ring}, expected q > 0, width > 0 and strength >= 0")
    if isinstance(scene.peaks, (int, np.integer)):
        if scene.peaks < 0:
            raise wrong("peaks", "0 or more")
    elif not isinstance(scene.peaks, Lattice):
        given = np.asarray(scene.peaks, dtype=np.float64)
        if given.size and (given.ndim != 2 or given.shape[1] != 3 or not np.isfinite(given).all()):
            raise SettingError(f"peaks is an array {given.shape}, expected finite [n, 3]: slow, fast, intensity")
    for name in ("intensity", "width"):
        if not 0 < getattr(scene, name) < np.inf:
            raise wrong(name, "a number above 0")
    for name in ("dead", "hot", "seed"):
        if not getattr(scene, name) >= 0:
            raise wrong(name, "0 or more")
    if scene.modules is not None and min(scene.modules) < 1:
        raise wrong("modules", "(slow, fast) of 1 pixel or more, or None")
    if min(scene.gaps) < 0:
        raise wrong("gaps", "(slow, fast) of 0 pixels or more")
    if scene.saturation is not None and not scene.saturation > 0:
        raise wrong("saturation", "a number above 0, or None")
    if not 0 <= scene.readout_noise < np.inf:
        raise wrong("readout_noise", "0 or more counts")
    if scene.readout_noise > 0 and dtype.kind != "f":
        raise wrong("readout_noise", f"0 for {dtype} frames: only float frames hold it")
    needs_q = scene.falloff is not None or bool(scene.rings) or isinstance(scene.peaks, Lattice)
    if (needs_q or callable(scene.background)) and scene.geometry.wavelength is None:
        raise GeometryError("wavelength is None, expected angstrom: rings, fall-off and lattice are laid out in q")
