"""devices, info, plot: look, change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from crystint.commands import old_options as options
from crystint.commands.closing import size, warn
from crystint.commands.program import Command
from crystint.errors import CrystintError

__all__ = ["devices", "info", "plot"]


@click.command(cls=Command, example="crystint devices\nCRYSTINT_DEVICE=cpu crystint peaks frame.cbf -o peaks.cxi")
@click.option("--json", "as_json", is_flag=True, help="as JSON")
@click.option("--add-intel", is_flag=True, help="first make Intel's CPU runtime known that pip installed")
def devices(as_json: bool, add_intel: bool) -> None:
    """List the OpenCL devices. The one marked * is the default, which CRYSTINT_DEVICE can change."""
    from crystint import engine

    if add_intel:
        click.echo(f"Intel's CPU runtime stands in {engine.add_intel()}", err=True)
    chosen = engine.find_device()  # raises when there is none
    for text in engine.left_out():
        warn(text)
    rows = [
        {
            "id": one.id,
            "kind": one.kind,
            "name": one.name,
            "platform": one.platform,
            "driver": one.driver,
            "version": one.version,
            "memory": one.memory,
            "compute_units": one.compute_units,
            "default": one.id == chosen.id,
        }
        for one in engine.devices()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    head = ("", "id", "kind", "name", "platform", "driver", "memory")
    table = [head] + [
        (
            "*" if row["default"] else "",
            *(str(row[name]) for name in ("id", "kind", "name", "platform", "driver")),
            f"{int(str(row['memory'])) / 2**30:.1f} GiB",
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


@click.command(cls=Command, example="crystint info run_master.h5 detector.poni sparse.h5")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--dataset", metavar="PATH", help="path of the frames inside an HDF5 file")
@click.option("--json", "as_json", is_flag=True, help="as JSON")
def info(files: tuple[str, ...], dataset: str | None, as_json: bool) -> None:
    """Say what each FILE is: frames, geometry, mask; or a sparse file, a peak list, a geometry."""
    from crystint.io.describe import describe

    found: list[dict[str, Any]] = []
    failed: list[CrystintError] = []
    for file in files:
        try:
            about = describe(file, dataset=dataset)
        except CrystintError as error:
            failed.append(error)
            about = {"kind": "unreadable"}
        found.append({"file": file, **about})
        if not as_json:
            click.echo(("" if len(found) == 1 else "\n") + file)
            for name, value in found[-1].items():
                if name != "file":
                    click.echo(f"  {name:<13}{_shown(name, value)}")
    if as_json:
        click.echo(json.dumps(found, indent=2))
    if failed:
        more = f" ({len(failed) - 1} more unreadable)" if len(failed) > 1 else ""
        raise type(failed[0])(f"{failed[0]}{more}")


def _shown(name: str, value: Any) -> str:
    """A value of `describe` in one line."""
    if name == "size":
        return size(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return str(value)


@click.command(
    cls=Command,
    example="""
    crystint plot run_master.h5 --frame 3 --find -o frame.png
    crystint plot frame.cbf --peaks peaks.cxi -o frame.pdf""",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@options.outputs(False, "picture to write (.png .pdf .svg)")
@click.option("--frame", "number", type=int, default=0, help="number of the frame, from 0; -1 = the last (default: 0)")
@click.option("--peaks", "peak_file", metavar="FILE", help="draw the peaks of this file")
@click.option("--find", is_flag=True, help="find peaks and draw them")
@options.snr
@options.peak_options
@options.frame_options
@options.device
@options.overwrite
def plot(
    files: tuple[str, ...],
    output: Path,
    number: int,
    peak_file: str | None,
    find: bool,
    overwrite: bool,
    **given: Any,
) -> None:
    """Draw a frame with rings, masked pixels, peaks, and the background profile.

    Without a geometry only the frame and its counts are drawn.
    """
    settings = options.settings_of(given)
    if peak_file and find:
        raise click.UsageError("--peaks and --find exclude each other")
    from crystint.io.outputs import check_outputs
    from crystint.separation.draw import draw

    sources = [*files, peak_file] if peak_file else list(files)
    (path,) = check_outputs([output], sources, overwrite)
    count = draw(
        files,
        path,
        settings,
        number=number,
        peak_file=peak_file,
        find=find,
        device=given["device"],
        overwrite=overwrite,
        warn=lambda text: click.echo(f"crystint: warning: {text}", err=True),
    )
    peaks = "" if count is None else f", {count} peaks"
    click.echo(f"wrote {path} ({size(path.stat().st_size)}{peaks})")
