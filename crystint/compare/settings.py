"""What ``crystint compare`` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, model_validator

from crystint.compare.requirements import requirements
from crystint.run.settings import SourceSettings, Whole, setting

__all__ = ["SEED", "SHELLS", "CompareSettings"]

SHELLS, SEED = 20, 0
"""Defaults of the step and of the function."""


def _limits(value: Any) -> Any:
    """Text "exact,signal>=95", or several of them, to one text for each requirement."""
    several = isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)
    return tuple(map(str, requirements(value))) if several or isinstance(value, str) else value


class CompareSettings(SourceSettings):
    """How frames and their sparse form are compared."""

    heading = "Comparison"

    shells: Whole = setting(SHELLS, "resolution shells", ge=1, le=1000)
    every: Whole | None = setting(None, "compare every N-th frame alone", metavar="N", ge=1)
    sample: Whole | None = setting(None, "compare N frames, spread evenly", metavar="N", ge=1)
    reflections: Path | None = setting(
        None,
        "reflections to sum: orientations (.expt), predicted or integrated ones (.refl), a CrystFEL stream; without it "
        "the peaks that are found in the raw frames",
        metavar="FILE",
        kinds=("experiments", "reflections", "stream of indexed images"),
    )
    pixels: bool = setting(False, "print what became of the background pixels as well, shell by shell")
    sha256: bool | None = setting(
        None, "in .json and .pdf tell the SHA-256 of all files that were compared (default: unless it is a sample)",
        advanced=True,
    )  # fmt: skip
    seed: Whole = setting(SEED, "seed of the noise of densify", ge=0, le=2**63 - 1, advanced=True)
    require: Annotated[tuple[str, ...], BeforeValidator(_limits)] = setting(
        (),
        "limits that must hold, such as exact,signal>=95,missed==0; one that is broken, or a wrong pixel: exit 4",
        metavar="LIMITS",
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.every is not None and self.sample is not None:
            raise ValueError(f"every is {self.every} and sample {self.sample}, expected one of the two")
        return self

    @property
    def hashes(self) -> bool:
        """Whether files are hashed."""
        return (self.every is None and self.sample is None) if self.sha256 is None else self.sha256

    def chosen(self, frames: int) -> NDArray[np.int64]:
        """int64 [n]: numbers of the frames to compare, of so many."""
        if self.sample is not None and self.sample < frames:
            return ((np.arange(self.sample) + 0.5) * frames / self.sample).astype(np.int64)
        return np.arange(0, frames, self.every or 1)
