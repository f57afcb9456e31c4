"""Several machines: nodes that share a stream, and the head that makes one series of it."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import numpy as np
import pytest

from crystint.engine import Engine
from crystint.errors import RefusedError, SettingError
from crystint.model.frame_table import FrameStatus
from crystint.online.head import Head
from crystint.online.node import Node
from crystint.online.result import Result
from crystint.online.service import Service
from crystint.online.settings import AnalysisSettings, ServeSettings
from tests.conftest import ROOT
from tests.online.streams import frames_of, messages_of
from tests.processes import started

zmq = pytest.importorskip("zmq")
RINGS = AnalysisSettings(rings=60)
QUICK = ServeSettings(rings=60, grace=0.5)


@pytest.fixture(scope="module")
def one_engine() -> Engine:
    return Engine("cpu")


@pytest.fixture(scope="module")
def messages() -> list[Any]:
    """A start, images, an end."""
    frames = frames_of("u2")
    return list(messages_of(frames[np.arange(12) % len(frames)]))


@pytest.fixture
def ring(one_engine, tmp_path):
    """A head and two nodes; all results of the head."""
    head = Head(f"ipc://{tmp_path}/head", token="secret", settings=QUICK, engine=one_engine)
    results: list[Result] = []
    head.on_result(results.append)
    with head:
        nodes = [
            Node(head.link.address, name=f"n{n}", token="secret", settings=QUICK, engine=one_engine) for n in range(2)
        ]
        try:
            for node in nodes:
                node.open()
            until(lambda: len(head.link.status()["nodes"]) == 2)
            yield head, nodes, results
        finally:
            for node in nodes:
                node.close()


def until(condition: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to it"
        time.sleep(0.02)


def single(messages: list[Any], engine: Engine) -> tuple[list[Result], dict[str, Any]]:
    results: list[Result] = []
    with Service(settings=QUICK, engine=engine) as service:
        service.on_result(results.append)
        for message in messages:
            service.take(message)
        assert service.wait("idle")
        return results, service.series()[0]


def test_two_nodes_and_a_head_are_as_one(ring, messages, one_engine):
    head, nodes, results = ring
    nodes[0].take(messages[0])
    until(lambda: nodes[1].intake.live)
    for number, message in enumerate(messages[1:-1]):
        nodes[number % 2].take(message)
    nodes[1].take(messages[-1])
    until(lambda: head.series() and head.series()[0]["books"]["ended"])
    assert head.wait("idle")
    until(lambda: len(results) == 12)
    alone, described = single(messages, one_engine)
    assert [result.number for result in results] == list(range(12))
    for result, expected in zip(results, alone, strict=True):
        assert result.peaks.tobytes() == expected.peaks.tobytes()
        for name in result.row.dtype.names:
            if name not in ("t_received", "t_done"):
                np.testing.assert_array_equal(result.row[name], expected.row[name], name)
    assert head.series()[0]["books"] == described["books"]
    until(lambda: not nodes[0].intake.live)
    assert sum(node.series()[0]["books"]["analysed"] for node in nodes) == 12


def test_a_head_that_is_started_anew_is_obeyed(one_engine, tmp_path):
    address = f"ipc://{tmp_path}/head"
    with Node(address, name="n", settings=QUICK, engine=one_engine) as node:
        for snr in (6.0, 7.0):
            with Head(address, settings=QUICK, engine=one_engine) as head:
                until(lambda head=head: head.link.status()["nodes"])
                head.set(snr=snr)
                assert node.settings()["values"]["snr"] == snr


def test_the_images_of_a_node_that_dies_are_missing(ring, messages):
    head, nodes, results = ring
    nodes[0].take(messages[0])
    until(lambda: nodes[1].intake.live)
    for number in range(6):
        nodes[number % 2].take(messages[1 + number])
    until(lambda: head.status()["series"]["books"]["received"] == 6)
    head.link.dead_after = 0.8
    nodes[1].link._push = lambda message: None  # nothing comes of it from now on: images 7, 9 and 11 are lost with it
    for number in (6, 8, 10):
        nodes[0].take(messages[1 + number])
    nodes[0].take(messages[-1])
    until(lambda: head.series()[0]["books"]["ended"])
    assert head.wait("idle")
    until(lambda: len(results) == 12)
    books = head.series()[0]["books"]
    assert (books["expected"], books["received"], books["missing"]) == (12, 9, 3)
    assert [result.number for result in results] == list(range(12))
    missing = [result.number for result in results if result.status == FrameStatus.MISSING]
    assert missing == [7, 9, 11]
    until(lambda: any(event["name"] == "alarm" and "n1" in event["data"]["text"] for event in head.events()))


def test_images_come_before_the_start_and_what_no_image_is_made_of_is_counted(ring, messages):
    head, nodes, results = ring
    nodes[1].take(messages[2])
    nodes[1].take(messages[2])
    nodes[0].take(messages[0])
    until(lambda: nodes[1].intake.live)
    nodes[1].take(b"garbage")
    nodes[0].take(messages[1])
    for message in messages[3:]:
        nodes[0].take(message)
    until(lambda: head.series()[0]["books"]["ended"])
    assert head.wait("idle")
    until(lambda: len(results) == 12)
    until(lambda: head.series()[0]["books"]["damaged"] == 1)
    books = head.series()[0]["books"]
    assert (books["received"], books["missing"], books["duplicate"]) == (12, 0, 1)


def test_a_change_at_the_head_is_one_everywhere(ring, messages):
    head, nodes, results = ring
    nodes[0].take(messages[0])
    until(lambda: nodes[1].intake.live)
    for number in range(6):
        nodes[number % 2].take(messages[1 + number])
    until(lambda: head.status()["series"]["books"]["received"] == 6)
    applied = head.change_settings({"snr": 7.0})
    assert (applied.first_image, applied.version) == (6, 2)
    with pytest.raises(RefusedError):
        head.change_settings({"snr": -1.0})
    rois = {"rois": [{"type": "box", "name": "a", "slow_min": 1, "slow_max": 4, "fast_min": 2, "fast_max": 5}]}
    head.change_rois(rois)
    mask = np.zeros(frames_of("u2")[0].shape, np.uint8)
    mask[:3] = 1
    assert head.change_mask(mask).version == 3
    for number in range(6, 12):
        nodes[number % 2].take(messages[1 + number])
    nodes[0].take(messages[-1])
    until(lambda: head.series()[0]["books"]["ended"])
    assert head.wait("idle")
    until(lambda: len(results) == 12)
    assert [int(result.row["settings_version"][0]) for result in results] == [1] * 6 + [3] * 6
    assert [result.roi_names for result in results] == [()] * 6 + [("a",)] * 6
    assert [node.settings()["values"]["snr"] for node in nodes] == [7.0, 7.0]
    with pytest.raises(RefusedError):
        head.change_mask(np.zeros((3, 3), np.uint8))


def test_a_node_that_comes_later_is_as_the_others(ring, messages, one_engine):
    head, nodes, _ = ring
    head.change_settings({"snr": 8.0})
    nodes[0].take(messages[0])
    with Node(head.link.address, name="n2", token="secret", settings=QUICK, engine=one_engine) as late:
        until(lambda: late.intake.live)
        until(lambda: late.settings()["values"]["snr"] == 8.0)
        assert late.settings()["version"] == 2
        for message in messages[1:]:
            late.take(message)
        until(lambda: head.series()[0]["books"]["ended"])
        assert head.wait("idle")
        assert head.series()[0]["books"]["analysed"] == 12


def test_a_node_with_another_token_is_not_heard(ring, messages, one_engine):
    head, _, _ = ring
    with Node(head.link.address, name="foreign", token="other", settings=QUICK, engine=one_engine) as foreign:
        for message in messages:
            foreign.take(message)
        until(lambda: head.link.status()["refused"] > 2)
        assert set(head.link.status()["nodes"]) == {"n0", "n1"}
        assert head.series() == []


def test_addresses_that_are_none(one_engine):
    with pytest.raises(SettingError, match="nodes: nothing can be bound at 'there'"):
        Head("there", engine=one_engine)
    with pytest.raises(SettingError, match="head: is 'there'"):
        Node("there", name="n", engine=one_engine)


@pytest.fixture
def detector(tmp_path):
    """A PUSH socket and its address."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.setsockopt(zmq.LINGER, 0)
        push.setsockopt(zmq.SNDTIMEO, 60_000)
        address = f"ipc://{tmp_path}/detector"
        push.bind(address)
        yield push, address


def test_processes_share_a_stream_and_one_of_them_is_killed(one_engine, detector, tmp_path):
    push, stream = detector
    images = 60
    frames = frames_of("u2")[np.arange(images) % 4]
    start, *rest = messages_of(frames)
    results: list[Result] = []
    settings = ServeSettings(rings=60, grace=1.5)
    with Head(f"ipc://{tmp_path}/head", settings=settings, engine=one_engine) as head:
        head.on_result(results.append)
        words = [sys.executable, "-m", "crystint", "online", "node", "--broker", head.link.address, "--stream", stream]
        nodes = [
            started([*words, "--device", "cpu", "--rings", "60", "--name", name, "-q"], ROOT) for name in ("a", "b")
        ]
        assert [node.stdout.readline().split()[:2] for node in nodes] == [["node", "a"], ["node", "b"]]
        until(lambda: len(head.link.status()["nodes"]) == 2)
        push.send_multipart(start)
        for image in rest[: images // 2]:
            push.send_multipart(image)
        until(lambda: head.series() and head.series()[0]["books"]["received"] > 10)
        monitor = push.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        nodes[1].send_signal(signal.SIGKILL)
        assert monitor.poll(60_000), "the detector sees that it is gone, or the end might be lost with it"
        push.disable_monitor()
        monitor.close(0)
        for image in rest[images // 2 :]:
            push.send_multipart(image)

        def ended() -> bool:
            push.send_multipart(rest[-1])  # once more: the first may have gone into what was left of the dead node
            return bool(head.series()[0]["books"]["ended"])

        until(ended, 120.0)
        assert head.wait("idle")
        books = head.series()[0]["books"]
        assert books["expected"] == images == books["received"] + books["missing"]
        assert books["received"] > 10
        assert books["in_flight"] == 0
        until(lambda: {result.number for result in results} == set(range(images)))
        last = {result.number: result.status for result in results}
        assert sum(status == FrameStatus.MISSING for status in last.values()) == books["missing"]
        nodes[0].send_signal(signal.SIGINT)
        assert nodes[0].wait(60) == 0, nodes[0].communicate()
