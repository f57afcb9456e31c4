"""The state of the service, and how it came to it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from threading import Lock
from typing import Literal

__all__ = ["State", "StateMachine", "StateName"]

StateName = Literal["idle", "arming", "measuring", "finishing", "error"]


@dataclass(frozen=True, slots=True)
class State:
    """A state and the way to it."""

    name: StateName
    revision: int
    """one more with each transition"""
    reason: str
    time: int
    """ns since 1970-01-01 UTC, when it came to it"""
    stalled: bool = False
    """a series is measured, and nothing came for a while"""


class StateMachine:
    """Where the service is: idle, arming, measuring, finishing or error.

    Examples
    --------
    >>> from crystint.online.state import StateMachine
    >>> machine = StateMachine()
    >>> machine.to("arming", "start of series 5")
    True
    >>> machine.now.name, machine.now.revision, len(machine.transitions)
    ('arming', 1, 2)
    """

    def __init__(self) -> None:
        self.now = State("idle", 0, "the service began", time.time_ns())
        """may be read at any time"""
        self._last = deque([self.now], maxlen=100)
        self._lock = Lock()

    @property
    def transitions(self) -> list[State]:
        """The last 100, the newest last."""
        with self._lock:
            return list(self._last)

    def to(self, name: StateName, reason: str, *, stalled: bool = False) -> bool:
        """Come to a state; whether it is another one. An error stays until `clear` or the next start."""
        with self._lock:
            if (self.now.name, self.now.stalled) == (name, stalled):
                return False
            self.now = State(name, self.now.revision + 1, reason, time.time_ns(), stalled)
            self._last.append(self.now)
            return True
