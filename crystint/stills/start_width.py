"""The width of the rocking curve that a run begins with: given, of an earlier step, measured, or of a profile model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crystint.errors import FileError, warn
from crystint.io.frames.sequence import Frames
from crystint.io.reflections.dials_profiles import read_mosaicity
from crystint.model.experiment import Experiment
from crystint.prediction.pair_frames import Pairing
from crystint.prediction.partiality import RockingWidth
from crystint.stills.files import StillsRun
from crystint.stills.inputs import kind_of
from crystint.stills.integration.first_width import NoWidthError, first_width
from crystint.stills.settings import IntegrateSettings, PredictSettings

__all__ = ["bandwidth_of", "check_images", "given_width", "measured_width"]

_NAMED = 3
"""images that a refusal names"""


def bandwidth_of(images: Experiment, settings: PredictSettings | IntegrateSettings) -> float:
    """That of the settings, else that of the beam."""
    return images.bandwidth if settings.bandwidth is None else settings.bandwidth


def given_width(run: StillsRun, settings: PredictSettings | IntegrateSettings) -> RockingWidth | None:
    """The rocking width of the settings, or of the earlier step that made `run`; None where neither has one."""
    if settings.domain or settings.mosaicity:
        return RockingWidth(settings.domain or 0.0, settings.mosaicity or 0.0, bandwidth_of(run.images, settings))
    if run.width is None or settings.bandwidth is None:
        return run.width
    return replace(run.width, bandwidth=settings.bandwidth)


def measured_width(
    source: Path, frames: Frames, images: Experiment, bandwidth: float, **options: Any
) -> tuple[RockingWidth, str]:
    """The width that frames tell, else that of the profile model of a .expt, with a warning; and which of the two.

    Raises
    ------
    NoWidthError
        When neither tells one.
    """
    try:
        return first_width(frames, images, bandwidth=bandwidth, **options), "measured"
    except NoWidthError as error:
        mosaicity = read_mosaicity(source) if kind_of(source) == "expt" else None
        if mosaicity is None:
            raise
        width = RockingWidth(0.0, np.sqrt(2.0) * mosaicity, bandwidth)
        warn(f"{error}. It is that of the profile model in {source}, {1e3 * width.mosaicity:.3g} mrad")
        return width, "of the profile model"


def check_images(source: Path, images: Experiment, pairing: Pairing) -> None:
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
