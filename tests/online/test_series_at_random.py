"""Random sequences of messages, workers and pauses: at every moment the books are those of a slow account."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from crystint.model.frame_table import FrameStatus
from crystint.stream.messages import End
from tests.online.pipeline import Pipeline, image, key, start
from tests.oracles.series_books import accounts


def _happening(chance: random.Random) -> list[tuple]:
    """What happens, in turn: (seconds before it, kind, series, number, content)."""
    happening = []
    for series in range(chance.randint(1, 4)):
        images = chance.randint(0, 30)
        announced = chance.choice([images, images, None, images + 5, max(images - 2, 0) or None])
        frame_time = chance.choice([0.0, 0.01, 0.3])
        own = [(0.0, "start", series, announced, frame_time)] * chance.choice([0, 1, 1, 1, 1, 2])
        numbers = list(range(images))
        window = chance.choice([1, 1, 4, 30])
        for first in range(0, images, window):
            block = numbers[first : first + window]
            chance.shuffle(block)
            numbers[first : first + window] = block
        for number in numbers:
            if chance.random() < 0.1:
                continue
            kind = "bad" if chance.random() < 0.05 else "image"
            own.append((chance.choice([0.0, 0.01, 0.1]), kind, series, number, 1 if kind == "image" else 3))
            if chance.random() < 0.1:
                own.insert(
                    chance.randint(max(len(own) - 5, 0), len(own)),
                    (0.0, "image", series, number, chance.choice([1, 2])),
                )
        own += [(chance.choice([0.0, 0.5]), "end", series, None, None)] * chance.choice([0, 1, 1, 1, 2])
        if chance.random() < 0.3:
            place = chance.randint(0, len(own))
            own[place:place] = [(0.0, chance.choice(["abort", "stop"]), None, None, None)]
        if chance.random() < 0.3:
            own.insert(chance.randint(0, len(own)), (chance.choice([1.5, 2.5, 7.0]), "look", None, None, None))
        happening.append(own)
    merged: list[tuple] = []
    mixed = chance.random() < 0.4
    while any(happening):
        own = chance.choice([each for each in happening if each]) if mixed else next(each for each in happening if each)
        merged += own[: (run := chance.randint(1, 6))]
        del own[:run]
    merged += [(1000.0, "stop", None, None, None), (1000.0, "look", None, None, None)]
    return merged


def _check(pipeline: Pipeline, events: list[tuple]) -> None:
    expected, _ = accounts(events)
    assert len(pipeline.series) == len(expected)
    under_way = Counter(id(work.series) for work in (*pipeline.queue._first, *pipeline.queue._normal))
    under_way += Counter(id(work.series) for work in pipeline.working)
    under_way += Counter(id(series) for series, _ in pipeline.outcomes)
    for series, account in zip(pipeline.series, expected, strict=True):
        books = series.books
        assert books.received == len(account.numbers)
        assert books.in_flight == under_way[id(series)]
        assert books.received == books.analysed + books.skipped + books.failed + books.in_flight
        assert (books.duplicate, books.differing, books.foreign, books.second_ends) == (
            account.duplicate, account.differing, account.foreign, account.second_ends,
        )  # fmt: skip
        assert books.ended == (not account.open)
        assert books.expected == account.expected
        if books.ended:
            assert books.expected == books.received + books.missing
            assert {n for first, stop in series.missing() for n in range(first, stop)} == account.missing()


@pytest.mark.parametrize("seed", range(120))
def test_the_books_are_those_of_a_slow_account(seed):
    chance = random.Random(seed)
    room = chance.choice([10**9, 10**9, 8_000, 30_000])
    pipeline = Pipeline(budget=room)
    events: list[tuple] = []
    failing: set[tuple[int, int]] = set()
    for wait, kind, series, number, content in _happening(chance):
        pipeline.now += wait
        events.append((pipeline.now, "look", None, None, None))
        pipeline.intake.tick()
        if kind != "look":
            events.append((pipeline.now, kind, series, number, content))
        if kind == "start":
            pipeline.send(start(key(series), number, frame_time=content))
        elif kind in ("image", "bad"):
            pipeline.send(image(number, key(series), content, (4, 3) if kind == "image" else (5, 3)))
        elif kind == "end":
            pipeline.send(End(key(series)))
        elif kind == "abort":
            pipeline.intake.abort()
        elif kind == "stop":
            pipeline.intake.stop()
        if chance.random() < 0.5 and (work := pipeline.queue.get(0.0)) is not None:
            pipeline.working.append(work)
        if chance.random() < 0.4 and pipeline.working:
            work = pipeline.working.pop(chance.randrange(len(pipeline.working)))
            fails = chance.random() < 0.1
            failing |= {(id(work.series), work.image.number)} if fails else set()
            pipeline.finish(work, failing=fails)
        if chance.random() < 0.4:
            pipeline.emit(chance.randint(0, 3))
        _check(pipeline, events)

    while pipeline.working:
        pipeline.finish(pipeline.working.pop())
    pipeline.work()
    pipeline.wait(0.0)
    _check(pipeline, events)
    assert pipeline.intake.state.now.name == "idle"
    assert len(pipeline.settled) == len(pipeline.series)
    assert pipeline.queue.bytes == pipeline.queue.images == 0
    for series, account in zip(pipeline.series, accounts(events)[0], strict=True):
        assert series.books.closed
        rows = pipeline.released[id(series)]
        in_turn = [result.number for result in rows if not result.row["late"][0]]
        assert in_turn == sorted(set(in_turn)), "each number has its turn once, in order"
        last = {result.number: result.status for result in rows}
        assert {n for n, status in last.items() if status == FrameStatus.MISSING} == account.missing()
        assert set(last) == account.numbers | account.missing()
        failed = {n for n, status in last.items() if status == FrameStatus.FAILED}
        assert failed == account.bad | {n for owner, n in failing if owner == id(series)}
        assert series.books.failed == len(failed)
        assert series.books.skipped == sum(status == FrameStatus.SKIPPED for status in last.values())
