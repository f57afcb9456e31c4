"""online: serve, and what goes with it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

import click

from crystint.commands import online_detector, online_write
from crystint.commands.online_client import CLIENT_COMMANDS
from crystint.commands.process_command import process_command
from crystint.commands.program import EndedError
from crystint.io.outputs import utf8
from crystint.online.settings import NOT_OF_A_HEAD, HeadSettings, NodeSettings, ServeSettings
from crystint.run.outcome import ExitCode
from crystint.run.settings import StepSettings

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

    _until_stopped(serve, settings, quiet)


def _node(settings: NodeSettings, quiet: bool) -> None:
    from crystint.online.node_process import run_node

    _until_stopped(run_node, settings, quiet)


def _until_stopped(serve: Callable[..., int], settings: StepSettings, quiet: bool) -> None:
    """Run a server that requests to stop reach."""
    from crystint.online.serve import Stop

    stop = Stop()

    def heed(_number: int, _frame: FrameType | None) -> None:
        stop.ask()

    def tell(text: str) -> None:
        if not quiet:
            click.echo(utf8(f"crystint: {text}"), err=True)

    signals = [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if _heeded(number)]
    before = [(number, signal.signal(number, heed)) for number in signals]
    try:
        code = serve(settings, stop, lambda text: click.echo(utf8(text)), tell)
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        stop.close()
    if code == ExitCode.FAILED:
        raise EndedError("stopped before its series were finished; their files are closed", code)
    if code:
        raise EndedError("images were missing or failed", code)


def _heeded(number: int) -> bool:
    """What is ignored stays ignored: `nohup` asks that of SIGHUP, shells of SIGINT for what they start with ``&``."""
    return signal.getsignal(number) is not signal.SIG_IGN


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
