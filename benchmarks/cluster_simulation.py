"""Frames per second of a cluster that is not there: the real dispatch (`crystint.run.dispatch`), simulated workers.

    python benchmarks/cluster_simulation.py

The process that gives out the tasks is one server with a cost per task and one per frame; workers take 20 ms a frame,
32 frames a task, 12 tasks per thread, start and end included. Costs are those of the table in RESULTS.md.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count

from crystint.run.dispatch import Attempt, Dispatch, Task

FRAME_S, FRAMES, TASKS = 0.020, 32, 12
TASK_S = 0.0014
"""CPU time of the client for a task: submit, callbacks, fetching a small result."""
WRITER_S = 0.00047
"""of the one writer for a frame whose record comes back"""
TICK_S = 0.1
"""The client looks at the clock at least so often."""
RARE, LONG = 0.001, 30
"""Stragglers: this share of attempts takes so many times as long."""


def rate(
    threads: int, per_task: float, per_frame: float, *, rare: float = 0.0, slow: int = 0, slow_s: float = 0.1
) -> float:
    """Frames per second, from the first task given out to the last result.

    Parameters
    ----------
    threads : int
        Workers, of one thread each.
    per_task, per_frame : float
        s that the process that gives tasks needs.
    rare : float
        Share of attempts that take 30 times as long.
    slow : int
        Workers that take `slow_s` more for each frame.
    """
    chance = random.Random(1)
    dispatch, number = Dispatch(), threads * TASKS
    coming: Iterator[Task] = (Task(at, f"task {at}", FRAMES) for at in range(number))
    names = [f"w{at:04d}" for at in range(threads)]
    dispatch.workers(dict.fromkeys(names, 1), 0.0)
    queues: dict[str, deque[Attempt]] = {name: deque() for name in names}
    busy: set[str] = set()
    order = count()
    ends: list[tuple[float, int, Attempt]] = []
    now, done = 0.0, 0

    def begin(name: str, time: float) -> None:
        if name not in busy and queues[name]:
            attempt = queues[name].popleft()
            busy.add(name)
            lasts = FRAMES * (FRAME_S + (slow_s if int(name[1:]) < slow else 0.0))
            lasts *= LONG if chance.random() < rare else 1
            heappush(ends, (time + lasts, next(order), attempt))

    def give(time: float) -> None:
        for attempt in dispatch.offer(time, lambda: next(coming, None)):
            queues[attempt.worker].append(attempt)
            begin(attempt.worker, time)

    give(0.0)
    while done < number:
        if ends and ends[0][0] <= now + TICK_S:
            end, _, attempt = heappop(ends)
            busy.discard(attempt.worker)
            begin(attempt.worker, end)
            now = max(now, end)
            if not attempt.task.done:
                done += 1
                now += per_task + per_frame * FRAMES
            for copy in dispatch.finished(attempt, now):
                if copy in queues[copy.worker]:
                    queues[copy.worker].remove(copy)
        else:
            now += TICK_S
        give(now)
    return number * FRAMES / now


def main() -> None:
    """Print the table."""
    print("| worker threads | ideal | records to one writer | parts | parts, stragglers | parts, one slow worker |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for threads in (3, 16, 64, 200):
        values = [
            threads / FRAME_S,
            rate(threads, TASK_S, WRITER_S),
            rate(threads, TASK_S, 0.0),
            rate(threads, TASK_S, 0.0, rare=RARE),
            rate(threads, TASK_S, 0.0, slow=1),
        ]
        print("| " + " | ".join(f"{value:.0f}" for value in [threads, *values]) + " |")


if __name__ == "__main__":
    main()
