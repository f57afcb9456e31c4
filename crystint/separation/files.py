"""From frames to files in Python: the steps of separation as functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crystint.run.execution import PLAIN, Execution
from crystint.run.outcome import Outcome
from crystint.run.step import Progress, Source, silent
from crystint.separation.settings import Settings
from crystint.separation.steps import DENSIFY, PEAKS, SPARSIFY

__all__ = ["densify_file", "find_peaks", "sparsify"]


def find_peaks(
    sources: Sequence[Source],
    outputs: Sequence[Source],
    settings: Settings | Mapping[str, Any] | None = None,
    *,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
    execution: Execution = PLAIN,
) -> Outcome:
    """Peaks of all frames, written to every one of `outputs` in the format of its suffix.

    A journal beside the first output keeps what was found while the run lasts.

    Parameters
    ----------
    sources : paths or patterns
        Of the frames.
    settings : Settings or mapping of name to value
    device : str, optional
        As `crystint.Engine` takes it.
    progress : callable
        ``(items, how many, what) -> items``.
    command : sequence of str, optional
        For the provenance; None = ``sys.argv``.
    execution : Execution

    Returns
    -------
    Outcome
        Its `result` is a `Separated`.

    Raises
    ------
    CrystintError
        As the parts do. No partial output is left then.
    """
    return PEAKS(
        sources, outputs=outputs, settings=settings, device=device, overwrite=overwrite, progress=progress,
        command=command, execution=execution,
    )  # fmt: skip


def sparsify(
    sources: Sequence[Source],
    output: Source,
    settings: Settings | Mapping[str, Any] | None = None,
    *,
    compact: bool = False,
    peaks: bool = False,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
    execution: Execution = PLAIN,
) -> Outcome:
    """Signal and background of all frames, streamed to a sparse file; with their peaks on request.

    As `find_peaks`; `compact` and `peaks` are settings of this step alone.
    """
    values = dict(settings) if settings is not None else {}  # a model gives its fields
    values |= {"compact": compact or values.get("compact", False), "peaks": peaks or values.get("peaks", False)}
    return SPARSIFY(
        sources, outputs=output, settings=values, device=device, overwrite=overwrite, progress=progress,
        command=command, execution=execution,
    )  # fmt: skip


def densify_file(
    source: Source,
    output: Source,
    *,
    noise: bool = True,
    seed: int = 0,
    compression: str = "gzip",
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
    execution: Execution = PLAIN,
) -> Outcome:
    """Whole frames again from a sparse file, streamed to an NXmx file. Missing frames become frames of masked pixels.

    As `find_peaks`; the rest as `crystint.densify`.
    """
    return DENSIFY(
        source, outputs=output, settings={"noise": noise, "seed": seed, "compression": compression}, device=device,
        overwrite=overwrite, progress=progress, command=command, execution=execution,
    )  # fmt: skip
