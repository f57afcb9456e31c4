"""`sparsify --keep` and `--grow` through the corridor: resumed, in threads, on a cluster, and what users are told."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crystint
from crystint.io.reflections.dials_experiments_out import write_dials_experiments
from crystint.io.sparse.mask import FirstMask
from crystint.io.sparse.row import SparseRow
from crystint.prediction.reflection_boxes import reflection_boxes
from crystint.separation.frame_step import SeparationWork, Sparsification
from crystint.separation.prepared import opened
from crystint.separation.settings import SparsifySettings
from crystint.stills.simulation.simulate import SimulatedStills, simulate_stills
from tests.commands.test_cli import run

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")
FEW = ("--rings", 40)
FIRST = FirstMask(np.zeros(0, np.uint32), np.zeros(0, np.int32))


@pytest.fixture(scope="module")
def data() -> SimulatedStills:
    return simulate_stills(4, d_min=4.0, shape=(300, 320), distance=0.05, seed=2)


@pytest.fixture(scope="module")
def folder(data: SimulatedStills, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames, their model, and what sparsify --keep made of both."""
    folder = tmp_path_factory.mktemp("keep")
    geometry = crystint.Geometry((300, 320), (172e-6, 172e-6), 0.05, (150.0, 160.0), 1.0)
    with crystint.DenseWriter(
        folder / "raw.h5", (300, 320), np.int32, geometry=geometry, mask=None, saturation=None, provenance={}
    ) as writer:
        for frame in data.images():
            writer.write(frame)
    write_dials_experiments(folder / "model.expt", data.experiment, folder / "raw.h5")
    return folder


def sparsified(folder: Path, name: str, *options: Any, code: int = 0) -> Any:
    return run(code, "sparsify", folder / "raw.h5", "-o", folder / name, *FEW, *options)


def test_every_pixel_of_every_box_comes_back(folder: Path) -> None:
    told = sparsified(folder, "keep.h5", "--keep", folder / "model.expt", "--d-min", 4)
    frames = crystint.open_frames(folder / "raw.h5")
    boxes = reflection_boxes(folder / "model.expt", frames, d_min=4.0)
    total = 0
    with crystint.open_sparse(folder / "keep.h5") as file:
        for number, sparse in enumerate(file):
            inside = np.zeros((300, 320), bool)
            for row in boxes.of_frame(number):
                inside[row["slow0"] : row["slow1"], row["fast0"] : row["fast1"]] = True
            index = np.flatnonzero(inside & (sparse.background.rings.mask == 0))
            assert sparse.reason is not None
            np.testing.assert_array_equal(sparse.index[sparse.reason & 4 != 0], index)
            dense = crystint.densify(sparse)
            np.testing.assert_array_equal(dense[inside], frames[number][inside])
            total += len(sparse.index)
        counts = file.provenance["kept_pixels"]
        assert sum(counts.values()) == total
        assert file.provenance["settings"]["boxes_used"]["d_min"] == 4.0
    text = f"{total} pixels kept ({total / 4:.0f} per frame): {counts['significant']} significant, "
    assert text + f"{counts['predicted']} more in boxes of reflections" in told.stdout
    assert "lost of integrated intensity" not in told.stdout  # a sample without the boxes would say too much
    assert "loss of weak" not in told.stdout
    assert f"{counts['predicted']} more in boxes of reflections" in run(0, "info", folder / "keep.h5").stdout


def test_the_same_pixels_are_significant(folder: Path) -> None:
    sparsified(folder, "plain.h5")
    sparsified(folder, "both.h5", "--keep", folder / "model.expt", "--grow", 2)
    with crystint.open_sparse(folder / "plain.h5") as plain, crystint.open_sparse(folder / "both.h5") as both:
        for one, other in zip(plain, both, strict=True):
            np.testing.assert_array_equal(one.index, other.index[other.significant])
            assert one.reason is None
            assert len(other.index) > 2 * len(one.index)


@pytest.mark.parametrize("options", [("--threads", 3), ("--peaks",), ("--compact",)])
def test_ways_to_work(folder: Path, tmp_path: Path, options: tuple[Any, ...]) -> None:
    """The same pixels, however it is done."""
    keep = ("--keep", folder / "model.expt", "--grow", 1)
    sparsified(folder, "way.h5", *keep, "--overwrite")
    run(0, "sparsify", folder / "raw.h5", "-o", tmp_path / "o.h5", *FEW, *keep, *options)
    with crystint.open_sparse(folder / "way.h5") as one, crystint.open_sparse(tmp_path / "o.h5") as other:
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a.index, b.index)
            np.testing.assert_array_equal(a.reason, b.reason)


def test_a_finished_run_knows_its_model(folder: Path) -> None:
    keep = ("--keep", folder / "model.expt")
    sparsified(folder, "done.h5", *keep)
    assert "nothing left to do" in sparsified(folder, "done.h5", *keep, "--resume").stdout
    other = sparsified(folder, "done.h5", *keep, "--keep-margin", 3, "--resume", code=1)
    assert "keep_margin" in other.stderr


def test_what_cannot_be(folder: Path) -> None:
    for options, code, words in (
        (("--keep", folder / "none.expt"), 1, "none.expt does not exist"),
        (("--keep", folder / "raw.h5"), 1, "expected experiments with crystals"),
        (("--keep-margin", 2), 2, "keep_margin is about the boxes of keep"),
        (("--grow", -1), 2, "grow"),
        (("--keep", folder / "model.expt", "--hits-only"), 2, "expected one of the two"),
    ):
        told = sparsified(folder, "never.h5", *options, code=code)
        assert words in told.stderr
        assert "Traceback" not in told.stderr
        assert not (folder / "never.h5").exists()
    told = run(
        1, "sparsify", folder / "raw.h5", "-o", folder / "model.expt", "--keep", folder / "model.expt", "--overwrite"
    )
    assert "model.expt" in told.stderr  # never an output that the run reads


def test_compare_counts_significant_pixels(folder: Path) -> None:
    """What is kept is exact, and pixels that are kept for being there are not called picked."""
    frames = crystint.open_frames(folder / "raw.h5")
    separator = crystint.Separator(frames.geometry, rings=40)
    sparse = separator.sparsify(frames[0])
    grown = crystint.keep_pixels(sparse, frames[0], grow=1)
    one, other = (crystint.compare.compare(frames[0], each, shells=4) for each in (sparse, grown))
    assert other.exact
    assert one.sums["picked"].sum() == other.sums["picked"].sum() == len(sparse.index)
    assert one.total.signal_kept[0] < 0.9999
    assert other.total.signal_kept[0] == pytest.approx(1.0)
    assert other.sums["pixels"].sum() == one.sums["pixels"].sum() - len(grown.index) + len(sparse.index)


def test_a_worker_elsewhere_makes_the_same(folder: Path) -> None:
    """What is sent to the workers of a cluster finds its model and its frames again."""
    sparsified(folder, "way.h5", "--keep", folder / "model.expt", "--grow", 1, "--overwrite")
    settings = SparsifySettings(rings=40, keep=folder / "model.expt", grow=1)
    with opened([folder / "raw.h5"], settings, remote=True) as run_here:
        work = SeparationWork.of(run_here, Sparsification(3.0, False, grow=1))
    with pickle.loads(pickle.dumps(work)).open(None) as worker:
        rows = [SparseRow.of_record(worker.record(number, FIRST if number else None)) for number in range(4)]
    with crystint.open_sparse(folder / "way.h5") as file:
        for row, sparse in zip(rows, file, strict=True):
            np.testing.assert_array_equal(row.index, sparse.index)
            np.testing.assert_array_equal(row.reason, sparse.reason)
