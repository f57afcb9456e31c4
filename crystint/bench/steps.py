"""The step of times: bench."""

from __future__ import annotations

from crystint.bench.settings import BenchSettings
from crystint.run.step import Argument, Step

__all__ = ["BENCH"]

BENCH = Step(
    "bench",
    BenchSettings,
    "crystint.bench.bench_step:bench",
    (Argument("files", "[FILE]", many=True, required=False),),
    json=True,
)
