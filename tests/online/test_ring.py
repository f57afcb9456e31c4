"""The ring of the last images: what is read is whole and right, however fast it is written."""

import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from crystint.errors import FileError
from crystint.online.ring import Ring, RingReader
from crystint.stream.read import read_message
from tests.online import made_up


@pytest.fixture
def ring():
    made = Ring(2**16, records=64)
    yield made
    made.close()


def content(number, size):
    return bytes([number % 251]) * size


def test_the_newest_are_held_and_whole(ring):
    rng = np.random.default_rng(5)
    sizes = rng.integers(1, 9000, 400)
    with RingReader(ring.address) as reader:
        for number, size in enumerate(sizes):
            ring.put("1-a", number, [content(number, size)])
            held = reader.numbers()
            assert held == list(range(held[0], number + 1))
            assert len(held) <= 64
            assert sum(sizes[held]) + 8 * len(held) <= 2**16
            # nothing is thrown away that there is room for: half of the ring at least, or all records
            assert number < 3 or held[0] == 0 or len(held) >= 63 or sum(sizes[held]) > 2**16 - 3 * 9008
        for number in held:
            assert reader.message(number).parts == (content(number, sizes[number]),)
        assert reader.message(held[0] - 1) is None
        assert reader.message().number == 399


def test_series_are_told_apart_and_parts_kept_apart(ring):
    ring.put("1-a", 0, [b"x", b"", b"yz"])
    ring.put("2-b", 0, [b"other"])
    with RingReader(ring.address) as reader:
        assert reader.message(0, "1-a").parts == (b"x", b"", b"yz")
        assert reader.message(0).parts == (b"other",)
        assert reader.message(0).series == "2-b"
        assert (reader.numbers("1-a"), reader.numbers("3-c")) == ([0], [])


def test_what_is_too_large_is_left_out_and_counted(ring):
    ring.put("1-a", 0, [bytes(40000)])
    assert ring.status()["left_out"] == 1
    with RingReader(ring.address) as reader:
        assert reader.numbers() == []
        assert reader.message() is None


def test_of_images_that_come_too_fast_the_newest_are_held(ring, monkeypatch):
    entered, go_on = threading.Event(), threading.Event()
    put = ring.put

    def slow(*arguments):
        entered.set()
        assert go_on.wait(30)
        put(*arguments)

    monkeypatch.setattr(ring, "put", slow)
    run = SimpleNamespace(key="1-a")
    for number in range(101):
        ring.image(run, SimpleNamespace(number=number, message=[b"some"]))
        assert entered.wait(30)  # the first one is being copied while all others come
    go_on.set()
    with RingReader(ring.address) as reader:
        until = time.monotonic() + 30
        while reader.count < 65 and time.monotonic() < until:
            time.sleep(0.01)
        assert reader.numbers()[-64:] == list(range(37, 101))
    assert ring.status()["left_out"] == 36


def test_readers_never_see_half_a_message(ring):
    """A reader races a writer that goes round a thousand times."""
    done = threading.Event()

    def write():
        for number in range(20000):
            ring.put("1-a", number, [content(number, 1 + number % 3000)])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    looked = 0
    with RingReader(ring.address) as reader:
        while not done.is_set():
            image = reader.message()
            if image is not None:
                assert image.parts == (content(image.number, 1 + image.number % 3000),)
                looked += 1
            for number in reader.numbers()[:1]:
                oldest = reader.message(number)
                assert oldest is None or oldest.parts == (content(number, 1 + number % 3000),)
    writer.join()
    assert looked > 0


def test_images_of_the_receiver_are_decoded_in_another_process(ring):
    run = made_up.made_up_run()
    image = made_up.image(run, 4)
    if image.message is None:
        from crystint.stream import encode_image

        image = read_message(encode_image(image))
    ring.image(run, image)
    code = f"""
import sys, time
from crystint.online.ring import RingReader
from crystint.stream.read import read_message
with RingReader({ring.address!r}) as reader:
    for _ in range(300):
        held = reader.message(4)
        if held is not None:
            break
        time.sleep(0.1)
    print(int(read_message(held.parts).frame().astype("i8").sum()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    assert int(done.stdout) == int(image.frame().astype("i8").sum())


def test_nothing_is_left_behind_and_a_ring_that_is_gone_is_told():
    ring = Ring(2**16)
    address = ring.address
    ring.close()
    ring.close()
    assert not os.path.exists(address)
    with pytest.raises(FileError, match="cannot be read"):
        RingReader(address)
