"""The table: everything that is done with one frame, timed in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from crystint.bench.files import files
from crystint.bench.frames import Sample
from crystint.bench.operations import Wanted, copy, densification, everything, separation
from crystint.bench.peers import peer_operations
from crystint.bench.timing import Timing, Watch, time_operations
from crystint.engine import Engine

__all__ = ["measure"]


def measure(
    sample: Sample,
    engine: Engine,
    *,
    rounds: int = 7,
    peers: Sequence[str] = (),
    wanted: Wanted = everything,
    watch: Watch = lambda rounds, _total, _what: rounds,
    warn: Callable[[str], None] = lambda _text: None,
) -> list[Timing]:
    """Time the operations on a frame: 1000 rings, 5 cycles, default thresholds. The first row is the copy.

    `warn` is told what of a peer does not run here.

    Raises
    ------
    SettingError
        For an unknown peer, or one that is not installed.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="crystint-bench-")))
        operations = [copy(sample.frame)]
        operations += files(sample, engine, folder, stack, wanted)
        operations += separation(sample, engine, wanted)
        operations += densification(sample, engine, wanted)
        for peer in peers:
            operations += peer_operations(peer, sample, engine, stack, warn, wanted)
        return time_operations(operations, rounds, watch)
