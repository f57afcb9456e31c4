"""``crystint online serve``: runs until it is told to stop, and says how it went."""

from __future__ import annotations

import os
import select
import threading
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from crystint.errors import RefusedError
from crystint.online.data_process import DataProcess
from crystint.online.settings import ServeSettings
from crystint.online.sink import Event, Sink
from crystint.run.outcome import ExitCode

__all__ = ["Stop", "serve", "wait_for_stop"]


class Stop:
    """Counts the requests to stop, which handlers of signals make."""

    def __init__(self) -> None:
        self.count = 0
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ask(self) -> None:
        """Stop; a second time: at once."""
        self.count += 1
        self.wake()

    def wake(self) -> None:
        """End a waiting."""
        os.eventfd_write(self._wake, 1)

    def wait(self) -> None:
        """Wait for the next request, or `wake`."""
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        poller.poll()
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def close(self) -> None:
        """Nothing is asked for any more."""
        os.close(self._wake)


@dataclass
class _Teller(Sink):
    """Tells of what happens in lines."""

    say: Callable[[str], None] = field(default=lambda text: None)

    def __post_init__(self) -> None:
        self.name = "messages"

    def event(self, event: Event) -> None:
        """A line for what people want to know."""
        text = _line(event.name, event.data)
        if text:
            self.say(text)


def serve(settings: ServeSettings, stop: Stop, say: Callable[[str], None], tell: Callable[[str], None]) -> int:
    """Serve until it is stopped.

    Parameters
    ----------
    settings : ServeSettings
    stop : Stop
        One request = finish the series that runs; two = end it now.
    say, tell : callable
        Take lines: what the user needs, and what happens.

    Returns
    -------
    int
        The exit code: 0; 1 when it was stopped twice; 3 when images were missing or failed, and settings.strict.

    Raises
    ------
    CrystintError
        When it cannot begin.
    """
    with DataProcess(settings, tell, _Teller(tell)) as data:
        say(data.url)
        if data.forward:
            say(f"from another machine: {data.forward}")
        if data.nodes:
            say(f"nodes: crystint online node --broker {data.nodes}")
        if settings.open:
            threading.Thread(target=webbrowser.open, args=(data.url,), name="browser", daemon=True).start()
        hasty = wait_for_stop(stop, data.finish, tell)
        if hasty:
            with suppress(RefusedError):
                data.service.abort()
        data.close(hasty=hasty)
        totals = data.service.reception.totals
    tell(_summary(totals))
    if hasty:
        return int(ExitCode.FAILED)
    lost = totals["missing"] + totals["failed"]
    return int(ExitCode.FRAMES_MISSING if settings.strict and lost else ExitCode.DONE)


def wait_for_stop(stop: Stop, finish: Callable[[], object], tell: Callable[[str], None]) -> bool:
    """Wait until it is to stop, and then until `finish` has finished; whether it was to stop at once instead.

    Parameters
    ----------
    stop : Stop
    finish : callable
        Finishes what runs; called in a thread of its own.
    tell : callable
        Takes lines.
    """
    stop.wait()
    finished = threading.Event()

    def work() -> None:
        with suppress(RefusedError):
            finish()
        finished.set()
        stop.wake()

    threading.Thread(target=work, name="finish", daemon=True).start()
    told = False
    while not finished.is_set() and stop.count < 2:
        if not told and not finished.wait(0.2):
            tell("stopping: the series that runs is finished; Ctrl-C again ends it at once")
            told = True
        stop.wait()
    return not finished.is_set()


def _summary(totals: Mapping[str, int]) -> str:
    many = totals["series"]
    parts = ", ".join(f"{totals[name]} {name}" for name in ("analysed", "skipped", "failed", "missing"))
    return f"{many} series, {totals['received']} images received: {parts}"


def _line(name: str, data: Mapping[str, Any]) -> str:
    """What is said of an event; empty = nothing."""
    match name:
        case "series_start":
            return f"series {data['series']} began"
        case "series_end":
            books = data["books"]
            parts = ", ".join(f"{books[key]} {key}" for key in ("analysed", "skipped", "failed", "missing"))
            return f"series {data['series']} ended ({data['reason']}): {books['received']} received: {parts}"
        case "warning" | "alarm":
            return f"{name}: {data.get('text', '')}"
    return ""
