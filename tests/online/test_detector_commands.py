"""online simulate, send and record, each a process or a call, with a program that pulls."""

from __future__ import annotations

import json
import signal
import sys
from threading import Event, Thread

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from crystint.cli import main
from crystint.errors import FileError
from crystint.online import Simulator
from crystint.online.record import Recorder, recorded
from crystint.online.replay import replay
from tests.conftest import ROOT
from tests.online.pulling import Puller, read
from tests.processes import LONG, started

FREE = "tcp://127.0.0.1:*"


def _started(*words):
    """A command in a process of its own, and the address that it tells."""
    process = started([sys.executable, "-m", "crystint", "online", *map(str, words)], ROOT)
    while True:
        line = process.stderr.readline()
        assert line, "it ended before it was bound"
        if "tcp://127.0.0.1:" in line:
            return process, "tcp://127.0.0.1:" + line.partition("tcp://127.0.0.1:")[2].split(";")[0].split(",")[
                0
            ].strip()


def _run(code, *words):
    result = CliRunner().invoke(main, ["online", *map(str, words)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def test_simulate_tells_the_truth(tmp_path):
    faults = tmp_path / "faults.yaml"
    faults.write_text("drop: [1]\nend: twice\n")
    truth = tmp_path / "truth.json"
    process, address = _started(
        "simulate", "--size", "40x50", "--frames", 6, "--ring", 3, "--hit-rate", 1, "--peaks", 4, "--fps", 500,
        "--stream", FREE, "--faults", faults, "--truth", truth,
    )  # fmt: skip
    with Puller(address) as puller:
        messages = [read(parts) for parts in puller.all(2, 0.05)]
    _, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 0, stderr
    assert "sent 5 of 6 images" in stderr
    assert [m["image_id"] for m in messages if m["type"] == "image"] == [0, 2, 3, 4, 5]
    told = json.loads(truth.read_text())
    assert told["series"][0]["dropped"] == [[1, 1]]
    assert told["series"][0]["books"]["second_ends"] == 1
    assert told["frames"] == 3
    assert sorted(set(told["peaks"]["frame"])) == [0, 1, 2]
    assert 250 < told["rate"] <= 750
    frame = messages[1]["data"]["threshold_1"]
    slow, fast = (int(told["peaks"][axis][0]) for axis in ("slow", "fast"))
    assert frame[max(slow - 2, 0) : slow + 3, max(fast - 2, 0) : fast + 3].max() > 15
    _run(1, "simulate", "--size", "40x50", "--truth", truth)


def test_a_signal_ends_the_series_and_the_truth_is_written(tmp_path):
    truth = tmp_path / "truth.json"
    process, address = _started(
        "simulate", "--size", "30x40", "--frames", 10**6, "--ring", 1, "--stream", FREE, "--truth", truth
    )
    with Puller(address) as puller:
        assert puller.next() is not None
        assert puller.next() is not None
        process.send_signal(signal.SIGTERM)
        assert read(puller.all(1, 0.05)[-1])["type"] == "end"
        _, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 143
    assert "Traceback" not in stderr
    assert json.loads(truth.read_text())["series"][0]["early"] is True


def test_what_is_recorded_is_sent_again_byte_for_byte(tmp_path):
    frames = np.random.default_rng(0).poisson(2.0, (4, 20, 30)).astype(np.uint16)
    faults = {"truncated": [2], "silence_at": [3], "silence_s": 0.3}
    folder = tmp_path / "dump"
    with Simulator(frames, fps=1000, stream=FREE, faults=faults) as detector:
        result = _run(0, "record", "--stream", detector.address, "-o", folder, "--series", 1)
    assert "4 messages" not in result.output
    assert "6 messages" in result.stdout
    assert "3 images, 1 ends, 1 damaged" in result.stdout
    index = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in index] == ["start", "image", "image", "damaged", "image", "end"]
    assert [line.get("image") for line in index] == [None, 0, 1, None, 3, None]
    times = np.array([line["time"] for line in index])
    assert 0.25e9 < times[4] - times[3] < 20e9
    whole = [(folder / line["file"]).read_bytes() for line in index]
    process, address = _started("send", folder, "--to", FREE, "--speed", 2)
    with Puller(address) as puller:
        again = puller.all(1, 0.05)
    _, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 0, stderr
    assert [b"".join(parts) for parts in again] == whole
    assert "6 messages, 3 of them images" in stderr
    _run(1, "record", "-o", folder)
    _run(2, "send", folder, "--dialect", "legacy")


def test_a_record_of_messages_with_parts(tmp_path):
    recorder = Recorder(tmp_path / "dump")
    recorder.write([b"one", b"", b"three"], 5)
    recorder.close()
    (message,) = recorded(tmp_path / "dump")
    assert message.read() == (b"one", b"", b"three")
    assert (message.time, message.kind) == (5, "damaged")
    message.path.write_bytes(b"on")
    with pytest.raises(FileError, match="has 2 bytes, its index says 8"):
        message.read()
    with pytest.raises(FileError, match="is not empty"):
        Recorder(tmp_path / "dump")
    index = tmp_path / "dump" / "index.jsonl"
    whole = index.read_text()
    index.write_text(whole + whole[:20])
    assert len(list(recorded(tmp_path / "dump"))) == 1, "cut off in the middle of a line"
    index.write_text(whole[:20] + "\n" + whole)
    with pytest.raises(FileError, match="line 1 is no message"):
        list(recorded(tmp_path / "dump"))
    index.write_text(whole.replace('"file": "', '"file": "../'))
    assert list(recorded(tmp_path / "dump")) == []


def test_a_replay_stops(tmp_path):
    recorder = Recorder(tmp_path / "dump")
    recorder.write([b"a"], 0)
    recorder.write([b"b"], 10**15)
    recorder.close()
    addresses, stop, bound = [], Event(), Event()

    def tell(places):
        addresses.extend(places)
        bound.set()

    thread = Thread(target=replay, args=(tmp_path / "dump", [FREE]), kwargs={"stop": stop, "bound": tell})
    thread.start()
    assert bound.wait(30)
    with Puller(*addresses) as puller:
        assert puller.next() == [b"a"]
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def test_send_replays_files(tmp_path):
    frames = np.random.default_rng(0).poisson(2.0, (3, 20, 30)).astype(np.uint16)
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["entry/data/data"] = frames
    process, address = _started("send", tmp_path / "frames.h5", "--to", FREE, "--fps", "max", "--channels", "a,b")
    with Puller(address) as puller:
        start, *images, _end = (read(parts) for parts in puller.all(1, 0.05))
    process.communicate(timeout=LONG)
    assert process.returncode == 0
    assert start["channels"] == ("a", "b")
    for frame, image in zip(frames, images, strict=True):
        np.testing.assert_array_equal(image["data"]["a"], frame)
    _run(1, "send", tmp_path / "none.h5")
