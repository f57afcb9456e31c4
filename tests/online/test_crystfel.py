"""CrystFEL's requests: a client with its rules, written after src/im-zmq.c and libcrystfel/src/image-msgpack.c."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import msgpack
import numpy as np
import pytest
import zmq

import crystint
from crystint.errors import GeometryError
from crystint.online.crystfel import CrystfelServer, crystfel_setup
from crystint.stream import encode_frame
from tests.online.made_up import GEOMETRY, frame, image, made_up_run, result

PATIENCE = 30_000


class Client:
    """A REQ socket: it asks again only when it has got an answer."""

    def __init__(self, address, wait=PATIENCE):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.REQ)
        self.socket.setsockopt(zmq.RCVTIMEO, wait)
        self.socket.connect(address)
        self.asked = False

    def next(self):
        """The next message, or None after the time-out, when the question stays asked."""
        if not self.asked:
            self.socket.send(b"next")
            self.asked = True
        try:
            message = self.socket.recv()
        except zmq.Again:
            return None
        self.asked = False
        return message

    def close(self):
        self.socket.close(0)
        self.context.term()


@contextmanager
def clients(address, n=1, **options):
    made = [Client(address, **options) for _ in range(n)]
    try:
        yield made
    finally:
        for each in made:
            each.close()


@pytest.fixture
def server(request):
    made = CrystfelServer("tcp://127.0.0.1:*", **getattr(request, "param", {}))
    yield made
    made.close()


def feed(server, run, numbers, n=3):
    for number in numbers:
        server.image(run, image(run, number))
        server.results(run, [result(run, number, n)])


def look_up(message, wanted):
    """The first value whose key is as the wanted one, as far as the key goes."""
    return next(value for key, value in message.items() if wanted[: len(key)] == key)


def test_what_crystfel_reads_of_a_message(server):
    mask = np.zeros((40, 30), np.uint32)
    mask[0, 0], mask[5, 6] = 1, 4
    run = made_up_run(masks={"threshold_1": mask})
    server.begin(run)
    feed(server, run, [0], n=0)  # no hit
    feed(server, run, [4], n=2)
    with clients(server.address) as (client,):
        raw = client.next()
    message = msgpack.unpackb(raw)
    peaks = look_up(message, "peak_list")
    assert look_up(peaks, "fs") == [11.0, 11.0]  # + 0.5 by default: 11.5
    assert look_up(peaks, "ss") == [2.75, 3.75]
    assert look_up(peaks, "intensity") == [100.5, 101.5]
    assert raw.count(b"\xcb") == 6 + 2  # every number of it is a float of 64 bits
    pixels = look_up(message, "image")
    assert (look_up(pixels, "type"), look_up(pixels, "shape")) == ("<i4", [40, 30])
    values = np.frombuffer(look_up(pixels, "data"), "<i4").reshape(40, 30)
    expected = frame(4).astype(int)
    expected[0, 0] = expected[5, 6] = -(2**31)
    np.testing.assert_array_equal(values, expected)
    assert look_up(message, "image_id") == 4
    assert look_up(message, "photon_energy_ev") == pytest.approx(12398.42, abs=0.01)
    assert look_up(message, "camera_length_m") == 0.1


def test_an_answer_may_come_after_the_time_out_and_never_twice(server):
    run = made_up_run()
    server.begin(run)
    with clients(server.address, wait=100) as (client,):
        assert client.next() is None
        assert client.next() is None  # it does not ask again
        feed(server, run, [3])
        client.socket.setsockopt(zmq.RCVTIMEO, PATIENCE)
        assert msgpack.unpackb(client.next())["image_id"] == 3
        client.socket.setsockopt(zmq.RCVTIMEO, 200)
        assert client.next() is None
        feed(server, run, [5, 6])
        client.socket.setsockopt(zmq.RCVTIMEO, PATIENCE)
        assert [msgpack.unpackb(client.next())["image_id"] for _ in range(2)] == [5, 6]
    server.close()  # it counts what it has sent
    assert server.status()["answers"] == 3


def fetched(made, n):
    """Numbers of the images that each client gets, until all of them have `n`."""
    images, lock = [[] for _ in made], threading.Lock()

    def fetch(index):
        made[index].socket.setsockopt(zmq.RCVTIMEO, 300)
        while True:
            with lock:
                if sum(map(len, images)) == n:
                    return
            if (message := made[index].next()) is not None:
                with lock:
                    images[index].append(msgpack.unpackb(message)["image_id"])

    threads = [threading.Thread(target=fetch, args=(index,)) for index in range(len(made))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return images


def test_three_programs_share_the_images_and_none_is_served_twice(server):
    run = made_up_run()
    server.begin(run)
    with clients(server.address, 3) as made:
        feed(server, run, range(20))
        thread = threading.Thread(target=lambda: [(time.sleep(0.005), feed(server, run, [n])) for n in range(20, 60)])
        thread.start()
        images = fetched(made, 60)
        thread.join(30)
    assert sorted(number for each in images for number in each) == list(range(60))
    assert all(each == sorted(each) for each in images)  # the oldest first


@pytest.mark.parametrize("server", [{"share": "each"}], indirect=True)
def test_every_program_gets_every_image(server):
    run = made_up_run()
    server.begin(run)
    feed(server, run, range(10))
    with clients(server.address, 3) as made:
        assert fetched(made, 30) == [list(range(10))] * 3


def test_what_a_program_that_is_gone_asked_for_is_for_the_next(server):
    run = made_up_run()
    server.begin(run)
    with clients(server.address, wait=100) as (gone,):
        assert gone.next() is None
    time.sleep(0.2)
    feed(server, run, [1, 2])
    with clients(server.address) as (client,):
        numbers = [msgpack.unpackb(client.next())["image_id"] for _ in range(2)]
    assert numbers == [1, 2]


@pytest.mark.parametrize("server", [{"images": False}], indirect=True)
def test_peaks_alone(server):
    run = made_up_run()
    server.begin(run)
    feed(server, run, [1])
    with clients(server.address) as (client,):
        assert "image" not in msgpack.unpackb(client.next())
    assert not server._raw


def test_what_nobody_asks_for_is_bounded_and_counted():
    told = []
    server = CrystfelServer("tcp://127.0.0.1:*", told.append, limit=50_000)
    try:
        run = made_up_run()
        server.begin(run)
        feed(server, run, range(100))
        with clients(server.address) as (client,):
            first = msgpack.unpackb(client.next())["image_id"]
        status = server.status()
    finally:
        server.close()
    assert status["lost"] > 50
    assert first > 0
    assert len(told) >= 1
    assert len({event.data["text"] for event in told}) == len(told)


def test_a_damaged_frame_is_told_and_the_next_one_is_sent(server):
    told = []
    server._tell_event = told.append
    run = made_up_run()
    server.begin(run)
    bad = image(run, 1)
    packed = encode_frame(frame(1))
    damaged = type(packed)(packed.data[:-9], packed.shape, packed.dtype, packed.algorithm)
    object.__setattr__(bad, "frames", {"threshold_1": damaged})
    server.image(run, bad)
    server.results(run, [result(run, 1, 3)])
    feed(server, run, [2])
    with clients(server.address) as (client,):
        assert msgpack.unpackb(client.next())["image_id"] == 2
    assert "damaged" in told[0].data["text"]


TILTED = crystint.Geometry(
    (50, 60), (75e-6, 172e-6), 0.2, (-30.0, 12.5), wavelength=0.9, rotation=(0.2, -0.1, 0.4), beam_outside=True
)
PANELS = crystint.Geometry(
    (50, 60), (1e-4, 1e-4), 0.1, (20.0, 25.0), wavelength=1.3, beam_outside=True,
    panels=(
        crystint.Panel((0, 20), (0, 60), (-2.5e-3, -2e-3, 0.1), (0.0, 1e-4, 0.0), (1e-4, 0.0, 0.0)),
        crystint.Panel((20, 50), (5, 60), (-2.5e-3, 1e-4, 0.101), (0.0, 0.99e-4, 0.1e-4), (1e-4, 0.0, 0.0)),
    ),
)  # fmt: skip


@pytest.mark.parametrize("geometry", [GEOMETRY, TILTED, PANELS], ids=["flat", "tilted", "panels"])
def test_the_geometry_that_is_told_is_the_one_that_is_used(geometry, tmp_path):
    setup = crystfel_setup("tcp://127.0.0.1:5603", geometry, saturation=40000)
    path = tmp_path / "crystint.geom"
    path.write_text(setup["geometry"])
    back = crystint.Geometry.read(path, shape=geometry.shape, beam_outside=True)
    np.testing.assert_allclose(back.two_theta(), geometry.two_theta(), rtol=1e-9)
    np.testing.assert_allclose(back.q(), geometry.q(), rtol=1e-9)
    for line in ("data = image", "peak_list = peak_list", "flag_morethan = 40000", "flag_equal = -2147483648"):
        assert line in setup["geometry"]
    assert "--zmq-request=next" in setup["command"]
    assert setup["address"] in setup["command"]


def test_without_a_wavelength_there_is_nothing_to_tell():
    with pytest.raises(GeometryError, match="wavelength"):
        crystfel_setup("x", crystint.Geometry((4, 4), (1e-4, 1e-4), 0.1, (2, 2)))
