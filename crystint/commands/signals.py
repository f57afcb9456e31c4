"""Ctrl-C and SIGTERM while frames are worked on: what is in flight is finished, and what is done is kept.

Python only prints a KeyboardInterrupt that comes up in a destructor or a callback: a Ctrl-C is noted as well.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from crystint.io.interrupts import interrupt

__all__ = ["INTERRUPTED", "Interruption", "ctrl_c_came", "leave_at_ctrl_c", "noting_ctrl_c"]

INTERRUPTED = "interrupted; no half-written output was left"

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONE_KEY_S = 0.5
"""Programs that start others pass Ctrl-C on: what comes this soon after the first is the same one."""
_NOTE = b"\ncrystint: stopping: the frames in flight are finished; Ctrl-C again stops at once\n"


_came = False


def leave_at_ctrl_c() -> None:
    """From here on Ctrl-C ends the process at once, where no command is at work: at the start and at the end.

    A KeyboardInterrupt would be a traceback there, or be lost in an import that goes on without what it did not get.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os.write(2, f"crystint: error: {INTERRUPTED}\n".encode())
    os._exit(128 + signal.SIGINT)


def _raise_and_note(number: int, frame: FrameType | None) -> None:
    global _came
    _came = True
    interrupt(number, frame)


def ctrl_c_came() -> bool:
    """Whether one came whose KeyboardInterrupt may have been lost."""
    return _came


@contextmanager
def noting_ctrl_c() -> Iterator[None]:
    """While the block runs, a Ctrl-C is noted besides being raised; `ctrl_c_came` tells whether one came."""
    global _came
    before = signal.getsignal(signal.SIGINT)
    if before not in (signal.default_int_handler, _leave):
        yield  # it is noted already, ignored, or somebody else's business
        return
    try:
        signal.signal(signal.SIGINT, _raise_and_note)
    except ValueError:  # not in the main thread
        yield
        return
    _came = False
    try:
        yield
    finally:
        _came = False
        if signal.getsignal(signal.SIGINT) is _raise_and_note:
            signal.signal(signal.SIGINT, before)


class Interruption:
    """The signal that interrupted a run.

    Attributes
    ----------
    number : int
        0 = none did.
    """

    def __init__(self) -> None:
        self.number = 0

    @contextmanager
    def watched(self) -> Iterator[Callable[[], bool]]:
        """For as long as the block takes, the first signal is noted and a second Ctrl-C is a KeyboardInterrupt.

        What is ignored stays ignored: `nohup` asks that of SIGHUP, and shells of SIGINT for what they start with ``&``.

        Gives a function that tells whether a signal has come.
        """
        if ctrl_c_came():
            raise KeyboardInterrupt
        since = 0.0

        def note(number: int, frame: FrameType | None) -> None:
            nonlocal since
            if not self.number:
                self.number, since = number, time.monotonic()
                os.write(2, _NOTE)  # in a handler, buffered output may be in use already
            elif number == signal.SIGINT and time.monotonic() - since > _ONE_KEY_S:
                since = time.monotonic()
                interrupt(number, frame)

        try:
            heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            before = [(number, signal.signal(number, note)) for number in heeded]
        except ValueError:  # not in the main thread: signals are somebody else's business
            yield lambda: False
            return
        try:
            yield lambda: self.number > 0
        except KeyboardInterrupt:
            if self.number not in (0, signal.SIGINT):
                sys.exit(128 + self.number)
            raise
        finally:
            for number, handler in before:
                signal.signal(number, handler)
