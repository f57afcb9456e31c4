"""What is remembered for a restart, where several series begin at almost the same time."""

import os
import threading
from pathlib import Path

import pytest

from crystint.online.restart import Restart
from crystint.stream import SeriesKey, Start, encode_start, read_message


def _start(number: int) -> Start:
    message = read_message(encode_start(Start(SeriesKey(number, "a"), (10, 12), "stream2")))
    assert isinstance(message, Start)
    return message


def test_series_noted_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each writes a file of its own, whichever the disk takes first, and the one that began last is remembered."""
    restart = Restart(tmp_path)
    together = threading.Barrier(4, timeout=10)
    written = os.fsync

    def fsync(number: int) -> None:
        written(number)
        together.wait()

    monkeypatch.setattr(os, "fsync", fsync)
    errors: list[Exception] = []

    def note(number: int) -> None:
        try:
            restart.note(_start(number), {"prefix": f"run_{number}"}, number)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=note, args=(number,)) for number in (3, 1, 4, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    start, asked = Restart(tmp_path).read() or (None, {})
    assert start is not None
    assert start.series.id == 4
    assert asked == {"prefix": "run_4"}
    assert [path.name for path in tmp_path.iterdir()] == ["series.cbor"]


def test_slow_note_of_an_earlier_series(tmp_path: Path) -> None:
    """It does not take the place of a later one; what a kill left beside it is removed."""
    restart = Restart(tmp_path)
    restart.note(_start(2), {}, 20)
    restart.note(_start(1), {}, 10)
    (tmp_path / "series.30.part").write_bytes(b"half")
    again = Restart(tmp_path)
    start, _ = again.read() or (None, {})
    assert start is not None
    assert start.series.id == 2
    restart.forget(SeriesKey(1, "a"))
    assert again.read() is not None
    restart.forget(SeriesKey(2, "a"))
    assert not list(tmp_path.iterdir())


def test_folder_is_made_again(tmp_path: Path) -> None:
    """Somebody removes it while the service runs: the next series is remembered all the same."""
    restart = Restart(tmp_path / "state")
    (tmp_path / "state").rmdir()
    restart.note(_start(1), {})
    assert restart.read() is not None
