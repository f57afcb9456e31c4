"""Indexing beside the truth of simulated stills: ``python -m benchmarks.validate_index [--frames 200] [--null 1000]``.

Stills of five cells with strays, several lattices, azimuths thrown at random, and what a pattern costs. Prints a table
in Markdown; ends with 1 when a rate is below what docs/indexing.md says.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.index.defaults import ACCEPTED
from crystint.index.indexer import Indexer, Solution
from crystint.index.known_cell import KnownCell
from tests.index.simulated import CELLS, Still, misorientation, q_of, still

CASES = ((25, 0.3, 0.2), (25, 0.3, 0.5), (15, 0.3, 0.2), (15, 0.6, 0.3), (10, 0.3, 0.2))
"""true spots, share of strays, error of places in px of 75 um"""
RIGHT = 1.0
"""degrees"""
LEAST = 0.98


def main() -> int:
    """Print the tables; 1 when a rate is too low."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=200, help="of each case")
    parser.add_argument("--null", type=int, default=1000, help="patterns thrown at random, of each cell")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng, engine = np.random.default_rng(options.seed), Engine()
    print(f"{engine.device.name}, {options.frames} frames a case\n")
    good = rates(rng, engine, options.frames)
    good &= several(rng, engine, options.frames // 4)
    good &= thrown(rng, engine, options.null)
    return int(not good)


def rates(rng: np.random.Generator, engine: Engine, frames: int) -> bool:
    """Share right and median misorientation of each cell and case; core-ms a pattern of the first."""
    heads = [f"{n} + {strays:.0%}, {error:g} px" for n, strays, error in CASES]
    print("| cell | " + " | ".join(heads) + " | core-ms |\n" + "|---" * (len(heads) + 2) + "|")
    good = True
    for name, (cell, group) in CELLS.items():
        indexer, row = Indexer(engine, KnownCell.of(cell, group), 0.6), []
        cost = 0.0
        for number, (n, strays, error) in enumerate(CASES):
            stills = [still(rng, cell, n, strays, error=error) for _ in range(frames)]
            spots = [each.q for each in stills]
            indexer.index(spots[:2])
            start = time.process_time()
            solutions = indexer.index(spots)
            cost = cost or 1e3 * (time.process_time() - start) / frames
            away = off(solutions, stills)
            share = (away < RIGHT).mean()
            good &= bool(share >= (0.99 if number == 0 else LEAST))
            row.append(f"{share:.3f} ({np.median(away[away < RIGHT]):.3f})")
        print(f"| {name} | " + " | ".join(row) + f" | {cost:.1f} |", flush=True)
    return good


def off(solutions: list[Solution], stills: list[Still]) -> NDArray[np.float64]:
    """Degrees from the truth of each frame; 180 = not indexed."""
    away = np.full(len(stills), 180.0)
    for each in solutions:
        away[each.frame] = misorientation(np.linalg.inv(each.setting), stills[each.frame].basis)
    return away


def several(rng: np.random.Generator, engine: Engine, frames: int) -> bool:
    """Two and three lattices of 25 spots with 30 % strays."""
    cell, group = CELLS["lysozyme"]
    indexer, good = Indexer(engine, KnownCell.of(cell, group), 0.6, lattices=5), True
    print("\n| lattices of a frame | all of them found | one too many |\n|---|---|---|")
    for number in (2, 3):
        truth = [[still(rng, cell, 25, 0.3) for _ in range(number)] for _ in range(frames)]
        solutions = indexer.index([rng.permutation(np.concatenate([one.q for one in frame])) for frame in truth])
        every = more = 0
        for at, frame in enumerate(truth):
            own = [np.linalg.inv(each.setting) for each in solutions if each.frame == at]
            every += all(min((misorientation(b, one.basis) for b in own), default=180.0) < RIGHT for one in frame)
            more += len(own) > number
        good &= every >= LEAST * frames
        print(f"| {number} | {every} of {frames} | {more} |", flush=True)
    return good


def thrown(rng: np.random.Generator, engine: Engine, patterns: int) -> bool:
    """Patterns with the radii of spots and azimuths thrown at random: the largest evidence, and how many are taken."""
    print("\n| cell | patterns | taken | largest evidence |\n|---|---|---|---|")
    good = True
    for name in ("lysozyme", "tetragonal", "triclinic"):
        cell, group = CELLS[name]
        radii = [np.linalg.norm(still(rng, cell, 200, 0.0).place, axis=1) for _ in range(20)]
        spots = []
        for number in range(patterns):
            radius = rng.choice(radii[number % 20], (10, 15, 25, 50, 100)[number % 5])
            angle = rng.uniform(0, 2 * np.pi, len(radius))
            spots.append(q_of(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])))
        taken = Indexer(engine, KnownCell.of(cell, group), 0.6, accepted=0.1).index(spots)
        evidence = [each.evidence for each in taken]
        false = sum(value >= ACCEPTED for value in evidence)
        good &= false <= 1e-3 * patterns
        print(f"| {name} | {patterns} | {false} | {max(evidence, default=0.0):.1f} |", flush=True)
    return good


if __name__ == "__main__":
    sys.exit(main())
