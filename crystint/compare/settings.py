"""What ``crystint compare`` can be told."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

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

    shells: Whole = setting(SHELLS, "resolution shells", ge=1, le=1000)
    seed: Whole = setting(SEED, "seed of the noise of densify", ge=0, le=2**63 - 1)
    require: Annotated[tuple[str, ...], BeforeValidator(_limits)] = setting(
        (),
        "limits that must hold, such as exact,signal>=95,missed==0; one that is broken, or a wrong pixel: exit 4",
        metavar="LIMITS",
    )
