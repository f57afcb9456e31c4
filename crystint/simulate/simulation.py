"""A scene as a sequence of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError, described
from crystint.model.geometry import Geometry
from crystint.simulate.scene import TRUTH_DTYPE, Scene

__all__ = ["Simulation", "simulate"]


@dataclass(frozen=True)
class Simulation:
    """`n` frames of a scene, each made when asked for: ``len()``, ``[i]``, iteration; one frame in memory.

    Examples
    --------
    >>> from crystint.simulate import simulate
    >>> data = simulate((100, 120), frames=3, background=2.0, peaks=20, seed=1)
    >>> len(data), data[2].shape, len(data.truth), data.mask.shape
    (3, (100, 120), 60, (100, 120))
    """

    scene: Scene
    """what the frames hold"""
    n: int
    """number of frames"""

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> NDArray[Any]:
        """Frame `i`, dtype [slow, fast]; negative numbers count from the end."""
        number = i + self.n if i < 0 else i
        if not 0 <= number < self.n:
            raise IndexError(f"frame {i} of a simulation of {self.n} frames")
        return self.scene.frame(number)[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[i] for i in range(self.n))

    @property
    def frames(self) -> NDArray[Any]:
        """All frames at once, dtype [n, slow, fast], made anew at each call."""
        return np.stack(list(self)) if self.n else np.empty((0, *self.shape), self.dtype)

    @property
    def truth(self) -> NDArray[np.void]:
        """The peaks of all frames, structured array of `TRUTH_DTYPE` sorted by frame and pixel number."""
        return np.concatenate([np.zeros(0, TRUTH_DTYPE), *(self.scene.truth(i) for i in range(self.n))])

    @property
    def background(self) -> Floats:
        """float64 [slow, fast]: raw counts expected without peaks."""
        return self.scene.background_mean

    @property
    def mask(self) -> NDArray[np.uint32]:
        """uint32 [slow, fast]: NXmx pixel mask."""
        return self.scene.mask

    @property
    def geometry(self) -> Geometry:
        """Geometry of the frames."""
        return self.scene.geometry

    @property
    def saturation(self) -> float | None:
        """Value at which pixels are clipped, None when only the dtype limits them."""
        return self.scene.saturation

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast) of a frame."""
        return self.scene.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of a frame."""
        return np.dtype(self.scene.dtype)


def simulate(
    shape: tuple[int, int] = (512, 512), frames: int = 1, *, geometry: Geometry | None = None, **settings: Any
) -> Simulation:
    """Frames of known truth.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast); used when there is no `geometry`: then pixels of 172 um, 1 angstrom, polarization 0.99,
        the beam near the centre, and a distance that puts 2 theta = 30 deg near the nearest border.
    frames : int
        Number of frames.
    geometry : Geometry or None
    **settings
        Any field of `Scene`: background, rings, peaks, modules, dead, hot, saturation, dtype, seed, ...

    Returns
    -------
    Simulation

    Raises
    ------
    SettingError
        For an unknown setting or an impossible value.

    Examples
    --------
    >>> from crystint.simulate import simulate
    >>> data = simulate((100, 120), frames=3, background=2.0, peaks=20, dtype="uint16", seed=1)
    >>> data[0].shape, len(data), len(data.truth)
    ((100, 120), 3, 60)
    """
    names = {field.name for field in fields(Scene)} - {"geometry"}
    for name in settings:
        if name not in names:
            raise SettingError(f"simulate has no setting {name!r}; it has {', '.join(sorted(names))}")
    if frames < 0:
        raise SettingError(f"frames is {frames}, expected 0 or more")
    if geometry is None:
        geometry = _default_geometry(shape)
    return Simulation(Scene(geometry, **settings), int(frames))


def _default_geometry(shape: tuple[int, int]) -> Geometry:
    if not isinstance(shape, Sequence) or len(shape) != 2 or not all(isinstance(n, int | np.integer) for n in shape):
        value = repr(shape) if isinstance(shape, int | float | list | tuple) else described(shape)
        raise SettingError(f"shape is {value}, expected two whole numbers (slow, fast)")
    pixel = 172e-6
    center = (0.485 * shape[0], 0.515 * shape[1])
    nearest = max(1.0, 0.5 * min(shape)) * pixel
    return Geometry(
        shape=(int(shape[0]), int(shape[1])),
        pixel_size=(pixel, pixel),
        distance=nearest / float(np.tan(np.radians(30.0))),
        beam_center=center,
        wavelength=1.0,
        polarization=0.99,
    )
