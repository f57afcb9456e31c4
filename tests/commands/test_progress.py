"""How fast a run is said to be."""

from __future__ import annotations

import json
import os
import threading

import pytest

from crystint.commands import progress as module
from crystint.demo import demo_step
from crystint.run.outcome import rate_text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(27.43, "27.4 frames/s"), (1234.4, "1234 frames/s"), (1.0, "1 frames/s"), (0.31, "3.23 s per frame")],
)
def test_slow_work_is_told_in_seconds_per_frame(rate, text):
    assert rate_text(rate) == text


def test_a_sparse_file_of_few_frames_is_larger():
    assert demo_step._times(3_000_000, 1_000_000) == "3.0 times smaller"
    assert demo_step._times(500_000, 1_100_000) == "2.2 times larger"


@pytest.mark.parametrize(("seconds", "text"), [(0.5, "20 per s"), (40.0, "4 s each")])
def test_lines_of_progress_never_say_that_nothing_is_done(monkeypatch, capsys, seconds, text):
    clock = iter([0.0, *([seconds / 10 * number for number in range(1, 11)])])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    assert list(module.progress(range(10), 10, "peaks")) == list(range(10))
    assert capsys.readouterr().err.splitlines()[-1] == f"peaks: 10/10, {text}"


def test_the_rate_of_a_run_is_that_of_its_frames(tmp_path, monkeypatch):
    """Opening, which may compile kernels, does not count; it takes 40 s here, and a frame 2 s."""
    from crystint.run import in_progress

    class Crew:
        device = ""

        def records(self, numbers, first, stop):
            for number in numbers:
                now[0] += 2.0
                yield in_progress.FrameRecord(number=number).pack()

    now = [0.0]
    monkeypatch.setattr(in_progress.time, "monotonic", lambda: now[0])
    run = in_progress.RunInProgress(5, None, None, [], None, Crew(), lambda: False)
    assert run.rate == 0.0
    now[0] += 40.0
    assert len(list(run.records())) == 5
    now[0] += 100.0
    assert run.rate == pytest.approx(0.5)


def test_a_program_that_asks_is_told_in_json(monkeypatch, capsys):
    reading, writing = os.pipe()
    monkeypatch.setenv(module.DESCRIPTOR, str(writing))
    monkeypatch.setattr(module, "_REPORTS_S", 0.0)
    assert list(module.progress(iter("abc"), 3, "peaks")) == ["a", "b", "c"]
    os.close(writing)
    with os.fdopen(reading) as lines:
        reports = [json.loads(line) for line in lines]
    assert reports == [{"done": done, "total": 3, "what": "peaks"} for done in range(4)]
    assert not capsys.readouterr().err


def test_the_command_ends_when_its_reader_does(monkeypatch):
    reading, writing = os.pipe()
    asked = threading.Event()
    monkeypatch.setattr(module.os, "kill", lambda process, number: asked.set())
    monkeypatch.setenv(module.DESCRIPTOR, str(writing))
    module.end_with_reader()
    assert not asked.is_set()
    os.close(reading)
    assert asked.wait(30)
    os.close(writing)
