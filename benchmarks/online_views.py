"""What views of images cost: each in copies of the frame, and what three pages at 10 Hz take from a service.

    python benchmarks/online_views.py [views] [pages] [--size 4M] [--seconds 5] [--rounds 3]

A view is timed in processor time, beside `numpy.copyto` of the same frame in the same run, so that the
ratio holds on a loaded machine. For the pages a service, its web process and the simulated detector run as people start
them; rounds without and with viewers take turns. The viewers are as many threads of this process: they acknowledge, and
unpack nothing. Everything shares the cores of this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.online_regions import least_ms
from crystint.engine import Engine
from crystint.online.exposures import detector_shape
from crystint.online.image_views import ImageViews, ViewWish
from crystint.online.layers import Layers
from crystint.online.self_check import source_process
from crystint.simulate import simulate
from tests.online.looking import images_of

_PAGES, _FPS = 3, 10.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=[])
    parser.add_argument("--size", default="4M")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    parts = options.parts or ["views", "pages"]
    if "views" in parts:
        views(detector_shape(options.size))
    if "pages" in parts:
        pages(options)


def views(shape: tuple[int, int]) -> None:
    """Views of a frame of whole numbers with gaps that are masked."""
    data = simulate(shape, frames=2, background=3.0, peaks=300, intensity=900.0, dtype="uint16", seed=1)
    frames: NDArray[np.uint16] = np.stack(list(data))
    mask = np.zeros(shape, np.uint32)
    mask[shape[0] // 2 : shape[0] // 2 + 40] = mask[:, shape[1] // 3 : shape[1] // 3 + 12] = 1
    images = images_of(frames, geometry=data.geometry, masks={"threshold_1": mask}, engine=Engine())
    room = np.empty_like(frames[0])
    (copy,) = least_ms(15, lambda: np.copyto(room, frames[0]))
    print(f"{shape[0]} x {shape[1]} uint16: a copy takes {copy:.2f} ms; views of at most 1000 x 1000, in copies")
    made = ImageViews(images)
    frame = images.frame(0)
    made.of(frame, ViewWish())  # unpacked, and the mask made ready

    def fresh(wish: ViewWish) -> Any:
        made._views._results.clear()
        return made.of(frame, wish)

    for wish in (ViewWish(), ViewWish(bin="mean"), ViewWish(bin="sum"), ViewWish(size="2000x2000"),
                 ViewWish("0:800", "0:800"), ViewWish(layer="mask")):  # fmt: skip
        name = ", ".join(str(value) for value in (wish.layer, wish.bin, wish.size, wish.slow) if value is not None)
        print(f"  {name}: {least_ms(7, lambda wish=wish: fresh(wish))[0] / copy:.1f}")
    view = fresh(ViewWish())
    view.__dict__.pop("packed", None)

    def packed() -> None:
        view.__dict__.pop("packed", None)
        view.packed  # noqa: B018  (now)

    print(f"  packing counts, max: {least_ms(7, packed)[0] / copy:.1f}")
    (unpacked,) = least_ms(7, lambda: frame.image.frame(frame.channel))
    print(f"  unpacking the image: {unpacked / copy:.1f}  (not packed here)")
    for layer in ("background", "subtracted", "significance"):
        times = []
        for _ in range(2):
            made.layers = Layers(images)
            begin = time.process_time()
            fresh(ViewWish(layer=layer))
            times.append(1e3 * (time.process_time() - begin))
        print(f"  {layer}, all of it: {times[-1] / copy:.0f}  (of all threads)")


def pages(options: argparse.Namespace) -> None:
    """Images that a service looks at without and with viewers."""
    words = ["--size", options.size, "--dtype", "uint16", "--ring", "6", "--frames", str(10**7)]
    with source_process(None, words) as (address, _):
        serve = [sys.executable, "-m", "crystint", "online", "serve", "--stream", address, "--bind", "127.0.0.1:0"]
        process = subprocess.Popen(
            [*serve, "--when-full", "wait", "--memory", "256MiB", "--ring", "512MiB"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            url, _, token = process.stdout.readline().strip().partition("/#token=")
            compared(url, token, options, process.pid)
        finally:
            process.terminate()
            time.sleep(1.0)
            process.terminate()  # or it looks at all that still comes
            process.wait(60)


def web_seconds(process: int) -> float:
    """s of processor time of the web process of a service."""
    children = [
        each for task in Path(f"/proc/{process}/task").iterdir() for each in (task / "children").read_text().split()
    ]
    parts = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split() for child in children]
    return max(int(each[11]) + int(each[12]) for each in parts) / os.sysconf("SC_CLK_TCK")


def compared(url: str, token: str, options: argparse.Namespace, process: int) -> None:
    """Rounds without and with viewers by turns."""

    def analysed() -> int:
        request = urllib.request.Request(f"{url}/api/v1/status", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            series = json.load(answer)["series"]
        return 0 if series is None else int(series["books"]["analysed"])

    def rate() -> float:
        first, begin = analysed(), time.monotonic()
        time.sleep(options.seconds)
        return (analysed() - first) / (time.monotonic() - begin)

    until = time.monotonic() + 120
    first = Viewer(url.replace("http", "ws"), token)  # what is made once is made now
    while analysed() < 100 or first.views < 3:
        if time.monotonic() > until:
            raise RuntimeError("nothing is looked at, or nothing is seen, within 120 s")
        time.sleep(0.5)
    first.close()
    alone, watched, shown, cost = [], [], [], []
    for _ in range(options.rounds):
        alone.append(rate())
        viewers = [Viewer(url.replace("http", "ws"), token) for _ in range(_PAGES)]
        time.sleep(1.0)
        before, begin, busy = sum(viewer.views for viewer in viewers), time.monotonic(), web_seconds(process)
        watched.append(rate())
        seen = sum(viewer.views for viewer in viewers) - before
        shown.append(seen / (time.monotonic() - begin) / _PAGES)
        cost.append(1000.0 * (web_seconds(process) - busy) / max(seen, 1))
        for viewer in viewers:
            viewer.close()
    alone.append(rate())
    pairs = [2.0 * with_them / (one + two) for one, two, with_them in zip(alone, alone[1:], watched)]
    own = float(np.mean(cost))
    share = own * _PAGES * _FPS / 10
    print(
        f"web process: {own:.1f} ms of a core for each view sent, {share:.0f} % of a core for {_PAGES} at {_FPS:g} Hz"
    )
    print(f"images/s alone {np.mean(alone):.1f}, with {_PAGES} pages {np.mean(watched):.1f}")
    print(f"each page sees {np.mean(shown):.1f} views/s")
    print(f"less by, in %: {', '.join(f'{100 * (1 - pair):.1f}' for pair in pairs)}")


class Viewer:
    """A page that looks at the last image, with its spots."""

    def __init__(self, url: str, token: str) -> None:
        self.views, self._closing = 0, False
        self._thread = threading.Thread(target=self._look, args=(url, token))
        self._thread.start()

    def _look(self, url: str, token: str) -> None:
        from websockets.sync.client import connect

        with connect(f"{url}/api/v1/live", proxy=None, max_size=None, open_timeout=120) as socket:
            socket.send(json.dumps({"token": token}))
            socket.send(json.dumps({"fps": _FPS, "spots": True, "size": "1000x1000"}))
            while not self._closing:
                data = socket.recv()
                assert isinstance(data, bytes)
                head = json.loads(data[4 : 4 + int.from_bytes(data[:4], "big")])
                self.views += "view" in head
                socket.send(json.dumps({"ack": head["sequence"]}))

    def close(self) -> None:
        self._closing = True
        self._thread.join()


if __name__ == "__main__":
    main()
