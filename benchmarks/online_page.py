"""The page in a browser over a slow line: first picture, views in a second, bytes, memory.

    python benchmarks/online_page.py [--size 4M] [--fps 12] [--seconds 20] [--megabits 10] [--delay 10]

A simulated detector, a service as people start it, and Chromium without a GPU. Between service and browser a relay lets
through so many megabits in a second, each byte some ms late. Memory is that of JavaScript after a collection, at both
ends; an hour is ``--seconds 3600``. Needs Chromium and a built page.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
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


def main() -> None:
    """The figures, as lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="4M")
    parser.add_argument("--fps", type=float, default=12.0, help="images in a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--megabits", type=float, default=10.0, help="in a second, each way; 0 = no relay")
    parser.add_argument("--delay", type=float, default=10.0, help="ms, each way")
    options = parser.parse_args()
    words = ["--size", options.size, "--dtype", "uint16", "--ring", "6", "--frames", str(10**7)]
    with source_process(options.fps, words) as (address, _):
        serve = [sys.executable, "-m", "crystint", "online", "serve", "--stream", address, "--bind", "127.0.0.1:0"]
        process = subprocess.Popen(
            [*serve, "--ring", "512MiB"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            time.sleep(5.0)  # the first images make the tables of all later ones
            look(url, options)
        finally:
            process.terminate()
            time.sleep(1.0)
            process.terminate()
            process.wait(60)


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
        for name in ("first, the browser's own start included", "second"):
            page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
            seen = _messages(page)
            before, begin = 0 if near is None else near.bytes, time.monotonic()
            page.goto(url)
            while not page.evaluate("document.querySelector('.image-number')?.value ?? ''"):
                time.sleep(0.02)
            took = time.monotonic() - begin
            came = 0 if near is None else near.bytes - before
            print(f"first picture ({name}): {took:.2f} s, {came / 1000:.0f} kB until then", flush=True)
        page.wait_for_timeout(3000)
        tools = page.context.new_cdp_session(page)
        start, heap = len(seen), _heap(tools)
        before, begin = 0 if near is None else near.bytes, time.monotonic()
        page.wait_for_timeout(1000.0 * options.seconds)
        spent = time.monotonic() - begin
        large = [size for size in seen[start:] if size > 2000]
        came = 0 if near is None else near.bytes - before
        print(
            f"{len(large) / spent:.1f} views/s of {sum(large) / max(len(large), 1) / 1000:.0f} kB; two pages together "
            f"{came * 8e-6 / spent:.1f} Mbit/s; memory {heap:.1f} -> {_heap(tools):.1f} MB over {len(large)} views"
        )
        browser.close()
    if near is not None:
        near.close()


def _messages(page: Any) -> list[int]:
    """Bytes of each message that comes through WebSockets of a page, from now on."""
    sizes: list[int] = []
    page.on("websocket", lambda one: one.on("framereceived", lambda data: sizes.append(len(data))))
    return sizes


def _heap(tools: Any) -> float:
    """MB of JavaScript in use."""
    tools.send("HeapProfiler.collectGarbage")
    return float(tools.send("Runtime.getHeapUsage")["usedSize"]) * 1e-6


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
        with suppress(OSError):
            while True:
                data = source.recv(_CHUNK)
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
                if not data:
                    return

    def close(self) -> None:
        """Take no more connections."""
        self._listening.close()


if __name__ == "__main__":
    main()
