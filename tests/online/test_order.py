"""Results in order: what is missing, what is late."""

from __future__ import annotations

from crystint.stream.messages import End
from tests.online.pipeline import Pipeline, image, start


def _with_a_gap(later: int, frame_time: float | None = None) -> Pipeline:
    """Image 3 does not come, and as many after it."""
    pipeline = Pipeline()
    pipeline.send(start(images=200, frame_time=frame_time), *(image(number) for number in range(3)))
    pipeline.send(*(image(number) for number in range(4, 4 + later)))
    pipeline.work()
    return pipeline


def _rows(pipeline: Pipeline) -> list[tuple[int, str]]:
    return pipeline.rows(pipeline.series[0])


def test_results_wait_for_their_turn():
    pipeline = Pipeline()
    pipeline.send(start(images=4), *(image(number) for number in (2, 0, 3, 1)))
    works = [pipeline.queue.get(0.0) for _ in range(4)]
    for work, released in zip((works[2], works[1], works[3], works[0]), (0, 1, 2, 4), strict=True):
        pipeline.finish(work)
        pipeline.emit()
        assert len(_rows(pipeline)) == released
    assert [number for number, _ in _rows(pipeline)] == [0, 1, 2, 3]


def test_an_image_that_is_still_worked_on_is_never_missing():
    pipeline = Pipeline()
    pipeline.send(start(images=200), *(image(number) for number in range(100)))
    first = pipeline.queue.get(0.0)
    pipeline.work()
    for _ in range(20):
        pipeline.wait(1.0)
        pipeline.emit()
    assert _rows(pipeline) == []
    pipeline.finish(first)
    pipeline.emit()
    assert _rows(pipeline) == [(number, "OK") for number in range(100)]


def test_what_is_missing_is_passed_over_after_a_second_when_64_later_ones_wait():
    pipeline = _with_a_gap(63)
    pipeline.wait(1.5)
    pipeline.emit()
    assert len(_rows(pipeline)) == 3, "63 wait"
    pipeline.send(image(67))
    pipeline.work()
    assert _rows(pipeline)[3] == (3, "MISSING")
    assert len(_rows(pipeline)) == 68

    pipeline = _with_a_gap(64)
    pipeline.wait(0.9)
    pipeline.emit()
    assert len(_rows(pipeline)) == 3, "less than a second"
    pipeline.wait(0.2)
    pipeline.emit()
    assert len(_rows(pipeline)) == 68


def test_at_a_slow_rate_it_waits_for_fifty_frame_times():
    pipeline = _with_a_gap(100, frame_time=0.2)
    pipeline.wait(3.9)
    pipeline.send(image(150))
    pipeline.work()
    pipeline.wait(3.9)
    pipeline.emit()
    assert len(_rows(pipeline)) == 3
    pipeline.send(image(151))
    pipeline.work()
    pipeline.wait(2.3)
    pipeline.emit()
    assert (3, "MISSING") in _rows(pipeline)


def test_when_nothing_comes_any_more_results_are_not_held_back():
    pipeline = _with_a_gap(5)
    pipeline.wait(4.9)
    pipeline.emit()
    assert len(_rows(pipeline)) == 3
    pipeline.wait(0.2)
    pipeline.emit()
    assert _rows(pipeline)[3:5] == [(3, "MISSING"), (4, "OK")]


def test_a_late_image_has_its_row_again():
    pipeline = _with_a_gap(64)
    pipeline.wait(1.1)
    pipeline.emit()
    pipeline.send(image(3))
    pipeline.work()
    assert _rows(pipeline)[-1] == (3, "late")
    series = pipeline.series[0]
    assert (series.books.late, series.books.received, series.books.analysed) == (1, 68, 68)
    pipeline.send(*(image(number) for number in range(68, 200)), End(series.key))
    pipeline.work()
    assert series.books.complete, "a late image is not missing"


def test_many_that_are_missing_at_once():
    pipeline = Pipeline()
    pipeline.send(start(images=None), image(0), image(2_000_000_000), End(pipeline_key := start().series))
    pipeline.work()
    pipeline.wait(2.1)
    pipeline.work()
    series = pipeline.series[0]
    assert series.key == pipeline_key
    assert len(_rows(pipeline)) == 10_002
    assert _rows(pipeline)[-1] == (2_000_000_000, "OK")
    assert series.books.missing == 2_000_000_000 - 1
    assert series.missing() == [(1, 2_000_000_000)]


def test_how_many_wait_may_be_asked_while_a_series_begins():
    pipeline = Pipeline()
    pipeline.send(start(images=2), image(1))
    pipeline.work()
    (line,) = pipeline.order._lines.values()

    class Beginning(dict):
        def __len__(self):
            pipeline.send(start(7))
            return 1

    line.waiting = Beginning()
    assert pipeline.order.waiting == 1
    assert len(pipeline.order._lines) == 2
