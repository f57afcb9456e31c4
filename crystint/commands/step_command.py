"""A command made from a step: its arguments, its options, how it runs, and what it says at the end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from crystint.commands.closing import conclude
from crystint.commands.options import execution_options, options_of
from crystint.commands.program import Command
from crystint.commands.progress import end_with_reader, progress
from crystint.commands.signals import Interruption
from crystint.run.execution import Execution
from crystint.run.part import Part
from crystint.run.step import Job, Outputs, Step, carry_out, silent

__all__ = ["command_of"]


_INPUT = "input_"
"""Before the names of arguments: a setting may be called the same."""


def command_of(step: Step[Any], help: str, example: str) -> Command:
    """The command of a step.

    Parameters
    ----------
    step : Step
    help : str
        What it does; what its arguments are.
    example : str
        Command lines, which end the help.
    """
    parameters: list[click.Parameter] = [
        click.Argument([_INPUT + argument.name], nargs=-1 if argument.many else 1, required=argument.required,
                       metavar=argument.metavar + ("..." if argument.many else ""))
        for argument in step.arguments
    ]  # fmt: skip
    if step.outputs is not None:
        parameters.append(_output(step.outputs))
    parameters += options_of(step.settings, step.hidden)
    parameters += execution_options(step)

    def run(**values: Any) -> None:
        _run(step, values)

    return Command(step.name.split()[-1], params=parameters, callback=run, help=help, example=example)


def _output(outputs: Outputs) -> click.Option:
    text = outputs.help
    if outputs.suffixes:
        text += f" ({' '.join(outputs.suffixes)})"
    if outputs.many:
        text += "; repeatable"
    if outputs.folder:
        text += f" (default: {outputs.folder})"
    return click.Option(
        ["-o", "--output"],
        required=outputs.required,
        multiple=outputs.many,
        type=click.Path(path_type=Path),
        default=None if not outputs.folder else outputs.folder,
        metavar="FOLDER" if outputs.folder else "FILE",
        help=text,
    )


def _run(step: Step[Any], values: dict[str, Any]) -> None:
    """Run the step as the command line says, and say how it ended."""
    end_with_reader()
    inputs = {}
    for argument in step.arguments:
        value = values[_INPUT + argument.name]
        inputs[argument.name] = value if argument.many else () if value is None else (value,)
    output = values.get("output") or ()
    settings = step.settings.of({name: values.get(name) for name in step.settings.model_fields}, values["config"])
    interruption = Interruption()
    execution = Execution(
        device=values["device"],
        threads=values.get("threads"),
        strict=values.get("strict", False),
        resume=values.get("resume", False),
        part=None if values.get("part") is None else Part.of_text(values["part"]),
        dask=values.get("dask"),
        dask_frames=values.get("dask_frames", 1),
        until=interruption.watched,
    )
    outcome = carry_out(
        Job(
            step,
            settings,
            inputs,
            (output,) if isinstance(output, Path) else output,
            execution,
            overwrite=values.get("overwrite", False),
            progress=silent if values["quiet"] else progress,
            command=("crystint", *sys.argv[1:]),
            config=values["config"],
        )
    )
    conclude(outcome, interruption.number, as_json=values.get("as_json", False))
