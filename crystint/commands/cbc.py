"""cbc: simulate, scale, merge, plot convergent-beam data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crystint.commands import old_options as options
from crystint.commands.closing import command_line, warn, wrote
from crystint.commands.program import Command

__all__ = ["cbc"]

_PATH = click.Path(path_type=Path)
_POSITIVE = click.FloatRange(min=0.0, min_open=True)
_NOT_NEGATIVE = click.FloatRange(min=0.0)


@click.group()
def cbc() -> None:
    """Convergent-beam data: from pixels of streaks to |q|^2 and maps of the crystal.

    TABLE has a row per pixel of a streak: frame, streak, x, y, counts, background, profile, h, k, l (or cbclib's names
    of these), and u_x, u_y or a geometry that they follow from. Each step writes what the next one reads:

    \b
      crystint cbc simulate -o table.h5
      crystint cbc scale table.h5 -o scaled.h5 --symmetry mmm
      crystint cbc merge scaled.h5 -o merged.mtz
      crystint cbc plot scaled.h5 -o scaled.png
    """


_output = click.option("-o", "--output", required=True, type=_PATH, metavar="FILE", help="HDF5 file to write")
_cell = click.option("--cell", metavar="A,B,C,AL,BE,GA", help="angstrom, degrees")


@cbc.command(
    cls=Command,
    example="""
    crystint cbc simulate -o table.h5
    crystint cbc simulate -o table.h5 --symmetry 4mm --frames 20 --crowding 3 --seed 1
    crystint cbc simulate -o large.h5 --rows 10000000 --frames 200 --overlap 0.2""",
)
@_output
@click.option("--frames", type=click.IntRange(1), help="how many (default: 8)")
@click.option("--symmetry", metavar="NAME", help="space group or point group (default: mmm)")
@click.option("--friedel/--no-friedel", default=None, help="hkl and -h-k-l have one |q|^2 (default: yes)")
@_cell
@click.option("--numerical-aperture", type=_POSITIVE, metavar="NA", help="half the side of the pupil (default: 0.03)")
@click.option("--wavelength", type=_POSITIVE, metavar="A", help="(default: 0.73)")
@click.option("--distance", type=_POSITIVE, metavar="M", help="focus to detector (default: 0.1)")
@click.option("--defocus", type=_NOT_NEGATIVE, metavar="M", help="focus to crystal (default: 0.002)")
@click.option("--pixel-size", type=_POSITIVE, metavar="M", help="(default: 200e-6)")
@click.option("--shape", metavar="SLOW,FAST", help="pixels (default: 512,512)")
@click.option("--rotation", type=float, metavar="DEG", help="of the crystal per frame (default: 2)")
@click.option("--d-min", type=_POSITIVE, metavar="A", help="highest resolution (default: 3.1)")
@click.option("--crowding", type=_POSITIVE, help="so many times more streaks, and more overlap (default: 1)")
@click.option("--width", type=_POSITIVE, metavar="PX", help="of streaks (default: 4)")
@click.option(
    "--profile", type=click.Choice(["tophat", "linear", "quad", "gauss"]), help="across streaks (default: gauss)"
)
@click.option("--intensity", type=_POSITIVE, metavar="COUNTS", help="mean |q|^2 (default: 60)")
@click.option("--contrast", type=_NOT_NEGATIVE, metavar="SD", help="of log chi (default: 0.6)")
@click.option("--map-scale", type=_POSITIVE, metavar="NA", help="length on which chi changes (default: 0.4)")
@click.option("--background", type=_NOT_NEGATIVE, metavar="COUNTS", help="(default: 10)")
@click.option("--intercept", type=_NOT_NEGATIVE, metavar="COUNTS", help="mean that streaks add (default: 0)")
@click.option("--noise/--no-noise", default=None, help="Poisson counts (default: yes)")
@click.option("--rows", type=click.IntRange(1), help="about so many, of random streaks instead of a crystal's")
@click.option("--overlap", type=click.FloatRange(0.0, 1.0, max_open=True), help="with --rows: share (default: 0.1)")
@click.option("--reflections", type=click.IntRange(1), help="with --rows: how many (default: 150)")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="(default: 0)")
@options.overwrite
def simulate(output: Path, **given: Any) -> None:
    """Simulate a table of known truth, which is kept in the file.

    Later steps compare their results with it.
    """
    from crystint.cbc.work_simulate import simulate_file

    click.echo(simulate_file(output, command=command_line(), **given).text)
    wrote([output])


@cbc.command(
    cls=Command,
    example="""
    crystint cbc scale table.h5 -o scaled.h5 --symmetry mmm
    crystint cbc scale table.csv --setup geometry.h5 -o scaled.h5 --symmetry P43212 --bandwidth 1e-3 --device gpu""",
)
@click.argument("source", type=_PATH, metavar="TABLE")
@_output
@click.option("--setup", type=_PATH, metavar="FILE", help="HDF5 with the geometry (default: u_x, u_y, or in TABLE)")
@click.option("--key", metavar="GROUP", help="of the table in an HDF5 file")
@click.option(
    "--symmetry", metavar="NAME", help="space group or point group of equal |q|^2 (default: equal indices only)"
)
@click.option("--friedel/--no-friedel", default=True, help="merge hkl and -h-k-l (default: yes)")
@click.option(
    "--bandwidth", default="auto", metavar="VALUE|auto", help="of chi, in units of u (default: auto, cross-validation)"
)
@click.option("--grid", default="40,40", metavar="Y,X", help="nodes of chi (default: 40,40)")
@click.option("--iterations", type=click.IntRange(1), default=30, help="of chi and |q|^2, at most (default: 30)")
@click.option("--steps", type=click.IntRange(1), default=10, help="of |q|^2 in each (default: 10)")
@click.option(
    "--kind", type=click.Choice(["poisson", "least_squares"]), default="poisson", help="criterion (default: poisson)"
)
@click.option(
    "--loss",
    type=click.Choice(["l2", "l1", "huber"], case_sensitive=False),
    default="l2",
    help="of least squares (default: l2)",
)
@click.option("--intercept/--no-intercept", default=False, help="fit a constant to each streak (default: no)")
@click.option(
    "--method", type=click.Choice(["auto", "em", "l-bfgs-b"]), default="auto", help="optimiser (default: auto)"
)
@click.option("--errors/--no-errors", default=True, help="also sigma and half sets (default: yes)")
@click.option("--device", metavar="NAME", help="OpenCL: gpu, cpu, an id such as 0:1 (default: NumPy)")
@options.overwrite
@options.quiet
def scale(source: Path, output: Path, quiet: bool, **given: Any) -> None:
    """Find |q|^2 of the reflections of TABLE and a map chi of the crystal for each frame.

    The output is TABLE with u, |q|^2 and chi of each row, the maps, sigma, half sets and the settings.
    """
    from crystint.cbc.work import scale_file

    done = scale_file(source, output, progress=None if quiet else _line, command=command_line(), **given)
    for text in done.warnings:
        warn(text)
    click.echo(done.text)
    wrote([output])


def _line(iteration: int, criterion: float) -> None:
    click.echo(f"iteration {iteration}: criterion {criterion:.2f}", err=True)


@cbc.command(
    cls=Command,
    example="""
    crystint cbc merge scaled.h5 -o merged.mtz -o merged.hkl
    crystint cbc merge scaled.h5 -o merged.txt --symmetry mmm --no-friedel""",
)
@click.argument("source", type=_PATH, metavar="FILE")
@click.option(
    "-o", "--output", "outputs", required=True, multiple=True, type=_PATH, metavar="FILE",
    help="file to write; repeatable",
)  # fmt: skip
@click.option("--symmetry", metavar="NAME", help="of the merging (default: that of the scaling)")
@click.option("--friedel/--no-friedel", default=None, help="merge hkl and -h-k-l (default: as in the scaling)")
@_cell
@options.overwrite
def merge(source: Path, outputs: tuple[Path, ...], **given: Any) -> None:
    """Write |q|^2 and sigma of a scaled FILE for other programs.

    The suffix is the format: .mtz, .hkl for SHELX (HKLF 4), .txt with a header.
    """
    from crystint.cbc.work_merge import merge_file

    done = merge_file(source, outputs, command=command_line(), **given)
    for text in done.warnings:
        warn(text)
    click.echo(done.text)
    wrote(outputs)


@cbc.command(
    cls=Command,
    example="""
    crystint cbc plot scaled.h5 -o scaled.png
    crystint cbc plot scaled.h5 -o scaled.pdf -r model.mtz --title 'Run 7'""",
)
@click.argument("source", type=_PATH, metavar="FILE")
@click.option("-o", "--output", required=True, type=_PATH, metavar="FILE", help="picture: .png, .pdf or .svg")
@click.option("-r", "--reference", type=_PATH, metavar="FILE", help="known intensities: merged MTZ or mmCIF")
@click.option("--frames", type=click.IntRange(1, 8), default=8, help="maps that are shown, at most (default: 8)")
@click.option("--title", help="of the picture")
@options.overwrite
def plot(source: Path, output: Path, reference: Path | None, frames: int, title: str | None, overwrite: bool) -> None:
    """Draw a scaled FILE: maps chi, |q|^2 against the truth or a reference, convergence."""
    from crystint.cbc.work_merge import run_with
    from crystint.plot import save_figure
    from crystint.plot.cbc import plot_cbc

    save_figure(plot_cbc(run_with(source, reference), frames=frames, title=title), output, overwrite=overwrite)
    wrote([output])
