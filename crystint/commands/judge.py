"""compare, demo: how well, and what it looks like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from crystint.commands import old_options as options
from crystint.commands.closing import PICTURES, command_line, size
from crystint.commands.program import Command
from crystint.commands.progress import progress

__all__ = ["compare", "demo"]


@click.command(
    cls=Command,
    example="""
    crystint compare run_master.h5 sparse.h5 -o compare.png
    crystint compare 'frame_*.cbf' sparse.h5 --json > compare.json""",
)
@click.argument("raw", nargs=-1, required=True, metavar="RAW...")
@click.argument("sparse", metavar="SPARSE")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="picture (.png .pdf .svg)")
@click.option("--shells", type=click.IntRange(1, 1000), default=20, help="resolution shells (default: 20)")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="of the noise of densify (default: 0)")
@click.option("--dataset", metavar="PATH", help="path of the frames inside an HDF5 file RAW")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@options.device
@options.overwrite
@options.quiet
def compare(
    raw: tuple[str, ...],
    sparse: str,
    output: Path | None,
    shells: int,
    seed: int,
    dataset: str | None,
    as_json: bool,
    device: str | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Say what the compression of the frames RAW into the file SPARSE lost: bias, variance, missed signal."""
    from crystint.compare import compare as run
    from crystint.engine import Engine
    from crystint.io.frames.sequence import open_frames
    from crystint.io.outputs import check_outputs
    from crystint.run.step import silent

    paths = check_outputs([output] if output else [], [*raw, sparse], overwrite)
    if output and output.suffix.lower() not in PICTURES:
        raise click.UsageError(f"{output}: pictures are {', '.join(PICTURES)}")
    engine = Engine(device)
    with open_frames(*raw, dataset=dataset) as frames:
        step = _each(silent if quiet else progress, len(frames))
        result = run(frames, sparse, None, shells, seed, engine=engine, progress=step)
    for path in paths:
        from crystint.plot import plot_comparison, save_figure

        save_figure(plot_comparison(result), path, overwrite=overwrite)
    click.echo(json.dumps(result.to_dict(), indent=2) if as_json else result.table())
    for path in paths:
        click.echo(f"wrote {path} ({size(path.stat().st_size)})", err=as_json)


def _each(watch: Any, total: int) -> Any:
    """A function to be called after every frame, that moves the progress on."""
    steps: Iterator[int] = iter(watch(range(total), total, "compare"))
    next(steps, None)
    return lambda: next(steps, None)


@click.command(cls=Command, example="crystint demo -o demo\ncrystint info demo/frames.h5 demo/sparse.h5")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    metavar="FOLDER",
    help="folder to write into, made if need be (default: demo)",
)
@click.option("--frames", type=click.IntRange(1, 10000), default=20, help="frames to simulate (default: 20)")
@options.device
@options.overwrite
@options.quiet
def demo(output: Path, frames: int, device: str | None, overwrite: bool, quiet: bool) -> None:
    """Simulate frames and run peaks, sparsify, densify, compare and plot on them.

    What an earlier demo left in FOLDER is replaced; other files there stop it, unless --overwrite is given,
    and are never touched.
    """
    from crystint.run.step import silent
    from crystint.separation.demo import report, run

    watch: Any = silent if quiet else progress
    done = run(
        output,
        frames=frames,
        device=device,
        overwrite=overwrite,
        say=click.echo,
        progress=watch,
        command=command_line(),
    )
    click.echo(report(done))
