"""The control of a service, asked from elsewhere: the same answers, refusals and arrays as asked directly."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crystint.engine import Engine
from crystint.errors import RefusedError
from crystint.online import AnalysisSettings, Service
from crystint.online.control_messages import pack, unpack
from crystint.online.control_server import QUICK, SLOW, ControlServer
from crystint.online.proxy import ControlProxy
from tests.online.streams import frames_of, messages_of

zmq = pytest.importorskip("zmq")


@pytest.fixture(scope="module")
def one_engine() -> Engine:
    return Engine("cpu")


@pytest.fixture
def asked(one_engine: Engine, tmp_path: Path) -> Iterator[tuple[Service, ControlProxy]]:
    address = f"ipc://{tmp_path}/control"
    with Service(settings=AnalysisSettings(rings=60), engine=one_engine) as service:
        server, proxy = ControlServer(service, address), ControlProxy(address)
        try:
            yield service, proxy
        finally:
            proxy.close()
            server.close()


def test_every_method_of_the_control_can_be_asked_for():
    from crystint.online.control import Control

    methods = {name for name in vars(Control) if not name.startswith("_")}
    assert methods == QUICK | SLOW
    assert methods <= set(dir(ControlProxy))
    assert methods <= set(dir(Service))


def test_answers_are_those_of_the_service(asked):
    service, proxy = asked
    for message in messages_of(frames_of(count=3)):
        service.take(message)
    assert service.wait("idle")
    assert proxy.series() == service.series()
    assert proxy.settings() == service.settings()
    assert proxy.rois() == service.rois()
    assert proxy.events() == service.events()
    assert proxy.events(3) == service.events(3)
    assert proxy.start_message() == service.start_message()
    told, own = proxy.status(), service.status()
    assert told.keys() == own.keys()
    assert told["series"] == own["series"]
    applied = proxy.change_settings({"snr": 4.0}, revision=1)
    assert (applied.version, service.settings()["values"]["snr"]) == (2, 4.0)
    mask = np.zeros((150, 170), np.uint16)
    mask[3, 4] = 7
    assert proxy.change_mask(mask).version == 3
    np.testing.assert_array_equal(proxy.mask("user"), np.where(mask, 256, 0))
    assert proxy.mask("user").dtype == np.uint32
    box = {"name": "a", "type": "box", "slow_min": 0, "slow_max": 1, "fast_min": 0, "fast_max": 2}
    assert proxy.change_rois({"rois": [box]}).version == 1
    assert proxy.start({"prefix": "run_7"})["state"] == "arming"
    assert proxy.stop()["state"] == "idle"
    assert proxy.abort()["state"] == "idle"
    assert proxy.clear_error()["state"] == "idle"


def test_refusals_come_over(asked):
    _, proxy = asked
    cases: list[tuple[Any, str, str | None]] = [
        (lambda: proxy.change_settings({"snr": -1}), "bad_value", "snr"),
        (lambda: proxy.change_settings({"snr": 4.0}, revision=9), "conflict", None),
        (lambda: proxy.start_message(), "not_found", None),
        (lambda: proxy.mask("x"), "bad_value", "layer"),
    ]
    for call, reason, field in cases:
        with pytest.raises(RefusedError) as error:
            call()
        assert (error.value.reason, error.value.field) == (reason, field)
    with pytest.raises(RefusedError, match="no method 'close'"):
        proxy._ask("close")
    with pytest.raises(RefusedError, match="TypeError"):
        proxy._ask("status", 1, 2, 3)


def test_many_ask_at_once_and_none_waits_for_a_change(asked):
    service, proxy = asked
    entered, leave = threading.Event(), threading.Event()
    change = service.configuration.change_mask

    def slow(mask: Any) -> Any:
        entered.set()
        assert leave.wait(30)
        return change(mask)

    service.configuration.change_mask = slow
    with ThreadPoolExecutor(9) as pool:
        changing = pool.submit(proxy.change_mask, np.zeros((150, 170), np.uint8))
        assert entered.wait(30)
        numbers = list(pool.map(lambda _: proxy.status()["process"], range(40)))
        assert not changing.done()
        leave.set()
        assert changing.result(30).version == 2
    assert len(set(numbers)) == 1


def test_a_data_process_that_is_not_there_is_told_in_time(tmp_path):
    proxy = ControlProxy(f"ipc://{tmp_path}/nobody", patience=0.2)
    begun = time.monotonic()
    with pytest.raises(RefusedError) as error:
        proxy.status()
    assert error.value.reason == "busy"
    assert time.monotonic() - begun < 10
    proxy.close()


def test_nonsense_does_not_end_the_server(asked, tmp_path):
    _, proxy = asked
    context = zmq.Context()
    peer = context.socket(zmq.DEALER)
    peer.setsockopt(zmq.LINGER, 0)
    peer.connect(proxy._address)
    for parts in (
        [b""],
        [b"x", b"y"],
        [b"", b"1", b"\xff\xff"],
        [b"", b"1", pack({"method": 3})],
        [b"", b"1", pack(7)],
    ):
        peer.send_multipart(parts)
    assert proxy.status()["state"] == "idle"
    answers = []
    while peer.poll(500):
        answers.append(unpack(peer.recv_multipart()[2]))
    assert [answer["refused"][0] for answer in answers] == ["bad_value"] * 3
    peer.close()
    context.term()
