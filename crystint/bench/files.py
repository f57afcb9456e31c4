"""Reading, decoding, writing and whole commands, on files in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from crystint.bench.frames import Sample
from crystint.bench.operations import CYCLES, RINGS, Wanted, everything
from crystint.bench.timing import Operation
from crystint.engine import Engine
from crystint.io.frames.sequence import open_frames
from crystint.io.hdf5.files import open_hdf5
from crystint.io.sparse.dense_file import DenseWriter
from crystint.io.sparse.writer import SparseWriter
from crystint.ops.separator import Separator
from crystint.separation import files as pipeline
from crystint.separation.settings import Settings

__all__ = ["files", "stack_of"]

_FRAMES = 24
_WRITTEN = 16
_ROUNDS = 3
"""rounds of what takes seconds"""
_DATA = "entry/data/data"


def stack_of(folder: Path, sample: Sample, frames: int) -> Path:
    """A NXmx file of a frame, again and again, each one chunk of bitshuffle-LZ4."""
    path = folder / f"{frames}.h5"
    writer = DenseWriter(
        path,
        sample.geometry.shape,
        sample.frame.dtype,
        geometry=sample.geometry,
        mask=sample.mask,
        saturation=None,
        provenance={},
        compression="bslz4",
    )
    with writer:
        for _ in range(frames):
            writer.write(sample.frame)
    return path


def files(
    sample: Sample, engine: Engine, folder: Path, stack: ExitStack, wanted: Wanted = everything
) -> Iterator[Operation]:
    """Operations on files below `folder`, which are closed by `stack`.

    A command is timed on one frame, set-up and all, and on several: what the others take more is the time per frame.
    """
    one, many = stack_of(folder, sample, 1), stack_of(folder, sample, _FRAMES)
    if wanted("read"):
        raw = stack.enter_context(open_hdf5(one))[_DATA]
        yield Operation("read", partial(raw.id.read_direct_chunk, (0, 0, 0)))
    if wanted("decode"):
        yield Operation("decode", partial(stack.enter_context(open_frames(one)).__getitem__, 0))
    if wanted("write"):
        yield Operation("write", stack.enter_context(_writing(folder, sample, engine)), None, _WRITTEN)
    settings = Settings(rings=RINGS, cycles=CYCLES, beam_outside=sample.geometry.beam_outside)
    for verb in ("sparsify", "peaks"):
        if not wanted(f"command {verb}"):
            continue
        for path, frames in ((one, 1), (many, _FRAMES)):
            out = folder / f"{verb}.h5"
            if verb == "sparsify":
                run = partial(pipeline.sparsify, [path], out, settings, device=engine.device.id, overwrite=True)
            else:
                run = partial(pipeline.find_peaks, [path], [out], settings, device=engine.device.id, overwrite=True)
            first = f"command {verb}, first"
            name, beyond = (first, None) if frames == 1 else (f"command {verb}", first)
            yield Operation(name, run, None, frames, beyond, _ROUNDS)


@contextmanager
def _writing(folder: Path, sample: Sample, engine: Engine) -> Iterator[Callable[[], None]]:
    """A function that appends some frames to a sparse file."""
    separator = Separator(sample.geometry, sample.mask, RINGS, "hybrid", None, CYCLES, engine)
    sparse, path, dtype = separator.sparsify(sample.frame), folder / "written.h5", sample.frame.dtype
    with SparseWriter(path, separator.rings, dtype, geometry=sample.geometry, provenance={}) as writer:

        def write() -> None:
            for _ in range(_WRITTEN):
                writer.write(sparse, None, sample.frame)

        yield write
