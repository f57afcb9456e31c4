"""A sink that feeds a history."""

from __future__ import annotations

from crystint.online.history_feed import feed
from crystint.online.results_message import (
    end_message,
    event_message,
    read_results_message,
    results_message,
    start_message,
)
from crystint.online.sink import Sink


class Feeding(Sink):
    """Feeds a history with the messages of the publisher, without its sockets."""

    def __init__(self, history):
        super().__init__()
        self._history, self._number = history, 0

    def _put(self, make):
        self._number += 1
        feed(self._history, read_results_message(make(self._number)))

    def begin(self, run):
        self._put(lambda number: start_message(run, number))

    def results(self, run, results):
        self._put(lambda number: results_message(run.key, results, number, exact=True))

    def event(self, event):
        self._put(lambda number: event_message(event, number))

    def end(self, run):
        self._put(lambda number: end_message(run, number))
