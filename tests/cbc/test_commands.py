"""crystint cbc: from a simulated table to merged intensities and pictures, and what is said of bad input."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import gemmi
import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from crystint.cbc import scale_step
from crystint.cbc.files import run_with, scale_file
from crystint.cbc.merge_step import scaler_of
from crystint.cbc.merging.files import read_run, setup_in, truth_in, write_run
from crystint.cbc.merging.result import agreement
from crystint.cbc.scaling.bandwidth import BandwidthChoice
from crystint.cbc.scaling.half_sets import HalfSets
from crystint.cbc.settings import ScaleSettings
from crystint.cbc.simulation.simulate import simulate_cbc
from crystint.cbc.table.table_files import read_table, write_table
from crystint.cli import main
from crystint.commands.cbc import cbc
from crystint.errors import CrystintWarning
from crystint.io.hdf5.provenance import read_provenance

FEW = ("--frames", 4, "--seed", 1, "--d-min", 3.8)
FAST = ("--bandwidth", 2e-3, "--grid", "24,24", "-q")


def run(code: int, *arguments: Any) -> Result:
    """Run a command; a failure must be one line on stderr."""
    result = CliRunner().invoke(main, ["cbc", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    if code:
        assert len([line for line in result.stderr.splitlines() if "error" in line]) == 1, result.stderr
        assert result.stderr.splitlines()[-1].startswith("crystint: error: ")
    return result


def refused(folder: Path, code: int, *arguments: Any) -> str:
    """The error of a command that must fail and leave the folder as it was."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    message = run(code, *arguments).stderr.splitlines()[-1]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return message


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """table.h5, scaled.h5: no test changes them."""
    folder = tmp_path_factory.mktemp("cbc")
    run(0, "simulate", "-o", folder / "table.h5", *FEW)
    run(0, "scale", folder / "table.h5", "-o", folder / "scaled.h5", "--symmetry", "mmm", *FAST)
    return folder


@pytest.mark.parametrize("step", sorted(cbc.commands))
def test_every_step_has_help_with_an_example(step: str) -> None:
    text = run(0, step, "--help").output
    assert "Example:" in text
    assert f"crystint cbc {step}" in text
    assert "cbc" in CliRunner().invoke(main, ["--help"]).output


def test_the_truth_comes_back_through_all_steps(made: Path, tmp_path: Path) -> None:
    scaled, truth = read_run(made / "scaled.h5"), simulate_cbc(4, seed=1, d_min=3.8)
    assert np.array_equal(scaled.table.counts, truth.table.counts)
    assert scaled.reference is not None
    both = agreement(scaled.hkl, scaled.q2, scaled.reference)
    assert both.cc > 0.999
    assert both.r < 0.04
    chi = scaled.table.chi
    assert chi is not None
    assert np.corrcoef(chi, truth.truth.chi)[0, 1] > 0.95
    assert (np.diff(scaled.trace) < 0).all()
    assert scaled.halves.shape == (2, len(scaled.q2))
    assert HalfSets(scaled.halves, "streaks").cc_half > 0.98
    outputs = [part for name in ("m.mtz", "m.hkl", "m.txt") for part in ("-o", tmp_path / name)]
    result = run(0, "merge", made / "scaled.h5", *outputs)
    assert f"{len(scaled.q2)} reflections" in result.output
    mtz = gemmi.read_mtz_file(str(tmp_path / "m.mtz"))
    assert mtz.nreflections == len(scaled.q2)
    np.testing.assert_allclose(mtz.cell.parameters, (22.1, 27.3, 33.7, 90, 90, 90), rtol=1e-5)
    assert len((tmp_path / "m.hkl").read_text().splitlines()) >= len(scaled.q2)
    run(0, "plot", made / "scaled.h5", "-o", tmp_path / "a.png", "--title", "A title")
    run(0, "plot", made / "scaled.h5", "-o", tmp_path / "b.svg", "-r", tmp_path / "m.mtz", "--frames", 2)
    assert (tmp_path / "a.png").stat().st_size > 20_000
    assert "wrote" in result.output


def test_the_file_keeps_everything(made: Path, tmp_path: Path) -> None:
    scaled = read_run(made / "scaled.h5")
    assert scaled.settings["symmetry"] == "mmm"
    assert scaled.settings["bandwidth"] == 2e-3
    assert scaled.maps.values.shape == (4, 24, 24)
    assert np.isfinite(scaled.sigma).all()
    assert (scaled.rows.sum(), len(scaled.x)) == (len(scaled.table), len(scaled.intercept) + len(scaled.q2))
    record = read_provenance(made / "scaled.h5")
    assert record["settings"]["symmetry"] == "mmm"
    assert scaled.provenance == record
    assert "date" not in str(record).lower()
    scaler, x = scaler_of(scaled)
    assert scaler.fitness(x, fit_intercept=True)[0] == pytest.approx(scaled.trace[-1], rel=1e-12)
    again = scaler.update_table(x)
    assert again.chi is not None
    assert np.array_equal(again.chi, scaled.table.chi)
    write_run(tmp_path / "again.h5", scaled, setup=setup_in(made / "scaled.h5"))
    other = read_run(tmp_path / "again.h5")
    for name in ("hkl", "q2", "sigma", "intercept", "trace", "rows", "halves"):
        assert np.array_equal(getattr(other, name), getattr(scaled, name), equal_nan=True), name
    assert np.array_equal(other.maps.values, scaled.maps.values, equal_nan=True)
    assert dict(other.settings) == dict(scaled.settings)


def test_equal_commands_give_equal_files(made: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path / "other"):
        run(0, "simulate", "-o", folder / "table.h5", "--frames", 1)
    assert (tmp_path / "table.h5").read_bytes() == (tmp_path / "other" / "table.h5").read_bytes()
    truth = truth_in(tmp_path / "table.h5")
    assert truth is not None
    assert truth.maps is not None
    assert truth.maps.mean == pytest.approx(1.0)
    assert truth_in(made / "table.h5") is not None


def test_tables_of_other_kinds(made: Path, tmp_path: Path) -> None:
    table, setup = read_table(made / "table.h5"), setup_in(made / "table.h5")
    assert setup is not None
    write_table(tmp_path / "table.csv", table.replace(u=None))
    setup.write(tmp_path / "geometry.h5")
    given = ("--setup", tmp_path / "geometry.h5", "--symmetry", "mmm")
    run(0, "scale", tmp_path / "table.csv", *given, "-o", tmp_path / "a.h5", *FAST, "--no-errors")
    ours, theirs = read_run(tmp_path / "a.h5"), read_run(made / "scaled.h5")
    np.testing.assert_allclose(ours.q2, theirs.q2, rtol=0.02)
    assert ours.reference is None
    assert setup_in(tmp_path / "a.h5") is not None
    with h5py.File(tmp_path / "cbclib.h5", "w") as file:
        for name, theirs_name in (
            ("frame", "frames"), ("streak", "index"), ("x", "x"), ("y", "y"), ("counts", "I_raw"),
            ("background", "bgd"), ("profile", "rp"),
        ):  # fmt: skip
            file[f"data/{theirs_name}"] = getattr(table, name)
        for i, name in enumerate("hkl"):
            file[f"data/{name}"] = table.hkl[:, i]  # type: ignore[index]
    run(0, "scale", tmp_path / "cbclib.h5", *given, "-o", tmp_path / "b.h5", *FAST, "--no-errors")
    assert np.array_equal(read_run(tmp_path / "b.h5").q2, ours.q2)


@pytest.mark.parametrize(
    "settings",
    [
        ("--kind", "least_squares", "--loss", "Huber"),
        ("--intercept", "--no-errors"),
        ("--method", "l-bfgs-b", "--no-errors"),
        ("--no-friedel", "--symmetry", "mm2", "--no-errors"),
        (),
    ],
)
def test_other_ways_of_scaling(made: Path, tmp_path: Path, settings: tuple[str, ...]) -> None:
    result = run(0, "scale", made / "table.h5", "-o", tmp_path / "s.h5", "--iterations", 4, *FAST, *settings)
    scaled = read_run(tmp_path / "s.h5")
    assert scaled.reference is not None
    assert agreement(scaled.hkl, scaled.q2, scaled.reference).cc > 0.98
    assert "no sigma" not in result.stderr
    assert (scaled.intercept > 0).any() == ("--intercept" in settings)
    if not settings:
        assert len(scaled.q2) == len(np.unique(scaled.table.hkl, axis=0))
        text = run(0, "merge", tmp_path / "s.h5", "-o", tmp_path / "m.txt", "--symmetry", "mmm").output
        assert f"{len(scaled.reference.q2)} reflections" in text


def test_a_bandwidth_by_cross_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(0, "simulate", "-o", tmp_path / "t.h5", "--rows", 12_000, "--frames", 3, "--reflections", 20)
    options = ("--grid", "16,16", "--iterations", 3, "--no-errors", "-q")
    run(0, "scale", tmp_path / "t.h5", "-o", tmp_path / "all.h5", *options)
    width = read_run(tmp_path / "all.h5").settings["bandwidth"]
    assert 5e-4 < width < 1e-2
    monkeypatch.setattr(scale_step, "_ENOUGH", 8_000)
    run(0, "scale", tmp_path / "t.h5", "-o", tmp_path / "some.h5", *options)
    scaled = read_run(tmp_path / "some.h5")
    assert width / 3 < scaled.settings["bandwidth"] < 3 * width
    assert len(scaled.maps.frames) == 3
    monkeypatch.setattr(scale_step, "choose_bandwidth", at_the_edge)
    result = run(0, "scale", tmp_path / "t.h5", "-o", tmp_path / "edge.h5", *options)
    assert "warning: bandwidth 0.003 predicts best, but is the last that was tried (0.001 to 0.003)" in result.stderr
    assert read_run(tmp_path / "edge.h5").settings["bandwidth"] == 2e-3


def at_the_edge(*_: Any, **__: Any) -> BandwidthChoice:
    return BandwidthChoice(
        bandwidth=2e-3, optimum=3e-3, tried=np.array([1e-3, 3e-3]), score=np.array([1.0, 0.0]),
        error=np.array([0.1, 0.0]), at_edge=True,
    )  # fmt: skip


def test_random_streaks(tmp_path: Path) -> None:
    options = ("--rows", 20_000, "--overlap", 0.3, "--reflections", 30, "--frames", 3)
    text = run(0, "simulate", "-o", tmp_path / "t.h5", *options).output
    assert "30 families" in text
    run(0, "scale", tmp_path / "t.h5", "-o", tmp_path / "s.h5", *FAST)
    scaled = read_run(tmp_path / "s.h5")
    assert scaled.reference is not None
    assert agreement(scaled.hkl, scaled.q2, scaled.reference).cc > 0.995
    assert "unit cell" in refused(tmp_path, 2, "merge", tmp_path / "s.h5", "-o", tmp_path / "m.mtz")
    run(0, "merge", tmp_path / "s.h5", "-o", tmp_path / "m.mtz", "--cell", "20,30,40,90,90,90")


@pytest.mark.parametrize(
    ("code", "arguments", "said"),
    [
        (1, ("scale", "none.h5", "-o", "s.h5"), "does not exist"),
        (2, ("scale", "table.h5", "-o", "s.csv"), "suffix '.csv'"),
        (1, ("scale", "table.h5", "-o", "scaled.h5"), "exists"),
        (
            2,
            ("scale", "table.h5", "-o", "s.h5", "--bandwidth", "wide"),
            "bandwidth: is 'wide', expected 'auto' or",
        ),
        (
            2,
            ("scale", "table.h5", "-o", "s.h5", "--bandwidth", "-1"),
            "bandwidth: is '-1', expected 'auto' or",
        ),
        (2, ("scale", "table.h5", "-o", "s.h5", "--bandwidth", "1e-5"), "without a node"),
        (2, ("scale", "table.h5", "-o", "s.h5", "--bandwidth", "1e-3", "--grid", "1,40"), "1 nodes"),
        (2, ("scale", "table.h5", "-o", "s.h5", "--bandwidth", "1e-3", "--grid", "40"), "2 numbers"),
        (2, ("scale", "table.h5", "-o", "s.h5", "--bandwidth", "1e-3", "--symmetry", "nnn"), "unknown symmetry"),
        (1, ("scale", "table.h5", "-o", "s.h5", "--bandwidth", "1e-3", "--device", "none such"), "device"),
        (1, ("scale", "table.h5", "-o", "s.h5", "--setup", "none.h5"), "does not exist"),
        (1, ("scale", "table.h5", "-o", "s.h5", "--key", "entry/none"), "no table"),
        (2, ("scale", "bare.h5", "-o", "s.h5", "--bandwidth", "1e-3"), "neither a column u nor a geometry"),
        (2, ("scale", "unindexed.csv", "-o", "s.h5", "--bandwidth", "1e-3"), "not indexed|no h, k, l"),
        (1, ("merge", "table.h5", "-o", "m.mtz"), "holds no scaling"),
        (1, ("merge", "none.h5", "-o", "m.mtz"), "does not exist"),
        (2, ("merge", "scaled.h5", "-o", "m.pdf"), "suffix '.pdf'"),
        (2, ("merge", "scaled.h5", "-o", "m.hkl", "--cell", "1,2"), "6 numbers"),
        (2, ("merge", "scaled.h5", "-o", "m.hkl", "--symmetry", "1"), "not equivalent"),
        (1, ("plot", "table.h5", "-o", "p.png"), "holds no scaling"),
        (2, ("plot", "scaled.h5", "-o", "p.bmp"), "suffix '.bmp'"),
        (1, ("plot", "scaled.h5", "-o", "p.png", "-r", "table.h5"), "expected merged intensities"),
        (2, ("simulate", "-o", "t.csv"), "suffix '.csv'"),
        (2, ("simulate", "-o", "t.h5", "--symmetry", "nnn"), "unknown symmetry"),
        (2, ("simulate", "-o", "t.h5", "--overlap", "0.3"), "random streaks"),
        (2, ("simulate", "-o", "t.h5", "--rows", "100", "--symmetry", "mmm"), "of a crystal"),
        (1, ("simulate", "-o", "table.h5"), "exists"),
    ],
)
def test_bad_input_is_refused_in_a_line(
    made: Path, tmp_path: Path, code: int, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("table.h5", "scaled.h5"):
        (tmp_path / name).symlink_to(made / name)
    if arguments[1] in ("bare.h5", "unindexed.csv"):
        table = read_table(made / "table.h5")
        write_table(tmp_path / "bare.h5", table.replace(u=None))
        write_table(tmp_path / "unindexed.csv", table.replace(hkl=None))
    assert re.search(said, refused(tmp_path, code, *arguments))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("scale", "table.h5", "-o", "table.h5"), "table.h5"),
        (("scale", "table.csv", "--setup", "setup.h5", "-o", "setup.h5"), "setup.h5"),
        (("scale", "table.h5", "--config", "scale.h5", "-o", "scale.h5"), "scale.h5"),
        (("merge", "scaled.h5", "-o", "merged.mtz", "-o", "link.mtz"), "link.mtz"),
        (("plot", "scaled.h5", "-r", "reference.png", "-o", "reference.png"), "reference.png"),
    ],
    ids=["table", "setup", "configuration", "another name", "reference"],
)
def test_no_input_is_replaced(made: Path, tmp_path: Path, arguments: tuple[str, ...], name: str) -> None:
    for file in ("table.h5", "scaled.h5"):
        (tmp_path / file).write_bytes((made / file).read_bytes())
    table, setup = read_table(made / "table.h5"), setup_in(made / "table.h5")
    assert setup is not None
    write_table(tmp_path / "table.csv", table.replace(u=None))
    setup.write(tmp_path / "setup.h5")
    (tmp_path / "scale.h5").write_text("bandwidth = 1e-3\n")
    (tmp_path / "link.mtz").symlink_to("scaled.h5")
    run(0, "merge", made / "scaled.h5", "-o", tmp_path / "reference.mtz")
    (tmp_path / "reference.mtz").rename(tmp_path / "reference.png")
    words = [str(tmp_path / word) if "." in word else word for word in arguments]
    assert f"{name} is also an input" in refused(tmp_path, 1, *words, "--overwrite")


def test_settings_come_from_a_file_and_all_are_in_the_provenance(made: Path, tmp_path: Path) -> None:
    (tmp_path / "scale.toml").write_text('symmetry = "mmm"\nbandwidth = 1e-3\ngrid = [16, 16]\niterations = 2\n')
    setup = setup_in(made / "table.h5")
    assert setup is not None
    setup.write(tmp_path / "setup.h5")
    words = ("--config", tmp_path / "scale.toml", "--setup", tmp_path / "setup.h5", "--bandwidth", 2e-3, "--no-errors")
    run(0, "scale", made / "table.h5", "-o", tmp_path / "s.h5", *words)
    scaled, record = read_run(tmp_path / "s.h5"), read_provenance(tmp_path / "s.h5")
    assert (scaled.settings["symmetry"], scaled.settings["bandwidth"], scaled.settings["n_iter"]) == ("mmm", 2e-3, 2)
    assert scaled.maps.values.shape == (4, 16, 16)
    assert record["inputs"] == [str(made / "table.h5"), str(tmp_path / "setup.h5"), str(tmp_path / "scale.toml")]
    assert set(record["settings"]) >= set(ScaleSettings.model_fields) - {"key"}
    assert record["settings"]["device"] == "numpy"


def test_progress_is_that_of_all_steps(made: Path, tmp_path: Path) -> None:
    words = ("--bandwidth", 2e-3, "--grid", "12,12", "--iterations", 2, "--no-errors")
    text = run(0, "scale", made / "table.h5", "-o", tmp_path / "s.h5", *words).stderr
    assert "scaling: 2/2" in text
    seen: list[tuple[int, str]] = []

    def watch(items: Iterable[Any], total: int, what: str) -> Iterator[Any]:
        for item in items:
            seen.append((total, what))
            yield item

    options: dict[str, Any] = {"grid": (8, 8), "iterations": 2, "errors": False, "progress": watch}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CrystintWarning)  # the best bandwidth may be at an end
        outcome = scale_file(made / "table.h5", tmp_path / "auto.h5", **options)
    assert seen == [(8, "bandwidths")] * 8 + [(2, "scaling")] * (len(outcome.result.trace) - 1)


def test_a_group_alone_prints_its_steps() -> None:
    text = run(0).output
    assert all(re.search(rf"^  {step} ", text, re.MULTILINE) for step in ("simulate", "scale", "merge", "plot"))


@pytest.mark.parametrize("suffix", ["cif", "mmcif", "ent"])
def test_references_of_every_kind_of_mmcif(made: Path, tmp_path: Path, suffix: str) -> None:
    run(0, "merge", made / "scaled.h5", "-o", tmp_path / "m.mtz")
    mtz = gemmi.read_mtz_file(str(tmp_path / "m.mtz"))
    convert = gemmi.MtzToCif()
    spec = ("H H index_h", "K H index_k", "L H index_l", "IMEAN J intensity_meas", "SIGIMEAN Q intensity_sigma")
    convert.spec_lines = list(spec)
    (tmp_path / f"m.{suffix}").write_text(convert.write_cif_to_string(mtz))
    other = run_with(made / "scaled.h5", tmp_path / f"m.{suffix}").reference
    same = run_with(made / "scaled.h5", tmp_path / "m.mtz").reference
    assert other is not None
    assert same is not None
    assert (other.name, other.symmetry) == (same.name, same.symmetry)
    assert np.array_equal(other.hkl, same.hkl)
    np.testing.assert_allclose(other.q2, same.q2, rtol=1e-5)
    run(0, "plot", made / "scaled.h5", "-o", tmp_path / "p.png", "-r", tmp_path / f"m.{suffix}")


def test_merged_text_carries_where_it_comes_from(made: Path, tmp_path: Path) -> None:
    run(0, "merge", made / "scaled.h5", "-o", tmp_path / "m.txt", "--no-friedel", "--symmetry", "mmm")
    (line,) = [line for line in (tmp_path / "m.txt").read_text().splitlines() if line.startswith("# {")]
    record = json.loads(line[2:])
    assert record["inputs"] == [str(made / "scaled.h5")]
    cell = record["settings"].pop("cell")
    assert record["settings"] == {"symmetry": "mmm", "friedel": False, "bandwidth": 2e-3}
    np.testing.assert_allclose(cell, (22.1, 27.3, 33.7, 90, 90, 90), rtol=1e-9)
    rows = np.loadtxt(tmp_path / "m.txt")
    assert rows.shape[1] == 6
