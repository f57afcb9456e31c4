"""A few of the series with random faults that benchmarks/online_faults.py sends by the hundred."""

from __future__ import annotations

from benchmarks.online_faults import drawn, run


def test_books_are_the_truth():
    seeds = [1, 6, 8]
    wrong, polled = run(seeds, images=150)
    assert not wrong, [(seed, drawn(seed, 150)) for seed in wrong]
    assert not polled.wrong
    assert polled.polls > 0
