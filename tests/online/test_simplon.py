"""The REST interface of the simulated detector, called as beamlines call it."""

from __future__ import annotations

import http.client
import json
from threading import Thread

import numpy as np
import pytest

from crystint.online import Simulator
from crystint.online.simplon import Parameters
from tests.online.pulling import Puller, read

FREE = "tcp://127.0.0.1:*"


class Client:
    """A client of SIMPLON."""

    def __init__(self, address):
        self.address = address

    def call(self, method, path, body=None):
        host, _, port = self.address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def get(self, subsystem, name):
        status, answer = self.call("GET", f"/{subsystem}/api/1.8.0/{name}")
        assert status == 200, answer
        return answer["value"] if isinstance(answer, dict) else answer

    def put(self, subsystem, name, value=None):
        body = None if value is None else {"value": value}
        return self.call("PUT", f"/{subsystem}/api/1.8.0/{name}", body)

    def set(self, name, value):
        status, changed = self.put("detector", f"config/{name}", value)
        assert status == 200, changed
        return changed

    def do(self, command):
        status, answer = self.put("detector", f"command/{command}")
        assert status == 200, answer
        return answer["sequence id"]

    def state(self):
        return self.get("detector", "status/state")


@pytest.fixture
def detector():
    frames = np.random.default_rng(0).poisson(2.0, (2, 20, 30)).astype(np.uint16)
    with Simulator(frames, fps=500, stream=FREE, simplon="127.0.0.1:0") as simulator:
        yield simulator


@pytest.fixture
def client(detector):
    return Client(detector.simplon.address)


@pytest.fixture
def puller(detector):
    with Puller(detector.address) as program:
        yield program


def test_a_series_as_a_beamline_takes_it(detector, client, puller):
    assert client.state() == "na"
    client.do("initialize")
    assert client.state() == "idle"
    assert client.put("stream", "config/format", "cbor")[0] == 200
    assert client.put("stream", "config/header_detail", "all")[0] == 200
    assert client.set("nimages", 5) == ["nimages"]
    client.set("ntrigger", 2)
    client.set("trigger_mode", "ints")
    assert "count_time" in client.set("frame_time", 0.002)
    series = client.do("arm")
    assert series == 1
    assert client.state() == "ready"
    assert client.get("stream", "status/state") == "acquire"
    start = read(puller.next())
    assert (start["type"], start["number_of_images"], start["series_id"]) == ("start", 10, 1)
    assert client.put("detector", "config/nimages", 7)[0] == 400
    client.do("trigger")
    assert client.state() == "ready"
    client.do("trigger")
    messages = [read(parts) for parts in puller.all(1, 0.05)]
    assert [m["image_id"] for m in messages if m["type"] == "image"] == list(range(10))
    client.do("disarm")
    assert client.state() == "idle"
    assert client.get("stream", "status/dropped") == 0
    assert client.get("detector", "status/series_unique_id") == start["series_unique_id"]
    assert puller.next(0.1) is None, "no second end"
    assert client.do("arm") == 2
    client.do("disarm")
    assert [read(parts)["type"] for parts in puller.all(1, 0.05)] == ["start", "end"]
    assert [each.early for each in detector.truth.series] == [False, True]


@pytest.mark.parametrize("command", ["cancel", "abort", "disarm"])
def test_a_series_is_ended_early(client, puller, command):
    client.do("initialize")
    client.set("nimages", 10**6)
    client.do("arm")
    waiting = Thread(target=client.do, args=("trigger",))
    waiting.start()
    for _ in range(4):
        puller.next()
    client.do(command)
    waiting.join(30)
    assert not waiting.is_alive()
    assert client.state() == "idle"
    assert read(puller.all(1, 0.05)[-1])["type"] == "end"
    client.set("nimages", 1)
    client.do("arm")
    client.do("trigger")
    assert [read(parts)["type"] for parts in puller.all(1, 0.05)] == ["start", "image", "end"]


def test_triggers_from_outside_come_at_once(client, puller):
    client.do("initialize")
    client.set("nimages", 3)
    client.set("trigger_mode", "exts")
    client.do("arm")
    assert [read(parts)["type"] for parts in puller.all(1, 0.05)] == ["start", *["image"] * 3, "end"]


def test_what_nobody_pulls_is_told(client):
    client.do("initialize")
    client.set("nimages", 3)
    client.do("arm")
    client.do("trigger")
    client.do("disarm")
    assert client.get("stream", "status/dropped") == 3


def test_a_stream_that_is_switched_off_sends_nothing(client, puller):
    client.do("initialize")
    assert client.put("stream", "config/mode", "disabled")[0] == 200
    client.set("nimages", 2)
    client.do("arm")
    assert client.get("stream", "status/state") == "disabled"
    client.do("trigger")
    assert puller.next(0.1) is None


@pytest.mark.parametrize(
    ("subsystem", "name", "value", "status"),
    [
        ("detector", "config/nimages", "many", 400),
        ("detector", "config/nimages", 1.5, 400),
        ("detector", "config/nimages", -1, 400),
        ("detector", "config/auto_summation", 1, 400),
        ("detector", "config/trigger_mode", "never", 400),
        ("detector", "config/x_pixels_in_detector", 5, 400),
        ("detector", "config/nonsense", 5, 404),
        ("detector", "command/nonsense", None, 404),
        ("detector", "command/arm", None, 400),
        ("detector", "command/trigger", None, 400),
        ("nonsense", "config/mode", "x", 404),
        ("detector", "status/state", "idle", 404),
    ],
)
def test_what_is_wrong_is_refused(client, subsystem, name, value, status):
    assert client.put(subsystem, name, value)[0] == status


def test_odd_requests(client):
    assert client.call("GET", "/detector/api/9.9.9/config/nimages")[0] == 404
    assert client.call("PUT", "/detector/api/1.8.0/config/nimages", [1])[0] == 400
    assert client.call("GET", "/detector/api/version/")[1]["value"] == "1.8.0"


def test_every_key_is_answered_as_clients_expect(client):
    types = {"float", "int", "bool", "uint", "string", "datetime", "State", "string[]"}
    for subsystem in ("detector", "stream", "monitor"):
        for part in ("config", "status"):
            keys = client.get(subsystem, f"{part}/keys")
            assert keys == sorted(keys)
            assert keys
            for key in keys:
                _, answer = client.call("GET", f"/{subsystem}/api/1.8.0/{part}/{key}")
                assert answer["value_type"] in types
                assert answer["access_mode"] in ("r", "rw")
    assert client.get("detector", "config/x_pixels_in_detector") == 30


def test_parameters_follow_each_other():
    parameters = Parameters()
    parameters.change("detector", "wavelength", 2.0)
    assert parameters["detector/config/photon_energy"] == pytest.approx(6199.21, abs=0.01)
    assert parameters["detector/config/threshold_energy"] == pytest.approx(3099.6, abs=0.1)
    parameters.change("detector", "count_time", 0.5)
    assert parameters["detector/config/frame_time"] == 0.5
    parameters.change("detector", "frame_time", 0.1)
    assert parameters["detector/config/count_time"] == 0.1
