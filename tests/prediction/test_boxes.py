"""Boxes of reflections from experiments, tables and streams, and whether they fit the frames."""

from __future__ import annotations

import bz2
import json
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabio
import h5py
import numpy as np
import pytest

import crystint
from crystint.errors import CrystintError, CrystintWarning, FileError, SettingError
from crystint.io.frames.sequence import Frames, open_frames
from crystint.io.reflections.dials_experiments_out import write_dials_experiments
from crystint.io.reflections.dials_table import read_table
from crystint.prediction.boxes import ReflectionBoxes
from crystint.prediction.reflection_boxes import reflection_boxes
from crystint.stills.simulation.simulate import simulate_stills
from tests.conftest import shared_data
from tests.oracles import dials_files
from tests.stills.test_stream import SHIFT, a_stream, chunk, crystal, spots

SHAPE = (1679, 1475)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real .expt and .refl of the wedge, and frames of zeros with the names that they have."""
    folder = tmp_path_factory.mktemp("sweep")
    for suffix in ("expt", "refl"):
        content = shared_data(f"stills/l_cysteine_wedge/11_integrated.{suffix}").read_bytes()
        (folder / f"model.{suffix}").write_bytes(content)
    fabio.cbfimage.CbfImage(data=np.zeros(SHAPE, np.int32)).write(str(folder / "zero.cbf"))
    packed = bz2.compress((folder / "zero.cbf").read_bytes())
    for number in range(1, 13):
        (folder / f"l-cyst_01_{number:05d}.cbf.bz2").write_bytes(packed)
    return folder


def frames_of(folder: Path, **options: Any) -> Frames:
    return open_frames(*sorted(folder.glob("l-cyst*.bz2")), **options)


def expt(folder: Path, change: Any = None, name: str = "changed.expt") -> Path:
    """The experiments, changed."""
    content = json.loads((folder / "model.expt").read_text())
    if change is not None:
        change(content)
    (folder / name).write_text(json.dumps(content))
    return folder / name


def quiet(path: Path, frames: Frames, **options: Any) -> ReflectionBoxes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CrystintWarning)
        return reflection_boxes(path, frames, **options)


def told(path: Path, frames: Frames, **options: Any) -> tuple[ReflectionBoxes, str]:
    """Boxes, and what was warned of."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", CrystintWarning)
        boxes = reflection_boxes(path, frames, **options)
    return boxes, "; ".join(str(each.message) for each in seen)


def rows_by_index(boxes: ReflectionBoxes, frame: int) -> dict[tuple[int, ...], tuple[int, ...]]:
    rows = boxes.of_frame(frame)
    assert boxes.hkl is not None
    sides = np.stack([rows[name] for name in ("slow0", "slow1", "fast0", "fast1")], axis=1)
    return {tuple(boxes.hkl[row["reflection"]].tolist()): tuple(side) for row, side in zip(rows, sides.tolist())}


def test_own_prediction_has_the_boxes_of_dials(sweep: Path) -> None:
    """On each frame the same reflections with the same boxes as dials.integrate made, with a margin of 0."""
    table = read_table(sweep / "model.refl")
    whole = (table["flags"] & 0x101) == 0x101
    with pytest.warns(CrystintWarning, match=r"no image for 2 of the 12 frames \(10, 11\): they have no boxes"):
        boxes = reflection_boxes(sweep / "model.expt", frames_of(sweep), margin=0)
    assert boxes.uncovered == (10, 11)
    assert boxes.outside is not None
    for frame in range(12):
        here = whole & (table["bbox"][:, 4] <= frame) & (frame < table["bbox"][:, 5])
        expected = {
            tuple(hkl): (slow0, slow1, fast0, fast1)
            for hkl, (fast0, fast1, slow0, slow1, _, _) in zip(
                table["miller_index"][here].tolist(), table["bbox"][here].tolist(), strict=True
            )
        }
        mine = rows_by_index(boxes, frame)
        assert (
            expected.items()
            <= {  # what is beyond the frame is cut off
                hkl: (slow0, slow1, fast0, fast1) for hkl, (slow0, slow1, fast0, fast1) in mine.items()
            }.items()
        )
        assert bool(expected) == (frame < 10)
    assert len(boxes) == 76  # 63 that were integrated, and 13 that stood on masked pixels and the like
    wide = quiet(sweep / "model.expt", frames_of(sweep), margin=3)
    for hkl, (slow0, slow1, fast0, fast1) in rows_by_index(boxes, 4).items():
        assert rows_by_index(wide, 4)[hkl] == (
            max(slow0 - 3, 0), min(slow1 + 3, SHAPE[0]), max(fast0 - 3, 0), min(fast1 + 3, SHAPE[1])
        )  # fmt: skip


def test_a_table_and_its_experiments(sweep: Path, tmp_path: Path) -> None:
    table = quiet(sweep / "model.refl", frames_of(sweep), margin=0)
    own = quiet(sweep / "model.expt", frames_of(sweep), margin=0)
    mine, theirs = rows_by_index(own, 3), rows_by_index(table, 3)
    assert len(mine.keys() & theirs.keys()) > 0.9 * len(mine)
    alone = tmp_path / "alone.refl"
    alone.write_bytes((sweep / "model.refl").read_bytes())
    with pytest.warns(CrystintWarning, match=r"no \.expt beside it: its images.*frames in their order"):
        boxes = reflection_boxes(alone, frames_of(sweep), margin=0)
    assert rows_by_index(boxes, 3) == theirs
    limited = quiet(sweep / "model.refl", frames_of(sweep), d_min=1.0)
    assert 0 < len(limited) < len(table)


def test_selections_of_frames(sweep: Path) -> None:
    whole = {suffix: quiet(sweep / f"model.{suffix}", frames_of(sweep)) for suffix in ("expt", "refl")}
    for suffix, boxes in whole.items():
        some = quiet(sweep / f"model.{suffix}", frames_of(sweep, frames="7,2,11"))
        for frame, number in enumerate((7, 2, 11)):
            assert rows_by_index(some, frame) == rows_by_index(boxes, number)
    (sweep / "alone.refl").write_bytes((sweep / "model.refl").read_bytes())
    some = quiet(sweep / "alone.refl", frames_of(sweep, frames="7,2,11"))
    assert rows_by_index(some, 1) == rows_by_index(whole["refl"], 2)


def test_frames_of_a_stack_in_their_order(sweep: Path, tmp_path: Path) -> None:
    """Frames in one file, under another name: by their order, where numbers agree; selections, too."""
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file.create_dataset("entry/data/data", shape=(10, *SHAPE), dtype=np.int32, chunks=(1, *SHAPE), fillvalue=0)
        file["entry/data/data"][:, 0, 0] = 1
    by_name = quiet(sweep / "model.expt", frames_of(sweep))
    with pytest.warns(CrystintWarning, match="both are taken in their order, 10 of each"):
        boxes = reflection_boxes(sweep / "model.expt", open_frames(tmp_path / "all.h5"))
    assert rows_by_index(boxes, 6) == rows_by_index(by_name, 6)
    some = quiet(sweep / "model.expt", open_frames(tmp_path / "all.h5", frames="6:8"))
    assert rows_by_index(some, 1) == rows_by_index(by_name, 7)


def test_two_lattices_on_one_sweep(sweep: Path) -> None:
    def twice(content: dict[str, Any]) -> None:
        other = json.loads(json.dumps(content["crystal"][0]))
        other["real_space_a"], other["real_space_b"] = content["crystal"][0]["real_space_b"], other["real_space_a"]
        content["crystal"].append(other)
        content["experiment"].append(content["experiment"][0] | {"crystal": 1, "identifier": "second"})

    one = quiet(sweep / "model.expt", frames_of(sweep))
    two = quiet(expt(sweep, twice), frames_of(sweep))
    assert len(two) == 2 * len(one)
    assert len(two.of_frame(5)) == 2 * len(one.of_frame(5))  # the same places: the cell is named in another way


def test_without_a_profile_model(sweep: Path) -> None:
    def bare(content: dict[str, Any]) -> None:
        content["profile"] = []
        content["experiment"][0].pop("profile")

    boxes, words = told(expt(sweep, bare), frames_of(sweep))
    assert "no profile model; mosaicity 0.1 and divergence 0.05 degrees are taken" in words
    assert "so that boxes are 10 to 28 px wide" in words
    assert len(boxes.listed) > len(quiet(sweep / "model.expt", frames_of(sweep)).listed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*no image for")
        given = reflection_boxes(sweep / "changed.expt", frames_of(sweep), radius=4.0, mosaicity=0.02)
    rows = given.of_frame(4)
    assert set((rows["slow1"] - rows["slow0"]).tolist()) <= {10, 11}


def _crystal(content: dict[str, Any]) -> None:
    content["crystal"] = []
    content["experiment"][0].pop("crystal")


def _shape(content: dict[str, Any]) -> None:
    content["detector"][0]["panels"][0]["image_size"] = [1475, 1600]


def _huge(content: dict[str, Any]) -> None:
    for axis in "abc":
        content["crystal"][0][f"real_space_{axis}"] = [1000 * x for x in content["crystal"][0][f"real_space_{axis}"]]


def _names(content: dict[str, Any]) -> None:
    content["imageset"][0]["template"] = "other_####.cbf"


def _singular(content: dict[str, Any]) -> None:
    content["crystal"][0]["real_space_a"] = content["crystal"][0]["real_space_b"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_crystal, "has no crystal in any of its 1 experiments; index the images first"),
        (_shape, r"of a detector of 1600 x 1475 px, the frames are 1679 x 1475"),
        (_huge, "gives .* reflections to .* angstrom; give a larger --d-min"),
        (_names, "no image has the name of a frame .* 10 frames were indexed, but 12 given"),
        (_singular, "nothing can be predicted: .* singular"),
    ],
)
def test_experiments_that_do_not_fit(sweep: Path, change: Any, message: str) -> None:
    with pytest.raises(FileError, match=message):
        quiet(expt(sweep, change), frames_of(sweep))


def test_models_of_another_place_and_wavelength(sweep: Path) -> None:
    frames = frames_of(sweep)
    near = crystint.Geometry(SHAPE, (172e-6, 172e-6), 0.21, (800.0, 700.0), 0.6889)
    _, words = told(sweep / "model.expt", frames, geometry=near)
    assert re.search("has the detector at .* mm, the frames say 210 mm", words)
    assert "the frames say (800.0, 700.0)" in words
    with pytest.raises(FileError, match=r"has the wavelength 0\.6889 angstrom, the frames 1"):
        quiet(sweep / "model.expt", frames, geometry=replace(near, wavelength=1.0))
    with pytest.raises(FileError, match="pixels of 172 um along slow, the frames of 75"):
        quiet(sweep / "model.expt", frames, geometry=replace(near, pixel_size=(75e-6, 75e-6)))


def test_angles_that_do_not_match(sweep: Path) -> None:
    """Real headers say where the goniometer was."""
    names = [shared_data(f"stills/l_cysteine_wedge/l-cyst_01_{number:05d}.cbf.bz2") for number in (1, 2, 3)]
    frames = open_frames(*names)
    assert len(quiet(sweep / "model.expt", frames)) > 0

    def turned(content: dict[str, Any]) -> None:
        content["scan"][0]["oscillation"] = [-144.9, 0.1]

    def wider(content: dict[str, Any]) -> None:
        content["scan"][0]["oscillation"] = [-145.0, 0.2]

    for change in (turned, wider):
        with pytest.raises(FileError, match=r"degrees, 0\.. wide, frame . is at -1.*: give the model that was made"):
            quiet(expt(sweep, change), frames)


def test_tables_without_predictions_or_boxes(sweep: Path, tmp_path: Path) -> None:
    hkl = np.array([[1, 2, 3], [0, 1, 1]])
    place = np.array([[20.2, 30.1, 0.4], [50.0, 60.0, 2.9]])
    columns = {
        "id": ("int", np.zeros(2)),
        "panel": ("std::size_t", np.zeros(2)),
        "flags": ("std::size_t", np.full(2, 32)),
        "xyzobs.px.value": ("vec3<double>", place),
    }
    strong = tmp_path / "strong.refl"
    strong.write_bytes(dials_files.table(columns))
    with pytest.raises(FileError, match=r"has no predicted reflections \(are they strong spots\?\)"):
        quiet(strong, frames_of(sweep))
    columns |= {"miller_index": ("cctbx::miller::index<>", hkl), "flags": ("std::size_t", np.ones(2))}
    columns |= {"xyzcal.px": ("vec3<double>", place)}
    still = tmp_path / "still.refl"
    still.write_bytes(dials_files.table(columns))
    boxes = quiet(still, frames_of(sweep), radius=2.0, margin=0)
    assert boxes.of_frame(0)[["slow0", "slow1", "fast0", "fast1"]].tolist() == [(28, 33, 18, 23)]
    assert (len(boxes.of_frame(1)), len(boxes.of_frame(2))) == (0, 1)
    columns |= {"xyzcal.mm": ("vec3<double>", place)}
    turning = tmp_path / "turning.refl"
    turning.write_bytes(dials_files.table(columns))
    with pytest.raises(FileError, match=r"rotation data and has no column bbox.*give its experiments"):
        quiet(turning, frames_of(sweep))


def test_other_files_and_numbers(sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(CrystintError, match="expected experiments with crystals"):
        quiet(tmp_path / "text.txt", frames_of(sweep))
    with pytest.raises(CrystintError, match=r"none\.expt does not exist"):
        quiet(tmp_path / "none.expt", frames_of(sweep))
    for options in ({"margin": -1}, {"radius": 0.0}, {"mosaicity": float("nan")}, {"d_min": -1.0}):
        with pytest.raises(SettingError):
            quiet(sweep / "model.expt", frames_of(sweep), **options)


def test_stills_and_streams(tmp_path: Path) -> None:
    """Stills of a .expt: the reflections that were simulated are in boxes about their places."""
    data = simulate_stills(3, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    with h5py.File(tmp_path / "stills.h5", "w") as file:
        file["entry/data/data"] = np.stack([np.zeros((300, 320), np.int32)] * 3)
    write_dials_experiments(tmp_path / "stills.expt", data.experiment, tmp_path / "stills.h5")
    with pytest.warns(CrystintWarning, match=r"reflections of stills are predicted with a mosaicity of 0\.1 degrees"):
        boxes = reflection_boxes(tmp_path / "stills.expt", open_frames(tmp_path / "stills.h5"), d_min=4.0)
    table = data.observations()
    for frame in range(3):
        mine = rows_by_index(boxes, frame)
        here = table.image == frame
        for hkl, slow, fast in zip(table.hkl[here].tolist(), table.slow[here], table.fast[here], strict=True):
            slow0, slow1, fast0, fast1 = mine[tuple(hkl)]
            assert slow0 <= slow - 6 or slow0 == 0
            assert slow1 >= slow + 6 or slow1 == 300
            assert fast0 <= fast - 6 or fast0 == 0
            assert fast1 >= fast + 6 or fast1 == 320
    assert len(boxes) < 6 * len(table.hkl)


def test_a_stream_by_file_and_event(tmp_path: Path) -> None:
    """Each crystal's reflections are on the frame of its event, in boxes within the panel that the stream names."""
    events = [chunk(2, [crystal()]), chunk(0), chunk(5, [crystal(), crystal((0.0, 0.0))])]
    path = a_stream(tmp_path, *events)
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["entry/data/data"] = np.zeros((6, 220, 200), np.int32)
    whole = open_frames(tmp_path / "run.h5")
    boxes, words = told(path, whole, radius=3.0, margin=0)
    assert "no image for 4 of the 6 frames (0, 1, 3, 4)" in words
    listed = spots(SHIFT)
    assert [len(boxes.of_frame(number)) for number in range(6)] == [0, 0, len(listed), 0, 0, len(boxes) - len(listed)]
    mine = rows_by_index(boxes, 2)
    for h, k, l, slow, fast, panel in listed:  # noqa: E741
        slow, fast = round(slow, 1), round(fast, 1)
        low, high = {"a": (0, 100), "b": (120, 220)}[panel]
        sides = (
            max(np.floor(slow - 3), low), min(np.ceil(slow + 3), high),
            max(np.floor(fast - 3), 0), min(np.ceil(fast + 3), 200),
        )  # fmt: skip
        assert mine[h, k, l] == pytest.approx(sides, abs=1)  # float32 places
        assert low <= mine[h, k, l][0] < mine[h, k, l][1] <= high
    some = quiet(path, open_frames(tmp_path / "run.h5", frames="4:6"), radius=3.0, margin=0)
    assert rows_by_index(some, 1) == rows_by_index(boxes, 5)
    with pytest.raises(FileError, match="lists no reflections of its crystals"):
        quiet(a_stream(tmp_path, chunk(2, [crystal(reflections=False)]), name="bare.stream"), whole)
    with pytest.raises(FileError, match="has no crystals in its 1 chunks; index the images first"):
        quiet(a_stream(tmp_path, chunk(2), name="blank.stream"), whole)


def test_old_names_of_modules_go_on_to_work() -> None:
    from crystint.stills.integration.pair_frames import pair_frames as old_pairs
    from crystint.stills.prediction.rays import project as old_project

    import crystint.prediction.pair_frames
    import crystint.prediction.rays

    assert old_project is crystint.prediction.rays.project
    assert old_pairs is crystint.prediction.pair_frames.pair_frames
