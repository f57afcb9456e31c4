"""A command that runs until it is stopped, made from a settings model: its options, how it is called, how it ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

from crystint.commands.options import options_of
from crystint.commands.program import Command, EndedError
from crystint.io.outputs import utf8
from crystint.run.outcome import ExitCode
from crystint.run.settings import StepSettings

__all__ = ["process_command", "until_stopped"]

_Settings = TypeVar("_Settings", bound=StepSettings)
_CONFIG = "settings from a file; the command line overrides it"


def process_command(
    name: str,
    settings: type[_Settings],
    run: Callable[..., None],
    help: str,
    example: str,
    arguments: Sequence[click.Parameter] = (),
    without: Container[str] = (),
) -> Command:
    """The command of a process that is no step, since it has no end of its own.

    Parameters
    ----------
    name : str
        Of the command.
    settings : model
        Its fields are the options.
    run : callable
        Called with the settings, `quiet`, and what the command line has for `arguments`, by name.
    help, example : str
        As `crystint.commands.step_command.command_of`.
    arguments : sequence of click.Parameter
        That are no settings.
    without : names
        Of settings that are no options of it.
    """
    options = [option for option in options_of(settings) if option.name not in without]
    parameters: list[click.Parameter] = [*arguments, *options]
    parameters += [
        click.Option(["-c", "--config"], metavar="TOML", type=click.Path(path_type=Path), help=_CONFIG),
        click.Option(["-q", "--quiet"], is_flag=True, help="say nothing while it runs"),
    ]

    def called(**values: Any) -> None:
        config, quiet = values.pop("config"), values.pop("quiet")
        fields = {field: values.pop(field, None) for field in settings.model_fields}
        run(settings.of(fields, config), quiet=quiet, **values)

    return Command(name, params=parameters, callback=called, help=help, example=example)


def until_stopped(serve: Callable[..., int], settings: StepSettings, quiet: bool, failed: str) -> None:
    """Run a server that requests to stop reach.

    Parameters
    ----------
    serve : callable
        Of the settings, a `crystint.online.serve.Stop`, and two that take lines: what the user needs, and what happens.
    settings : StepSettings
    quiet : bool
        Do not tell what happens.
    failed : str
        What it means when it ends with exit code 1.
    """
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
        raise EndedError(failed, code)
    if code:
        raise EndedError("images were missing or failed", code)


def _heeded(number: int) -> bool:
    """What is ignored stays ignored: `nohup` asks that of SIGHUP, shells of SIGINT for what they start with ``&``."""
    return signal.getsignal(number) is not signal.SIG_IGN
