"""Rates and latencies of the last seconds."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

__all__ = ["Latencies", "Meter"]

_SECONDS = 12
_LAST = 2000


class Meter:
    """Counts of the last ten seconds. One thread counts, any may read.

    Examples
    --------
    >>> from crystint.online.meter import Meter
    >>> seconds = iter([0.0, 0.5, 0.9, 1.2])
    >>> meter = Meter(clock=lambda: next(seconds))
    >>> meter.add(), meter.add(), meter.add()
    (None, None, None)
    >>> meter.rate(1)
    3.0
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[int, int] = {}
        self.total = 0

    def add(self, count: int = 1) -> None:
        """Something came now."""
        second = int(self._clock())
        counts = self._counts
        counts[second] = counts.get(second, 0) + count
        self.total += count
        if len(counts) > _SECONDS:
            self._counts = {key: value for key, value in counts.items() if key > second - _SECONDS}

    def rate(self, seconds: int) -> float:
        """Per second, over the last `seconds` whole seconds."""
        now = int(self._clock())
        counts = dict(self._counts)
        return sum(counts.get(now - back, 0) for back in range(1, seconds + 1)) / seconds


class Latencies:
    """Times from when an image came until its result was out, s. Any thread may use it."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=_LAST)
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        """One more."""
        with self._lock:
            self._values.append(seconds)

    def quantiles(self, *shares: float) -> list[float | None]:
        """Of the last 2000; None = there is none."""
        with self._lock:
            values = np.array(self._values)
        return [float(np.quantile(values, share)) if len(values) else None for share in shares]
