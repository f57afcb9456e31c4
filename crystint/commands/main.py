"""The command ``crystint``: gathers the commands."""

from __future__ import annotations

import click

from crystint import __version__
from crystint.commands import (
    bench,
    cbc,
    compare,
    correlate,
    demo,
    devices,
    index,
    info,
    online,
    plot,
    separate,
    series,
    stills,
    verify,
    view,
)
from crystint.commands.program import Program

__all__ = ["main"]


_HELP = {"help_option_names": ["-h", "--help"]}


@click.group(cls=Program, invoke_without_command=True, context_settings=_HELP)
@click.version_option(__version__, prog_name="crystint")
@click.pass_context
def main(context: click.Context) -> None:
    """Separate signal from background in X-ray diffraction frames.

    Start with `crystint demo`, or with `crystint info FILE` and `crystint peaks FILE -o peaks.cxi`.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (
    devices.devices,
    info.info,
    verify.verify,
    separate.peaks,
    separate.sparsify,
    separate.densify,
    separate.convert,
    separate.mask,
    separate.roi,
    index.index,
    series.frames,
    series.sum_frames,
    series.merge_parts,
    compare.compare,
    plot.plot,
    view.view,
    demo.demo,
    bench.bench,
    stills.stills,
    cbc.cbc,
    correlate.correlate,
    online.online,
):
    main.add_command(command)
