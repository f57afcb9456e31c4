"""Who may ask: tokens, roles, names of the host, pages of other origins, and how much may be sent."""

from __future__ import annotations

import json
import stat

import pytest

from crystint.errors import FileError, SettingError
from crystint.online.auth import Access, Role, Tokens, check_binding, read_token
from tests.online.asgi import TOKENS, Client

OPEN = {"/healthz", "/readyz", "/api/v1/session"}


def routes(app):
    """Method and path of every route, with something in place of its parameters."""
    for path, item in app.openapi()["paths"].items():
        for method in item:
            filled = path
            for name in ("key", "name", "id", "quantity", "path"):
                filled = filled.replace(f"{{{name}}}", "1")
            yield method.upper(), filled


def error(response, status, reason):
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"reason", "msg", "field"}
    assert body["reason"] == reason
    return body["msg"]


def test_every_route_but_the_open_ones_asks_for_a_token(app, nobody):
    asked = [*routes(app), ("GET", "/openapi.json"), ("GET", "/nonsense"), ("GET", "/docs"), ("GET", "/api/v1/../x")]
    assert len(asked) > 15
    for method, path in asked:
        response = nobody.request(method, path)
        if path in OPEN:
            assert response.status_code != 401 or path.endswith("session")
        else:
            error(response, 401, "unauthorized")
            assert response.headers["www-authenticate"] == "Bearer"


def test_a_wrong_token_is_none(app):
    for token in ("", "x", "c" * 42, "c" * 44, "é", "v" * 43 + " x"):
        with Client(app, None) as client:
            assert (
                client.get("/api/v1/status", headers={b"Authorization": f"Bearer {token}".encode()}).status_code == 401
            )


def test_ten_wrong_tokens_a_second_are_enough_and_right_ones_still_work(control, history):
    from crystint.online.server import create_app

    now = [0.0]
    access = Access(TOKENS, clock=lambda: now[0])
    app = create_app(control, history, access=access)
    with Client(app, "wrong") as wrong, Client(app, TOKENS.view) as right:
        codes = [wrong.get("/api/v1/status").status_code for _ in range(12)]
        assert codes == [401] * 10 + [429] * 2
        assert right.get("/api/v1/status").status_code == 200
        now[0] = 1.5
        assert wrong.get("/api/v1/status").status_code == 401
        assert access.failures == 13


def test_who_may_look_may_not_change(app, viewer, control):
    for method, path in routes(app):
        if method == "GET" or path in OPEN or path.startswith("/api/v1/images/"):
            continue
        assert "may look" in error(viewer.request(method, path), 403, "forbidden")
    assert viewer.get("/api/v1/status").status_code == 200
    assert control.revision == 1


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5232", "127.0.0.1.evil.example", "", "localhost.evil", "[", "10.0.0.1"]
)
def test_a_foreign_host_is_refused(api, host):
    for path in ("/api/v1/status", "/healthz"):
        error(api.get(path, headers={"Host": host}), 403, "forbidden")


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:5232", "LOCALHOST", "127.1.2.3:1"])
def test_the_machine_itself_may_be_called_so_through_a_tunnel(api, host):
    assert api.get("/api/v1/status", headers={"Host": host}).status_code == 200


def test_a_service_for_others_may_be_called_by_its_addresses_and_names():
    access = Access(TOKENS, "0.0.0.0", ("beamline.example",))
    assert access.may_be_called("192.168.1.7:5232")
    assert access.may_be_called("beamline.example")
    assert not access.may_be_called("evil.example")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_origin_changes_nothing(api, control, headers):
    error(api.post("/api/v1/abort", headers=headers), 403, "forbidden")
    error(api.post("/api/v1/session", json={"token": TOKENS.view}, headers=headers), 403, "forbidden")
    assert control.revision == 1


def test_our_own_page_changes_what_it_wants(api):
    headers = {"Origin": "http://127.0.0.1:5232", "Sec-Fetch-Site": "same-origin"}
    assert api.post("/api/v1/stop", headers=headers).status_code == 200


def test_a_token_is_exchanged_for_a_cookie(app, nobody):
    error(nobody.post("/api/v1/session", json={"token": "nonsense"}), 401, "unauthorized")
    response = nobody.post("/api/v1/session", json={"token": TOKENS.view})
    assert response.status_code == 204
    told = json.loads(response.headers["x-session"])
    assert (told["role"], told["source"]) == ("view", "stream")
    cookie = response.headers["set-cookie"]
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert TOKENS.view not in cookie
    pair = cookie.partition(";")[0]
    assert nobody.get("/api/v1/status", headers={"Cookie": f"a=b; {pair}"}).status_code == 200
    error(nobody.post("/api/v1/abort", headers={"Cookie": pair}), 403, "forbidden")
    forged = pair.replace("=1.", "=2.")
    assert forged != pair
    error(nobody.get("/api/v1/status", headers={"Cookie": forged}), 401, "unauthorized")
    for wrong in (pair + "0", pair.partition("=")[0] + "=", "a=b", pair.partition("=")[0] + "=2.99999999999.x"):
        error(nobody.get("/api/v1/status", headers={"Cookie": wrong}), 401, "unauthorized")


def test_an_old_cookie_is_none(monkeypatch):
    access = Access(TOKENS)
    cookie = access.cookie(Role.CONTROL)
    assert access.role_of_cookie(cookie) == Role.CONTROL
    monkeypatch.setattr("crystint.online.auth.time.time", lambda: 1e10)
    assert access.role_of_cookie(cookie) is None


def test_every_answer_has_the_headers_of_a_careful_service(api, nobody):
    for response in (
        api.get("/api/v1/status"),
        nobody.get("/api/v1/status"),
        api.get("/nonsense"),
        nobody.get("/healthz"),
    ):
        assert response.headers["x-content-type-options"] == "nosniff"
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
        assert response.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in response.headers


def test_a_body_that_is_too_large_is_refused_before_it_is_read(api):
    read = []

    async def endless():
        for _ in range(64):
            read.append(1)
            yield b" " * 2**16

    error(api.post("/api/v1/start", content=b" " * (2**20 + 1)), 413, "too_large")
    error(api.post("/api/v1/start", content=endless(), headers={"content-type": "application/json"}), 413, "too_large")


@pytest.mark.parametrize(
    "prefix",
    [
        "../a",
        "a/../../b",
        "/etc/passwd",
        "a//b",
        ".",
        "..",
        "a/.",
        ".hidden",
        "a\0b",
        "a\nb",
        "-rf",
        "a\\..\\b",
        "a:b",
        "",
        "a" * 201,
        "~/a",
    ],
)
def test_a_prefix_stays_in_its_folder(api, control, prefix):
    body = error(api.post("/api/v1/start", json={"prefix": prefix}), 400, "bad_value")
    assert "prefix" in body
    assert control.armed == {}


def test_tokens_of_a_data_set_may_look_until_the_next_start(app, api):
    token = "d" * 22
    with Client(app, token) as guest:
        assert guest.get("/api/v1/status").status_code == 401
        assert api.post("/api/v1/start", json={"tokens": [token]}).status_code == 200
        assert guest.get("/api/v1/status").status_code == 200
        error(guest.post("/api/v1/abort"), 403, "forbidden")
        error(api.post("/api/v1/start", json={"tokens": ["t1"]}), 400, "bad_value")
        assert api.post("/api/v1/start", json={}).status_code == 200
        assert guest.get("/api/v1/status").status_code == 401


def test_a_token_file_is_for_its_owner_alone(tmp_path):
    path = tmp_path / "token"
    tokens = Tokens.of_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Tokens.of_file(path) == tokens
    assert read_token(path) == tokens.control
    path.chmod(0o644)
    with pytest.raises(FileError, match="chmod 600"):
        Tokens.of_file(path)
    path.chmod(0o600)
    path.write_text("view " + "v" * 43)
    assert read_token(path) == "v" * 43
    with pytest.raises(FileError, match="no token"):
        Tokens.of_file(path)
    path.write_text("x" * 30 + "\n")
    own = Tokens.of_file(path)
    assert own.control == "x" * 30
    assert own.view not in (own.control, "")
    for text in ("", "short", "control " + "c" * 43 + " more", "other " + "c" * 43, "\xff"):
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(FileError, match="no token"):
            Tokens.of_file(path)
    with pytest.raises(FileError, match="does not exist"):
        read_token(tmp_path / "none")


def test_tokens_are_random_and_not_shown():
    first, second = Tokens.new(), Tokens.new()
    assert len({first.control, first.view, second.control, second.view}) == 4
    assert first.control not in repr(first)


def test_others_reach_it_only_where_that_is_allowed():
    assert check_binding("127.0.0.1", False, False) == []
    assert check_binding("localhost", False, False) == []
    with pytest.raises(SettingError, match="--allow-remote"):
        check_binding("0.0.0.0", False, True)
    assert check_binding("10.0.0.1", True, True) == []
    assert "TLS" in check_binding("10.0.0.1", True, False)[0]


def test_a_fault_of_ours_is_told_in_our_form_without_details(api, control, capfd):
    def broken():
        raise ZeroDivisionError("secret")

    control.status = broken
    message = error(api.get("/api/v1/status"), 500, "internal")
    assert "secret" not in message
    told = capfd.readouterr().err
    assert "ZeroDivisionError" in told
    assert "Traceback" not in told


def test_a_slow_data_process_is_busy(control, history, access):
    from crystint.online.server import create_app

    control.delay = 0.5
    with Client(create_app(control, history, access=access, patience=0.05), TOKENS.view) as client:
        message = error(client.get("/api/v1/status"), 503, "busy")
        assert "0.05 s" in message
        assert client.get("/healthz").status_code == 503


def test_errors_of_the_framework_are_in_our_form(api):
    error(api.post("/api/v1/start", content=b"{", headers={"content-type": "application/json"}), 400, "bad_value")
    deep = b"[" * 100_000
    error(api.post("/api/v1/start", content=deep, headers={"content-type": "application/json"}), 400, "bad_value")
    error(api.post("/api/v1/start", content=json.dumps({"prefix": "\ud800"}).encode()), 400, "bad_value")
    form = {"content-type": "application/x-www-form-urlencoded"}  # as curl -d has it
    assert "application/json" in error(
        api.patch("/api/v1/settings", content=b'{"snr": 5}', headers=form), 400, "bad_value"
    )
    error(api.get("/nonsense"), 404, "not_found")
    error(api.delete("/api/v1/status"), 405, "bad_value")
    error(api.get("/api/v1/status?colour=red"), 400, "bad_value")


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ([(b"host", b"127.0.0.1"), (b"origin", b"http://evil.example")], 1008),
        ([(b"host", b"evil.example")], 1008),
        ([(b"host", b"127.0.0.1"), (b"origin", b"http://127.0.0.1")], None),
        ([(b"host", b"127.0.0.1")], None),
    ],
)
def test_a_web_socket_of_another_origin_is_closed_before_it_opens(headers, wanted):
    import asyncio

    from crystint.online.guard import Guard, Traffic

    sent, reached = [], []

    async def inner(scope, _receive, _send):
        reached.append(scope["state"]["role"])

    async def send(message):
        sent.append(message)

    guard = Guard(inner, access=Access(TOKENS), traffic=Traffic(), is_open=lambda *_: False)
    asyncio.run(guard({"type": "websocket", "path": "/api/v1/live", "headers": headers}, None, send))
    assert [message.get("code") for message in sent] == ([] if wanted is None else [wanted])
    assert reached == ([None] if wanted is None else []), "without a token it has no role yet"


def test_the_policy_of_the_page_lets_nothing_in(api):
    directives = {}
    for part in api.get("/api/v1/status").headers["content-security-policy"].split(";"):
        name, *values = part.split()
        directives[name] = values
    assert directives.pop("default-src") == ["'none'"]
    assert directives.pop("img-src") == ["'self'", "blob:", "data:"]
    for name in ("base-uri", "form-action", "frame-ancestors"):
        assert directives.pop(name) == ["'none'"], name
    assert directives == {name: ["'self'"] for name in ("script-src", "style-src", "worker-src", "connect-src")}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/notes", {"text": "a"}),
        ("PUT", "/api/v1/alarms", {"alarms": []}),
        ("PUT", "/api/v1/layouts/a", {}),
        ("DELETE", "/api/v1/layouts/a", None),
    ],
)
def test_notes_alarms_and_layouts_are_not_for_other_origins(api, viewer, control, method, path, body, tmp_path):
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        error(api.request(method, path, json=body, headers=headers), 403, "forbidden")
    error(api.request(method, path, json=body, headers={"Host": "evil.example"}), 403, "forbidden")
    error(viewer.request(method, path, json=body), 403, "forbidden")
    plain = {"content-type": "text/plain"}  # what a form of another page can send
    if body is not None:
        error(api.request(method, path, content=b'{"text": "a"}', headers=plain), 400, "bad_value")
    assert control.told == []
    assert not (tmp_path / "state").exists()


NASTY = "<img src=x onerror=alert(1)>\"'\u202e"


def test_texts_of_others_come_back_as_they_are_and_never_as_markup(api):
    """Whatever is in them, an answer is JSON: no browser takes it for a page."""
    for method, path, body in (
        ("POST", "/api/v1/notes", {"text": NASTY}),
        ("PUT", f"/api/v1/layouts/{NASTY}", {}),
        ("PUT", "/api/v1/layouts/a", {"title": NASTY}),
        ("GET", "/api/v1/layouts/a", None),
        ("PUT", "/api/v1/alarms", {"alarms": [{"name": NASTY, "column": NASTY}]}),
        ("GET", f"/api/v1/series/{NASTY}", None),
        ("GET", f"/api/v1/status?{NASTY}=1", None),
    ):
        response = api.request(method, path, json=body)
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-content-type-options"] == "nosniff"
        response.json()


def test_texts_that_are_long_are_refused_or_kept_short(api, control):
    long = "x" * 100_000
    name = "x" * 50_000  # an address of 64 kB is the most that the client sends
    error(api.post("/api/v1/notes", json={"text": long}), 400, "bad_value")
    error(api.put(f"/api/v1/layouts/{name}", json={}), 400, "bad_value")
    error(
        api.put("/api/v1/alarms", json={"alarms": [{"name": long, "column": "n_spots", "below": 1}]}), 400, "bad_value"
    )
    for response in (
        api.put("/api/v1/alarms", json={"alarms": [{"name": "a", "column": long[:64], "below": 1}]}),
        api.get(f"/api/v1/series/{name}"),
        api.get(f"/api/v1/layouts/{long[:64]}"),
    ):
        assert len(response.content) < 2000
    assert control.told == []


def test_a_header_has_ascii_alone_whatever_a_series_is_called():
    from crystint.online.answers import json_header

    about = {"series": f"7-{NASTY}\n\r\x00é", "levels": {"low": float("nan")}}
    header = json_header(about)
    assert header.isascii()
    assert header.isprintable()
    assert json.loads(header) == {"series": about["series"], "levels": {"low": None}}
