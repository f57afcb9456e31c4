"""What the web process remembers: rows in any order, regions that change, bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.model.frame_table import FrameStatus
from crystint.model.peaks import empty_peaks
from crystint.model.rois import empty_roi_values
from crystint.online.history import GrowingRows, History, SeriesHistory
from crystint.online.result import RESULT_DTYPE, empty_results
from crystint.online.sink import Event
from crystint.stream.messages import SeriesKey

KEY = SeriesKey(7, "abc")


def rows(numbers, **columns):
    table = empty_results(len(numbers))
    table["frame"] = numbers
    for name, values in columns.items():
        table[name] = values
    return table


@pytest.mark.parametrize("batches", [[1] * 40, [3, 5, 2, 9], [25], [7, 25, 1, 1], [10, 10, 10]])
def test_the_last_rows_are_remembered_and_old_views_stay(batches):
    grown, came, views = GrowingRows(np.dtype("i8"), 8), 0, []
    for size in batches:
        grown.append(np.arange(came, came + size))
        came += size
        views.append((grown.view, grown.view.copy()))
        assert grown.view.tolist() == list(range(came - len(grown.view), came))
        assert min(came, 8) <= len(grown.view) <= 16
    for view, copy in views:
        assert np.array_equal(view, copy)


def test_rows_come_out_by_number_and_the_last_of_a_number_counts():
    series = SeriesHistory(KEY)
    series.add(rows([0, 1, 3], n_spots=[5, 6, 8]))
    series.add(rows([4, 2], n_spots=[9, 7]))
    missing = rows([5])
    missing["status"] = FrameStatus.MISSING
    series.add(missing)
    series.add(rows([6, 5], n_spots=[1, 2], late=[0, 1]))
    table = series.ordered().table
    assert table["frame"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert table["n_spots"].tolist() == [5, 6, 7, 8, 9, 2, 1]
    assert table["status"][5] == FrameStatus.OK
    assert series.came == 8


def test_regions_that_change_keep_their_rows():
    series = SeriesHistory(KEY)
    series.add(rows([0, 1]))
    first = np.stack([empty_roi_values(2), empty_roi_values(2)], axis=1)
    first["sum"] = [[1, 10], [2, 20]]
    series.add(rows([2, 3]), regions=first, roi_names=("a", "b"))
    second = np.stack([empty_roi_values(1), empty_roi_values(1)], axis=1)
    second["sum"] = [[30, 300]]
    series.add(rows([4]), regions=second, roi_names=("b", "c"))
    series.add(rows([5]))
    ordered = series.ordered()
    assert ordered.roi_names == ("b", "c")
    assert ordered.region("a") is None
    assert ordered.region("b")["sum"].tolist() == [0, 0, 10, 20, 30, 0]
    assert ordered.region("c")["sum"].tolist() == [0, 0, 0, 0, 300, 0]
    assert np.isnan(ordered.region("c")["mean"][:4]).all()


def test_memory_does_not_grow_with_the_images():
    series = SeriesHistory(KEY, budget=400 * RESULT_DTYPE.itemsize)
    for begin in range(0, 5000, 50):
        regions = empty_roi_values(100).reshape(50, 2)
        series.add(rows(np.arange(begin, begin + 50)), regions=regions, roi_names=("a", "b"))
        held = series.arrived
        assert len(held.table) == len(held.regions)
        assert held.table.nbytes + held.regions.nbytes <= series.budget
    assert series.ordered().table["frame"][-1] == 4999
    assert len(held.table) >= 100
    assert series.came == 5000


def test_spots_of_the_last_images_and_sums_over_all():
    series = SeriesHistory(KEY, {"shape": (1100, 900)})
    peaks = empty_peaks(4)
    peaks["slow"], peaks["fast"] = [0.5, 3.5, 1099.5, 500.0], [0.5, 2.0, 899.5, 1e9]
    peaks["d"], peaks["intensity"] = [2.0, 2.0, np.nan, 1.0], [100.0, 100.0, 5.0, 0.5]
    series.add(rows([3, 4]), [peaks, empty_peaks()])
    assert len(series.spots(3)) == 4
    assert len(series.spots(4)) == 0
    assert series.spots(5) is None
    assert series.sums.spots == 4
    assert series.sums.powder.sum() == 3
    assert series.sums.powder[0, 0] == 1
    assert series.sums.powder.shape == (-(-1100 // series.sums.bin), -(-900 // series.sums.bin))
    assert series.sums.by_q[50] == 2, "1/d = 0.5"
    assert series.sums.by_q[100] == 1
    assert series.sums.peakogram.sum() == 3


def test_two_series_are_remembered():
    history = History()
    assert history.series() is None
    for number in range(3):
        history.add(SeriesKey(number, "x"), rows([0, 1]))
    assert history.series().key.id == 2
    assert history.series("1").key.id == 1
    assert history.series("1-x").key.id == 1
    assert history.series("0") is None
    history.begin(SeriesKey(2, "x"), {"frame_time": 0.1})
    assert history.series().info == {"frame_time": 0.1}
    assert len(history.series().ordered().table) == 2, "a start that is told again forgets nothing"
    history.end(SeriesKey(2, "x"), {"received": 2})
    assert history.series().ended
    assert history.results == 6


def test_the_last_words_of_a_forgotten_series_push_no_newer_one_away():
    history = History()
    keys = [SeriesKey(number, "abc") for number in range(3)]
    for key in keys:
        history.begin(key, {})
    history.add(keys[0], rows([5, 6]))  # images that never came
    history.end(keys[0], {})
    assert history.series(str(keys[0])) is None
    assert [history.previous.key, history.current.key] == keys[1:]


def test_events_go_on_after_the_last_one_and_after_a_restart():
    history = History()
    for number in range(1, 1301):
        history.event(Event("state", {"n": number}, 1000 + number, number))
    assert [each.number for each in history.events_after(1297, 2297)] == [1298, 1299, 1300]
    assert len(history.events_after(0)) == 1000
    assert history.events_after(1300, 2300) == []
    history.event(Event("state", {}, 2300, 1300))
    assert len(history.events_after(0)) == 1000, "told twice"
    again = History()
    for number in range(1, 6):
        again.event(Event("state", {}, 5000 + number, number))
    assert [each.number for each in again.events_after(900, 1900)] == [1, 2, 3, 4, 5]
    assert [each.number for each in again.events_after(3, 1003)] == [1, 2, 3, 4, 5], "the 3 of another life"
    assert [each.number for each in again.events_after(3, 5003)] == [4, 5]
