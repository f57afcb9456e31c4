"""Notes, and other events that do not come from the data process: in the log, published, and in the files."""

from __future__ import annotations

import json
import threading

import h5py
import pytest

from crystint.errors import RefusedError
from crystint.online.control_server import ControlServer
from crystint.online.events import Allowance
from crystint.online.proxy import ControlProxy
from crystint.online.service import Service
from crystint.online.settings import ServeSettings
from crystint.online.sink import Sink
from tests.online.streams import frames_of, messages_of
from tests.online.test_web_security import error

pytest.importorskip("zmq")


class Events(Sink):
    """Keeps them."""

    def __init__(self):
        super().__init__()
        self.name, self.all, self.began = "kept", [], threading.Event()

    def begin(self, run):
        self.began.set()

    def event(self, event):
        self.all.append(event)


def test_a_note_is_an_event_for_everybody_and_is_in_the_files(tmp_path):
    settings = ServeSettings(rings=60, out=tmp_path / "out", device="cpu")
    service, kept = Service(settings=settings), Events()
    service.add(kept)
    with service:
        server, proxy = ControlServer(service, f"ipc://{tmp_path}/control"), ControlProxy(f"ipc://{tmp_path}/control")
        try:
            *before, end = messages_of(frames_of(count=3))
            for message in before:
                service.take(message)
            assert kept.began.wait(30), "the folder is made in a thread"
            told = proxy.record("note", {"text": 'the <b>shutter</b> was "closed"\nµ', "image": 2})
            service.take(end)
            assert service.wait("idle")
            after = proxy.record("note", {"text": "later"})
        finally:
            proxy.close()
            server.close()
    key = service.series()[0]["series"]
    assert (told["series"], told["filed"]) == (key, True)
    assert (after["series"], after["filed"]) == (None, False)
    notes = [event for event in service.events() if event["name"] == "note"]
    assert notes[0]["number"] == told["number"]
    assert notes[0]["time"] == told["time"]
    assert notes[0]["data"] == {"text": 'the <b>shutter</b> was "closed"\nµ', "image": 2, "series": key}
    assert [event.data["text"] for event in kept.all if event.name == "note"] == [notes[0]["data"]["text"], "later"]
    numbers = [event["number"] for event in service.events()]
    assert numbers == list(range(1, len(numbers) + 1))
    with h5py.File(next((tmp_path / "out").glob("*_results.h5"))) as file:
        log = zip(file["entry/log/name"].asstr()[()], file["entry/log/data"].asstr()[()], strict=True)
        assert [json.loads(data) for name, data in log if name == "note"] == [notes[0]["data"]]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("state", {"text": "x"}, "bad_value"),
        ("note", {}, "bad_value"),
        ("note", {"text": 3}, "bad_value"),
        ("note", {"text": "x", "n": float("nan")}, "bad_value"),
        ("note", {"text": "x", "n": object()}, "bad_value"),
        ("note", {"text": "\ud800"}, "bad_value"),
        ("alarm", {"text": "x" * 20_000}, "too_large"),
    ],
)
def test_what_is_no_event_of_others(name, data, reason):
    from crystint.online.events import checked_record

    with pytest.raises(RefusedError) as caught:
        checked_record(name, data)
    assert caught.value.reason == reason


def test_so_many_a_second():
    now = [0.0]
    allowance = Allowance(clock=lambda: now[0])
    for _ in range(50):
        allowance.take()
    with pytest.raises(RefusedError, match="10 notes and alarms a second"):
        allowance.take()
    now[0] = 0.35
    for _ in range(3):
        allowance.take()
    with pytest.raises(RefusedError):
        allowance.take()
    now[0] = 1000.0
    for _ in range(50):
        allowance.take()
    with pytest.raises(RefusedError):
        allowance.take()


def test_the_route_takes_what_people_write(api, viewer, control):
    response = api.post("/api/v1/notes", json={"text": "  crystal 3:\n\tلا بأس \u200f ", "image": 7, "series": "7-abc"})
    assert response.status_code == 201
    assert response.json() == {"number": 1, "time": 1001, "series": "7-abc", "filed": False}
    assert control.told[0]["data"] == {"text": "crystal 3:\n\tلا بأس \u200f", "image": 7, "series": "7-abc"}
    error(viewer.post("/api/v1/notes", json={"text": "a"}), 403, "forbidden")
    for text in ("", "   ", "a\0b", "a\x1b[31mred", "a\x7f", "a\u202eb", "x" * 2001, 3, None):
        error(api.post("/api/v1/notes", json={"text": text}), 400, "bad_value")
    kind = {"content-type": "application/json"}
    error(api.post("/api/v1/notes", content=rb'{"text": "\ud800"}', headers=kind), 400, "bad_value")
    error(api.post("/api/v1/notes", json={"text": "a", "image": -1}), 400, "bad_value")
    error(api.post("/api/v1/notes", json={"text": "a", "colour": "red"}), 400, "bad_value")
    assert len(control.told) == 1
