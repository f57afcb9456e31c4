"""Results that are followed, as a program of a user does."""

from __future__ import annotations

import pytest
import zmq

from crystint.errors import SettingError, StreamError
from crystint.online.publish import ResultsPublisher
from crystint.online.results_message import ResultsBatch, event_message
from crystint.online.sink import Event
from crystint.online.subscription import Subscription
from tests.online.made_up import made_up_run, result


def test_results_are_followed_to_the_end_of_the_series():
    run = made_up_run()
    publisher = ResultsPublisher("tcp://127.0.0.1:*", exact=True)
    numbers, types = [], []
    try:
        publisher.begin(run)
        with Subscription(publisher.address, timeout=30) as messages:
            for message in messages:
                if isinstance(message, ResultsBatch):
                    numbers += [each.number for each in message.results()]
                else:
                    types.append(message.type)
                if types == ["start"] and not numbers:
                    publisher.results(run, [result(run, 0, 2), result(run, 1)])
                    publisher.end(run)
                if types[-1:] == ["end"]:
                    break
            assert messages.lost == 0
    finally:
        publisher.close()
    assert numbers == [0, 1]
    assert types == ["start", "end"]


def test_what_is_lost_is_counted_and_a_new_service_loses_nothing():
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    try:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        with Subscription(f"tcp://127.0.0.1:{port}", timeout=30) as messages:
            socket.recv()  # it is there
            for number in (5, 6, 9, 10, 0, 1, 3):
                socket.send(event_message(Event("state", {}), number))
            socket.send(b"nonsense")
            seen = []
            with pytest.raises(StreamError):
                seen.extend(message.sequence for message in messages)
            assert messages.lost == 3
    finally:
        socket.close(0)
        context.term()


def test_what_is_no_address_is_refused():
    with pytest.raises(SettingError, match="expected tcp"):
        Subscription("here")
