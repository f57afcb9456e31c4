"""The receiver at real sockets."""

from __future__ import annotations

import time

import numpy as np
import pytest

from crystint.errors import CrystintWarning, RefusedError, SettingError
from crystint.online.inlet import Inlet
from crystint.online.receiver import Receiver, ReceiverThread
from crystint.stream.messages import End, Image, SeriesKey, Start
from crystint.stream.packed_frame import encode_frame
from crystint.stream.read import read_message
from crystint.stream.write import encode_end, encode_image, encode_start
from tests.online.pipeline import Pipeline

zmq = pytest.importorskip("zmq")
KEY = SeriesKey(5, "abc")
FRAME = np.arange(12, dtype=np.uint16).reshape(4, 3)


def _start(series: SeriesKey = KEY, images: int = 3) -> bytes:
    return encode_start(Start(series, (4, 3), "stream2", images=images, channels=("t",), dtype=FRAME.dtype))[0]


def _image(number: int, series: SeriesKey = KEY) -> bytes:
    return encode_image(Image(series, number, {"t": encode_frame(FRAME + np.uint16(number))}))[0]


END = encode_end(End(KEY))[0]


@pytest.fixture
def detector(tmp_path):
    """A PUSH socket and its address."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.setsockopt(zmq.LINGER, 0)
        address = f"ipc://{tmp_path}/detector"
        push.bind(address)
        yield push, address


def _until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to it"
        time.sleep(0.01)


def test_a_loop_over_the_messages_of_a_detector(detector):
    push, address = detector
    with Receiver(address) as receiver:
        for message in (_start(), _image(0), b"garbage", _image(1), END):
            push.send(message)
        items = [next(receiver), next(receiver)]
        with pytest.warns(CrystintWarning, match="a message was left out"):
            items.append(next(receiver))
        items.append(next(receiver))
        assert [type(item) for item in items] == [Start, Image, Image, End]
        assert receiver.damaged == 1
        assert items[0].images == 3
        assert np.array_equal(items[2].frame(), FRAME + 1)
        assert {item.series for item in items} == {KEY}


def test_a_loop_ends_when_nothing_comes_for_a_while(detector):
    push, address = detector
    with Receiver(address, timeout=2.0) as receiver:
        push.send(_start())
        assert [type(item) for item in receiver] == [Start]


def test_an_address_that_is_none():
    with pytest.raises(SettingError, match="expected an address such as tcp://DCU:31001"):
        Receiver("detector")


def test_what_came_is_kept_when_the_source_goes_away_and_comes_back(tmp_path):
    address = f"ipc://{tmp_path}/detector"
    with Inlet([address]) as inlet:
        numbers = []
        for first in (0, 20):
            with zmq.Context() as context, context.socket(zmq.PUSH) as push:
                push.setsockopt(zmq.LINGER, 30_000)
                push.bind(address)
                for number in range(first, first + 20):
                    push.send(b"%d" % number)
            # the context ends when all was handed over; the source is gone, and nobody has taken a message
        _until(lambda: numbers.extend(int(bytes(parts[0])) for parts, _ in inlet.receive(0.2)) or len(numbers) == 40)
        assert numbers == list(range(40))
        _until(lambda: list(inlet.receive(0.01)) or not inlet.sources[0].connected)
        assert inlet.sources[0].connections == 2
        assert inlet.sources[0].messages == 40


def test_several_sources_and_parts(tmp_path):
    addresses = [f"ipc://{tmp_path}/{place}" for place in range(3)]
    with zmq.Context() as context, Inlet(addresses) as inlet:
        pushes = [context.socket(zmq.PUSH) for _ in addresses]
        for push, address in zip(pushes, addresses, strict=True):
            push.bind(address)
            push.send_multipart([b"head", address.encode()])
        taken: list[list[bytes]] = []
        _until(lambda: taken.extend([bytes(p) for p in parts] for parts, _ in inlet.receive(0.2)) or len(taken) == 3)
        assert sorted(taken) == sorted([b"head", address.encode()] for address in addresses)
        for push in pushes:
            push.close(0)


def test_waking_ends_the_waiting():
    with Inlet([]) as inlet:
        inlet.wake()
        inlet.wake()
        begun = time.monotonic()
        assert list(inlet.receive(30.0)) == []
        inlet.wake()
        assert list(inlet.receive(30.0, paused=True)) == []
        assert time.monotonic() - begun < 20.0


@pytest.fixture
def receiving(detector):
    """A thread that receives, and the pipeline behind it; the clock stands still."""
    push, address = detector
    pipeline = Pipeline()
    pipeline.intake.read = read_message
    with ReceiverThread(Inlet([address]), pipeline.intake) as thread:
        yield push, thread, pipeline


def test_a_thread_that_receives(receiving):
    push, thread, pipeline = receiving
    for message in (_start(), _image(0), _image(2), _image(1), END):
        push.send(message)
    _until(lambda: pipeline.series and pipeline.series[0].final)
    thread.ask(pipeline.work)
    series = pipeline.series[0]
    assert series.books.complete
    assert pipeline.rows(series) == [(0, "OK"), (1, "OK"), (2, "OK")]
    assert thread.failures == 0
    assert pipeline.intake.counts.messages == 5


def test_nothing_that_goes_wrong_stops_the_thread(receiving):
    push, thread, pipeline = receiving
    fails = [True]

    def read(parts):
        if fails.pop():
            raise ZeroDivisionError("of our own")
        fails.append(False)
        return read_message(parts)

    fails.insert(0, False)
    pipeline.intake.read = read
    push.send(_start())
    push.send(_start())
    _until(lambda: pipeline.series)
    assert thread.failures == 1
    assert pipeline.warnings == ["a message could not be taken: ZeroDivisionError: of our own"]
    with pytest.raises(ZeroDivisionError):
        thread.ask(lambda: 1 // 0)
    assert thread.ask(lambda: "still there") == "still there"


def test_a_full_memory_leaves_the_images_with_the_detector(detector):
    push, address = detector
    pipeline = Pipeline(budget=3 * len(_image(0)), when_full="wait")
    pipeline.intake.read = read_message
    with ReceiverThread(Inlet([address]), pipeline.intake) as thread:
        for message in (_start(images=30), *(_image(number) for number in range(30)), END):
            push.send(message)
        for done in range(27):
            _until(lambda: thread.ask(lambda: pipeline.queue.full))
            assert thread.ask(lambda: pipeline.intake.counts.messages) == 4 + done
            pipeline.work(1)
        _until(lambda: thread.ask(lambda: pipeline.work() < 0 or pipeline.series[0].final))
        assert thread.ask(lambda: pipeline.work()) == 0
    assert pipeline.series[0].books.complete
    assert pipeline.series[0].books.skipped == 0


def test_asking_a_thread_that_has_ended(detector):
    _, address = detector
    with ReceiverThread(Inlet([address]), Pipeline().intake) as thread:
        assert thread.ask(lambda: 3) == 3
    with pytest.raises(RefusedError):
        thread.ask(lambda: None, 0.1)
