"""``crystint info``: what each file is."""

from __future__ import annotations

from collections.abc import Sequence
from os import fspath
from typing import Any

from crystint.arrays import FileName
from crystint.errors import CrystintError, FileError
from crystint.information.settings import InfoSettings
from crystint.io.describe import describe
from crystint.io.frames.sequence import open_frames
from crystint.io.names import expand
from crystint.run.frames import mask_of
from crystint.run.outcome import Outcome
from crystint.run.step import Job
from crystint.units import readable_size

__all__ = ["info"]

_COLUMN = 13


def info(job: Job[InfoSettings]) -> Outcome:
    """Describe files. One that cannot be read does not keep the others from being described."""
    files: list[dict[str, Any]] = []
    errors: list[CrystintError] = []
    names = [name for source in job.inputs["files"] for name in _names(source)]
    for name in names:
        try:
            (path,) = expand(name)
            about = describe(path, job.settings.dataset, lowest=job.settings.lowest)
            if job.settings.mask and about["kind"] == "frames":
                with open_frames(path, dataset=job.settings.dataset) as frames:
                    about["with -m"] = mask_of(frames, job.settings).about
        except CrystintError as error:
            errors.append(error)
            about = {"kind": "unreadable", "why": str(error)}
        files.append({"file": fspath(name), **about})
    more = f" ({len(errors) - 1} more unreadable)" if len(errors) > 1 else ""
    failed = f"{errors[0]}{more}" if errors else ""
    return Outcome("\n\n".join(map(_text, files)), files, data=files, failed=failed)


def _names(source: FileName) -> Sequence[FileName]:
    """The files that a name means; a pattern that nothing matches stays what it is."""
    try:
        return expand(source)
    except FileError:
        return [source]


def _text(about: dict[str, Any]) -> str:
    """A file in lines."""
    lines = [about["file"]]
    width = max(_COLUMN, *(len(name) + 1 for name in about))
    lines += [f"  {name:<{width}}{_shown(name, value)}" for name, value in about.items() if name != "file"]
    return "\n".join(lines)


def _shown(name: str, value: Any) -> str:
    """A property in one line."""
    if name == "size":
        return readable_size(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return str(value)
