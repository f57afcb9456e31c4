"""Series, books and states, with a clock that the test sets."""

from __future__ import annotations

import pytest

from crystint.errors import StreamError
from crystint.online.intake import Intake
from crystint.stream.messages import DamagedImage, End, Other
from tests.online.pipeline import SIZE, Pipeline, image, key, start


def _states(pipeline: Pipeline) -> list[str]:
    return [state.name + ("/stalled" if state.stalled else "") for state in pipeline.intake.state.transitions]


def test_a_series_from_its_start_to_its_end():
    pipeline = Pipeline()
    pipeline.send(start(images=3), image(0), image(1), image(2), End(key()))
    assert pipeline.intake.state.now.name == "finishing"
    pipeline.work()
    pipeline.wait(0.3)
    series = pipeline.series[0]
    assert series.books.to_dict() == {
        "expected": 3, "received": 3, "analysed": 3, "skipped": 0, "failed": 0, "duplicate": 0, "differing": 0,
        "late": 0, "foreign": 0, "damaged": 0, "second_ends": 0, "dropped": None, "ended": True, "last": 2,
        "in_flight": 0, "missing": 0,
    }  # fmt: skip
    assert series.books.complete
    assert series.reason == "complete"
    assert pipeline.settled == [series]
    assert _states(pipeline) == ["idle", "arming", "measuring", "finishing", "idle"]
    assert [state.revision for state in pipeline.intake.state.transitions] == [0, 1, 2, 3, 4]
    assert pipeline.rows(series) == [(0, "OK"), (1, "OK"), (2, "OK")]
    assert pipeline.raw == [(key(), 0), (key(), 1), (key(), 2)]


def test_what_is_missing_is_told_when_the_grace_is_over():
    pipeline = Pipeline()
    pipeline.send(start(images=8), image(1), image(2), image(5), End(key()))
    pipeline.work()
    series = pipeline.series[0]
    assert series.books.missing is None
    pipeline.wait(1.9)
    assert not series.final
    pipeline.send(image(6))
    pipeline.wait(1.9)
    assert not series.final, "an image came after the end, and more may"
    pipeline.wait(0.2)
    pipeline.work()
    assert series.books.missing == 4
    assert series.missing() == [(0, 1), (3, 5), (7, 8)]
    assert pipeline.rows(series) == [
        (0, "MISSING"), (1, "OK"), (2, "OK"), (3, "MISSING"), (4, "MISSING"), (5, "OK"), (6, "OK"), (7, "MISSING"),
    ]  # fmt: skip


def test_the_last_image_after_the_end_completes_the_series_at_once():
    pipeline = Pipeline()
    pipeline.send(start(images=2), image(0), End(key()), image(1))
    assert pipeline.series[0].final
    assert pipeline.series[0].books.missing == 0


def test_duplicates_and_those_that_differ():
    pipeline = Pipeline()
    pipeline.send(start(), image(0), image(0), image(0, content=2), image(1, content=2), image(1, content=2))
    books = pipeline.series[0].books
    assert (books.received, books.duplicate, books.differing) == (2, 3, 1)
    assert len(pipeline.raw) == 2, "the first one of a number counts"


def test_an_image_that_does_not_fit_is_failed_and_goes_to_no_file():
    pipeline = Pipeline()
    pipeline.send(start(images=2), image(0, shape=(3, 4)), image(1), End(key()))
    pipeline.work()
    series = pipeline.series[0]
    assert (series.books.received, series.books.failed, series.books.analysed) == (2, 1, 1)
    assert pipeline.rows(series) == [(0, "FAILED"), (1, "OK")]
    assert pipeline.raw == [(key(), 1)]
    assert pipeline.released[id(series)][0].error == pipeline.warnings[0]
    assert "(3, 4), the start says (4, 3) (slow, fast)" in pipeline.warnings[0]


def test_damaged_messages():
    pipeline = Pipeline()

    def read(parts):
        if isinstance(parts[0], Exception):
            raise parts[0]
        return parts[0]

    pipeline.intake = Intake(read, pipeline.queue, pipeline, clock=lambda: pipeline.now)
    pipeline.send(StreamError("before any series"), start(images=3), image(0))
    pipeline.send(StreamError("no CBOR"), DamagedImage("no frame", key(), 1), DamagedImage("no frame", key(), 1))
    pipeline.send(Other("calibration"))
    pipeline.work()
    series = pipeline.series[0]
    books = series.books
    assert (books.received, books.failed, books.damaged, books.duplicate) == (2, 1, 1, 1)
    assert (pipeline.intake.counts.damaged, pipeline.intake.counts.others) == (2, 1)
    assert pipeline.warnings == ["before any series"], "one a second"
    pipeline.now += 1.5
    pipeline.send(StreamError("again"))
    assert pipeline.warnings[-1] == "again (2 more before it)"
    pipeline.intake.abort()
    pipeline.send(DamagedImage("no frame", key(), 2), DamagedImage("no frame", key(9), 2))
    assert series.books.foreign == 1
    assert pipeline.intake.counts.damaged == 4


def test_a_number_that_no_detector_reaches_is_damage():
    pipeline = Pipeline()
    pipeline.send(start(), image(2**31), image(5))
    assert (pipeline.series[0].books.received, pipeline.series[0].books.damaged) == (1, 1)


def test_more_images_than_were_announced():
    pipeline = Pipeline()
    pipeline.send(start(images=2), image(0), image(1), image(3), End(key()))
    pipeline.wait(2.1)
    books = pipeline.series[0].books
    assert (books.expected, books.received, books.missing) == (4, 3, 1)


@pytest.mark.parametrize("images", [0, None])
def test_a_number_of_images_that_is_not_told(images):
    pipeline = Pipeline()
    pipeline.send(start(images=images), image(0), image(4), End(key()))
    assert pipeline.series[0].books.expected is None
    pipeline.wait(2.1)
    books = pipeline.series[0].books
    assert (books.expected, books.missing, books.last) == (5, 3, 4)


def test_a_thousand_million_announced_and_few_taken():
    pipeline = Pipeline()
    pipeline.send(start(images=10**9), *(image(number) for number in range(5)), End(key()))
    pipeline.wait(2.1)
    pipeline.work()
    series = pipeline.series[0]
    assert series.books.missing == 10**9 - 5
    assert series.books.last == 4
    assert series.missing() == [(5, 10**9)]
    assert len(pipeline.rows(series)) == 5 + 10_000, "rows of what is missing are bounded; the books have the rest"


def test_a_start_that_comes_twice():
    pipeline = Pipeline()
    pipeline.send(start(images=4), start(images=4), image(0), start(images=4), image(1))
    assert len(pipeline.series) == 1
    assert pipeline.series[0].second_starts == 2
    assert pipeline.series[0].books.received == 2


def test_a_start_that_is_corrected_before_the_first_image():
    pipeline = Pipeline()
    pipeline.send(start(images=4, message=b"1"), start(images=6, message=b"2"))
    assert len(pipeline.series) == 1
    assert pipeline.series[0].books.expected == 6


def test_the_same_series_anew_while_it_runs_and_after_its_end():
    pipeline = Pipeline()
    pipeline.send(start(images=3, message=b"1"), image(0), start(images=3, message=b"2"), image(0), image(1))
    assert [series.books.received for series in pipeline.series] == [1, 2]
    assert pipeline.series[0].reason == "the same series started anew"
    assert pipeline.series[0].books.expected == 1
    pipeline.send(End(key()), start(images=3, message=b"2"), image(0))
    assert [series.books.received for series in pipeline.series] == [1, 2, 1]


def test_series_that_overlap_in_the_pipe():
    pipeline = Pipeline()
    one, two = key(1), key(2)
    pipeline.send(start(one, 4), image(0, one), image(1, one), start(two, 2), image(0, two), image(2, one), End(one))
    pipeline.send(image(1, two), image(3, one), End(two))
    pipeline.work()
    assert [series.books.complete for series in pipeline.series] == [True, True]


def test_a_series_without_an_end_becomes_final_after_silence_once_another_began():
    pipeline = Pipeline()
    one, two = key(1), key(2)
    pipeline.send(start(one, 10, frame_time=0.5), image(0, one))
    pipeline.wait(1000.0)
    assert not pipeline.series[0].final, "as long as none begins, it may go on"
    assert pipeline.intake.state.now.stalled
    pipeline.send(start(two))
    pipeline.send(image(1, one))
    pipeline.wait(9.9)
    assert not pipeline.series[0].final, "20 frame times are 10 s"
    pipeline.wait(0.2)
    assert pipeline.series[0].final
    assert pipeline.series[0].reason == "silent, without an end message"
    assert pipeline.series[0].books.expected == 2, "it was broken off: nobody knows of more"
    pipeline.send(image(2, one), End(one), End(one))
    assert pipeline.series[0].books.foreign == 1
    assert pipeline.series[0].books.second_ends == 1


def test_a_whole_series_whose_end_got_lost_becomes_final():
    pipeline = Pipeline()
    pipeline.send(start(images=2), image(0), image(1))
    pipeline.wait(1.9)
    pipeline.send(image(1))
    pipeline.wait(2.1)
    assert pipeline.series[0].reason == "complete, without an end message"
    assert pipeline.series[0].books.duplicate == 1
    pipeline.send(End(key()), End(key()))
    assert pipeline.series[0].books.second_ends == 1, "the first one was only late"


def test_stop_waits_for_what_is_under_way():
    pipeline = Pipeline()
    pipeline.send(start(images=100), image(0))
    assert pipeline.intake.stop() == [pipeline.series[0]]
    pipeline.wait(1.0)
    pipeline.send(image(1))
    pipeline.wait(1.5)
    assert not pipeline.series[0].final
    pipeline.wait(0.6)
    pipeline.work()
    pipeline.wait(0.1)
    assert pipeline.series[0].books.complete
    assert pipeline.intake.state.now.name == "idle"
    assert pipeline.intake.stop() == []


def test_stalled_and_going_on():
    pipeline = Pipeline()
    pipeline.send(start(images=100), image(0))
    pipeline.wait(4.9)
    assert not pipeline.intake.state.now.stalled
    pipeline.wait(0.2)
    assert pipeline.intake.state.now.stalled
    pipeline.send(image(1))
    pipeline.wait(0.1)
    assert _states(pipeline) == ["idle", "arming", "measuring", "measuring/stalled", "measuring"]


def test_abort_and_re_arm_fifty_times_with_old_images_in_the_pipe():
    pipeline = Pipeline()
    for turn in range(50):
        one = key(turn, "x")
        pipeline.send(start(one, 20), *(image(number, one) for number in range(5)))
        pipeline.work(2)
        pipeline.intake.abort()
        pipeline.intake.arm()
        assert pipeline.intake.state.now.name == "arming"
        pipeline.send(image(5, one), image(6, one))
        two = key(turn, "y")
        pipeline.send(start(two, 3), image(7, one), image(0, two), image(8, one), image(1, two))
        pipeline.send(image(2, two), End(one), End(two), image(9, one))
        pipeline.work()
        pipeline.wait(0.0)
        first, second = pipeline.series[-2:]
        assert (first.reason, first.books.received, first.books.analysed, first.books.foreign) == ("aborted", 5, 5, 5)
        assert first.books.complete
        assert second.books.complete
        assert second.books.to_dict()["foreign"] == 0
        assert pipeline.intake.state.now.name == "idle"
    assert len(pipeline.settled) == 100
    assert len(pipeline.intake.state.transitions) == 100, "the last ones are remembered"
    assert pipeline.queue.bytes == 0


def test_four_series_are_open_at_most():
    pipeline = Pipeline()
    for number in range(6):
        pipeline.send(start(key(number), 10), image(0, key(number)))
    assert [series.final for series in pipeline.series] == [True, True, False, False, False, False]
    pipeline.send(image(1, key(0)), image(1, key(5)))
    assert pipeline.series[0].books.foreign == 1
    assert pipeline.series[5].books.received == 2


def test_images_before_their_start_wait_for_it():
    pipeline = Pipeline()
    pipeline.send(image(0), image(1), image(1), End(key()))
    assert pipeline.intake.held == 3 * SIZE
    pipeline.send(start(images=3), image(2))
    assert pipeline.intake.held == 0
    pipeline.work()
    books = pipeline.series[0].books
    assert (books.received, books.analysed, books.duplicate, books.complete) == (3, 3, 1, True)


def test_images_before_their_start_beyond_the_memory_are_skipped():
    pipeline = Pipeline(budget=3 * SIZE)
    pipeline.send(*(image(number) for number in range(5)), start(images=6), image(5), End(key()))
    pipeline.work()
    books = pipeline.series[0].books
    assert books.received == 6
    assert books.skipped >= 3, "three images fill the memory"
    assert books.analysed >= 2
    assert books.complete


def test_images_whose_start_never_comes_are_counted():
    pipeline = Pipeline()
    pipeline.send(image(0), image(1))
    pipeline.wait(29.0)
    assert pipeline.intake.held
    pipeline.wait(1.5)
    assert (pipeline.intake.held, pipeline.intake.counts.orphans) == (0, 2)
    assert "2 images of series 1-a" in pipeline.warnings[0]
    pipeline.send(image(0, key(2)), End(key(2)), End(key(3)))
    pipeline.wait(2.1)
    assert (pipeline.intake.counts.orphans, pipeline.intake.counts.stray_ends) == (3, 2)


def test_images_whose_start_never_comes_with_a_start_that_stands_for_it():
    pipeline = Pipeline(assume=True)
    pipeline.send(image(0), image(1))
    pipeline.wait(2.1)
    pipeline.send(image(2), End(key()))
    pipeline.wait(2.1)
    pipeline.work()
    series = pipeline.series[0]
    assert series.assumed
    assert (series.books.expected, series.books.analysed, series.books.complete) == (3, 3, True)


def test_going_on_after_a_restart():
    pipeline = Pipeline(resume=start(images=10))
    pipeline.begun = lambda series, begun=pipeline.begun: (begun(series), series.had([(0, 3), (4, 5)]))
    pipeline.send(image(3), image(2), *(image(number) for number in range(6, 10)), End(key()))
    pipeline.wait(2.1)
    pipeline.work()
    series = pipeline.series[0]
    assert series.resumed
    assert (series.books.received, series.books.analysed, series.books.duplicate) == (9, 9, 1)
    assert series.missing() == [(5, 6)]
    assert pipeline.rows(series) == [(3, "OK"), (5, "MISSING"), (6, "OK"), (7, "OK"), (8, "OK"), (9, "OK")]


def test_only_the_end_comes_after_a_restart():
    pipeline = Pipeline(resume=start(images=2))
    pipeline.begun = lambda series, begun=pipeline.begun: (begun(series), series.had([(0, 2)]))
    pipeline.send(End(key()))
    pipeline.work()
    assert pipeline.series[0].books.complete
    assert pipeline.settled


def test_another_series_after_a_restart_is_not_gone_on_with():
    pipeline = Pipeline(resume=start(images=2))
    pipeline.send(start(key(2), 1), image(0))
    assert [series.key for series in pipeline.series] == [key(2)]
    assert pipeline.intake.held


def test_an_error_stays_until_the_next_start_or_until_it_is_cleared():
    pipeline = Pipeline()
    pipeline.send(start(images=3), image(0))
    pipeline.intake.fail("the disk is full")
    pipeline.send(image(1))
    pipeline.wait(0.1)
    assert (pipeline.intake.state.now.name, pipeline.intake.state.now.reason) == ("error", "the disk is full")
    assert pipeline.series[0].books.received == 2, "it goes on to take what comes"
    pipeline.send(start(key(2)))
    assert pipeline.intake.state.now.name == "arming"
    pipeline.intake.fail("again")
    pipeline.intake.clear_error()
    assert pipeline.intake.state.now.name == "arming"


def test_the_detector_says_how_many_images_it_dropped():
    pipeline = Pipeline(dropped=lambda: 2)
    pipeline.send(start(images=4), image(0), image(1), End(key()))
    pipeline.wait(2.1)
    pipeline.work()
    series = pipeline.series[0]
    while series.asking:
        pass
    pipeline.emit()
    assert (series.books.missing, series.books.dropped) == (2, 2)
    assert pipeline.settled == [series]
