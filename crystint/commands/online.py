"""online: serve, and what goes with it."""

from __future__ import annotations

import signal
from types import FrameType

import click

from crystint.commands import online_detector, online_write
from crystint.commands.online_client import CLIENT_COMMANDS
from crystint.commands.process_command import process_command
from crystint.commands.program import EndedError
from crystint.io.outputs import utf8
from crystint.online.settings import ServeSettings
from crystint.run.outcome import ExitCode

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
    from crystint.online.serve import Stop, serve

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
for command in (
    online_write.write,
    online_detector.simulate,
    online_detector.send,
    online_detector.record,
    online_detector.check,
    *CLIENT_COMMANDS,
):
    online.add_command(command)
