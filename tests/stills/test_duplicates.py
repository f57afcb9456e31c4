"""Observations that are there twice, made by hand: each way in which they come, and what only looks like it."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from crystint.errors import CrystintWarning
from crystint.model.experiment import join_experiments
from crystint.model.observations import Flag, Observations
from crystint.stills import duplicates
from crystint.stills.duplicates import flag_duplicates
from crystint.stills.step_inputs import read_together
from tests.stills.test_mtz_in import CELL as MTZ_CELL
from tests.stills.test_mtz_in import an_mtz
from tests.stills.test_predict import an_experiment

pytestmark = pytest.mark.filterwarnings("ignore:.*taken as corrected already:crystint.errors.CrystintWarning")

IMAGES, PER_IMAGE = 6, 30


@pytest.fixture(params=[1 << 20, 17], autouse=True)
def rows_at_a_time(request, monkeypatch):
    """All at once, and in blocks that images do not fit into."""
    monkeypatch.setattr(duplicates, "_ROWS", request.param)


@pytest.fixture
def images(rng):
    """Without sources, so that each is on a frame of its own."""
    return an_experiment(rng, IMAGES, group="P 43 21 2", cell=MTZ_CELL)


def observations(rng, *, places=True, whole_counts=False):
    """Every image has its own choice of the same reflections, no reflection twice."""
    n = IMAGES * PER_IMAGE
    box = np.stack(np.meshgrid(*[np.arange(1, 5)] * 3), -1).reshape(-1, 3)
    hkl = np.concatenate([rng.permutation(box)[:PER_IMAGE] for _ in range(IMAGES)])
    intensity = rng.poisson(0.3, n).astype(float) if whole_counts else rng.exponential(100.0, n)
    place = rng.uniform(0, 1000, (2, n)) if places else np.full((2, n), np.nan)
    return Observations(
        np.repeat(np.arange(IMAGES), PER_IMAGE), hkl, intensity, np.sqrt(1.0 + intensity), d=np.full(n, 3.0),
        slow=place[0], fast=place[1],
    )  # fmt: skip


def repeated(table, experiment, files=None):
    """Rows that are flagged, and the texts."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        flagged, _ = flag_duplicates(table, experiment, files or ["a.mtz"] * len(experiment))
    return np.flatnonzero(flagged.flags & np.uint32(Flag.DUPLICATE)), [str(entry.message) for entry in caught]


@pytest.mark.parametrize("places", [True, False])
@pytest.mark.parametrize("whole_counts", [True, False])
def test_different_observations_are_none(rng, images, places, whole_counts):
    table = observations(rng, places=places, whole_counts=whole_counts)
    assert repeated(table, images)[1] == []


def test_images_without_a_count_are_no_copies(rng, images):
    """Nearly every count is 0, so that two images agree in nine of ten reflections and more."""
    table = observations(rng, places=False)
    counts = rng.poisson(0.03, len(table)).astype(float)
    assert np.mean(counts == 0) > 0.95
    assert repeated(table.replace(intensity=counts, sigma=np.sqrt(1.0 + counts)), images)[1] == []


def test_a_reflection_twice_with_other_values_and_no_places(rng, images):
    table = observations(rng, places=False)
    other = table.select(np.arange(5)).replace(intensity=table.intensity[:5] + 1.0)
    assert repeated(Observations.join([table, other]), images)[1] == []


@pytest.mark.parametrize("places", [True, False])
@pytest.mark.parametrize("order", ["after", "among"])
def test_rows_twice_in_an_image(rng, images, places, order):
    table = observations(rng, places=places)
    n = len(table)
    rows = np.concatenate([np.arange(n), np.arange(20)]) if order == "after" else np.repeat(np.arange(n), 2)
    again, texts = repeated(table.select(rows), images)
    assert again.tolist() == (list(range(n, n + 20)) if order == "after" else list(range(1, 2 * n, 2)))
    assert len(texts) == 1
    assert f"{len(again)} of {len(rows)} observations are there twice" in texts[0]


@pytest.mark.parametrize(
    ("change", "scale"),
    [("nothing", 1.0), ("scaled", 7.3), ("rounded", 1.0), ("half of it", 1.0), ("other order", 1.0), ("float32", 0.37)],
)
def test_copies_of_images_under_other_names(rng, images, change, scale):
    table = observations(rng, places=False)
    copy = table.select(table.image < 2)
    if change == "half of it":
        copy = copy.select(rng.random(len(copy)) < 0.5)
    if change == "other order":
        copy = copy.select(rng.permutation(len(copy)))
    columns = {name: scale * getattr(copy, name) for name in ("intensity", "sigma")}
    if change == "rounded":
        columns = {name: np.round(values, 4) for name, values in columns.items()}
    if change == "float32":
        columns = {name: values.astype(np.float32) for name, values in columns.items()}
    copy = copy.replace(image=copy.image + IMAGES, **columns)
    more = replace(join_experiments([images, images]), name=(), source=())
    again, texts = repeated(Observations.join([table, copy]), more, ["one.mtz"] * IMAGES + ["two.mtz"] * IMAGES)
    assert again.tolist() == list(range(len(table), len(table) + len(copy)))
    assert "2 images of two.mtz, the same as those of one.mtz, such as image 6 and image 0" in texts[0]


def test_a_frame_integrated_twice(rng, images):
    """Other values at the same places, and a lattice indexed in an equivalent way: hkl turned by the fourfold axis."""
    table = observations(rng)
    first = table.select(table.image == 0)
    h, k, l = first.hkl.T  # noqa: E741
    again = first.replace(
        image=first.image + IMAGES, hkl=np.stack([-k, h, l], axis=1), intensity=rng.exponential(50.0, len(first)),
        slow=first.slow + 0.3,
    )  # fmt: skip
    sources = (*(f"run.h5//{number}" for number in range(IMAGES)), "run.h5//0")
    more = replace(join_experiments([images, images.select([0])]), source=sources, frame=np.array([*range(IMAGES), 0]))
    both = Observations.join([table, again])
    rows, texts = repeated(both, more)
    assert rows.tolist() == list(range(len(table), len(both)))
    assert "others of the same file" in texts[0]
    assert not len(repeated(both, replace(more, source=(*sources[:-1], "other.h5//0")))[0])
    assert not len(repeated(both, replace(more, frame=np.arange(IMAGES + 1)))[0])


def test_two_lattices_and_two_places(rng, images):
    """Crystals on one frame whose reflections meet by accident, and a reflection that is recorded at two places."""
    table = observations(rng)
    slow, fast = table.slow.copy(), table.fast.copy()
    both = np.flatnonzero((table.hkl[:PER_IMAGE, None] == table.hkl[None, PER_IMAGE : 2 * PER_IMAGE]).all(2).any(1))[0]
    other = PER_IMAGE + np.flatnonzero((table.hkl[PER_IMAGE : 2 * PER_IMAGE] == table.hkl[both]).all(1))[0]
    slow[other], fast[other] = slow[both], fast[both]
    lattices = replace(images, source=("run.h5//0",) * IMAGES, frame=np.zeros(IMAGES, np.int64))
    assert repeated(table.replace(slow=slow, fast=fast), lattices)[1] == []
    moved = table.select(np.arange(5)).replace(slow=slow[:5] + 40)
    assert repeated(Observations.join([table, moved]), lattices)[1] == []


def test_unusable_rows_are_none(rng, images):
    table = observations(rng, places=False)
    bad = table.replace(sigma=np.full(len(table), np.nan))
    assert repeated(bad.select(np.repeat(np.arange(len(bad)), 2)), images)[1] == []


def test_what_is_flagged_once_is_not_said_again(rng, images):
    table = observations(rng)
    with pytest.warns(CrystintWarning, match="there twice"):
        flagged, left = flag_duplicates(Observations.join([table, table]), images, ["a"] * IMAGES)
    assert not left
    assert repeated(flagged, images)[1] == []


def test_files_given_together(tmp_path, rng):
    n = 60
    columns = [
        ("M/ISYM", "Y", np.ones(n)), ("BATCH", "B", np.repeat([1, 2], n // 2)), ("I", "J", rng.exponential(100.0, n)),
        ("SIGI", "Q", rng.uniform(5, 9, n)),
    ]  # fmt: skip
    box = np.stack(np.meshgrid(*[np.arange(1, 5)] * 3), -1).reshape(-1, 3)
    hkl = np.concatenate([rng.permutation(box)[: n // 2] for _ in range(2)])
    one = an_mtz(tmp_path / "one.mtz", columns, hkl, batches=[1, 2])
    with pytest.warns(CrystintWarning, match=rf"60 of 120 .*2 images of {one} \(again\), the same as those of {one}"):
        inputs = read_together([one, one])
    assert inputs.observations.usable.sum() == n
    assert inputs.repeats == {
        2: f"batch 1: its observations are there already: it is batch 1 of {one}",
        3: f"batch 2: its observations are there already: it is batch 2 of {one}",
    }
    doubled = [(name, kind, np.tile(values, 2)) for name, kind, values in columns]
    twice = an_mtz(tmp_path / "two.mtz", doubled, np.tile(hkl, (2, 1)), batches=[1, 2])
    with pytest.warns(CrystintWarning, match="60 of .*two.mtz, which the same image has twice, such as batch 1"):
        assert read_together([twice]).observations.usable.sum() == n
