"""Which worker of a cluster does which task, and what is done about workers that are slow, blind, stuck or gone.

Nothing here waits, computes or talks to a cluster: what has happened is told together with its time, and `offer`
answers which tasks to give to whom. So a run of hours can be simulated in seconds (benchmarks/cluster_simulation.py).

- A worker gets a task per thread, and a second one behind each once it has shown that it keeps up with the others.
- A task that takes longer than three times the median is given to another worker as well; the first result counts.
- A task that fails is tried elsewhere. A worker at which two tasks failed is left out.
- Tasks of workers that are gone are given out again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

__all__ = ["Attempt", "Dispatch", "Task"]

_LATE, _LATE_AT_THE_END = 3.0, 1.5
"""Times the median: a task is given out once more. At the end there are workers that have nothing else to do."""
_LATE_S = 1.0
"""A task that is younger is never late."""
_COPIES = 4
"""Workers that may have a task at a time; each is waited for twice as long as the one before."""
_SLOW = 2.0
"""Times the median: a worker that takes longer has no second task waiting."""
_PACES, _FEWEST = 101, 3
"""Results that the median is taken of, at most and at least."""
STUCK_S = 60.0
"""s without a result, after which the worker is named."""
_FAILURES = 2
"""Tasks that fail at a worker before it is left out."""
_TRIED = 5
"""Workers at which a task fails before the run ends."""
_DEATHS = 16
"""Workers that may die over a task."""
_LOOK_S = 0.25
"""Between two looks for tasks that are late."""


@dataclass(eq=False, slots=True)
class Attempt:
    """A task in the hands of a worker."""

    task: Task
    worker: str
    began: float | None = None
    """s; None = others are before it"""
    void: bool = False
    """its result is not wanted any more"""


@dataclass(eq=False, slots=True)
class Task:
    """Something that a worker is to do."""

    number: int
    """results are wanted in this order"""
    what: str
    """for messages, such as "frames 3 to 5" """
    size: int = 1
    """frames"""
    attempts: list[Attempt] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)
    """worker to what it raised"""
    deaths: int = 0
    done: bool = False


@dataclass(eq=False, slots=True)
class _Worker:
    threads: int
    attempts: list[Attempt] = field(default_factory=list)
    """in the order in which they were given"""
    results: int = 0
    failures: int = 0
    left_out: bool = False
    pace: float | None = None
    """s per frame and thread"""
    named: bool = False
    """whether it was said that it is stuck"""


class Dispatch:
    """The workers of a cluster, and the tasks that they have."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        """to be said; whoever says them empties the list"""
        self._workers: dict[str, _Worker] = {}
        self._again: list[Task] = []
        self._live: dict[int, Task] = {}
        self._paces: deque[float] = deque(maxlen=_PACES)
        self._typical: float | None = None
        """median of s per frame; None = too few are known"""
        self._overdue: list[Task] = []
        self._looked = -_LOOK_S
        self._ending = False

    @property
    def live(self) -> list[Task]:
        """Tasks that are not done."""
        return list(self._live.values())

    @property
    def usable(self) -> list[str]:
        """Workers that get tasks."""
        return [name for name, worker in self._workers.items() if not worker.left_out]

    # ------------------------------------------------------------------------------------------------ what happened

    def workers(self, threads: Mapping[str, int], now: float) -> list[Attempt]:
        """The workers that there are.

        Parameters
        ----------
        threads : mapping of name to number
        now : float
            s, of any clock.

        Returns
        -------
        list of Attempt
            Those of workers that are gone.
        """
        lost = [
            attempt for name in self._workers.keys() - threads.keys() for attempt in self._workers.pop(name).attempts
        ]
        for attempt in lost:
            attempt.task.deaths += attempt.began is not None and not attempt.void
            self._without(attempt)
        for name, number in threads.items():
            self._workers.setdefault(name, _Worker(number)).threads = number
            self._begin(name, now)
        return lost

    def finished(self, attempt: Attempt, now: float) -> list[Attempt]:
        """A worker has the result of a task.

        Returns
        -------
        list of Attempt
            Copies that need not begin any more.
        """
        task, worker = attempt.task, self._workers.get(attempt.worker)
        if worker is not None:
            worker.named = False
            if attempt.began is not None and worker.results:  # the first one has files and a device to open
                pace = (now - attempt.began) / task.size
                worker.pace = pace if worker.pace is None else 0.7 * worker.pace + 0.3 * pace
                if not task.done:
                    self._paces.append(pace)
                    self._typical = median(self._paces) if len(self._paces) >= _FEWEST else None
            worker.results += 1
        self._without(attempt)
        self._take(attempt, now)
        task.done = True
        self._live.pop(task.number, None)
        copies = [other for other in task.attempts if other.began is None]
        for other in task.attempts:
            other.void = True
        for other in copies:
            self._take(other, now)
        return copies

    def failed(self, attempt: Attempt, error: Exception, now: float) -> Exception | None:
        """A task failed at a worker; it is tried elsewhere.

        Returns
        -------
        Exception or None
            The error, where it failed everywhere or often enough.
        """
        task, worker = attempt.task, self._workers.get(attempt.worker)
        self._without(attempt)
        self._take(attempt, now)
        if task.done:
            return None
        task.failed[attempt.worker] = error
        proven = [name for name in task.failed if name in self._workers and self._workers[name].results]
        others = [name for name in self.usable if name not in task.failed]
        if not task.attempts and (not others or len(task.failed) >= _TRIED or len(proven) > 1):
            return error
        if worker is not None:
            worker.failures += 1
            if worker.failures >= _FAILURES and not worker.left_out:
                worker.left_out = True
                self.lines.append(f"a worker is left out, where {worker.failures} tasks failed: {error}")
        return None

    def lost(self, attempt: Attempt, now: float, *, died: bool = False) -> None:
        """A task came to nothing at a worker, which is not to blame: it is given out again."""
        attempt.task.deaths += died
        self._without(attempt)
        self._take(attempt, now)

    def dead(self) -> Task | None:
        """A task over which too many workers died."""
        return next((task for task in self._again if task.deaths >= _DEATHS), None)

    # ------------------------------------------------------------------------------------------- what is to be done

    def offer(self, now: float, new: Callable[[], Task | None]) -> list[Attempt]:
        """Tasks to be given to workers now.

        Parameters
        ----------
        now : float
            s
        new : callable
            Gives the next task; None = there is none, or none is to begin.
        """
        made = []
        look = now - self._looked >= _LOOK_S
        if look:
            self._looked, self._overdue = now, list(self._late(now))
        for tasks in (self._again, self._overdue):
            for task in sorted(tasks, key=lambda task: task.number):
                if task.done:
                    tasks.remove(task)
                elif (name := self._free(task)) is not None:
                    tasks.remove(task)
                    made.append(self._give(task, name, now))
        while (name := self._free(None)) is not None:
            fresh = new()
            self._ending = fresh is None
            if fresh is None:
                break
            self._live[fresh.number] = fresh
            made.append(self._give(fresh, name, now))
        if look:
            self._name_stuck(now)
        return made

    def withdraw(self) -> list[Attempt]:
        """No more is to begin but what comes first, for as many tasks as there are threads.

        Returns
        -------
        list of Attempt
            Those that are taken back.
        """
        threads = sum(worker.threads for worker in self._workers.values())
        first = sorted(task.number for task in self._live.values())[:threads]
        waiting = [each for worker in self._workers.values() for each in worker.attempts if each.began is None]
        waiting = [each for each in waiting if each.task.number not in first]
        for attempt in waiting:
            attempt.void = True
            self._workers[attempt.worker].attempts.remove(attempt)
            attempt.task.attempts.remove(attempt)
        return waiting

    def forget(self) -> list[Attempt]:
        """All tasks are given up.

        Returns
        -------
        list of Attempt
            Those in the hands of workers, which go on with what they have begun.
        """
        held = [attempt for task in self._live.values() for attempt in task.attempts]
        for attempt in held:
            attempt.void = True
            if attempt.began is None and attempt.worker in self._workers:
                self._workers[attempt.worker].attempts.remove(attempt)
        self._live.clear()
        self._again.clear()
        self._overdue.clear()
        return held

    # ------------------------------------------------------------------------------------------------------ inside

    def _give(self, task: Task, name: str, now: float) -> Attempt:
        attempt = Attempt(task, name)
        task.attempts.append(attempt)
        self._workers[name].attempts.append(attempt)
        self._begin(name, now)
        return attempt

    def _begin(self, name: str, now: float) -> None:
        """A worker does as many tasks at a time as it has threads."""
        worker = self._workers[name]
        for attempt in worker.attempts[: worker.threads]:
            if attempt.began is None:
                attempt.began = now

    def _take(self, attempt: Attempt, now: float) -> None:
        """A worker has an attempt no longer."""
        worker = self._workers.get(attempt.worker)
        if worker is not None and attempt in worker.attempts:
            worker.attempts.remove(attempt)
            self._begin(attempt.worker, now)

    def _without(self, attempt: Attempt) -> None:
        """A task goes on without an attempt; where that was its last, it is given out again."""
        task = attempt.task
        if attempt in task.attempts:
            task.attempts.remove(attempt)
        if not task.done and not task.attempts and not attempt.void and task not in self._again:
            self._again.append(task)

    def _free(self, task: Task | None) -> str | None:
        """The worker that has most room; for a task that others had, one that they are not, and has shown its worth."""
        best: tuple[bool, float, str] | None = None
        held = set() if task is None else {attempt.worker for attempt in task.attempts} | task.failed.keys()
        for name, worker in self._workers.items():
            slow = worker.pace is not None and self._typical is not None and worker.pace > _SLOW * self._typical
            deep = worker.threads * (1 if slow or not worker.results else 2)
            if worker.left_out or len(worker.attempts) >= deep or name in held:
                continue
            new = task is not None and (not worker.results or slow)
            rank = new, len(worker.attempts) / worker.threads, name
            best = rank if best is None else min(best, rank)
        return None if best is None else best[2]

    def _patience(self, task: Task) -> float:
        """s after which an attempt at a task is late."""
        if self._typical is None:
            return STUCK_S
        times = _LATE_AT_THE_END if self._ending else _LATE
        return max(times * self._typical * task.size, _LATE_S)

    def _late(self, now: float) -> Iterator[Task]:
        """Tasks that all who have them are late with."""
        for task in self._live.values():
            number = len(task.attempts)
            if 0 < number < _COPIES and all(self._is_late(each, now, 2 ** (number - 1)) for each in task.attempts):
                yield task

    def _is_late(self, attempt: Attempt, now: float, times: int) -> bool:
        """Whether an attempt takes too long, or waits behind others that do."""
        if attempt.began is not None:
            return now - attempt.began > self._patience(attempt.task) * times
        worker = self._workers[attempt.worker]
        return all(self._is_late(each, now, times) for each in worker.attempts[: worker.threads])

    def _name_stuck(self, now: float) -> None:
        """Say once of each worker that it has had a task for a minute."""
        for name, worker in self._workers.items():
            ages = [(now - each.began, each.task) for each in worker.attempts if each.began is not None]
            late = [(age, task) for age, task in ages if age >= max(STUCK_S, self._patience(task))]
            if worker.named or not late:
                continue
            worker.named = True
            age, task = late[0]
            copied = "another has them as well" if len(task.attempts) > 1 else "no other is free for them yet"
            others = "another has done them" if task.done else copied
            self.lines.append(f"{task.what}: {age:.0f} s without a result from the worker {name}; {others}")
