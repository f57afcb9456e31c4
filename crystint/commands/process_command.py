"""A command that runs until it is stopped, made from a settings model: its options, and how it is called."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from crystint.commands.options import options_of
from crystint.commands.program import Command
from crystint.run.settings import StepSettings

__all__ = ["process_command"]

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
