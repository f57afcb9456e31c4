"""The step of comparing: compare."""

from __future__ import annotations

from crystint.compare.settings import CompareSettings
from crystint.run.step import PICTURES, Argument, Outputs, Step

__all__ = ["COMPARE"]

COMPARE = Step(
    "compare",
    CompareSettings,
    "crystint.compare.compare_step:compare",
    (Argument("raw", "RAW", many=True), Argument("sparse", "SPARSE")),
    Outputs("picture", PICTURES, required=False),
    by_frame=True,
    picture="crystint.plot.comparison:plot_comparison",
    json=True,
)
