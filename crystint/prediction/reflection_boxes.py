"""Boxes of reflections from what other programs and crystint itself know of the crystal."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from crystint.errors import SettingError
from crystint.io.frames.sequence import Frames
from crystint.io.guard import reads_file
from crystint.io.kinds import opened_kind, unexpected
from crystint.io.opened_file import OpenedFile
from crystint.io.recognise import is_reflection_table
from crystint.model.geometry import Geometry
from crystint.prediction.boxes import BoxOptions, ReflectionBoxes
from crystint.prediction.defaults import MARGIN
from crystint.prediction.experiment_boxes import boxes_of_experiments
from crystint.prediction.stream_boxes import boxes_of_stream
from crystint.prediction.table_boxes import boxes_of_table

__all__ = ["reflection_boxes"]

_MODELS = "experiments with crystals (DIALS .expt), a .refl of predictions, or a CrystFEL .stream"


@reads_file
def reflection_boxes(
    path: str | PathLike[str],
    frames: Frames,
    *,
    geometry: Geometry | None = None,
    d_min: float | None = None,
    margin: int = MARGIN,
    radius: float | None = None,
    mosaicity: float | None = None,
) -> ReflectionBoxes:
    """Which box of pixels each reflection occupies on each frame, whatever its intensity.

    Of experiments reflections are predicted (`crystint.prediction.rotation`, and as `crystint.stills.predict` does).
    Boxes of rotation data are as large as those that dials.integrate makes with the same profile model, background
    included, and `margin` more.

    Parameters
    ----------
    path : path
        Experiments with crystals of DIALS (.expt), a table of predicted or integrated reflections (.refl; with its
        .expt beside it, which names the frames), or a CrystFEL stream with its geometry.
    frames : Frames
        They are paired with images by the names of their files, or by their order.
    geometry : Geometry, optional
        What the model is compared with; None = that of the frames.
    d_min : float, optional
        Finest spacing, angstrom; None = that of the corner of the detector, or all that a file lists.
    margin : int
        px added on each side of a box.
    radius : float, optional
        px from the place of a reflection to the end of its box, in place of what the model says.
    mosaicity : float, optional
        RMS spread of the crystal, degrees, in place of what the model says.

    Returns
    -------
    ReflectionBoxes

    Raises
    ------
    FileError, GeometryError
        When the file is missing, damaged, of another kind, has no orientation, or does not fit the frames.
    SettingError
        When a number is impossible.

    Examples
    --------
    >>> import crystint
    >>> from crystint import stills
    >>> data = stills.simulate_stills(2, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> files = stills.write_frames("stills", data)                                      # doctest: +SKIP
    >>> boxes = crystint.reflection_boxes("indexed.expt", crystint.open_frames(*files))   # doctest: +SKIP
    >>> boxes.of_frame(0)["slow0"]                                                        # doctest: +SKIP
    """
    for name, value in (("d_min", d_min), ("radius", radius), ("mosaicity", mosaicity)):
        if value is not None and not 0.0 < value < float("inf"):
            raise SettingError(f"{name} is {value!r}, expected a number above 0")
    if margin < 0:
        raise SettingError(f"margin is {margin!r}, expected a whole number, 0 or more")
    path, options = Path(path), BoxOptions(d_min, margin, radius, mosaicity)
    geometry = frames.geometry if geometry is None else geometry
    with OpenedFile(path) as file:
        recognised = opened_kind(file)
        name = "" if recognised is None else recognised.name
        if is_reflection_table(file):
            return boxes_of_table(path, frames, geometry, options)
        if name == "experiments":
            return boxes_of_experiments(path, frames, geometry, options)
        if name == "stream of indexed images":
            return boxes_of_stream(path, frames, geometry, options)
        raise unexpected(file, _MODELS, f"{path} is of no kind that crystint knows; expected {_MODELS}")
