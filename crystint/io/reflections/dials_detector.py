"""Detectors of DIALS as a `Detector`: hierarchies resolved, millimetres to metres, panels as parts of one frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError, warn
from crystint.model.experiment import Detector
from crystint.model.panels import Panel

__all__ = ["detector_of"]

_MM = 1e-3


def detector_of(model: dict[str, Any]) -> Detector:
    """Panels in the frame of the experiment.

    A panel's axes are those of its parent in the hierarchy. The frame is made of the panels' ``raw_image_offset``
    where no two of them overlap, else of the panels one below the other. Parallax only where DIALS has it
    (ParallaxCorrectedPxMmStrategy).

    Raises
    ------
    GeometryError
        When there is no panel, or one makes no sense.
    """
    panels = model["panels"]
    if not panels:
        raise GeometryError("a detector has no panels")
    frames: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    if "hierarchy" in model:
        _walk(model["hierarchy"], np.eye(3), np.zeros(3), frames)
    ranges = _ranges(panels)
    parts = []
    for number, (panel, (slow, fast)) in enumerate(zip(panels, ranges, strict=True)):
        axes, origin = frames.get(number, (np.eye(3), np.zeros(3)))
        size = panel["pixel_size"]
        parts.append(
            Panel(
                slow=slow,
                fast=fast,
                origin=_vector(_MM * (origin + axes @ np.array(panel["origin"], dtype=np.float64))),
                slow_vector=_vector(_MM * size[1] * (axes @ np.array(panel["slow_axis"], dtype=np.float64))),
                fast_vector=_vector(_MM * size[0] * (axes @ np.array(panel["fast_axis"], dtype=np.float64))),
            )
        )
    sensors = {_sensor(panel) for panel in panels}
    thickness, attenuation = _sensor(panels[0])
    if len(sensors) > 1:
        warn(f"the panels of a detector have different sensors; that of the first is used ({thickness} mm)")
    if any(panel.get("gain", 1.0) != 1.0 or panel.get("pedestal", 0.0) for panel in panels):
        warn("a detector has a gain or a pedestal; frames are taken to be photons, corrected already")
    highest = min(float(panel["trusted_range"][1]) for panel in panels)
    return Detector(
        shape=(max(slow[1] for slow, _ in ranges), max(fast[1] for _, fast in ranges)),
        panels=tuple(parts),
        thickness=_MM * thickness,
        attenuation=attenuation / _MM,
        saturation=highest if highest > 0.0 else None,
    )


def _vector(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z


def _walk(
    node: dict[str, Any],
    axes: NDArray[np.float64],
    origin: NDArray[np.float64],
    frames: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> None:
    """Axes (as columns) and origin of the parent of every panel below `node`, mm."""
    if "panel" in node:
        frames[int(node["panel"])] = axes, origin
        return
    fast, slow = (np.array(node[name], dtype=np.float64) for name in ("fast_axis", "slow_axis"))
    own = np.stack([fast, slow, np.cross(fast, slow)], axis=1)
    below = axes @ own, origin + axes @ np.array(node["origin"], dtype=np.float64)
    for child in node.get("children", ()):
        _walk(child, *below, frames)


def _sensor(panel: dict[str, Any]) -> tuple[float, float]:
    """Thickness in mm and attenuation in 1/mm where DIALS corrects parallax, else 0, 0."""
    strategy = panel.get("px_mm_strategy", {})
    if "Parallax" not in strategy.get("type", ""):
        return 0.0, 0.0
    thickness = float(panel.get("thickness") or strategy.get("t0") or 0.0)
    attenuation = float(panel.get("mu") or strategy.get("mu") or 0.0)
    return (thickness, attenuation) if thickness > 0.0 and attenuation > 0.0 else (0.0, 0.0)


def _ranges(panels: list[dict[str, Any]]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(slow, fast) ranges of the panels in a frame."""
    sizes = [tuple(int(value) for value in panel["image_size"]) for panel in panels]
    offsets = [tuple(int(value) for value in panel.get("raw_image_offset", (0, 0))) for panel in panels]
    placed = [((y, y + height), (x, x + width)) for (width, height), (x, y) in zip(sizes, offsets, strict=True)]
    if min(min(offset) for offset in offsets) >= 0 and not _overlap(placed):
        return placed
    ends = np.cumsum([height for _, height in sizes]).tolist()
    return [((end - height, end), (0, width)) for end, (width, height) in zip(ends, sizes, strict=True)]


def _overlap(placed: list[tuple[tuple[int, int], tuple[int, int]]]) -> bool:
    box = np.array(placed)
    below, above = box[:, :, 0], box[:, :, 1]
    both = (below[:, None] < above[None]).all(axis=2)
    return bool((both & both.T).sum() > len(box))
