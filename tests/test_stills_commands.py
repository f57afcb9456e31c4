"""crystint stills: from simulated frames to merged intensities, and what is said of bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from click.testing import CliRunner, Result

from crystint.cli import main
from crystint.commands.stills import stills
from crystint.io.dials_table import read_table
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
    frame = whole.frame.copy()
    frame[5] = 99
    odd = whole.select(np.arange(12))
    object.__setattr__(odd, "setting", singular)
    object.__setattr__(odd, "frame", frame)
    write_stills(tmp_path / "odd.h5", experiment=odd)
    result = run(
        0, "integrate", tmp_path / "odd.h5", made / "frames.h5", "-o", tmp_path / "i.h5", "--d-min", 3, "--domain", 1e-3
    )
    assert "orientation matrix is singular" in result.output
    assert "frame 99" in result.output
    found = read_stills(tmp_path / "i.h5").observations
    assert found is not None
    assert sorted(set(found.image.tolist())) == [0, 1, 2, 4, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("predict", "missing.expt", "-o", "p.refl"), 1, "missing.expt cannot be read"),
        (("predict", "{made}/frames.expt", "-o", "p.xyz"), 2, "expected one of .refl, .csv, .h5"),
        (("scale", "{made}/frames.expt", "-o", "s.h5"), 1, "has no observations"),
        (("scale", "{made}/integrated.h5", "-o", "{made}/scaled.h5"), 1, "exists"),
        (("merge", "{made}/scaled.h5", "-o", "m.mtz", "--error-model", "rough"), 2, "two numbers A,B"),
        (("merge", "{made}/scaled.h5", "-o", "m.mtz", "--space-group", "P999"), 2, "P999"),
        (("merge", "{made}/scaled.h5", "-o", "m.mtz", "--d-min", "75"), 1, "nothing can be merged"),
        (("simulate", "-o", "{made}"), 1, "exists; --overwrite"),
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
