"""Jobs side by side, results in order, never more of them begun than the window allows."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from crystint.run.ordered import in_order


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_however_long_each_takes(threads):
    def work(number: int) -> int:
        time.sleep(random.Random(number).random() / 200)
        return number * number

    with ThreadPoolExecutor(threads) as pool:
        results = list(in_order(partial(pool.submit, work), range(50), lambda: threads))
    assert results == [number * number for number in range(50)]


def test_no_more_are_begun_than_the_window_allows():
    begun = []
    with ThreadPoolExecutor(3) as pool:
        for taken, _ in enumerate(in_order(partial(pool.submit, begun.append), range(30), lambda: 2), 1):
            time.sleep(0.002)
            assert len(begun) <= taken + 4


def test_jobs_run_side_by_side():
    together = threading.Barrier(3, timeout=300)
    with ThreadPoolExecutor(3) as pool:
        assert len(list(in_order(lambda _: pool.submit(together.wait), range(6), lambda: 3))) == 6


def test_stop_begins_no_more_and_gives_what_was_begun():
    begun, stopped = [], threading.Event()
    with ThreadPoolExecutor(2) as pool:
        results = []
        for number in in_order(
            lambda number: pool.submit(lambda: (begun.append(number), number)[1]), range(100), lambda: 2, stopped.is_set
        ):
            results.append(number)
            if number == 10:
                stopped.set()
    assert results == list(range(len(results)))
    assert 11 <= len(results) <= 13
    assert len(begun) <= len(results) + 2


def test_an_error_comes_at_its_place_and_the_rest_is_cancelled():
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise ValueError("three")
        return number

    results = []
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="three"):
            results.extend(in_order(partial(pool.submit, work), range(100), lambda: 2))
        assert len(begun) <= 8
