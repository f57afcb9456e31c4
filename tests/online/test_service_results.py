"""What a service tells other programs of a stream is what `crystint peaks` finds in the same frames."""

from __future__ import annotations

import json
import threading

import msgpack
import numpy as np
import zmq

import crystint
from crystint.engine import Engine
from crystint.io.peaks.text import read_json_lines
from crystint.online import Service
from crystint.online.publish import ResultsPublisher
from crystint.online.results_message import ResultsBatch
from crystint.online.settings import ServeSettings
from crystint.online.sinks import sinks_of
from crystint.online.subscription import Subscription
from crystint.separation import find_peaks
from crystint.stream import SeriesKey
from tests.online.streams import GEOMETRY, frames_of, messages_of
from tests.online.subscriber import subscribed

ANY = "tcp://127.0.0.1:*"


def test_every_program_is_told_the_peaks_of_crystint_peaks(tmp_path):
    frames = frames_of("u2")
    GEOMETRY.write(tmp_path / "geometry.json")
    np.save(tmp_path / "run.npy", np.stack(list(frames)))
    common = {"rings": 60, "geometry": tmp_path / "geometry.json"}
    find_peaks([tmp_path / "run.npy"], [tmp_path / "peaks.h5"], common, device="cpu")
    batch = crystint.read_peaks(tmp_path / "peaks.h5")
    assert len(batch) > 20

    lines = tmp_path / "online.jsonl"
    settings = ServeSettings(results=ANY, metadata=ANY, crystfel=ANY, json_lines=str(lines), **common)
    service = Service(settings=settings, engine=Engine("cpu"))
    sinks = {sink.name: sink for sink in sinks_of(settings, service.tell)}
    exact = ResultsPublisher(ANY, service.tell, name="exact", exact=True)
    for sink in (*sinks.values(), exact):
        service.add(sink)
    full: list[np.ndarray] = []
    joined = threading.Event()

    def follow() -> None:
        with Subscription(exact.address, timeout=30) as messages:
            for message in messages:
                if isinstance(message, ResultsBatch):
                    full.append(message.peaks)
                elif message.type == "event":
                    joined.set()
                elif message.type == "end":
                    return

    with subscribed(sinks["results"].address) as results, subscribed(sinks["metadata"].address) as metadata:
        thread = threading.Thread(target=follow)
        thread.start()
        while sinks["results"].status()["subscribers"] + sinks["metadata"].status()["subscribers"] < 2:
            assert not joined.wait(0.02)
        while exact.status()["subscribers"] < 1:
            assert not joined.wait(0.02)
        with service:
            for message in messages_of(frames):
                service.take(message)
            assert service.wait("idle")
            end = results.until("end")
            metadata.until("end")
            context = zmq.Context()
            request = context.socket(zmq.REQ)
            request.setsockopt(zmq.RCVTIMEO, 30_000)
            request.connect(sinks["crystfel"].address)
            request.send(b"next")
            hit = msgpack.unpackb(request.recv())
            request.close(0)
            context.term()
        thread.join(30)
    assert not [event for event in service.events() if "sink" in event["data"]]
    assert end["books"]["analysed"] == len(frames)

    assert np.concatenate(full).tobytes() == batch.tobytes()
    spots = [message["spots"] for message in results.seen if message["type"] == "results"]
    for name in ("slow", "fast", "intensity", "sigma", "snr", "d"):
        told = np.concatenate([np.frombuffer(each[name].value, "<f4") for each in spots])
        np.testing.assert_array_equal(told, batch[name].astype("f4"), name)
    start = next(message for message in results.seen if message["type"] == "start")
    assert start["geometry"]["distance"] == GEOMETRY.distance
    assert start["settings"]

    assert read_json_lines(lines).tobytes() == batch.tobytes()
    assert len(lines.read_text().splitlines()) == len(frames)
    assert json.loads(lines.read_text().splitlines()[0])["status"] == "ok"
    images = [each for message in metadata.seen if message["type"] == "metadata" for each in message["images"]]
    assert [each["x"] + 0.5 for image in images for each in image["spots"]] == batch["fast"].tolist()
    own = batch[batch["frame"] == hit["image_id"]]
    assert hit["peak_list"]["fs"] == (own["fast"] - 0.5).tolist()
    assert hit["image"]["shape"] == list(frames[0].shape)


def test_a_sink_that_fails_leaves_the_run_alone():
    class Broken(ResultsPublisher):
        def _results(self, run, results):
            raise RuntimeError("no")

    frames = frames_of("u2", 4)
    settings = ServeSettings(rings=60)
    service = Service(settings=settings, engine=Engine("cpu"))
    service.add(Broken(ANY, service.tell))
    seen: list[int] = []
    service.on_result(lambda result: seen.append(result.number))
    with service:
        for number in range(2):
            for message in messages_of(frames, SeriesKey(number)):
                service.take(message)
            assert service.wait("idle")
    assert seen == [0, 1, 2, 3] * 2
    told = [event["data"] for event in service.events() if "sink" in event["data"]]
    assert [each["series"] for each in told] == ["0", "1"]
    assert all("RuntimeError: no" in each["text"] for each in told)
