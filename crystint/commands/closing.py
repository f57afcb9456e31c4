"""What a command says at the end, and the exit code that it leaves with."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path

import click

from crystint.commands.program import EndedError
from crystint.errors import warn
from crystint.io.outputs import utf8
from crystint.run.outcome import NAMED, ExitCode, Outcome
from crystint.units import readable_size

__all__ = ["conclude"]


def _wrote(paths: Iterable[Path], *, err: bool = False) -> None:
    """Name the files that were written, and their sizes."""
    for path in paths:
        click.echo(utf8(f"wrote {shlex.quote(str(path))} ({readable_size(path.stat().st_size)})"), err=err)


def conclude(outcome: Outcome, signal: int = 0, *, as_json: bool = False) -> None:
    """Say how a step ended: results on stdout, the rest on stderr.

    Parameters
    ----------
    outcome : Outcome
    signal : int
        Number of the one that stopped it; 0 = none did.
    as_json : bool
        Print the data of the outcome instead of its text.

    Raises
    ------
    EndedError
        With the exit code, when it is not 0.
    """
    for text in list(outcome.notes.values())[:NAMED]:
        warn(text)
    if len(outcome.notes) > NAMED:
        warn(f"{len(outcome.notes)} images in all gave nothing; an .h5 output names them")
    if as_json or outcome.text:
        click.echo(json.dumps(outcome.data, indent=2) if as_json else utf8(outcome.text))
    if not outcome.unchanged:
        _wrote(outcome.outputs, err=as_json)
    code = outcome.exit_code(signal)
    errors = [outcome.interrupted, outcome.failed, *outcome.broken, outcome.lacking]
    if not code:
        return
    if outcome.lacking and code != ExitCode.FRAMES_MISSING:
        warn(outcome.lacking)
        errors.pop()
    raise EndedError("\n".join(filter(None, errors)), code)
