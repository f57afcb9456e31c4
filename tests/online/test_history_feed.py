"""The history beside what was published: through the real publisher and its messages."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("zmq", reason="the extra crystint[online] is not installed")

from crystint.online.history import History
from crystint.online.history_feed import HistoryFeed
from crystint.online.publish import ResultsPublisher
from crystint.online.sink import Event
from tests.online.made_up import made_up_run, result


class Waiting:
    """Waits for something about a history, woken by its changes."""

    def __init__(self, history):
        self._changed = threading.Condition()
        self.leave = history.follow(self._notify)

    def _notify(self):
        with self._changed:
            self._changed.notify_all()

    def until(self, wanted):
        with self._changed:
            assert self._changed.wait_for(wanted, 30)


def test_what_is_published_is_remembered(tmp_path):
    address = f"ipc://{tmp_path}/results"
    history = History()
    run = made_up_run()
    run.user = {"grid": {"n_fast": 4}, "tokens": ["secret"]}
    earlier = [{"name": "state", "data": {"n": n}, "time": n, "number": n} for n in (1, 2)]
    publisher = ResultsPublisher(address, exact=True)
    waiting = Waiting(history)
    try:
        with HistoryFeed(address, history, lambda: earlier):
            publisher.begin(run)
            waiting.until(lambda: history.current is not None)
            publisher.event(Event("settings", {"snr": 4}, 3, 3))
            publisher.results(run, [result(run, number, number % 4, total_intensity=1 / 3) for number in range(100)])
            publisher.end(run)
            waiting.until(lambda: history.current.ended)
            waiting.until(lambda: len(history.events) == 3)
    finally:
        publisher.close()
    series = history.series()
    rows = series.ordered()
    assert rows.table["frame"].tolist() == list(range(100))
    assert rows.table["n_spots"].tolist() == [number % 4 for number in range(100)]
    assert (rows.table["total_intensity"] == 1 / 3).all(), "nothing is rounded on the way"
    assert rows.region("beam")["sum"].tolist() == [5 * number for number in range(100)]
    assert len(series.spots(99)) == 3
    assert np.array_equal(series.spots(99)["slow"], [3.25, 4.25, 5.25])
    assert series.info["grid"] == {"n_fast": 4}
    assert "secret" not in str(series.info)
    assert series.books["received"] == 3
    assert [each.number for each in history.events] == [1, 2, 3]
    assert (history.results, history.lost, history.trouble) == (100, 0, "")


def test_a_message_that_cannot_be_taken_does_not_end_the_feed(tmp_path, monkeypatch):
    history, begin, fails = History(), History.begin, [True]

    def failing(self, key, info):
        if fails.pop():
            fails.append(False)
            raise ZeroDivisionError("by nothing")
        fails.append(False)
        begin(self, key, info)

    monkeypatch.setattr(History, "begin", failing)
    publisher = ResultsPublisher(f"ipc://{tmp_path}/results", exact=True)
    waiting = Waiting(history)
    try:
        with HistoryFeed(f"ipc://{tmp_path}/results", history):
            publisher.begin(made_up_run())  # and again, every second
            waiting.until(lambda: history.current is not None)
    finally:
        publisher.close()
    assert history.trouble == "a message could not be taken: ZeroDivisionError: by nothing"
