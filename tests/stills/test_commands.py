"""crystint stills: from simulated frames to merged intensities, and what is said of bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from click.testing import CliRunner, Result

from crystint.cli import main
from crystint.commands.stills import stills
from crystint.io.reflections.dials_table import read_table
from crystint.stills.files import read_stills, write_stills

STEPS = sorted(stills.commands)
DETECTOR = ("--shape", "1001,1031", "--pixel-size", "344e-6")


def run(code: int, *arguments: Any) -> Result:
    result = CliRunner().invoke(main, ["stills", *map(str, arguments)], standalone_mode=True)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """frames.h5, frames.expt, truth.h5, reference.mtz, integrated.h5, scaled.h5: no test changes them."""
    folder = tmp_path_factory.mktemp("stills")
    run(0, "simulate", "-o", folder, "--frames", 12, *DETECTOR, "--d-min", 2.4, "--intensity", 8000, "--seed", 5)
    run(0, "integrate", folder / "frames.expt", folder / "frames.h5", "-o", folder / "integrated.h5", "--d-min", 2.4)
    scaled = ("scale", folder / "integrated.h5", "-o", folder / "scaled.h5", "-o", folder / "scaled.mtz")
    run(0, *scaled, "-r", folder / "reference.mtz")
    return folder


@pytest.mark.parametrize("step", STEPS)
def test_every_step_has_help_with_an_example(step: str) -> None:
    text = run(0, step, "--help").output
    assert "Example:" in text
    assert f"crystint stills {step}" in text


def test_truth_comes_back_through_all_steps(made: Path, tmp_path: Path) -> None:
    run(
        0, "merge", made / "scaled.h5", "-o", tmp_path / "merged.mtz", "-o", tmp_path / "m.h5", "-o", tmp_path / "m.txt"
    )
    truth, scaled = read_stills(made / "truth.h5"), read_stills(made / "scaled.h5")
    assert scaled.scales is not None
    assert scaled.width is not None
    assert np.abs(scaled.scales.ln_g - truth.extra["ln_g"]).max() < 0.05
    assert np.abs(scaled.scales.b - truth.extra["b"]).max() < 2.0
    assert scaled.width.at(3.0, 1.0) == pytest.approx(1e-3, rel=0.05)
    merged, known = gemmi.read_mtz_file(str(tmp_path / "merged.mtz")), gemmi.read_mtz_file(str(made / "reference.mtz"))
    true = {
        tuple(hkl): value for hkl, value in zip(known.make_miller_array().tolist(), known.column_with_label("IMEAN"))
    }
    pairs = [
        (value, true[tuple(hkl)])
        for hkl, value in zip(merged.make_miller_array().tolist(), merged.column_with_label("IMEAN"))
    ]
    assert len(pairs) > 1000
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.99
    assert {"F", "SIGF", "N"} <= set(merged.column_labels())
    assert "ERROR MODEL" in (tmp_path / "m.txt").read_text()
    again = read_stills(tmp_path / "m.h5")
    assert again.merged is not None
    assert len(again.merged) == merged.nreflections


def test_prediction_in_three_formats(made: Path, tmp_path: Path) -> None:
    outputs = [part for name in ("p.refl", "p.csv", "p.h5") for part in ("-o", tmp_path / name)]
    result = run(0, "predict", made / "frames.expt", *outputs, "--d-min", 3, "--domain", 1e-3)
    assert "reflections on 12 of 12 images" in result.output
    table = read_table(tmp_path / "p.refl")
    lines = (tmp_path / "p.csv").read_text().splitlines()
    observations = read_stills(tmp_path / "p.h5").observations
    assert observations is not None
    assert len(table) == len(lines) - 1 == len(observations) > 500
    place = table["xyzcal.px"]
    assert np.allclose(place[:, 0], observations.fast, atol=1e-3)
    assert np.allclose(place[:, 1], observations.slow, atol=1e-3)
    assert np.array_equal(np.floor(place[:, 2]), observations.image)
    assert np.array_equal(table["miller_index"], observations.hkl)


def test_scaling_without_a_reference(made: Path, tmp_path: Path) -> None:
    result = run(0, "scale", made / "integrated.h5", "-o", tmp_path / "self.h5")
    assert "scaled to one another" in result.output
    truth, scaled = read_stills(made / "truth.h5"), read_stills(tmp_path / "self.h5")
    assert scaled.scales is not None
    good = np.isfinite(scaled.scales.ln_g)
    assert good.sum() >= 10
    error = (scaled.scales.ln_g - truth.extra["ln_g"])[good]
    assert error.std() < 0.2


def test_pictures(made: Path, tmp_path: Path) -> None:
    run(0, "merge", made / "scaled.h5", "-o", tmp_path / "merged.png")
    assert (tmp_path / "merged.png").read_bytes().startswith(b"\x89PNG")


def test_a_frame_that_is_not_there_is_named_and_the_rest_goes_on(made: Path, tmp_path: Path) -> None:
    whole = read_stills(made / "integrated.h5").experiment
    assert whole is not None
    singular = whole.setting.copy()
    singular[3, :, 2] = singular[3, :, 1]
    source = list(whole.source)
    source[5] = source[5].replace("//5", "//99")
    odd = whole.select(np.arange(12))
    object.__setattr__(odd, "setting", singular)
    object.__setattr__(odd, "source", tuple(source))
    write_stills(tmp_path / "odd.h5", experiment=odd)
    files = (tmp_path / "odd.h5", made / "frames.h5", "-o", tmp_path / "i.h5")
    result = run(0, "integrate", *files, "--d-min", 3, "--domain", 1e-3, "-q")
    assert "orientation matrix is singular" in result.output
    assert "frames.h5//5: its frame is not among the 12 given" in result.output
    found = read_stills(tmp_path / "i.h5").observations
    assert found is not None
    assert sorted(set(found.image.tolist())) == [0, 1, 2, 4, 6, 7, 8, 9, 10, 11]


def test_widths_of_the_profile_reach_the_end(made: Path, tmp_path: Path) -> None:
    run(0, "merge", made / "scaled.h5", "-o", tmp_path / "m.h5", "-o", tmp_path / "m.txt")
    first, last = read_stills(made / "integrated.h5").profile, read_stills(tmp_path / "m.h5").profile
    assert first is not None
    assert last is not None
    assert np.array_equal(first.radial, last.radial)


def test_an_ambiguity_is_told_and_resolved(tmp_path: Path) -> None:
    cell = ("--cell", "78,78,38,90,90,90", "--space-group", "P4")
    options = ("--d-min", 3.5, "--no-images", "--seed", 2, *cell)
    run(0, "simulate", "-o", tmp_path, "--frames", 20, "--free-indexing", *options)
    result = run(0, "scale", tmp_path / "truth.h5", "-o", tmp_path / "mixed.h5")
    assert "--reindex resolves it" in result.output
    result = run(0, "scale", tmp_path / "truth.h5", "-o", tmp_path / "one.h5", "--reindex")
    assert "; resolved" in result.output
    values = []
    for name in ("mixed", "one"):
        run(0, "merge", tmp_path / f"{name}.h5", "-o", tmp_path / f"{name}_merged.h5")
        merged = read_stills(tmp_path / f"{name}_merged.h5").merged
        assert merged is not None
        values.append(merged.statistics.overall.r_meas)
    assert values[1] < 0.1 < 0.2 < values[0]


def test_an_ambiguity_that_cannot_be_told_is_not_said_to_be_resolvable(tmp_path: Path) -> None:
    options = ("--cell", "78,78,38,90,90,90", "--space-group", "P4", "--d-min", 5, "--no-images")
    run(0, "simulate", "-o", tmp_path, "--frames", 3, *options)
    for given in ((), ("--reindex",)):
        result = run(0, "scale", tmp_path / "truth.h5", "-o", tmp_path / "s.h5", "--overwrite", *given)
        assert "cannot be told" in result.output
        assert "resolve" not in result.output


def test_a_reference_of_another_crystal_is_told(made: Path, tmp_path: Path) -> None:
    other = gemmi.read_mtz_file(str(made / "reference.mtz"))
    other.set_cell_for_all(gemmi.UnitCell(60, 70, 90, 90, 90, 90))
    other.spacegroup = gemmi.SpaceGroup("P 1 21 1")
    other.write_to_file(str(tmp_path / "other.mtz"))
    result = run(0, "scale", made / "integrated.h5", "-o", tmp_path / "s.h5", "-r", tmp_path / "other.mtz")
    assert "is it the same crystal?" in result.output
    assert "Laue class of the reference" in result.output
    few = gemmi.read_mtz_file(str(made / "reference.mtz"))
    values = np.array(few, copy=True)
    few.set_data(values[few.make_d_array() > 40])
    few.write_to_file(str(tmp_path / "few.mtz"))
    result = run(1, "scale", made / "integrated.h5", "-o", tmp_path / "few.h5", "-r", tmp_path / "few.mtz")
    assert "none of 12 images can be scaled" in result.output
    assert not (tmp_path / "few.h5").exists()


def test_the_bandwidth_is_not_taken_for_mosaicity(tmp_path: Path) -> None:
    pink = ("--bandwidth", 0.015)
    run(0, "simulate", "-o", tmp_path, "--frames", 8, *DETECTOR, "--d-min", 2.4, "--intensity", 8000, *pink)
    files = (tmp_path / "frames.expt", tmp_path / "frames.h5")
    run(0, "integrate", *files, "-o", tmp_path / "i.h5", "--d-min", 2.4, *pink)
    width = read_stills(tmp_path / "i.h5").width
    assert width is not None
    assert width.bandwidth == 0.015
    true = np.sqrt(1e-6 + 0.5 * 0.015**2 / np.array([2.5, 4.0, 8.0]) ** 4)
    assert width.at(np.array([2.5, 4.0, 8.0]), 1.0) == pytest.approx(true, rel=0.15)


def test_values_that_are_none_leave_their_images_out(made: Path, tmp_path: Path) -> None:
    whole = read_stills(made / "integrated.h5")
    table = whole.observations
    assert table is not None
    intensity, sigma = table.intensity.copy(), table.sigma.copy()
    intensity[table.image == 1] = np.nan
    sigma[table.image == 2] = -1.0
    intensity[(table.image == 3) & (np.arange(len(table)) % 2 == 0)] = np.inf
    odd = table.replace(intensity=intensity, sigma=sigma)
    write_stills(tmp_path / "odd.h5", experiment=whole.experiment, observations=odd, width=whole.width)
    result = run(0, "scale", tmp_path / "odd.h5", "-o", tmp_path / "s.h5")
    assert "frames.h5//1: no usable observations" in result.output
    assert "frames.h5//2: no usable observations" in result.output
    assert "10 of 12 images scaled" in result.output
    nothing = table.replace(intensity=np.full(len(table), np.nan))
    write_stills(tmp_path / "none.h5", experiment=whole.experiment, observations=nothing, width=whole.width)
    result = run(1, "scale", tmp_path / "none.h5", "-o", tmp_path / "n.h5")
    assert "none of 12 images can be scaled" in result.output
    assert not (tmp_path / "n.h5").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("predict", "missing.expt", "-o", "p.refl"), 1, "missing.expt does not exist"),
        (("predict", "{made}/frames.expt", "-o", "p.xyz"), 2, "expected .refl, .csv, .h5"),
        (("scale", "{made}/frames.expt", "-o", "s.h5"), 1, "has no observations"),
        (("scale", "{made}/integrated.h5", "-o", "{made}/scaled.h5"), 1, "exists"),
        (("merge", "{made}/scaled.h5", "-o", "m.mtz", "--error-model", "rough"), 2, "two numbers A,B"),
        (("merge", "{made}/scaled.h5", "-o", "m.mtz", "--space-group", "P999"), 2, "P999"),
        (("merge", "{made}/scaled.h5", "-o", "m.mtz", "--d-min", "75"), 1, "nothing can be merged"),
        (("merge", "{made}/scaled.h5", "-o", "m.mtz", "--d-min", "3", "--d-max", "2"), 2, "expected d_min below d_max"),
        (("merge", "{made}/integrated.h5", "-o", "m.mtz", "-r", "{made}/scaled.h5"), 1, "holds no merged intensities"),
        (("predict", "{made}/frames.expt", "-o", "p.csv", "--d-min", "0.01", "--domain", "1e-3"), 1, "nothing is pred"),
        (("predict", "{made}/frames.expt", "-o", "p.csv", "-o", "{made}/scaled.h5"), 1, "exists; --overwrite"),
        (("predict", "{made}/frames.expt", "-o", "p.csv", "-o", "p.csv"), 2, "the same output twice"),
        (
            ("integrate", "{made}/frames.expt", "{made}/frames.h5", "-o", "i.h5", "-o", "none/i.mtz"),
            1,
            "there is no folder",
        ),
        (("scale", "{made}/integrated.h5", "-o", "s.h5", "-o", "{made}/scaled.mtz"), 1, "exists; --overwrite"),
        (("scale", "{made}/integrated.h5", "-o", "{made}/integrated.h5", "--overwrite"), 1, "is also an input"),
        (("merge", "{made}/scaled.h5", "-o", "m.mtz", "-o", "none/m.png"), 1, "there is no folder"),
        (("simulate", "-o", "{made}"), 1, "exists; --overwrite"),
        (("simulate", "-o", "{made}/frames.h5/new"), 1, "cannot be made a folder"),
        (("simulate", "-o", "new", "--domain", "1e-9", "--frames", "1", "--d-min", "5"), 2, "nothing is simulated"),
        (("simulate", "-o", "new", "--cell", "1,2"), 2, "expected 6 numbers"),
    ],
)
def test_bad_input_is_one_clear_line(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(code, *(part.format(made=made) for part in arguments))
    assert said in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("step", ["predict", "integrate"])
def test_a_space_group_that_the_cell_contradicts_is_refused(made: Path, tmp_path: Path, step: str) -> None:
    whole = read_stills(made / "integrated.h5")
    wrong = replace(whole.experiment, space_group=gemmi.SpaceGroup("P 2 3"))
    write_stills(tmp_path / "wrong.h5", experiment=wrong, width=whole.width)
    frames = [made / "frames.h5"] if step == "integrate" else []
    result = run(2, step, tmp_path / "wrong.h5", *frames, "-o", tmp_path / "o.h5")
    assert "but space group P 2 3 needs a = b = c" in result.output
    assert not (tmp_path / "o.h5").exists()
