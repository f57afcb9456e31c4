"""What the routes of the web interface share: whom they ask, what they remember, and who may look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import anyio
import anyio.to_thread

from crystint.engine import Engine
from crystint.online.alarm_watch import AlarmWatch
from crystint.online.answers import ApiError
from crystint.online.auth import Access
from crystint.online.control import Control
from crystint.online.guard import Traffic
from crystint.online.history import History
from crystint.online.state_folder import StateFolder

__all__ = ["Broker"]

_T = TypeVar("_T")
_AT_A_TIME = 8
_CHANGES = 2
"""at a time"""


@dataclass
class Broker:
    """Handed to every function that makes routes."""

    control: Control
    history: History
    access: Access
    ring: Any = None
    """the last images, `crystint.online.ring`; None = none are kept"""
    data_root: Path | None = None
    """files below it may be named in requests"""
    patience: float = 2.0
    """s that an answer of the control is waited for"""
    long_patience: float = 60.0
    """s, of what changes something: new settings may need new tables"""
    source: Literal["stream", "files"] = "stream"
    """what is looked at"""
    engine: Callable[[], Engine] = field(default_factory=lambda: cache(Engine))
    """the device that images are looked at with, made when it is first needed"""
    traffic: Traffic = field(default_factory=Traffic)
    closing: bool = False
    """the service ends: whatever streams ends with it"""

    desk: Any = None
    """`crystint.online.desk.Desk`, where images are looked at"""
    jobs: Any = None
    """`crystint.online.jobs.Jobs`"""
    files: Any = None
    """`crystint.online.opened_files.OpenedFiles`"""
    state: StateFolder = field(default_factory=lambda: StateFolder(None))
    """layouts and alarms are kept there"""
    alarms: AlarmWatch | None = None
    """where alarms are asked for"""

    def __post_init__(self) -> None:
        self._quick, self._slow = anyio.CapacityLimiter(_AT_A_TIME), anyio.CapacityLimiter(_CHANGES)

    def close(self) -> None:
        """Wake all that follow the history, and let them end."""
        self.closing = True
        if self.jobs is not None:
            self.jobs.close()
        if self.files is not None:
            self.files.close()
        if self.alarms is not None:
            self.alarms.close()
        self.history.wake()

    async def ask(self, function: Callable[..., _T], *arguments: Any, **named: Any) -> _T:
        """Call something that takes a moment, in a thread; what it raises is raised here.

        Raises
        ------
        ApiError
            503 when there is no answer in time.
        """
        return await self._called(partial(function, *arguments, **named), self.patience, self._quick)

    async def change(self, function: Callable[..., _T], *arguments: Any, **named: Any) -> _T:
        """As `ask`, for what may take longer; quick questions do not wait behind it.

        Raises
        ------
        ApiError
            503 when there is no answer in time.
        """
        return await self._called(partial(function, *arguments, **named), self.long_patience, self._slow)

    async def _called(self, work: Callable[[], _T], patience: float, limiter: anyio.CapacityLimiter) -> _T:
        try:
            with anyio.fail_after(patience):
                return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)
        except TimeoutError:
            raise ApiError(503, "busy", f"the data process has not answered within {patience:g} s; ask again") from None
