"""What the steps of angular correlation have in common: opened frames, what fits them, and the grid over them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import FileName
from crystint.correlate.polar.polar import PolarTransform
from crystint.correlate.settings import GridSettings
from crystint.engine import Engine
from crystint.errors import FileError, GeometryError, SettingError, warn
from crystint.io.frames.sequence import Frames, open_frames
from crystint.io.hdf5.provenance import read_provenance
from crystint.model.geometry import Geometry
from crystint.model.polar_grid import PolarGrid
from crystint.model.valid_values import ValidValues
from crystint.run.frames import mask_of, read_frame
from crystint.run.geometry import NoGeometryError, geometry_of
from crystint.run.settings import DetectorSettings

__all__ = ["Exposures", "grid_of", "grid_used", "missing_in", "opened", "q_of"]


@dataclass(frozen=True, eq=False)
class Exposures:
    """Opened frames and what fits them."""

    frames: Frames
    mask: NDArray[np.uint32]
    """uint32 [slow, fast]: 0 = good"""
    geometry: Geometry | None = None
    center: tuple[float, float] | None = None
    """(slow, fast), px from the outer corner; None = that of the geometry"""
    valid: ValidValues | None = None
    """which values are measurements; None = the default of the dtype"""
    masked: str = ""
    """how much of the frame is masked, for the end of the run; empty without masks that were given"""

    @property
    def files(self) -> tuple[str, ...]:
        """Absolute names of the files, as workers of a cluster open them."""
        return tuple(str(Path(file).resolve()) for file in self.frames.opened_files)

    def read(self, number: int) -> NDArray[Any]:
        """A frame in a dtype that the device takes.

        Raises
        ------
        FileError
            With the number of the frame and its file, when it cannot be read.
        """
        frame = read_frame(self.frames, number)
        return frame.astype(np.float32) if frame.dtype == np.float64 else frame

    def transform(self, engine: Engine, grid: PolarGrid, settings: GridSettings) -> PolarTransform:
        """Polar images of these frames; with a geometry divided by solid angle and polarization."""
        return PolarTransform(
            engine,
            grid,
            self.frames.shape,
            method=settings.method,
            mask=self.mask,
            geometry=self.geometry if settings.corrections else None,
            saturation=self.frames.saturation,
            valid=self.valid,
        )

    @property
    def same(self) -> dict[str, Any]:
        """What must be the same when a run is resumed, besides its settings and files."""
        return {"shape": list(self.frames.shape), "dtype": str(self.frames.dtype)}

    def used(self, device: str) -> dict[str, Any]:
        """What is used where the settings leave it open, for the provenance of outputs."""
        return {
            "device": device,
            "geometry_used": None if self.geometry is None else self.geometry.to_dict(),
            "valid_values": None if self.valid is None else self.valid.to_dict(),
            "masked_pixels": int((self.mask != 0).sum()),
        }


@contextmanager
def opened(
    sources: Sequence[FileName], settings: DetectorSettings, *, from_the_middle: bool = False
) -> Iterator[Exposures]:
    """Open frames, and find mask, and geometry or centre where these are told.

    Parameters
    ----------
    sources : paths or patterns
    settings : DetectorSettings
    from_the_middle : bool
        The beam need not be told: without it, it is the middle of the frame in a geometry that lacks nothing else.

    Raises
    ------
    CrystintError
        When something cannot be read, or does not fit.
    """
    with open_frames(*sources, dataset=settings.dataset, frames=settings.frames) as frames:
        if not len(frames):
            raise FileError(f"{', '.join(map(str, sources))}: no frames in it")
        geometry = None
        asked = settings.geometry is not None or settings.distance is not None or settings.pixel_size is not None
        try:
            geometry = geometry_of(frames, settings)
        except GeometryError as error:
            if from_the_middle and asked and settings.beam is None:
                slow, fast = frames.shape
                geometry = geometry_of(frames, settings.model_copy(update={"beam": (0.5 * slow, 0.5 * fast)}))
            elif asked:
                raise
            elif not isinstance(error, NoGeometryError):
                warn(f"the geometry of the frames is left out: {error}")
        mask = mask_of(frames, settings, settings.geometry)
        valid = frames.valid_from(settings.lowest)
        yield Exposures(frames, mask.pixels, geometry, settings.beam, valid, mask.about)


def grid_of(exposures: Exposures, settings: GridSettings) -> PolarGrid:
    """The grid that the settings ask for.

    Rows are from MIN up to below MAX, 1 px apart, or, of q, about as far as 1 px is, unless told otherwise. Without
    rows they are from 1 px to the farthest edge of the frame.

    Raises
    ------
    SettingError, GeometryError
        When they are impossible, or there is no centre, or no geometry for q.
    """
    geometry = exposures.geometry
    options: dict[str, Any] = {
        "azimuths": settings.azimuths, "origin": settings.origin, "direction": settings.direction,
    }  # fmt: skip
    if settings.q is not None:
        if geometry is None:
            raise GeometryError(
                "rows of q need a geometry: give one with -g FILE, or --distance, --pixel-size and so on"
            )
        if geometry.wavelength is None:
            raise GeometryError("rows of q need a wavelength: give --wavelength")
        scale = 2.0 * math.pi * math.sqrt(geometry.pixel_size[0] * geometry.pixel_size[1])
        step = scale / (geometry.wavelength * geometry.distance_along_beam)
        return PolarGrid.of_q(geometry, _rows("q", settings.q, step), **options)
    center = exposures.center if geometry is None else geometry.direct_beam
    if center is None:
        raise GeometryError("no centre: give --beam SLOW,FAST, or -g FILE (`crystint correlate center` finds it)")
    size = exposures.frames.shape
    if not (settings.beam_outside or all(0.0 <= at <= n for at, n in zip(center, size, strict=True))):
        raise GeometryError(
            f"the centre (slow, fast) = ({center[0]:g}, {center[1]:g}) px lies outside the frame of {size[0]} x "
            f"{size[1]} pixels: if that is meant, give --beam-outside"
        )
    if settings.radii is not None:
        return PolarGrid(center, _rows("radii", settings.radii, 1.0), **options)
    shape = exposures.frames.shape
    reach = max(center[0], shape[0] - center[0], center[1], shape[1] - center[1])
    return PolarGrid(center, _rows("radii", (1.0, max(reach, 2.0)), 1.0), **options)


def _rows(name: str, limits: tuple[float, ...], step: float) -> NDArray[np.float64]:
    """float64 [rows]: from the first limit up to below the second, by the third where there is one."""
    low, high, step = (*limits, step)[:3]
    if not (0.0 <= low < high and step > 0.0):
        raise SettingError(f"{name} is {low:g},{high:g},{step:g}, expected 0 <= MIN < MAX and STEP above 0")
    count = math.ceil((high - low) / step - 1e-9)
    if count > 1_000_000:
        raise SettingError(f"{name} from {low:g} to {high:g} by {step:g} are {count} rows, expected a million at most")
    return np.asarray(low + step * np.arange(count), dtype=np.float64)


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


def grid_used(grid: PolarGrid) -> dict[str, Any]:
    """A grid in the few numbers that tell it, for the provenance of outputs."""
    return {
        "center": grid.center,
        "radii": [grid.radii[0], grid.radii[-1], len(grid.radii)],
        "q": None if grid.q is None else [grid.q[0], grid.q[-1]],
        "azimuths": grid.azimuths,
        "origin": grid.origin,
        "direction": grid.direction,
    }


def missing_in(output: Path) -> list[int] | None:
    """Numbers of the frames that an output of these steps lacks, as its provenance tells."""
    settings = read_provenance(output).get("settings", {})
    return settings.get("missing") if isinstance(settings, dict) else None
