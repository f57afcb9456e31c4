"""Small inputs that launch every kernel of the product, with the defines that it is built with.

Results are not compared here: the other tests do that. `python -m tests.gpu_form.cases NAME` runs one case on
CRYSTINT_DEVICE, taken for a GPU, and prints a line of JSON for each build: file, defines, work-items of a group.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from crystint import Geometry, Separator
from crystint.cbc.scaling.device import DeviceBackend
from crystint.correlate import PolarGrid, PolarTransform, RingOutliers
from crystint.engine import Engine, Kernel
from crystint.model.rois import Roi, Rois
from crystint.ops.densify import Densifier
from crystint.ops.lattice_search import LatticeSearch, SearchEffort
from crystint.ops.roi_sums import RoiSums
from crystint.ops.unpack import start_unpacking
from crystint.stills.integration.amplitude_device import ProfileAmplitude
from tests.cbc.test_device import CRITERIA, layout_of, map_of
from tests.separation.test_unpack import packed

__all__ = ["CASES"]

SHAPE = (30, 38)


def _frames(dtype: Any, mean: float = 4.0) -> np.ndarray[Any, Any]:
    """Two frames with spots, a flat top, unusable pixels, and a part without any measurement."""
    rng, dtype = np.random.default_rng(5), np.dtype(dtype)
    frames = rng.poisson(mean, (2, *SHAPE)).astype(dtype)
    for i, j in ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1), (1, 1)):
        frames[:, 4 + i : 28 : 8, 5 + j : 36 : 9] += dtype.type(40)
    frames[:, 20:23, 30:34] = 200
    mark = {"u": np.iinfo(dtype).max if dtype.kind == "u" else 0, "i": -1, "f": np.nan}[dtype.kind]
    frames[0, 9, 3:12] = frames[1, 12:, ::2] = mark
    if dtype.kind == "f":
        frames[0, 25] += 0.25
    return frames


def _separation(
    engine: Engine, dtype: Any, model: str = "hybrid", patch: int = 3, dark: bool = False, **settings: Any
) -> None:
    geometry = Geometry(SHAPE, (1e-4, 1e-4), 0.01, (14.0, 18.0), 1.0, polarization=0.9)
    mask = np.zeros(SHAPE, np.uint8)
    mask[12:15, 20:25] = 1
    image = np.full(SHAPE, 0.5) if dark else None
    separator = Separator(geometry, mask, 9, model, engine=engine, dark=image, **settings)
    frames = _frames(dtype)
    sparse = [pair[0] for pair in separator.separate(frames, patch=patch)]
    separator.background(frames)
    separator.sparsify(frames, snr=0.5)
    densifier = Densifier(engine, separator.rings)
    for noise in (True, False):
        densifier.run(sparse[0], noise=noise)


def _regions(engine: Engine) -> None:
    rois = (Roi.box("a", slow=(2, 9), fast=(3, 37)), Roi.box("b", slow=(20, 30), fast=(0, 5)))
    members = Rois(rois).members(None, SHAPE, strict=False)
    for dtype in (np.uint16, np.int32):
        RoiSums(members, engine, mask=np.eye(*SHAPE, dtype=np.uint32)).run(_frames(dtype)[0])


def _polar(engine: Engine) -> None:
    grid = PolarGrid((14.0, 18.0), np.arange(4.0, 9.0))
    for method in ("nearest", "bilinear", "area"):
        image = PolarTransform(engine, grid, SHAPE, method=method).run(_frames(np.uint16)[0])
    for clean in (False, True):
        RingOutliers(engine).run(image.values, clean=clean)


def _stills(engine: Engine) -> None:
    rng, n = np.random.default_rng(5), 5
    profile = rng.random((n, 49))
    profile /= profile.sum(axis=1, keepdims=True)
    counts, ring = rng.poisson(3.0 + 200.0 * profile), np.full(n, 50)
    ProfileAmplitude(engine).run(counts, profile, np.full(n, 3.0), ring)


def _lattices(engine: Engine) -> None:
    """Two frames, one of them without a spot, and a cell whose three lengths differ."""
    rng = np.random.default_rng(5)
    basis = np.array([[5.0, 0.0, 0.0], [0.4, 6.0, 0.0], [0.3, 0.2, 7.5]])
    nodes = np.rint(rng.uniform(-2.5, 2.5, (30, 3))) @ np.linalg.inv(basis).T
    search = LatticeSearch(engine, basis, 0.4, np.array([1e-3, 2e-3]), SearchEffort(2000, candidates=8))
    search.search(nodes + rng.normal(0.0, 5e-4, nodes.shape), np.array([0, 30, 30]))


def _cbc(engine: Engine) -> None:
    rng = np.random.default_rng(5)
    layout, _ = layout_of(rng, frames=2, streaks=4, reflections=3, side=11, longest=40)
    model = DeviceBackend(engine, layout).bind(map_of(rng, layout, nx=6, ny=5))
    b, q2 = np.ones(layout.n_streaks), np.full(layout.n_reflections, 30.0)
    for names in CRITERIA:
        model.objective(b, q2, *names)
    model.em(b, q2, 2, True)
    model.regress(b, q2, 0.01)
    assert model.chi_at.shape == (len(layout),)


def _unpacking(engine: Engine) -> None:
    """Whole chunks and one with damaged lengths and matches, in buffers that end where their content ends."""
    for dtype in (np.uint16, np.int32):
        frames = _frames(dtype)
        frames[1] = np.random.default_rng(5).integers(0, 2**15, SHAPE)
        chunks = [packed(frame, block) for frame, block in zip(frames, (64, 64))]
        harm = chunks[0].data.copy()
        harm[16::37] ^= 0x55
        chunks += [replace(chunks[0], data=harm)]
        stage = np.empty(sum(len(chunk.data) for chunk in chunks), np.uint8)
        work = start_unpacking(engine, chunks, stage, lambda name, size, dtype: engine.empty(size, dtype))
        engine.receive(work.damaged, len(chunks))


CASES: dict[str, Callable[[Engine], None]] = {
    "uint16, saturation": lambda engine: _separation(engine, np.uint16, saturation=150.0),
    "int32, azimuthal, 5 x 5": lambda engine: _separation(engine, np.int32, "azimuthal", patch=5),
    "float32": lambda engine: _separation(engine, np.float32),
    "uint16, dark, poisson": lambda engine: _separation(engine, np.uint16, "poisson", dark=True),
    "regions": _regions,
    "bitshuffle-LZ4": _unpacking,
    "polar images": _polar,
    "stills": _stills,
    "lattices": _lattices,
    "convergent beam": _cbc,
}
"""what uses kernels; the first alone has most of them"""


def main(name: str) -> None:
    """Run a case, print its builds."""
    sizes: dict[str, int] = {}
    launch = Engine.launch

    def recording(
        self: Engine, kernel: Kernel, groups: int, local_size: int, /, *sources: object, **others: Any
    ) -> None:
        sizes[kernel.name] = local_size
        launch(self, kernel, groups, local_size, *sources, **others)

    Engine.launch, Engine.on_cpu = recording, property(lambda self: False)  # type: ignore[method-assign, assignment]
    engine = Engine()
    CASES[name](engine)
    for file, *defines in engine._programs:
        print(json.dumps([file, {key: str(value) for key, value in defines}, sizes[file.removesuffix(".cl")]]))


if __name__ == "__main__":
    main(sys.argv[1])
