"""What the data process can be asked for. The service does it; a proxy in another process asks it to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Applied", "Control"]


@dataclass(frozen=True, slots=True)
class Applied:
    """Which image a change applies to first."""

    first_image: int
    """of the series that runs; 0 = from the next series on"""
    version: int
    """that results name"""
    revision: int
    """for If-Match"""
    details: Mapping[str, Any] | None = None
    """of regions: pixels, and whether they are clipped, by name"""


class Control(Protocol):
    """Every method answers within milliseconds, from a snapshot.

    Raises
    ------
    RefusedError
        With one of its reasons.
    """

    def status(self) -> dict[str, Any]:
        """State, series with books, rates, latency, queues, devices, sinks: see online.md 11.5."""

    def series(self) -> list[dict[str, Any]]:
        """The last 100 series with their books and files, the newest first."""

    def start(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Arm: prefix, images, geometry, grid, user, tokens for the next start message."""

    def stop(self) -> dict[str, Any]:
        """Finish the series after what has come."""

    def abort(self) -> dict[str, Any]:
        """End the series now; its files are closed."""

    def clear_error(self) -> dict[str, Any]:
        """From error to idle."""

    def settings(self) -> dict[str, Any]:
        """{"values", "version", "revision"}"""

    def change_settings(
        self, changes: Mapping[str, Any], revision: int | None = None, dry_run: bool = False
    ) -> Applied:
        """Change some."""

    def rois(self) -> dict[str, Any]:
        """{"document", "version", "revision", "details"}"""

    def change_rois(self, document: Mapping[str, Any], revision: int | None = None) -> Applied:
        """Replace all."""

    def roi_map(self) -> tuple[NDArray[Any], tuple[str, ...]]:
        """Bit i of a pixel is set where it belongs to region i; and their names."""

    def mask(self, layer: str = "total") -> NDArray[np.uint32]:
        """uint32 [slow, fast] of "user", "detector" or "total"."""

    def change_mask(self, mask: NDArray[Any] | None) -> Applied:
        """Replace the user's mask; nonzero = masked, None = there is none."""

    def start_message(self, series: str | None = None) -> bytes:
        """The start message of a series that is held; None = the last."""

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """The last 1000 events with numbers above `after`."""

    def record(self, name: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Take an event that does not come from the data process: "note" or "alarm". Its number, its time, its series,
        and whether the files of the series get it."""
