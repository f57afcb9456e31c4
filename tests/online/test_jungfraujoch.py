"""Jungfraujoch's routes: the public client where it is installed, and plain requests."""

import io
import json
import struct
import threading
import time

import numpy as np
import pytest

from crystint.engine import Engine
from crystint.online import AnalysisSettings, Service
from crystint.online.ring import Ring, RingReader
from tests.online.asgi import TOKENS, Client
from tests.online.streams import GEOMETRY, KEY, frames_of, messages_of

RINGS = AnalysisSettings(rings=60, hit_peaks=3)
FRAMES = frames_of(count=6)
SHAPE = FRAMES[0].shape


@pytest.fixture(scope="module")
def served():
    """The application round a service that took a series over a grid."""
    pytest.importorskip("httpx", reason="httpx is not installed")
    from crystint.online.auth import Access
    from crystint.online.history import History
    from crystint.online.routes_jungfraujoch import jungfraujoch
    from crystint.online.server import create_app

    ring, history = Ring(2**22), History()
    service = Service(settings=RINGS, engine=Engine("cpu"))
    service.add(ring)
    with service:
        results = []
        service.on_result(results.append)
        grid = {"n_fast": 3, "step_x_um": 10.0, "step_y_um": 5.0, "snake": True}
        service.start({"prefix": "run", "grid": grid})
        for message in messages_of(FRAMES):
            service.take(message)
        assert service.wait("idle")
        until = time.monotonic() + 30
        while len(results) < len(FRAMES) and time.monotonic() < until:  # callbacks have a thread of their own
            time.sleep(0.02)
        history.begin(KEY, {"shape": list(SHAPE), "geometry": GEOMETRY.to_dict(), "grid": grid})
        for result in results:
            history.add(KEY, result.row, [result.peaks])
        with RingReader(ring.address) as reader:
            app = create_app(service, history, reader, access=Access(TOKENS), extras=[jungfraujoch()])
            yield app, service, results
    ring.close()


@pytest.fixture
def client(served):
    with Client(served[0], None) as one:
        yield one


def test_no_token_is_asked_for_on_the_machine_itself_alone(served, client):
    assert client.get("/status").status_code == 200
    with Client(served[0], None, client=("10.1.2.3", 4000)) as far:
        assert far.get("/status").status_code == 401
        assert far.put("/config/roi", json={}).status_code == 401
    assert client.get("/api/v1/status").status_code == 401


def test_state_and_its_progress_which_is_a_number(client):
    status = client.get("/status").json()
    assert (status["state"], status["progress"]) == ("Idle", 0.0)
    measured = client.get("/statistics/data_collection").json()
    assert (measured["images_collected"], measured["images_expected"], measured["detector_width"]) == (6, 6, SHAPE[1])
    assert client.get("/statistics").json()["broker"]["state"] == "Idle"
    assert client.get("/version").text.startswith("crystint ")
    assert client.get("/image_pusher/status").json()["connected_writers"] == 0


def test_thresholds_are_those_of_the_service(served, client):
    service = served[1]
    before = client.get("/config/spot_finding").json()
    assert before["signal_to_noise_threshold"] == 5.0
    answer = client.put("/config/spot_finding", json=before | {
        "signal_to_noise_threshold": 4.5, "high_resolution_limit": 1.8, "max_pix_per_spot": 50,
    })  # fmt: skip
    assert answer.status_code == 200
    assert "max_pix_per_spot" in answer.headers["warning"]
    assert (service.settings()["values"]["snr"], service.settings()["values"]["d_min"]) == (4.5, 1.8)
    after = client.get("/config/spot_finding").json()
    assert (after["signal_to_noise_threshold"], after["max_pix_per_spot"]) == (4.5, 50)
    client.put("/config/spot_finding", json=before)
    assert service.settings()["values"].get("d_min") is None
    wrong = client.put("/config/spot_finding", json={"signal_to_noise_threshold": -3})
    assert wrong.status_code == 400
    assert isinstance(wrong.json(), str)


def test_regions_go_there_and_back(served, client):
    document = {
        "box": {"rois": [{"name": "b", "min_x_pxl": 1, "max_x_pxl": 3, "min_y_pxl": 2, "max_y_pxl": 4}]},
        "circle": {"rois": [{"name": "c", "center_x_pxl": 20.0, "center_y_pxl": 30.0, "radius_pxl": 4.0}]},
        "azim": {"rois": [
            {"name": "a", "q_min_recipA": 0.5, "q_max_recipA": 1.0, "phi_min_deg": 350.0, "phi_max_deg": 10.0}
        ]},
    }  # fmt: skip
    assert client.put("/config/roi", json=document).status_code == 200
    assert client.get("/config/roi").json() == document
    assert served[1].rois()["details"]["b"]["pixels"] == 9
    refused = client.put("/config/roi", json={"box": {"rois": [{"name": "b"}]}, "circle": {}, "azim": {}})
    assert refused.status_code == 400
    assert "min_x_pxl" in refused.json() or "box" in refused.json()
    assert client.put("/config/roi", json={kind: {"rois": []} for kind in document}).status_code == 200


def test_masks_as_tiff_and_as_numbers(served, client):
    import tifffile

    mask = np.zeros(SHAPE, np.uint8)
    mask[5:9, 7:20] = 3
    stream = io.BytesIO()
    tifffile.imwrite(stream, mask)
    assert client.put("/config/user_mask.tiff", content=stream.getvalue()).status_code == 200
    raw = np.frombuffer(client.get("/config/user_mask").content, "<u4").reshape(SHAPE)
    assert np.array_equal(raw, mask != 0)
    total = tifffile.imread(io.BytesIO(client.get("/config/mask.tiff").content))
    assert np.array_equal(total, np.where(mask, 256, 0))
    again = np.roll(raw, 11, axis=1)
    assert client.put("/config/user_mask", content=again.astype("<u4").tobytes()).status_code == 200
    assert np.array_equal(tifffile.imread(io.BytesIO(client.get("/config/user_mask.tiff").content)), again)
    for path, body in (("/config/user_mask.tiff", b"II*\x00fake"), ("/config/user_mask", bytes(12))):
        answer = client.put(path, content=body)
        assert answer.status_code == 400
        assert "mask" in answer.json()
    served[1].change_mask(None)


def test_images_as_messages_and_pictures(client):
    cbor2 = pytest.importorskip("cbor2")
    buffer = client.get("/image_buffer/status").json()
    assert (buffer["min_image_number"], buffer["max_image_number"]) == (0, 5)
    assert buffer["image_numbers"] == list(range(6))
    message = cbor2.loads(client.get("/image_buffer/image.cbor?id=2").content)
    assert (message["type"], message["image_id"], list(message["data"])) == ("image", 2, ["default"])
    start = cbor2.loads(client.get("/image_buffer/start.cbor").content)
    assert start["type"] == "start"
    assert list(start["pixel_mask"]) == ["default"]
    assert client.get("/image_buffer/image.jpeg?id=-2&show_roi=true").content[:3] == b"\xff\xd8\xff"
    assert client.get("/image_buffer/image.tiff?id=0").content[:4] == b"II*\0"
    missing = client.get("/image_buffer/image.cbor?id=77")
    assert (missing.status_code, missing.content) == (404, b"")
    assert client.get("/image_buffer/image.jpeg?id=x").status_code == 400


def test_plots_and_results_of_the_scan(served, client):
    results = served[2]
    spots = [int(result.row["n_spots"][0]) for result in results]
    curve = client.get("/preview/plot?type=spot_count").json()
    assert curve["unit_x"] == "image_number"
    assert curve["plot"][0]["y"] == spots
    grid = client.get("/preview/plot?type=spot_count&experimental_coord=true").json()
    assert grid["unit_x"] == "grid_um"
    assert grid["plot"][0]["z"] == spots
    assert grid["plot"][0]["x"] == [0.0, 10.0, 20.0, 20.0, 10.0, 0.0]
    raw = client.get("/preview/plot.bin?type=spot_count").content
    assert list(struct.unpack("<6f", raw)) == spots
    assert client.get("/preview/plot?type=nonsense").status_code == 400
    scan = client.get("/result/scan").json()
    assert [image["number"] for image in scan["images"]] == list(range(6))
    assert [image["spots"] for image in scan["images"]] == spots
    assert (scan["images"][3]["nx"], scan["images"][3]["ny"]) == (2, 1)
    assert [image["max"] for image in scan["images"]] == FRAMES.max(axis=(1, 2)).tolist()


def test_what_is_not_there_is_told(client):
    for method, path in (("GET", "/detector/status"), ("POST", "/pedestal"), ("PUT", "/config/indexing")):
        answer = client.request(method, path)
        assert answer.status_code == 404
        assert answer.json()["reason"] == "Other"
    answer = client.put("/config/file_writer", json={"overwrite": True})
    assert (answer.status_code, answer.json()["reason"]) == (500, "WrongDAQState")


def test_start_wait_and_cancel(served, client):
    """As the wrapper of an electron diffraction instrument calls them."""
    service = served[1]
    assert client.post("/initialize").status_code == 200
    answer = client.post("/start", json={
        "beam_x_pxl": 90.2, "beam_y_pxl": 71.3, "detector_distance_mm": 60, "incident_energy_keV": 12.39842,
        "images_per_trigger": 3, "ntrigger": 2, "file_prefix": "next", "tokens": ["t1"], "unit_cell": {"a": 1},
    })  # fmt: skip
    assert answer.status_code == 200
    assert "unit_cell" in answer.headers["warning"]
    assert "tokens" in answer.headers["warning"]
    assert service.reception.asked["images"] == 6
    assert service.reception.asked["geometry"]["distance"] == pytest.approx(0.06)
    assert service.reception.asked["geometry"]["wavelength"] == pytest.approx(1.0, rel=1e-5)
    assert client.get("/status").json()["state"] == "Busy"
    assert client.post("/wait_until_running?timeout=0").status_code == 504
    assert client.post("/wait_till_done?timeout=0").status_code == 504
    assert client.post("/cancel").status_code == 200
    assert client.post("/wait_till_done?timeout=20").status_code == 200
    assert client.get("/status").json()["state"] == "Idle"
    assert client.post("/wait_till_done?timeout=x").status_code == 400
    wrong = client.post("/start", json={"file_prefix": "../up", "images_per_trigger": 1})
    assert wrong.status_code == 400
    for wrong in ({"images_per_trigger": "x"}, {"tokens": 5}, {"grid_scan": 5}, {"beam_x_pxl": [], "beam_y_pxl": 1}):
        assert client.post("/start", json=wrong).status_code == 400, wrong
    assert client.get("/config/zeromq_preview").json()["period_ms"] == 200


def test_the_public_client_understands_every_answer(served):
    jfjoch = pytest.importorskip("jfjoch_client", reason="jfjoch-client is not installed")
    uvicorn = pytest.importorskip("uvicorn")
    server = uvicorn.Server(uvicorn.Config(served[0], port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + 30
        while not server.started and time.monotonic() < until:
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        with jfjoch.ApiClient(jfjoch.Configuration(host=f"http://127.0.0.1:{port}")) as connection:
            _ask(jfjoch, jfjoch.DefaultApi(connection))
    finally:
        server.should_exit = True
        thread.join()


def _ask(j, a):
    assert a.status_get().state == "Idle"
    assert a.config_roi_get().box.rois == []
    settings = a.config_spot_finding_get()
    settings.signal_to_noise_threshold = 4.0
    a.config_spot_finding_put(spot_finding_settings=settings)
    assert a.config_spot_finding_get().signal_to_noise_threshold == 4.0
    a.config_roi_put(roi_definitions=j.RoiDefinitions(
        box=j.RoiBoxList(rois=[j.RoiBox(name="b", min_x_pxl=1, max_x_pxl=3, min_y_pxl=2, max_y_pxl=4)]),
        circle=j.RoiCircleList(rois=[]),
        azim=j.RoiAzimList(rois=[
            j.RoiAzimuthal(name="az", q_min_recipA=0.5, q_max_recipA=1.0, phi_min_deg=350, phi_max_deg=10)
        ]),
    ))  # fmt: skip
    assert a.config_roi_get().azim.rois[0].name == "az"
    assert len(a.preview_plot_get(type="spot_count").plot[0].y) == 6
    assert len(a.image_buffer_image_cbor_get(id=-1)) > 1000
    assert a.image_buffer_status_get().current_counter == 6
    assert a.result_scan_get().images[0].number == 0
    assert a.statistics_data_collection_get().images_collected == 6
    assert a.statistics_get().broker.state == "Idle"
    assert a.image_pusher_status_get().connected_writers == 0
    assert a.config_zeromq_preview_get().enabled is False
    assert a.config_file_writer_get().overwrite is False
    a.start_post(dataset_settings=j.DatasetSettings(
        beam_x_pxl=1, beam_y_pxl=1, detector_distance_mm=100, incident_energy_keV=12.4, images_per_trigger=5,
        tokens=["t1"],
    ))  # fmt: skip
    a.cancel_post()
    a.wait_till_done_post(timeout=20)
    with pytest.raises(j.ApiException) as caught:
        a.detector_status_get()
    assert caught.value.status == 404
    assert json.loads(caught.value.body)["reason"] == "Other"
