"""The web interface round a real service: its answers fit the document, and regions and masks go through."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

pytest.importorskip("zmq", reason="the extra crystint[online] is not installed")

from crystint.engine import Engine
from crystint.io.roi_files import read_roi_document, read_rois
from crystint.model.rois import Rois
from crystint.online.api_models import BooksModel, SeriesModel, StatusModel
from crystint.online.books import Books
from crystint.online.service import Service
from crystint.online.settings import AnalysisSettings
from tests.online.asgi import TOKENS, Client
from tests.online.feeding import Feeding
from tests.online.streams import GEOMETRY, KEY, frames_of, image_of, messages_of
from tests.online.test_web_security import error

SHAPE = GEOMETRY.shape


@pytest.fixture(scope="module")
def engine():
    return Engine()


@pytest.fixture
def service(engine, app, history):
    made = Service(settings=AnalysisSettings(rings=30), engine=engine)
    made.add(Feeding(history))
    with made:
        app.state.broker.control = made
        yield made


def send(service, part=slice(None), images=6):
    """A part of the messages of a series: start, images, end."""
    for message in list(messages_of(frames_of(count=images)))[part]:
        service.take(message)


def test_the_answers_fit_the_document(service, api):
    StatusModel.model_validate(api.get("/api/v1/status").json(), strict=True)
    send(service)
    assert service.wait("idle")
    StatusModel.model_validate(api.get("/api/v1/status").json(), strict=True)
    for each in api.get("/api/v1/series").json():
        SeriesModel.model_validate(each, strict=True)
    assert set(BooksModel.model_fields) == set(Books().to_dict())
    assert set(SeriesModel.model_fields) <= set(api.get(f"/api/v1/series/{KEY}").json())
    assert api.get("/metrics").status_code == 200
    assert api.get("/readyz").status_code == 200


REGIONS = [
    {"name": "box", "type": "box", "slow_min": 10, "slow_max": 30, "fast_min": 20, "fast_max": 25},
    {"name": "circle", "type": "circle", "center": [71.3, 90.2], "radius": 12.25},
    {"name": "ring", "type": "azimuthal", "q_min": 0.5, "q_max": 0.9, "phi_min_deg": 350.0, "phi_max_deg": 10.0},
    {"name": "inner", "type": "azimuthal", "d_min": 8.0, "d_max": 30.0},
    {"name": "triangle", "type": "polygon", "corners": [[10.0, 10.0], [60.0, 15.5], [30.25, 90.0]]},
]


def test_regions_go_through_http_to_sums_and_back(service, api, tmp_path):
    send(service, slice(0, 3))
    answer = api.put("/api/v1/rois", json={"rois": REGIONS})
    assert answer.status_code == 200, answer.text
    first, details = answer.json()["first_image"], answer.json()["details"]
    document = api.get("/api/v1/rois").json()["document"]
    assert document == Rois.from_dict({"rois": REGIONS}).to_dict()
    assert api.put("/api/v1/rois", json=json.loads(json.dumps(document))).status_code == 200
    assert api.get("/api/v1/rois").json()["document"] == document, "there and back"
    got = api.get("/api/v1/rois/map")
    bits = np.load(io.BytesIO(got.content))
    members = Rois.from_dict({"rois": REGIONS}).members(GEOMETRY, SHAPE)
    assert np.array_equal(bits, members.map())
    assert got.headers["x-names"] == ",".join(each["name"] for each in REGIONS)
    for bit, region in enumerate(REGIONS):
        assert details[region["name"]]["pixels"] == np.count_nonzero(bits & (1 << bit))
    path = tmp_path / "regions.h5"
    path.write_bytes(api.get("/api/v1/rois/map", headers={"Accept": "application/x-hdf5"}).content)
    assert np.array_equal(read_rois(path).versions[-1].map, bits)
    again = read_roi_document(path).to_dict()
    assert again == document
    assert api.put("/api/v1/rois", json=again).status_code == 200
    assert api.get("/api/v1/rois").json()["document"] == document, "by way of a file"
    send(service, slice(3, None))
    assert service.wait("idle")
    columns = api.get("/api/v1/results?rois=true&columns=roi_version").json()
    frames = frames_of(count=6)
    last = columns["columns"]["frame"].index(5)
    assert first <= 5
    for bit, region in enumerate(REGIONS):
        expected = int(frames[5][(bits & (1 << bit)) > 0].sum())
        assert columns["rois"][region["name"]]["sum"][last] == expected
    curve = api.get("/api/v1/plots/roi_sum?roi=circle&bin=1").json()["series"][0]
    assert curve["y"][last] == columns["rois"]["circle"]["sum"][last]


def test_regions_are_told_while_nothing_runs(service, api):
    before = api.put("/api/v1/rois", json={"rois": REGIONS[:1]})
    assert before.json()["details"] == {}, "no detector is known yet"
    error(api.get("/api/v1/rois/map"), 404, "not_found")
    send(service)
    assert service.wait("idle")
    assert api.get("/api/v1/rois").json()["details"]["box"] == {"pixels": 126, "clipped": False}
    moved = {**REGIONS[0], "slow_max": 11}
    answer = api.put("/api/v1/rois/box", json=moved)
    assert answer.json()["details"]["box"]["pixels"] == 12
    assert np.count_nonzero(np.load(io.BytesIO(api.get("/api/v1/rois/map").content))) == 12
    off = {**REGIONS[0], "slow_min": 1000, "slow_max": 1001}
    error(api.put("/api/v1/rois/box", json=off), 400, "bad_value")
    assert api.get("/api/v1/rois").json()["document"]["rois"] == [moved]
    assert api.delete("/api/v1/rois/box").status_code == 200
    error(api.get("/api/v1/rois/map"), 404, "not_found")
    ring = api.post("/api/v1/rois", json=REGIONS[3]).json()["details"]["inner"]
    assert ring["pixels"] > 0


def test_a_mask_is_shown_while_nothing_runs(service, api):
    send(service)
    assert service.wait("idle")
    mask = np.zeros(SHAPE, np.uint8)
    mask[:7] = 1
    stream = io.BytesIO()
    np.save(stream, mask)
    assert api.put("/api/v1/mask", content=stream.getvalue()).status_code == 200
    for layer in ("user", "total"):
        shown = np.load(
            io.BytesIO(api.get(f"/api/v1/mask?layer={layer}", headers={"Accept": "application/x-npy"}).content)
        )
        assert np.array_equal(shown != 0, mask)
    assert api.delete("/api/v1/mask").status_code == 200
    shown = np.load(io.BytesIO(api.get("/api/v1/mask", headers={"Accept": "application/x-npy"}).content))
    assert not shown.any()


def test_settings_of_the_service_change_with_the_image_that_results_say(service, api):
    frames = frames_of(count=6)
    send(service, slice(0, 4))
    tag = api.get("/api/v1/settings").headers["etag"]
    changed = api.patch("/api/v1/settings", json={"snr": 8.0, "d_min": 2}, headers={"If-Match": tag}).json()
    assert "did you mean snr?" in error(api.patch("/api/v1/settings", json={"snrr": 1}), 400, "bad_value")
    error(api.patch("/api/v1/settings", json={"connected": 26}), 400, "bad_value")
    error(api.patch("/api/v1/settings", json={"connected": 20, "patch": 3}), 400, "bad_value")
    error(api.patch("/api/v1/settings", json={"snr": 1}, headers={"If-Match": tag}), 412, "conflict")
    for number in (3, 4, 5):
        service.take(image_of(frames[number], KEY, number))
    send(service, slice(-1, None))
    assert service.wait("idle")
    columns = api.get("/api/v1/results?columns=settings_version").json()["columns"]
    for number, version in zip(columns["frame"], columns["settings_version"], strict=True):
        assert version == (changed["version"] if number >= changed["first_image"] else 1)
    assert api.patch("/api/v1/settings", json={"d_min": None}).status_code == 200
    assert "d_min" not in api.get("/api/v1/settings").json()["values"]


def test_the_grid_of_the_start_is_that_of_the_map(service, api):
    assert api.post("/api/v1/start", json={"grid": {"n_fast": 3, "snake": True}, "prefix": "scan"}).status_code == 200
    send(service)
    assert service.wait("idle")
    grid = api.get("/api/v1/grid/n_spots").json()
    spots = api.get("/api/v1/results?columns=n_spots").json()["columns"]["n_spots"]
    assert grid["z"] == [spots[:3], spots[5:2:-1]]


def test_two_tokens_and_events_of_the_service(service, app):
    with Client(app, TOKENS.view) as viewer:
        send(service)
        assert service.wait("idle")
        names = [each["name"] for each in viewer.get("/api/v1/events", headers={"Accept": "application/json"}).json()]
        assert {"series_start", "state", "series_end"} <= set(names)
        error(viewer.patch("/api/v1/settings", json={"snr": 4}), 403, "forbidden")
