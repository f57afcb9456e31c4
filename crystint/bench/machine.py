"""Whether the machine was quiet while something was measured, and what its cores are worth together."""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crystint.bench.timing import processor_time

__all__ = ["Others", "OthersWatch", "cores", "thread_gain"]

_QUIET = 0.1
"""cores that others may use on a quiet machine"""
_WORK = bytes(1 << 18)
_TIMES = 40
"""digests of `_WORK` by a thread: some 5 to 20 ms"""


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Others:
    """What else the machine did meanwhile."""

    cores: float | None
    """cores that other processes, or other machines of the same host, used on average; None = not known"""

    @property
    def quiet(self) -> bool | None:
        """Whether the walls can be believed; None = not known."""
        return None if self.cores is None else self.cores < _QUIET

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self) | {"quiet": self.quiet}

    def __str__(self) -> str:
        if self.cores is None:
            return "whether the machine was quiet is not known here: compare least times"
        if self.quiet:
            return f"the machine was quiet: others used {self.cores:.2f} cores"
        return (
            f"the machine was NOT quiet: others used {self.cores:.1f} cores while this ran; "
            "compare least times and core-ms, not medians"
        )


class OthersWatch:
    """Counts the processor time of all but this process from now on, from Linux' /proc/stat."""

    def __init__(self) -> None:
        self._begin = self._now()

    def others(self) -> Others:
        """Until now."""
        end = self._now()
        if self._begin is None or end is None:
            return Others(None)
        wall, every, own = (b - a for a, b in zip(self._begin, end))
        return Others(max(0.0, every - own) / wall if wall > 0 else None)

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        """Wall clock, time that all cores were busy (or taken away), own time; s."""
        with suppress(OSError, ValueError, IndexError):
            times = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
            idle = times[3] + times[4]
            return time.monotonic(), (sum(times) - idle) / os.sysconf("SC_CLK_TCK"), processor_time()
        return None


def thread_gain(threads: int) -> float:
    """How many times the work of one thread `threads` of them do: `threads` on cores of their own, about 1 on two
    hyperthreads of one core."""

    def work(_number: int = 0) -> None:
        for _ in range(_TIMES):
            hashlib.sha256(_WORK).digest()  # without the lock of the interpreter, and within the caches of a core

    def least(run: Any) -> float:
        took = []
        for _ in range(5):
            at = time.perf_counter()
            run()
            took.append(time.perf_counter() - at)
        return min(took)

    with ThreadPoolExecutor(threads) as pool:
        together = least(lambda: list(pool.map(work, range(threads))))
    return threads * least(work) / together
