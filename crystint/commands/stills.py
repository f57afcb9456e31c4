"""stills: predict, integrate, scale, merge, simulate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystint.commands import old_options as options
from crystint.commands.closing import PICTURES, command_line, warn, wrote
from crystint.commands.program import Command
from crystint.commands.progress import progress

if TYPE_CHECKING:
    from crystint.stills.work import Done

__all__ = ["stills"]

_SHOWN = 10
_PATH = click.Path(path_type=Path)


@click.group()
def stills() -> None:
    """Still images: from orientations and frames to merged intensities.

    EXPERIMENT is what indexing gave: a DIALS .expt, a CrystFEL .stream, or an .h5 of an earlier step. Each step
    writes an .h5 that the next one reads:

    \b
      crystint stills integrate indexed.expt 'frames_*.cbf' -o integrated.h5
      crystint stills scale integrated.h5 -o scaled.h5
      crystint stills merge scaled.h5 -o merged.mtz
    """


_outputs = click.option(
    "-o",
    "--output",
    "outputs",
    required=True,
    multiple=True,
    type=_PATH,
    metavar="FILE",
    help="file to write; repeatable",
)
_positive = click.FloatRange(min=0.0, min_open=True)
_d_min = click.option("--d-min", type=_positive, metavar="A", help="highest resolution, angstrom")
_d_max = click.option("--d-max", type=_positive, metavar="A", help="lowest resolution, angstrom")
_width = options.together(
    click.option(
        "--domain",
        type=_positive,
        metavar="WIDTH",
        help="width R0 of the rocking curve exp(-e^2 / R0^2), 1/angstrom (default: of EXPERIMENT, or measured)",
    ),
    click.option("--mosaicity", type=click.FloatRange(0.0), metavar="RAD", help="its part that grows as 1/d, rad"),
    click.option("--bandwidth", type=click.FloatRange(0.0), metavar="B", help="of the beam, relative, RMS"),
    click.option(
        "--band", type=_positive, default=1.7, help="reflections within this many R0 of the sphere (default: 1.7)"
    ),
)
_geometry = click.option(
    "-g", "--geometry", type=_PATH, metavar="GEOM", help="CrystFEL geometry of a stream that holds none"
)
_experiment = click.option(
    "--experiment", type=_PATH, metavar="FILE", help="of a .refl file: its .expt (default: beside it)"
)
_space_group = click.option("--space-group", metavar="NAME", help="instead of that of the input, such as P43212")
_reference = click.option(
    "-r", "--reference", type=_PATH, metavar="FILE", help="known intensities: merged MTZ, mmCIF, CrystFEL .hkl"
)


@stills.command(cls=Command, example="crystint stills predict indexed.expt -o predicted.refl --d-min 2")
@click.argument("experiment", type=_PATH)
@_outputs
@_d_min
@_d_max
@_width
@_geometry
@options.overwrite
@options.quiet
def predict(experiment: Path, outputs: tuple[Path, ...], quiet: bool, **given: Any) -> None:
    """Where the reflections of EXPERIMENT are, and how much of each is excited.

    The suffix is the format: .refl for DIALS, .csv for people, .h5 for the other steps.
    """
    from crystint.io.outputs import check_outputs
    from crystint.stills.work import predict_files

    check_outputs(outputs, [experiment], given["overwrite"])
    _conclude(predict_files(experiment, outputs, command=command_line(), **given), outputs, "predicted")


@stills.command(
    cls=Command,
    example="""
    crystint stills integrate indexed.expt 'l-cyst_01_*.cbf' -o integrated.h5
    crystint stills integrate run.stream run_0001.h5 run_0002.h5 -o integrated.h5 -o integrated.mtz -r model.mtz""",
)
@click.argument("experiment", type=_PATH)
@click.argument("frames", nargs=-1, required=True, metavar="FRAMES...")
@_outputs
@_d_min
@_width
@click.option(
    "--method",
    type=click.Choice(["combined", "profile", "sum"]),
    default="combined",
    help="profile: fitted amplitudes; sum: counts of the core less background; combined: profile for faint "
    "reflections, sum for strong ones (default: combined)",
)
@click.option(
    "--recenter/--no-recenter",
    default=True,
    help="put profiles where the strong spots of an image are seen, by a linear function of the place, and give them "
    "the mean form of those (default: yes)",
)
@_reference
@click.option("-m", "--mask", type=_PATH, metavar="FILE", help="pixels other than 0 are not used")
@click.option("--dataset", metavar="PATH", help="path of the frames inside an HDF5 file")
@click.option("--noise", type=click.FloatRange(0.0), default=0.0, help="RMS noise of the detector, counts (default: 0)")
@_geometry
@options.threads
@options.overwrite
@options.quiet
def integrate(experiment: Path, frames: tuple[str, ...], outputs: tuple[Path, ...], quiet: bool, **given: Any) -> None:
    """Integrate the reflections that EXPERIMENT predicts on FRAMES."""
    from crystint.io.outputs import check_outputs
    from crystint.stills.work import integrate_files

    check_outputs(outputs, [experiment, *frames], given["overwrite"])
    watch = None if quiet else _counter("integrate")
    done = integrate_files(experiment, frames, outputs, progress=watch, command=command_line(), **given)
    _conclude(done, outputs, "integrated")


def _counter(what: str) -> Callable[[int, int], None]:
    """A function of (done, all) that moves a progress bar on."""
    steps: list[Iterator[int]] = []

    def show(done: int, total: int) -> None:
        if not steps:
            steps.append(iter(progress(range(total), total, what)))
            next(steps[0], None)
        next(steps[0], None)

    return show


@stills.command(
    cls=Command,
    example="""
    crystint stills scale integrated.h5 -o scaled.h5
    crystint stills scale scan_1.refl scan_2.refl --batch 5 -o scaled.h5
    crystint stills scale run.stream -r model.mtz -o scaled.h5 -o for_careless.mtz""",
)
@click.argument("sources", nargs=-1, required=True, type=_PATH, metavar="FILE...")
@_outputs
@_experiment
@_geometry
@_space_group
@_reference
@click.option("--intensity", metavar="NAME", help=".refl: profile or sum; .mtz: label of the intensities")
@click.option("--batch", type=_positive, metavar="DEG", help="scale so many degrees of rotation data as one image")
@click.option("--b/--no-b", "refine_b", default=True, help="a temperature factor per image (default: yes)")
@click.option(
    "--fit-width/--keep-width",
    default=None,
    help="fit the rocking width of the data set (default: yes, for stills that crystint integrated)",
)
@click.option(
    "--wavelength-nodes", type=click.IntRange(0), default=0, help="of a curve over the wavelength, for Laue data"
)
@click.option("--reindex", is_flag=True, help="resolve an indexing ambiguity that is found")
@click.option("--min-partiality", type=click.FloatRange(0.0, 1.0), default=0.1, help="to be used (default: 0.1)")
@options.overwrite
@options.quiet
def scale(sources: tuple[Path, ...], outputs: tuple[Path, ...], quiet: bool, **given: Any) -> None:
    """Give each image of FILE... a scale and a temperature factor.

    FILE is an .h5 of integration, a DIALS .refl, a CrystFEL .stream or an unmerged .mtz; several are scaled together.
    Without a reference the images are scaled to one another. An .mtz output is unmerged, for CCP4.
    """
    from crystint.io.outputs import check_outputs
    from crystint.stills.work_scale import scale_files

    check_outputs(outputs, sources, given["overwrite"])
    _conclude(scale_files(sources, outputs, command=command_line(), **given), outputs, "scaled")


@stills.command(
    cls=Command,
    example="""
    crystint stills merge scaled.h5 -o merged.mtz -o report.txt -o merged.png
    crystint stills merge scaled.h5 -o merged.mtz --anomalous --d-min 1.9 -r model.mtz""",
)
@click.argument("source", type=_PATH, metavar="FILE")
@_outputs
@_experiment
@_space_group
@_reference
@click.option("--anomalous", is_flag=True, help="keep Friedel mates apart")
@_d_min
@_d_max
@click.option("--min-partiality", type=click.FloatRange(0.0, 1.0), default=0.3, help="to be merged (default: 0.3)")
@click.option("--outliers", type=_positive, default=6.0, metavar="SIGMA", help="reject beyond (default: 6)")
@click.option(
    "--error-model", default="fit", metavar="fit|none|A,B", help="sigma'^2 = A sigma^2 + (B <I>)^2 (default: fit)"
)
@click.option(
    "--sigma",
    type=click.Choice(["internal", "external", "larger"]),
    default="internal",
    help="of merged intensities: from variances, from their scatter, or the larger (default: internal)",
)
@click.option("--shells", type=click.IntRange(1, 1000), default=10, help="of the statistics (default: 10)")
@click.option(
    "--reject", type=_positive, metavar="SD", help="leave out images with a delta-CC1/2 so far below the mean"
)
@click.option(
    "--min-cc", type=click.FloatRange(-1.0, 1.0), metavar="CC", help="leave out images that fit a reference worse"
)
@click.option(
    "--free", type=click.FloatRange(0.0, 0.5, min_open=True), metavar="SHARE", help="of FreeR flags in an .mtz"
)
@options.overwrite
@options.quiet
def merge(source: Path, outputs: tuple[Path, ...], quiet: bool, **given: Any) -> None:
    """Merge the scaled observations of FILE into unique reflections, with statistics.

    The suffix is the format: .mtz, .h5 with everything, .txt the report, .png .pdf .svg the plots.
    """
    from crystint.io.outputs import check_outputs
    from crystint.stills.work_merge import merge_files

    check_outputs(outputs, [source], given["overwrite"])
    pictures = [path for path in outputs if path.suffix.lower() in PICTURES]
    files = [path for path in outputs if path not in pictures]
    done = merge_files(source, files, command=command_line(), **given)
    for path in pictures:
        from crystint.plot import save_figure
        from crystint.plot.stills import plot_stills

        save_figure(plot_stills(done.run), path, overwrite=given["overwrite"])
    _conclude(done, outputs, "merged")


@stills.command(
    cls=Command,
    example="""
    crystint stills simulate -o simulated --frames 10
    crystint stills simulate -o serial --frames 2000 --no-images --cell 79,79,38,90,90,90 --space-group P43212""",
)
@click.option(
    "-o", "--output", type=_PATH, required=True, metavar="FOLDER", help="folder to write into, made if need be"
)
@click.option("--frames", type=click.IntRange(1), default=20, help="how many (default: 20)")
@click.option("--images/--no-images", default=True, help="draw frames, not only a table (default: yes)")
@click.option("--cell", metavar="A,B,C,AL,BE,GA", help="angstrom, degrees (default: 60,70,80,90,90,90)")
@click.option("--space-group", default=None, metavar="NAME", help="(default: P212121)")
@click.option("--d-min", type=_positive, default=1.7, metavar="A", help="highest resolution (default: 1.7)")
@click.option("--shape", metavar="SLOW,FAST", help="pixels (default: 2527,2463)")
@click.option("--pixel-size", type=_positive, metavar="M", help="(default: 172e-6)")
@click.option("--distance", type=_positive, metavar="M", help="(default: 0.15)")
@click.option("--wavelength", type=_positive, metavar="A", help="(default: 1)")
@click.option("--background", type=click.FloatRange(0.0), metavar="COUNTS", help="per pixel, about (default: 1)")
@click.option(
    "--intensity", type=_positive, metavar="COUNTS", help="of a mean reflection at low resolution (default: 2000)"
)
@click.option("--domain", type=_positive, metavar="WIDTH", help="R0, 1/angstrom (default: 1e-3)")
@click.option("--mosaicity", type=click.FloatRange(0.0), metavar="RAD", help="(default: 0)")
@click.option("--bandwidth", type=click.FloatRange(0.0), metavar="B", help="relative, RMS (default: 0)")
@click.option("--spot", type=_positive, metavar="WIDTH", help="radius R1 of the spots, 1/angstrom (default: 1.2e-3)")
@click.option("--spread-ln-g", type=click.FloatRange(0.0), metavar="SD", help="of scales (default: 0.5)")
@click.option("--spread-b", type=click.FloatRange(0.0), metavar="A2", help="of temperature factors (default: 2)")
@click.option("--orientation-error", type=click.FloatRange(0.0), metavar="RAD", help="of the experiment (default: 0)")
@click.option(
    "--second-lattice",
    type=click.FloatRange(0.0, 1.0),
    metavar="SHARE",
    help="of frames with two crystals (default: 0)",
)
@click.option("--free-indexing", is_flag=True, help="index each image in one of the ways an ambiguity allows")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="(default: 0)")
@options.overwrite
@options.quiet
def simulate(output: Path, quiet: bool, **given: Any) -> None:
    """Simulate stills of known truth.

    FOLDER gets frames.h5 and frames.expt (what an experiment and its indexing would give), truth.h5 (observations with
    noise, the true scales and intensities) and reference.mtz (the true intensities).
    """
    from crystint.stills.work_simulate import simulate_files

    progress_of = None if quiet else _counter("simulate")
    paths, text = simulate_files(output, progress=progress_of, command=command_line(), **given)
    click.echo(text)
    wrote(paths)


def _conclude(done: Done, outputs: tuple[Path, ...], verb: str) -> None:
    """Warnings, images that failed, the closing line, and what was written."""
    for text in done.warnings:
        warn(text)
    for text in list(done.notes.values())[:_SHOWN]:
        warn(text)
    if len(done.notes) > _SHOWN:
        warn(f"{len(done.notes)} images in all could not be {verb}; an .h5 output names them")
    click.echo(done.text)
    wrote(outputs)
