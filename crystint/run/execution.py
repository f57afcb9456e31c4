"""How a run is carried out. None of it changes what the run finds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crystint.run.ordered import available_cores
from crystint.run.part import Part

if TYPE_CHECKING:
    from crystint.run.parts import Parts

__all__ = ["PLAIN", "Execution", "Stop"]

Stop = Callable[[], bool]


def _to_the_end() -> AbstractContextManager[Stop]:
    """Never stop."""
    return nullcontext(lambda: False)


@dataclass(frozen=True, slots=True)
class Execution:
    """How a run is carried out.

    Examples
    --------
    >>> from crystint.separation import Execution
    >>> Execution(threads=4, strict=True).workers
    4
    """

    device: str | None = None
    """OpenCL device, as `crystint.Engine` takes it"""
    threads: int | None = None
    """frames worked on at a time; None = as many as cores, at least 2"""
    strict: bool = False
    """a frame that cannot be read is an error"""
    resume: bool = False
    """resume an interrupted run that had the same inputs, settings and output"""
    dask: str | None = None
    """address or scheduler file of a dask cluster that does the work; "local" = processes on this machine"""
    dask_frames: int = 32
    """frames given to a worker of it at a time"""
    part: Part | None = None
    """do these frames alone, and write them as a part, see `crystint.run.parts`"""
    parts: Parts | None = None
    """all frames are done: these parts hold what was found in them"""
    virtual: bool = False
    """an output shows what is in the files of the parts, and holds no copy"""
    until: Callable[[], AbstractContextManager[Stop]] = _to_the_end
    """entered around the frames; it gives a function that says whether to stop"""

    @property
    def elsewhere(self) -> bool:
        """Whether frames are not worked on by this process, which needs no device then."""
        return self.dask is not None or self.parts is not None

    @property
    def workers(self) -> int:
        """Threads to use."""
        return self.threads or max(2, available_cores())


PLAIN = Execution()
"""To the end, with a thread per core."""
