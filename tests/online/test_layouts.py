"""Layouts that the page keeps on the server."""

from __future__ import annotations

import json
import threading

import pytest

from crystint.errors import RefusedError
from crystint.online.layouts import MOST_LAYOUTS, Layouts
from crystint.online.state_folder import StateFolder
from tests.online.test_web_security import error

LAYOUT = {"version": 1, "panels": [{"id": "image", "title": "a\u202eb<img src=x>"}], "none": None, "x": 1.5}


def test_what_is_put_is_what_one_gets(api, viewer):
    put = api.put("/api/v1/layouts/serial", json=LAYOUT)
    assert put.status_code == 200
    assert put.headers["etag"] == '"1"'
    got = viewer.get("/api/v1/layouts/serial")
    assert got.json() == LAYOUT
    assert got.headers["etag"] == '"1"'
    listed = viewer.get("/api/v1/layouts").json()
    assert listed["layouts"] == [put.json()]
    assert listed["folder"].endswith("state")
    assert set(put.json()) == {"name", "revision", "saved", "bytes"}
    error(viewer.put("/api/v1/layouts/serial", json=LAYOUT), 403, "forbidden")
    error(viewer.delete("/api/v1/layouts/serial"), 403, "forbidden")
    assert api.delete("/api/v1/layouts/serial").status_code == 204
    error(api.get("/api/v1/layouts/serial"), 404, "not_found")
    error(api.delete("/api/v1/layouts/serial"), 404, "not_found")
    assert viewer.get("/api/v1/layouts").json()["layouts"] == []


def test_two_who_change_one_are_told_of_each_other(api):
    new = {"If-None-Match": "*"}
    assert api.put("/api/v1/layouts/a", json={"n": 1}, headers=new).status_code == 200
    assert "already" in error(api.put("/api/v1/layouts/a", json={"n": 2}, headers=new), 412, "conflict")
    tag = {"If-Match": '"1"'}
    assert api.put("/api/v1/layouts/a", json={"n": 3}, headers=tag).headers["etag"] == '"2"'
    assert "revision is 2" in error(api.put("/api/v1/layouts/a", json={"n": 4}, headers=tag), 412, "conflict")
    error(api.delete("/api/v1/layouts/a", headers=tag), 412, "conflict")
    assert api.get("/api/v1/layouts/a").json() == {"n": 3}
    error(api.put("/api/v1/layouts/a", json={}, headers={"If-None-Match": '"1"'}), 400, "bad_value")
    error(api.put("/api/v1/layouts/gone", json={}, headers={"If-Match": '"1"'}), 412, "conflict")


@pytest.mark.parametrize("name", ["a b", "a%2Fb", "%00", "é", "a" * 65, "a%0Ab", "<img>", "a:b", "%2E%2E%2Fx"])
def test_a_name_that_is_none(api, tmp_path, name):
    response = api.put(f"/api/v1/layouts/{name}", json={})
    assert response.status_code in (400, 404)
    assert not list((tmp_path / "state").rglob("*.json"))


@pytest.mark.parametrize("name", [".", "..", "...", ".hidden", "-rf", "CON"])
def test_a_name_that_is_odd_stays_in_the_folder(tmp_path, name):
    layouts = Layouts(StateFolder(tmp_path / "state"))
    layouts.put(name, {"n": 1})
    assert layouts.get(name) == ({"n": 1}, 1)
    assert [each["name"] for each in layouts.all()] == [name]
    assert [path.name for path in tmp_path.rglob("*.json")] == [f"{name}.json"]
    assert list(tmp_path.iterdir()) == [tmp_path / "state"]


def test_what_is_too_large_or_no_map(api):
    for body in ([1], "text", 3, None):
        error(api.put("/api/v1/layouts/a", json=body), 400, "bad_value")
    assert "bytes" in error(api.put("/api/v1/layouts/a", json={"x": "y" * 262_144}), 413, "too_large")
    kind = {"content-type": "application/json"}
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    error(api.put("/api/v1/layouts/a", content=deep, headers=kind), 400, "bad_value")
    error(api.put("/api/v1/layouts/a", content=b'{"a": NaN}', headers=kind), 400, "bad_value")
    assert api.put("/api/v1/layouts/a", content=rb'{"a": "\ud800"}', headers=kind).status_code == 200
    assert api.get("/api/v1/layouts/a").status_code == 200


def test_there_may_be_so_many(tmp_path, monkeypatch):
    layouts = Layouts(StateFolder(tmp_path))
    (tmp_path / "layouts").mkdir()
    for number in range(MOST_LAYOUTS):
        (tmp_path / f"layouts/l{number}.json").write_text('{"revision": 1, "layout": {}}')
    with pytest.raises(RefusedError, match="which is the most"):
        layouts.put("another", {})
    assert layouts.put("l7", {"n": 1})["revision"] == 2
    layouts.remove("l8")
    assert layouts.put("another", {})["revision"] == 1


def test_a_damaged_one_is_listed_told_and_replaced(api, tmp_path):
    (tmp_path / "state/layouts").mkdir(parents=True)
    for text in ("{", "[]", '{"revision": "x", "layout": {}}', '{"revision": 1, "layout": 3}'):
        (tmp_path / "state/layouts/bad.json").write_text(text)
        assert api.get("/api/v1/layouts").json()["layouts"][0]["revision"] == 0
        assert "damaged" in error(api.get("/api/v1/layouts/bad"), 409, "wrong_state")
    assert api.put("/api/v1/layouts/bad", json={"n": 1}).status_code == 200
    assert api.get("/api/v1/layouts/bad").json() == {"n": 1}


@pytest.mark.parametrize("path", [None, "file", "file/below"])
def test_a_folder_that_cannot_be_is_told_and_reading_goes_on(app, api, tmp_path, path):
    (tmp_path / "file").write_text("")
    app.state.broker.state = StateFolder(None if path is None else tmp_path / path)
    assert "--state-dir" in error(api.put("/api/v1/layouts/a", json={}), 409, "wrong_state")
    assert api.get("/api/v1/layouts").json()["layouts"] == []
    error(api.get("/api/v1/layouts/a"), 404, "not_found")


def test_a_disk_that_is_full_leaves_the_old_one(tmp_path, monkeypatch):
    layouts = Layouts(StateFolder(tmp_path))
    layouts.put("a", {"n": 1})

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("crystint.online.state_folder.os.fsync", full)
    with pytest.raises(RefusedError, match="the disk is full"):
        layouts.put("a", {"n": 2})
    assert layouts.get("a") == ({"n": 1}, 1)
    assert [path.name for path in (tmp_path / "layouts").iterdir()] == ["a.json"]


def test_threads_that_change_one_lose_no_revision(tmp_path):
    layouts = [Layouts(StateFolder(tmp_path)) for _ in range(4)]

    def work(own):
        for number in range(15):
            own.put("a", {"n": number})

    threads = [threading.Thread(target=work, args=(own,)) for own in layouts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads((tmp_path / "layouts/a.json").read_text())["revision"] == 60
