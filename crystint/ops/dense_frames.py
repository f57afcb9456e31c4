"""Sparse frames as an array of whole frames, each made when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from crystint.engine import Engine, engine_named, engine_on
from crystint.errors import DTypeError
from crystint.html import html_table
from crystint.model.mask import marker
from crystint.model.sparse import SparseFrame
from crystint.ops.densify import densifier_of

__all__ = ["DenseFrames", "dense_frames"]

_Index: TypeAlias = Any
"""what NumPy takes: numbers, slices, an ellipsis, and lists or masks of frames"""


class SparseSequence(Protocol):
    """Sparse frames of one detector, by number."""

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> SparseFrame: ...


class DenseFrames(Sequence[NDArray[Any]]):
    """Sparse frames as an array (frames, slow, fast) that is densified where it is looked at.

    Made by ``SparseFile.dense()``. It has `shape`, `dtype` and the indices of an array, and ``numpy.asarray`` makes
    one of it, so that silx, Dask (``dask.array.from_array(dense, chunks=dense.chunks)``) and plotting programs take
    it for one. Only the frames of an index are read, one after the other. Threads may share it. It is pickled as the
    name of its file.

    Frames that are missing in the sparse file hold the value that marks unusable pixels.

    Parameters
    ----------
    sparse : SparseFile
        Or any sequence of SparseFrame with `shape` (slow, fast) and `dtype`.
    noise, seed
        As `densify` has them.
    engine : Engine, optional
        None = the default device.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> with crystint.SparseWriter(
    ...     "sparse.h5", separator.rings, data.dtype, geometry=data.geometry, provenance={}
    ... ) as writer:
    ...     writer.write(separator.sparsify(data[0]))
    >>> with crystint.open_sparse("sparse.h5") as file:
    ...     dense = file.dense(noise=False)
    ...     dense.shape, dense[0, 10:20, :5].shape
    ((1, 100, 110), (10, 5))
    """

    ndim = 3

    def __init__(self, sparse: SparseSequence, noise: bool = True, seed: int = 0, engine: Engine | None = None) -> None:
        self.sparse, self.noise, self.seed = sparse, noise, seed
        self._engine = engine

    def __reduce__(self) -> tuple[Any, ...]:
        device = None if self._engine is None else (self._engine.device.name, self._engine.device.platform)
        return _dense_again, (self.sparse, self.noise, self.seed, device)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames, slow, fast)"""
        return len(self.sparse), *self.sparse.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """dtype of the frames"""
        return self.sparse.dtype

    @property
    def size(self) -> int:
        """Number of pixels of all frames."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all frames, whole."""
        return self.size * self.dtype.itemsize

    @property
    def chunks(self) -> tuple[int, int, int]:
        """(1, slow, fast): what is made at once."""
        return 1, *self.sparse.shape

    def __len__(self) -> int:
        return len(self.sparse)

    def __repr__(self) -> str:
        return f"<DenseFrames: {len(self)} of {self.shape[1]} x {self.shape[2]} px, {self.dtype}>"

    def _repr_html_(self) -> str:
        facts = {
            "shape (frames, slow, fast)": "{} x {} x {}".format(*self.shape),
            "dtype": str(self.dtype),
            "noise": self.noise,
            "seed": self.seed,
            "of": repr(self.sparse),
        }
        return html_table("DenseFrames", facts)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self._frame(number) for number in range(len(self)))

    def __getitem__(self, index: _Index) -> Any:
        parts = _whole_index(index)
        numbers, of_frame = np.arange(len(self))[parts[0]], parts[1:]
        if isinstance(numbers, np.integer):
            return self._frame(int(numbers))[None][0, *of_frame]  # the number of a frame counts in the order of axes
        if not isinstance(parts[0], slice) and any(not isinstance(part, slice | int | np.integer) for part in of_frame):
            raise IndexError(
                "a list of frames goes with numbers and slices of pixels alone: take the pixels afterwards"
            )
        inside = np.broadcast_to(np.zeros((), self.dtype), self.sparse.shape)[of_frame]
        made = np.empty((*numbers.shape, *inside.shape), self.dtype)
        for place, number in np.ndenumerate(numbers):
            made[place] = self._frame(int(number))[of_frame]
        return made

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("sparse frames are no array in memory: one is made of them, copy=False cannot be")
        if dtype is not None and np.dtype(dtype).kind not in "iuf":
            raise DTypeError(f"frames cannot become an array of {np.dtype(dtype)}, expected numbers")
        made: NDArray[Any] = self[:]
        return made if dtype is None else made.astype(dtype, copy=False)

    def _frame(self, number: int) -> NDArray[Any]:
        sparse = self.sparse[number]
        if sparse.missing:
            return np.full(sparse.shape, marker(self.dtype, sparse.background.rings.valid), self.dtype)
        return densifier_of(sparse.background.rings, self._engine).run(sparse, self.noise, self.seed)


def dense_frames(sparse: SparseSequence, noise: bool, seed: int, engine: Engine | str | None) -> DenseFrames:
    """Sparse frames as an array, on a device that may be named."""
    return DenseFrames(sparse, noise, seed, engine_named(engine) if isinstance(engine, str) else engine)


def _whole_index(index: _Index) -> tuple[Any, ...]:
    """Three parts, one for each axis."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(part is None for part in parts):
        raise IndexError("new axes cannot be made here: make an array of the frames first")
    at = [number for number, part in enumerate(parts) if part is Ellipsis]
    axes = sum(_axes(part) for part in parts if part is not Ellipsis)
    if len(at) > 1 or axes > 3:
        raise IndexError(f"the index is for {axes} axes, frames have 3: (frames, slow, fast)")
    place = at[0] if at else len(parts)
    whole = (*parts[:place], *[slice(None)] * (3 - axes), *parts[place + len(at) :])
    if _axes(whole[0]) > 1:
        raise IndexError("a mask of frames has one axis, one of pixels two: make an array of the frames first")
    return whole


def _axes(part: Any) -> int:
    """How many axes a part of an index is for: a mask has its own."""
    if isinstance(part, slice | int | np.integer):
        return 1
    values = np.asarray(part)
    return max(values.ndim, 1) if values.dtype == bool else 1


def _dense_again(sparse: SparseSequence, noise: bool, seed: int, device: tuple[str, str] | None) -> DenseFrames:
    return DenseFrames(sparse, noise, seed, None if device is None else engine_on(*device))
