"""The live view over a real WebSocket."""

import json
import logging
import threading
import time
from collections import deque
from contextlib import contextmanager

import numpy as np
import pytest

from crystint.online.image_views import ImageViews
from crystint.online.ring import Ring, RingReader
from crystint.stream import Image, PackedFrame, encode_frame, encode_image
from tests.online import made_up
from tests.online.asgi import TOKENS

FRAMES = np.random.default_rng(1).poisson(3.0, (40, 20, 30)).astype(np.uint16)


@contextmanager
def listening(app):
    """The address of a server of an application."""
    uvicorn = pytest.importorskip("uvicorn")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + 30
        while not server.started and time.monotonic() < until:
            time.sleep(0.02)
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def live(app, control, history):
    """Address, and a function that puts an image into the ring and its row into the history."""
    ring = Ring(2**20)
    reader = RingReader(ring.address)
    broker = app.state.broker
    before, broker.ring = broker.ring, reader
    run = made_up.made_up_run()

    def put(number):
        image = Image(run.key, number, {"one": encode_frame(FRAMES[number])})
        ring.put(str(run.key), number, encode_image(image))
        done = made_up.result(run, number, 1, n_spots=number)
        history.add(run.key, done.row, [done.peaks])

    def put_alone(number):
        image = Image(run.key, number, {"one": encode_frame(FRAMES[number])})
        ring.put(str(run.key), number, encode_image(image))

    with listening(app) as address:
        yield f"ws://{address}/api/v1/live", put, put_alone
    broker.ring = before
    reader.close()
    ring.close()


def message(socket):
    data = socket.recv(timeout=30)
    length = int.from_bytes(data[:4], "big")
    return json.loads(data[4 : 4 + length]), data[4 + length :]


def test_the_next_view_comes_after_an_acknowledgement(live):
    client = pytest.importorskip("websockets.sync.client")
    url, put, _ = live
    put(0)
    with client.connect(url, proxy=None) as socket:
        socket.send(json.dumps({"token": TOKENS.view}))
        head, body = message(socket)
        about = head["view"]
        assert about["image"] == 0
        packed = PackedFrame(np.frombuffer(body, np.uint8), tuple(about["shape"]), np.dtype(about["dtype"]), "bslz4")
        assert np.array_equal(packed.decode(), FRAMES[0])
        for number in range(1, 30):
            put(number)
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.5)  # the first was not acknowledged
        socket.send(json.dumps({"ack": head["sequence"]}))
        head, _ = message(socket)
        assert head["view"]["image"] == 29  # the newest: nothing was queued
        assert head["results"]["columns"]["frame"] == list(range(1, 30))
        assert head["results"]["columns"]["n_spots"] == list(range(1, 30))
        socket.send(json.dumps({"ack": head["sequence"]}))
        socket.send(json.dumps({"slow": "0:10", "size": "3x2", "columns": ["hit"]}))
        head, _ = message(socket)
        assert (head["view"]["shape"], head["view"]["factor"]) == ([1, 3], 10)


@pytest.mark.parametrize("first", ['{"token": "wrong"}', "[]", "x" * 20000, "[" * 9000])
def test_without_a_token_nothing_is_shown(live, first):
    client = pytest.importorskip("websockets.sync.client")
    from websockets.exceptions import ConnectionClosed

    with client.connect(live[0], proxy=None) as socket:
        socket.send(first)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=30)
        assert closed.value.rcvd.code == 1008


def test_pages_of_other_origins_are_refused(live):
    client = pytest.importorskip("websockets.sync.client")
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus), client.connect(live[0], proxy=None, origin="http://elsewhere.example"):
        pass


@pytest.mark.parametrize(
    "wish",
    ['{"fps": 1000}', '{"colour": 1}', '{"columns": ["no"]}', "nonsense", '{"ack": 1e999}', "[" * 9000, b"bytes"],
)
def test_what_cannot_be_is_told(live, wish):
    client = pytest.importorskip("websockets.sync.client")
    from websockets.exceptions import ConnectionClosed

    with client.connect(live[0], proxy=None) as socket:
        socket.send(json.dumps({"token": TOKENS.control}))
        socket.send(wish)
        with pytest.raises(ConnectionClosed) as closed:
            deque(iter(lambda: socket.recv(timeout=30), None), 0)  # a view may be on its way before
        assert closed.value.rcvd.code == 1003


def test_a_view_that_is_made_while_the_socket_closes_is_not_sent(live, monkeypatch):
    client = pytest.importorskip("websockets.sync.client")
    from websockets.exceptions import ConnectionClosed

    made = ImageViews.of

    def slow(*arguments):
        time.sleep(0.3)
        return made(*arguments)

    monkeypatch.setattr(ImageViews, "of", slow)
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "error", lambda *words, **_more: said.append(words))
    said = []
    address, put, _ = live
    put(1)
    with client.connect(address, proxy=None) as socket:
        socket.send(json.dumps({"token": TOKENS.control}))
        time.sleep(0.1)
        socket.send("nonsense")
        with pytest.raises(ConnectionClosed):
            next(iter(lambda: socket.recv(timeout=30), None))
        time.sleep(0.6)
    assert not said


@contextmanager
def looking(live):
    """A viewer: a function that wishes something, acknowledges the last message, and gives the next one."""
    client = pytest.importorskip("websockets.sync.client")
    with client.connect(live[0], proxy=None) as socket:
        socket.send(json.dumps({"token": TOKENS.view}))
        seen = [message(socket)[0]["sequence"]]  # as nobody wished otherwise

        def see(**other):
            if other:
                socket.send(json.dumps(other))
            socket.send(json.dumps({"ack": seen[-1]}))
            while True:
                head, body = message(socket)
                seen.append(head["sequence"])
                if set(head) - {"sequence", "results"}:
                    return head, body
                socket.send(json.dumps({"ack": seen[-1]}))

        yield see


def values_of(head, body):
    about = head["view"]
    packed = PackedFrame(np.frombuffer(body, np.uint8), tuple(about["shape"]), np.dtype(about["dtype"]), "bslz4")
    return packed.decode()


def test_another_wish_shows_the_image_that_is_held(live):
    live[1](3)
    with looking(live) as see:
        head, body = see(bin="sum")
        assert np.array_equal(values_of(head, body), FRAMES[3])
        head, body = see(slow="5:15", fast="10:20")
        assert np.array_equal(values_of(head, body), FRAMES[3][5:15, 10:20])
        assert head["view"]["levels"]["max"] == FRAMES[3][5:15, 10:20].max()
        live[1](4)
        time.sleep(0.1)
        head, body = see(last=2, of="sum")
        assert np.array_equal(values_of(head, body), FRAMES[3].astype(np.uint32) + FRAMES[4])
        assert head["view"]["images"] == [3, 4]


def test_spots_and_row_are_of_the_image_that_is_shown(live, history):
    live[1](7)
    live[2](8)  # its results have not come yet
    with looking(live) as see:
        head, body = see(spots=True)
        assert head["view"]["image"] == 7
        assert head["row"]["n_spots"] == 7
        assert len(head["row"]["shells"]) == 8
        assert head["spots"]["slow"] == [3.25]
        assert np.array_equal(values_of(head, body), FRAMES[7])
        head, _ = see(spots=False)
        assert head["view"]["image"] == 8
        assert "spots" not in head


def test_a_series_of_its_own_and_what_is_not_there(live):
    live[1](2)
    with looking(live) as see:
        head, _ = see(series="7-abc")
        assert (head["view"]["series"], head["view"]["image"]) == ("7-abc", 2)
        head, _ = see(series="9-none")
        assert "not held" in head["error"]
        head, _ = see(layer="background")
        assert "background" in head["error"]
        head, _ = see(layer="counts")
        assert "error" not in head


def test_two_viewers_of_one_wish_share_the_work(live, monkeypatch):
    made, make = [], ImageViews._made
    monkeypatch.setattr(ImageViews, "_made", lambda *arguments: made.append(1) or make(*arguments))
    live[1](1)
    with looking(live) as one, looking(live) as other:
        for wish, count in (({"size": "10x10"}, 1), ({"size": "12x10"}, 2)):
            assert one(**wish)[1] == other(**wish)[1]
            assert len(made) == count + 1  # and the first one


def test_views_come_as_often_as_wished_and_say_how_long_they_waited(live):
    client = pytest.importorskip("websockets.sync.client")
    live[1](1)
    with client.connect(live[0], proxy=None) as socket:
        socket.send(json.dumps({"token": TOKENS.view}))
        socket.send(json.dumps({"size": "4x4", "columns": [], "fps": 10}))
        begin, sequences = time.monotonic(), []
        for number in range(2, 8):
            head, _ = message(socket)
            # the first view is what was wished first
            assert (head["view"]["factor"], "results" in head) == (8, False)
            assert 0 <= head["after"] <= time.monotonic() - begin
            sequences.append(head["sequence"])
            live[2](number)
            socket.send(json.dumps({"ack": head["sequence"]}))
        assert time.monotonic() - begin > 0.45  # never more often
        assert sequences == [1, 2, 3, 4, 5, 6]


def test_a_slow_viewer_costs_nothing(live, monkeypatch):
    asked, frame = [], ImageViews.of
    monkeypatch.setattr(ImageViews, "of", lambda *arguments: asked.append(1) or frame(*arguments))
    live[1](1)
    with looking(live) as see:
        for number in range(2, 20):
            live[1](number)
            time.sleep(0.03)
        assert len(asked) == 1  # nothing is made for one that has not acknowledged
        assert see()[0]["view"]["image"] == 19
