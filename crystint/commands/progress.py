"""How far a run has come: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click

__all__ = ["progress"]

_Item = TypeVar("_Item")

_EVERY_S = 10.0
_AT_MOST_EVERY_S = 1.0


def progress(items: Iterable[_Item], total: int, what: str) -> Iterator[_Item]:
    """The items, with their progress on stderr.

    Parameters
    ----------
    total : int
        Number of items to come.
    what : str
        What is being done, for example "peaks".
    """
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


def _rate(done: int, seconds: float) -> str:
    """ "27.4 per s"; of less than one per second "3.2 s each"."""
    rate = done / max(seconds, 1e-9)
    return f"{rate:.3g} per s" if rate >= 1.0 else f"{1.0 / rate:.3g} s each"
