"""view: finished files on the page of the online service."""

from __future__ import annotations

from pathlib import Path

import click

from crystint.commands.process_command import process_command, until_stopped
from crystint.online.settings import NOT_OF_FILES, ViewSettings

__all__ = ["view"]


def _view(settings: ViewSettings, quiet: bool, files: tuple[Path, ...]) -> None:
    from crystint.online.view import view as show

    until_stopped(
        lambda settings, stop, say, tell: show(settings, files, stop, say, tell),
        settings,
        quiet,
        "some of the files could not be shown",
    )


view = process_command(
    "view",
    ViewSettings,
    _view,
    """Show FILES in the browser: frames, spots and plots, as the page of `crystint online serve` shows a stream.

    Frames of any format, sparse files, peak lists, tables of frames. A peak list is shown over its frames, where they
    are given as well, or are where the list says. It goes on until Ctrl-C.
    """,
    """
    crystint view run_master.h5
    crystint view run_master.h5 peaks.cxi -g detector.geom --snr 6
    crystint view 'frame_*.cbf' --no-open --bind 127.0.0.1:8080""",
    [click.Argument(["files"], nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))],
    without=NOT_OF_FILES,
)
