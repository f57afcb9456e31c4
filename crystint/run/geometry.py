"""The geometry of a run: what options, the file given and the files of the frames tell, in this order."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError, note
from crystint.io.frames.sequence import Frames
from crystint.io.geometry.files import partial_geometry_in
from crystint.io.opened_file import OpenedFile
from crystint.model.facts import range_text
from crystint.model.geometry import Geometry
from crystint.model.panels import beam_at, farther
from crystint.model.partial_geometry import OPTIONS, PartialGeometry
from crystint.run.frames import check_shape
from crystint.run.settings import DetectorSettings

__all__ = ["geometry_of", "wavelengths_of"]

_ALL = {"distance", "beam_center", "pixel_size", "wavelength", "polarization"}


def geometry_of(frames: Frames, settings: DetectorSettings) -> Geometry:
    """Explicit numbers, over the file given, over what the files of the frames tell.

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
    together = _together(frames, settings)
    geometry = together.whole(frames.shape)
    if geometry is None:
        whole = "whole " if together.places else ""
        missing = ", ".join(OPTIONS[name] for name in together.missing)
        raise GeometryError(
            f"{frames.files[0]}: no {whole}geometry in it; give one with "
            f"-g FILE (.poni, .geom, NXmx, CBF), or the missing {missing} (and --wavelength)"
        )
    if together.wavelengths is not None:
        note(
            f"the wavelength is {range_text(together.wavelengths, 'angstrom', '.6g')} from frame to frame; spacings of "
            f"peaks are those of their frame, q of rings and maps that of the mean, {geometry.wavelength:.6g}"
        )
    return geometry


def wavelengths_of(frames: Frames, settings: DetectorSettings) -> NDArray[np.float64] | None:
    """float64 [frames], angstrom: the wavelength of each frame in a run; None = that of `geometry_of` for all."""
    return _together(frames, settings).wavelengths


def _together(frames: Frames, settings: DetectorSettings) -> PartialGeometry:
    options = _options(settings)
    if settings.geometry is None:
        return _over(options, _of_frames(frames, options.values, needed=bool(options.missing)))
    file = _geometry_file(settings.geometry, frames.shape)
    above = options.over(file)
    placed = () if file.missing else ("rotation", "panels", "beam_outside")  # of another place of the detector
    below = _of_frames(frames, {*above.values, *placed}, needed=bool(above.missing)).without(*placed)
    _tell_gaps(settings.geometry, above, below)
    return _over(options, file.over(below))


def _options(settings: DetectorSettings) -> PartialGeometry:
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
    if "distance" in options.values:
        panels = farther(panels, options.values["distance"] - below.values["distance"])
    return options.over(PartialGeometry({**below.values, "panels": panels}, below.places, below.wavelengths))


def _tell_gaps(path: Path, above: PartialGeometry, below: PartialGeometry) -> None:
    """Say which numbers are those of the frames' own file because neither options nor -g tell them."""
    for name in below.places.keys() - above.values.keys():
        value, place = below.values[name], below.places[name]
        note(f"{path} tells no {name.replace('_', ' ')}; that of the frames is used: {value} ({place})")


def _geometry_file(path: Path, shape: tuple[int, int]) -> PartialGeometry:
    """What the file given with -g tells."""
    with OpenedFile(path) as file:
        own, partial = partial_geometry_in(file)
    check_shape(f"the geometry {path}", own, shape)
    return partial.from_file(str(path))


def _of_frames(frames: Frames, besides: Collection[str], needed: bool) -> PartialGeometry:
    """What the files of the frames tell `besides` what comes from elsewhere.

    Where it is not needed, what makes no sense counts as missing; where nothing is left to tell, no file is opened.
    """
    if set(besides) >= _ALL:
        return PartialGeometry()
    try:
        return frames.partial_geometry(besides).from_file(frames.files[0])
    except GeometryError:
        if needed:
            raise
        return PartialGeometry()
