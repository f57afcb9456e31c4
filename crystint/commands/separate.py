"""peaks, sparsify, densify, convert: frames to files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystint.commands import options
from crystint.commands.closing import command_line, conclude, report, size, warn
from crystint.commands.program import Command
from crystint.commands.progress import progress
from crystint.commands.signals import Interruption

if TYPE_CHECKING:
    from crystint.separation.files import Summary

__all__ = ["convert", "densify", "peaks", "sparsify"]

_FRAMES = click.argument("files", nargs=-1, required=True, metavar="FILE...")


@click.command(
    cls=Command,
    example="""
    crystint peaks thau_3_2_0003.cbf -o peaks.cxi
    crystint peaks run_master.h5 -m bad_pixels.tif -o peaks.cxi -o peaks.refl --snr 6
    crystint peaks 'frame_*.tif' -g detector.poni -o SPOT.XDS""",
)
@_FRAMES
@options.outputs(True, "file to write, in the format of its suffix: .cxi .refl .h5 .json .jsonl SPOT.XDS; repeatable")
@options.snr
@options.peak_options
@options.frame_options
@options.device
@options.threads
@options.dask
@options.strict
@options.resume
@options.overwrite
@options.quiet
def peaks(files: tuple[str, ...], output: tuple[Path, ...], **given: Any) -> None:
    """Find the Bragg peaks of frames.

    FILE is a CBF, EDF, TIFF, NumPy or HDF5 (NXmx, Eiger) file or a pattern in quotes; several make one
    sequence.
    """
    settings = options.settings_of(given)
    from crystint.separation.files import find_peaks

    _run(given, partial(find_peaks, files, output, settings))


@click.command(
    cls=Command,
    example="""
    crystint sparsify run_master.h5 -o sparse.h5
    crystint sparsify 'frame_*.cbf' -o sparse.h5 --snr 2.5 --peaks --compact""",
)
@_FRAMES
@options.outputs(False, "HDF5 file to write")
@options.snr
@click.option("--peaks", is_flag=True, help="store the peak list, too")
@click.option("--compact", is_flag=True, help="smaller, for crystint only: FabIO cannot read it (see convert)")
@options.snr_peak
@options.peak_options
@options.frame_options
@options.device
@options.threads
@options.dask
@options.strict
@options.resume
@options.overwrite
@options.quiet
def sparsify(files: tuple[str, ...], output: Path, compact: bool, peaks: bool, **given: Any) -> None:
    """Keep the pixels above the background, and the background as rings.

    --snr is the significance of a pixel to keep. The options about peaks matter with --peaks only.
    """
    settings = options.settings_of(given)
    from crystint.separation import files as pipeline

    _run(given, partial(pipeline.sparsify, files, output, settings, compact=compact, peaks=peaks))


@click.command(cls=Command, example="crystint densify sparse.h5 -o dense.h5 --seed 1")
@click.argument("sparse", metavar="SPARSE")
@options.outputs(False, "NXmx HDF5 file to write")
@click.option("--noise/--no-noise", default=True, help="draw the background from its distribution (default: yes)")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="of the noise (default: 0)")
@click.option(
    "--compression",
    type=click.Choice(["gzip", "bslz4", "none"]),
    default="gzip",
    help="gzip: any HDF5 program reads it; bslz4: fast and what Eiger files have, needs a plugin (default: gzip)",
)
@options.device
@options.threads
@options.strict
@options.overwrite
@options.quiet
def densify(sparse: str, output: Path, noise: bool, seed: int, compression: str, **given: Any) -> None:
    """Make whole frames again from the sparse file SPARSE."""
    from crystint.separation.files import densify_file

    _run(given, partial(densify_file, sparse, output, noise=noise, seed=seed, compression=compression))


@click.command(cls=Command, example="crystint convert sparse.h5 -o compact.h5 --compact")
@click.argument("sparse", metavar="SPARSE")
@options.outputs(False, "HDF5 file to write")
@click.option("--compact/--plain", default=None, help="form to write (default: the other one)")
@options.overwrite
def convert(sparse: str, output: Path, compact: bool | None, overwrite: bool) -> None:
    """Turn a plain sparse file, which FabIO reads, into a compact one, or back. Nothing is lost."""
    from crystint.io.sparse.file import convert_sparse, open_sparse
    from crystint.separation.files import check_outputs

    (path,) = check_outputs([output], [sparse], overwrite)
    if compact is None:
        with open_sparse(sparse) as file:
            compact = not file.compact
    convert_sparse(sparse, path, compact=compact, overwrite=overwrite)
    before, after = Path(sparse).stat().st_size, path.stat().st_size
    form = "compact" if compact else "plain"
    click.echo(f"wrote {path} ({form}, {size(after)}; {sparse} is {size(before)})")


def _run(given: dict[str, Any], run: Callable[..., Summary]) -> None:
    """Carry out a run with what all of them are told beside their settings, and say how it ended."""
    from crystint.separation.files import Execution, silent

    interruption = Interruption()
    summary = run(
        device=given["device"],
        overwrite=given["overwrite"],
        progress=silent if given["quiet"] else progress,
        command=command_line(),
        execution=Execution(
            threads=given["threads"],
            strict=given["strict"],
            resume=given.get("resume", False),
            dask=given.get("dask"),
            dask_frames=given.get("dask_frames", 1),
            tell=warn,
            until=interruption.watched,
        ),
    )
    report(summary)
    conclude(summary, interruption.number, resumable="resume" in given)
