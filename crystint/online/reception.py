"""What is done with a series as it begins, goes on and ends: the follower of the intake."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from crystint.errors import CrystintError
from crystint.model.geometry import Geometry
from crystint.online.configuration import Configuration
from crystint.online.dropped import checked_address, dropped_images
from crystint.online.emitter import Emitter
from crystint.online.events import EventLog
from crystint.online.meter import Meter
from crystint.online.output_names import series_name
from crystint.online.outputs import Outputs
from crystint.online.restart import Restart
from crystint.online.result import Result
from crystint.online.series import Series
from crystint.online.service_status import described_series
from crystint.online.settings import ServeSettings
from crystint.online.start_options import GEOMETRY_FIELDS
from crystint.online.timeline import Timeline
from crystint.stream.messages import Image, Start

__all__ = ["Reception"]


class Reception:
    """A `crystint.online.intake.Follower`: gives each series an analysis, outputs and sinks.

    Parameters
    ----------
    settings : ServeSettings
    geometry : Geometry or None
        In place of that of the start messages.
    outputs : Outputs
    emitter, configuration, log
        Of the service.
    """

    def __init__(
        self,
        settings: ServeSettings,
        geometry: Geometry | None,
        outputs: Outputs,
        emitter: Emitter,
        configuration: Configuration,
        log: EventLog,
    ) -> None:
        self._settings, self._geometry, self._outputs = settings, geometry, outputs
        self._emitter, self._configuration, self._log = emitter, configuration, log
        self._restart = None if settings.state_dir is None else Restart(settings.state_dir)
        self._simplon = None if settings.simplon is None else checked_address(settings.simplon)
        self.asked: Mapping[str, Any] = {}
        """for the next start message"""
        self.received = Meter()
        self.totals = dict.fromkeys(("series", "received", "analysed", "skipped", "failed", "missing"), 0)
        """of all series that are closed"""
        self._resumed: Mapping[str, Any] = {}
        self._earlier: list[tuple[int, int]] = []
        self._preparing: set[threading.Thread] = set()

    def begun(self, series: Series) -> None:
        """As `Follower`."""
        timeline = series.context = Timeline()
        asked, self.asked = self.asked, {}
        if series.resumed:
            asked = self._resumed
            series.had(self._earlier)
        series.user = asked
        timeline.geometry = {**({} if self._geometry is None else _fields(self._geometry)), **asked.get("geometry", {})}
        series.name = str(asked.get("prefix") or series_name(series.key))
        if series.expected is None and asked.get("images"):
            series.expected = asked["images"]
        series.describe = lambda: self._described(series, timeline)
        self._emitter.expect(series)
        if series.start.dtype is not None:
            self._make(series, series.start.dtype)
        key = series.key
        self._log.add("series_start", {"series": str(key), "id": key.id, "unique_id": key.unique_id})
        for text in series.start.warnings:
            self._log.warn(f"series {key}: {text}")

    def image(self, series: Series, image: Image, _received: int) -> None:
        """As `Follower`."""
        self.received.add()
        if not series.context.asked_for:
            self._make(series, next(iter(image.frames.values())).dtype)
        self._emitter.image(series, image)

    def result(self, series: Series, result: Result) -> None:
        """As `Follower`."""
        self._emitter.result(series, result)

    def final(self, series: Series) -> None:
        """As `Follower`."""
        if not series.context.asked_for:
            self._make(series, None)
        current = series.context.current
        if current is not None:
            series.mask = current.mask
        self._emitter.final(series)

    def warning(self, text: str) -> None:
        """As `Follower`."""
        self._log.warn(text)

    def assumed_start(self, image: Image) -> Start | None:
        """Where a geometry was given, images are looked at without their start."""
        frame = next(iter(image.frames.values()), None)
        if frame is None or (self._geometry is None and self._settings.geometry is None):
            return None
        self._log.warn(f"the start of series {image.series} never came: its geometry is the one given")
        return Start(image.series, frame.shape, "stream2", channels=tuple(image.frames), dtype=frame.dtype)

    def settled(self, series: Series) -> None:
        """A series is final, and its outputs are closed."""
        series.settled = True
        books = series.books
        self.totals["series"] += 1
        for name in ("received", "analysed", "skipped", "failed", "missing"):
            self.totals[name] += getattr(books, name) or 0
        if self._restart is not None:
            with suppress(OSError):
                self._restart.forget(series.key)
        self._log.add("series_end", described_series(series))
        series.context.release()  # a hundred closed series are remembered, but not their masks and separators
        series.mask, series.start = None, replace(series.start, masks={})

    def cut_off(self) -> Start | None:
        """The start of the series that was not closed when the service was killed."""
        try:
            noted = None if self._restart is None else self._restart.read()
        except CrystintError as error:
            self._log.warn(str(error))
            return None
        if noted is None:
            return None
        start, self._resumed = noted
        self._earlier = self._outputs.find(start.series, str(self._resumed.get("prefix") or ""))
        return start

    def close(self, timeout: float = 30.0) -> None:
        """Wait until every series has the place of its outputs, unless the disk does not answer."""
        until = time.monotonic() + timeout
        for thread in self._preparing:
            thread.join(max(0.0, until - time.monotonic()))

    @property
    def dropped(self) -> Callable[[], int | None] | None:
        """Asks the detector how many images it threw away; None = it cannot be asked."""
        return None if self._simplon is None else self._ask_dropped

    def _ask_dropped(self) -> int | None:
        assert self._simplon is not None
        try:
            return dropped_images(self._simplon)
        except (OSError, ValueError) as error:
            self._log.warn(f"{self._simplon} does not tell how many images were dropped: {error}")
            return None

    def _make(self, series: Series, dtype: np.dtype[Any] | None) -> None:
        series.context.asked_for = True
        self._configuration.begin(series, dtype, lambda: self._prepare(series))

    def _prepare(self, series: Series) -> None:
        """Give a series the place of its outputs, and note it for a restart; then its sinks begin.

        In a thread of its own, since a disk may take long, and a daemon, since it may never answer.
        """
        began = time.monotonic_ns()

        def work() -> None:
            try:
                self._outputs.place(series)
            except Exception as error:
                self._log.add("alarm", {"text": f"no files of series {series.key} are written: {error}"})
            try:
                if self._restart is not None:
                    self._restart.note(series.start, series.user, began)
            except Exception as error:
                text = f"series {series.key} cannot be gone on with after a restart: state_dir is not writable: {error}"
                self._log.add("alarm", {"text": text})
            self._emitter.begin(series)

        thread = threading.Thread(target=work, name="places of outputs", daemon=True)
        self._preparing = {thread, *(each for each in self._preparing if each.is_alive())}
        thread.start()

    def _described(self, series: Series, timeline: Timeline) -> dict[str, Any]:
        """The provenance of its outputs."""
        from crystint import __version__

        return {
            "program": "crystint",
            "version": __version__,
            "series": {"id": series.key.id, "unique_id": series.key.unique_id},
            "streams": list(self._settings.stream),
            "settings": timeline.history(),
            "regions": timeline.regions(),
            "geometry": None if series.geometry is None else series.geometry.to_dict(),
            "device": self._configuration.analyses.engine.device.name,
            "start_warnings": list(series.start.warnings),
            "resumed": series.resumed,
            "assumed": series.assumed,
        }


def _fields(geometry: Geometry) -> dict[str, Any]:
    names = (*GEOMETRY_FIELDS, "panels")
    return {name: value for name in names if (value := getattr(geometry, name)) is not None}
