"""bench: how fast this machine is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from crystint.commands import old_options as options
from crystint.commands.program import Command
from crystint.commands.progress import progress

if TYPE_CHECKING:
    from crystint.bench import Sample

__all__ = ["bench"]


@click.command(
    cls=Command,
    example="""
    crystint bench
    crystint bench thau_3_2_0003.cbf --peer pyfai --peer fabio --json
    crystint bench --scale pixels --only peaks""",
)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--frame", "number", type=click.IntRange(0), default=0, help="frame of FILE to use (default: 0)")
@click.option("--dtype", help="measure the frame as this dtype: int32, uint16, uint32, int16, uint8 or float32")
@click.option(
    "--peer",
    "peers",
    multiple=True,
    type=click.Choice(["pyfai", "fabio", "peakfinder8"]),
    help="time another program on the same frame, too; repeatable",
)
@click.option(
    "--scale",
    type=click.Choice(["pixels", "rings", "cores", "threads"]),
    help="how the times change with the size of the frame, the rings, the cores, or threads sharing a separator",
)
@click.option("--only", multiple=True, metavar="NAME", help="only what is called so, or begins so; repeatable")
@click.option("--kernels", is_flag=True, help="device time of each kernel beside the bytes that it moves, too")
@click.option("--rounds", type=click.IntRange(1, 1000), default=7, help="how often each is timed (default: 7)")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@options.frame_options
@options.device
@options.quiet
def bench(
    files: tuple[str, ...],
    number: int,
    dtype: str | None,
    peers: tuple[str, ...],
    scale: str | None,
    only: tuple[str, ...],
    kernels: bool,
    rounds: int,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Time what is done with a frame, in units of copying that frame.

    Without FILE on a simulated one of 4.5 Mpx, uint16. Times are medians; CPU is the time of all threads. Rings are
    1000 and cycles 5, whatever the settings.
    """
    from crystint import bench as work
    from crystint.engine import Engine
    from crystint.run.step import silent

    if scale == "pixels" and files:
        raise click.UsageError("--scale pixels simulates its frames: leave FILE out")
    if peers and scale not in (None, "pixels"):
        raise click.UsageError(f"--peer has no meaning with --scale {scale}")
    if scale and not only:
        only = work.HYBRID

    def wanted(name: str) -> bool:
        return not only or name.startswith(only)

    engine, watch = Engine(given["device"]), silent if quiet else progress
    how: Any = {"rounds": rounds, "watch": watch}
    times, kernel_times, points = [], [], []
    if scale == "pixels":
        shape, kind = (), dtype or "uint16"
        points = list(work.over_pixels(engine, kind, **how, wanted=wanted, peers=peers, warn=_warn))
    else:
        sample = _sample(files, number, dtype, given)
        shape, kind = sample.frame.shape, str(sample.frame.dtype)
        if scale == "rings":
            points = list(work.over_rings(sample, engine, **how, wanted=wanted))
        elif scale == "cores":
            points = list(work.over_cores(sample, engine, **how, only=only))
        elif scale == "threads":
            points = list(work.over_threads(sample, engine, **how))
        else:
            times = work.measure(sample, engine, **how, peers=peers, wanted=wanted, warn=_warn)
            if kernels:
                kernel_times = work.kernel_times(sample, engine, times[0], **how, wanted=wanted)
    about = work.about(engine, work.peer_versions(peers))
    report = work.Report(about, shape, kind, times, kernel_times, scale, points)
    click.echo(json.dumps(report.to_dict(), indent=2) if as_json else report.text())


def _sample(files: tuple[str, ...], number: int, dtype: str | None, given: dict[str, Any]) -> Sample:
    """The frame asked for, and what belongs to it."""
    from crystint.bench import Sample, as_dtype, simulated
    from crystint.io.frames.sequence import open_frames
    from crystint.run.frames import geometry_of, mask_of

    if not files:
        return simulated(dtype=dtype or "uint16")
    settings = options.settings_of(given)
    with open_frames(*files, dataset=settings.dataset) as frames:
        frame = frames[number]
        return Sample(
            as_dtype(frame, dtype or str(frame.dtype)), geometry_of(frames, settings), mask_of(frames, settings)
        )


def _warn(text: str) -> None:
    click.echo(f"crystint: warning: {text}", err=True)
