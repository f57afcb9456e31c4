"""One frame after the other through an integrator; what is wrong with one stops no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystint.errors import CrystintError, SettingError
from crystint.io.frames.sequence import Frames
from crystint.model.experiment import Experiment
from crystint.run.ordered import in_order, thread_pool
from crystint.stills.integration.one_frame import FrameIntegrator, FramePart
from crystint.stills.integration.profile import ProfileWidths

__all__ = ["FrameResult", "by_frame", "frame_result", "stream_parts"]


class FrameResult(NamedTuple):
    """What became of a frame."""

    part: FramePart | None
    """None where it gave nothing"""
    notes: dict[int, str]
    """images that gave nothing, and why"""
    missing: str | None = None
    """why the frame could not be read"""


def by_frame(experiment: Experiment) -> list[tuple[int, NDArray[np.intp]]]:
    """Each frame with its images; frames in order, images without one (-1) left out."""
    order = np.argsort(experiment.frame, kind="stable")
    order = order[experiment.frame[order] >= 0]
    numbers, starts = np.unique(experiment.frame[order], return_index=True)
    return list(zip(numbers.tolist(), np.split(order, starts[1:]), strict=True)) if len(numbers) else []


def frame_result(
    frames: Frames,
    integrator: FrameIntegrator,
    profile: ProfileWidths | None,
    number: int,
    images: NDArray[np.intp],
) -> FrameResult:
    """All images of a frame, integrated; an error is in the result."""
    missing = None
    try:
        if not 0 <= number < len(frames):
            raise SettingError(f"it is on frame {number}, but there are {len(frames)} frames, counted from 0")
        try:
            frame = frames[number]
        except OSError as error:
            missing = f"frame {number}: {error}"
            raise
        return FrameResult(*integrator.run(frame, images, profile))
    except (CrystintError, OSError, np.linalg.LinAlgError) as error:
        names = integrator.experiment.name
        return FrameResult(None, {int(image): f"{names[image]}: {error}" for image in images}, missing)


def stream_parts(
    frames: Frames,
    integrator: FrameIntegrator,
    profile: ProfileWidths | None,
    units: list[tuple[int, NDArray[np.intp]]],
    threads: int,
) -> Iterator[FrameResult]:
    """The results of frames with their images, as `by_frame` gives them, in order."""
    if threads == 1:
        yield from (frame_result(frames, integrator, profile, *unit) for unit in units)
        return
    with thread_pool(threads) as pool:
        yield from in_order(
            lambda unit: pool.submit(frame_result, frames, integrator, profile, *unit), units, lambda: threads
        )
