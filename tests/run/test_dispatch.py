"""Which worker does which task: told with the time, so that nothing is waited for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crystint.errors import FileError
from crystint.run.dispatch import Attempt, Dispatch, Task


def tasks(number: int, size: int = 1) -> Iterator[Task]:
    return (Task(at, f"frames {at * size} to {at * size + size - 1}", size) for at in range(number))


class Run:
    """A dispatch with two workers of a thread, and some tasks."""

    def __init__(self, number: int = 20, workers: tuple[str, ...] = ("a", "b")) -> None:
        self.dispatch, self.coming, self.now = Dispatch(), tasks(number), 0.0
        self.dispatch.workers(dict.fromkeys(workers, 1), self.now)
        self.has: list[Attempt] = []

    def after(self, seconds: float = 0.0) -> list[tuple[str, int]]:
        """What is given to whom after some time."""
        self.now += seconds
        made = self.dispatch.offer(self.now, lambda: next(self.coming, None))
        self.has += made
        return [(each.worker, each.task.number) for each in made]

    def of(self, worker: str, number: int) -> Attempt:
        return next(each for each in self.has if (each.worker, each.task.number) == (worker, number))

    def finished(self, worker: str, number: int) -> list[Attempt]:
        return self.dispatch.finished(self.of(worker, number), self.now)

    def steady(self, rounds: int = 4) -> None:
        """Both workers take a second per task."""
        for _ in range(rounds):
            self.after(1.0)
            for each in [each for each in self.has if each.began is not None and not each.task.done]:
                self.finished(each.worker, each.task.number)


def test_a_second_task_waits_at_workers_that_have_shown_what_they_can() -> None:
    run = Run()
    assert run.after() == [("a", 0), ("b", 1)]
    assert run.after(5.0) == []
    run.finished("a", 0)
    assert run.after() == [("a", 2), ("a", 3)]
    assert run.of("a", 2).began == 5.0
    assert run.of("a", 3).began is None


def test_a_late_task_is_given_out_twice_and_the_first_result_counts() -> None:
    run = Run()
    run.steady()
    task = min(run.dispatch.live, key=lambda task: task.number)
    (slow,) = task.attempts
    other = "b" if slow.worker == "a" else "a"
    for _ in range(4):  # the other goes on
        run.now += 1.0
        for each in [each for each in run.has if each.worker == other and each.began and not each.task.done]:
            run.finished(other, each.task.number)
        run.after()
    assert [each.worker for each in task.attempts] == [slow.worker, other]
    run.now += 1.0
    assert run.dispatch.finished(task.attempts[1], run.now) == []  # the first is under way, and goes on
    assert task.done
    assert task not in run.dispatch.live
    assert slow.void
    assert run.dispatch.finished(slow, run.now + 1.0) == []


def test_what_waits_behind_a_late_task_is_given_to_another_as_well() -> None:
    run = Run()
    run.steady()
    run.after()
    behind = next(each for each in run.has if each.began is None)
    other = "b" if behind.worker == "a" else "a"
    for _ in range(8):
        run.now += 1.0
        for each in [each for each in run.has if each.worker == other and each.began and not each.task.done]:
            copies = run.finished(other, each.task.number)
            if each.task is behind.task:
                assert copies == [behind]
                return
        run.after()
    pytest.fail("it was not")


def test_what_a_worker_that_is_gone_had_is_given_out_again() -> None:
    run = Run()
    run.after()
    lost = run.dispatch.workers({"b": 1, "c": 1}, 1.0)
    assert [(each.worker, each.task.number) for each in lost] == [("a", 0)]
    assert run.after(1.0) == [("c", 0)]


def test_a_task_over_which_all_workers_die_is_named() -> None:
    run = Run(1)
    for number in range(16):
        assert run.dispatch.dead() is None
        run.dispatch.workers({f"w{number}": 1}, run.now)
        assert run.after(1.0) == [(f"w{number}", 0)]
    run.dispatch.workers({}, run.now)
    dead = run.dispatch.dead()
    assert dead is not None
    assert dead.what == "frames 0 to 0"


def test_a_worker_where_two_tasks_fail_is_left_out_and_a_task_that_fails_everywhere_is_an_error() -> None:
    run = Run(workers=("a", "b", "c"))
    error = FileError("not there")
    run.after()
    assert run.dispatch.failed(run.of("b", 1), error, 1.0) is None
    run.finished("a", 0)
    assert ("a", 1) in run.after(1.0)
    (second,) = [each for each in run.has if each.worker == "b" and not each.task.failed]
    assert not run.dispatch.lines
    assert run.dispatch.failed(second, error, 2.0) is None
    assert run.dispatch.lines == ["a worker is left out, where 2 tasks failed: not there"]
    assert run.dispatch.usable == ["a", "c"]
    run.finished("c", 2)
    assert run.dispatch.failed(run.of("a", 1), error, 3.0) is None
    assert ("c", 1) in run.after(1.0)
    assert run.dispatch.failed(run.of("c", 1), error, 3.0) is error


def test_a_worker_alone_that_fails_ends_the_run() -> None:
    run = Run(workers=("a",))
    run.after()
    error = FileError("not there")
    assert run.dispatch.failed(run.of("a", 0), error, 1.0) is error


def test_a_stuck_worker_is_named_once() -> None:
    run = Run(2)
    run.after()
    run.finished("b", 1)
    assert run.after(59.0) == []
    assert not run.dispatch.lines
    assert run.after(2.0) == [("b", 0)]
    assert run.dispatch.lines == ["frames 0 to 0: 61 s without a result from the worker a; another has them as well"]
    run.after(60.0)
    assert len([line for line in run.dispatch.lines if "worker a" in line]) == 1


def test_a_stop_takes_back_what_did_not_begin_but_for_what_comes_first() -> None:
    run = Run()
    run.steady(2)
    run.after()
    live = sorted(task.number for task in run.dispatch.live)
    assert len(live) == 4
    back = run.dispatch.withdraw()
    assert all(each.began is None for each in back)
    assert not {each.task.number for each in back} & set(live[:2])
