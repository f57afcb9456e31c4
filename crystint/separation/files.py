"""From frames to files in Python: the steps of separation as functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crystint.arrays import FileName
from crystint.model.rois import Rois
from crystint.run.execution import PLAIN, Execution
from crystint.run.outcome import Outcome
from crystint.run.part import Part
from crystint.run.step import Progress, silent
from crystint.separation.settings import Settings
from crystint.separation.steps import DENSIFY, PEAKS, ROI, SPARSIFY

__all__ = ["Execution", "Outcome", "Part", "Settings", "densify_file", "find_peaks", "sparsify", "sum_regions"]


def find_peaks(
    sources: Sequence[FileName],
    outputs: Sequence[FileName],
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
    outputs : sequence of path
        Each in the format of its suffix.
    settings : Settings or mapping of name to value
        A mapping also takes ``join`` (None = where the frames are a rotation scan) and ``min_frames``.
    device : str, optional
        As `crystint.Engine` takes it.
    overwrite : bool
        Replace existing files.
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

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), frames=2, background=5.0, peaks=8, intensity=900.0, seed=1)
    >>> with crystint.DenseWriter(
    ...     "run.h5", data.shape, data.dtype, geometry=data.geometry, mask=None, saturation=None, provenance={}
    ... ) as writer:
    ...     for frame in data:
    ...         writer.write(frame)
    >>> from crystint.separation import find_peaks
    >>> outcome = find_peaks(["run.h5"], ["peaks.cxi"], {"rings": 30})
    >>> outcome.frames, len(crystint.read_peaks("peaks.cxi")) > 4
    (2, True)
    """
    values = None if settings is None else dict(settings)  # a model gives its fields
    return PEAKS(
        sources, outputs=outputs, settings=values, device=device, overwrite=overwrite, progress=progress,
        command=command, execution=execution,
    )  # fmt: skip


def sparsify(
    sources: Sequence[FileName],
    output: FileName,
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

    Parameters
    ----------
    sources, settings, device, overwrite, progress, command, execution
        As `find_peaks`.
    output : path
        Of the sparse file.
    compact : bool
        Smaller, but for crystint alone.
    peaks : bool
        Store the peaks, too.

    Returns
    -------
    Outcome

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), frames=2, background=5.0, peaks=8, intensity=900.0, seed=1)
    >>> with crystint.DenseWriter(
    ...     "run.h5", data.shape, data.dtype, geometry=data.geometry, mask=None, saturation=None, provenance={}
    ... ) as writer:
    ...     for frame in data:
    ...         writer.write(frame)
    >>> from crystint.separation import sparsify
    >>> outcome = sparsify(["run.h5"], "sparse.h5", {"rings": 30}, peaks=True)
    >>> outcome.frames, dict(outcome.missing)
    (2, {})
    """
    values = dict(settings) if settings is not None else {}  # a model gives its fields
    values |= {"compact": compact or values.get("compact", False), "peaks": peaks or values.get("peaks", False)}
    return SPARSIFY(
        sources, outputs=output, settings=values, device=device, overwrite=overwrite, progress=progress,
        command=command, execution=execution,
    )  # fmt: skip


def densify_file(
    source: FileName,
    output: FileName,
    *,
    noise: bool = True,
    seed: int = 0,
    compression: str = "auto",
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
    execution: Execution = PLAIN,
) -> Outcome:
    """Whole frames again from a sparse file, streamed to an NXmx file. Missing frames become frames of masked pixels.

    Parameters
    ----------
    source : path
        A sparse file.
    output : path
        Of the NXmx file.
    noise, seed
        As `crystint.densify`.
    compression : str
        As `crystint.DenseWriter`.
    device, overwrite, progress, command, execution
        As `find_peaks`.

    Returns
    -------
    Outcome

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), frames=2, background=5.0, peaks=8, intensity=900.0, seed=1)
    >>> with crystint.DenseWriter(
    ...     "run.h5", data.shape, data.dtype, geometry=data.geometry, mask=None, saturation=None, provenance={}
    ... ) as writer:
    ...     for frame in data:
    ...         writer.write(frame)
    >>> from crystint.separation import densify_file, sparsify
    >>> outcome = sparsify(["run.h5"], "sparse.h5", {"rings": 30})
    >>> outcome = densify_file("sparse.h5", "dense.h5", seed=1)
    >>> crystint.open_frames("dense.h5").shape
    (100, 110)
    """
    return DENSIFY(
        source, outputs=output, settings={"noise": noise, "seed": seed, "compression": compression}, device=device,
        overwrite=overwrite, progress=progress, command=command, execution=execution,
    )  # fmt: skip


def sum_regions(
    sources: Sequence[FileName],
    outputs: Sequence[FileName],
    rois: Rois | FileName,
    settings: Settings | Mapping[str, Any] | None = None,
    *,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
    execution: Execution = PLAIN,
) -> Outcome:
    """What regions of interest hold in each frame: exact sums, signal over the background of the rings, spots.

    Parameters
    ----------
    sources, settings, device, overwrite, progress, command, execution
        As `find_peaks`.
    outputs : sequence of path
        .h5 (.hdf5, .nxs) or .csv each.
    rois : Rois or path
        The regions, or a file that has them.

    Returns
    -------
    Outcome
        Its `result` is a structured array of `crystint.ROI_DTYPE` [frames, regions].

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), frames=2, background=5.0, peaks=8, intensity=900.0, seed=1)
    >>> with crystint.DenseWriter(
    ...     "run.h5", data.shape, data.dtype, geometry=data.geometry, mask=None, saturation=None, provenance={}
    ... ) as writer:
    ...     for frame in data:
    ...         writer.write(frame)
    >>> rois = crystint.Rois((crystint.Roi.box("all", slow=(0, 99), fast=(0, 109)),))
    >>> outcome = crystint.separation.sum_regions(["run.h5"], ["roi.csv"], rois)
    >>> outcome.result.shape, int(outcome.result["pixels"][0, 0])
    ((2, 1), 11000)
    """
    values = dict(settings) if settings is not None else {}  # a model gives its fields
    values["rois"] = rois.to_dict() if isinstance(rois, Rois) else rois
    return ROI(
        sources, outputs=outputs, settings=values, device=device, overwrite=overwrite, progress=progress,
        command=command, execution=execution,
    )  # fmt: skip
