"""A service with its web interface on a port, in this process, for a browser."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystint.engine import Engine
from crystint.online import AnalysisSettings, Service
from crystint.online.auth import Access
from crystint.online.history import History
from crystint.online.ring import Ring, RingReader
from crystint.online.server import create_app
from crystint.stream import SeriesKey
from tests.online.asgi import TOKENS
from tests.online.feeding import Feeding
from tests.online.streams import KEY, messages_of
from tests.online.web_server import serving


@dataclass
class Served:
    """What a test needs of it."""

    url: str
    service: Service
    history: History
    app: Any
    token: str = TOKENS.control
    root: Path | None = None
    view_token: str = TOKENS.view

    @property
    def page(self) -> str:
        """Address with the token."""
        return f"{self.url}/#token={self.token}"

    def send(self, frames: Any, series: SeriesKey = KEY, part: slice = slice(None), **more: Any) -> None:
        """Messages of a series, a part of them: start, images, end; wait until they were looked at."""
        messages = list(messages_of(frames, series, **more))[part]
        for message in messages:
            self.service.take(message)
        self.wait(series, len(messages))

    def wait(self, series: SeriesKey, _messages: int = 0) -> None:
        """Until all that came has a row in the history."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            books = (self.service.status().get("series") or {}).get("books", {})
            rows = self.history.series(str(series))
            if rows is not None and books and books["in_flight"] == 0 and rows.came >= books["received"]:
                return
            time.sleep(0.02)
        raise TimeoutError(f"the images of {series} were not looked at")

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """A request of a program; the answer of httpx."""
        import httpx

        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return httpx.request(method, f"{self.url}{path}", headers=headers, trust_env=False, timeout=60, **more)

    def json(self, path: str, **more: Any) -> Any:
        """JSON of a GET."""
        answer = self.ask("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def served_service(
    settings: AnalysisSettings | None = None,
    data_root: Path | None = None,
    state: Path | None = None,
    extras: Sequence[Any] = (),
    ring: int = 2**26,
    out: Path | None = None,
) -> Iterator[Served]:
    """A service that images are sent to by `Served.send`; layouts and alarms are kept in `state`, files in `out`."""
    history, images = History(), Ring(ring)
    service = Service(settings=settings or AnalysisSettings(rings=60, hit_peaks=3), engine=Engine("cpu"), out=out)
    service.add(Feeding(history))
    service.add(images)
    with service, RingReader(images.address) as reader:
        app = create_app(
            service,
            history,
            reader,
            access=Access(TOKENS),
            extras=extras,
            data_root=data_root,
            state=state,
            patience=20,
        )
        with serving(app) as url:
            yield Served(url, service, history, app)
    images.close()


@contextmanager
def viewed_files(root: Path, *names: str, settings: AnalysisSettings | None = None) -> Iterator[Served]:
    """The page of ``crystint view`` on files of a folder."""
    from crystint.online.file_control import FileControl
    from crystint.online.opened_files import OpenedFiles
    from crystint.run.settings import DetectorSettings

    engine, history = Engine("cpu"), History()
    control = FileControl(engine, settings or AnalysisSettings(rings=60, hit_peaks=3), history)
    opened = OpenedFiles(root, history, lambda: engine, DetectorSettings())
    opened.opened = control.look_at
    for name in names:
        opened.open_named([root / name])
    app = create_app(control, history, access=Access(TOKENS), data_root=root, source="files", patience=20)
    app.state.broker.files, app.state.broker.engine = opened, lambda: engine
    with serving(app) as url:
        yield Served(url, control, history, app, root=root)  # type: ignore[arg-type]
    opened.close()
