"""online: serve, and what goes with it."""

from __future__ import annotations

import click

from crystint.commands import online_detector, online_write
from crystint.commands.process_command import process_command
from crystint.online.settings import ServeSettings

__all__ = ["online"]


@click.group(invoke_without_command=True)
@click.pass_context
def online(context: click.Context) -> None:
    """A detector's stream: peaks, regions and files while images come.

    \b
      crystint online serve --stream tcp://DCU:31001
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _serve(settings: ServeSettings, quiet: bool) -> None:
    from crystint.online.serve import serve

    serve(settings, quiet=quiet)


online.add_command(
    process_command(
        "serve",
        ServeSettings,
        _serve,
        """Take the images of a detector, and find the peaks of each while they come.

        It goes on until Ctrl-C, which finishes the series that runs; a second one ends it at once.
        """,
        """
        crystint online serve --stream tcp://DCU:31001
        crystint online serve --stream tcp://127.0.0.1:31001 --out data -g detector.poni --snr 6
        crystint online serve -c online.toml --strict""",
    )
)
for command in (online_write.write, online_detector.simulate, online_detector.send, online_detector.record):
    online.add_command(command)
