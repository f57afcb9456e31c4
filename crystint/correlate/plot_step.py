"""``crystint correlate plot``: pictures of polar images and of correlations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystint.correlate.files import read_correlations
from crystint.correlate.settings import PlotSettings
from crystint.io.correlations.layout import kind_of
from crystint.io.correlations.polar_file import read_polar
from crystint.model.correlation_run import CorrelationRun
from crystint.model.polar_image import PolarImage
from crystint.run.outcome import Outcome
from crystint.run.step import Job

__all__ = ["Content", "plot"]


@dataclass(frozen=True, eq=False)
class Content:
    """What is to be drawn."""

    data: PolarImage | CorrelationRun
    rings: Sequence[float] = ()
    """to be shown as curves; none = some strong ones"""
    title: str | None = None
    q: NDArray[np.float64] | None = None
    """float64 [rows]: of a polar image, 1/angstrom, where known"""


def plot(job: Job[PlotSettings]) -> Outcome:
    """Draw what the file holds."""
    settings, source = job.settings, job.input("source")
    if kind_of(source) == "polar":
        image, q, count = read_polar(source, settings.frame)
        title = settings.title or f"{source.name}, frame {settings.frame % count} of {count}"
        content = Content(image, settings.ring, title, q)
    else:
        content = Content(read_correlations(source), settings.ring, settings.title)
    job.write(content, {})
    return Outcome("", content)
