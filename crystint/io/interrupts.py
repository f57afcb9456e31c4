"""Ctrl-C where C code calls methods of crystint, and an exception would damage what that code holds."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, TypeVar

__all__ = ["deferring", "interrupt", "interrupts_deferred"]

_F = TypeVar("_F", bound=Callable[..., Any])
_callbacks: set[CodeType] = set()


def deferring(method: _F) -> _F:
    """Mark a method that C calls: a Ctrl-C that comes up in it is put into ``self.failure`` instead of being raised."""
    _callbacks.add(method.__code__)
    return method


def interrupt(_number: int, frame: FrameType | None) -> None:
    """A handler of SIGINT: raises KeyboardInterrupt; in a `deferring` method it puts it into ``self.failure``."""
    if frame is None or frame.f_code not in _callbacks:
        raise KeyboardInterrupt
    frame.f_locals["self"].failure = KeyboardInterrupt()


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """While the block runs, `interrupt` stands in for Python's own handler; any other handler stays."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    try:
        signal.signal(signal.SIGINT, interrupt)
    except ValueError:  # not in the main thread: no signal comes up here
        yield
        return
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)
