"""A control without a detector: settings, regions and a mask in memory, for finished files that are looked at."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from crystint import __version__
from crystint.engine import Engine
from crystint.errors import CrystintError, RefusedError
from crystint.online.books import Books
from crystint.online.configuration import Configuration
from crystint.online.configuration_control import ConfigurationControl
from crystint.online.events import EventLog
from crystint.online.file_openers import PLACED
from crystint.online.file_series import FileSeries
from crystint.online.history import History
from crystint.online.settings import AnalysisSettings

__all__ = ["FileControl"]


class FileControl(ConfigurationControl):
    """A `crystint.online.control.Control` of opened files.

    Parameters
    ----------
    engine : Engine
    settings : AnalysisSettings
        That images are looked at with. Where the detector is, each file tells for itself.
    history : History
        Has the files, and gets the events.
    """

    def __init__(self, engine: Engine, settings: AnalysisSettings, history: History) -> None:
        self._history = history
        self.log = EventLog(history.event)
        own = settings.model_copy(update=dict(PLACED))
        self.configuration = Configuration(engine, own, None, lambda: (), self.log.warn, self.log.warn)
        self._began = time.time_ns()

    def look_at(self, series: FileSeries) -> None:
        """Check regions, masks and changes with the detector of this file from now on."""
        self.log.add("file", {"series": str(series.key), "kind": series.kind, "notes": list(series.notes)})
        if series.start is None:
            return
        try:
            self.configuration.look_at(series.start, series.frames.dtype)
        except CrystintError as error:
            self.log.warn(f"{series.key} is shown without a background: {error}")

    def status(self) -> dict[str, Any]:
        """Idle, always; the series is the file that was opened last."""
        opened = self.series()
        now, device = self.configuration, self.configuration.analyses.engine.device
        return {
            "state": "idle",
            "stalled": False,
            "reason": "finished files are looked at",
            "receiving": True,
            "revision": 1,
            "since": self._began,
            "series": opened[0] if opened else None,
            "open_series": 0,
            "rates": {name: {"1s": 0.0, "10s": 0.0} for name in ("in", "out", "analysed")},
            "latency": {"p50": None, "p99": None},
            "queue": {"images": 0, "bytes": 0, "budget": 0, "skipping": 1},
            "messages": {"received": 0, "last": None, "silent": None},
            "streams": [],
            "devices": [{"name": device.name, "id": device.id, "kind": device.kind, "threads": 1}],
            "sinks": {},
            "sources": [],
            "settings": {"version": now.settings_version, "revision": now.revisions["settings"]},
            "rois": {"version": now.roi_version, "revision": now.revisions["rois"]},
            "mask": {"revision": now.revisions["mask"]},
            "events": self.log.last,
            "version": __version__,
            "began": self._began,
            "process": os.getpid(),
        }

    def series(self) -> list[dict[str, Any]]:
        """Opened files, the one opened last first, as series that have ended."""
        every = [each for each in reversed(self._history.files.values()) if isinstance(each, FileSeries)]
        return [_described(each) for each in every]

    def start(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Refused: there is no detector."""
        raise _no_detector("start")

    def stop(self) -> dict[str, Any]:
        """Refused: there is no detector."""
        raise _no_detector("stop")

    def abort(self) -> dict[str, Any]:
        """Refused: there is no detector."""
        raise _no_detector("abort")

    def clear_error(self) -> dict[str, Any]:
        """There never is one."""
        return self.status()

    def start_message(self, series: str | None = None) -> bytes:
        """Refused: files have none."""
        raise RefusedError("not_found", "finished files have no start message; GET /api/v1/files/opened tells of them")


def _no_detector(what: str) -> RefusedError:
    text = (
        f"there is nothing to {what}: finished files are looked at; `crystint online serve` takes a detector's stream"
    )
    return RefusedError("wrong_state", text)


def _described(series: FileSeries) -> dict[str, Any]:
    """As a series of a stream is."""
    start, images = series.start, len(series.frames)
    books = Books(expected=images, received=images, analysed=images, last=images - 1, ended=True)
    return {
        "series": str(series.key),
        "id": series.key.id,
        "unique_id": series.key.unique_id,
        "name": series.key.unique_id,
        "phase": "final",
        "reason": "file",
        "started": None,
        "expected": images,
        "frame_time": None if start is None else start.frame_time,
        "shape": list(series.frames.shape),
        "geometry": series.info.get("geometry"),
        "books": books.to_dict(),
        "missing": [],
        "error": "",
        "files": list(map(str, series.files)),
        "resumed": False,
        "assumed": False,
    }
