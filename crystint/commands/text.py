"""Numbers as people read them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

if TYPE_CHECKING:
    from crystint.pipeline import Summary

__all__ = ["PICTURES", "command_line", "report", "size"]


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


def report(summary: Summary) -> None:
    """The closing lines of a run: outputs on stdout, warnings on stderr."""
    from crystint.pipeline import HIT

    if summary.unusable:
        dead = summary.unusable
        named = ", ".join(map(str, dead[:5])) + (", ..." if len(dead) > 5 else "")
        click.echo(
            f"crystint: warning: {len(dead)} of {summary.frames} frames have no usable pixel: {named}",
            err=True,
        )
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


def _shown(path: Path) -> str:
    """A path that can be pasted into a shell."""
    return shlex.quote(str(path))
