"""The workers of a dask cluster at work: tasks go out, results come back, in the order of the tasks.

Which worker does what is decided in this process (`crystint.run.dispatch`), which waits for none of them: results come
in any order, are put into theirs, and a worker that does not answer only costs what it would have done.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from asyncio import CancelledError
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from crystint import __version__
from crystint.errors import ClusterError, CrystintError, warn
from crystint.run import cluster_worker
from crystint.run.cluster_worker import NotSentError, Order, Records, Sent
from crystint.run.dispatch import Attempt, Dispatch, Task

__all__ = ["ANSWER_S", "Cluster", "Roll", "connected"]

ANSWER_S = 30
"""Timeout, s, for the scheduler to answer."""
_ASK_S = 1.0
"""Between two questions to the scheduler which workers there are."""
_WAIT_S = 0.1
"""Between two looks at the clock and at signals."""
_PATIENCE_S = 20.0
"""How long frames that are in flight are waited for after a signal."""
_LOST = ("KilledWorker", "CommClosedError")
"""What dask raises when a worker is gone."""
_AHEAD = 1 << 30
"""Bytes of results that may wait for earlier ones; no more tasks are begun beyond."""


@contextmanager
def connected() -> Iterator[None]:
    """What dask raises is an error of the cluster, never one of the file that is being written meanwhile."""
    try:
        yield
    except CrystintError:
        raise
    except (Exception, CancelledError) as error:
        raise ClusterError(f"the cluster is lost: {type(error).__name__}: {error}") from error


class Roll:
    """The workers that the scheduler has, asked for time and again by a thread of its own: it may never answer."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._threads: dict[str, int] = dict(client.nthreads())
        self._answered = time.monotonic()
        self._error: BaseException | None = None
        self._over = threading.Event()
        threading.Thread(target=self._ask, name="crystint workers", daemon=True).start()

    def _ask(self) -> None:
        while not self._over.wait(_ASK_S):
            try:
                self._threads = dict(self._client.nthreads())
                self._answered = time.monotonic()
            except (Exception, CancelledError) as error:
                self._error = error
                return

    def threads(self) -> dict[str, int]:
        """Threads of each worker, as the scheduler last told.

        Raises
        ------
        ClusterError
            When it does not answer any more.
        """
        if self._error is not None:
            raise ClusterError(f"the cluster is lost: {type(self._error).__name__}: {self._error}") from self._error
        silent = time.monotonic() - self._answered
        if silent > ANSWER_S + _ASK_S:
            raise ClusterError(f"the cluster is lost: its scheduler has not answered for {silent:.0f} s")
        return self._threads

    def close(self) -> None:
        """Ask no more."""
        self._over.set()


class Cluster:
    """The workers of a dask cluster, as a crew. Made by `cluster`."""

    def __init__(self, client: Any, order: Order, frames: int, roll: Roll, *, direct: bool) -> None:
        self._client, self._frames, self._roll, self._direct = client, frames, roll, direct
        self._dispatch = Dispatch()
        self._answers: SimpleQueue[tuple[Attempt, Any, BaseException | None]] = SimpleQueue()
        self._futures: dict[Attempt, Any] = {}
        self._knock: Any = None
        self._sent: dict[str, set[str]] = {}
        """worker to the tokens of what it has"""
        self._order = Sent(order.token, pickle.dumps(order))
        self._others: set[str] = set()
        first = Task(0, "the first task")
        self.device = str(next(self._dealt(iter([first]), lambda _: (cluster_worker.device, self._order))))

    def records(self, numbers: range, first: Any, stop: Callable[[], bool]) -> Generator[bytes]:
        """As `crystint.run.in_progress.Crew`: a range of frames per task."""
        size = self._frames
        ranges = [numbers[start : start + size] for start in range(0, len(numbers), size)]
        mask = Sent(uuid4().hex, pickle.dumps(first))

        def call(task: Task) -> tuple[Any, ...]:
            return cluster_worker.records, self._order, mask, ranges[task.number]

        tasks = (
            Task(number, f"frames {some.start} to {some.stop - 1}", len(some)) for number, some in enumerate(ranges)
        )
        for result in self._dealt(tasks, call, stop):
            self._compare(result.device)
            for text in result.warned:
                warn(text)
            yield from result.packed

    def _dealt(
        self, tasks: Iterator[Task], call: Callable[[Task], tuple[Any, ...]], stop: Callable[[], bool] = lambda: False
    ) -> Generator[Any]:
        """The results of tasks in their order; fewer when `stop` says so.

        Parameters
        ----------
        tasks : iterator of Task
            Numbered from 0.
        call : callable
            Function of a task and its arguments, those that many tasks need as `Sent`.
        """
        ready: dict[int, Any] = {}
        coming, ahead, stopped = 0, 0, 0.0

        def new() -> Task | None:
            return None if stopped or ahead > _AHEAD else next(tasks, None)

        try:
            while True:
                now = time.monotonic()
                if stop() and not stopped:
                    stopped = now
                    self._cancel(self._dispatch.withdraw())
                with connected():
                    self._look_around(now)
                    for attempt in self._dispatch.offer(now, new):
                        self._submit(attempt, *call(attempt.task))
                while coming in ready:
                    result = ready.pop(coming)
                    coming, ahead = coming + 1, ahead - _size(result)
                    yield result
                if not self._dispatch.live or (stopped and not self._worth(now - stopped)):
                    return
                for task, result in self._came():
                    ready[task.number] = result
                    ahead += _size(result)
        finally:
            self._cancel(self._dispatch.forget())

    def _worth(self, waited: float) -> bool:
        """Whether to wait longer after a signal: for tasks that a worker has, as far as none is missing before them."""
        task = min(self._dispatch.live, key=lambda task: task.number)
        if task.attempts and waited > _PATIENCE_S:
            where = task.attempts[0].worker
            warn(f"{task.what}: no result from the worker {where} {waited:.0f} s after the signal; it is given up")
        return bool(task.attempts) and waited <= _PATIENCE_S

    def _look_around(self, now: float) -> None:
        """See which workers are there, say what is to be said, and raise what ends the run."""
        threads = self._roll.threads()
        gone = self._dispatch.workers(threads, now)
        for attempt in gone:
            self._sent.pop(attempt.worker, None)
        self._cancel(gone)
        if threads:
            self._knock = None
        elif self._knock is None:  # clusters that adapt start workers when there is something to do
            self._knock = self._client.submit(_knock, pure=False)
        lines, self._dispatch.lines = self._dispatch.lines, []
        for line in lines:
            warn(line)
        dead = self._dispatch.dead()
        if dead is not None:
            raise ClusterError(f"{dead.what}: every worker that had them died; is their memory too small?")
        if threads and not self._dispatch.usable:
            raise ClusterError("no worker is left that can do the work: see the lines above")

    def _submit(self, attempt: Attempt, work: Any, *arguments: Any) -> None:
        """Give a task to a worker. Its answer comes into the queue."""
        there = self._sent.setdefault(attempt.worker, set())
        short = [one._replace(data=None) if isinstance(one, Sent) and one.token in there else one for one in arguments]
        there |= {one.token for one in arguments if isinstance(one, Sent)}
        future = self._client.submit(
            work, *short, pure=False, priority=-attempt.task.number, workers=[attempt.worker], allow_other_workers=False
        )
        self._futures[attempt] = future
        future.add_done_callback(partial(self._fetch, attempt))

    def _fetch(self, attempt: Attempt, future: Any) -> None:
        """A callback, in a thread of dask: a worker has done a task."""
        if future.status == "finished":
            result = self._client.gather(future, direct=self._direct, asynchronous=True)
            answer = asyncio.run_coroutine_threadsafe(result, self._client.loop.asyncio_loop)
            answer.add_done_callback(partial(self._answer, attempt))
        else:
            error = future.exception() if future.status == "error" else CancelledError()
            self._answers.put((attempt, None, error))

    def _answer(self, attempt: Attempt, answer: Any) -> None:
        """A callback, in the thread of the client: a result is here."""
        error = CancelledError() if answer.cancelled() else answer.exception()
        self._answers.put((attempt, None if error is not None else answer.result(), error))

    def _cancel(self, attempts: list[Attempt]) -> None:
        """Do not begin, and do not listen. Nothing here waits for the scheduler."""
        for attempt in attempts:
            attempt.void = True
            future = self._futures.pop(attempt, None)
            if future is not None:
                with suppress(Exception):  # the cluster may be gone
                    future.release()

    def _came(self) -> Iterator[tuple[Task, Any]]:
        """The results that have come, and what became of the other attempts."""
        wait = _WAIT_S
        while True:
            try:
                attempt, result, error = self._answers.get(timeout=wait) if wait else self._answers.get_nowait()
            except Empty:
                return
            wait, now = 0.0, time.monotonic()
            if self._futures.pop(attempt, None) is None:
                continue  # it was cancelled
            if error is None:
                if not attempt.task.done and not attempt.void:
                    yield attempt.task, result
                self._cancel(self._dispatch.finished(attempt, now))
            elif isinstance(error, NotSentError):
                self._sent.pop(attempt.worker, None)
                self._dispatch.lost(attempt, now)
            elif isinstance(error, CancelledError) or type(error).__name__ in _LOST:
                self._dispatch.lost(attempt, now, died=True)
                time.sleep(_WAIT_S)  # a scheduler that is gone cancels all that it is asked for
            else:
                final = self._dispatch.failed(attempt, _told(error, attempt), now)
                if final is not None:
                    raise final from error

    def _compare(self, device: str) -> None:
        if device != self.device and device not in self._others:
            self._others.add(device)
            warn(
                f"a worker uses the device {device}, others {self.device}: the last digits of what they find may differ"
            )


def _knock() -> None:
    """Task: nothing."""


def _size(result: Any) -> int:
    """Bytes of a result."""
    return sum(map(len, result.packed)) if isinstance(result, Records) else 0


def _told(error: BaseException, attempt: Attempt) -> Exception:
    """What a worker raised, with its name."""
    if isinstance(error, CrystintError):
        return type(error)(f"{error} (on the worker {attempt.worker})")
    if isinstance(error, ModuleNotFoundError):
        return ClusterError(
            f"the worker {attempt.worker} lacks a package: {error}; install crystint {__version__} there"
        )
    return ClusterError(f"{attempt.task.what} failed on the worker {attempt.worker}: {type(error).__name__}: {error}")
