"""Receives the messages of a detector: in a loop of yours, or in a thread that does nothing else."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self, TypeVar

from crystint.errors import RefusedError, StreamError, warn
from crystint.online.inlet import Inlet
from crystint.online.intake import Intake
from crystint.stream.messages import Dialect, End, Image, Start
from crystint.stream.read import read_message

__all__ = ["Receiver", "ReceiverThread"]

T = TypeVar("T")
_SOON = 0.25
"""s from a message to the next tick, at most"""


class Receiver:
    """The messages of a detector, as they come.

    Parameters
    ----------
    *addresses : str
        Where detectors bind.
    dialect : "stream2", "jungfraujoch", "legacy", optional
        None = by what the messages are.
    timeout : float, optional
        s without a message after which the loop ends; None = it never does.
    queue : int
        Messages that each socket takes in advance: more than the detector sends while you work on one are kept by it.

    Raises
    ------
    SettingError
        For an address that is none, or where pyzmq is not installed.

    Examples
    --------
    >>> from crystint.online import Receiver
    >>> with Receiver("tcp://127.0.0.1:31999", timeout=0.01) as receiver:
    ...     for item in receiver:
    ...         print(type(item).__name__, item.series)
    """

    def __init__(
        self, *addresses: str, dialect: Dialect | None = None, timeout: float | None = None, queue: int = 64
    ) -> None:
        self._inlet = Inlet(addresses, queue=queue)
        self._dialect: Dialect | None = dialect
        self._timeout = timeout
        self._waiting: deque[tuple[Sequence[Any], int]] = deque()
        self.damaged = 0
        """messages that could not be read; each is warned of"""
        self.others = 0
        """messages of other types, such as calibrations, which are passed over"""

    def __iter__(self) -> Iterator[Start | Image | End]:
        return self

    def __next__(self) -> Start | Image | End:
        while True:
            if not self._waiting:
                self._waiting.extend(self._fetch())
            if not self._waiting:
                raise StopIteration
            try:
                message = read_message(self._waiting.popleft()[0], self._dialect)
            except StreamError as error:
                self.damaged += 1
                warn(f"a message was left out: {error}")
                continue
            if isinstance(message, Start | Image | End):
                return message
            self.others += 1

    def _fetch(self) -> list[tuple[Sequence[Any], int]]:
        """What is there; empty = nothing came until the time was out."""
        until = None if self._timeout is None else time.monotonic() + self._timeout
        while True:
            left = None if until is None else until - time.monotonic()
            if left is not None and left < 0:
                return []
            items = list(self._inlet.receive(left))
            if items:
                return items  # type: ignore[return-value]

    def close(self) -> None:
        """Close the sockets."""
        self._inlet.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ReceiverThread:
    """Pulls messages and gives them to an intake; it waits for nothing but its sockets.

    Parameters
    ----------
    inlet : Inlet
        It belongs to the thread from now on.
    intake : Intake
        Likewise; other threads use `ask`.
    """

    def __init__(self, inlet: Inlet, intake: Intake) -> None:
        self.inlet, self.intake = inlet, intake
        self.turned = time.monotonic()
        """s: when it was at its sockets last"""
        self.failures = 0
        """messages that made an error of crystint's own"""
        self._asked: deque[Callable[[], None]] = deque()
        self._stop = False
        intake.queue.on_room = inlet.wake
        self._thread = Thread(target=self._run, name="receiver")

    def start(self) -> None:
        """Begin to pull."""
        self._thread.start()

    def ask(self, question: Callable[[], T], timeout: float = 30.0) -> T:
        """Let the thread do something between two messages, and wait for it.

        Raises
        ------
        RefusedError
            When it does not come to it.
        """
        answer: list[T] = []
        trouble: list[BaseException] = []
        done = Event()

        def work() -> None:
            try:
                answer.append(question())
            except BaseException as error:
                trouble.append(error)
            finally:
                done.set()

        self._asked.append(work)
        self.inlet.wake()
        if not self._thread.is_alive() or not done.wait(timeout):
            raise RefusedError("busy", "the receiver does not answer: it has stopped, or the machine is overloaded")
        if trouble:
            raise trouble[0]
        return answer[0]

    def close(self) -> None:
        """Stop to pull, and close the sockets."""
        self._stop = True
        self.inlet.wake()
        if self._thread.ident is not None:
            self._thread.join()
        self.inlet.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        inlet, intake = self.inlet, self.intake
        queue = intake.queue
        due = 0.0
        while not self._stop:
            now = time.monotonic()
            if self._asked or now >= due:
                while self._asked:
                    self._asked.popleft()()
                due = now + self._tick()
            queue.waiting = queue.full
            before = intake.counts.messages
            for parts, received in inlet.receive(due - now, paused=queue.waiting and queue.full):
                try:
                    intake.message(parts, received)
                except Exception as error:
                    self._failed(error)
                self.turned = time.monotonic()
                if queue.full:
                    break
            self.turned = time.monotonic()
            if intake.counts.messages != before:
                due = min(due, self.turned + _SOON)  # what it was told before may not hold any more

    def _tick(self) -> float:
        try:
            return self.intake.tick()
        except Exception as error:
            self._failed(error)
            return 0.25

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.intake.follower.warning(f"a message could not be taken: {type(error).__name__}: {error}")
