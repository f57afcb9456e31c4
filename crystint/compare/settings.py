"""What ``crystint compare`` can be told."""

from __future__ import annotations

from crystint.run.settings import StepSettings, Whole, setting

__all__ = ["SEED", "SHELLS", "CompareSettings"]

SHELLS, SEED = 20, 0
"""Defaults of the step and of the function."""


class CompareSettings(StepSettings):
    """How frames and their sparse form are compared."""

    shells: Whole = setting(SHELLS, "resolution shells", ge=1, le=1000)
    seed: Whole = setting(SEED, "seed of the noise of densify", ge=0, le=2**63 - 1)
    dataset: str | None = setting(None, "path of the frames inside an HDF5 file RAW", metavar="PATH")
