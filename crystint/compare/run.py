"""Raw and sparse frames, pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import FileName
from crystint.compare.comparison import Comparison
from crystint.compare.frame_sums import measure
from crystint.compare.settings import SEED, SHELLS
from crystint.compare.shells import Shells
from crystint.errors import SettingError, ShapeError, described
from crystint.io.frames.sequence import Frames, open_frames
from crystint.io.linked_files import files_read
from crystint.model.geometry import Geometry
from crystint.model.sparse import SparseFrame
from crystint.ops.separator import Separator
from crystint.prediction.boxes import ReflectionBoxes
from crystint.prediction.reflection_boxes import reflection_boxes
from crystint.summation.frame_audit import FrameAudit, FrameAuditor, PeakRules, ReflectionSums

if TYPE_CHECKING:
    from crystint.engine import Engine
    from crystint.ops.densify import Densifier

__all__ = ["auditor_of", "bytes_of", "compare", "compare_frame"]

_End = object()
_EXPECTED = (
    "expected a SparseFrame, several of them, or the name of a sparse file: whole frames that densify made "
    "do not tell which pixels are exact"
)


def compare(
    frames: FileName | Sequence[FileName] | NDArray[Any] | Iterable[NDArray[Any]],
    sparse: FileName | SparseFrame | Iterable[SparseFrame],
    geometry: Geometry | None = None,
    shells: int = SHELLS,
    seed: int = SEED,
    *,
    reflections: FileName | None = None,
    engine: Engine | None = None,
    progress: Callable[[], object] | None = None,
) -> Comparison:
    """What the compression lost, in constant memory however many frames there are.

    Frames that are missing in the sparse file are left out.

    Parameters
    ----------
    frames : path, paths, array [slow, fast] or [n, slow, fast], or iterable of arrays [slow, fast]
        The raw frames.
    sparse : path, SparseFrame or iterable of SparseFrame
        The same frames, sparsified, in the same order.
    geometry : Geometry or None
        Divides the frame by q, and has the panels; None = the q that the sparse frames carry, and one panel.
    shells : int
        Number of resolution shells.
    seed : int
        Of the noise that densify draws.
    reflections : path or None
        Reflections to sum, as of ``crystint compare --reflections``; None = the peaks that are found in the raw frames,
        each frame by itself.
    engine : Engine or None
        Device; None = the default one.
    progress : callable or None
        Called after every frame.

    Returns
    -------
    Comparison

    Raises
    ------
    ShapeError, DTypeError
        When the two hold different numbers of frames, or frames of different shape or dtype.
    FileError
        When a file cannot be read.
    SettingError
        When `shells` is below 1, or `sparse` is something else than sparse frames.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> sparse = separator.sparsify(data[0])
    >>> comparison = crystint.compare.compare(data[0], sparse, shells=4)
    >>> comparison.exact, comparison.mean.shape
    (True, (4,))
    """
    from crystint.engine.engine import default_engine
    from crystint.ops.densify import Densifier

    comparison = Comparison()
    auditor: FrameAuditor | None = None
    gathered: ReflectionSums | None = None
    with ExitStack() as stack:
        raw_frames, raw_bytes = _raw(frames, stack)
        boxes = None if reflections is None else reflection_boxes(reflections, _sequence(raw_frames), geometry=geometry)
        sparse_frames, sparse_bytes = _sparse(sparse, stack)
        device = engine or default_engine()
        of_rings: Shells | None = None
        densifier: Densifier | None = None
        for number, raw, one in _pairs(raw_frames, sparse_frames):
            of_rings = Shells.of(one, shells, geometry) if of_rings is None else of_rings
            if densifier is None or densifier.rings is not one.background.rings:
                densifier = Densifier(device, one.background.rings)
                auditor = auditor_of(one, geometry, PeakRules(), boxes, device)
                gathered = ReflectionSums(auditor.empty, boxes) if gathered is None else gathered
            compared, summed = compare_frame(number, raw, one, densifier, of_rings, seed, auditor)
            comparison += compared
            if gathered is not None:
                gathered.add(summed)
            if progress is not None:
                progress()
    audit = None if gathered is None else gathered.audit()
    return replace(comparison, raw_bytes=raw_bytes, sparse_bytes=sparse_bytes, reflections=audit)


def compare_frame(
    number: int,
    frame: NDArray[Any],
    sparse: SparseFrame,
    densifier: Densifier,
    shells: Shells,
    seed: int,
    auditor: FrameAuditor | None,
    room: tuple[NDArray[Any], NDArray[Any]] | None = None,
    both: bool = True,
) -> tuple[Comparison, FrameAudit | None]:
    """Compare one frame with its sparse form, densified with noise and without: its pixels, and its reflections.

    Of a vetoed frame no reflection is summed, and no pixel is missed.
    Densified frames are made in `room`, without noise and with it, where there is one; without noise if `both`.
    """
    outs = room or (None, None)
    clean = densifier.run(sparse, False, seed, out=outs[0]) if both else None
    noisy = densifier.run(sparse, True, seed, out=outs[1])
    compared = measure(frame, sparse, clean, noisy, shells)
    if sparse.vetoed:  # what is not there was left out on purpose: it is no loss of the threshold
        for name in ("missed", "missed_signal", "strongest"):
            compared.sums[name] = 0
        return replace(compared, vetoed=1), None
    return compared, None if auditor is None else auditor.audit(number, frame, sparse, noisy, clean)


def auditor_of(
    sparse: SparseFrame,
    geometry: Geometry | None,
    rules: PeakRules,
    boxes: ReflectionBoxes | None = None,
    engine: Engine | None = None,
) -> FrameAuditor:
    """Sums reflections of frames that were separated as `sparse` was."""
    return FrameAuditor(Separator.of_background(sparse.background, geometry, engine), rules, boxes)


def bytes_of(files: Iterable[FileName]) -> int | None:
    """Size of files, each once; None = there are none, or they are empty."""
    paths = [Path(file) for file in dict.fromkeys(map(str, files))]
    return sum(path.stat().st_size for path in paths if path.is_file()) or None


def _raw(frames: Any, stack: ExitStack) -> tuple[Iterable[NDArray[Any]], int | None]:
    """The raw frames as an iterable, and the size of the files they come from."""
    if isinstance(frames, np.ndarray):
        return (frames[None] if frames.ndim == 2 else frames), None
    if isinstance(frames, (str, PathLike)) or (
        isinstance(frames, (list, tuple)) and len(frames) and isinstance(frames[0], (str, PathLike))
    ):
        frames = stack.enter_context(open_frames(frames))
    return frames, bytes_of(frames.all_files()) if isinstance(frames, Frames) else None


def _sequence(frames: Any) -> Frames:
    """Frames that reflections can be paired with."""
    if isinstance(frames, Frames | np.ndarray):
        return frames if isinstance(frames, Frames) else open_frames(frames)
    raise SettingError(f"frames are {described(frames)}, expected files or an array where reflections are given")


def _sparse(sparse: Any, stack: ExitStack) -> tuple[Iterable[SparseFrame], int | None]:
    """The sparse frames as an iterable, and the size of the file they come from."""
    if isinstance(sparse, SparseFrame):
        return [sparse], None
    if isinstance(sparse, (str, PathLike)):
        from crystint.io.sparse.open import open_sparse

        return stack.enter_context(open_sparse(sparse)), bytes_of(files_read([sparse]))
    if isinstance(sparse, np.ndarray) or not isinstance(sparse, Iterable):
        raise SettingError(f"sparse is {described(sparse)}, {_EXPECTED}")
    return sparse, None


def _pairs(
    frames: Iterable[NDArray[Any]], sparse: Iterable[SparseFrame]
) -> Iterator[tuple[int, NDArray[Any], SparseFrame]]:
    """Number and frames side by side, without those that are missing; an error when one of the two ends first."""
    left, right = _readers(frames), iter(sparse)
    number = 0
    while True:
        read: Any = next(left, _End)
        one: Any = next(right, _End)
        if read is _End and one is _End:
            return
        if read is _End or one is _End:
            fewer = "raw" if read is _End else "sparse"
            raise ShapeError(f"the {fewer} frames end after {number}, the others do not: compare the same frames")
        if not isinstance(one, SparseFrame):
            raise SettingError(f"sparse frame {number} is {described(one)}, {_EXPECTED}")
        if not one.missing:
            yield number, np.asarray(read()), one
        number += 1


def _readers(frames: Iterable[NDArray[Any]]) -> Iterator[Callable[[], NDArray[Any]]]:
    """A function for each frame that gives it: one that cannot be read need not be."""
    if isinstance(frames, Frames):
        return (partial(frames.read, number) for number in range(len(frames)))
    return (partial(np.asarray, frame) for frame in frames)
