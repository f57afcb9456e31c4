"""The steps of a run on a dask.distributed cluster: a range of frames per task, the records of its frames as result.

Each worker process opens the sources itself and caches them, and its separator, for the next task. What comes back are
the same bytes that a thread gives and a journal keeps, so that nothing depends on where a frame was worked on.
"""

from __future__ import annotations

import logging
import socket
from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from crystint import __version__
from crystint.errors import ClusterError, note, warn
from crystint.run.cluster_crew import ANSWER_S, Cluster, Roll, connected
from crystint.run.cluster_worker import Order
from crystint.run.frame_work import FrameWork

__all__ = ["cluster"]

_REACH_S, _REACHED = 3.0, 2
"""Timeout for a connection to a worker, and workers that are tried."""


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
        with connected():
            if not client.nthreads():
                warn(f"the cluster at {address} has no worker yet; waiting for one")
                client.wait_for_workers(1)
            _check_versions(client)
            roll = stack.enter_context(closing(Roll(client)))
            direct = any(map(_reached, list(roll.threads())[:_REACHED]))
            if not direct:
                note(f"the workers of {address} cannot be reached from here: results come through the scheduler")
            crew = Cluster(client, order, frames, roll, direct=direct)
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
        return dask.Client(**target, timeout=ANSWER_S, set_as_default=False)
    made = dask.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": ":0"},  # it serves its state without a dashboard, too: at any free port
        silence_logs=logging.CRITICAL,
        preload=["crystint.run.cluster_worker"],
    )
    return dask.Client(stack.enter_context(made), set_as_default=False)


def _reached(worker: str) -> bool:
    """Whether a worker takes a connection from this process."""
    address = urlsplit(worker)
    if address.scheme not in ("tcp", "tls") or address.hostname is None or address.port is None:
        return True  # within a process, or by means of a kind that cannot be tried from here
    with suppress(OSError), socket.create_connection((address.hostname, address.port), _REACH_S):
        return True
    return False


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
