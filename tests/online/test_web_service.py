"""Events as a stream, metrics, health."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace

import pytest

from crystint.online.answers import preferred
from crystint.online.history import History
from crystint.online.sink import Event
from tests.online.asgi import TOKENS
from tests.online.test_web_security import error


class Reader:
    """A reader of server-sent events, straight on the ASGI application: httpx would wait for the end."""

    def __init__(self, app, headers=()):
        self._app, self._headers = app, headers
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._gone = asyncio.Event()
        self.status = None
        self._text = ""

    async def __aenter__(self):
        headers = [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer " + TOKENS.view.encode()), *self._headers]
        scope = {
            "type": "http", "method": "GET", "path": "/api/v1/events", "raw_path": b"/api/v1/events",
            "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 5232),
            "scheme": "http", "http_version": "1.1", "root_path": "", "asgi": {"version": "3.0", "spec_version": "2.4"},
        }  # fmt: skip
        asked = False

        async def receive():
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if message["type"] == "http.response.start":
                self.status = message["status"]
            else:
                await self._received.put(message.get("body", b""))

        self._task = asyncio.create_task(self._app(scope, receive, send))
        return self

    async def __aexit__(self, *_):
        self._gone.set()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def block(self):
        """The next block of lines."""
        while "\n\n" not in self._text:
            self._text += (await asyncio.wait_for(self._received.get(), 30)).decode()
        block, _, self._text = self._text.partition("\n\n")
        return block

    async def event(self):
        while True:
            fields = dict(line.split(": ", 1) for line in (await self.block()).splitlines() if not line.startswith(":"))
            if "data" in fields:
                return fields


def event(number, name="state"):
    return Event(name, {"text": "a\nb", "n": number}, 1000 + number, number)


def test_events_come_as_they_happen_to_any_number_of_readers(app, history):
    async def play():
        history.event(event(1))
        async with Reader(app) as one, Reader(app) as two, Reader(app, [(b"last-event-id", b"1-1001")]) as three:
            first = await one.event()
            assert first["id"] == "1-1001"
            assert first["event"] == "state"
            told = json.loads(first["data"])
            assert told == {"number": 1, "name": "state", "time": 1001, "data": {"text": "a\nb", "n": 1}}
            await two.event()
            assert await three.block() == "retry: 1000"
            assert app.state.broker.traffic.viewers == 3
            await asyncio.to_thread(history.event, event(2, "file"))
            for reader in (one, two, three):
                assert (await reader.event())["id"] == "2-1002"
        assert app.state.broker.traffic.viewers == 0

    asyncio.run(play())


def test_a_reader_goes_on_where_it_was_and_sees_what_is_lost(app, history):
    async def play():
        for number in range(1, 1201):
            history.event(event(number))
        async with Reader(app, [(b"last-event-id", b"1190-2190")]) as reader:
            assert [(await reader.event())["id"] for _ in range(10)] == [f"{n}-{1000 + n}" for n in range(1191, 1201)]
        async with Reader(app, [(b"last-event-id", b"5-1005")]) as reader:
            assert json.loads((await reader.event())["data"])["number"] == 201, "1000 are remembered; 6 to 200 are not"
        async with Reader(app, [(b"last-event-id", b"nonsense")]) as reader:
            assert (await reader.event())["id"] == "201-1201"

    asyncio.run(play())


def test_silence_is_broken_by_comments(app, monkeypatch):
    monkeypatch.setattr("crystint.online.routes_service.KEEP_ALIVE", 0.05)

    async def play():
        async with Reader(app) as reader:
            assert await reader.block() == "retry: 1000"
            assert await reader.block() == ": alive"

    asyncio.run(play())


def test_events_that_there_are_as_json(api, history):
    for number in (1, 2, 3):
        history.event(event(number))
    headers = {"Accept": "application/json"}
    assert [each["number"] for each in api.get("/api/v1/events", headers=headers).json()] == [1, 2, 3]
    assert [each["number"] for each in api.get("/api/v1/events?after=2", headers=headers).json()] == [3]


LINE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? ([-+]?[0-9.e+-]+|NaN|[+-]Inf)'
)


def test_metrics_are_prometheus_text(api, nobody, control, history):
    control.books = replace(control.books, expected=10, received=9, analysed=8, skipped=1)
    history.results = 12
    nobody.get("/api/v1/status", headers={"Authorization": "Bearer wrong"})
    response = api.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples, types = {}, {}
    for line in response.text.splitlines():
        if line.startswith("# TYPE "):
            types[line.split()[2]] = line.split()[3]
        if not line.startswith("#"):
            match = LINE.fullmatch(line)
            assert match, line
            samples[match[1], match[2] or ""] = float(match[3])
            assert match[1] in types
    assert samples["crystint_series_images", 'series="7-abc",book="received"'] == 9
    assert samples["crystint_state", 'state="idle"'] == 1
    assert samples["crystint_results_total", ""] == 12
    assert samples["crystint_refused_tokens_total", ""] == 1
    assert samples["crystint_sink", 'sink="results",of="sent"'] == 3
    assert samples["crystint_http_requests_total", 'method="GET",status="401"'] >= 1
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus_client is not installed")
    families = {family.name: family for family in parser.text_string_to_metric_families(response.text)}
    assert {sample.value for sample in families["crystint_state"].samples} == {0.0, 1.0}
    total = sum(len(family.samples) for family in families.values())
    assert total == len(samples)


def test_labels_are_escaped(api, control):
    series = control._series()
    control._series = lambda: {**series, "series": 'a"b\\c\nd'}
    text = api.get("/metrics").text
    assert 'series="a\\"b\\\\c\\nd"' in text


def test_health(nobody, control):
    assert nobody.get("/healthz").text == "ok\n"
    assert nobody.get("/readyz").status_code == 200
    control.state = "error"
    assert nobody.get("/healthz").status_code == 200
    error(nobody.get("/readyz"), 503, "busy")


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, "a/b"), ("*/*", "a/b"), ("c/d", "c/d"), ("c/d;q=0.1, a/b;q=0.2", "a/b"), ("c/*", "c/d"),
        ("x/y", "a/b"), ("a/b;q=0, c/d", "c/d"), ("C/D", "c/d"), ("c/d;q=x", "a/b"), (";,;", "a/b"),
    ],
)  # fmt: skip
def test_the_preferred_form(accept, wanted):
    assert preferred(accept, ("a/b", "c/d")) == wanted


def test_a_history_tells_its_followers_and_only_those():
    history, told = History(), []
    leave = history.follow(lambda: told.append(1))
    history.event(event(1))
    leave()
    history.event(event(2))
    assert told == [1]


def test_where_the_page_was_not_built_the_address_says_so(nobody, monkeypatch):
    monkeypatch.setattr("crystint.online.page.page_files", dict)
    answer = nobody.get("/")
    assert answer.status_code == 200
    assert "make web" in answer.text
    assert "crystint online watch" in answer.text
