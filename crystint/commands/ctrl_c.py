"""Ctrl-C that is not lost: Python only prints a KeyboardInterrupt that comes up in a destructor or a callback."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import TypeVar

__all__ = ["heeding_ctrl_c"]

_Item = TypeVar("_Item")


def heeding_ctrl_c(items: Iterable[_Item]) -> Iterator[_Item]:
    """The items; after a Ctrl-C whose KeyboardInterrupt was lost, it is raised where the next item is asked for."""
    came = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield from items  # it is ignored, or somebody else's business
        return
    try:
        signal.signal(signal.SIGINT, note)
    except ValueError:  # not in the main thread
        yield from items
        return
    try:
        for item in items:
            yield item
            if came:
                raise KeyboardInterrupt
    finally:
        if signal.getsignal(signal.SIGINT) is note:
            signal.signal(signal.SIGINT, signal.default_int_handler)
