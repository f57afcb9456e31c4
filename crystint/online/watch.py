"""``crystint online watch``: the state of a service, on a terminal or as lines."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable

from crystint.errors import RefusedError
from crystint.online.client import Client
from crystint.online.client_text import event_text, line_of, status_rows
from crystint.online.sink import Event

__all__ = ["watch"]

_EVENTS = 8
_LINES = 2.0
"""s between lines where there is no terminal"""


def watch(
    client: Client, every: float = 0.5, seconds: float = 0.0, terminal: bool | None = None,
    say: Callable[[str], object] = print,
) -> None:  # fmt: skip
    """Show how a service is until Ctrl-C. While it does not answer, that is shown.

    Parameters
    ----------
    client : Client
    every : float
        s
    seconds : float
        How long; 0 = for ever.
    terminal : bool, optional
        Whether there is one that can be drawn on; None = ask standard output.
    say : callable
        Takes lines.

    Raises
    ------
    RefusedError
        When the service does not answer at first, or the token is wrong.
    """
    follower = _Follower(client)
    follower.look()
    end = time.monotonic() + seconds if seconds else None
    if sys.stdout.isatty() if terminal is None else terminal:
        _draw(follower, every, end)
    else:
        _lines(follower, max(every, _LINES), end, say)


class _Follower:
    """The last status and the last events."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.status: dict[str, object] = {}
        self.events: deque[Event] = deque(maxlen=_EVENTS)
        self.fresh: list[Event] = []
        self.trouble = ""
        self._number: int | None = None

    def look(self) -> None:
        """Ask. A service that answered before may be away for a while."""
        try:
            self.status = self._client.status()
            events = list(self._client.events(after=self._number or 0))
        except RefusedError as error:
            if not self.status or error.reason in ("unauthorized", "forbidden"):
                raise
            self.trouble = str(error)
            return
        self.trouble = ""
        last = self.status.get("events")
        if self._number is not None and isinstance(last, int) and last < self._number:
            self._number = 0  # it began anew
        self.fresh = [] if self._number is None else events
        self.events.extend(events)
        if events:
            self._number = events[-1].number
        elif self._number is None:
            self._number = 0


def _wait(every: float, end: float | None) -> bool:
    """Until the next look; False = it is over."""
    left = every if end is None else min(every, end - time.monotonic())
    if left <= 0:
        return False
    time.sleep(left)
    return True


def _lines(follower: _Follower, every: float, end: float | None, say: Callable[[str], object]) -> None:
    while True:
        for event in follower.fresh:
            say(event_text(event))
        say(follower.trouble or line_of(follower.status))
        if not _wait(every, end):
            return
        follower.look()


def _draw(follower: _Follower, every: float, end: float | None) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    def picture() -> Panel:
        table = Table.grid(padding=(0, 2))
        for name, text in status_rows(follower.status):
            table.add_row(Text(name, "bold"), Text(text))
        told = [Text(_line(each), "dim", no_wrap=True, overflow="ellipsis") for each in follower.events]
        title = "[red]no answer[/]" if follower.trouble else str(follower.status["state"])
        return Panel(Group(table, Text(), *told, Text(follower.trouble, "red")), title=f"crystint online: {title}")

    with Live(picture(), console=Console(), auto_refresh=False, screen=False) as live:
        while _wait(every, end):
            follower.look()
            live.update(picture(), refresh=True)


def _line(event: Event) -> str:
    return time.strftime("%H:%M:%S ", time.localtime(1e-9 * event.time)) + event_text(event)
