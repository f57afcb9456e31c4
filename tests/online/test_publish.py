"""The publisher of results, and what its subscribers get."""

from __future__ import annotations

import time

import numpy as np
import pytest

from crystint.errors import SettingError
from crystint.online.publish import ResultsPublisher
from crystint.online.sink import Event
from crystint.online.zmq_sink import is_local
from tests.online.made_up import made_up_run, result
from tests.online.subscriber import subscribed


@pytest.fixture
def publisher():
    made = ResultsPublisher("tcp://127.0.0.1:*")
    yield made
    made.close()


def ids(message):
    return np.frombuffer(message["image_id"].value, "<u8").tolist()


def test_a_series_arrives_whole_and_in_order(publisher):
    run = made_up_run()
    with subscribed(publisher.address) as subscriber:
        publisher.begin(run)
        assert subscriber.until("start")["name"] == "run"
        for number in range(150):
            publisher.results(run, [result(run, number, number % 3)])
        publisher.event(Event("settings", {"snr": 4}, 1, 2))
        publisher.event(Event("file", {"path": "run_000001.h5", "series": str(run.key)}))
        publisher.end(run)
        end = subscriber.until("end")
    messages = [message for message in subscriber.seen if message["type"] == "results"]
    assert [number for message in messages for number in ids(message)] == list(range(150))
    assert max(len(ids(message)) for message in messages) <= 64
    assert end["books"]["received"] == 3
    assert [message["name"] for message in subscriber.seen if message["type"] == "event"] == ["settings", "file"]
    assert list(end["files"]) == ["run_000001.h5"]
    sequence = [message["sequence"] for message in subscriber.seen]
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))


def test_many_results_go_64_at_a_time(publisher):
    run = made_up_run()
    with subscribed(publisher.address) as subscriber:
        publisher.begin(run)
        subscriber.until("start")
        publisher.results(run, [result(run, number) for number in range(130)])
        lengths = [len(ids(subscriber.until("results"))) for _ in range(3)]
    assert lengths == [64, 64, 2]


def test_who_comes_late_gets_the_start_at_once_and_again(publisher):
    run = made_up_run()
    publisher.begin(run)
    with subscribed(publisher.address) as subscriber:
        assert subscriber.next()["type"] == "start"
        assert subscriber.next()["type"] == "start"  # a second later
        publisher.end(run)
        assert subscriber.until("end")


def test_a_slow_subscriber_sees_what_it_lost_and_nobody_waits(publisher):
    run = made_up_run()
    batch = [result(run, number, 100) for number in range(64)]
    with subscribed(publisher.address, RCVHWM=1, RCVBUF=4096) as subscriber:
        publisher.begin(run)
        subscriber.until("start")
        for _ in range(50):  # 12 MB, for somebody who does not read
            publisher.results(run, batch)
        publisher.end(run)
        while publisher.status()["sequence"] < 52:
            time.sleep(0.05)
        while subscriber.socket.poll(500):
            subscriber.next()
        publisher.event(Event("state", {}))
        subscriber.until("event")
    sequence = [message["sequence"] for message in subscriber.seen]
    assert sequence == sorted(set(sequence))
    assert sequence[-1] - sequence[0] + 1 > len(sequence)


def test_who_comes_late_does_not_wait_for_the_next_start(monkeypatch):
    monkeypatch.setattr("crystint.online.publish._REPEAT", 3600.0)
    publisher, run = ResultsPublisher("tcp://127.0.0.1:*"), made_up_run()
    try:
        publisher.begin(run)
        while not publisher.status()["sequence"]:
            time.sleep(0.02)
        with subscribed(publisher.address) as subscriber:
            assert subscriber.next()["type"] == "start"
    finally:
        publisher.close()


def test_subscribers_are_counted(publisher):
    run = made_up_run()
    publisher.begin(run)
    with subscribed(publisher.address) as one, subscribed(publisher.address) as two:
        one.next()
        two.next()
        assert publisher.status()["subscribers"] == 2


def test_an_address_that_is_taken_is_refused_in_words(publisher):
    with pytest.raises(SettingError, match=r"results is 'tcp://127.*nothing can be bound"):
        ResultsPublisher(publisher.address)
    with pytest.raises(SettingError, match="nowhere"):
        ResultsPublisher("nowhere")


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("tcp://127.0.0.1:1", True), ("ipc:///x", True), ("tcp://localhost:5", True), ("tcp://[::1]:5", True),
        ("tcp://0.0.0.0:1", False), ("tcp://*:1", False), ("tcp://127.0.0.1.evil.org:1", False),
    ],
)  # fmt: skip
def test_which_addresses_stay_on_this_machine(address, local):
    assert is_local(address) is local


def test_results_for_nobody_are_not_even_made(publisher, monkeypatch):
    monkeypatch.setattr("crystint.online.publish.results_message", lambda *_, **__: pytest.fail("made for nobody"))
    run = made_up_run()
    publisher.begin(run)
    publisher.results(run, [result(run, 0)])
    publisher.end(run)
    publisher.close()
    assert publisher.status()["errors"] == 0
    assert publisher.status()["sequence"] == 3
