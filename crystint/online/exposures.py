"""What a simulated detector shows: frames, packed once, and what is true of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError, ShapeError, described
from crystint.io.frames import Frames
from crystint.model.geometry import Geometry
from crystint.model.instrument import Instrument
from crystint.model.valid_values import hidden_value
from crystint.online.wire import PackedImage
from crystint.simulate import TRUTH_DTYPE, Simulation, ice_rings, simulate
from crystint.stream import PackedFrame, encode_frame

__all__ = ["SIZES", "Exposures", "detector_shape", "exposures_of", "synthetic"]

SIZES = {"500k": (512, 1028), "1M": (1062, 1028), "4M": (2167, 2070), "9M": (3262, 3108), "16M": (4362, 4148)}
"""(slow, fast) of detectors by their names"""
_SIMULATED = Instrument(detector="crystint simulated detector", serial="SIM-0001", material="Si", thickness=450e-6)


@dataclass(frozen=True, eq=False)
class Exposures:
    """Frames that are sent in turn, and what the detector and the simulation know of them."""

    images: Sequence[PackedImage]
    shape: tuple[int, int]
    """(slow, fast)"""
    dtype: np.dtype[Any]
    truth: NDArray[np.void]
    """peaks planted, structured array of `crystint.simulate.TRUTH_DTYPE`"""
    geometry: Geometry | None = None
    mask: NDArray[np.uint32] | None = None
    instrument: Instrument = field(default_factory=Instrument)

    @property
    def size(self) -> int:
        """Bytes of an image, of the first one."""
        return sum(len(frame.data) for frame in self.images[0].values())


def detector_shape(size: str) -> tuple[int, int]:
    """(slow, fast) of "4M", or of "500x600".

    Raises
    ------
    SettingError
    """
    if size in SIZES:
        return SIZES[size]
    slow, _, fast = size.partition("x")
    if not (slow.isdigit() and fast.isdigit() and int(slow) and int(fast)):
        raise SettingError(f"size is {size!r}, expected SLOWxFAST, or one of {', '.join(SIZES)}")
    return int(slow), int(fast)


def synthetic(
    shape: tuple[int, int],
    channels: Sequence[str] = ("threshold_1",),
    *,
    dtype: str = "uint16",
    frames: int = 16,
    hit_rate: float = 0.3,
    peaks: int = 60,
    seed: int = 0,
    algorithm: str = "bslz4",
) -> Exposures:
    """Frames of a weak background with ice rings, some of them with peaks.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast)
    channels, algorithm
        As `exposures_of` takes them.
    dtype : str
    frames : int
    hit_rate : float
        Share of the frames that have peaks, as evenly among them as it goes.
    peaks : int
        In such a frame.
    seed : int
    """
    settings: dict[str, Any] = {"dtype": dtype, "background": 3.0, "seed": seed, "intensity": 600.0}
    if min(shape) >= 200:
        settings |= {"falloff": 2.0, "rings": ice_rings(4.0), "dead": min(shape) // 10}
    with_peaks = simulate(shape, frames, peaks=peaks if min(shape) >= 16 else 0, **settings)
    without = simulate(shape, frames, **settings)
    hits = [int((i + 1) * hit_rate + 1e-9) > int(i * hit_rate + 1e-9) for i in range(frames)]
    truth = with_peaks.truth
    made = _exposures(((with_peaks if hit else without)[i] for i, hit in enumerate(hits)), channels, algorithm)
    return replace(
        made,
        truth=truth[np.asarray(hits)[truth["frame"]]],
        geometry=with_peaks.geometry,
        mask=with_peaks.mask,
        instrument=replace(_SIMULATED, saturation=with_peaks.saturation),
    )


def exposures_of(
    frames: Exposures | Simulation | Frames | NDArray[Any] | Iterable[NDArray[Any]],
    channels: Sequence[str] = ("threshold_1",),
    algorithm: str = "bslz4",
) -> Exposures:
    """Pack frames as a detector does.

    Parameters
    ----------
    frames : Simulation, Frames, integer [n, slow, fast], or integers [slow, fast]
        Those of files are packed when they are sent, where their files do not hold them packed so.
    channels : sequence of str
        The first one shows the frames; each further one half the counts of the one before.
    algorithm : "bslz4", "lz4", "none"

    Raises
    ------
    SettingError, ShapeError
        When a frame cannot be sent.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.online.exposures import exposures_of
    >>> made = exposures_of(np.zeros((5, 20, 30), np.uint16))
    >>> len(made.images), made.shape, list(made.images[0])
    (5, (20, 30), ['threshold_1'])
    """
    if isinstance(frames, Exposures):
        return frames
    if isinstance(frames, Frames):
        if frames.dtype.kind not in "iu":
            raise SettingError(f"the frames are {frames.dtype}, expected integers: detectors send no other numbers")
        images = _OfFiles(frames, channels, algorithm)
        none = np.zeros(0, TRUTH_DTYPE)
        return Exposures(images, frames.shape, frames.dtype, none, frames.geometry, frames.mask, frames.instrument)
    if isinstance(frames, Simulation):
        return replace(
            _exposures(frames, channels, algorithm), truth=frames.truth, geometry=frames.geometry, mask=frames.mask,
            instrument=replace(_SIMULATED, saturation=frames.saturation),
        )  # fmt: skip
    return _exposures([frames] if isinstance(frames, np.ndarray) and frames.ndim == 2 else frames, channels, algorithm)


def _exposures(frames: Iterable[NDArray[Any]], channels: Sequence[str], algorithm: str) -> Exposures:
    packed: list[PackedImage] = []
    shape: tuple[int, int] | None = None
    dtype: np.dtype[Any] | None = None
    for frame in frames:
        if not isinstance(frame, np.ndarray) or frame.ndim != 2 or frame.dtype.kind not in "iu":
            raise SettingError(f"a frame is {described(frame)}, expected integers of (slow, fast)")
        if shape is not None and (frame.shape != shape or frame.dtype != dtype):
            raise ShapeError(f"a frame is {frame.shape} {frame.dtype}, the first one is {shape} {dtype}")
        shape, dtype = (frame.shape[0], frame.shape[1]), frame.dtype
        packed.append(_packed(frame, channels, algorithm))
    if shape is None or dtype is None:
        raise SettingError("there is no frame to send, expected one or more")
    return Exposures(packed, shape, dtype, np.zeros(0, TRUTH_DTYPE), instrument=_SIMULATED)


def _packed(frame: NDArray[Any], channels: Sequence[str], algorithm: str) -> PackedImage:
    images = {}
    for channel in channels:
        images[channel] = encode_frame(frame, algorithm)
        frame = np.where(frame == hidden_value(frame.dtype), frame, frame // 2).astype(frame.dtype)
    return images


class _OfFiles(Sequence[PackedImage]):
    """Frames of files, as they are packed there where that is what is wanted."""

    def __init__(self, frames: Frames, channels: Sequence[str], algorithm: str) -> None:
        self._frames, self._channels, self._algorithm = frames, tuple(channels), algorithm

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, index: int) -> PackedImage: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[PackedImage]: ...

    def __getitem__(self, index: int | slice) -> PackedImage | Sequence[PackedImage]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if len(self._channels) == 1 and self._algorithm == "bslz4":
            chunk = self._frames.chunk(index)
            if chunk is not None and chunk.codec == "bslz4" and chunk.dtype.isnative:
                return {self._channels[0]: PackedFrame(chunk.data, chunk.shape, chunk.dtype, "bslz4")}
        return _packed(self._frames[index], self._channels, self._algorithm)
