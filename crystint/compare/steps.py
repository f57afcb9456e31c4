"""The step of comparing: compare."""

from __future__ import annotations

from crystint.compare.settings import CompareSettings
from crystint.run.step import Argument, Outputs, Step

__all__ = ["COMPARE"]

COMPARE = Step(
    "compare",
    CompareSettings,
    "crystint.compare.compare_step:compare",
    (
        Argument("raw", "RAW", many=True, meaning="the raw frames", kinds=("frames",)),
        Argument("sparse", "SPARSE", meaning="the sparse file that was made of them", kinds=("sparse file",)),
    ),
    Outputs(
        "report to sign (.pdf), numbers (.json) or a picture",
        (".pdf", ".json", ".png", ".svg"),
        many=True,
        required=False,
    ),
    by_frame=True,
    picture="crystint.plot.comparison:plot_comparison",
    json=True,
)
