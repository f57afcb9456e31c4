"""crystint correlate polar, and what all its commands do about bad input, frames that are missing, and Ctrl-C."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from crystint.cli import main
from crystint.commands.correlate import correlate
from crystint.correlate import PolarGrid, PolarTransform
from crystint.correlate.exposures import Exposures
from crystint.engine import default_engine
from crystint.io.correlations.polar_file import read_polar
from crystint.io.hdf5.provenance import read_provenance
from crystint.model.geometry import Geometry
from tests.correlate.case import CENTER, GRID, RADII, SHAPE, content, damaged, exposures, gaps, masked, refused, run
from tests.oracles import correlate_polar as oracle

GEOMETRY = Geometry(SHAPE, (2e-3, 2e-3), 0.05, beam_center=CENTER, wavelength=1.2, polarization=0.95)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """f.npy: five frames; mask.npy; g.json; polar.h5; c.h5, d.h5: no test changes them."""
    folder = tmp_path_factory.mktemp("correlate")
    np.save(folder / "f.npy", exposures(5))
    np.save(folder / "mask.npy", gaps())
    GEOMETRY.write(folder / "g.json")
    run(0, "polar", folder / "f.npy", "-m", folder / "mask.npy", *GRID, "-o", folder / "polar.h5")
    run(0, "correlate", folder / "f.npy", *GRID, "-o", folder / "c.h5")
    run(0, "correlate", folder / "f.npy", *GRID, "--difference", "next", "-o", folder / "d.h5")
    return folder


def polar(folder: Path, output: Path, *options: object) -> dict[str, np.ndarray]:
    """The data of a run with the frames of the fixture."""
    run(0, "polar", folder / "f.npy", "-m", folder / "mask.npy", *options, "-o", output)
    with h5py.File(output) as file:
        return {name: data[()] for name, data in file["entry/data"].items()}


@pytest.mark.parametrize("step", sorted(correlate.commands))
def test_every_step_has_help_with_an_example(step: str) -> None:
    text = run(0, step, "--help").output
    assert "Example:" in text
    assert f"crystint correlate {step}" in text
    assert "correlate" in CliRunner().invoke(main, ["--help"]).output


def test_polar_images_are_where_nexus_says(made: Path) -> None:
    with h5py.File(made / "polar.h5") as file:
        entry = file[file.attrs["default"]]
        assert entry.attrs["NX_class"] == "NXentry"
        data = entry[entry.attrs["default"]]
        assert data.attrs["NX_class"] == "NXdata"
        assert data.attrs["signal"] == "values"
        assert data.attrs["axes"].tolist() == [".", "radius", "azimuth"]
        assert (data.attrs["radius_indices"], data.attrs["azimuth_indices"]) == (1, 2)
        assert "q_indices" not in data.attrs
        assert {name: data[name].attrs["units"] for name in ("values", "radius", "azimuth")} == {
            "values": "count", "radius": "pixel", "azimuth": "rad",
        }  # fmt: skip
        assert data["values"].shape == data["weights"].shape == (5, 7, 60)
        assert data["values"].dtype == np.float32
        np.testing.assert_array_equal(data["radius"], RADII)
        np.testing.assert_allclose(data["azimuth"], 2 * np.pi * np.arange(60) / 60, atol=1e-15)
        assert entry["center"][()].tolist() == list(CENTER)
    record = read_provenance(made / "polar.h5")
    assert record["settings"]["missing"] == []
    assert record["settings"]["masked_pixels"] == int((gaps() != 0).sum())


def test_correlations_need_no_filter_that_hdf5_has_not(made: Path) -> None:
    text = (
        "import sys, h5py\n"
        "for path in sys.argv[1:]:\n"
        "    with h5py.File(path) as file:\n"
        "        names = []\n"
        "        file.visit(names.append)\n"
        "        assert len([file[name][()] for name in names if isinstance(file[name], h5py.Dataset)]) > 9\n"
        "assert 'hdf5plugin' not in sys.modules\n"
    )
    paths = [str(made / name) for name in ("c.h5", "d.h5")]
    hidden = {name: value for name, value in os.environ.items() if name != "HDF5_PLUGIN_PATH"}
    subprocess.run([sys.executable, "-c", text, *paths], check=True, env=hidden)


@pytest.mark.parametrize(("origin", "direction"), [("fast", 1), ("loki", 1), ("0.7", -1)])
@pytest.mark.parametrize("method", ["nearest", "bilinear", "area"])
def test_polar_images_are_those_of_loops(made: Path, tmp_path: Path, method: str, origin: str, direction: int) -> None:
    size = 12 if method == "area" else 60
    options = ("--method", method, "--origin", origin, "--direction", direction, "--azimuths", size)
    found = polar(made, tmp_path / "p.h5", "--beam", "20.3,21.6", "--radii", "8,15,3", *options, "-q")
    angle = {"fast": 0.0, "loki": -np.pi, "0.7": 0.7}[origin]
    np.testing.assert_allclose(found["azimuth"], angle + direction * 2 * np.pi * np.arange(size) / size, atol=1e-12)
    image, _, _ = read_polar(tmp_path / "p.h5", 3)
    np.testing.assert_allclose(image.grid.angles, found["azimuth"], atol=1e-12)
    assert image.grid.center == CENTER
    frame = masked(exposures(5), gaps())[3]
    expected = getattr(oracle, method)(frame, CENTER, [8.0, 11.0, 14.0], size, angle, direction)
    values, weights = (expected, np.isfinite(expected)) if method == "nearest" else expected[:2]
    assert np.isnan(values).any() or method == "area"
    near = {"nearest": 0.0, "bilinear": 1e-4, "area": 2e-3}[method]  # arcs are chords in the loops
    np.testing.assert_allclose(found["values"][3], values, rtol=near)
    np.testing.assert_allclose(found["weights"][3], weights, atol=2.0 * near)


def test_polar_images_are_those_of_the_api(made: Path, tmp_path: Path) -> None:
    place = ("-g", made / "g.json", "--azimuths", 60, "-q")
    for number, (options, grid) in enumerate(
        [
            (("--radii", "8,15"), PolarGrid(CENTER, RADII, 60)),
            (("--q", "2,3,0.25"), PolarGrid.of_q(GEOMETRY, [2.0, 2.25, 2.5, 2.75], 60)),
        ]
    ):
        for corrected in (True, False):
            flag = "--corrections" if corrected else "--no-corrections"
            path = tmp_path / f"{number}{corrected}.h5"
            found = polar(made, path, *place, *options, flag)
            transform = PolarTransform(
                default_engine(), grid, SHAPE, method="area", mask=gaps(), geometry=GEOMETRY if corrected else None
            )
            for frame, values, weights in zip(exposures(5), found["values"], found["weights"]):
                image = transform.run(frame)
                np.testing.assert_array_equal(values, image.values)
                np.testing.assert_array_equal(weights, image.weights)
            np.testing.assert_allclose(found["radius"], grid.radii)
            theta = 0.5 * np.arctan(grid.radii * 2e-3 / 0.05)
            np.testing.assert_allclose(found["q"], 4 * np.pi / 1.2 * np.sin(theta), rtol=1e-12)
            with h5py.File(path) as file:
                assert file["entry/data"].attrs["axes"].tolist() == [".", ("radius", "q")[number], "azimuth"]
                assert file["entry/data/q"].attrs["units"] == "1/angstrom"
                assert file["entry/data"].attrs["q_indices"] == 1
            image, q, count = read_polar(path, -1)
            assert count == 5
            assert (image.grid.q is None) == (number == 0)
            np.testing.assert_array_equal(q, found["q"])
            np.testing.assert_array_equal(image.values, found["values"][4])
            np.testing.assert_array_equal(image.weights, found["weights"][4])


def test_corrections_are_solid_angle_and_polarization(made: Path, tmp_path: Path) -> None:
    place = ("-g", made / "g.json", "--radii", "8,15", "--azimuths", 60, "--method", "nearest", "-q")
    plain, corrected = (
        polar(made, tmp_path / f"{name}.h5", *place, f"--{name}")["values"]
        for name in ("no-corrections", "corrections")
    )
    slow, fast = np.indices(SHAPE) + 0.5
    slow, fast = slow - CENTER[0], fast - CENTER[1]
    angle = np.arctan(np.hypot(slow, fast) * 2e-3 / 0.05)
    phi = np.arctan2(slow, fast)
    polarized = 0.5 * (1 + np.cos(angle) ** 2 - 0.95 * np.cos(2 * phi) * np.sin(angle) ** 2)
    factor = oracle.nearest(np.cos(angle) ** 3 * polarized, CENTER, RADII, 60)
    assert factor.min() < 0.75 * factor.max()
    np.testing.assert_allclose(
        (plain / corrected)[~np.isnan(plain)], np.broadcast_to(factor, plain.shape)[~np.isnan(plain)], rtol=1e-5
    )
    np.testing.assert_array_equal(np.isnan(plain), np.isnan(corrected))


def test_rings_reach_to_the_farthest_edge_by_themselves(made: Path, tmp_path: Path) -> None:
    found = polar(made, tmp_path / "p.h5", "--beam", "20.3,21.6", "-q", "--method", "nearest")
    assert found["radius"].tolist() == list(range(1, 23))  # 22.4 px to the far edge
    assert found["values"].shape[2] >= 2 * np.pi * 22
    assert found["values"].shape[2] == 144
    everywhere = found["values"][0][-1]
    assert np.isnan(everywhere).any()
    assert np.isfinite(everywhere).any()


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("polar", ()),
        ("correlate", ()),
        ("correlate", ("--difference", "next")),
        ("correlate", ("--difference", "greedy")),
    ],
)
def test_damaged_frames_are_left_out_and_named(tmp_path: Path, command: str, options: tuple[str, ...]) -> None:
    frames = exposures(7)
    source, output = damaged(tmp_path / "f.h5", frames, (2, 5)), tmp_path / "o.h5"
    result = run(3, command, source, *GRID, *options, "-o", output)
    assert "2 of 7 frames could not be read and are recorded as missing: 2, 5" in result.stderr
    assert len(re.findall(r"warning: frame [25].*f\.h5.*; it is recorded as missing", result.stderr)) == 2
    assert "7 frames" in result.stdout
    assert f"wrote {output}" in result.stdout
    assert read_provenance(output)["settings"]["missing"] == [2, 5]
    if command == "polar":
        with h5py.File(output) as file:
            values, weights = file["entry/data/values"][()], file["entry/data/weights"][()]
        assert np.isnan(values).all(axis=(1, 2)).tolist() == [n in (2, 5) for n in range(7)]
        assert not weights[[2, 5]].any()
    else:
        left = np.delete(frames, (2, 5), axis=0)
        np.save(tmp_path / "left.npy", left)
        run(0, "correlate", tmp_path / "left.npy", *GRID, *options, "-o", tmp_path / "p.h5")
        with h5py.File(output) as file, h5py.File(tmp_path / "p.h5") as other:
            for name in ("correlation", "correlation_errors", "number"):
                np.testing.assert_array_equal(file[f"entry/data/{name}"], other[f"entry/data/{name}"])
            assert file["entry/data/number"][()] == (2 if options else 5)
        if options:
            assert re.search(r"warning: 1 exposure without a partner: \d$", result.stderr, re.M)


@pytest.mark.parametrize("command", ["polar", "correlate", "center"])
def test_strict_stops_at_a_damaged_frame(tmp_path: Path, command: str) -> None:
    source = damaged(tmp_path / "f.h5", exposures(5), (3,))
    (tmp_path / "o.h5").write_bytes(b"before")
    place = ("--beam", "20.3,21.6", "-q", "--strict")
    output = () if command == "center" else ("--overwrite", "-o", tmp_path / "o.h5")
    assert "error: frame 3" in refused(tmp_path, 1, command, source, *place, *output)


@pytest.mark.parametrize("command", ["polar", "correlate", "center"])
def test_where_no_frame_can_be_read_nothing_is_written(tmp_path: Path, command: str) -> None:
    source = damaged(tmp_path / "f.h5", exposures(3), (0, 1, 2))
    output = () if command == "center" else ("-o", tmp_path / "o.h5")
    said = refused(tmp_path, 1, command, source, "--beam", "20.3,21.6", "-q", *output)
    assert "none of the 3 frames can be used" in said


@pytest.mark.parametrize("how", ["next", "optimal"])
def test_a_difference_of_one_readable_frame_is_refused(tmp_path: Path, how: str) -> None:
    source = damaged(tmp_path / "f.h5", exposures(3), (0, 2))
    said = refused(tmp_path, 1, "correlate", source, *GRID, "--difference", how, "-o", tmp_path / "o.h5")
    assert "differences need two exposures, and 1 of 3 could be read" in said


def test_equal_commands_give_equal_files(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "f.npy", exposures(5))
    written = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        monkeypatch.chdir(folder)
        run(0, "polar", "../f.npy", *GRID, "-o", "p.h5")
        run(0, "correlate", "../f.npy", *GRID, "-o", "c.h5")
        run(0, "plot", "c.h5", "-o", "c.png")
        written.append({path.name: data for path, data in content(folder).items()})
    assert written[0] == written[1]
    assert set(written[0]) == {"p.h5", "c.h5", "c.png"}


PLACE = ("--beam", "20,21")
AWAY = ("--beam", "500,500", "--beam-outside")
MANY = ("--radii", "1,20,0.1", "--azimuths", "20000")


@pytest.mark.parametrize(
    ("code", "arguments", "said"),
    [
        (1, ("center", "none.npy"), "none.npy does not exist"),
        (2, ("center", "f.npy", "-o", "a.txt"), "suffix '.txt'"),
        (1, ("center", "f.npy", "-o", "g.json"), "exists"),
        (1, ("center", "f.npy", "-o", "none/g.json"), "no folder"),
        (1, ("center", "f.npy", "-o", "a.poni"), "no geometry to write"),
        (2, ("center", "f.npy", "-g", "g.json", "-o", "a.poni", "-o", "a.poni"), "twice"),
        (2, ("center", "f.npy", "--ring-q", "a,b", "-g", "g.json"), "ring_q: is 'a,b'"),
        (1, ("center", "f.npy", "--ring-q", "2"), "need a geometry"),
        (1, ("center", "f.npy", "--shape", "tilt"), "tilt needs a geometry"),
        (2, ("center", "f.npy", "--shape", "ellipse", "--ring-q", "2", "-g", "g.json"), "an ellipse is no geometry"),
        (1, ("polar", "f.npy", "-o", "p.h5"), "no centre: give --beam"),
        (2, ("polar", "f.npy", "-o", "p.csv"), "suffix '.csv'"),
        (1, ("polar", "f.npy", *PLACE, "-o", "polar.h5"), "exists; --overwrite"),
        (1, ("polar", "f.npy", *PLACE, "-o", "folder.h5"), "not a plain file"),
        (2, ("polar", "f.npy", "--beam", "20", "-o", "p.h5"), "beam"),
        (2, ("polar", "f.npy", *PLACE, "--radii", "9", "-o", "p.h5"), "radii: is '9', expected 2 or 3 numbers"),
        (2, ("polar", "f.npy", *PLACE, "--radii", "9,8", "-o", "p.h5"), "radii is 9,8,1, expected 0 <= MIN"),
        (2, ("polar", "f.npy", *PLACE, "--radii", "nan,8", "-o", "p.h5"), "radii: is 'nan,8'"),
        (2, ("polar", "f.npy", *PLACE, "--radii", "0,9,1e-9", "-o", "p.h5"), "a million at most"),
        (2, ("polar", "f.npy", *PLACE, "--radii", "1,9", "--q", "1,2", "-o", "p.h5"), "exclude each other"),
        (1, ("polar", "f.npy", *PLACE, "--q", "1,2", "-o", "p.h5"), "rows of q need a geometry"),
        (1, ("polar", "f.npy", "-g", "g.json", "--q", "1,99", "-o", "p.h5"), "q is up to"),
        (1, ("polar", "f.npy", "--beam", "500,500", "--radii", "1,9", "-o", "p.h5"), "outside the frame of 40 x 44"),
        (1, ("polar", "f.npy", *AWAY, "--radii", "1,9", "-o", "p.h5"), "no point of the polar grid"),
        (1, ("polar", "f.npy", "-g", "g.json", "--beam", "500,500", "-o", "p.h5"), "beam"),
        (2, ("polar", "f.npy", *PLACE, "--origin", "up", "-o", "p.h5"), "origin: is 'up', expected 'fast' or 'loki'"),
        (2, ("polar", "f.npy", *PLACE, "--azimuths", "-1", "-o", "p.h5"), "azimuths"),
        (2, ("polar", "f.npy", *PLACE, "--method", "cubic", "-o", "p.h5"), "method"),
        (1, ("polar", "f.npy", *PLACE, "-m", "none.npy", "-o", "p.h5"), "none.npy does not exist"),
        (1, ("polar", "f.npy", *PLACE, "-m", "f.npy", "-o", "p.h5"), "mask|frames"),
        (1, ("polar", "f.npy", *PLACE, "--device", "none such", "-o", "p.h5"), "device"),
        (2, ("correlate", "-o", "x.h5"), "give FRAMES, or results to add"),
        (1, ("correlate", "f.npy", *PLACE, "-o", "none/x.h5"), "no folder"),
        (1, ("correlate", "f.npy", *PLACE, "-o", "c.h5"), "exists"),
        (2, ("correlate", "f.npy", *PLACE, "--cross", "5", "-o", "x.h5"), "cross: is '5', expected two rings"),
        (2, ("correlate", "f.npy", *PLACE, "--cross", "5,99", "-o", "x.h5"), "no ring at 99: rings are from 1 to"),
        (2, ("correlate", "f.npy", *PLACE, "--coefficients", "400", "-o", "x.h5"), "coefficients is 400, expected"),
        (2, ("correlate", "f.npy", *PLACE, *MANY, "--cross", "all", "-o", "x.h5"), "take 15 GB"),
        (2, ("correlate", "f.npy", *PLACE, "--difference", "next", "--subtract", "mean", "-o", "x.h5"), "--subtract"),
        (2, ("correlate", "f.npy", *PLACE, "--difference", "best", "-o", "x.h5"), "difference"),
        (2, ("correlate", "one.npy", *PLACE, "--difference", "next", "-o", "x.h5"), "two exposures, and there is 1"),
        (2, ("correlate", "--add", "c.h5", "--radii", "1,2", "-o", "x.h5"), "--radii is for FRAMES"),
        (2, ("correlate", "--add", "c.h5", "--outliers", "5", "-o", "x.h5"), "--outliers is for FRAMES"),
        (1, ("correlate", "--add", "none.h5", "-o", "x.h5"), "does not exist"),
        (1, ("correlate", "--add", "polar.h5", "-o", "x.h5"), r"holds polar images \(HDF5\); expected correlations"),
        (1, ("correlate", "--add", "cut.h5", "-o", "x.h5"), "truncated or damaged"),
        (1, ("correlate", "--add", "less.h5", "-o", "x.h5"), "less.h5: it is damaged"),
        (2, ("correlate", "--add", "c.h5", "--add", "d.h5", "-o", "x.h5"), "c.h5 and d.h5 do not add.*kind"),
        (2, ("correlate", "f.npy", *PLACE, "--add", "c.h5", "-o", "x.h5"), "c.h5 and these frames do not add.*radii"),
        (1, ("correlate", "--add", "c.h5", "-o", "c.h5", "--overwrite"), "c.h5 is also an input"),
        (2, ("plot", "c.h5", "-o", "x.bmp"), "suffix '.bmp'"),
        (1, ("plot", "c.h5", "-o", "none/x.png"), "no folder"),
        (1, ("plot", "none.h5", "-o", "x.png"), "does not exist"),
        (1, ("plot", "f.npy", "-o", "x.png"), r"f.npy holds frames \(NumPy\); expected polar images or correlations"),
        (1, ("plot", "other.h5", "-o", "x.png"), "neither polar images nor correlations"),
        (1, ("plot", "polar.h5", "--frame", "5", "-o", "x.png"), "there is no frame 5"),
        (2, ("plot", "polar.h5", "--ring", "99", "-o", "x.png"), "no ring at 99: rings are from 8 to 14"),
        (2, ("plot", "c.h5", "--ring", "99", "-o", "x.png"), "no ring at 99: rings are from 8 to 14"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_line(
    made: Path, tmp_path: Path, code: int, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("f.npy", "g.json", "polar.h5", "c.h5", "d.h5"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    np.save("one.npy", exposures(1))
    (tmp_path / "folder.h5").mkdir()
    (tmp_path / "cut.h5").write_bytes((made / "c.h5").read_bytes()[:3000])
    (tmp_path / "less.h5").write_bytes((made / "c.h5").read_bytes())
    with h5py.File("less.h5", "r+") as file, h5py.File("other.h5", "w") as other:
        del file["entry/sums/square"]
        other["entry/title"] = "something else"
    assert re.search(said, refused(tmp_path, code, *arguments))


def test_work_does_not_begin_before_the_outputs_are_possible(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise AssertionError("a frame was read")

    monkeypatch.setattr(Exposures, "read", read)
    frames, nowhere = made / "f.npy", made / "none" / "x.h5"
    refused(made, 2, "center", frames, "-g", made / "g.json", "--shape", "ellipse", "-o", made / "a.poni")
    refused(made, 1, "center", frames, "-o", made / "a.poni")
    refused(made, 1, "correlate", frames, *GRID, "-o", nowhere)
    refused(made, 2, "correlate", frames, *GRID, "--coefficients", 31, "-o", made / "x.h5")
    refused(made, 2, "correlate", frames, *GRID, "--add", made / "d.h5", "-o", made / "x.h5")
    if os.geteuid():
        made.chmod(0o500)
        assert "permission denied" in refused(made, 1, "correlate", frames, *GRID, "-o", made / "x.h5")
        made.chmod(0o700)
