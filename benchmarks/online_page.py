"""The page in a browser over a slow line: first picture, views in a second, what each process takes for a view, memory.

    python benchmarks/online_page.py [--size 4M] [--fps 12] [--seconds 10] [--megabits 10] [--delay 10]
    python benchmarks/online_page.py --size 512x512 --seconds 3600 --every 60      the hour; a line each minute

A simulated detector, a service as people start it, and Chromium without a GPU. Between service and browser a relay lets
through so many megabits in a second, each byte some ms late; 0 = no relay. All share the cores of this machine, so the
processor time of each process stands beside its views: with the browser elsewhere its own are not the service's. Memory
is that of JavaScript after a collection, at both ends. What does not come within a time that is set is told, and the
rest goes on. Needs Chromium and a built page.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crystint.online.self_check import source_process

_CHUNK = 4096
_BROWSER = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_BEGINS, _FIRST, _SETTLES = 40.0, 15.0, 4.0
"""s: until the service has images; until a first picture; until views have the size that suits the line"""
_COUNT = """(() => {
    window.views = {count: 0, bytes: 0, numbers: 0, first: 0, blocks: ''};
    const Plain = window.WebSocket;
    window.WebSocket = class extends Plain {
        constructor(...all) {
            super(...all);
            this.addEventListener('message', ({data}) => {
                const head = new DataView(data).getUint32(0);
                const told = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, head)));
                if (!told.view) return;
                views.count += 1;
                views.bytes += data.byteLength;
                views.blocks = told.view.shape.join(' x ') + ' of ' + told.view.factor + ' px';
            });
        }
    };
    const {drawImage} = CanvasRenderingContext2D.prototype;
    const drawn = new WeakSet();
    CanvasRenderingContext2D.prototype.drawImage = function (image, ...all) {
        if (image instanceof ImageBitmap && !drawn.has(image)) {
            drawn.add(image);
            views.numbers += 1;
            views.first ||= performance.now();
        }
        return drawImage.call(this, image, ...all);
    };
})()"""
"""Counts what comes, and what is drawn: the first picture is one that was drawn, not one that came."""


def main() -> None:
    """The figures, as lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="4M")
    parser.add_argument("--fps", type=float, default=12.0, help="images in a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=None, help="s: a line of figures, once in so many")
    parser.add_argument("--megabits", type=float, default=10.0, help="in a second, each way; 0 = no relay")
    parser.add_argument("--delay", type=float, default=10.0, help="ms, each way")
    options = parser.parse_args()
    words = ["--size", options.size, "--dtype", "uint16", "--ring", "6", "--frames", str(10**8)]
    with source_process(options.fps, words) as (address, _), service(address) as url:
        look(url, options)


@contextmanager
def service(address: str) -> Iterator[str]:
    """A service on a stream, which has looked at images: what is made once is made."""
    command = [sys.executable, "-m", "crystint", "online", "serve", "--stream", address, "--bind", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--ring", "512MiB"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        wait_for_images(url)
        yield url
    finally:
        process.terminate()
        time.sleep(1.0)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()


def wait_for_images(url: str) -> None:
    """Until some were analysed."""
    from crystint.online import connect

    until = time.monotonic() + _BEGINS
    client = connect(url)
    while time.monotonic() < until:
        series = client.status()["series"]
        if series is not None and series["books"]["analysed"] >= 10:
            return
        time.sleep(0.2)
    raise SystemExit(f"no images were analysed within {_BEGINS:g} s: this machine has too much to do")


def look(url: str, options: argparse.Namespace) -> None:
    """Open the page, and watch it."""
    from playwright.sync_api import sync_playwright

    port = urlsplit(url).port
    assert port is not None
    near = Relay(port, options.megabits, options.delay) if options.megabits > 0 else None
    if near is not None:
        url = url.replace(f":{port}/", f":{near.port}/")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(_BROWSER))
        try:
            for name in ("first, the browser's own start included", "second", "third"):
                context = browser.new_context(viewport={"width": 1400, "height": 900})
                page = context.new_page()
                first_picture(page, url, name, near)
                if name != "third":
                    context.close()
            page.wait_for_timeout(1000.0 * _SETTLES)
            watch(page, options, near)
        finally:
            browser.close()
    if near is not None:
        near.close()


def first_picture(page: Any, url: str, name: str, near: Relay | None) -> None:
    """s from the address to the first picture that is drawn, with nothing in the browser's cache."""
    page.add_init_script(_COUNT)
    before = 0 if near is None else near.bytes
    page.goto(url, wait_until="commit", timeout=1000.0 * _FIRST)
    until = time.monotonic() + _FIRST
    took = 0.0
    while not took and time.monotonic() < until:
        time.sleep(0.03)
        took = page.evaluate("views.first")
    came = "" if near is None else f", {(near.bytes - before) / 1000:.0f} kB until then"
    told = f"{took / 1000:.2f} s{came}" if took else f"none within {_FIRST:g} s"
    print(f"first picture ({name}): {told}", flush=True)


def watch(page: Any, options: argparse.Namespace, near: Relay | None) -> None:
    """Views in a second, and what is spent on them."""
    tools = page.context.new_cdp_session(page)
    every = min(options.every or options.seconds, options.seconds)
    end = time.monotonic() + options.seconds
    first = heap(tools)
    while time.monotonic() < end - 0.5 * every:
        count, spent, came = page.evaluate("views"), Processes(), 0 if near is None else near.bytes
        begin = time.monotonic()
        page.wait_for_timeout(1000.0 * every)
        took = time.monotonic() - begin
        own, now = spent.used(), page.evaluate("views")
        seen, shown = (now[name] - count[name] for name in ("count", "numbers"))
        size = (now["bytes"] - count["bytes"]) / max(seen, 1)
        line = "" if near is None else f", {(near.bytes - came) * 8e-6 / took:.1f} Mbit/s on the line"
        print(
            f"{shown / took:.1f} views/s of {size / 1000:.0f} kB ({now['blocks']}){line}; "
            f"memory {first:.1f} -> {heap(tools):.1f} MB",
            flush=True,
        )
        print(
            "    core-ms for a view: "
            + ", ".join(f"{name} {1000 * each / max(shown, 1):.1f}" for name, each in own.most_common()),
            flush=True,
        )


def heap(tools: Any) -> float:
    """MB of JavaScript in use, after a collection."""
    tools.send("HeapProfiler.collectGarbage")
    return float(tools.send("Runtime.getHeapUsage")["usedSize"]) * 1e-6


class Processes:
    """Processor time of all processes that this one began, by what they are."""

    def __init__(self) -> None:
        self._before = {each: self._seconds(each) for each in self._below(os.getpid())}

    def used(self) -> Counter[str]:
        """s since then."""
        made: Counter[str] = Counter()
        for each, before in self._before.items():
            with suppress(OSError):
                made[self._name(each)] += self._seconds(each) - before
        return +made

    def _below(self, process: int) -> list[int]:
        own: list[int] = []
        for task in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                own += [int(each) for each in (task / "children").read_text().split()]
        return own + [deeper for each in own for deeper in self._below(each)]

    @staticmethod
    def _seconds(process: int) -> float:
        parts = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def _name(process: int) -> str:
        words = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        kind = words.partition("--type=")[2].partition(" ")[0]
        if kind:
            return "the page (renderer)" if kind == "renderer" else "the browser's others"
        if "web_process" in words:
            return "web process"
        for part, name in (("online serve", "data process"), ("online simulate", "simulated detector")):
            if part in words:
                return name
        return "the browser's others" if "chrom" in words else "the driver of the browser"


class Relay:
    """Passes connections on to a port, at a bounded rate for all of them together, and late."""

    def __init__(self, port: int, megabits: float, delay: float) -> None:
        self._target, self._rate, self._delay = port, megabits * 1e6 / 8, delay * 1e-3
        self._free = [0.0, 0.0]
        """when each direction is free again"""
        self._lock = threading.Lock()
        self.bytes = 0
        """that came from the service"""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                for way, (source, sink) in enumerate(((client, server), (server, client))):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pass, args=(source, sink, way), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, way: int) -> None:
        waiting: deque[tuple[float, bytes]] = deque()
        wake = threading.Condition()

        def send() -> None:
            with suppress(OSError):
                while True:
                    with wake:
                        wake.wait_for(lambda: waiting)
                        due, data = waiting.popleft()
                        wake.notify_all()
                    time.sleep(max(due - time.monotonic(), 0.0))
                    if not data:
                        sink.shutdown(socket.SHUT_WR)
                        return
                    sink.sendall(data)

        threading.Thread(target=send, daemon=True).start()
        data = b"x"
        while data:
            try:
                data = source.recv(_CHUNK)
            except OSError:
                data = b""
            with self._lock:
                now = time.monotonic()
                self._free[way] = max(self._free[way], now) + len(data) / self._rate
                sent = self._free[way]
                self.bytes += len(data) if way == 1 else 0
            with wake:
                # a line holds what is on its way, and no more: who sends is slowed down
                wake.wait_for(lambda: len(waiting) < 16)
                waiting.append((sent + self._delay, data))
                wake.notify_all()

    def close(self) -> None:
        """Take no more connections."""
        self._listening.close()


if __name__ == "__main__":
    main()
