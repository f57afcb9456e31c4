"""The width of the rocking curve that a run begins with: given, of an earlier step, measured, or of a profile model."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from crystint.errors import FileError
from crystint.io.frames.sequence import Frames
from crystint.io.reflections.dials_profiles import read_mosaicity
from crystint.model.experiment import Experiment
from crystint.stills.inputs import kind_of
from crystint.stills.integration.first_width import NoWidthError, first_width
from crystint.stills.integration.pair_frames import Pairing
from crystint.stills.prediction.partiality import RockingWidth

__all__ = ["Source", "check_images", "given_width", "measured_width"]

Source = str | PathLike[str]
_NAMED = 3
"""images that a refusal names"""


def measured_width(
    source: Source, frames: Frames, images: Experiment, bandwidth: float, options: dict[str, Any]
) -> tuple[RockingWidth, list[str], str]:
    """The width that frames tell, else that of the profile model of a .expt; doubts; which of the two.

    Raises
    ------
    NoWidthError
        When neither tells one.
    """
    doubts: list[str] = []
    try:
        return first_width(frames, images, bandwidth=bandwidth, notes=doubts, **options), doubts, "measured"
    except NoWidthError as error:
        mosaicity = read_mosaicity(source) if kind_of(Path(source)) == "expt" else None
        if mosaicity is None:
            raise
        width = RockingWidth(0.0, np.sqrt(2.0) * mosaicity, bandwidth)
        doubts.append(f"{error}. It is that of the profile model in {source}, {1e3 * width.mosaicity:.3g} mrad")
        return width, doubts, "of the profile model"


def check_images(source: Source, images: Experiment, pairing: Pairing) -> None:
    """Raise where no image can be used, before anything is measured.

    Raises
    ------
    FileError
        With the first images and what is wrong with them.
    """
    reasons = pairing.missing | images.unusable()
    if len(reasons) == len(images):
        first = "; ".join(list(reasons.values())[:_NAMED])
        more = f"; and {len(reasons) - _NAMED} more" * (len(reasons) > _NAMED)
        raise FileError(f"{source}: none of its {len(images)} images can be integrated: {first}{more}")


def given_width(
    source: Source, images: Experiment, domain: float | None, mosaicity: float | None, bandwidth: float | None
) -> RockingWidth | None:
    """The rocking width that was given, or that an .h5 holds; None where neither is so."""
    spectrum = images.bandwidth if bandwidth is None else bandwidth
    if domain or mosaicity:
        return RockingWidth(domain or 0.0, mosaicity or 0.0, spectrum)
    if kind_of(Path(source)) == "h5":
        from crystint.stills.files import open_stills

        with open_stills(source) as file:
            found: RockingWidth | None = file.get("width")
        return found if found is None or bandwidth is None else replace(found, bandwidth=bandwidth)
    return None
