"""Mutants of a format, made, read and counted."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.fuzzing.mutations import damage
from tests.fuzzing.seeds import SEEDS, Seed
from tests.fuzzing.workers import Worker

__all__ = ["FAULTS", "Tally", "campaign"]

FAULTS = ("traceback", "memory", "crash", "hang")
"""Outcomes that no file may have."""


@dataclass
class Tally:
    """What came of the mutants of a format."""

    format: str
    outcomes: Counter[str] = field(default_factory=Counter)
    saved: list[tuple[Path, str]] = field(default_factory=list)
    """folders of mutants that should not be, and what happened"""
    seconds: float = 0.0

    @property
    def faults(self) -> int:
        """Mutants with an outcome that no file may have."""
        return sum(self.outcomes[kind] for kind in FAULTS)


def campaign(
    format: str,
    *,
    count: int,
    seed: int,
    seconds: float,
    failures: Path,
    worker: Worker,
    only: int | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Tally:
    """Read `count` mutants of a format, or as many as there are time for; keep those that show a fault.

    Parameters
    ----------
    only : int, optional
        Make and read the mutant of that number alone.
    """
    tally, start = Tally(format), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        seeds, whole, work = _seeds(format, Path(name) / "seeds"), Path(name) / "seeds", Path(name) / "work"
        for number in range(count) if only is None else (only,):
            if time.monotonic() - start > seconds:
                break
            rng = np.random.default_rng([seed, zlib.crc32(format.encode()), number])
            source, targets = seeds[rng.integers(len(seeds))]
            if only is None or not work.exists():
                shutil.copytree((whole / source).parent, work)
            target = work / Path(targets[rng.integers(len(targets))]).name
            what = damage(target, rng)
            outcome = worker.read(format, work / Path(source).name)
            tally.outcomes[outcome["kind"]] += 1
            if outcome["kind"] in FAULTS or only is not None:
                title = f"seed {seed}, mutant {number} of {format}: {target.name}, {what}"
                note = "\n".join([title, outcome["kind"], outcome["text"]])
                tally.saved.append((_keep(work, failures / f"{format}-{seed}-{number}", note), note))
            shutil.rmtree(work)
            progress(number)
    tally.seconds = time.monotonic() - start
    return tally


def _keep(work: Path, folder: Path, note: str) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(work, folder)
    (folder / "outcome.txt").write_text(note, encoding="utf-8", errors="replace")
    return folder


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = os.getcwd()
    folder.mkdir(parents=True)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _seeds(format: str, folder: Path) -> list[Seed]:
    with _inside(folder):
        seeds = SEEDS[format]()
        return seeds or [(path.name, (path.name,)) for path in sorted(Path().iterdir()) if path.is_file()]
