"""The TCP image stream, with a writer that is made of a socket and `struct` alone."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
import pytest

from crystint.errors import SettingError
from crystint.online.image_tcp import ImageTcp
from crystint.stream import Image, SeriesKey, Start, encode_frame, encode_image, encode_start, read_message

HELLO, START, IMAGE, END, ACK, BUSY, KEEPALIVE, REFUSE = range(1, 9)
LAYOUT = "<4sHHIIQQ"
KEY = SeriesKey(5, "five")
TIMEOUT = 30.0


@dataclass
class FakeRun:
    start: Start
    name: str = "lysozyme"

    @property
    def key(self):
        return self.start.series


def make_run(key=KEY) -> FakeRun:
    start = Start(key, (8, 8), "stream2", images=1000)
    return FakeRun(read_message(encode_start(start)))


FRAME = encode_frame(np.arange(64, dtype=np.uint16).reshape(8, 8), "none")


def make_image(number: int, key=KEY, padding: int = 0) -> Image:
    extra = {"padding": bytes(padding)} if padding else {}
    (message,) = encode_image(Image(key, number, {"a": FRAME}), extra=extra)
    image = read_message(message)
    assert isinstance(image, Image)
    return image


@dataclass
class Writer:
    """Takes images; what it does not do can be switched off."""

    address: tuple[str, int]
    name: str = "w"
    index: int = 0
    of: int = 1
    images: list[int] = field(default_factory=list)
    starts: list[bytes] = field(default_factory=list)
    refused: bytes = b""
    taking = True
    acknowledging = True
    beat: int = KEEPALIVE
    interval: float = 0.05

    def __post_init__(self):
        self.started, self.ended, self.gone = threading.Event(), threading.Event(), threading.Event()
        self.quiet = False
        self.socket = socket.create_connection(self.address)
        want = bytes([0xA2, 0x65]) + b"index" + bytes([self.index, 0x62]) + b"of" + bytes([self.of])
        name = self.name.encode()
        self.say(HELLO, payload=b"\xa2\x64name" + bytes([0x60 | len(name)]) + name + b"\x64want" + want)
        self.threads = [
            threading.Thread(target=self.take, name="take"),
            threading.Thread(target=self.live, name="live"),
        ]
        for thread in self.threads:
            thread.start()

    def say(self, kind, stream=0, sequence=0, payload=b""):
        self.socket.sendall(struct.pack(LAYOUT, b"CrST", 1, kind, stream, 0, sequence, len(payload)) + payload)

    def exactly(self, n):
        data = b""
        while len(data) < n:
            part = self.socket.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def take(self):
        try:
            while True:
                while not self.taking:
                    if self.gone.wait(0.02):
                        return
                magic, version, kind, stream, _, sequence, length = struct.unpack(LAYOUT, self.exactly(32))
                assert (magic, version) == (b"CrST", 1)
                payload = self.exactly(length)
                if kind == START:
                    self.starts.append(payload)
                    self.started.set()
                elif kind == IMAGE:
                    self.images.append(read_message(payload).number)
                elif kind == REFUSE:
                    self.refused = payload
                if kind in (START, IMAGE, END) and self.acknowledging:
                    self.say(ACK, stream, sequence)
                if kind == END:
                    self.ended.set()
        except (EOFError, OSError):
            self.gone.set()

    def live(self):
        while not self.gone.wait(self.interval):
            if not self.quiet:
                try:
                    self.say(self.beat)
                except OSError:
                    return

    def close(self):
        self.gone.set()
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(TIMEOUT)
        self.socket.close()


@contextmanager
def connected(sender: ImageTcp, *names: str, of: int | None = None):
    host, port = sender.address.removeprefix("tcp://").split(":")
    writers = [
        Writer((host, int(port)), name, index if of is None else 0, of or len(names))
        for index, name in enumerate(names)
    ]
    try:
        until(lambda: len(sender.status()["writers"]) == len(names))
        yield writers
    finally:
        for writer in writers:
            writer.close()


@contextmanager
def sending(**settings):
    told = []
    settings = {"liveness": 0.5, "writers": 1, "tell": told.append} | settings
    sender = ImageTcp("tcp://127.0.0.1:0", **settings)
    sender.told = told
    try:
        yield sender
    finally:
        sender.close()


def until(condition, timeout=TIMEOUT):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def final(sender) -> dict:
    until(lambda: sender.status()["series"] and all(each["final"] for each in sender.status()["series"]))
    return sender.status()["series"][-1]


def check(books, taken, acknowledged):
    assert (books["taken"], books["acknowledged"], books["lost"]) == (taken, acknowledged, taken - acknowledged)
    assert books["waiting"] == 0
    assert sum(last - first + 1 for first, last in books["lost_numbers"]) == taken - acknowledged


def test_every_image_goes_to_one_writer_and_the_books_close():
    run = make_run()
    with sending(writers=2) as sender, connected(sender, "a", "b") as (a, b):
        assert sender.refusal() == ""
        sender.begin(run)
        for number in range(200):
            sender.image(run, make_image(number))
        sender.end(run)
        check(final(sender), 200, 200)
        assert a.ended.wait(TIMEOUT)
        assert b.ended.wait(TIMEOUT)
        assert sorted(a.images) == list(range(0, 200, 2))
        assert sorted(b.images) == list(range(1, 200, 2))
        start = read_message(a.starts[0])
        assert (start.series, start.shape, start.images) == (KEY, (8, 8), 1000)
        writers = sender.status()["writers"]
        assert [each["acknowledged"] for each in writers] == [100, 100]
        assert all(each["unacknowledged_bytes"] == 0 for each in writers)
        assert sender.status()["queued_bytes"] == 0


def test_a_writer_that_stalls_and_lives_gets_all_images():
    """Stall = 2 x liveness, as 4 s are to 2 s; more bytes than sockets hold."""
    run = make_run()
    with sending(liveness=0.5, window=4_000_000) as sender, connected(sender, "slow") as (writer,):
        writer.beat = BUSY
        writer.taking = False
        sender.begin(run)
        for number in range(1000):
            sender.image(run, make_image(number, padding=20_000))
        sender.end(run)
        until(lambda: sender.status()["writers"][0]["busy"])
        time.sleep(1.0)
        assert sender.status()["writers"][0]["state"] == "connected"
        assert 3_900_000 < sender.status()["writers"][0]["unacknowledged_bytes"] <= 4_000_000
        assert sender.status()["series"][0]["waiting"] == 1000 - sender.status()["series"][0]["acknowledged"]
        writer.taking, writer.beat = True, KEEPALIVE
        check(final(sender), 1000, 1000)
        assert sorted(writer.images) == list(range(1000))


def test_a_writer_that_is_silent_is_dead_and_the_books_close():
    run = make_run()
    with sending(liveness=0.5) as sender, connected(sender, "silent") as (writer,):
        sender.begin(run)
        for number in range(100):
            sender.image(run, make_image(number))
        until(lambda: len(writer.images) == 100)
        until(lambda: sender.status()["queued_bytes"] == 0)
        began = time.monotonic()
        writer.quiet = True
        writer.acknowledging = False
        writer.taking = False
        for number in range(100, 1000):
            sender.image(run, make_image(number))
        sender.end(run)
        until(lambda: not sender.status()["writers"])
        assert time.monotonic() - began > 0.45
        check(books := final(sender), 1000, 100)
        assert books["lost_numbers"] == [[100, 999]]
        (gone,) = sender.status()["writers_gone"]
        assert (gone["name"], gone["state"]) == ("silent", "dead")
        assert "silent for 0.5 s" in gone["reason"]
        assert [event for event in sender.told if "written by nobody" in event.data["text"]]


def test_a_writer_that_takes_nothing_is_dead_in_the_end():
    run = make_run()
    with sending(liveness=0.5, max_backpressure=1.0) as sender, connected(sender, "busy") as (writer,):
        writer.beat = BUSY
        sender.begin(run)
        assert writer.started.wait(TIMEOUT)
        writer.acknowledging = False
        sender.image(run, make_image(0))
        sender.end(run)
        check(final(sender), 1, 0)
        assert "took nothing for 1 s" in sender.status()["writers_gone"][0]["reason"]


def test_images_of_a_killed_writer_go_to_the_other():
    run = make_run()
    with sending(writers=2) as sender, connected(sender, "a", "b") as (a, b):
        a.acknowledging = False
        sender.begin(run)
        for number in range(300):
            sender.image(run, make_image(number))
        until(lambda: len(a.images) == 150)
        a.close()
        for number in range(300, 400):
            sender.image(run, make_image(number))
        sender.end(run)
        check(books := final(sender), 400, 400)
        assert sorted(set(b.images)) == list(range(400))
        assert len(b.images) == 400
        assert books["handed_on"] == 150
        (gone,) = sender.status()["writers_gone"]
        assert (gone["name"], gone["handed_on"], gone["acknowledged"]) == ("a", 150, 0)


def test_a_writer_may_come_while_the_series_runs():
    run = make_run()
    with sending(liveness=30.0) as sender:
        assert sender.refusal() == "0 writers are connected, 1 was asked for"
        sender.begin(run)
        for number in range(50):
            sender.image(run, make_image(number))
        sender.end(run)
        with connected(sender, "late") as (writer,):
            check(final(sender), 50, 50)
            assert writer.images == list(range(50))
        assert [event for event in sender.told if "0 writers are connected" in event.data["text"]]


def test_the_same_name_again_is_the_same_writer():
    run = make_run()
    with sending() as sender, connected(sender, "w") as (old,):
        old.acknowledging = False
        sender.begin(run)
        for number in range(50):
            sender.image(run, make_image(number))
        until(lambda: len(old.images) == 50)
        with connected(sender, "w") as (new,):
            sender.end(run)
            check(final(sender), 50, 50)
            assert new.images == list(range(50))
            assert old.gone.wait(TIMEOUT)


def test_what_there_is_no_room_for_is_counted():
    run = make_run()
    size = make_image(0, padding=1000).size
    with sending(memory=10 * size, liveness=0.3) as sender:
        sender.begin(run)
        for number in range(30):
            sender.image(run, make_image(number, padding=1000))
        assert not sender.full
        sender.end(run)
        books = final(sender)
        check(books, 10, 0)
        assert books["skipped"] == 20
    with sending(memory=10 * size, when_full="wait") as sender:
        for number in range(10):
            sender.image(run, make_image(number, padding=1000))
        assert sender.full


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "is it crystint?"),
        (struct.pack(LAYOUT, b"CrST", 2, 1, 0, 0, 0, 0), "version 2"),
        (struct.pack(LAYOUT, b"CrST", 1, 9, 0, 0, 0, 0), "type 9"),
        (struct.pack(LAYOUT, b"CrST", 1, 3, 0, 0, 0, 10), "not for it to send"),
        (struct.pack(LAYOUT, b"CrST", 1, 1, 0, 0, 0, 2**63), "announces"),
        (struct.pack(LAYOUT, b"CrST", 1, 5, 0, 0, 1, 0), "no hello"),
        (struct.pack(LAYOUT, b"CrST", 1, 1, 0, 0, 0, 1) + b"\x00", "hello"),
        (struct.pack(LAYOUT, b"CrST", 1, 1, 0, 0, 0, 1) + b"\xff", "no CBOR|begins no"),
        (
            struct.pack(LAYOUT, b"CrST", 1, 1, 0, 0, 0, 8)
            + b"\xa1\x64name\x61w"
            + struct.pack(LAYOUT, b"CrST", 1, 5, 0, 0, 9, 0),
            "acknowledges",
        ),
    ],
)
def test_what_is_no_writer_is_let_go(data, reason):
    with sending() as sender:
        host, port = sender.address.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port)), timeout=TIMEOUT) as stranger:
            stranger.sendall(data)
            until(lambda: sender.status()["strangers"] + len(sender.status()["writers_gone"]))
            status = sender.status()
            told = status["last_stranger"] or status["writers_gone"][0]["reason"]
            assert re.search(reason, told), told


def test_more_than_32_writers_are_refused():
    with sending(liveness=30.0) as sender:
        host, port = sender.address.removeprefix("tcp://").split(":")
        strangers = [socket.create_connection((host, int(port)), timeout=TIMEOUT) for _ in range(33)]
        try:
            assert struct.unpack(LAYOUT, strangers[32].recv(32))[2] == REFUSE
        finally:
            for stranger in strangers:
                stranger.close()


def test_a_port_in_use_is_told():
    with sending() as sender, pytest.raises(SettingError, match="no other program uses"):
        ImageTcp(sender.address)
    with pytest.raises(SettingError, match="expected one such as"):
        ImageTcp("127.0.0.1")
