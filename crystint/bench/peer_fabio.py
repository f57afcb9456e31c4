"""FabIO's densify (Cython, one thread), from what crystint's sparsify found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import numpy as np
from fabio.ext.dense import densify

from crystint.bench.frames import Sample
from crystint.bench.operations import CYCLES, RINGS, Wanted
from crystint.bench.timing import Operation
from crystint.engine import Engine
from crystint.ops.separator import Separator

__all__ = ["operations"]


def operations(
    sample: Sample, engine: Engine, _warn: Callable[[str], None], _wanted: Wanted, _stack: ExitStack
) -> Iterator[Operation]:
    """Clean and with noise, as fabio.sparseimage calls it."""
    separator = Separator(sample.geometry, sample.mask, RINGS, "hybrid", None, CYCLES, engine)
    rings, sparse = separator.rings, separator.sparsify(sample.frame)
    radius = sample.geometry.ring_radius().astype(np.float32)
    radius[~np.isfinite(rings.position)] = np.nan
    parts = (
        radius,
        rings.radius.astype(np.float32),
        sparse.index.astype(np.uint32),
        sparse.value,
        0,
        sparse.value.dtype,
        np.nan_to_num(sparse.background.mean).astype(np.float32),
    )
    spread = np.nan_to_num(sparse.background.std).astype(np.float32)
    for name, std in (("clean", None), ("noise", spread)):
        yield Operation(f"FabIO densify {name}", partial(densify, *parts, std, rings.weight))
