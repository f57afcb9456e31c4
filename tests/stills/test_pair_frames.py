"""Images find their frames by the names of files, whatever order the frames come in."""

from __future__ import annotations

import bz2
import os
import random
import re

import fabio
import h5py
import numpy as np
import pytest

from crystint.errors import CrystintWarning, FileError
from crystint.io.frames.image_files import source_of
from crystint.io.frames.sequence import open_frames
from crystint.io.reflections.dials_experiments import read_expt
from crystint.io.reflections.dials_experiments_out import write_dials_experiments
from crystint.model.experiment import Experiment, join_experiments
from crystint.prediction.pair_frames import pair_frames
from crystint.prediction.partiality import RockingWidth
from crystint.stills.files import read_stills, write_stills
from crystint.stills.integration.integrate import integrate
from crystint.stills.simulation.simulate import simulate_stills
from crystint.stills.step_functions import integrate_files

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")  # not what is tested

TWO = np.arange(12, dtype=np.int32).reshape(3, 4)


def cbf(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    fabio.cbfimage.CbfImage(data=TWO + number).write(str(path))
    return path


@pytest.fixture(scope="module")
def data():
    return simulate_stills(6, d_min=6.0, shape=(120, 110), distance=0.06, domain=2e-3, spot=2.5e-3, seed=4)


def images(data, sources, frame=None, sweep=False):
    rows = np.arange(len(sources)) % len(data.experiment)
    some = data.experiment.select(rows)
    return Experiment(
        setting=some.setting,
        incident=some.incident,
        detectors=some.detectors,
        cell=some.cell,
        space_group=some.space_group,
        frame=np.arange(len(rows)) if frame is None else np.array(frame),
        group=np.zeros(len(rows), dtype=int),
        sweep=1e-3 * some.setting if sweep else None,
        name=tuple(os.path.basename(source) for source in sources) if any(sources) else (),
        source=tuple(sources),
    )


@pytest.fixture
def files(tmp_path):
    return [cbf(tmp_path / "raw" / f"a_{number:04d}.cbf", number) for number in range(1, 10)]


def test_frames_are_found_by_name_in_any_order(data, files):
    random.Random(0).shuffle(files)
    frames = open_frames(files)
    with pytest.warns(CrystintWarning, match="^6 of the 9 frames given belong to no image .* and are left out$"):
        found = pair_frames(images(data, [f"/far/raw/a_{number:04d}.cbf" for number in (6, 7, 8)]), frames)
    assert [frames[number][0, 0] for number in found.frame] == [6, 7, 8]
    assert found.missing == {}


def test_two_lattices_of_one_frame_are_on_it_both(data, files):
    found = pair_frames(images(data, ["a_0003.cbf", "a_0003.cbf", "a_0001.cbf"]), open_frames(files[:3]))
    assert found.frame.tolist() == [2, 2, 0]


def test_an_image_without_its_frame_is_named(data, files):
    found = pair_frames(images(data, ["x/a_0002.cbf", "x/a_0012.cbf", "x/a_0003.cbf"]), open_frames(files[:3]))
    assert found.frame.tolist() == [1, -1, 2]
    assert found.missing == {1: "a_0012.cbf: its frame is not among the 3 given"}
    some = found.select(np.array([1, 2]))
    assert (some.frame.tolist(), some.missing) == ([-1, 2], {0: found.missing[1]})


def test_packed_files_and_links_are_the_files(data, tmp_path, files):
    packed = tmp_path / "b_0001.cbf.bz2"
    packed.write_bytes(bz2.compress(cbf(tmp_path / "b_0001.cbf", 41).read_bytes()))
    frames = open_frames([packed, files[0]])
    assert pair_frames(images(data, ["/r/a_0001.cbf.gz", "/r/b_0001.cbf"]), frames).frame.tolist() == [1, 0]
    link = tmp_path / "last.cbf"
    link.symlink_to(files[4])
    own = tmp_path / "a_0009.cbf"
    own.symlink_to(files[2])
    frames = open_frames([own, link])
    # by its own name first, then by that of what it shows
    assert pair_frames(images(data, ["a_0005.cbf", "a_0009.cbf"]), frames).frame.tolist() == [1, 0]
    assert pair_frames(images(data, ["a_0003.cbf", "a_0005.cbf"]), frames).frame.tolist() == [0, 1]


def test_folders_decide_between_files_of_one_name(data, tmp_path):
    given = [cbf(tmp_path / "data" / run / "a_1.cbf", number) for number, run in enumerate(("run1", "run2"))]
    frames = open_frames(given)
    found = pair_frames(images(data, ["/old/run2/a_1.cbf", "/old/run1/a_1.cbf"]), frames)
    assert found.frame.tolist() == [1, 0]
    with pytest.raises(FileError, match=r"a_1\.cbf can be .*run1.*a_1\.cbf or .*run2.*a_1\.cbf.*only one of them"):
        pair_frames(images(data, ["/old/r2/a_1.cbf"]), frames)
    with pytest.warns(CrystintWarning, match="named twice"):
        twice = open_frames([given[1], given[1]])
    assert pair_frames(images(data, ["/old/a_1.cbf"]), twice).frame.tolist() == [0]


def test_folders_decide_between_images_of_one_name(data, tmp_path):
    one = open_frames(cbf(tmp_path / "run1" / "a_1.cbf", 1))
    found = pair_frames(images(data, ["/old/run2/a_1.cbf", "/old/run1/a_1.cbf"]), one)
    assert found.frame.tolist() == [-1, 0]
    assert list(found.missing) == [0]
    with pytest.raises(FileError, match=r"can be .*r2/a_1\.cbf or .*r3/a_1\.cbf, images of both"):
        pair_frames(images(data, ["/old/r2/a_1.cbf", "/old/r3/a_1.cbf"]), one)
    same = pair_frames(images(data, ["/old/run1/a_1.cbf", "run1/a_1.cbf"]), one)
    assert same.frame.tolist() == [0, 0]


def test_without_names_the_order_counts_if_the_numbers_agree(data, files):
    frames = open_frames(files[:3])
    text = (
        "no image has the name of a frame (the experiment names c_05.cbf .. c_07.cbf, the frames are in a_0001.cbf .. "
        "a_0003.cbf): both are taken in their order, 3 of each"
    )
    with pytest.warns(CrystintWarning, match=re.escape(text)):
        found = pair_frames(images(data, ["c_07.cbf", "c_06.cbf", "c_05.cbf"], frame=[7, 6, 5], sweep=True), frames)
    assert found.frame.tolist() == [2, 1, 0]
    assert pair_frames(images(data, ["", "", "", ""], frame=[4, 4, 9, 20]), frames).frame.tolist() == [0, 0, 1, 2]
    with pytest.raises(FileError, match=r"no image has the name .* 2 frames were indexed, but 3 given"):
        pair_frames(images(data, ["c_1.cbf", "c_2.cbf"]), frames)
    with pytest.raises(FileError, match="exactly 4 frames in their order"):
        pair_frames(images(data, ["", "", "", ""]), frames)


def test_numbers_and_events_within_hdf5_files(data, tmp_path):
    for name in ("a.h5", "b.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["entry/data/data"] = np.zeros((4, 3, 4), dtype=np.int32)
    frames = open_frames([tmp_path / "a.h5", tmp_path / "b.h5"])
    found = pair_frames(images(data, ["/r/b.h5//2", "/r/a.h5//3", "/r/b.h5//0", "/r/b.h5", "/r/a.h5//4"]), frames)
    assert found.frame.tolist() == [6, 3, 4, 4, -1]
    assert found.missing[4].endswith("its frame is not among the 8 given (%s holds 4 frames)" % (tmp_path / "a.h5"))
    with h5py.File(tmp_path / "c.h5", "w") as file:
        for number in range(3):
            file[f"run/tag-{number}/data"] = np.zeros((2, 3, 4), dtype=np.int32)
    try:
        frames = open_frames(tmp_path / "c.h5")
    except FileError:
        frames = open_frames(tmp_path / "c.h5", dataset="run/tag-1/data")
    places = [frames.source(number) for number in range(len(frames))]
    wanted = next(n for n, at in enumerate(places) if "tag-1" in (at.dataset or "") and at.index == 1)
    found = pair_frames(images(data, ["c.h5//tag-1/1", "c.h5//tag-9/1"]), frames)
    assert found.frame.tolist() == [wanted, -1]


def test_a_number_says_nothing_of_a_file_with_one_frame(data, files):
    assert pair_frames(images(data, ["r/a_0002.cbf//7"]), open_frames(files[:2])).frame.tolist() == [1]


def test_sources_are_kept(data, tmp_path):
    given = images(data, ["/r//x/a.cbf", "b.h5//3"])
    assert source_of("/r//x/../a.cbf") == "/r/a.cbf"
    assert (source_of(""), source_of("//r/b.h5", 3)) == ("", "/r/b.h5//3")
    write_stills(tmp_path / "run.h5", experiment=given)
    assert read_stills(tmp_path / "run.h5").experiment.source == given.source
    assert given.select([1]).source == ("b.h5//3",)
    assert join_experiments([given, given]).source == 2 * given.source
    assert data.experiment.source == ("",) * len(data.experiment)
    named = Experiment(**{k: v for k, v in vars(given).items() if k != "source"})
    assert named.source == ("", "")


def test_experiment_lists_tell_the_whole_path(data, tmp_path):
    write_dials_experiments(tmp_path / "a.expt", data.experiment, "some/frames.h5")
    path = os.path.realpath("some/frames.h5")
    assert read_expt(tmp_path / "a.expt").source == tuple(f"{path}//{number}" for number in range(6))
    names = [f"some/f_{number}.cbf" for number in range(6)]
    write_dials_experiments(tmp_path / "b.expt", data.experiment, names)
    assert read_expt(tmp_path / "b.expt").source == tuple(f"{os.path.realpath(name)}//0" for name in names)


def test_integration_follows_the_names(data, tmp_path):
    made = data.images()
    names = [tmp_path / f"s_{number}.cbf" for number in range(6)]
    for name, frame in zip(names, made, strict=True):
        fabio.cbfimage.CbfImage(data=frame.astype(np.int32)).write(str(name))
    write_dials_experiments(tmp_path / "a.expt", data.experiment, names)
    experiment = read_expt(tmp_path / "a.expt")
    run = {"width": RockingWidth(2e-3), "d_min": 6.0}
    wanted = integrate(made, data.experiment, **run).observations
    found = integrate(open_frames(names[::-1]), experiment, **run)
    np.testing.assert_allclose(found.observations.intensity, wanted.intensity, rtol=1e-2)
    assert found.warnings == ()

    done = integrate_files(
        tmp_path / "a.expt", [str(name) for name in (names[5], names[1], names[3])], [tmp_path / "o.h5"],
        domain=2e-3, d_min=6.0,
    )  # fmt: skip
    assert np.unique(done.result.observations.image).tolist() == [1, 3, 5]
    assert sorted(done.notes) == [0, 2, 4]
    assert done.notes[2] == "s_2.cbf: its frame is not among the 3 given"
    assert done.result.experiment.frame.tolist() == list(range(6))
    others = [str(cbf(tmp_path / f"o_{number}.cbf", 0)) for number in range(2)]
    with pytest.raises(FileError, match="6 frames were indexed, but 2 given"):
        integrate_files(tmp_path / "a.expt", others, [tmp_path / "p.h5"], domain=2e-3)
