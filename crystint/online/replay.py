"""Recorded messages are sent again, byte for byte, at the moments when they came."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from crystint.errors import FileError
from crystint.online.outlet import Outlet
from crystint.online.record import recorded

__all__ = ["Replayed", "replay"]

_WAIT = 10.0
"""s that starts and ends wait for a place in the queue"""


@dataclass
class Replayed:
    """What was sent."""

    messages: int = 0
    images: int = 0
    not_taken: int = 0
    """that nobody fetched in time, so that they were thrown away"""
    seconds: float = 0.0


def replay(
    folder: Path,
    addresses: Sequence[str],
    *,
    speed: float | None = 1.0,
    rate: float | None = None,
    wait: float = 60.0,
    queue: int = 1000,
    stop: Event,
    bound: Callable[[tuple[str, ...]], None] = lambda addresses: None,
) -> Replayed:
    """Send a record.

    Parameters
    ----------
    folder : Path
        That `crystint.online.record.Recorder` wrote.
    addresses : sequence of str
        Where the socket is bound.
    speed : float or None
        As many times as fast as the messages came; None = as fast as they are fetched.
    rate : float, optional
        Messages per second, in place of the times of the record.
    wait : float
        s to wait for somebody who pulls.
    queue : int
        Messages held for those who do not fetch them in time.
    stop : Event
        Ends it early.
    bound : callable
        Called with the addresses, once they are bound.

    Raises
    ------
    FileError
        When it is no record.
    StreamError
        When nobody pulls.
    """
    messages = list(recorded(folder))
    if not messages:
        raise FileError(f"{folder} holds no messages")
    sent = Replayed()
    with Outlet(addresses, queue=queue) as outlet:
        bound(outlet.addresses)
        outlet.wait_for_pullers(wait, stop)
        began = time.monotonic()
        for number, message in enumerate(messages):
            parts = message.read()
            if rate is not None:
                due = began + number / rate
            else:
                due = began + (0.0 if speed is None else (message.time - messages[0].time) / 1e9 / speed)
            if stop.wait(max(0.0, due - time.monotonic())):
                break
            patience = None if speed is None and rate is None else 0.0 if message.kind == "image" else _WAIT
            went = outlet.send(parts, 0, patience, stop)
            sent.messages += went
            sent.images += went and message.kind == "image"
            sent.not_taken += not went
        sent.seconds = time.monotonic() - began
        if stop.is_set():
            outlet.close(0.5)
    return sent
