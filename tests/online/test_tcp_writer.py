"""The reference writer, over a real socket, and the files that it leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

import crystint
from crystint.errors import FileError, RefusedError, SettingError, StreamError
from crystint.online.image_tcp import ImageTcp
from crystint.online.raw_files import RawFiles
from crystint.online.service import Service
from crystint.online.settings import ServeSettings
from crystint.online.tcp_writer import TcpWriter
from crystint.stream import (
    End,
    Image,
    SeriesKey,
    Start,
    encode_end,
    encode_frame,
    encode_image,
    encode_start,
    read_message,
)
from tests.online.test_image_tcp import FakeRun, check, final, sending, until
from tests.processes import heeding_sigint

SHAPE = (40, 50)
KEY = SeriesKey(5, "five")
GEOMETRY = crystint.Geometry(SHAPE, pixel_size=(75e-6, 75e-6), distance=0.1, beam_center=(20, 25), wavelength=1.0)


def make_run(name="lysozyme", images=100, key=KEY) -> FakeRun:
    return FakeRun(read_message(encode_start(Start(key, SHAPE, "stream2", images=images))), name)


def counts(number: int) -> np.ndarray:
    return np.full(SHAPE, number % 999, np.uint16)


def make_image(number: int, key=KEY) -> Image:
    (message,) = encode_image(Image(key, number, {"threshold_1": encode_frame(counts(number))}))
    image = read_message(message)
    assert isinstance(image, Image)
    return image


@contextmanager
def writing(sender: ImageTcp, folder, **settings):
    told = []
    writer = TcpWriter(sender.address, folder, tell=lambda name, data: told.append((name, data)), **settings)
    writer.told = told
    thread = threading.Thread(target=writer.run, name="writer")
    thread.start()
    try:
        yield writer
    finally:
        writer.stop()
        thread.join(30)
        assert not thread.is_alive()


def test_two_writers_share_a_series(tmp_path):
    run = make_run(images=30)
    with (
        sending(writers=2, liveness=30.0) as sender,
        writing(sender, tmp_path, name="a", index=0, of=2, images_per_file=10),
        writing(sender, tmp_path, name="b", index=1, of=2, images_per_file=10),
    ):
        until(lambda: not sender.refusal())
        sender.begin(run)
        for number in range(30):
            if number != 7:
                sender.image(run, make_image(number))
        sender.end(run)
        check(final(sender), 29, 29)
    for index in (0, 1):
        with crystint.open_frames(tmp_path / f"lysozyme_w{index:02d}_master.h5") as frames:
            assert len(frames) == 30
            present = [number for number in range(index, 30, 2) if number != 7]
            assert sorted(set(range(30)) - set(frames.missing)) == present
            for number in present:
                np.testing.assert_array_equal(frames[number], counts(number))
    assert not list(tmp_path.glob("*.part*"))


def test_a_writer_that_is_killed_goes_on_with_its_files(tmp_path):
    """What it acknowledged is in its files; what it did not is sent again. Nothing is there twice, nothing is lost."""
    run = make_run(images=400)
    with sending(liveness=30.0) as sender:
        words = [sys.executable, "-m", "crystint", "online", "write", sender.address, "-o", str(tmp_path)]
        words += ["--name", "w", "--images-per-file", "100", "-q"]

        def started() -> subprocess.Popen[str]:
            with heeding_sigint():
                return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        process = started()
        try:
            until(lambda: not sender.refusal())
            sender.begin(run)
            for number in range(250):
                sender.image(run, make_image(number))
            until(lambda: sender.status()["series"][0]["acknowledged"] >= 120)
            process.kill()
            process.communicate(timeout=30)
            for number in range(250, 400):
                sender.image(run, make_image(number))
            sender.end(run)
            process = started()
            check(final(sender), 400, 400)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            assert process.returncode == 0, err
            assert "Traceback" not in err
        finally:
            process.kill()
            process.communicate()
    with crystint.open_frames(tmp_path / "lysozyme_master.h5") as frames:
        assert len(frames) == 400
        assert not frames.missing
        for number in range(0, 400, 7):
            np.testing.assert_array_equal(frames[number], counts(number))
    assert not list(tmp_path.glob("*_002*"))


def test_a_writer_leaves_alone_what_another_one_left(tmp_path):
    """Of the same series, in the same folder."""
    run = make_run(images=4)
    other = RawFiles(tmp_path, "lysozyme_w00", run.start)
    other.write(make_image(0))
    other.abandon()
    for part, parts, name in ((1, 2, "lysozyme_w01"), (0, 1, "lysozyme"), (0, 2, "lysozyme_w00")):
        with sending(liveness=30.0) as sender, writing(sender, tmp_path, index=part, of=parts):
            until(lambda sender=sender: not sender.refusal())
            sender.begin(run)
            sender.image(run, make_image(3))
            sender.end(run)
            check(final(sender), 1, 1)
        with crystint.open_frames(tmp_path / f"{name}_master.h5") as frames:
            assert sorted(set(range(4)) - set(frames.missing)) == ([0, 3] if name == "lysozyme_w00" else [3])


def test_a_sender_that_comes_later_is_waited_for_and_a_series_ends_it(tmp_path):
    with sending() as other:
        address = other.address
    writer = TcpWriter(address, tmp_path, series=1)
    thread = threading.Thread(target=writer.run, name="writer")
    thread.start()
    time.sleep(0.1)
    sender = ImageTcp(address)
    try:
        until(lambda: not sender.refusal())
        run = make_run(images=None)
        sender.begin(run)
        sender.image(run, make_image(3))
        sender.end(run)
        check(final(sender), 1, 1)
        thread.join(30)
        assert not thread.is_alive()
        assert (writer.written, writer.series) == (1, 1)
    finally:
        writer.stop()
        sender.close()


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a//b"])
def test_a_name_that_leads_out_of_the_folder_is_not_used(tmp_path, name):
    run = make_run(name, images=1)
    with sending(liveness=30.0) as sender, writing(sender, tmp_path / "in") as writer:
        until(lambda: not sender.refusal())
        sender.begin(run)
        sender.image(run, make_image(0))
        sender.end(run)
        check(final(sender), 1, 1)
        assert [data for kind, data in writer.told if kind == "warning" and "called 5-five" in data["text"]]
    assert (tmp_path / "in" / "5-five_master.h5").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_the_service_sends_its_images_to_writers(tmp_path, engine):
    """Names and start message are those of the service; a start is refused while the writers are not there."""
    service = Service(settings=ServeSettings(rings=20), engine=engine)
    sender = ImageTcp("127.0.0.1:0")
    service.add(sender)
    with service:
        with pytest.raises(RefusedError, match="0 writers are connected"):
            service.start({"prefix": "run_1"})
        with writing(sender, tmp_path) as writer:
            until(lambda: not sender.refusal())
            service.start({"prefix": "run_1"})
            start = Start(KEY, SHAPE, "stream2", images=20, geometry=GEOMETRY)
            service.take(encode_start(start))
            for number in (*range(19), 20):
                service.take(make_image(number).message)
            service.take(encode_end(End(KEY)))
            assert service.wait("idle")
            check(final(sender), 20, 20)
            assert (writer.written, writer.left_out) == (19, 1)
            assert [data for name, data in writer.told if name == "warning" and "20 images were ann" in data["text"]]
        assert service.series()[0]["books"]["analysed"] == 20
    with crystint.open_frames(tmp_path / "run_1_master.h5") as frames:
        assert frames.geometry is not None
        assert frames.geometry.beam_center == pytest.approx(GEOMETRY.beam_center)
        assert frames.missing.keys() == {19}
        assert [int(frames[number][0, 0]) for number in range(19)] == list(range(19))


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(SettingError, match="expected one such as"):
        TcpWriter("nowhere", tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileError):
        TcpWriter("tcp://127.0.0.1:5604", tmp_path / "file")
    with sending() as sender:
        writer = TcpWriter(sender.address, tmp_path, index=5, of=2)
        with pytest.raises(StreamError, match="refuses this writer: its hello wants part 5 of 2"):
            writer.run()


def test_a_folder_that_is_not_given_is_asked_for():
    from click.testing import CliRunner

    from crystint.cli import main

    result = CliRunner().invoke(main, ["online", "write", "tcp://127.0.0.1:1"])
    assert result.exit_code == 2
    assert result.stderr == "crystint: error: output is not given: --output, or output in a file of settings\n"
