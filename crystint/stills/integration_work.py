"""What integration does with each frame of a run, wherever it is done: from its number to the record of its result."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import CrystintWarning, SettingError
from crystint.io.frame_record import FrameRecord
from crystint.io.frames.selection import selected
from crystint.io.frames.sequence import Frames, open_frames
from crystint.model.experiment import Experiment
from crystint.model.reference import Reference
from crystint.prediction.pair_frames import Pairing
from crystint.prediction.partiality import RockingWidth
from crystint.run.frames import mask_of
from crystint.stills.inputs import read_indexed
from crystint.stills.integration.frame_record import record_of
from crystint.stills.integration.frame_stream import frame_result
from crystint.stills.integration.integrate import IntegrationPlan
from crystint.stills.integration.profile import ProfileWidths
from crystint.stills.settings import IntegrateSettings
from crystint.stills.step_inputs import read_known

__all__ = ["IntegrationWork", "IntegrationWorker", "images_on", "plan_of"]


@dataclass(frozen=True, eq=False)
class IntegrationWorker:
    """As `crystint.run.frame_work.FrameWorker`: frames that are open, and profiles to fit."""

    plan: IntegrationPlan
    profile: ProfileWidths
    device = ""

    @property
    def total(self) -> int:
        """Number of frames that have images."""
        return len(self.plan.units)

    def record(self, number: int, _first: Any) -> FrameRecord:
        """What the images of a frame give; `number` counts those that have images, that of the record all frames."""
        frame, images = self.plan.units[number]
        result = frame_result(self.plan.frames, self.plan.integrator, self.profile, frame, images)
        return record_of(frame, result)


@dataclass(frozen=True, eq=False)
class IntegrationWork:
    """As `crystint.run.frame_work.FrameWork`: which images on which frames, and what is known of them all."""

    experiment: str
    files: tuple[str, ...]
    settings: IntegrateSettings
    pairing: Pairing
    d_min: float
    width: RockingWidth
    profile: ProfileWidths
    images: NDArray[np.int64] | None
    """numbers of the images that are integrated; None = all of the experiment"""

    @classmethod
    def of(
        cls, experiment: str | os.PathLike[str], plan: IntegrationPlan, settings: IntegrateSettings, pairing: Pairing,
        profile: ProfileWidths, images: NDArray[np.int64] | None = None,
    ) -> Self:  # fmt: skip
        """For a plan that was made here."""
        return cls(
            os.path.abspath(experiment),
            tuple(map(os.path.abspath, plan.frames.files)),
            settings.absolute(),
            pairing,
            plan.integrator.d_min,
            plan.integrator.width,
            profile,
            images,
        )

    @contextmanager
    def open(self, device: str | None) -> Iterator[IntegrationWorker]:
        """On the machine that works on them. What there is to warn of was said where the run began."""
        settings = self.settings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CrystintWarning)
            images = read_indexed(self.experiment, geometry=settings.geometry).images
            reference = read_known(settings.reference, images, settings.reference_column)
        images = images if self.images is None else images.select(self.images)
        with open_frames(*self.files, dataset=settings.dataset) as frames:
            mask = mask_of(frames, settings, settings.geometry).pixels
            plan = plan_of(frames, images, settings, mask, self.pairing, self.d_min, self.width, reference)
            yield IntegrationWorker(plan, self.profile)


def images_on(frames: Frames, pairing: Pairing, settings: IntegrateSettings) -> NDArray[np.int64] | None:
    """Numbers of the images that are on the frames that the settings select; None = they select none.

    Raises
    ------
    SettingError
        When no image is on any of them.
    """
    if settings.frames is None:
        return None
    images = np.flatnonzero(np.isin(pairing.frame, selected(settings.frames, len(frames))))
    if not len(images):
        raise SettingError(f"frames is {settings.frames}, and no image of the experiment is on one of these frames")
    return images


def plan_of(
    frames: Frames,
    images: Experiment,
    settings: IntegrateSettings,
    mask: NDArray[np.uint32],
    pairing: Pairing,
    d_min: float,
    width: RockingWidth,
    reference: Reference | None,
) -> IntegrationPlan:
    """The plan of a run with these settings."""
    return IntegrationPlan.of(
        frames, images, width=width, d_min=d_min, reference=reference, method=settings.method, mask=mask,
        band=settings.band, noise=settings.noise, recenter=settings.recenter, pairing=pairing,
        valid=frames.valid_from(settings.lowest),
    )  # fmt: skip
