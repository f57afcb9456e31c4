"""Jobs done in parallel, their results taken in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

__all__ = ["Promise", "available_cores", "in_order", "thread_pool"]

_Job = TypeVar("_Job")
_Result_co = TypeVar("_Result_co", covariant=True)


class Promise(Protocol[_Result_co]):
    """A future of `concurrent.futures`, of dask, or of anything alike."""

    def result(self) -> _Result_co:
        """Wait for the result."""

    def cancel(self) -> object:
        """Do not begin, if that can still be helped."""


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def thread_pool(threads: int) -> Iterator[Executor]:
    """Threads for the time of the block. Its end waits for what they have begun; a KeyboardInterrupt does not."""
    pool = ThreadPoolExecutor(threads, "crystint")
    try:
        yield pool
    except BaseException as error:
        pool.shutdown(wait=not isinstance(error, KeyboardInterrupt), cancel_futures=True)
        raise
    pool.shutdown()


def in_order(
    submit: Callable[[_Job], Promise[_Result_co]],
    jobs: Iterable[_Job],
    at_a_time: Callable[[], int],
    stop: Callable[[], bool] = lambda: False,
) -> Generator[_Result_co]:
    """Results of `jobs` in their order, at most two for each worker begun and not yet taken.

    Back-pressure: a slow consumer slows the work down, since memory never holds more results than that. Once `stop`
    says so, no job is begun any more; those that a worker has already are finished and their results yielded.

    Parameters
    ----------
    submit : callable
        Begins a job.
    jobs : iterable
        Read as they are begun.
    at_a_time : callable
        How many workers there are; it may change.
    stop : callable
        Called before each job; True = stop.
    """
    waiting: deque[Promise[_Result_co]] = deque()
    coming = iter(jobs)
    try:
        while True:
            while not stop() and len(waiting) < 2 * at_a_time():
                try:
                    job = next(coming)
                except StopIteration:
                    break
                waiting.append(submit(job))
            while stop() and len(waiting) > at_a_time():
                waiting.pop().cancel()
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        for promise in waiting:
            promise.cancel()
