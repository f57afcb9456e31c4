"""The steps of a run on a dask.distributed cluster: a range of frames per task, the records of its frames as result.

Each worker process opens the sources itself and caches them, and its separator, for the next task. What comes back are
the same bytes that a thread gives and a journal keeps, so that nothing depends on where a frame was worked on.
"""

from __future__ import annotations

import atexit
import logging
import signal
import threading
import warnings
from asyncio import CancelledError
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

from crystint import __version__
from crystint.errors import ClusterError, CrystintError, CrystintWarning, FileError, warn
from crystint.run.frame_work import FrameWork, FrameWorker
from crystint.run.ordered import in_order

__all__ = ["cluster", "dask_setup"]

_MOST_OPEN = 2
"""Cache size: runs that a worker process keeps open."""
_ATTEMPTS = 4
"""How often a range of frames is submitted when the workers that have it die."""
_ANSWER_S = 30
"""Timeout, s, for the scheduler to answer."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker must know of a run."""

    token: str
    """names the run"""
    version: str
    work: FrameWork
    device: str | None
    frames: int


_open_workers: OrderedDict[str, tuple[AbstractContextManager[FrameWorker], FrameWorker]] = OrderedDict()
_turn = threading.Lock()


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


def _device(order: Order) -> str:
    """Task: the name of the device of a worker."""
    return _open_worker(order).device


def _records(order: Order, numbers: range, first: Any) -> tuple[str, list[bytes], list[str]]:
    """Task: the device used, the records of some frames, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CrystintWarning)
        worker = _open_worker(order)
        records = [worker.record(number, first).pack() for number in numbers]
    texts = [str(each.message) for each in caught if issubclass(each.category, CrystintWarning)]
    return worker.device, records, texts


def _same(value: Any) -> Any:
    """Task: the identity. Unlike scattered data, the result of a task is computed again when the worker dies."""
    return value


def dask_setup(_worker: object) -> None:
    """Dask calls this in each worker of a local cluster: Ctrl-C is for the process that has the terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Cluster:
    """The workers of a dask cluster, as a crew. Made by `cluster`."""

    def __init__(self, client: Any, order: Order, frames: int) -> None:
        self._client, self._frames = client, frames
        self._order = client.submit(_same, order, pure=False)
        self.device: str = _Task(client, "the first task", _device, self._order).result()
        self._others: set[str] = set()

    def records(self, numbers: range, first: Any, stop: Callable[[], bool]) -> Generator[bytes]:
        """As `crystint.run.in_progress.Crew`: a range of frames per job."""
        with _connected():
            yield from self._records(numbers, first, stop)

    def _records(self, numbers: range, first: Any, stop: Callable[[], bool]) -> Generator[bytes]:
        mask = self._client.submit(_same, first, pure=False)

        def submit(some: range) -> _Task:
            what = f"frames {some.start} to {some.stop - 1}"
            return _Task(self._client, what, _records, self._order, some, mask, priority=-some.start)

        size = self._frames
        ranges = (numbers[start : start + size] for start in range(0, len(numbers), size))
        for device, records, texts in in_order(submit, ranges, self._workers, stop):
            self._compare(device)
            for text in texts:
                warn(text)
            yield from records

    def _workers(self) -> int:
        """Threads of all workers at this moment."""
        threads: list[int] = list(self._client.nthreads().values())
        return max(1, sum(threads))

    def _compare(self, device: str) -> None:
        if device != self.device and device not in self._others:
            self._others.add(device)
            warn(
                f"a worker uses the device {device}, others {self.device}: the last digits of what they find may differ"
            )


class _Task:
    """A task that is retried when the workers that have it die, so that one bad machine ends no run."""

    def __init__(self, client: Any, what: str, work: Callable[..., Any], *arguments: Any, priority: int = 0) -> None:
        self._what = what
        self._submit: Callable[[], Any] = partial(client.submit, work, *arguments, pure=False, priority=priority)
        self._future: Any = self._submit()

    def result(self) -> Any:
        """Wait for the result.

        Raises
        ------
        CrystintError
            What the worker raised; ClusterError for everything that dask did.
        """
        killed = import_module("distributed").KilledWorker
        for _ in range(_ATTEMPTS):
            try:
                return self._future.result()
            except CrystintError:
                raise
            except killed as error:
                reason: Exception = error
                self._future = self._submit()
            except ModuleNotFoundError as error:
                raise ClusterError(
                    f"a worker lacks a package: {error}; install crystint {__version__} there"
                ) from error
            except (Exception, CancelledError) as error:
                raise ClusterError(f"{self._what} failed on the cluster: {type(error).__name__}: {error}") from error
        raise ClusterError(
            f"{self._what}: every worker that had them died; is their memory too small? {reason}"
        ) from reason

    def cancel(self) -> None:
        """Do not begin."""
        with suppress(Exception):  # the cluster may be gone
            self._future.cancel()


@contextmanager
def _connected() -> Iterator[None]:
    """What dask raises is an error of the cluster, never one of the file that is being written meanwhile."""
    try:
        yield
    except CrystintError:
        raise
    except (Exception, CancelledError) as error:
        raise ClusterError(f"the cluster is lost: {type(error).__name__}: {error}") from error


@contextmanager
def _closed(client: Any) -> Iterator[Any]:
    """A client for the time of the block; one whose scheduler is gone cannot be closed properly."""
    try:
        yield client
    finally:
        with suppress(Exception, CancelledError):
            client.close()


@contextmanager
def cluster(
    work: FrameWork,
    total: int,
    address: str,
    *,
    device: str | None,
    workers: int,
    frames: int,
    name: str,
) -> Iterator[Cluster]:
    """The workers at an address, for the time of the block.

    Parameters
    ----------
    work : FrameWork
    total : int
        Frames that there are, as was found here.
    address : str
        Of a scheduler, or a scheduler file; "local" = `workers` processes on this machine.
    device : str or None
        For the workers, as `crystint.Engine` takes it.
    frames : int
        Per task.
    name : str
        Of the step.

    Raises
    ------
    ClusterError
        When dask is not installed, no scheduler answers, or a worker lacks crystint or has another version of it.
    """
    try:
        dask = import_module("distributed")
    except ImportError:
        raise ClusterError("--dask needs the package distributed: pip install 'crystint[dask]'") from None
    order = Order(token=f"{name} {uuid4().hex}", version=__version__, work=work, device=device, frames=total)
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        try:
            client = stack.enter_context(_closed(_client(dask, address, workers, stack)))
        except (OSError, ValueError, RuntimeError) as error:
            raise ClusterError(f"no dask scheduler answers at {address}: {error}") from error
        with _connected():
            if not client.nthreads():
                warn(f"the cluster at {address} has no worker yet; waiting for one")
                client.wait_for_workers(1)
            _check_versions(client)
            crew = Cluster(client, order, frames)
        yield crew


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask logs nothing meanwhile: what matters is raised."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _client(dask: Any, address: str, workers: int, stack: ExitStack) -> Any:
    """A client of the scheduler at an address."""
    if address != "local":
        target = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
        return dask.Client(**target, timeout=_ANSWER_S, set_as_default=False)
    made = dask.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": ":0"},  # it serves its state without a dashboard, too: at any free port
        silence_logs=logging.CRITICAL,
        preload=["crystint.run.cluster"],
    )
    return dask.Client(stack.enter_context(made), set_as_default=False)


def _check_versions(client: Any) -> None:
    """Raise ClusterError unless all workers that are there have this version of crystint."""
    look = lambda: __import__("crystint").__version__  # noqa: E731  (a lambda is pickled whole, and needs no crystint)
    for worker, version in client.run(look, on_error="return").items():
        if isinstance(version, ImportError):
            raise ClusterError(f"the worker {worker} has no crystint: install version {__version__} there")
        if version != __version__:
            raise ClusterError(
                f"the worker {worker} has crystint {version}, this process {__version__}: install the same"
            )
