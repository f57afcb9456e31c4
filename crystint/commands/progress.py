"""How far a run has come: a bar on a terminal, plain lines in a log, lines of JSON for a program that started it.

A program that sets the variable ``CRYSTINT_PROGRESS`` to the number of a descriptor that is open for writing reads
there ``{"done": 3, "total": 10, "what": "peaks"}``, a line each time; the command ends when it is closed at the other
end.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click

__all__ = ["DESCRIPTOR", "end_with_reader", "progress"]

_Item = TypeVar("_Item")

DESCRIPTOR = "CRYSTINT_PROGRESS"
"""variable of the environment"""
_EVERY_S = 10.0
_AT_MOST_EVERY_S = 1.0
_REPORTS_S = 0.2


def progress(items: Iterable[_Item], total: int, what: str) -> Iterator[_Item]:
    """The items, with their progress on stderr, or to the program that asked for it.

    Parameters
    ----------
    total : int
        Number of items to come.
    what : str
        What is being done, for example "peaks".
    """
    place = os.environ.get(DESCRIPTOR, "")
    if place.isdecimal():
        return _reported(items, total, what, int(place))
    if sys.stderr.isatty():
        return _bar(items, total, what)
    return _lines(items, total, what)


def _bar(items: Iterable[_Item], total: int, what: str) -> Iterator[_Item]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    speed = TextColumn("{task.fields[rate]}")
    start = time.monotonic()
    with Progress(*columns, speed, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, rate="")
        for done, item in enumerate(items, 1):
            yield item
            bar.update(task, completed=done, rate=_rate(done, time.monotonic() - start))


def _lines(items: Iterable[_Item], total: int, what: str) -> Iterator[_Item]:
    start = last = time.monotonic()
    tenth = 0
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        crossed = done * 10 // total > tenth and now - last >= _AT_MOST_EVERY_S
        if done == total or crossed or now - last >= _EVERY_S:
            tenth, last = done * 10 // total, now
            click.echo(f"{what}: {done}/{total}, {_rate(done, now - start)}", err=True)


def _reported(items: Iterable[_Item], total: int, what: str, place: int) -> Iterator[_Item]:
    last = -_REPORTS_S
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - last >= _REPORTS_S:
            last = now
            _report(place, done, total, what)
        yield item
    _report(place, total, total, what)


def _report(place: int, done: int, total: int, what: str) -> None:
    os.write(place, json.dumps({"done": done, "total": total, "what": what}).encode() + b"\n")


def end_with_reader() -> None:
    """From here on this process is asked to end when nobody reads its progress any more, if a program asked for it."""
    place = os.environ.get(DESCRIPTOR, "")
    if place.isdecimal():
        threading.Thread(target=_wait_for_end, args=(int(place),), name="reader of progress", daemon=True).start()


def _wait_for_end(place: int) -> None:
    poll = select.poll()
    poll.register(place, 0)  # errors alone: those of a pipe without a reader
    poll.poll()
    os.kill(os.getpid(), signal.SIGTERM)


def _rate(done: int, seconds: float) -> str:
    """ "27.4 per s"; of less than one per second "3.2 s each"."""
    rate = done / max(seconds, 1e-9)
    return f"{rate:.3g} per s" if rate >= 1.0 else f"{1.0 / rate:.3g} s each"
