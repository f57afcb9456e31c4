"""The same work by other programs, with the same rings, cycles and thresholds (docs/speed.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from crystint.bench.frames import Sample
from crystint.bench.operations import Wanted, everything
from crystint.bench.timing import Operation
from crystint.engine import Engine
from crystint.errors import SettingError

__all__ = ["PEERS", "peer_operations", "peer_versions"]

PEERS = {"pyfai": "pyFAI", "fabio": "fabio", "peakfinder8": "ondamonitor", "dials": "DIALS"}
"""name -> the package that holds it; DIALS is a program on PATH"""

_HOW = {
    "pyfai": "pip install 'crystint[pyfai]'",
    "fabio": "pip install fabio",
    "peakfinder8": "pip install ondamonitor",
    "dials": "install DIALS so that dials.find_spots is on PATH (Debian: apt install dials)",
}


def peer_versions(peers: Iterable[str]) -> dict[str, str]:
    """Package and version of each peer that is installed."""
    versions = {}
    for peer in peers:
        with suppress(KeyError, PackageNotFoundError, ImportError):
            if peer == "dials":
                versions[PEERS[peer]] = import_module("crystint.bench.peer_dials").dials_version()
            else:
                versions[PEERS[peer]] = version(PEERS[peer])
    return versions


def peer_operations(
    peer: str,
    sample: Sample,
    engine: Engine,
    stack: ExitStack,
    warn: Callable[[str], None] = lambda _text: None,
    wanted: Wanted = everything,
) -> Iterator[Operation]:
    """What a peer does with the frame; its OpenCL runs on the device of `engine`.

    `stack` closes what it needs meanwhile, such as files; `warn` is told what of the peer does not run here.

    Raises
    ------
    SettingError
        For an unknown peer, or one that is not installed.
    """
    if peer not in PEERS:
        raise SettingError(f"peer is {peer!r}, expected one of {', '.join(PEERS)}")
    try:
        module: Any = import_module(f"crystint.bench.peer_{peer}")
    except ImportError as error:
        raise SettingError(f"peer {peer} is not installed ({error}): {_HOW[peer]}") from None
    for operation in module.operations(sample, engine, warn, wanted, stack):
        if wanted(operation.name):
            yield operation
