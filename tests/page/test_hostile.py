"""Pages of others that are open in the same browser, and names and texts that would like to be more than that."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from crystint.stream import SeriesKey
from tests.online.streams import frames_of
from tests.page.test_desk import panel, until
from tests.page.waiting import expect

IMG = '<img src=x onerror="window.bad=1">'
NASTY = f"{IMG}\"'><script>window.bad=2</script>\u202egnp.exe\u2066"
HERE = "series/1-a/image/2"

ATTACK = (Path(__file__).parent / "hostile.js").read_text(encoding="utf-8")


class Hostile(http.server.BaseHTTPRequestHandler):
    """A page of somebody else, and what it was told."""

    seen: list[str]

    def do_GET(self) -> None:
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
        body = b"<!doctype html><title>hostile</title><body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """The port of a hostile server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def sent(served):
    frames = frames_of(count=8)
    served.send(frames, part=slice(0, 6))
    return frames


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_page_of_another_origin_gets_nothing_and_changes_nothing(served, sent, open_page, elsewhere, host):
    """The user has a session of control: the browser would send its cookie."""
    page = open_page(served)
    assert served.json("/api/v1/status")["state"] == "measuring"
    notes = [each for each in events(served) if each["name"] == "note"]
    hostile = page.context.new_page()
    hostile.goto(f"http://{host}:{elsewhere}/")
    told = hostile.evaluate(ATTACK, served.url)
    assert told["frame"] in ("kept away", "refused", "nothing came"), told
    assert told["window"] in ("kept away", "closed"), told
    for name in ("fetch", "put", "events", "socket", "image", "script"):
        assert told[name] in ("refused", "nothing came"), (name, told)
    for name in ("fetch without CORS", "post", "note"):
        assert told[name] in ("opaque", "refused"), (name, told)
    state = served.json("/api/v1/status")
    assert state["state"] == "measuring", "the series runs on"
    assert [each for each in events(served) if each["name"] == "note"] == notes
    framed = [frame for frame in hostile.frames if frame.url.startswith(served.url)]
    assert all("desk" not in frame.content() for frame in framed)
    hostile.close()


def test_a_form_of_another_origin_changes_nothing(served, sent, open_page, elsewhere):
    page = open_page(served)
    hostile = page.context.new_page()
    hostile.goto(f"http://localhost:{elsewhere}/")
    hostile.evaluate(
        """(target) => {
          const form = document.createElement("form");
          form.method = "POST";
          form.action = target + "/api/v1/abort";
          document.body.append(form);
          form.submit();
        }""",
        served.url,
    )
    hostile.wait_for_url(f"{served.url}/**")
    assert "another origin" in hostile.content()
    assert served.json("/api/v1/status")["state"] == "measuring"
    hostile.close()


def test_a_name_that_was_turned_to_our_address_is_refused(served, browser):
    """DNS rebinding: the hostile page's own name leads to the service, so that it is of the same origin."""
    port = served.url.rpartition(":")[2]
    made = browser.browser_type.launch(
        executable_path="/usr/bin/chromium" if browser.browser_type.name == "chromium" else None,
        args=["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP evil.example 127.0.0.1"],
    )
    page = made.new_page()
    answer = page.goto(f"http://evil.example:{port}/")
    assert answer.status == 403
    assert page.evaluate("fetch('/api/v1/status').then((answer) => answer.status)") == 403
    token = f"fetch('/api/v1/status', {{headers: {{Authorization: 'Bearer {served.token}'}}}}).then((a) => a.status)"
    assert page.evaluate(token) == 403, "even who knows the token"
    made.close()


def events(served):
    return served.json("/api/v1/events", headers={"Accept": "application/json"})


def test_texts_of_others_stay_texts(served, sent, open_page):
    """What a detector, a program or a colleague wrote: nothing of it is run, and the page can still be used."""
    record = served.service.log
    for text in (
        NASTY,
        NASTY * 1500,
        "\0\x1b[31m" + IMG,
        "\ud800",
        "a" * 100_000,
        "\u202e" * 500 + IMG,
        "'; DROP TABLE x; --",
    ):
        record.add("note", {"text": text, "image": 1, "series": NASTY})
        record.add("warning", {"text": text})
        record.add("alarm", {"text": text, "name": NASTY, "state": NASTY})
        record.add("file", {"path": f"/data/{text[:3000]}", "series": NASTY})
        record.add("state", {"state": text[:200], "stalled": False, "reason": text})
        record.add("settings", {"changes": {NASTY: text[:500]}, "first_image": 0, "revision": 0, "version": 1})
    region = {"name": "a.b-c", "type": "box", "slow_min": 0, "slow_max": 5, "fast_min": 0, "fast_max": 5}
    assert served.ask("PUT", "/api/v1/rois", json={"rois": [{**region, "name": IMG}]}).status_code == 400
    assert (
        served.ask("PUT", "/api/v1/layouts/x", json={"crystint": "layout", "version": 1, "dock": NASTY}).status_code
        == 200
    )
    alarm = {"name": IMG, "column": "n_spots", "below": 1}
    assert served.ask("PUT", "/api/v1/alarms", json={"alarms": [alarm]}).status_code == 400
    page = open_page(served, HERE)
    panel(page, "Log")
    page.locator(".log-row .words").get_by_text("DROP TABLE").first.wait_for()
    for title in ("Status", "Settings", "Alarms", "Log"):
        panel(page, title)
    page.get_by_label("Search", exact=True).fill("onerror")
    until(lambda: page.locator(".log-row").count() > 3, page)
    assert page.evaluate("window.bad") is None
    expect(page.locator("#desk img, #top img, #desk script, iframe, object, embed")).to_have_count(0)
    page.get_by_label("Write a note").fill("still here")
    page.keyboard.press("Control+Enter")
    page.get_by_label("Search", exact=True).fill("still here")
    page.locator(".log-row .words").get_by_text("still here").wait_for()
    width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0, "a long text does not make the page wider"


def test_a_series_of_any_name_and_an_address_of_any_text(served, open_page):
    served.ask("POST", "/api/v1/abort")
    key = SeriesKey(9, NASTY[:200])
    served.send(frames_of(count=2), key)
    page = open_page(
        served, f"series/{json.dumps(NASTY)}/image/1?layer={IMG}&roi={IMG}&layout=../../x", allowed=("404",)
    )
    panel(page, "Status")
    page.locator("[data-fact='series']").get_by_text("onerror").wait_for()
    panel(page, "Log")
    page.locator(".log-row .words").get_by_text("Series 9-").first.wait_for()
    assert page.evaluate("window.bad") is None
    expect(page.locator("#desk img, #top img")).to_have_count(0)


def test_the_policy_lets_nothing_of_others_in(served, open_page):
    """What a script that got in would try."""
    page = open_page(served, allowed=("CSP", "Content Security Policy", "Refused", "violates", "404"))
    policy = served.ask("GET", "/").headers["content-security-policy"]
    directives = {part.split()[0]: part.split()[1:] for part in policy.split(";")}
    assert directives["default-src"] == ["'none'"]
    for name in ("script-src", "style-src", "connect-src", "worker-src"):
        assert directives[name] == ["'self'"], name
    for name in ("base-uri", "form-action", "frame-ancestors"):
        assert directives[name] == ["'none'"], name
    assert "unsafe" not in policy
    assert "*" not in policy
    outside = "http://127.0.0.1:9"
    assert page.evaluate(f"fetch('{outside}').then(() => 'sent', () => 'refused')") == "refused"
    assert page.evaluate("(() => { try { return eval('1 + 1'); } catch { return 'refused'; } })()") in ("refused", 2)
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.bad = 1";
          document.head.append(script);
          const image = document.createElement("div");
          image.innerHTML = '<img src=x onerror="window.bad = 2"><b style="color: red" onclick="window.bad = 3">x</b>';
          document.body.append(image);
          image.querySelector("b").click();
        }"""
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.bad") is None
