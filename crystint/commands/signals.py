"""Ctrl-C and SIGTERM while frames are worked on: what is in flight is finished, and what is done is kept."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interruption"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONE_KEY_S = 0.5
"""Programs that start others pass Ctrl-C on: what comes this soon after the first is the same one."""
_NOTE = b"\ncrystint: stopping: the frames in flight are finished; Ctrl-C again stops at once\n"


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
        since = 0.0

        def note(number: int, _frame: FrameType | None) -> None:
            nonlocal since
            if not self.number:
                self.number, since = number, time.monotonic()
                os.write(2, _NOTE)  # in a handler, buffered output may be in use already
            elif number == signal.SIGINT and time.monotonic() - since > _ONE_KEY_S:
                raise KeyboardInterrupt

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
