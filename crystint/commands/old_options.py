"""Options of the commands that are not made from a step yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from crystint.separation.settings import Settings

__all__ = [
    "dask",
    "device",
    "frame_options",
    "outputs",
    "overwrite",
    "peak_options",
    "place_options",
    "quiet",
    "resume",
    "settings_of",
    "snr",
    "snr_peak",
    "strict",
    "threads",
    "together",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _option(name: str, *flags: str, metavar: str | None = None) -> Callable[[_Function], _Function]:
    """A click option for the setting `name`; its value reaches pydantic as the user wrote it."""
    field = Settings.model_fields[name]
    text = f"{field.description}"
    words = get_args(field.annotation)
    how: dict[str, Any] = {"default": None}
    long = "--" + name.replace("_", "-")
    if field.annotation is bool:
        long = f"{long}/--no-{long[2:]}"
        text += "" if field.default is False else " (default: yes)"
    elif isinstance(field.default, tuple):
        how = {"multiple": True, "type": click.Path(path_type=Path), "metavar": "FILE"}
    else:
        if words and all(isinstance(word, str | int) for word in words):
            how["type"] = click.Choice([str(word) for word in words])
        else:
            how["metavar"] = metavar or "NUMBER"
        if field.default is not None:
            text += f" (default: {field.default})"
    return click.option(*flags, long, name, help=text, **how)


_PLACE = [
    _option("geometry", "-g", metavar="FILE"),
    _option("distance", metavar="LENGTH"),
    _option("beam", metavar="SLOW,FAST"),
    _option("wavelength"),
    _option("pixel_size", metavar="LENGTH[,LENGTH]"),
    _option("polarization", metavar="NUMBER|file|none"),
    _option("beam_outside"),
    _option("dataset", metavar="PATH"),
    _option("mask", "-m"),
]
_FRAMES = [
    *_PLACE,
    _option("dark", metavar="FILE"),
    _option("flat", metavar="FILE"),
    _option("normalization"),
    _option("solid_angle"),
    _option("saturation", metavar="NUMBER|file|none"),
    _option("rings"),
    _option("error_model"),
    _option("snr_clip", metavar="NUMBER|auto"),
    _option("cycles"),
]
_PEAKS = [
    _option("snr_pick"),
    _option("noise"),
    _option("patch"),
    _option("connected"),
    _option("strict_mask"),
    _option("d_min"),
    _option("d_max"),
]

snr = _option("snr")
snr_peak = _option("snr_peak")
_config = click.option("--config", metavar="TOML", help="settings from a file; the command line goes before it")
device = click.option("--device", metavar="NAME", help="gpu, cpu, an id such as 0:1, or a part of a name")
overwrite = click.option("--overwrite", is_flag=True, help="replace outputs that exist")
quiet = click.option("-q", "--quiet", is_flag=True, help="no progress")
threads = click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="frames worked on at a time (default: one per core, at least 2)",
)
strict = click.option(
    "--strict",
    is_flag=True,
    help="stop at a frame that cannot be read, instead of recording it as missing (exit code 3)",
)
_DASK = [
    click.option(
        "--dask", metavar="SCHEDULER", help="address or scheduler file of a dask cluster that does the work, or: local"
    ),
    click.option(
        "--dask-frames", type=click.IntRange(min=1), default=32, metavar="N", help="frames per task of it (default: 32)"
    ),
]
resume = click.option("--resume", is_flag=True, help="go on with a run that was interrupted")


def outputs(multiple: bool = False, help: str = "file to write") -> Callable[[_Function], _Function]:
    """-o, required."""
    path = click.Path(path_type=Path)
    return click.option("-o", "--output", required=True, multiple=multiple, type=path, metavar="FILE", help=help)


def together(*options: Callable[[Any], Any]) -> Callable[[_Function], _Function]:
    """Several options as one decorator, in this order."""

    def decorate(function: _Function) -> _Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


frame_options = together(*_FRAMES, _config)
"""Geometry, masks, corrections and rings."""
place_options = together(*_PLACE)
"""Where the detector is, and which of its pixels are good."""
dask = together(*_DASK)
"""Work elsewhere."""
peak_options = together(*_PEAKS)
"""What makes a peak."""


def settings_of(options: dict[str, Any]) -> Settings:
    """Settings from the options of a command, which the function received as keywords.

    Raises
    ------
    SettingError, FileError
        As `Settings.of`.
    """
    given = {name: value for name, value in options.items() if name in Settings.model_fields}
    return Settings.of(given, options.get("config"))
