"""What crystint does with a frame, as operations to time, and how fast each should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.bench.frames import Sample
from crystint.bench.timing import Operation
from crystint.engine import Engine
from crystint.model.rings import ERROR_MODELS
from crystint.ops.densify import Densifier
from crystint.ops.separator import Separator

__all__ = ["CYCLES", "RINGS", "TARGETS", "Wanted", "copy", "densification", "everything", "separation"]

RINGS = 1000
CYCLES = 5
TARGETS = {"background": 2.5, "sparsify": 4.0, "peaks": 6.0, "densify clean": 2.5, "densify noise": 6.0}
"""Most copies on two cores with PoCL."""


_VERBS = ("background", "pick", "sparsify", "peaks", "separate")
_TOGETHER = 8
"""frames of a batch"""

Wanted = Callable[[str], bool]
"""whether the operation of this name is to be timed"""


def everything(_name: str) -> bool:
    """Every operation is wanted."""
    return True


def copy(frame: NDArray[Any]) -> Operation:
    """The unit."""
    return Operation("copy", partial(np.copyto, np.empty_like(frame), frame))


def _separator(sample: Sample, engine: Engine, model: str, rings: int) -> Separator:
    return Separator(sample.geometry, sample.mask, rings, model, None, CYCLES, engine)


def separation(
    sample: Sample, engine: Engine, wanted: Wanted = everything, *, rings: int = RINGS
) -> Iterator[Operation]:
    """Background, picking, sparsify, peaks, and the latter two at once, for each error model; a batch of frames."""
    for model in ERROR_MODELS:
        names = {verb: f"{verb} {model}" for verb in _VERBS if wanted(f"{verb} {model}")}
        together = f"peaks {model}, {_TOGETHER} at once"
        if not names and not wanted(together):
            continue
        separator = _separator(sample, engine, model, rings)
        if "pick" in names:
            names["background"] = f"background {model}"  # what picking is measured against
        for verb in (verb for verb in _VERBS if verb in names):
            if verb == "pick":
                yield Operation(names[verb], partial(separator.sparsify, sample.frame), beyond=names["background"])
            else:
                yield Operation(names[verb], partial(getattr(separator, verb), sample.frame), TARGETS.get(verb))
        if wanted(together) and model == "hybrid":
            frames = np.stack([sample.frame] * _TOGETHER)
            yield Operation(together, partial(separator.peaks, frames), frames=_TOGETHER)


def densification(sample: Sample, engine: Engine, wanted: Wanted = everything) -> Iterator[Operation]:
    """Densify, clean and with noise."""
    names = {noise: f"densify {'noise' if noise else 'clean'}" for noise in (False, True)}
    if not any(map(wanted, names.values())):
        return
    separator = _separator(sample, engine, "hybrid", RINGS)
    sparse, densifier = separator.sparsify(sample.frame), Densifier(engine, separator.rings)
    for noise, name in names.items():
        if wanted(name):
            yield Operation(name, partial(densifier.run, sparse, noise), TARGETS[name])
