"""Calls functions of a user with each result, in order, in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crystint.online.queued_sink import QueuedSink, Tell
from crystint.online.result import Result
from crystint.online.sink import Run

__all__ = ["Callbacks"]


class Callbacks(QueuedSink):
    """What `Service.on_result` puts functions into.

    A function that is too slow loses results, which `status` counts as lost; one that raises is told once in a series
    and is not called again in it.

    Parameters
    ----------
    tell : callable, optional
        Takes warnings, as events.
    limit : int
        Bytes of the results that may wait.

    Examples
    --------
    >>> from crystint.online.callbacks import Callbacks
    >>> callbacks = Callbacks()
    >>> callbacks.add(print)
    >>> callbacks.close()
    """

    def __init__(self, tell: Tell | None = None, *, limit: int = 64 * 2**20) -> None:
        super().__init__("callbacks", tell, limit=limit)
        self._functions: tuple[Callable[[Result], object], ...] = ()
        self._raised: set[Callable[[Result], object]] = set()
        self._calls = 0
        self._start()

    def add(self, function: Callable[[Result], object]) -> None:
        """Call `function` with every result from now on."""
        self._functions = (*self._functions, function)

    def _begin(self, run: Run) -> None:
        self._raised.clear()

    def _results(self, run: Run, results: Sequence[Result]) -> None:
        for result in results:
            for function in self._functions:
                if function in self._raised:
                    continue
                try:
                    function(result)
                    self._calls += 1
                except Exception as error:
                    self._raised.add(function)
                    self._errors += 1
                    name = getattr(function, "__qualname__", repr(function))
                    self._warn(run.key, f"{name} raised {type(error).__name__}: {error}; it is called no more")

    def _status(self) -> dict[str, int]:
        return {"functions": len(self._functions), "calls": self._calls}
