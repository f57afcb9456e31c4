"""online: serve, and what goes with it."""

from __future__ import annotations

import click

from crystint.commands import online_detector, online_write
from crystint.commands.online_client import CLIENT_COMMANDS
from crystint.commands.process_command import process_command, until_stopped
from crystint.online.settings import NOT_OF_A_HEAD, HeadSettings, NodeSettings, ServeSettings

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


_UNFINISHED = "stopped before its series were finished; their files are closed"


def _serve(settings: ServeSettings, quiet: bool) -> None:
    from crystint.online.serve import serve

    until_stopped(serve, settings, quiet, _UNFINISHED)


def _node(settings: NodeSettings, quiet: bool) -> None:
    from crystint.online.node_process import run_node

    until_stopped(run_node, settings, quiet, _UNFINISHED)


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
online.add_command(
    process_command(
        "head",
        HeadSettings,
        _serve,
        """Be the head of nodes on several machines: their results in order, files, and the web interface.

        Each node pulls a part of the images. It goes on until Ctrl-C, as `crystint online serve`.
        """,
        """
        crystint online head --out data
        crystint online head --nodes tcp://*:5610 --allow-remote --token-file token --results tcp://127.0.0.1:5602""",
        without=NOT_OF_A_HEAD,
    )
)
online.add_command(
    process_command(
        "node",
        NodeSettings,
        _node,
        """Take a part of the images of a detector, and send the results to the head.

        Settings and regions that are changed at the head change here, too. It goes on until Ctrl-C.
        """,
        """
        crystint online node --stream tcp://DCU:31001
        crystint online node --stream tcp://DCU:31001 --broker tcp://head:5610 --token-file token --name n1""",
    )
)
for command in (
    online_write.write,
    online_detector.simulate,
    online_detector.send,
    online_detector.record,
    online_detector.check,
    *CLIENT_COMMANDS,
):
    online.add_command(command)
