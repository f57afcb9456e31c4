"""correlate: center, polar, correlate, plot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from crystint.commands import old_options as options
from crystint.commands.closing import PICTURES, command_line, warn, wrote
from crystint.commands.ctrl_c import heeding_ctrl_c
from crystint.commands.program import Command, EndedError
from crystint.commands.progress import progress
from crystint.errors import FileError, GeometryError, SettingError

if TYPE_CHECKING:
    from crystint.correlate.exposures import Done, Exposures

__all__ = ["correlate"]

_PATH = click.Path(path_type=Path)
_POSITIVE = click.FloatRange(min=0.0, min_open=True)
_NOT_NEGATIVE = click.FloatRange(min=0.0)
_MISSING, _NAMED = 3, 10
_PLACES = (
    "geometry",
    "beam",
    "distance",
    "wavelength",
    "pixel_size",
    "polarization",
    "beam_outside",
    "dataset",
    "mask",
)


@click.group()
def correlate() -> None:
    """Angular correlation: from frames of powder or solution rings to correlations around the rings.

    \b
      crystint correlate center 'run_*.h5' --beam 1200,1190 -o run.poni
      crystint correlate polar 'run_*.h5' -g run.poni -o polar.h5
      crystint correlate correlate 'run_*.h5' -g run.poni -o correlation.h5 --difference optimal
      crystint correlate plot correlation.h5 -o correlation.png
    """


_output = click.option("-o", "--output", required=True, type=_PATH, metavar="FILE", help="HDF5 file to write")
_rows = options.together(
    click.option("--radii", metavar="MIN,MAX[,STEP]", help="rings, px (default: 1 px apart, to the farthest edge)"),
    click.option("--q", metavar="MIN,MAX[,STEP]", help="rings, 1/angstrom, instead of radii"),
    click.option(
        "--azimuths", type=click.IntRange(0), default=0, metavar="N",
        help="samples of a ring (default: one per pixel of the last ring, and no prime factor above 5)",
    ),
    click.option(
        "--origin", default="fast", metavar="fast|loki|RAD",
        help="direction of the first sample: the fast axis, LOKI's against it, or an angle (default: fast)",
    ),
    click.option(
        "--direction", type=click.Choice(["1", "-1"]), default="1",
        help="1: from the fast axis towards the slow one; -1: the other way round (default: 1)",
    ),
    click.option(
        "--method", type=click.Choice(["nearest", "bilinear", "area"]), default="area",
        help="value of a sample: the pixel there, of four pixels, or the mean over its area (default: area)",
    ),
    click.option(
        "--corrections/--no-corrections", default=True,
        help="divide by solid angle and polarization, where there is a geometry (default: yes)",
    ),
)  # fmt: skip


@correlate.command(
    cls=Command,
    example="""
    crystint correlate center frame.cbf
    crystint correlate center 'run_*.h5' -m mask.h5 --beam 1200,1190 --distance 100mm --pixel-size 75um -o run.poni
    crystint correlate center lab6.cbf -g lab6.poni --shape tilt --ring-q 1.511,2.137,2.618 -o refined.poni""",
)
@click.argument("files", nargs=-1, required=True, metavar="FRAMES...")
@click.option(
    "-o", "--output", "outputs", multiple=True, type=_PATH, metavar="FILE",
    help="geometry to write (.poni, .json), or a picture (.png .pdf .svg); repeatable",
)  # fmt: skip
@click.option(
    "--shape", type=click.Choice(["circle", "ellipse", "tilt"]), default="circle", help="of the rings (default: circle)"
)
@click.option(
    "--radius", type=_POSITIVE, multiple=True, metavar="PX", help="a ring to look for, within 10 px; repeatable"
)
@click.option("--ring-q", metavar="Q,Q,...", help="rings of a calibrant, 1/angstrom: the distance is refined as well")
@click.option("--reach", type=_POSITIVE, default=20.0, metavar="PX", help="how far the start may be off (default: 20)")
@click.option("--width", type=_POSITIVE, metavar="PX", help="of the broadest rings, at half height (default: about 8)")
@options.place_options
@options.strict
@options.overwrite
@options.quiet
def center(
    files: tuple[str, ...],
    outputs: tuple[Path, ...],
    ring_q: str | None,
    overwrite: bool,
    quiet: bool,
    strict: bool,
    **given: Any,
) -> None:
    """Find the centre of the powder rings of FRAMES, which are added up.

    It starts from --beam, or from the geometry, or in the middle of the frame: a geometry can be written with just
    --distance and --pixel-size.
    """
    from crystint.correlate.exposures import numbers
    from crystint.correlate.work_center import center_frames
    from crystint.io.outputs import check_output

    places, more = _split(given)
    for number, path in enumerate(outputs):
        check_output(path, (".poni", ".json", *PICTURES), overwrite)
        if path in outputs[:number]:
            raise SettingError(f"{path} is to be written twice")
    known = [] if ring_q is None else numbers("ring-q", ring_q)
    geometries = [path for path in outputs if path.suffix.lower() not in PICTURES]
    if geometries and more["shape"] == "ellipse":
        raise SettingError(f"an ellipse is no geometry to write to {geometries[0]}; --shape tilt is one, or circle")
    with _opened(files, places, strict=strict, middle=True) as exposures:
        if geometries and exposures.geometry is None:
            raise GeometryError(
                f"there is no geometry to write to {geometries[0]}: give -g FILE, or --distance and --pixel-size"
            )
        found = center_frames(exposures, ring_q=known, progress=_watch(quiet), **more)
    for path in outputs:
        if path in geometries:
            assert found.geometry is not None
            found.geometry.write(path, overwrite=overwrite)
        else:
            from crystint.plot import save_figure
            from crystint.plot.correlate import plot_rings

            title = None if found.calibrated is None else "Rings of the calibrant"
            save_figure(plot_rings(found.image, found.rings, title=title), path, overwrite=overwrite)
    _conclude(found.done, outputs)


@correlate.command(
    cls=Command,
    example="""
    crystint correlate polar 'run_*.h5' -g run.poni -o polar.h5
    crystint correlate polar frame.cbf --beam 1200.3,1190.8 --radii 100,1000 --method nearest -o polar.h5""",
)
@click.argument("files", nargs=-1, required=True, metavar="FRAMES...")
@_output
@_rows
@options.place_options
@options.device
@options.strict
@options.overwrite
@options.quiet
def polar(
    files: tuple[str, ...], output: Path, device: str | None, overwrite: bool, quiet: bool, strict: bool, **given: Any
) -> None:
    """Write polar images of FRAMES: rings along one axis, azimuths along the other, NaN where there are no data."""
    from crystint.correlate.exposures import HDF5
    from crystint.correlate.work import polar_frames
    from crystint.io.outputs import check_output

    check_output(output, HDF5, overwrite)
    places, more = _split(given)
    with _opened(files, places, strict=strict) as exposures:
        grid = _grid(exposures, more)
        done = polar_frames(
            exposures, output, grid, device=device, overwrite=overwrite, progress=_watch(quiet),
            command=command_line(), **more,
        )  # fmt: skip
    _conclude(done, [output])


@correlate.command(
    "correlate",
    cls=Command,
    example="""
    crystint correlate correlate 'run_*.h5' -g run.poni -o correlation.h5
    crystint correlate correlate 'run_*.h5' -g run.poni --q 2.6,2.75 --difference optimal --peaks 3 -o difference.h5
    crystint correlate correlate --add night_1.h5 --add night_2.h5 -o both.h5""",
)
@click.argument("files", nargs=-1, metavar="[FRAMES...]")
@_output
@_rows
@click.option(
    "--difference", type=click.Choice(["optimal", "greedy", "next"]),
    help="correlate differences of exposures: paired by like curves, with the least total distance or in LOKI's way, "
    "or each with the next (default: every exposure by itself)",
)  # fmt: skip
@click.option(
    "--block", type=click.IntRange(2), default=500, help="exposures among which pairs are sought (default: 500)"
)
@click.option(
    "--cross", multiple=True, metavar="R1,R2|all",
    help="rings to correlate with one another, px or 1/angstrom; repeatable (default: each with itself)",
)  # fmt: skip
@click.option(
    "--outliers",
    type=_NOT_NEGATIVE,
    default=5.0,
    metavar="SD",
    help="leave out, about the median; 0 = none (default: 5)",
)
@click.option(
    "--peaks", type=_NOT_NEGATIVE, default=0.0, metavar="SD", help="leave out, about the curve; 0 = none (default: 0)"
)
@click.option(
    "--curve", type=click.Choice(["fourier", "chebyshev"]), default="fourier", help="around a ring (default: fourier)"
)
@click.option(
    "--order", type=click.IntRange(0), metavar="N", help="harmonics (default: 3) or degree (default: 15) of the curve"
)
@click.option(
    "--subtract", type=click.Choice(["none", "mean", "curve"]), default="none",
    help="from each ring, without --difference (default: none)",
)  # fmt: skip
@click.option(
    "--scale", type=click.Choice(["none", "frame", "ring"]),
    help="divide by the mean of the frame, or of each ring (default: frame with --difference, else none)",
)  # fmt: skip
@click.option(
    "--norm", type=click.Choice(["mask", "mean", "sum"]),
    help="each lag over its number of valid pairs, over all samples, or a sum as LOKI's (default: mask; of results "
    "that are added without frames, that of the first)",
)  # fmt: skip
@click.option(
    "--by-intensity/--no-by-intensity", default=None,
    help="divide by the product of the mean intensities (default: no; of added results, as the first)",
)  # fmt: skip
@click.option("--coefficients", type=click.IntRange(0), metavar="N", help="store Fourier coefficients up to N, too")
@click.option("--add", "added", type=_PATH, multiple=True, metavar="FILE", help="an earlier result to add; repeatable")
@options.place_options
@options.device
@options.strict
@options.overwrite
@options.quiet
def correlate_command(
    files: tuple[str, ...],
    output: Path,
    added: tuple[Path, ...],
    device: str | None,
    overwrite: bool,
    quiet: bool,
    strict: bool,
    **given: Any,
) -> None:
    """Correlate the rings of FRAMES around the beam, and average over exposures.

    Any number of frames take the same memory. Results of runs add up (--add), without frames as well.
    """
    from crystint.correlate.exposures import HDF5
    from crystint.correlate.pairs.ring_cleaning import Cleaning
    from crystint.correlate.work import correlate_frames
    from crystint.correlate.work_add import add_files
    from crystint.io.outputs import check_output

    check_output(output, HDF5, overwrite)
    places, more = _split(given)
    written = {name: more.pop(name) for name in ("norm", "by_intensity", "coefficients")}
    written |= {"overwrite": overwrite, "command": command_line()}
    if any(path.exists() and output.exists() and path.samefile(output) for path in added):
        raise SettingError(f"{output} is to be added and to be written; give the output another name")
    if not files:
        if not added:
            raise click.UsageError("give FRAMES, or results to add with --add")
        _without_frames("norm", "by_intensity", "coefficients", "added", "output", "overwrite", "quiet")
        _conclude(add_files(added, output, **written), [output])
        return
    if more["difference"] and more["subtract"] != "none":
        raise click.UsageError("--subtract is for exposures by themselves; a difference has nothing to subtract")
    written |= {"norm": written["norm"] or "mask", "by_intensity": bool(written["by_intensity"])}
    if more["scale"] is None:
        more["scale"] = "frame" if more["difference"] else "none"
    names = ("outliers", "peaks", "curve", "order", "subtract", "scale")
    cleaning = Cleaning(**{name: more.pop(name) for name in names})
    with _opened(files, places, strict=strict) as exposures:
        grid = _grid(exposures, more)
        done = correlate_frames(
            exposures, output, grid, cleaning=cleaning, files=added, device=device, progress=_watch(quiet),
            **written, **more,
        )  # fmt: skip
    _conclude(done, [output])


@correlate.command(
    cls=Command,
    example="""
    crystint correlate plot polar.h5 --frame 3 -o polar.png
    crystint correlate plot correlation.h5 --ring 765 -o correlation.png""",
)
@click.argument("source", type=_PATH, metavar="FILE")
@click.option("-o", "--output", required=True, type=_PATH, metavar="FILE", help="picture: .png, .pdf or .svg")
@click.option("--frame", type=int, default=0, help="of polar images; -1 = the last (default: 0)")
@click.option(
    "--ring", "rings", type=_NOT_NEGATIVE, multiple=True, metavar="R",
    help="a ring to show as a curve, px or 1/angstrom; repeatable (default: some strong ones)",
)  # fmt: skip
@click.option("--title", help="of the picture")
@options.overwrite
def plot(source: Path, output: Path, frame: int, rings: tuple[float, ...], title: str | None, overwrite: bool) -> None:
    """Draw polar images with ring profiles, or correlations: as a map, and of single rings."""
    from crystint.correlate.sums.files import kind_of, read_correlations, read_polar
    from crystint.io.outputs import check_output
    from crystint.plot import save_figure
    from crystint.plot.correlate import plot_correlations, plot_polar

    check_output(output, PICTURES, overwrite)
    if kind_of(source) == "polar":
        image, q, count = read_polar(source, frame)
        figure = plot_polar(image, q=q, rings=rings, title=title or f"{source.name}, frame {frame % count} of {count}")
    else:
        figure = plot_correlations(read_correlations(source), rings=rings, title=title)
    save_figure(figure, output, overwrite=overwrite)
    wrote([output])


def _without_frames(*known: str) -> None:
    """Refuse options that say how frames are to be treated."""
    context = click.get_current_context()
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if source is ParameterSource.COMMANDLINE and option.name not in known:
            raise click.UsageError(
                f"{option.opts[-1]} is for FRAMES, and there are none: results are added as they are"
            )


def _split(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options that say where the detector is, and the others."""
    return (
        {name: value for name, value in given.items() if name in _PLACES},
        {name: value for name, value in given.items() if name not in _PLACES},
    )


@contextmanager
def _opened(
    files: tuple[str, ...], given: dict[str, Any], *, strict: bool, middle: bool = False
) -> Iterator[Exposures]:
    """Frames, mask, and geometry or centre where these are known; with `middle` the beam need not be."""
    from crystint.correlate.exposures import Exposures
    from crystint.io.frames.sequence import open_frames
    from crystint.run.frames import geometry_of, mask_of

    settings = options.settings_of(given)
    with open_frames(*files, dataset=settings.dataset) as frames:
        if not len(frames):
            raise FileError(f"{', '.join(files)}: no frames in it")
        geometry = None
        explicit = settings.geometry is not None or settings.distance is not None or settings.pixel_size is not None
        try:
            geometry = geometry_of(frames, settings)
        except GeometryError:
            if middle and explicit and settings.beam is None:
                slow, fast = frames.shape
                geometry = geometry_of(frames, settings.model_copy(update={"beam": (0.5 * slow, 0.5 * fast)}))
            elif explicit:
                raise
        yield Exposures(frames, mask_of(frames, settings), geometry, settings.beam, strict)


def _grid(exposures: Exposures, more: dict[str, Any]) -> Any:
    from crystint.correlate.exposures import grid_of

    names = ("radii", "q", "azimuths", "origin")
    return grid_of(exposures, direction=int(more.pop("direction")), **{name: more.pop(name) for name in names})


def _watch(quiet: bool) -> Any:
    from crystint.correlate.exposures import silent

    show = silent if quiet else progress

    def watched(items: Iterable[int], total: int, what: str) -> Iterator[int]:
        return heeding_ctrl_c(show(items, total, what))

    return watched


def _conclude(done: Done, outputs: Iterable[Path]) -> None:
    """Warnings, the closing lines, and the exit code of a run that lacks frames."""
    from crystint.correlate.exposures import NO_DATA

    for text in done.warnings:
        warn(text)
    for number, reason in list(done.missing.items())[:_NAMED]:
        warn(f"frame {number} is left out: {reason.splitlines()[0]}")
    click.echo(done.text)
    wrote(outputs)
    if done.missing:
        named = ", ".join(map(str, list(done.missing)[:_NAMED])) + (", ..." if len(done.missing) > _NAMED else "")
        why = "could not be read" + (" or have no data" if NO_DATA in done.missing.values() else "")
        raise EndedError(f"{len(done.missing)} of {done.frames} frames {why}: {named}", _MISSING)
