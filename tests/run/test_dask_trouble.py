"""Workers of a dask cluster that are slow, blind, stuck or gone: the run goes on, and says who it was."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from crystint.errors import ClusterError, CrystintNote, FileError
from crystint.io.frame_record import FrameRecord
from crystint.run.cluster import cluster
from tests.run.cluster_work import TroubledWork, released

distributed = pytest.importorskip("distributed")
FRAMES = 60


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds instead of minutes."""
    monkeypatch.setattr("crystint.run.dispatch.STUCK_S", 1.2)
    monkeypatch.setattr("crystint.run.dispatch._LATE_S", 0.2)
    monkeypatch.setattr("crystint.run.cluster_crew._ASK_S", 0.05)
    monkeypatch.setattr("crystint.run.cluster_crew._PATIENCE_S", 0.5)


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said. Workers that are threads of this process catch each other's warnings, and those of the test."""
    texts: list[str] = []
    monkeypatch.setattr("crystint.run.cluster_crew.warn", texts.append)
    return texts


@contextmanager
def local(workers: int) -> Iterator[Any]:
    """A scheduler and workers "0", "1", ... of one thread, in this process, that talk by TCP."""
    more: dict[str, Any] = {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": ":0"}}
    released.clear()
    with distributed.LocalCluster(
        n_workers=workers, processes=False, threads_per_worker=1, protocol="tcp://", silence_logs=50, **more
    ) as made:
        try:
            yield made
        finally:
            released.set()


def records(made: Any, work: TroubledWork, stop: Callable[[], bool] = lambda: False, **more: Any) -> list[FrameRecord]:
    """What comes of all frames of some work, in tasks of two frames."""
    options = {"device": None, "workers": 1, "frames": 2, "name": "test"} | more
    with cluster(work, work.frames, made.scheduler_address, **options) as crew:
        return [FrameRecord.unpack(packed) for packed in crew.records(range(work.frames), "mask", stop)]


def all_there(rows: list[FrameRecord], frames: int = FRAMES) -> bool:
    return [(each.number, each.facts["first"]) for each in rows] == [(i, "mask") for i in range(frames)]


def test_results_are_in_order_and_every_worker_has_its_share():
    with local(3) as made:
        results = records(made, TroubledWork(FRAMES))
    assert all_there(results)
    assert set(Counter(each.facts["worker"] for each in results)) == {"0", "1", "2"}


def test_a_slow_worker_slows_nobody_down():
    with local(3) as made:
        start = time.monotonic()
        results = records(made, TroubledWork(200, slow=("1",)))
        took = time.monotonic() - start
    assert all_there(results, 200)
    shares = Counter(each.facts["worker"] for each in results)
    assert shares["1"] < 40, took  # a third without the second look; its 66 frames would take 6.6 s


def test_a_blind_worker_is_left_out_by_name(lines):
    with local(3) as made:
        address = made.workers[1].address
        results = records(made, TroubledWork(FRAMES, blind=("1",), slow=("0", "2")))  # it fails twice before the end
    assert all_there(results)
    assert lines == [f"a worker is left out, where 2 tasks failed: run.h5 does not exist (on the worker {address})"]


def test_what_no_worker_sees_is_an_error_with_the_name_of_one():
    words = r"^run\.h5 does not exist \(on the worker tcp://127\.0\.0\.1:\d+\)$"
    with local(2) as made, pytest.raises(FileError, match=words):
        records(made, TroubledWork(FRAMES, blind=("0", "1")))


def test_a_frame_that_breaks_every_worker_ends_the_run():
    words = r"^frames 10 to 11 failed on the worker tcp://\S+: ZeroDivisionError: zero$"
    with local(3) as made, pytest.raises(ClusterError, match=words):
        records(made, TroubledWork(FRAMES, broken=11))


def test_a_stuck_worker_is_named_and_its_tasks_are_done_elsewhere(lines):
    with local(3) as made:
        address = made.workers[2].address
        results = records(made, TroubledWork(FRAMES, stuck=("2",), slow=("0", "1")))
    assert all_there(results)
    (line,) = lines
    assert address in line
    assert re.search("another has (them as well|done them)", line)


def test_a_stop_waits_for_a_stuck_worker_for_a_while_only(lines):
    began: list[float] = []

    def stop() -> bool:
        if not began and time.monotonic() - start > 1.0:
            began.append(time.monotonic())
        return bool(began)

    with local(1) as made:
        start = time.monotonic()
        results = records(made, TroubledWork(FRAMES, stuck=("0",)), stop)
    assert any(
        re.search(r"frames 8 to 9: no result from the worker \S+ \d+ s after the signal", line) for line in lines
    )
    assert [each.number for each in results] == list(range(8))


def test_a_stop_finishes_what_is_in_flight(lines):
    taken: list[int] = []
    with local(2) as made:
        work = TroubledWork(FRAMES)
        with cluster(work, FRAMES, made.scheduler_address, device=None, workers=1, frames=2, name="test") as crew:
            for packed in crew.records(range(FRAMES), "mask", lambda: len(taken) >= 11):
                taken.append(FrameRecord.unpack(packed).number)
    assert not lines
    assert taken == list(range(len(taken)))
    assert 11 <= len(taken) < FRAMES


def test_workers_may_come_and_go():
    with local(2) as made:
        work = TroubledWork(FRAMES, slow=("0", "1"))
        taken: list[FrameRecord] = []
        with cluster(work, FRAMES, made.scheduler_address, device=None, workers=1, frames=2, name="test") as crew:
            for packed in crew.records(range(FRAMES), "mask", lambda: False):
                taken.append(FrameRecord.unpack(packed))
                if len(taken) == 6:
                    made.scale(4)
                if len(taken) == 20:
                    made.scale(1)
    assert all_there(taken)


def test_results_come_straight_from_the_workers(monkeypatch):
    with local(1) as made:
        asked = []
        scheduler_gather = made.scheduler.handlers["gather"]
        made.scheduler.handlers["gather"] = lambda *args, **more: (asked.append(1), scheduler_gather(*args, **more))[1]
        assert all_there(records(made, TroubledWork(FRAMES)))
        assert not asked
        monkeypatch.setattr("crystint.run.cluster._reached", lambda _: False)
        with pytest.warns(CrystintNote, match="cannot be reached from here: results come through the scheduler"):
            assert all_there(records(made, TroubledWork(FRAMES)))
        assert asked
