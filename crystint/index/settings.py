"""What ``crystint index`` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from crystint.index.defaults import ACCEPTED, STRAIN
from crystint.run.settings import Finite, NotNegative, Positive, StepSettings, Whole, numbers, setting

__all__ = ["IndexSettings"]

_Cell = Annotated[tuple[Finite, Finite, Finite, Finite, Finite, Finite], numbers(6)]


class IndexSettings(StepSettings):
    """What ``crystint index`` can be told."""

    heading = "Indexing"

    cell: _Cell | None = setting(None, "unit cell, angstrom and degrees", metavar="A,B,C,AL,BE,GA")
    space_group: str | None = setting(
        None, "space group, such as P43212; the cell is refined as its lattice system allows", metavar="NAME"
    )
    lattices: Whole = setting(1, "lattices of a frame, at most", metavar="N", ge=1)
    geometry: Path | None = setting(
        None, "geometry of the detector, in place of that of PEAKS", flag="-g", metavar="FILE", kinds=("geometry",)
    )
    d_min: Positive | None = setting(None, "spots of higher resolution are left out, angstrom", metavar="A")
    evidence: Positive = setting(
        ACCEPTED, "a lattice is taken when random spots give one as good at most once in 10 to this power", metavar="E"
    )
    strain: NotNegative = setting(
        STRAIN,
        "by which the cell of an image may differ from the one given, relative; 0 holds it",
        metavar="SHARE",
        advanced=True,
    )
