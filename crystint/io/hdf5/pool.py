"""Things that are dear to make, such as open files: made when wanted, shared by threads, a few of them kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Kept"]

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class _Place(Generic[T]):
    """One thing: made by its first user, while the others wait."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.made: list[T] = []
        self.users = 0


class Kept(Generic[K, T]):
    """Things by name, made when wanted: ``with kept.use(3, make) as thing``.

    A thing is discarded when nobody uses it and `idle` others that nobody uses were used later.

    Parameters
    ----------
    discard : function
        What is done with a thing that is not kept any more.
    idle : int
        Things without a user that are kept.
    """

    def __init__(self, discard: Callable[[T], object], idle: int = 2) -> None:
        self._discard, self._idle = discard, idle
        self._lock = Lock()
        self._places: OrderedDict[K, _Place[T]] = OrderedDict()

    @contextmanager
    def use(self, name: K, make: Callable[[], T]) -> Iterator[T]:
        """The thing of that name, made by `make` if it is not there; it is kept at least until the block ends."""
        with self._lock:
            place = self._places.setdefault(name, _Place())
            self._places.move_to_end(name)
            place.users += 1
        try:
            with place.lock:
                if not place.made:
                    place.made.append(make())
            yield place.made[0]
        finally:
            with self._lock:
                place.users -= 1
                done = self._too_many()
                if not place.users and self._places.get(name) is not place and place not in done:
                    done.append(place)  # cleared while it was in use
            self._drop(done)

    def _too_many(self) -> list[_Place[T]]:
        unused = [name for name, place in self._places.items() if not place.users]
        return [self._places.pop(name) for name in unused[: max(len(unused) - self._idle, 0)]]

    def clear(self) -> None:
        """Discard everything; what is in use when its users have done. What is wanted again is made again."""
        with self._lock:
            done = [place for place in self._places.values() if not place.users]
            self._places.clear()
        self._drop(done)

    def _drop(self, places: list[_Place[T]]) -> None:
        for place in places:
            while place.made:
                self._discard(place.made.pop())
