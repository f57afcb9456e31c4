"""What the correlate commands have in common: frames one after the other, and the grid that is laid over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.correlate.polar.polar import PolarTransform
from crystint.correlate.polar.polar_grid import ORIGINS, PolarGrid
from crystint.engine import Engine
from crystint.errors import FileError, GeometryError, SettingError
from crystint.io.frames.sequence import Frames
from crystint.model.geometry import Geometry

__all__ = [
    "HDF5",
    "NO_DATA",
    "Done",
    "Exposures",
    "Progress",
    "Source",
    "grid_of",
    "numbers",
    "q_of",
    "silent",
]

Source = str | PathLike[str]
Progress = Callable[[Iterable[int], int, str], Iterable[int]]
"""(frame numbers, how many, what is being done) -> the numbers"""
NO_DATA = "no data in any of the rings"
"""why a frame is left out that could be read"""
HDF5 = (".h5", ".hdf5", ".hdf", ".nxs")


def silent(items: Iterable[int], _total: int, _what: str) -> Iterable[int]:
    """The items: progress that nobody watches."""
    return items


@dataclass(frozen=True, eq=False)
class Done:
    """How a step ended."""

    text: str
    """what to tell at the end"""
    warnings: tuple[str, ...] = ()
    missing: Mapping[int, str] = field(default_factory=dict)
    """numbers of the frames that could not be read, or have no data, ascending, and why"""
    frames: int = 0
    """frames of the input"""


@dataclass(eq=False)
class Exposures:
    """Opened frames and what fits them. The next frame is read while one is worked on."""

    frames: Frames
    mask: NDArray[np.uint32]
    """uint32 [slow, fast]: 0 = good"""
    geometry: Geometry | None = None
    center: tuple[float, float] | None = None
    """(slow, fast), px from the outer corner; None = that of the geometry"""
    strict: bool = False
    """a frame that cannot be read is an error; otherwise it is left out"""
    missing: dict[int, str] = field(default_factory=dict)
    """numbers of the frames that could not be read, or have no data, so far, and why"""

    def read(self, number: int) -> NDArray[Any] | None:
        """A frame in a dtype that the device takes; None when it cannot be read.

        Raises
        ------
        FileError
            Then, when `strict`.
        """
        try:
            frame = self.frames[number]
        except OSError as error:
            if self.strict:
                raise FileError(f"frame {number}: {error}") from error
            self.missing[number] = str(error)
            return None
        return frame.astype(np.float32) if frame.dtype == np.float64 else frame

    def each(self, numbers: Iterable[int]) -> Iterator[tuple[int, NDArray[Any]]]:
        """(number, frame) of those that can be read.

        Raises
        ------
        FileError
            When none can.
        """
        some, any_at_all = False, False
        with ThreadPoolExecutor(1, "crystint") as pool:
            before = None
            for coming in chain(((number, pool.submit(self.read, number)) for number in numbers), [None]):
                if before is not None:
                    any_at_all = True
                    frame = before[1].result()
                    if frame is not None:
                        some = True
                        yield before[0], frame
                before = coming
        if any_at_all and not some and len(self.missing) == len(self.frames):
            raise FileError(f"{self.frames.files[0]}: none of the {len(self.frames)} frames can be read")

    def done(self, text: str, warnings: Iterable[str] = ()) -> Done:
        """How it ended, with the frames that could not be read."""
        return Done(text, tuple(warnings), dict(sorted(self.missing.items())), len(self.frames))

    def transform(self, engine: Engine, grid: PolarGrid, method: str, *, corrections: bool = True) -> PolarTransform:
        """Polar images of these frames; with a geometry divided by solid angle and polarization."""
        return PolarTransform(
            engine,
            grid,
            self.frames.shape,
            method=method,
            mask=self.mask,
            geometry=self.geometry if corrections else None,
            saturation=self.frames.saturation,
        )


def grid_of(
    exposures: Exposures,
    *,
    radii: str | None = None,
    q: str | None = None,
    azimuths: int = 0,
    origin: str = "fast",
    direction: int = 1,
) -> PolarGrid:
    """The grid that texts of a command line ask for.

    Parameters
    ----------
    radii, q
        MIN,MAX[,STEP] in px (step 1) or 1/angstrom (as many rows as a step of 1 px gives, about): rows from MIN up to
        below MAX. Neither = radii from 1 px to the farthest edge of the frame.
    azimuths, origin, direction
        As `PolarGrid`; the origin may be a number of rad.

    Raises
    ------
    SettingError, GeometryError
        When they are impossible, or there is no centre, or no geometry for q.
    """
    if radii is not None and q is not None:
        raise SettingError("radii and q exclude each other: give the rows once")
    try:
        start: float | str = origin if origin in ORIGINS else numbers("origin", origin, (1,))[0]
    except SettingError:
        raise SettingError(f"origin is {origin!r}, expected {', '.join(ORIGINS)} or an angle in rad") from None
    geometry = exposures.geometry
    options: dict[str, Any] = {"azimuths": azimuths, "origin": start, "direction": direction}
    if q is not None:
        if geometry is None:
            raise GeometryError(
                "rows of q need a geometry: give one with -g FILE, or --distance, --pixel-size and so on"
            )
        low, high, *given = numbers("q", q, (2, 3))
        if geometry.wavelength is None:
            raise GeometryError("rows of q need a wavelength: give --wavelength")
        scale = 2.0 * math.pi * math.sqrt(geometry.pixel_size[0] * geometry.pixel_size[1])
        step = given[0] if given else scale / (geometry.wavelength * geometry.distance_along_beam)
        return PolarGrid.of_q(geometry, _steps("q", low, high, step), **options)
    center = exposures.center if geometry is None else geometry.direct_beam
    if center is None:
        raise GeometryError("no centre: give --beam SLOW,FAST, or -g FILE (`crystint correlate center` finds it)")
    if radii is not None:
        low, high, *given = numbers("radii", radii, (2, 3))
        return PolarGrid(center, _steps("radii", low, high, given[0] if given else 1.0), **options)
    shape = exposures.frames.shape
    reach = max(center[0], shape[0] - center[0], center[1], shape[1] - center[1])
    return PolarGrid(center, _steps("radii", 1.0, max(reach, 2.0), 1.0), **options)


def q_of(grid: PolarGrid, geometry: Geometry | None) -> NDArray[np.float64] | None:
    """float64 [rows]: q of the rows, 1/angstrom; None where it is not known, or, of a tilted detector, not one."""
    if grid.q is not None:
        return grid.q
    if geometry is None or geometry.wavelength is None or geometry.panels is not None:
        return None
    if geometry.rotation[:2] != (0.0, 0.0) or geometry.pixel_size[0] != geometry.pixel_size[1]:
        return None
    tangent = grid.radii * geometry.pixel_size[0] / geometry.distance
    return np.asarray(4.0 * np.pi / geometry.wavelength * np.sin(0.5 * np.arctan(tangent)))


def numbers(name: str, text: str, counts: tuple[int, ...] = ()) -> list[float]:
    """The finite numbers of a text with commas between them; so many as one of `counts`, or any.

    Raises
    ------
    SettingError
        When they are not.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(map(math.isfinite, values)) or (counts and len(values) not in counts):
        many = " or ".join(map(str, counts))
        what = f"{many} number{'s with commas between them' if many != '1' else ''}" if counts else "numbers"
        raise SettingError(f"{name} is {text!r}, expected {what}")
    return values


def _steps(name: str, low: float, high: float, step: float) -> NDArray[np.float64]:
    if not (0.0 <= low < high and step > 0.0):
        raise SettingError(f"{name} is {low:g},{high:g},{step:g}, expected 0 <= MIN < MAX and STEP above 0")
    count = math.ceil((high - low) / step - 1e-9)
    if count > 1_000_000:
        raise SettingError(f"{name} from {low:g} to {high:g} by {step:g} are {count} rows, expected a million at most")
    return np.asarray(low + step * np.arange(count), dtype=np.float64)
