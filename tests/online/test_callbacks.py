"""Functions of users that are called with results, and the queue that all sinks have."""

from __future__ import annotations

import threading

from crystint.online.callbacks import Callbacks
from tests.online.made_up import made_up_run, result


def test_every_result_comes_in_order_in_a_thread_of_its_own():
    run, seen = made_up_run(), []
    callbacks = Callbacks()
    callbacks.add(lambda each: seen.append((each.number, threading.current_thread().name)))
    callbacks.begin(run)
    for number in range(20):
        callbacks.results(run, [result(run, number)])
    callbacks.end(run)
    callbacks.close()
    assert seen == [(number, "crystint callbacks") for number in range(20)]
    assert callbacks.status()["calls"] == 20
    callbacks.close()  # again


def test_a_slow_function_loses_results_that_are_counted_and_told_once():
    run, told = made_up_run(), []
    go, began = threading.Event(), threading.Event()

    def slow(_result):
        began.set()
        assert go.wait(30)

    callbacks = Callbacks(told.append, limit=4000)
    callbacks.add(slow)
    callbacks.begin(run)
    callbacks.results(run, [result(run, 0)])
    assert began.wait(30)
    for number in range(1, 50):
        callbacks.results(run, [result(run, number)])
    lost = callbacks.status()["lost"]
    go.set()
    callbacks.end(run)
    callbacks.close()
    assert lost > 40
    assert callbacks.status()["calls"] == 50 - lost
    assert callbacks.status()["queued_bytes"] == 0
    assert [event.name for event in told] == ["warning"]
    assert "left out" in told[0].data["text"]


def test_a_function_that_raises_is_told_once_and_leaves_the_others_alone():
    run, told, seen = made_up_run(), [], []

    def wrong(_result):
        raise RuntimeError("no")

    callbacks = Callbacks(told.append)
    callbacks.add(wrong)
    callbacks.add(lambda each: seen.append(each.number))
    for _ in range(2):
        callbacks.begin(run)
        callbacks.results(run, [result(run, 0), result(run, 1)])
        callbacks.end(run)
    callbacks.close()
    assert seen == [0, 1, 0, 1]
    assert len(told) == 2  # once in each series
    assert "raised RuntimeError: no" in told[0].data["text"]
