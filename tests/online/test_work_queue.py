"""The queue of work: its budget, even skipping, and images that somebody looks at."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from crystint.online.series import Series
from crystint.online.work_queue import Work, WorkQueue
from tests.online.pipeline import SIZE, image, key, start

SERIES = Series(start(images=None))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _work(number: int, size: int = SIZE) -> Work:
    return Work(SERIES, image(number, size=size), 0)


class Simulation:
    """Two workers, each of which needs `done_in` s for an image."""

    def __init__(self, budget: int, done_in: float) -> None:
        self.clock = Clock()
        self.queue = WorkQueue(budget, clock=self.clock)
        self.done_in = done_in
        self.came: list[float] = []
        self.busy: list[tuple[float, Work]] = []

    def run(self, rate: float, seconds: float) -> list[tuple[int, float]]:
        """Images come at `rate` per s. Number of each that was looked at, and s from when it came until then."""
        clock, finished = self.clock, []
        end, next_image = clock.now + seconds, clock.now
        while clock.now < end:
            clock.now = min([next_image, *(at for at, _ in self.busy)])
            for at, work in [each for each in self.busy if each[0] <= clock.now]:
                self.busy.remove((at, work))
                self.queue.done(work)
                finished.append((work.image.number, clock.now - self.came[work.image.number]))
            if next_image <= clock.now:
                self.came.append(clock.now)
                self.queue.put(_work(len(self.came) - 1))
                next_image += 1 / rate
            while len(self.busy) < 2 and (work := self.queue.get(0.0)) is not None:
                self.busy.append((clock.now + self.done_in, work))
        return finished


def test_first_in_first_out():
    queue = WorkQueue(10 * SIZE)
    assert all(queue.put(_work(number)) == [] for number in range(5))
    assert (queue.bytes, queue.images) == (5 * SIZE, 5)
    got = [queue.get(0.0) for _ in range(6)]
    assert [work.image.number for work in got if work] == [0, 1, 2, 3, 4]
    assert got[-1] is None
    assert queue.bytes == 5 * SIZE, "memory is in use until the work is done"
    for work in got[:-1]:
        queue.done(work)
    assert (queue.bytes, queue.images) == (0, 0)


def test_small_images_take_the_room_of_their_objects():
    queue = WorkQueue(20_000, overhead=4000)
    assert all(queue.put(_work(number, size=100)) == [] for number in range(4))
    assert queue.bytes == 4 * 4100
    assert not queue.room(100)
    assert queue.put(_work(4, size=100))  # some are skipped: there is no room for a fifth
    queue.done(queue.get(0.0))
    assert queue.bytes % 4100 == 0


def test_nothing_is_skipped_while_the_memory_lasts():
    clock = Clock()
    queue = WorkQueue(1000 * SIZE, clock=clock)
    assert not any(queue.put(_work(number)) for number in range(1000))
    skipped = queue.put(_work(1000))
    assert skipped
    assert queue.bytes <= queue.budget


@pytest.mark.parametrize("ratio", [1.3, 2.0, 4.0, 11.0])
def test_more_comes_than_can_be_done(ratio):
    simulation = Simulation(500 * SIZE, done_in=0.02)
    simulation.run(100 * ratio, 8 / (ratio - 1) + 5)
    assert simulation.queue.skipping
    finished = simulation.run(100 * ratio, 20.0)
    assert len(finished) >= 0.97 * 100 * 20, "the workers have enough to do"
    gaps = np.diff(np.sort([number for number, _ in finished]))
    assert gaps.max() <= 2 * np.ceil(ratio), "no long runs are skipped"
    assert abs(gaps.mean() - ratio) < 0.05 * ratio
    assert gaps.std() < 0.75
    assert max(waited for _, waited in finished) < 2.0
    assert simulation.queue.bytes <= simulation.queue.budget


def test_workers_that_become_slower_are_not_left_with_what_they_could_do_before():
    simulation = Simulation(500 * SIZE, done_in=0.02)
    simulation.run(400.0, 10.0)
    simulation.done_in = 0.04
    simulation.run(400.0, 10.0)
    assert max(waited for _, waited in simulation.run(400.0, 10.0)) < 2.0


def test_the_workers_catch_up_and_nothing_is_skipped_any_more():
    simulation = Simulation(200 * SIZE, done_in=0.02)
    simulation.run(400.0, 10.0)
    assert simulation.queue.skipping
    simulation.run(50.0, 10.0)
    assert not simulation.queue.skipping
    assert len(simulation.run(50.0, 10.0)) >= 498


def test_a_queue_that_nobody_empties_is_thinned_by_halves():
    queue = WorkQueue(64 * SIZE, clock=Clock())
    for number in range(1000):
        queue.put(_work(number))
    numbers = []
    while (work := queue.get(0.0)) is not None:
        numbers.append(work.image.number)
    assert numbers == sorted(numbers)
    assert 32 <= len(numbers) <= 64
    assert numbers[-1] >= 990, "what comes last is among it"


def test_what_somebody_looks_at_comes_first_and_is_not_skipped():
    queue = WorkQueue(10 * SIZE, clock=Clock())
    queue.want(key(), 7)
    queue.want(key(), 200)
    for number in range(300):
        queue.put(_work(number))
    assert [queue.get(0.0).image.number for _ in range(2)] == [7, 200]
    queue.want()
    queue.put(_work(300))
    assert queue.get(0.0).image.number == 300


def test_waiting_instead_of_skipping():
    queue = WorkQueue(3 * SIZE, "wait")
    calls = []
    queue.on_room = lambda: calls.append(1)
    for number in range(5):
        assert queue.put(_work(number)) == []
    assert queue.full
    works = [queue.get(0.0) for _ in range(5)]
    queue.done(works[0])
    assert not calls, "nobody waits"
    queue.waiting = True
    for work in works[1:3]:
        queue.done(work)
    assert not queue.full
    assert len(calls) == 2


def test_closing_lets_the_workers_end():
    queue = WorkQueue(10**6)
    for number in range(20):
        queue.put(_work(number))
    taken: list[int] = []

    def turn() -> None:
        while (work := queue.get()) is not None:
            taken.append(work.image.number)
            queue.done(work)

    threads = [threading.Thread(target=turn) for _ in range(3)]
    for thread in threads:
        thread.start()
    queue.close()
    for thread in threads:
        thread.join(30)
    assert sorted(taken) == list(range(20))
