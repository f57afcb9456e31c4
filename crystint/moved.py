"""Modules that the documentation once named and that have moved: imports of the old names go on to work.

Nothing in crystint or its documentation uses them; new code takes the public names of `crystint`, `crystint.stills`,
`crystint.cbc` and `crystint.correlate`. A name is looked up here only when Python finds no module of that name.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["MOVED", "install"]

MOVED = {
    "crystint.cbc.export": "crystint.cbc.merging.export",
    "crystint.cbc.half_sets": "crystint.cbc.scaling.half_sets",
    "crystint.cbc.run": "crystint.cbc.merging.result",
    "crystint.cbc.scaler": "crystint.cbc.compat_cbclib",
    "crystint.cbc.setup": "crystint.cbc.table.setup",
    "crystint.cbc.simulate": "crystint.cbc.simulation.simulate",
    "crystint.cbc.table.setup_files": "crystint.io.cbc.setup_file",
    "crystint.cbc.table_files": "crystint.cbc.table.table_files",
    "crystint.cbc.work": "crystint.cbc.files",
    "crystint.cbc.work_merge": "crystint.cbc.files",
    "crystint.cbc.work_simulate": "crystint.cbc.files",
    "crystint.config": "crystint.separation.settings",
    "crystint.correlate.all_pairs": "crystint.correlate.sums.all_pairs",
    "crystint.io.dense_file": "crystint.io.sparse.dense_file",
    "crystint.io.mtz_out": "crystint.io.reflections.mtz_out",
    "crystint.io.provenance": "crystint.io.hdf5.provenance",
    "crystint.io.sparse_file": "crystint.io.sparse.open",
    "crystint.io.stills_file": "crystint.io.reflections.stills_file",
    "crystint.pipeline": "crystint.separation.files",
    "crystint.stills.integration.pair_frames": "crystint.prediction.pair_frames",
    "crystint.stills.prediction.candidates": "crystint.prediction.candidates",
    "crystint.stills.prediction.factors": "crystint.prediction.factors",
    "crystint.stills.prediction.offsets": "crystint.prediction.offsets",
    "crystint.stills.prediction.partiality": "crystint.prediction.partiality",
    "crystint.stills.prediction.predict": "crystint.prediction.predict",
    "crystint.stills.prediction.rays": "crystint.prediction.rays",
    "crystint.stills.work": "crystint.stills.step_functions",
    "crystint.stills.work_merge": "crystint.stills.step_functions",
    "crystint.stills.work_scale": "crystint.stills.step_functions",
    "crystint.stills.work_simulate": "crystint.stills.step_functions",
}
"""old name to new name"""


class _Forward:
    """Gives the module of the new name for the old one; it is one module with two names.

    A finder and a loader as `importlib.abc` describes them, which takes longer to import than the rest of this package.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(MOVED[spec.name])
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._own  # the import system has just put that of the old name there


def install() -> None:
    """Let imports find the modules that have moved."""
    if not any(isinstance(finder, _Forward) for finder in sys.meta_path):
        sys.meta_path.append(_Forward())
