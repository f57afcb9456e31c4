"""A browser without a screen, and what it looks at."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip

_series = itertools.count(10)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say why they do not run, where they cannot."""
    from crystint.online.page import page_files

    reason = None
    if CHROMIUM is None:
        reason = "there is no Chromium (Debian: apt install chromium)"
    elif not page_files():
        reason = "the page was not built: make web"
    if reason is None:
        return
    for item in items:
        if "/page/" in item.path.as_posix():
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright, whose event loop runs in this thread as long as it is there."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield made
        made.close()


@dataclass
class Seen:
    """What a page did that a good page does not do."""

    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)

    def foreign(self, url: str) -> list[str]:
        """Addresses asked for that are not those of the service."""
        own = re.sub(r"^http", "(http|ws)", re.escape(url)) + "/"
        return [each for each in [*self.requests, *self.sockets] if not re.match(f"{own}|data:|blob:", each)]


def _told(message: Any) -> str:
    return f"{message.type}: {message.text} {message.location.get('url', '')}".rstrip()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages, each in a browser of its own. At the end: nothing in the console, no request to another host.

    `open_page(served, path="", allowed=())`: messages of the console that have a text of `allowed` in them may be.
    """
    opened: list[tuple[Any, Seen, str, tuple[str, ...]]] = []

    def open_one(
        served: Any, fragment: str | None = None, allowed: tuple[str, ...] = (), token: str | None = None, **more: Any
    ) -> Any:
        more.setdefault("viewport", {"width": 1400, "height": 900})
        context = browser.new_context(accept_downloads=True, **more)
        context.set_default_timeout(20_000)
        page = context.new_page()
        seen = Seen()
        page.on("console", lambda message: seen.console.append(_told(message)))
        page.on("pageerror", lambda error: seen.console.append(f"error: {error}"))
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("websocket", lambda socket: seen.sockets.append(socket.url))
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation', (e) => console.error('CSP ' + e.violatedDirective))"
        )
        opened.append((context, seen, served.url, allowed))
        fragment = "" if fragment is None else f"&{fragment}"
        page.goto(f"{served.url}/#token={token or served.token}{fragment}")
        page.locator(".dv-dockview").first.wait_for()
        return page

    yield open_one
    troubles = []
    for context, seen, url, allowed in opened:
        context.close()
        bad = [each for each in seen.console if each.startswith(("error", "warning"))]
        troubles += [each for each in bad if not any(text in each for text in allowed)]
        troubles += [f"asked for {each}" for each in seen.foreign(url)]
    assert troubles == []


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service without images yet, whose data root is an empty folder: `served.send(frames)`."""
    pytest.importorskip("zmq", reason="the extra crystint[online] is not installed")
    from tests.page.serving import served_service

    root = tmp_path_factory.mktemp("data")
    with served_service(data_root=root, state=tmp_path_factory.mktemp("state")) as made:
        made.root = root
        yield made


def _settings() -> Any:
    from crystint.online import AnalysisSettings

    return AnalysisSettings(rings=60, hit_peaks=3, saturation="60000")


@pytest.fixture(scope="module")
def held() -> Iterator[Any]:
    """A service with a series of eight images that has ended."""
    pytest.importorskip("zmq", reason="the extra crystint[online] is not installed")
    from tests.page.image_page import GEOMETRY, KEY, frames
    from tests.page.serving import served_service

    with served_service(_settings()) as served:
        served.frames = frames()
        served.send(served.frames, KEY, geometry=GEOMETRY)
        yield served


@pytest.fixture
def stream() -> Iterator[Any]:
    """A service without images yet."""
    pytest.importorskip("zmq", reason="the extra crystint[online] is not installed")
    from tests.page.serving import served_service

    with served_service(_settings()) as served:
        yield served


@pytest.fixture
def image(held: Any, open_page: Any) -> Any:
    """The last image of the first series, whatever came since."""
    from tests.page.image_page import KEY, Image

    made = Image(open_page(held, f"series/{KEY}/image/7"))
    made.wait_number(7)
    made.wait_status("held")
    made.contrast()  # the picture is there
    return made


@pytest.fixture
def region_series(served: Any) -> Iterator[Any]:
    """A series of which three images came, no regions, no mask of the user: `region_series.more(2)` sends two more."""
    from crystint.stream import SeriesKey
    from tests.online.streams import messages_of
    from tests.page.region_screen import FRAMES, put

    key = SeriesKey(next(_series), "r")
    put(served)
    served.ask("DELETE", "/api/v1/mask")
    messages = list(messages_of(FRAMES, key))
    for message in messages[:4]:
        served.service.take(message)
    served.wait(key)

    class Series:
        name = str(key)

        def more(self, count: int) -> None:
            sent = served.service.status()["series"]["books"]["received"]
            for message in messages[1 + sent : 1 + sent + count]:
                served.service.take(message)
            served.wait(key)

    yield Series()
    served.service.take(messages[-1])
    put(served)


@pytest.fixture
def screen(served: Any, region_series: Any, open_page: Callable[..., Any]) -> Any:
    """A page with the image of `region_series` on it."""
    from tests.page.region_screen import Screen

    return Screen(open_page(served), served)
