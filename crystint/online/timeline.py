"""Which analysis an image gets: by its number alone, so that the first image of a change is exact."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from crystint.online.analysis import Analysis
from crystint.online.sparse_images import SparseForm

__all__ = ["Timeline"]

_HELD = 4
"""versions whose separators are held: for images that come out of order"""


class Timeline:
    """The analyses of a series, each from an image on. Any thread may use it.

    An image gets the last analysis that begins with it or before. A new one begins behind all images that were taken
    until then, so that no image is looked at with another version than its number says; but an image that comes when
    four later versions are there gets the oldest that is held, and its row says which.
    """

    def __init__(self) -> None:
        self.ready = threading.Event()
        """there is an analysis, or the reason why there will be none"""
        self.error = ""
        """why there is no analysis"""
        self.cancelled = False
        """images are not looked at any more"""
        self.asked_for = False
        """the analysis is being made"""
        self.geometry: Mapping[str, Any] = {}
        """fields of `Geometry` that go before all else"""
        self.sparse: list[SparseForm] = []
        """what the images of the sparse file share, when there is one"""
        self.files: list[str] = []
        """that were written of the series"""
        self._lock = threading.Lock()
        self._analyses: list[tuple[int, Analysis]] = []
        self._taken = -1
        self._history: list[dict[str, Any]] = []
        self._regions: list[dict[str, Any]] = []

    @property
    def current(self) -> Analysis | None:
        """The last one."""
        analyses = self._analyses
        return analyses[-1][1] if analyses else None

    def analyses(self) -> list[Analysis]:
        """Those that are held."""
        return [analysis for _, analysis in self._analyses]

    def take(self, number: int) -> Analysis | None:
        """The analysis of an image that is now looked at; None = there is none."""
        with self._lock:
            self._taken = max(self._taken, number)
            for first, analysis in reversed(self._analyses):
                if first <= number:
                    return analysis
            return self._analyses[0][1] if self._analyses else None

    def put(self, analysis: Analysis) -> int:
        """Let all images that nobody took yet have this analysis; the number of the first of them."""
        described = analysis.described()
        with self._lock:
            first = self._taken + 1 if self._analyses else 0
            self._analyses = [*self._analyses[1 - _HELD :], (first, analysis)]
            if not self._history or self._history[-1]["version"] != analysis.settings_version:
                self._history.append(described | {"first_image": first})
            if not self._regions or self._regions[-1]["version"] != analysis.roi_version:
                regions = {"version": analysis.roi_version, "first_image": first, "document": analysis.rois.to_dict()}
                self._regions.append(regions)
        self.ready.set()
        return first

    def exchange(self, analysis: Analysis, other: Analysis) -> None:
        """Put one in the place of another: the same on another device."""
        with self._lock:
            self._analyses = [(first, other if each is analysis else each) for first, each in self._analyses]

    def release(self) -> None:
        """The series is closed: its history is all that is of interest."""
        with self._lock:
            self._analyses = []
        self.sparse = []

    def fail(self, error: str) -> None:
        """There will be no analysis."""
        self.error = error
        self.ready.set()

    def history(self) -> list[dict[str, Any]]:
        """JSON-able: every version of the settings, with the first image that it applies to."""
        with self._lock:
            return list(self._history)

    def regions(self) -> list[dict[str, Any]]:
        """JSON-able: every version of the regions, with the first image that it applies to."""
        with self._lock:
            return list(self._regions)
