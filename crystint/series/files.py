"""Series of frames in Python: steps as functions."""

from __future__ import annotations

from collections.abc import Sequence

from crystint.arrays import FileName
from crystint.run.outcome import Outcome
from crystint.run.step import Progress, silent
from crystint.series.steps import MERGE_PARTS

__all__ = ["merge_parts"]


def merge_parts(
    parts: FileName | Sequence[FileName],
    outputs: FileName | Sequence[FileName],
    *,
    virtual: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
) -> Outcome:
    """The result of a whole run from the files of its parts, as ``crystint merge-parts`` writes it.

    Parameters
    ----------
    parts : paths or patterns
        All of them, in any order.
    outputs : paths
        Each in the format of its suffix, of those that the step writes.
    virtual : bool
        Of sparse files: show the parts, which must stay where they are, instead of copying what is in them.
    overwrite : bool
        Replace existing files.
    progress : callable
        ``(items, how many, what) -> items``.
    command : sequence of str, optional
        For the provenance; None = ``sys.argv``.

    Returns
    -------
    Outcome
        That of the step over all frames.

    Raises
    ------
    FileError
        When a part is missing, there twice, damaged, or of another run, or the inputs have changed; the message names
        it. No output is left then.
    SettingError
        When `virtual` is asked for and the parts are no sparse files.

    Examples
    --------
    >>> import crystint
    >>> from crystint.separation import Execution, Part, find_peaks
    >>> data = crystint.simulate.simulate((100, 110), frames=4, background=5.0, peaks=8, intensity=900.0, seed=1)
    >>> with crystint.DenseWriter(
    ...     "run.h5", data.shape, data.dtype, geometry=data.geometry, mask=None, saturation=None, provenance={}
    ... ) as writer:
    ...     for frame in data:
    ...         writer.write(frame)
    >>> for number in range(2):
    ...     outcome = find_peaks(
    ...         ["run.h5"], ["peaks.cxi"], {"rings": 30}, execution=Execution(part=Part(number, 2))
    ...     )
    ...     print(outcome.text)
    part 0 of 2: 2 frames
    part 1 of 2: 2 frames
    >>> crystint.merge_parts("peaks.part-*-of-002.h5", ["peaks.cxi", "peaks.refl"]).frames
    4
    """
    return MERGE_PARTS(
        parts, outputs=outputs, settings={"virtual": virtual}, overwrite=overwrite, progress=progress, command=command
    )
