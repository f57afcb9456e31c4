"""Options of commands, made from the fields of settings models: names, help, defaults and checks agree.

What does not depend on the step is here as well: where it runs, and what becomes of files that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from crystint.run.settings import StepSettings, option_name
from crystint.run.step import Step

__all__ = ["execution_options", "options_of"]


def options_of(settings: type[StepSettings], hidden: Collection[str] = ()) -> list[click.Option]:
    """An option for each field of a model. Its value reaches pydantic as the user wrote it.

    Parameters
    ----------
    settings : model
    hidden : collection of str
        Fields that are no options.
    """
    return [_option(name, field) for name, field in settings.model_fields.items() if name not in hidden]


def _option(name: str, field: FieldInfo) -> click.Option:
    extra = field.json_schema_extra
    cli: Any = extra.get("cli", {}) if isinstance(extra, dict) else {}
    names = [cli["flag"]] if cli.get("flag") else []
    long, text = option_name(name, field), str(field.description)
    words = _choices(field.annotation)
    how: dict[str, Any] = {"default": None}
    if field.annotation is bool or words == [bool]:
        names.append(f"{long}/{cli.get('negative') or '--no-' + long[2:]}")
        if field.default is True:
            text += " (default: yes)"
    else:
        names.append(long)
        if isinstance(field.default, tuple) and get_args(field.annotation)[-1:] == (Ellipsis,):
            how = {"multiple": True, "metavar": cli.get("metavar") or "VALUE"}
            text += "; repeatable"
        elif words and all(isinstance(word, str | int) for word in words):
            how["type"] = click.Choice([str(word) for word in words], case_sensitive=False)
        else:
            how["metavar"] = cli.get("metavar") or "NUMBER"
        if field.default is not None and field.default != ():
            text += f" (default: {_shown(field.default)})"
    return click.Option([*names, name], help=text, **how)


def _choices(annotation: Any) -> list[Any]:
    """What a field may be, one by one, besides None: words of a literal, or types."""
    words = [word for word in get_args(annotation) if word is not type(None)]
    return list(get_args(words[0])) if len(words) == 1 and get_origin(words[0]) is Literal else words


def _shown(value: Any) -> str:
    """A default as one would type it."""
    if isinstance(value, tuple):
        return ",".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def execution_options(step: Step[Any]) -> list[click.Option]:
    """What every step can be told besides its settings, and those that work on frames."""
    device = "gpu, cpu, an id such as 0:1, or a part of a name"
    if step.device is not None:
        device = step.device or "for all commands; this one computes without an OpenCL device"
    options = [
        click.Option(["--config"], metavar="TOML", type=click.Path(path_type=Path), help=_CONFIG),
        click.Option(["--device"], metavar="NAME", help=device),
    ]
    if step.by_frame:
        options += [
            click.Option(
                ["--threads"], type=click.IntRange(min=1), metavar="N",
                help="frames worked on at a time (default: one per core, at least 2)",
            ),
            click.Option(["--strict"], is_flag=True, help=_STRICT),
            click.Option(["--resume"], is_flag=True, help="go on with a run that was interrupted"),
            click.Option(["--part"], metavar="NUMBER/OF", help=_PART),
            click.Option(["--dask"], metavar="SCHEDULER", help=_DASK),
            click.Option(
                ["--dask-frames"], type=click.IntRange(min=1), default=32, metavar="N",
                help="frames per task of the cluster (default: 32)",
            ),
        ]  # fmt: skip
    if step.outputs is not None:
        options.append(click.Option(["--overwrite"], is_flag=True, help="replace outputs that exist"))
    if step.json:
        options.append(click.Option(["--json", "as_json"], is_flag=True, help="print JSON"))
    options.append(click.Option(["-q", "--quiet"], is_flag=True, help="no progress"))
    return options


_CONFIG = "settings from a file; the command line overrides it"
_STRICT = "stop at a frame that cannot be read, instead of recording it as missing (exit code 3)"
_PART = "do this part of the frames alone, such as 3/100, for merge-parts; parts count from 0, and 100/100 is 0/100"
_DASK = "address or scheduler file of a dask cluster that does the work, or: local"

Callback = Callable[..., None]
