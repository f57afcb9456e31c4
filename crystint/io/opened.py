"""The few files of many that are open at a time, shared by threads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, Protocol, TypeVar

__all__ = ["OpenFiles"]


class _Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=_Closable)


class _Place(Generic[T]):
    """One file: opened by its first user, while the others wait."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.file: T | None = None
        self.users = 0


class OpenFiles(Generic[T]):
    """Files by number, opened when wanted: ``with files.use(3) as file``.

    A file is closed when nobody uses it and `idle` others that nobody uses were used later.

    Parameters
    ----------
    open : function
        From the number to the opened file.
    idle : int
        Files without a user that stay open.
    """

    def __init__(self, open: Callable[[int], T], idle: int = 2) -> None:
        self._open, self._idle = open, idle
        self._lock = Lock()
        self._places: OrderedDict[int, _Place[T]] = OrderedDict()

    @contextmanager
    def use(self, number: int) -> Iterator[T]:
        """The file of that number, which stays open until the block ends."""
        with self._lock:
            place = self._places.setdefault(number, _Place())
            self._places.move_to_end(number)
            place.users += 1
        try:
            with place.lock:
                if place.file is None:
                    place.file = self._open(number)
            yield place.file
        finally:
            with self._lock:
                place.users -= 1
                done = self._too_many()
                if not place.users and self._places.get(number) is not place and place not in done:
                    done.append(place)  # closed by `close` while it was in use
            _close(done)

    def _too_many(self) -> list[_Place[T]]:
        unused = [number for number, place in self._places.items() if not place.users]
        return [self._places.pop(number) for number in unused[: max(len(unused) - self._idle, 0)]]

    def close(self) -> None:
        """Close all files; those in use when their users have done. A file that is wanted again is opened again."""
        with self._lock:
            done = [place for place in self._places.values() if not place.users]
            self._places.clear()
        _close(done)


def _close(places: list[_Place[T]]) -> None:
    for place in places:
        if place.file is not None:
            place.file.close()
            place.file = None
