"""The control of a service: what it answers, and how what it does is changed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from crystint.errors import RefusedError
from crystint.online.configuration_control import ConfigurationControl
from crystint.online.intake import Intake
from crystint.online.reception import Reception
from crystint.online.service_status import ServiceStatus, described_series
from crystint.online.sink import Sink
from crystint.online.start_options import checked_options
from crystint.online.timeline import Timeline

__all__ = ["ServiceControl"]


class ServiceControl(ConfigurationControl, ABC):
    """A `crystint.online.control.Control`. Its parts are those of the service, which is a subclass."""

    intake: Intake
    reception: Reception
    sinks: list[Sink]
    _status: ServiceStatus

    @abstractmethod
    def _call(self, function: Callable[[], Any]) -> None:
        """Do something in the place of the receiver."""

    @abstractmethod
    def _sources(self) -> list[dict[str, Any]]:
        """Where messages come from."""

    def status(self) -> dict[str, Any]:
        """How it is, from a snapshot."""
        return {**self._status.now(), "sources": self._sources()}

    def series(self) -> list[dict[str, Any]]:
        """The last 100 series with their books and files, the newest first."""
        every = [*list(self.intake.closed), *list(self.intake.live.values())]
        return [described_series(series) for series in reversed(every[-100:])]

    def start(self, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the next start message is to be taken with.

        Parameters
        ----------
        options : mapping, optional
            prefix, images, geometry (fields of `Geometry`), grid, user, tokens.

        Raises
        ------
        RefusedError
            When an option is unknown or cannot be.
        """
        asked = checked_options(options or {})
        for sink in self.sinks:
            if text := sink.refusal():
                raise RefusedError("wrong_state", text)
        self.reception.asked = asked
        self._call(self.intake.arm)
        return self.status()

    def stop(self) -> dict[str, Any]:
        """Finish the series after what has come. Idempotent."""
        self.reception.asked = {}
        self._call(self.intake.stop)
        return self.status()

    def abort(self) -> dict[str, Any]:
        """End the series now; what waits is not looked at. Idempotent."""
        self.reception.asked = {}
        self._call(lambda: self._abort("aborted", cancel=True))
        return self.status()

    def clear_error(self) -> dict[str, Any]:
        """From error to idle."""
        self._call(self.intake.clear_error)
        return self.status()

    def start_message(self, series: str | None = None) -> bytes:
        """The start message of a series that is remembered.

        Parameters
        ----------
        series : str, optional
            None = the last.

        Raises
        ------
        RefusedError
            When there is none.
        """
        every = [*list(self.intake.closed), *list(self.intake.live.values())]
        for each in reversed(every):
            if series is None or str(each.key) == series:
                return each.start.message
        raise RefusedError("not_found", f"no series {series} is remembered" if series else "no series came yet")

    def _place_of(self, series: str | None) -> tuple[str | None, bool]:
        """As `ConfigurationControl`."""
        live = list(self.intake.live.values())
        if series is None and live:
            series = str(live[-1].key)
        return series, any(str(each.key) == series and each.folder is not None for each in live)

    def _abort(self, reason: str, *, cancel: bool) -> None:
        for series in self.intake.abort(reason):
            if cancel and isinstance(series.context, Timeline):
                series.context.cancelled = True
                series.context.ready.set()
