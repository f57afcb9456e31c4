"""What a library logs about damage while it reads a file, as a list instead of lines on the screen."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident

__all__ = ["log_messages"]


class _Listener(logging.Handler):
    """Keeps what is logged in this thread instead of printing it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._thread = get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append(record.getMessage())


_listeners: dict[str, list[_Listener]] = {}
_propagate: dict[str, bool] = {}
"""What each logger did before the first of its listeners."""
_lock = Lock()


@contextmanager
def log_messages(name: str) -> Iterator[list[str]]:
    """The warnings and errors that the logger of that name gets in this thread, which nobody else gets meanwhile."""
    logger, listener = logging.getLogger(name), _Listener()
    with _lock:
        listeners = _listeners.setdefault(name, [])
        if not listeners:
            _propagate[name], logger.propagate = logger.propagate, False
        listeners.append(listener)
        logger.addHandler(listener)
    try:
        yield listener.messages
    finally:
        with _lock:
            logger.removeHandler(listener)
            listeners.remove(listener)
            if not listeners:
                logger.propagate = _propagate[name]
