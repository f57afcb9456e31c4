"""Ctrl-C that is not lost: Python only prints a KeyboardInterrupt that comes up in a destructor or a callback."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

__all__ = ["ctrl_c_came", "heeding_ctrl_c", "noting_ctrl_c"]

_Item = TypeVar("_Item")


_came = False


def _note(_number: int, _frame: FrameType | None) -> None:
    global _came
    _came = True
    raise KeyboardInterrupt


def ctrl_c_came() -> bool:
    """Whether one came whose KeyboardInterrupt may have been lost."""
    return _came


@contextmanager
def noting_ctrl_c() -> Iterator[None]:
    """While the block runs, a Ctrl-C is noted besides being raised; `heeding_ctrl_c` asks whether one came."""
    global _came
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # it is noted already, ignored, or somebody else's business
        return
    try:
        signal.signal(signal.SIGINT, _note)
    except ValueError:  # not in the main thread
        yield
        return
    _came = False
    try:
        yield
    finally:
        _came = False
        if signal.getsignal(signal.SIGINT) is _note:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def heeding_ctrl_c(items: Iterable[_Item]) -> Iterator[_Item]:
    """The items; after a Ctrl-C whose KeyboardInterrupt was lost, it is raised where the next item is asked for."""
    with noting_ctrl_c():
        for item in items:
            if _came:  # before the first, while files were opened
                raise KeyboardInterrupt
            yield item
            if _came:
                raise KeyboardInterrupt
