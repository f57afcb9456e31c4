"""Lines of JSON: what programs read, and readers and disks that fail."""

from __future__ import annotations

import json
import os
import threading
import time

import numpy as np
import pytest

from crystint.errors import SettingError
from crystint.io.peaks.text import read_json_lines
from crystint.online.json_lines import JsonLines
from tests.online.made_up import made_up_run, result

OF_OTHERS = {
    "frame", "n_spots", "n_spots_low_res", "n_spots_no_ice", "d_min_est", "bkg", "saturated", "hit", "t_recv", "t_done",
    "file", "file-number", "n_spots_total", "num_strong_pixels", "spot_centers",
}  # fmt: skip
"""Names that programs of the field have."""


def run_of(sink, run, *results):
    sink.begin(run)
    sink.results(run, results)
    sink.end(run)


def wait_for(what):
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_file_has_a_line_for_each_image(tmp_path):
    run, path = made_up_run(), tmp_path / "run.jsonl"
    sink = JsonLines(path)
    run_of(sink, run, result(run, 0, 2, n_low=1, t_received=10**18 + 1, background=0.5), result(run, 1))
    sink.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1]
    assert set(lines[0]) >= OF_OTHERS
    assert lines[0]["n_spots_low_res"] == 1
    assert lines[0]["t_recv"] == 10**18 + 1
    assert lines[0]["bkg"] == 0.5
    assert lines[0]["hit"] is True
    assert lines[1]["d_min_est"] is None
    assert lines[1]["saturated"] is None
    assert lines[0]["spot_centers"] == [[7.5, 3.25], [7.5, 4.25]]
    assert lines[0]["rois"]["beam"]["npixel"] == 12
    assert lines[0]["results"]["shells"] == [None] * 8
    assert sink.status()["images"] == 2


def test_the_lines_are_a_peak_list_of_crystint(tmp_path):
    run, path = made_up_run(), tmp_path / "run.jsonl"
    made = [result(run, number, number) for number in range(4)]
    sink = JsonLines(str(path))
    run_of(sink, run, *made)
    sink.close()
    np.testing.assert_array_equal(read_json_lines(path), np.concatenate([each.peaks for each in made]))


def test_a_named_pipe_is_written_when_somebody_reads(tmp_path):
    run, told, path = made_up_run(), [], tmp_path / "pipe"
    os.mkfifo(path)
    sink = JsonLines(path, told.append)
    run_of(sink, run, result(run, 0))
    wait_for(lambda: sink.status()["lost"] == 1)
    assert "nobody reads" in told[0].data["text"]
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    wait_for(lambda: time.monotonic() >= sink._retry)
    run_of(sink, run, result(run, 1))
    wait_for(lambda: sink.status()["images"] == 1)
    assert json.loads(os.read(reader, 2**16))["frame"] == 1
    os.close(reader)
    run_of(sink, run, result(run, 2))  # nobody is there again
    wait_for(lambda: sink.status()["lost"] == 2)
    assert "went away" in told[-1].data["text"]
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    run_of(sink, run, result(run, 3))
    wait_for(lambda: sink.status()["images"] == 2)
    sink.close()
    assert json.loads(os.read(reader, 2**16))["frame"] == 3
    os.close(reader)


def test_a_reader_that_sleeps_holds_nobody_up():
    run, told = made_up_run(), []
    out, into = os.pipe()
    sink = JsonLines(f"fd:{into}", told.append, limit=100_000)
    sink.begin(run)
    many = [result(run, number, 20) for number in range(20)]
    start = time.monotonic()
    for _ in range(40):
        sink.results(run, many)
    assert time.monotonic() - start < 10
    assert sink.status()["lost"] > 0
    assert "its reader is slow" in told[0].data["text"]
    text = bytearray()

    def read():
        while piece := os.read(out, 2**16):
            text.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    sink.end(run)
    sink.close()
    os.close(into)
    reader.join(30)
    os.close(out)
    lines = [json.loads(line) for line in text.decode().splitlines()]
    assert len(lines) + sink.status()["lost"] == 800


def test_a_full_disk_is_told_once(monkeypatch, tmp_path):
    run, told, path = made_up_run(), [], tmp_path / "run.jsonl"
    sink = JsonLines(path, told.append)
    write, full = os.write, threading.Event()

    def some_of_it(descriptor, data):
        if descriptor != sink._descriptor or not full.is_set():
            return write(descriptor, data)
        if len(data) < 400:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", some_of_it)
    run_of(sink, run, result(run, 0))
    wait_for(lambda: sink.status()["images"] == 1)
    full.set()
    run_of(sink, run, result(run, 1), result(run, 2))
    wait_for(lambda: sink.status()["lost"] == 2)
    full.clear()
    run_of(sink, run, result(run, 3))
    sink.close()
    assert [json.loads(line)["frame"] for line in path.read_text().splitlines()] == [0, 3]
    assert ["No space left" in event.data["text"] for event in told] == [True]


@pytest.mark.parametrize("target", ["no/such/folder/x.jsonl", "fd:987"])
def test_what_cannot_be_written_is_refused(target):
    with pytest.raises(SettingError, match="cannot be written"):
        JsonLines(target)
