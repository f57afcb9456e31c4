"""The measurement of this machine, on small images for a moment: what adds up must add up."""

from __future__ import annotations

import pytest

from crystint.online.self_check import AtRate, Budget, CheckReport, check, memory_in_use


def test_it_measures_and_adds_up():
    report = check(size="64x64", seconds=0.6, device="cpu", threads=1, ring=2)
    steps = report.budget
    assert min(steps.receive, steps.walk, steps.decode, steps.separate) > 0
    assert steps.total == pytest.approx(steps.receive + steps.walk + steps.decode + steps.separate)
    assert report.possible == pytest.approx(1000 * report.cores / steps.total)
    assert report.sustained.analysed > 0
    assert report.sustained.skipped == report.sustained.missing == 0
    assert report.steady is not None
    assert "limited by" in report.text
    assert memory_in_use() > 10**7


def _report(queued):
    reached = AtRate(None, 100.0, 1.0, 0, 0, (0.01, 0.05), queued, 0, 1.0, 1.0)
    return CheckReport(Budget(1.0, 1.0, 3.0, 5.0, 10**6, 2000.0), reached, None, 2, "device", 2)


def test_what_limits_is_told():
    assert _report(9.0).share == pytest.approx(0.5)
    assert _report(9.0).limit == "finding peaks: 5 of 10 ms"
    assert "simulated detector" in _report(0.0).limit
