"""``crystint online serve`` for other programs: its options, and a port that is taken."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request

import h5py
import pytest

from tests.online.streams import GEOMETRY
from tests.online.test_serve import LONG, Detector, Served, analysed
from tests.processes import end_all

cbor2 = pytest.importorskip("cbor2")


@pytest.fixture
def detector(tmp_path):
    made = Detector(f"ipc://{tmp_path}/detector")
    try:
        yield made
    finally:
        end_all()
        made.close()


def test_programs_are_told_of_a_stream_and_of_files(detector, tmp_path):
    from tests.online.subscriber import subscribed

    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        port = some.getsockname()[1]
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["entry/data/data"] = detector.frames
    GEOMETRY.write(tmp_path / "geometry.json")
    served = Served(
        "--stream", f"ipc://{tmp_path}/detector", "-g", tmp_path / "geometry.json", "--results", "tcp://127.0.0.1:*",
        "--json-lines", tmp_path / "lines.jsonl", "--per-image-http", port, "--data-root", tmp_path,
    )  # fmt: skip
    address = served.until(lambda status: True)["sinks"]["results"]["address"]
    with subscribed(address) as subscriber:
        served.until(lambda status: status["sinks"]["results"]["subscribers"] == 1)
        detector.start(4)
        detector.images(*range(4))
        detector.end()
        end = subscriber.until("end")
    assert end["books"]["analysed"] == 4
    served.until(analysed(4))
    lines = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    for number, line in enumerate(lines, start=1):
        url = f"http://127.0.0.1:{port}{tmp_path}/run.h5;spotfinder.scan_range={number},{number}"
        with urllib.request.urlopen(url, timeout=LONG) as answer:
            spots = json.load(answer)
        assert spots["n_spots_total"] == line["n_spots"] > 5
        assert spots["total_intensity"] == line["total_intensity"]
    code, said = served.end(signal.SIGTERM)
    assert code == 0, said
    assert "Traceback" not in said


def test_a_port_that_is_taken_is_told_before_anything_begins(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        address = f"ipc://{tmp_path}/none"
        served = Served("--stream", address, "--per-image-http", port, "--data-root", tmp_path)
        code, said = served.end()
    assert code == 2, said
    assert "per_image_http" in said
    assert "Traceback" not in said
