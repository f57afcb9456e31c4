"""``crystint index`` from frames to files: what it says, what others read of it, and what goes wrong."""

from __future__ import annotations

import bz2
import shutil
import subprocess
from pathlib import Path

import gemmi
import numpy as np
import pytest
from click.testing import CliRunner

import crystint
from crystint import index, stills
from crystint.cli import main
from crystint.errors import FileError
from crystint.io.reflections.dials_table import read_table
from crystint.separation.files import find_peaks
from tests.conftest import shared_data
from tests.index.simulated import misorientation

CELL = "60,70,80,90,90,90"
GROUP = "P212121"
FLIP = np.diag([1.0, -1.0, -1.0])
"""from the laboratory of the simulation, where the beam goes along -z, to that of `Geometry`"""


def run(code, *words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert code is None or result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with frames of 24 crystals and their peaks, and the truth."""
    folder = tmp_path_factory.mktemp("index")
    data = stills.simulate_stills(24, d_min=2.5, shape=(700, 720), distance=0.085, seed=2)
    stills.write_frames(data, folder / "frames.h5")
    find_peaks([folder / "frames.h5"], [folder / "peaks.h5"], {"rings": 120})
    return folder, data.experiment


@pytest.fixture(scope="module")
def indexed(made):
    folder, _ = made
    outputs = [word for suffix in ("expt", "refl", "stream", "h5") for word in ("-o", folder / f"i.{suffix}")]
    return run(0, "index", folder / "peaks.h5", "--cell", CELL, "--space-group", GROUP, *outputs)


def away(experiment, truth):
    return [
        misorientation(np.linalg.inv(own), np.linalg.inv(FLIP @ truth.setting[frame]))
        for own, frame in zip(experiment.setting, experiment.frame, strict=True)
    ]


def test_all_frames_are_indexed_and_said_to_be(indexed):
    assert "24 of 24 frames indexed (100.0%; 24 have spots enough), 24 lattices" in indexed
    assert "cell 60.00 70.00 80.00" in indexed
    assert "P 21 21 21" in indexed


@pytest.mark.parametrize("name", ["i.expt", "i.stream", "i.h5"])
def test_every_format_has_the_orientations(made, indexed, name):
    folder, truth = made
    space_group = "P 21 21 21" if name == "i.stream" else None
    experiment = stills.read_experiment(folder / name, **({"space_group": space_group} if space_group else {}))
    assert len(experiment) == 24
    assert max(away(experiment, truth)) < 0.02
    assert experiment.wavelength == pytest.approx(truth.wavelength)


def test_spots_of_the_refl_belong_to_the_experiments(made, indexed):
    folder, _ = made
    table = read_table(folder / "i.refl")
    images = stills.read_experiment(folder / "i.expt")
    good = table["id"] >= 0
    assert good.mean() > 0.85
    assert ((table["flags"] & 4) != 0).tolist() == good.tolist()
    panel = images.detectors[0].panels[0]
    place = panel.lab(table["xyzobs.px.value"][good, 1], table["xyzobs.px.value"][good, 0]).T
    ray = place / np.linalg.norm(place, axis=1)[:, None]
    node = np.einsum("nij,nj->ni", images.setting[table["id"][good]], table["miller_index"][good])
    off = np.linalg.norm(ray / images.wavelength[0] - images.incident[0] - node, axis=1)
    assert np.median(off) < 2e-3
    assert np.allclose(table["s1"][good], ray / images.wavelength[0])
    assert np.allclose(table["xyzobs.mm.value"][good, :2], 0.172 * table["xyzobs.px.value"][good, :2])


def test_integration_takes_it_and_the_intensities_are_the_truth(made, indexed, monkeypatch):
    folder, _ = made
    monkeypatch.chdir(folder)
    run(0, "stills", "integrate", "i.h5", "frames.h5", "-o", "integrated.h5", "--d-min", 2.5, "-q", "--overwrite")
    run(0, "stills", "scale", "integrated.h5", "-o", "scaled.h5", "-q", "--overwrite")
    run(0, "stills", "merge", "scaled.h5", "-o", "merged.h5", "-q", "--overwrite")
    merged = stills.read_stills("merged.h5").merged
    truth = stills.simulate_stills(24, d_min=2.5, shape=(700, 720), distance=0.085, seed=2).reference()
    key = {tuple(hkl): value for hkl, value in zip(truth.hkl.tolist(), truth.intensity.tolist(), strict=True)}
    group = gemmi.SpaceGroup("P 21 21 21")
    asu, operations = gemmi.ReciprocalAsu(group), group.operations()
    pairs = [
        (key[tuple(asu.to_asu(hkl, operations)[0])], value)
        for hkl, value, sigma in zip(merged.hkl.tolist(), merged.intensity, merged.sigma, strict=True)
        if value > 5 * sigma
    ]
    assert len(pairs) > 1500
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.99


def test_several_lattices_of_a_frame(tmp_path):
    data = stills.simulate_stills(
        8, d_min=3.0, shape=(600, 620), distance=0.09, seed=3, second_lattice=1.0, spread_ln_g=0.1
    )
    stills.write_frames(data, tmp_path / "two.h5")
    find_peaks([tmp_path / "two.h5"], [tmp_path / "p.h5"], {"rings": 100})
    outcome = index.index_files(tmp_path / "p.h5", [tmp_path / "o.h5"], cell=(60, 70, 80, 90, 90, 90),
                                space_group=GROUP, lattices=3)  # fmt: skip
    experiment = stills.read_experiment(tmp_path / "o.h5")
    assert np.bincount(experiment.frame).tolist() == [2] * 8
    truth = data.experiment
    for own, frame in zip(experiment.setting, experiment.frame, strict=True):
        wanted = [np.linalg.inv(FLIP @ one) for one in truth.setting[truth.frame == frame]]
        assert min(misorientation(np.linalg.inv(own), one) for one in wanted) < 0.1
    assert "16 lattices" in outcome.text


def edited(made, tmp_path, **changes):
    """The geometry of the frames with other values."""
    folder, _ = made
    with crystint.open_frames(folder / "frames.h5") as frames:
        values = frames.geometry.to_dict() | changes
    crystint.Geometry.from_dict(values).write(tmp_path / "g.json")
    return tmp_path / "g.json"


def test_a_distance_that_is_one_percent_off_is_told(made, tmp_path):
    folder, _ = made
    words = (
        "--cell",
        CELL,
        "--space-group",
        GROUP,
        "-o",
        tmp_path / "o.h5",
        "-g",
        edited(made, tmp_path, distance=0.08415),
    )
    text = run(0, "index", folder / "peaks.h5", *words)
    assert "24 of 24 frames indexed" in text
    factor = float(text.split("when the distance is ")[1].split(" times")[0])
    assert factor == pytest.approx(0.085 / 0.08415, abs=2e-3)
    assert "Neither was changed" in text


def test_a_distance_that_is_far_off_is_named(made, tmp_path):
    folder, _ = made
    geometry = edited(made, tmp_path, distance=0.085 / 1.045)
    text = run(
        0, "index", folder / "peaks.h5", "--cell", CELL, "--space-group", GROUP, "-o", tmp_path / "o.h5", "-g", geometry
    )
    assert float(text.split("with a distance ")[1].split(" times")[0]) == pytest.approx(1.045, abs=3e-3)
    assert "when the distance is" not in text  # a fit of wrong indices tells nothing


def test_frames_that_are_upside_down_are_named(made, tmp_path):
    folder, _ = made
    peaks = crystint.read_peaks(folder / "peaks.h5")
    peaks = peaks[peaks["slow"] < 600]
    peaks["slow"] = 600 - peaks["slow"]
    crystint.write_peaks(tmp_path / "p.h5", peaks, shape=(600, 720), n_frames=24)
    geometry = edited(made, tmp_path, shape=(600, 720))
    text = run(
        None,
        "index",
        tmp_path / "p.h5",
        "--cell",
        CELL,
        "--space-group",
        GROUP,
        "-o",
        tmp_path / "o.h5",
        "-g",
        geometry,
    )
    assert "slow counted from the other side" in text


def test_lists_with_nothing_to_index(made, tmp_path):
    folder, _ = made
    with crystint.open_frames(folder / "frames.h5") as frames:
        frames.geometry.write(tmp_path / "g.json")
    peaks = crystint.read_peaks(folder / "peaks.h5")
    words = ("--cell", CELL, "--space-group", GROUP, "-o", tmp_path / "o.h5", "-g", tmp_path / "g.json")
    crystint.write_peaks(tmp_path / "none.h5", peaks[:0], shape=(700, 720), n_frames=3)
    assert "holds no peaks" in run(1, "index", tmp_path / "none.h5", *words)
    few = np.concatenate([peaks[peaks["frame"] == number][:4] for number in range(3)])
    crystint.write_peaks(tmp_path / "few.h5", few, shape=(700, 720), n_frames=3)
    assert "a lattice needs about 8" in run(1, "index", tmp_path / "few.h5", *words)
    assert "--cell A,B,C,AL,BE,GA" in run(2, "index", folder / "peaks.h5", "-o", tmp_path / "o.h5")
    assert "needs a = b" in run(
        2, "index", folder / "peaks.h5", "--cell", CELL, "--space-group", "P43212", "-o", tmp_path / "o.h5"
    )
    crystint.write_peaks(tmp_path / "bare.h5", peaks, shape=(700, 720), n_frames=24)
    text = run(1, "index", tmp_path / "bare.h5", "--cell", CELL, "-o", tmp_path / "o.h5")
    assert "does not tell where the detector is" in text
    assert not (tmp_path / "o.h5").exists()


def test_an_expt_needs_the_names_of_the_frames(made, tmp_path):
    folder, _ = made
    peaks = crystint.read_peaks(folder / "peaks.h5")
    with crystint.open_frames(folder / "frames.h5") as frames:
        frames.geometry.write(tmp_path / "g.json")
    crystint.write_peaks(tmp_path / "p.jsonl", peaks, shape=(700, 720), n_frames=24)
    crystint.write_peaks(tmp_path / "p.h5", peaks, shape=(700, 720), n_frames=24)
    with pytest.raises(FileError, match="does not tell which files"):
        index.index_files(tmp_path / "p.h5", [tmp_path / "o.h5", tmp_path / "o.expt"], cell=(60, 70, 80, 90, 90, 90),
                          space_group=GROUP, geometry=tmp_path / "g.json")  # fmt: skip
    assert not (tmp_path / "o.h5").exists()


WEDGE = (5.42, 8.14, 12.04, 90.0, 90.0, 90.0)


@pytest.fixture(scope="module")
def wedge(tmp_path_factory):
    """Fifteen frames of l-cysteine, 0.1 degrees each, and their peaks."""
    folder = tmp_path_factory.mktemp("wedge")
    for packed in sorted(shared_data("stills/l_cysteine_wedge").glob("*.cbf.bz2")):
        (folder / packed.stem).write_bytes(bz2.decompress(packed.read_bytes()))
    find_peaks(sorted(folder.glob("*.cbf")), [folder / "peaks.h5"])
    return folder


def test_single_frames_agree_with_the_scan(wedge, tmp_path):
    outcome = index.index_files(wedge / "peaks.h5", [tmp_path / "i.h5"], cell=WEDGE, space_group=GROUP)
    scan = stills.read_experiment(tmp_path / "i.h5")
    assert len(scan) == 15
    assert "1 lattice of a scan of 15 frames" in outcome.text
    peaks = crystint.read_peaks(wedge / "peaks.h5")
    with crystint.open_frames(sorted(wedge.glob("*.cbf"))) as frames:
        frames.geometry.write(tmp_path / "g.json")
    crystint.write_peaks(tmp_path / "single.h5", peaks, shape=(1679, 1475), n_frames=15)
    index.index_files(tmp_path / "single.h5", [tmp_path / "s.h5"], cell=WEDGE, space_group=GROUP,
                      geometry=tmp_path / "g.json")  # fmt: skip
    single = stills.read_experiment(tmp_path / "s.h5")
    assert single.frame.tolist() == list(range(15))
    pairs = zip(single.setting, scan.setting, strict=True)
    assert max(misorientation(np.linalg.inv(a), np.linalg.inv(b)) for a, b in pairs) < 0.25


def test_dials_refines_a_scan(wedge, tmp_path):
    if shutil.which("dials.refine") is None:
        pytest.skip("dials is not installed")
    index.index_files(wedge / "peaks.h5", [tmp_path / "i.expt", tmp_path / "i.refl"], cell=WEDGE, space_group=GROUP)
    options = ("detector.fix=all", "beam.fix=all", "scan_varying=False")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["dials.refine", "i.expt", "i.refl", *options], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    refined, before = stills.read_experiment(tmp_path / "refined.expt"), stills.read_experiment(tmp_path / "i.expt")
    turned = misorientation(np.linalg.inv(refined.setting[0]), np.linalg.inv(before.setting[0]))
    assert turned < 0.3


@pytest.mark.parametrize(("name", "least"), [("0003", 1244), ("0008", 942)])
def test_thaumatin_with_its_cell_imposed(tmp_path, name, least):
    """As many spots within 0.3 of whole indices as DIALS indexed of crystint's, and its cell."""
    packed = shared_data(f"thaumatin/thau_3_2_{name}.cbf.bz2")
    frame = tmp_path / packed.stem
    frame.write_bytes(bz2.decompress(packed.read_bytes()))
    find_peaks([frame], [tmp_path / "p.h5"])
    index.index_files(tmp_path / "p.h5", [tmp_path / "o.h5", tmp_path / "o.refl"], cell=(58.4, 58.4, 152.3, 90, 90, 90),
                      space_group="P41212")  # fmt: skip
    (setting,) = stills.read_experiment(tmp_path / "o.h5").setting
    table = read_table(tmp_path / "o.refl")
    indices = (table["s1"] - stills.read_experiment(tmp_path / "o.h5").incident[0]) @ np.linalg.inv(setting).T
    assert (np.abs(indices - np.rint(indices)) < 0.3).all(axis=1).sum() >= least
    a, _, c = np.linalg.norm(np.linalg.inv(setting), axis=1)
    wanted = {"0003": (58.394, 152.352), "0008": (58.309, 152.273)}[name]
    assert a == pytest.approx(wanted[0], rel=3.5e-3)
    assert c == pytest.approx(wanted[1], rel=2e-3)


def test_two_crystals_of_a_scan(wedge, tmp_path):
    """The spots of the wedge, and the same ones turned by 20 degrees about the beam."""
    peaks = crystint.read_peaks(wedge / "peaks.h5")
    with crystint.open_frames(sorted(wedge.glob("*.cbf"))) as frames:
        geometry, scan = frames.geometry, frames.scan
        sources = [frames.source(number) for number in range(15)]
    place = geometry.as_panels[0].lab(peaks["slow"], peaks["fast"])
    angle = np.radians(20.0)
    more = peaks.copy()
    x, y = np.cos(angle) * place[0] - np.sin(angle) * place[1], np.sin(angle) * place[0] + np.cos(angle) * place[1]
    panel = geometry.as_panels[0]
    matrix = np.stack([panel.slow_vector, panel.fast_vector, panel.origin], axis=1)
    slow, fast, scale = np.linalg.inv(matrix) @ np.stack([x, y, place[2]])
    more["slow"], more["fast"] = slow / scale, fast / scale
    inside = (more["slow"] > 0) & (more["slow"] < 1679) & (more["fast"] > 0) & (more["fast"] < 1475)
    both = np.concatenate([peaks, more[inside]])
    both = both[np.argsort(both["frame"], kind="stable")]
    crystint.write_peaks(tmp_path / "p.h5", both, shape=(1679, 1475), n_frames=15, scan=scan, frames_per_file=sources)
    geometry.write(tmp_path / "g.json")
    outputs = [tmp_path / f"i.{suffix}" for suffix in ("expt", "refl", "stream", "h5")]
    index.index_files(
        tmp_path / "p.h5", outputs, cell=WEDGE, space_group=GROUP, lattices=2, geometry=tmp_path / "g.json"
    )
    images = stills.read_experiment(tmp_path / "i.h5")
    assert np.bincount(images.group).tolist() == [15, 15]
    again = stills.read_experiment(tmp_path / "i.expt")
    assert len(again) == 30
    assert np.allclose(again.setting, images.setting, atol=1e-9)
    table = read_table(tmp_path / "i.refl")
    of_crystal = np.bincount(table["id"][table["id"] >= 0])
    assert len(of_crystal) == 2
    assert of_crystal.min() > 50
    listed = stills.read_data(tmp_path / "i.stream", space_group=GROUP).observations
    assert len(listed) == of_crystal.sum()


def test_two_sweeps_are_no_scan_for_dials(wedge, tmp_path):
    peaks = crystint.read_peaks(wedge / "peaks.h5")
    files = sorted(wedge.glob("*.cbf"))
    with crystint.open_frames(files) as frames:
        geometry, scan = frames.geometry, frames.scan.select([*range(7), *range(8, 15)])
    peaks = peaks[peaks["frame"] != 7]
    peaks["frame"] -= peaks["frame"] > 7
    crystint.write_peaks(tmp_path / "p.h5", peaks, shape=(1679, 1475), n_frames=14, scan=scan)
    geometry.write(tmp_path / "g.json")
    known = {"cell": WEDGE, "space_group": GROUP, "geometry": tmp_path / "g.json"}
    outcome = index.index_files(tmp_path / "p.h5", [tmp_path / "i.h5"], **known)
    assert "1 lattice of a scan of 14 frames" in outcome.text
    with pytest.raises(FileError, match="frame 7 does not follow the one before: these are 2 sweeps"):
        index.index_files(tmp_path / "p.h5", [tmp_path / "i.refl"], **known)


def test_folders_of_frames_have_templates(tmp_path):
    """What DIALS calls a scan of numbered files."""
    from crystint.io.reflections.dials_experiments_out import first_image

    files = [tmp_path / f"run_2_{number:04d}.cbf" for number in range(7, 12)]
    assert first_image(files) == 7
    assert first_image([(tmp_path / "a.h5", number) for number in range(3)]) == 1
    with pytest.raises(crystint.ShapeError, match="not numbered one after the other"):
        first_image([*files, Path(tmp_path / "other.cbf")])
