"""Routes round the data process: what they ask of it, and how they answer."""

from __future__ import annotations

from pathlib import Path

import cbor2
import pytest

import crystint
from tests.conftest import ROOT
from tests.online.made_up import GEOMETRY
from tests.online.test_web_security import error


def test_the_committed_document_is_that_of_the_routes(app):
    from crystint.online.openapi import openapi_text

    committed = (Path(ROOT) / "docs/openapi.json").read_text(encoding="utf-8")
    assert committed == openapi_text(app), "run: python docs/make_openapi.py"


def test_what_is_not_known_is_null(api):
    status = api.get("/api/v1/status").json()
    assert status["rates"]["in"]["10s"] is None
    assert status["series"]["books"]["expected"] is None


def test_answers_are_cbor_for_those_who_prefer_it(api):
    response = api.get("/api/v1/status", headers={"Accept": "text/html;q=0.3, application/cbor, */*;q=0.1"})
    assert response.headers["content-type"] == "application/cbor"
    assert cbor2.loads(response.content)["state"] == "idle"
    assert api.get("/api/v1/status", headers={"Accept": "image/png"}).headers["content-type"] == "application/json"


def test_a_series_by_key_and_by_number(api):
    assert api.get("/api/v1/series").json()[0]["series"] == "7-abc"
    assert api.get("/api/v1/series/7-abc").json() == api.get("/api/v1/series/7").json()
    assert "/api/v1/series" in error(api.get("/api/v1/series/8"), 404, "not_found")


def test_crystfel_is_told_a_geometry_and_a_command(api, control, tmp_path, monkeypatch):
    status = control.status()
    monkeypatch.setattr(control, "status", lambda: status)
    error(api.get("/api/v1/crystfel"), 404, "not_found")
    status["sinks"] = {"crystfel": {"address": "tcp://127.0.0.1:5603"}}
    status["series"] = {**status["series"], "geometry": None}
    error(api.get("/api/v1/crystfel"), 409, "wrong_state")
    status["series"]["geometry"] = GEOMETRY.to_dict()
    answer = api.get("/api/v1/crystfel").json()
    assert answer["address"] in answer["command"]
    path = tmp_path / "crystint.geom"
    path.write_text(answer["geometry"])
    assert crystint.Geometry.read(path).beam_center == pytest.approx(GEOMETRY.beam_center)
    status["series"]["geometry"] = {**GEOMETRY.to_dict(), "wavelength": None}
    assert "wavelength" in error(api.get("/api/v1/crystfel"), 409, "wrong_state")


def test_start_stop_abort_clear(api, control):
    options = {"prefix": "lysozyme/run1", "images": 100, "grid": {"n_fast": 10}, "user": {"sample": "A"}}
    started = api.post("/api/v1/start", json=options).json()
    assert (started["state"], started["revision"]) == ("arming", 2)
    assert control.armed["prefix"] == "lysozyme/run1"
    assert control.armed["grid"]["n_fast"] == 10
    assert api.post("/api/v1/stop").json()["state"] == "idle"
    revision = api.post("/api/v1/stop").json()["revision"]
    assert api.post("/api/v1/abort").json()["revision"] == revision, "idempotent"
    control.state = "measuring"
    error(api.post("/api/v1/clear_error"), 409, "wrong_state")


def test_a_setting_changes_with_the_image_that_it_applies_to(api, control):
    control.next_image = 1234
    got = api.get("/api/v1/settings")
    tag = got.headers["etag"]
    assert tag == '"1"'
    tried = api.patch("/api/v1/settings?dry_run=true", json={"snr": 4.5}, headers={"If-Match": tag})
    assert tried.status_code == 200
    assert control.values["snr"] == 5.0
    changed = api.patch("/api/v1/settings", json={"snr": 4.5}, headers={"If-Match": tag})
    assert changed.json() == {"first_image": 1234, "version": 2, "revision": 2, "details": None}
    assert changed.headers["etag"] == '"2"'
    error(api.patch("/api/v1/settings", json={"snr": 6}, headers={"If-Match": tag}), 412, "conflict")
    assert api.get("/api/v1/settings").json()["values"]["snr"] == 4.5
    error(api.patch("/api/v1/settings", json={"snr": 6}, headers={"If-Match": '"x"'}), 400, "bad_value")
    assert api.patch("/api/v1/settings", json={"snr": 6}, headers={"If-Match": "*"}).status_code == 200


@pytest.mark.parametrize(("key", "near"), [("snr_pik", "snr_pick"), ("hit_peak", "hit_peaks"), ("samplng", "sampling")])
def test_an_unknown_setting_names_the_nearest(api, key, near):
    assert f"did you mean {near}?" in error(api.patch("/api/v1/settings", json={key: 1}), 400, "bad_value")


@pytest.mark.parametrize(
    ("body", "near"),
    [
        ({"prefx": "a"}, "prefix"),
        ({"grid": {"n_fast": 1, "snak": True}}, "snake"),
        ({"geometry": {"distanc": 1}}, "distance"),
    ],
)
def test_an_unknown_key_names_the_nearest_at_any_depth(api, body, near):
    assert f"did you mean {near}?" in error(api.post("/api/v1/start", json=body), 400, "bad_value")


BOX = {"name": "a", "type": "box", "slow_min": 1, "slow_max": 2, "fast_min": 3, "fast_max": 4}


def test_regions_one_by_one(api):
    assert api.post("/api/v1/rois", json=BOX).json()["details"]["a"]["pixels"] == 1
    assert "already" in error(api.post("/api/v1/rois", json=BOX), 409, "conflict")
    moved = {**BOX, "slow_max": 9}
    assert api.put("/api/v1/rois/a", json=moved).status_code == 200
    assert api.put("/api/v1/rois/b", json={**BOX, "name": "b"}).status_code == 200
    error(api.put("/api/v1/rois/b", json={**BOX, "name": "c"}), 400, "bad_value")
    document = api.get("/api/v1/rois").json()["document"]
    assert document["rois"] == [moved, {**BOX, "name": "b"}]
    assert api.delete("/api/v1/rois/a").status_code == 200
    error(api.delete("/api/v1/rois/a"), 404, "not_found")
    assert [each["name"] for each in api.get("/api/v1/rois").json()["document"]["rois"]] == ["b"]


def test_two_who_change_regions_never_overwrite_silently(api):
    tag = api.get("/api/v1/rois").headers["etag"]
    assert api.put("/api/v1/rois", json={"rois": [BOX]}, headers={"If-Match": tag}).status_code == 200
    for request in (
        lambda: api.put("/api/v1/rois", json={"rois": []}, headers={"If-Match": tag}),
        lambda: api.post("/api/v1/rois", json={**BOX, "name": "b"}, headers={"If-Match": tag}),
        lambda: api.delete("/api/v1/rois/a", headers={"If-Match": tag}),
    ):
        error(request(), 412, "conflict")
    assert len(api.get("/api/v1/rois").json()["document"]["rois"]) == 1
    error(api.put("/api/v1/rois", json={"rois": [{}] * 65}), 400, "bad_value")
