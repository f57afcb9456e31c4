"""The geometry of a run: what options, the file given and the files of the frames tell, in this order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError, note, warn
from crystint.io.frames.sequence import Frames
from crystint.io.geometry.curved import PANELS_NEEDED, curved_detector
from crystint.io.geometry.files import partial_geometry_in
from crystint.io.linked_files import master_of
from crystint.io.opened_file import OpenedFile
from crystint.model.facts import range_text
from crystint.model.geometry import Geometry
from crystint.model.panels import beam_at, farther
from crystint.model.partial_geometry import OPTIONS, PartialGeometry
from crystint.run.frames import check_shape
from crystint.run.settings import DetectorSettings, PlacedSettings

__all__ = ["NoGeometryError", "geometries_of", "geometry_of", "geometry_over", "wavelengths_of"]

_ALL = {"distance", "beam_center", "pixel_size", "wavelength", "polarization"}
_PLACED = {"distance", "beam_center", "pixel_size", "rotation", "panels", "beam_outside"}
_TILTS = {"rotation", "panels", "beam_outside"}
_FEW = 8
"""Geometries of one run: each has a ring map and memory on the device of its own"""


class NoGeometryError(GeometryError):
    """Distance, beam centre or pixel size are told nowhere."""


def geometry_of(frames: Frames, settings: DetectorSettings, files: Sequence[int] | None = None) -> Geometry:
    """Explicit numbers, over the file given, over what the files of the frames tell.

    Parameters
    ----------
    files : int, optional
        Numbers of the files that are asked, where it is not all of them.

    Raises
    ------
    GeometryError
        When there is none, or it is impossible, or the files of the frames differ in it.
    ShapeError
        When it belongs to a detector of another shape.

    Warns
    -----
    CrystintNote
        Of numbers of the frames that the file given lacks, and of wavelengths that differ from frame to frame.
    """
    together = _together(frames, settings, files)
    geometry = together.whole(frames.shape)
    if geometry is None:
        whole = "whole " if together.places else ""
        missing = ", ".join(OPTIONS[name] for name in together.missing)
        master = master_of(frames.files[0])
        hint = f"; {master} beside it shows these frames: work on that, or give it with -g" if master else ""
        raise NoGeometryError(
            f"{frames.files[files[0] if files else 0]}: no {whole}geometry in it; give one with "
            f"-g FILE (.poni, .geom, NXmx, CBF), or the missing {missing}{together.reasons} (and --wavelength){hint}"
        )
    if geometry.panels is None and (curved := curved_detector(frames.shape)):
        warn(f"the frames are those of {curved}, and the geometry is one flat plane: {PANELS_NEEDED}")
    if together.wavelengths is not None:
        note(
            f"the wavelength is {range_text(together.wavelengths, 'angstrom', '.6g')} from frame to frame; spacings of "
            f"peaks are those of their frame, q of rings and maps that of the mean, {geometry.wavelength:.6g}"
        )
    return geometry


def geometries_of(frames: Frames, settings: DetectorSettings) -> tuple[list[Geometry], list[int]]:
    """As `geometry_of`, where files that place the detector differently have each their own.

    Returns
    -------
    geometries : list of Geometry
    which : list of int
        The number of the one that each file has.

    Raises
    ------
    GeometryError
        As `geometry_of`; the files may differ in a few geometries, not in many.
    """
    besides = _from_elsewhere(_options(settings), _geometry_file(settings, frames.shape))
    groups = None if besides >= _PLACED or len(frames.files) == 1 else frames.alike_files(besides, _FEW)
    if not groups or not any(groups):
        return [geometry_of(frames, settings)], [0] * len(frames.files)
    members = [[file for file, group in enumerate(groups) if group == number] for number in range(max(groups) + 1)]
    geometries = [geometry_of(frames, settings, files) for files in members]
    each = ", ".join(
        f"{frames.files[files[0]]}{f' and {len(files) - 1} more' if len(files) > 1 else ''}: {str(geometry)[11:-1]}"
        for geometry, files in zip(geometries, members, strict=True)
    )
    note(f"the files differ in geometry, and each has its own; {each}")
    return geometries, groups


def wavelengths_of(frames: Frames, settings: DetectorSettings) -> NDArray[np.float64] | None:
    """float64 [frames], angstrom: the wavelength of each frame in a run; None = that of `geometry_of` for all."""
    besides = _from_elsewhere(_options(settings), _geometry_file(settings, frames.shape))
    return _of_frames(frames, besides | _PLACED | {"polarization"}, None, needed=False).wavelengths


def _together(frames: Frames, settings: DetectorSettings, files: Sequence[int] | None) -> PartialGeometry:
    options, file = _options(settings), _geometry_file(settings, frames.shape)
    besides = _from_elsewhere(options, file)
    below = _of_frames(frames, besides, files, needed=bool(options.over(file).missing)).without(*_placed_anew(file))
    if settings.geometry is not None:
        _tell_gaps(settings.geometry, options.over(file), below)
    return _over(options, file.over(below))


def geometry_over(
    settings: PlacedSettings, asked: PartialGeometry, own: PartialGeometry, shape: tuple[int, int]
) -> Geometry | None:
    """The geometry of frames that are in no file: as `geometry_of`; None = distance, beam centre or pixel size are
    told nowhere.

    Parameters
    ----------
    settings : PlacedSettings
        With options, and the file given.
    asked : PartialGeometry
        Goes before all else.
    own : PartialGeometry
        What the frames tell themselves.
    shape : (slow, fast)

    Raises
    ------
    FileError, GeometryError, ShapeError
        As `geometry_of`.
    """
    options, file = asked.over(_options(settings)), _geometry_file(settings, shape)
    below = own.without(*_placed_anew(file))
    if settings.geometry is not None:
        _tell_gaps(settings.geometry, options.over(file), below)
    geometry = _over(options, file.over(below)).whole(shape)
    if geometry is not None and geometry.panels is None and (curved := curved_detector(shape)):
        warn(f"the frames are those of {curved}, and the geometry is one flat plane: {PANELS_NEEDED}")
    return geometry


def _from_elsewhere(options: PartialGeometry, file: PartialGeometry) -> set[str]:
    """Fields that are not asked of the frames: options and the file given tell them, or place the detector anew."""
    return {*options.over(file).values, *_placed_anew(file)}


def _placed_anew(file: PartialGeometry) -> set[str]:
    """Fields of the frames that belong to another place of the detector than that of the file given."""
    if not file.missing:
        return _PLACED
    return _TILTS if "rotation" in file.values else set()


def _options(settings: PlacedSettings) -> PartialGeometry:
    explicit: dict[str, Any] = {
        "distance": settings.distance,
        "beam_center": settings.beam,
        "wavelength": settings.wavelength,
        "pixel_size": settings.pixel_size,
    }
    explicit = {name: value for name, value in explicit.items() if value is not None}
    if settings.polarization != "file":
        explicit["polarization"] = None if settings.polarization == "none" else settings.polarization
    return PartialGeometry(explicit | {"beam_outside": settings.beam_outside})


def _over(options: PartialGeometry, below: PartialGeometry) -> PartialGeometry:
    """Options over what files tell, whose panels they move."""
    panels = below.values.get("panels")
    if panels is None:
        return options.over(below)
    place = below.places["panels"]
    if "pixel_size" in options.values:
        raise GeometryError(f"--pixel-size cannot change {len(panels)} panels ({place}); change it there")
    if "beam_center" in options.values:
        panels = beam_at(panels, options.values["beam_center"])
    if "distance" in options.values and below.panels_at is None:
        panels = farther(panels, options.values["distance"] - below.values["distance"])
    return options.over(replace(below, values={**below.values, "panels": panels}))


def _tell_gaps(path: Path, above: PartialGeometry, below: PartialGeometry) -> None:
    """Say which numbers are those of the frames' own file because neither options nor -g tell them."""
    for name in (below.places.keys() & below.values.keys()) - above.values.keys():
        value, place = below.values[name], below.places[name]
        note(f"{path} tells no {name.replace('_', ' ')}; that of the frames is used: {value} ({place})")


def _geometry_file(settings: PlacedSettings, shape: tuple[int, int]) -> PartialGeometry:
    """What the file given with -g tells; nothing where none is given."""
    if settings.geometry is None:
        return PartialGeometry()
    with OpenedFile(settings.geometry) as file:
        own, partial = partial_geometry_in(file)
    check_shape(f"the geometry {settings.geometry}", own, shape)
    return partial.from_file(str(settings.geometry))


def _of_frames(frames: Frames, besides: Collection[str], files: Sequence[int] | None, needed: bool) -> PartialGeometry:
    """What files of the frames tell `besides` what comes from elsewhere.

    Where it is not needed, what makes no sense counts as missing; where nothing is left to tell, no file is opened.
    """
    if set(besides) >= _ALL:
        return PartialGeometry()
    try:
        return frames.partial_geometry(besides, files).from_file(frames.files[files[0] if files else 0])
    except GeometryError:
        if needed:
            raise
        return PartialGeometry()
