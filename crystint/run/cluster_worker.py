"""What a worker of a dask cluster does: it opens the sources, keeps them open, and gives the records of frames."""

from __future__ import annotations

import atexit
import pickle
import signal
import threading
import warnings
from collections import OrderedDict
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

from crystint import __version__
from crystint.errors import ClusterError, CrystintWarning, FileError
from crystint.run.frame_work import FrameWork, FrameWorker, records_of

__all__ = ["NotSentError", "Order", "Records", "Sent", "dask_setup", "device", "records"]

_MOST_OPEN = 2
"""Cache size: runs that a worker process keeps open."""
_MOST_VALUES = 8
_ON_ITS_WAY_S = 5.0
"""s that a value may come later than the first task that needs it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker must know of a run."""

    token: str
    """names the run"""
    version: str
    work: FrameWork
    device: str | None
    frames: int


class Sent(NamedTuple):
    """A value that many tasks need. It goes to each worker once, from the process that gives the tasks: workers that
    ask one another for it would all wait for the one that is stuck."""

    token: str
    data: bytes | None
    """pickled; None = it was sent with another task"""


class NotSentError(Exception):
    """A worker was started anew, and lacks what it was sent before."""


class Records(NamedTuple):
    """What became of a range of frames."""

    device: str
    packed: list[bytes]
    """a `FrameRecord` each"""
    warned: list[str]


_values: OrderedDict[str, Any] = OrderedDict()
_came = threading.Condition()
_open_workers: OrderedDict[str, tuple[AbstractContextManager[FrameWorker], FrameWorker]] = OrderedDict()
_turn = threading.Lock()


def _value(sent: Sent) -> Any:
    with _came:
        if sent.data is not None and sent.token not in _values:
            _values[sent.token] = pickle.loads(sent.data)
            while len(_values) > _MOST_VALUES:
                _values.popitem(last=False)
            _came.notify_all()
        if not _came.wait_for(lambda: sent.token in _values, _ON_ITS_WAY_S):
            raise NotSentError(sent.token)
        return _values[sent.token]


def _open_worker(order: Order) -> FrameWorker:
    """The worker of an order, opened in this process when it is not yet."""
    if order.version != __version__:
        raise ClusterError(f"a worker has crystint {__version__}, expected {order.version} as in the process that asks")
    with _turn:
        if order.token not in _open_workers:
            if not _open_workers:
                atexit.register(_open_workers.clear)  # files are closed while the libraries that close them are there
            context = order.work.open(order.device)
            worker = context.__enter__()
            if worker.total != order.frames:
                raise FileError(
                    f"a worker finds {worker.total} frames, expected {order.frames}; "
                    "do all machines see the same files?"
                )
            _open_workers[order.token] = context, worker
            while len(_open_workers) > _MOST_OPEN:
                _open_workers.popitem(last=False)  # the files are closed when the last task that reads them has ended
        return _open_workers[order.token][1]


def device(order: Sent) -> str:
    """Task: the name of the device of a worker."""
    return _open_worker(_value(order)).device


def records(order: Sent, first: Sent, numbers: range) -> Records:
    """Task: the records of some frames."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CrystintWarning)
        worker = _open_worker(_value(order))
        mask = _value(first)
        packed = [record.pack() for record in records_of(worker, numbers, mask)]
    texts = [str(each.message) for each in caught if issubclass(each.category, CrystintWarning)]
    return Records(worker.device, packed, texts)


def dask_setup(_worker: object) -> None:
    """Dask calls this in each worker of a local cluster: Ctrl-C is for the process that has the terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
