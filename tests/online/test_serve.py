"""``crystint online serve`` as people start it: two processes, signals, exit codes, a restart in mid-series."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crystint
from crystint.stream import End, SeriesKey, encode_end, encode_start
from tests.conftest import ROOT
from tests.online.streams import frames_of, image_of, start_of
from tests.processes import end_all, first_line, started

zmq = pytest.importorskip("zmq")
pytest.importorskip("uvicorn")

LONG = 60.0
KEY = SeriesKey(7, "run")


class Detector:
    """A PUSH socket, bound as a detector binds it."""

    def __init__(self, address: str) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.PUSH)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDTIMEO, int(1000 * LONG))
        self.socket.bind(address)
        self.frames = frames_of(count=4)

    def start(self, images: int) -> None:
        self._send(encode_start(start_of(self.frames, KEY, images=images)))

    def images(self, *numbers: int) -> None:
        for number in numbers:
            self._send(image_of(self.frames[number % 4], KEY, number))

    def end(self) -> None:
        self._send(encode_end(End(KEY)))

    def _send(self, parts: Any) -> None:
        self.socket.send_multipart([bytes(part) for part in parts])

    def close(self) -> None:
        self.socket.close()
        self.context.term()


class Served:
    """The command, running."""

    def __init__(self, *options: object) -> None:
        words = [sys.executable, "-m", "crystint", "online", "serve", "--bind", "127.0.0.1:0", "--device", "cpu"]
        self.process = started([*words, "--rings", "60", "--ring", "16MiB", *map(str, options)], ROOT)
        self.url, _, self.token = first_line(self.process).partition("/#token=")

    def status(self) -> Any:
        request = urllib.request.Request(f"{self.url}/api/v1/status", headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=LONG) as answer:
            return json.load(answer)

    def until(self, true: Callable[[Any], bool]) -> Any:
        """The status when it is so."""
        end = time.monotonic() + LONG
        while time.monotonic() < end:
            try:
                status = self.status()
            except OSError:
                status = None
            if status is not None and true(status):
                return status
            time.sleep(0.2)
        raise AssertionError(f"it never came to that: {status}")

    def web(self) -> int:
        """Number of the process of the web interface."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        every = [
            child for task in Path(f"/proc/{self.process.pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ] or children  # fmt: skip
        return int(every[0])

    def end(self, *signals: int) -> tuple[int, str]:
        """Exit code and messages."""
        for number in signals:
            self.process.send_signal(number)
            time.sleep(0.3)
        out, err = self.process.communicate(timeout=LONG)
        return self.process.returncode, out + err


@pytest.fixture
def detector(tmp_path: Path) -> Iterator[Detector]:
    made = Detector(f"ipc://{tmp_path}/detector")
    try:
        yield made
    finally:
        end_all()
        made.close()


def analysed(number: int) -> Callable[[Any], bool]:
    return lambda status: bool(status["series"] and status["series"]["books"]["analysed"] >= number)


def test_a_web_process_that_is_killed_costs_no_image_and_the_exit_code_tells_what_was_missing(detector, tmp_path):
    served = Served("--stream", f"ipc://{tmp_path}/detector", "--out", tmp_path / "out", "--strict", "--grace", 0.2)
    detector.start(60)
    detector.images(*range(20))
    status = served.until(analysed(20))
    assert status["process"] == served.process.pid
    web = served.web()
    assert os.getpriority(os.PRIO_PROCESS, web) == min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19)
    os.kill(web, signal.SIGKILL)
    detector.images(*range(20, 40), *range(41, 60))
    detector.end()
    status = served.until(lambda status: status["state"] == "idle")
    assert served.web() != web
    books = status["series"]["books"]
    assert (books["received"], books["analysed"], books["missing"], books["ended"]) == (59, 59, 1, True)
    assert status["series"]["missing"] == [[40, 41]]
    code, said = served.end(signal.SIGTERM)
    assert code == 3, said
    assert "the web interface ended (-9) and is started again" in said
    assert "59 images received: 59 analysed, 0 skipped, 0 failed, 1 missing" in said
    assert "Traceback" not in said
    (master,) = (tmp_path / "out").glob("*_master.h5")
    with crystint.open_frames(master) as frames:
        np.testing.assert_array_equal(frames[39], detector.frames[3])


def test_one_ctrl_c_finishes_the_series_and_a_second_one_ends_it(detector, tmp_path):
    served = Served("--stream", f"ipc://{tmp_path}/detector", "--out", tmp_path / "out", "--grace", LONG)
    detector.start(1000)
    detector.images(*range(10))
    served.until(analysed(10))
    served.process.send_signal(signal.SIGINT)
    time.sleep(0.5)  # an end would come now
    assert served.process.poll() is None
    code, said = served.end(signal.SIGINT)
    assert code == 1, said
    assert "Traceback" not in said
    assert "10 images received: 10 analysed" in said
    assert list((tmp_path / "out").glob("*_master.h5"))
    assert not list((tmp_path / "out").glob("*.part"))


def test_ctrl_c_ends_it_after_an_error_of_the_outputs(detector, tmp_path):
    out = tmp_path / "out"
    served = Served("--stream", f"ipc://{tmp_path}/detector", "--out", out)
    detector.start(20)
    detector.images(*range(10))
    served.until(analysed(10))
    shutil.rmtree(out)
    detector.images(*range(10, 20))
    detector.end()
    served.until(lambda status: status["state"] == "error" and status["series"]["books"]["ended"])
    code, said = served.end(signal.SIGINT)
    assert code == 0, said
    assert "Traceback" not in said
    assert "20 images received: 20 analysed" in said


def test_a_killed_service_goes_on_with_its_series(detector, tmp_path):
    options = ("--stream", f"ipc://{tmp_path}/detector", "--out", tmp_path / "out", "--state-dir", tmp_path / "state")
    served = Served(*options)
    detector.start(40)
    detector.images(*range(20))
    served.until(analysed(20))
    served.until(lambda status: status["sinks"]["files"]["results_waiting"] == 0)
    served.process.kill()
    served.end()
    served = Served(*options)
    detector.images(*range(20, 40))
    detector.end()
    status = served.until(lambda status: status["series"] is not None and status["state"] == "idle")
    assert status["series"]["resumed"]
    books = status["series"]["books"]
    assert books["received"] + books["missing"] == 40
    assert books["analysed"] == books["received"]
    code, said = served.end(signal.SIGTERM)
    assert code == 0, said
    assert len(list((tmp_path / "out").glob("*_master.h5"))) == 1
    assert not (tmp_path / "state" / "series.cbor").exists()


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ((), 2, "no stream"),
        (("--stream", "nonsense"), 2, "nonsense"),
        (("--stream", "ipc:///nowhere/x", "--bind", "127.0.0.1"), 2, "HOST:PORT"),
        (("--stream", "ipc:///nowhere/x", "--bind", "0.0.0.0:0"), 2, "--allow-remote"),
        (("--stream", "ipc:///nowhere/x", "--simplon", "ftp://x"), 2, "http://DCU"),
        (("--stream", "ipc:///nowhere/x", "--out", "/proc/none"), 1, "out /proc/none cannot be made"),
        (("--stream", "ipc:///nowhere/x", "--out", __file__), 1, "cannot be made: File exists"),
    ],
)
def test_a_mistake_is_one_line(options, code, text, capfd):
    from click.testing import CliRunner

    from crystint.cli import main

    result = CliRunner().invoke(main, ["online", "serve", "--device", "cpu", "--ring", "1MiB", *options])
    assert result.exit_code == code, result.output
    assert result.stderr.count("crystint: error: ") == 1
    assert text in result.stderr
    assert capfd.readouterr().err == ""


def test_without_the_extra_a_line_tells_what_to_install():
    hide = "import sys; sys.modules['zmq'] = None; sys.argv = ['crystint', *sys.argv[1:]]; import crystint.cli as c; "
    words = [sys.executable, "-c", f"{hide}c.main()", "online", "serve", "--stream", "ipc:///nowhere/x"]
    process = started(words, ROOT)
    _, err = process.communicate(timeout=LONG)
    assert process.returncode == 2
    assert err == "crystint: error: streams need pyzmq: pip install 'crystint[online]'\n"
