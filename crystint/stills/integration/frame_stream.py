"""One frame after the other through an integrator, on one thread or several; what is wrong with one stops no other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from crystint.errors import CrystintError, SettingError
from crystint.io.frames.sequence import Frames
from crystint.model.experiment import Experiment
from crystint.stills.integration.one_frame import FrameIntegrator, FramePart
from crystint.stills.integration.profile import ProfileWidths

__all__ = ["by_frame", "stream_parts"]


def by_frame(experiment: Experiment) -> list[tuple[int, NDArray[np.intp]]]:
    """Each frame with its images; frames in order, images without one (-1) left out."""
    order = np.argsort(experiment.frame, kind="stable")
    order = order[experiment.frame[order] >= 0]
    numbers, starts = np.unique(experiment.frame[order], return_index=True)
    return list(zip(numbers.tolist(), np.split(order, starts[1:]), strict=True)) if len(numbers) else []


def stream_parts(
    frames: Frames,
    work: FrameIntegrator,
    profile: ProfileWidths | None,
    wanted: list[tuple[int, NDArray[np.intp]]],
    threads: int,
) -> Iterator[tuple[FramePart | None, dict[int, str]]]:
    """The parts of frames in order, and what is to be said of their images."""

    def one(number: int, images: NDArray[np.intp]) -> tuple[FramePart | None, dict[int, str]]:
        names = work.experiment.name
        try:
            if not 0 <= number < len(frames):
                raise SettingError(f"it is on frame {number}, but there are {len(frames)} frames, counted from 0")
            return work.run(frames[number], images, profile)
        except (CrystintError, OSError, np.linalg.LinAlgError) as error:
            return None, {int(image): f"{names[image]}: {error}" for image in images}

    if threads == 1:
        yield from (one(number, images) for number, images in wanted)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(one, *each) for each in wanted[: 2 * threads]]
        for place in range(len(wanted)):
            result = waiting.pop(0).result()
            if place + 2 * threads < len(wanted):
                waiting.append(pool.submit(one, *wanted[place + 2 * threads]))
            yield result
