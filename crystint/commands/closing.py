"""Numbers as people read them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from crystint.commands.program import EndedError

if TYPE_CHECKING:
    from crystint.separation.files import Summary

__all__ = ["PICTURES", "command_line", "conclude", "report", "size", "warn", "wrote"]

_NAMED = 10
_MISSING = 3
"""Exit code of a run whose output lacks frames."""
PICTURES = (".png", ".pdf", ".svg")


def size(nbytes: float) -> str:
    """12 B, 3.4 kB, 1.2 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} TB"


def command_line() -> list[str]:
    """The command of this process, as it would be typed."""
    return ["crystint", *sys.argv[1:]]


def warn(text: str) -> None:
    """A line on stderr."""
    click.echo(f"crystint: warning: {text}", err=True)


def wrote(paths: Iterable[Path]) -> None:
    """Name the files that were written, and their sizes."""
    for path in paths:
        click.echo(f"wrote {path} ({size(path.stat().st_size)})")


def report(summary: Summary) -> None:
    """The closing lines of a run: outputs on stdout, warnings on stderr."""
    from crystint.separation.files import HIT

    if not summary.of:
        click.echo(f"nothing left to do: {', '.join(map(_shown, summary.outputs))} finished before")
        return
    if summary.unusable:
        warn(f"{len(summary.unusable)} of {summary.frames} frames have no usable pixel: {_numbers(summary.unusable)}")
    parts = [f"{summary.frames} frame{'s' if summary.frames != 1 else ''}"]
    if len(summary.peaks):
        parts.append(f"{int(summary.peaks.sum())} peaks (median {np.median(summary.peaks):g} per frame)")
        parts.append(f"{summary.hits} hit{'s' if summary.hits != 1 else ''} (>= {HIT} peaks)")
    if summary.pixels:
        parts.append(f"{summary.pixels} pixels kept ({summary.pixels / summary.frames:.0f} per frame)")
    parts.append(f"{summary.frames / max(summary.seconds, 1e-9):.3g} frames/s")
    click.echo(", ".join(parts))
    for path in summary.outputs:
        click.echo(f"wrote {_shown(path)} ({size(path.stat().st_size)})")


def conclude(summary: Summary, signal: int, *, resumable: bool) -> None:
    """Leave with the exit code of a run that was stopped by a signal, or lacks frames.

    Raises
    ------
    EndedError
        With that code, when it is not 0.
    """
    lacks = ""
    if summary.missing:
        lacks = f"{len(summary.missing)} of {summary.frames} frames could not be read and are recorded as missing: "
        lacks += _numbers(summary.missing)
    if summary.stopped:
        if lacks:
            warn(lacks)
        more = "; --resume goes on with the rest" if resumable else ""
        raise EndedError(
            f"interrupted after {summary.frames} of {summary.of} frames, which are written{more}", 128 + signal
        )
    if lacks:
        raise EndedError(lacks, _MISSING)


def _numbers(numbers: Sequence[int]) -> str:
    """The first ten of some numbers."""
    return ", ".join(map(str, numbers[:_NAMED])) + (", ..." if len(numbers) > _NAMED else "")


def _shown(path: Path) -> str:
    """A path that can be pasted into a shell."""
    return shlex.quote(str(path))
