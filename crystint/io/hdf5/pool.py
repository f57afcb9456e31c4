"""A pool of resources that are expensive to make, such as open files: made when wanted, shared by threads, the last few
kept open."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["ResourcePool"]

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class _Entry(Generic[T]):
    """One resource: made by its first user, while the others wait."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.made: list[T] = []
        self.users = 0


class ResourcePool(Generic[K, T]):
    """Resources by key, made when wanted: ``with pool.use(3, make) as resource``.

    A least-recently-used cache that discards no resource that is in use: one is discarded when it has no user and
    `idle` others without users were used later.

    Parameters
    ----------
    discard : function
        Closes a resource that leaves the pool.
    idle : int
        Number of resources without users that stay in the pool.
    """

    def __init__(self, discard: Callable[[T], object], idle: int = 2) -> None:
        self._discard, self._idle = discard, idle
        self._lock = Lock()
        self._entries: OrderedDict[K, _Entry[T]] = OrderedDict()

    @contextmanager
    def use(self, key: K, make: Callable[[], T]) -> Iterator[T]:
        """The resource of that key, made by `make` if it is not there; it stays at least until the block ends."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            entry.users += 1
        try:
            with entry.lock:
                if not entry.made:
                    entry.made.append(make())
            yield entry.made[0]
        finally:
            with self._lock:
                entry.users -= 1
                expired = self._expired()
                if not entry.users and self._entries.get(key) is not entry and entry not in expired:
                    expired.append(entry)  # cleared while it was in use
            self._discard_all(expired)

    def _expired(self) -> list[_Entry[T]]:
        unused = [key for key, entry in self._entries.items() if not entry.users]
        return [self._entries.pop(key) for key in unused[: max(len(unused) - self._idle, 0)]]

    def clear(self) -> None:
        """Discard everything; what is in use when its users have done. What is wanted again is made again."""
        with self._lock:
            unused = [entry for entry in self._entries.values() if not entry.users]
            self._entries.clear()
        self._discard_all(unused)

    def _discard_all(self, entries: list[_Entry[T]]) -> None:
        for entry in entries:
            while entry.made:
                self._discard(entry.made.pop())
