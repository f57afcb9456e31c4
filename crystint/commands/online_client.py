"""online status, stop, abort, set, roi, mask, watch: they ask a service that runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from crystint.commands.process_command import process_command
from crystint.commands.program import Command
from crystint.errors import FileError, RefusedError, SettingError, unreadable
from crystint.io.outputs import utf8
from crystint.online.client_settings import ClientSettings, WatchSettings

__all__ = ["CLIENT_COMMANDS"]

_TOKEN = "--token-file token"


def _json() -> click.Option:
    return click.Option(["--json", "as_json"], is_flag=True, help="print JSON")


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        click.echo(utf8(text))


def _print(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


def _status(settings: ClientSettings, quiet: bool, as_json: bool, wait: float | None) -> None:
    from crystint.online.client_text import status_text

    client = settings.client()
    status = client.status() if wait is None else client.wait(wait)
    if as_json:
        _print(status)
    else:
        click.echo(utf8(status_text(status)))


def _stop(settings: ClientSettings, quiet: bool, as_json: bool) -> None:
    _told(settings.client().stop(), quiet, as_json)


def _abort(settings: ClientSettings, quiet: bool, as_json: bool) -> None:
    _told(settings.client().abort(), quiet, as_json)


def _told(status: dict[str, Any], quiet: bool, as_json: bool) -> None:
    if as_json:
        _print(status)
    else:
        _say(str(status["state"]), quiet)


def _applied(applied: Any, what: str, quiet: bool, as_json: bool) -> None:
    from crystint.online.client_text import applied_text

    if as_json:
        names = ("first_image", "version", "revision", "details")
        _print({name: getattr(applied, name) for name in names})
    else:
        _say(applied_text(applied, what), quiet)


def _set(settings: ClientSettings, quiet: bool, as_json: bool, changes: Sequence[str], dry_run: bool) -> None:
    values = {}
    for change in changes:
        key, sign, text = change.partition("=")
        if not sign or not key.strip():
            raise SettingError(f"{change!r} is no change of a setting, expected KEY=VALUE such as snr=4.5")
        try:
            values[key.strip().replace("-", "_")] = json.loads(text)
        except ValueError:
            values[key.strip().replace("-", "_")] = text
    client = settings.client()
    try:
        applied = client.set(dry_run=dry_run, **values)
    except RefusedError as error:
        if error.reason == "bad_value":
            raise SettingError(str(error)) from None
        raise
    _applied(applied, "settings", quiet, as_json)


def _roi(settings: ClientSettings, quiet: bool, as_json: bool, file: Path | None) -> None:
    client = settings.client()
    if file is None:
        _print(client.rois.to_dict())
        return
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(file, error) from None
    except ValueError as error:
        raise FileError(f"{file} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise FileError(f"{file} holds no document of regions, expected a map with a list called rois")
    _applied(client.set_rois(document), "regions", quiet, as_json)


def _mask(
    settings: ClientSettings, quiet: bool, as_json: bool, file: Path | None, remove: bool, dataset: str | None
) -> None:
    if (file is None) != remove:
        raise SettingError("give a file with the mask, or --remove")
    client = settings.client()
    if file is None:
        applied = client.set_mask(None)
    else:
        from crystint.io.frames.masks import read_mask

        applied = client.set_mask(read_mask(file, dataset=dataset))
    _applied(applied, "mask", quiet, as_json)


def _watch(settings: WatchSettings, quiet: bool, place: str | None) -> None:
    from crystint.online.watch import watch

    chosen = settings if place is None else settings.model_copy(update={"url": place})
    with suppress(KeyboardInterrupt):  # the way to end it
        watch(chosen.client(), chosen.every, chosen.seconds, say=click.echo)


_FILE = click.Path(path_type=Path, dir_okay=False)

CLIENT_COMMANDS: tuple[Command, ...] = (
    process_command(
        "status",
        ClientSettings,
        _status,
        "Say how the service is: its state, the books of the series, rates, devices, outputs.",
        f"crystint online status {_TOKEN}",
        [
            _json(),
            click.Option(
                ["--wait"],
                type=click.FloatRange(0),
                metavar="SECONDS",
                help="first wait until the series that runs is finished, so long at most",
            ),
        ],
    ),
    process_command(
        "stop",
        ClientSettings,
        _stop,
        "Finish the series that runs, after what has come.",
        f"crystint online stop {_TOKEN}",
        [_json()],
    ),
    process_command(
        "abort",
        ClientSettings,
        _abort,
        "End the series that runs now; its files are closed.",
        f"crystint online abort {_TOKEN}",
        [_json()],
    ),
    process_command(
        "set",
        ClientSettings,
        _set,
        """Change settings while images come: KEY=VALUE, with the names that `crystint online serve` has.

        The answer tells the first image that they apply to.
        """,
        f"""
        crystint online set snr=4.5 hit_peaks=15 {_TOKEN}
        crystint online set d_min=null --dry-run {_TOKEN}""",
        [
            click.Argument(["changes"], nargs=-1, required=True, metavar="KEY=VALUE..."),
            click.Option(["--dry-run"], is_flag=True, help="only check"),
            _json(),
        ],
    ),
    process_command(
        "roi",
        ClientSettings,
        _roi,
        "Replace the regions of interest by those of FILE, a JSON document; without it print those that there are.",
        f"crystint online roi rois.json {_TOKEN}",
        [click.Argument(["file"], required=False, type=_FILE, metavar="[FILE]"), _json()],
    ),
    process_command(
        "mask",
        ClientSettings,
        _mask,
        "Replace the user's mask by that of FILE, in any format that `crystint peaks -m` reads. 0 = good.",
        f"""
        crystint online mask bad_pixels.tif {_TOKEN}
        crystint online mask --remove {_TOKEN}""",
        [
            click.Argument(["file"], required=False, type=_FILE, metavar="[FILE]"),
            click.Option(["--remove"], is_flag=True, help="there is none any more"),
            click.Option(["--dataset"], metavar="PATH", help="path of the mask in an HDF5 file"),
            _json(),
        ],
    ),
    process_command(
        "watch",
        WatchSettings,
        _watch,
        """Show how the service at URL is while it runs: state, rates, books, what happened.

        Where standard output is no terminal, a line every 2 s.
        """,
        f"crystint online watch http://127.0.0.1:5232 {_TOKEN}",
        [click.Argument(["place"], required=False, metavar="[URL]")],
    ),
)
