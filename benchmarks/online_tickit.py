"""Series of tickit-devices' EIGER (captured messages of an EIGER2 16M) through the service.

tickit-devices needs cbor2 < 6, so it lives in an environment of its own:

    python -m venv tickit && tickit/bin/pip install tickit-devices "cbor2<6"
    python benchmarks/online_tickit.py --python tickit/bin/python

It must end with N = R for 16M and 64 x 64, and take tickit's second end message (natural end, then disarm) as that.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

__all__ = ["series_of_tickit"]

_SMALL = """
import pathlib, sys
import cbor2, numpy as np
import tickit_devices.eiger.stream.eiger_stream_2 as stream

folder, side = pathlib.Path(sys.argv[1]), int(sys.argv[2])
sys.argv = ["tickit", "all", sys.argv[3]]
if side:  # messages as they were captured, of a corner of the detector
    read = lambda name: cbor2.loads((stream.DATA_PATH / name).read_bytes())
    start, image = read("start.cbor"), read("image.cbor")
    start["image_size_x"] = start["image_size_y"] = side
    pixels = np.random.default_rng(0).poisson(2.0, (side, side)).astype("<u2")
    image["data"] = {"threshold_1": cbor2.CBORTag(40, [[side, side], cbor2.CBORTag(69, pixels.tobytes())])}
    for name, message in (("start.cbor", start), ("image.cbor", image), ("end.cbor", read("end.cbor"))):
        (folder / name).write_bytes(cbor2.dumps(message))
    stream.DATA_PATH = folder
import aiozmq, zmq
import tickit.adapters.io.zeromq_push_io as push

async def bound(host, port):  # tickit's own socket also connects to itself: what goes that way is lost
    return await aiozmq.create_zmq_stream(zmq.PUSH, bind=f"tcp://{host}:{port}")

host, port, _ = push.ZeroMqPushIo.__init__.__defaults__
push.ZeroMqPushIo.__init__.__defaults__ = (host, port, bound)
from tickit.cli import main
main()
"""
_DEVICE = """- type: tickit_devices.eiger.Eiger
  name: eiger
  inputs: {{}}
  host: 127.0.0.1
  port: {rest}
  stream_host: 127.0.0.1
  stream_legacy_port: {legacy}
  stream_cbor_port: {cbor}
"""
_PATIENCE = 20.0
"""s"""


def _ports(n: int) -> list[int]:
    with ExitStack() as stack:
        places = [stack.enter_context(socket.socket()) for _ in range(n)]
        for place in places:
            place.bind(("127.0.0.1", 0))
        return [place.getsockname()[1] for place in places]


class _Detector:
    """tickit's detector, over SIMPLON."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def call(self, path: str, value: Any = None, method: str = "PUT") -> Any:
        body = None if value is None else json.dumps({"value": value}).encode()
        request = urllib.request.Request(self._base + path, body, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
            return json.loads(answer.read())

    def set(self, name: str, value: Any, subsystem: str = "detector") -> None:
        self.call(f"/{subsystem}/api/1.8.0/config/{name}", value)

    def do(self, command: str) -> None:
        self.call(f"/detector/api/1.8.0/command/{command}")

    def wait(self) -> None:
        """Until it answers."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self.call("/detector/api/1.8.0/status/state", method="GET")
                return
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.25)


@contextmanager
def _tickit(python: str, side: int) -> Iterator[tuple[_Detector, int]]:
    """A running detector, and the port of its stream."""
    rest, legacy, cbor = _ports(3)
    with tempfile.TemporaryDirectory() as folder:
        device = Path(folder) / "tk.yaml"
        device.write_text(_DEVICE.format(rest=rest, legacy=legacy, cbor=cbor))
        process = subprocess.Popen(
            [python, "-c", _SMALL, folder, str(side), str(device)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            detector = _Detector(rest)
            detector.wait()
            yield detector, cbor
        finally:
            process.kill()
            process.wait()


def series_of_tickit(python: str, side: int, images: int) -> dict[str, Any]:
    """Take a series.

    Parameters
    ----------
    python : str
        Of the environment that has tickit-devices.
    side : int
        Of a square detector; 0 = 16M, as captured.
    images : int

    Returns
    -------
    dict
        The series, as the service describes it after the disarm.
    """
    from crystint.online import Service
    from crystint.online.settings import ServeSettings

    with _tickit(python, side) as (detector, port):
        settings = ServeSettings(stream=(f"tcp://127.0.0.1:{port}",), threads=1)
        with Service(settings=settings) as service:
            detector.set("format", "cbor", "stream")
            for name, value in (("nimages", images), ("ntrigger", 1), ("trigger_mode", "ints"), ("frame_time", 0.02)):
                detector.set(name, value)
            _until(lambda: service.status()["sources"][0]["connected"], service)
            time.sleep(1.0)  # what aiozmq cannot send yet it joins to the next message
            for command in ("initialize", "arm", "trigger"):
                detector.do(command)
            _until(lambda: bool(service.series()) and service.series()[0]["books"]["ended"], service)
            detector.do("disarm")
            _until(lambda: service.series()[0]["books"]["second_ends"] > 0, service)
            if not service.wait("idle", _PATIENCE):
                raise RuntimeError("the service is not idle after the series")
            return service.series()[0]


def _until(reached: Any, service: Any) -> None:
    until = time.monotonic() + _PATIENCE
    while not reached():
        if time.monotonic() > until:
            raise RuntimeError(
                f"not reached within {_PATIENCE:g} s: {json.dumps(service.status())}; {service.events()}"
            )
        time.sleep(0.2)


def problems(series: dict[str, Any], side: int, images: int) -> list[str]:
    """What is not as it must be."""
    books = series["books"]
    wanted = {
        "expected": images, "received": images, "analysed": images, "failed": 0, "missing": 0, "duplicate": 0,
        "second_ends": 1, "damaged": 0,
    }  # fmt: skip
    wrong = [f"{name} is {books[name]}, expected {value}" for name, value in wanted.items() if books[name] != value]
    shape = [side, side] if side else [4362, 4148]
    if series["shape"] != shape:
        wrong.append(f"shape is {series['shape']}, expected {shape}")
    if not side and abs(series["geometry"]["distance"] - 0.23715919962215962) > 1e-12:
        wrong.append(f"distance is {series['geometry']['distance']}")
    return wrong


def main() -> int:
    """Both series; 1 when a book does not close."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="of the environment with tickit-devices")
    parser.add_argument("--images", type=int, default=5)
    given = parser.parse_args()
    wrong = []
    for side in (0, 64):
        series = series_of_tickit(given.python, side, given.images)
        wrong += problems(series, side, given.images)
        print(f"{series['shape'][0]} x {series['shape'][1]}: {series['books']}")
    for text in wrong:
        print(text)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
