"""crystint stills refine: known errors of orientation and distance shrink, and what it writes is integrated again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.spatial.transform import Rotation

from crystint.cli import main
from crystint.errors import CrystintWarning
from crystint.io.frames.sequence import open_frames
from crystint.prediction.partiality import RockingWidth
from crystint.stills.files import StillsRun, read_stills, write_stills
from crystint.stills.integration.integrate import integrate
from crystint.stills.simulation.crystal import Crystal
from crystint.stills.simulation.files import write_frames
from crystint.stills.simulation.simulate import SimulatedStills, simulate_stills
from crystint.stills.step_functions import refine_files

IMAGES, D_MIN, WIDTH = 24, 3.0, RockingWidth(1e-3)


def run(code: int, *arguments: Any) -> str:
    result = CliRunner().invoke(main, ["stills", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def simulated(**more: Any) -> SimulatedStills:
    crystal = Crystal(intensity=1000.0)
    return simulate_stills(
        IMAGES, crystal=crystal, d_min=D_MIN, shape=(400, 420), distance=0.07, domain=1e-3, seed=3, **more
    )


def write_integrated(path: Path, data: SimulatedStills, experiment: Any) -> StillsRun:
    write_frames(data, path.with_name("frames.h5"))
    with open_frames(path.with_name("frames.h5")) as frames:
        done = integrate(frames, experiment, d_min=D_MIN, width=WIDTH)
    integrated = StillsRun(
        experiment=experiment, observations=done.observations, moments=done.moments, width=WIDTH, provenance={}
    )
    write_stills(path, integrated)
    return integrated


@pytest.fixture(scope="module")
def tilted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulatedStills, StillsRun]:
    """frames.h5 and integrated.h5 of orientations that are off by 1 mrad."""
    folder = tmp_path_factory.mktemp("refine")
    data = simulated(orientation_error=1e-3)
    return folder, data, write_integrated(folder / "integrated.h5", data, data.experiment)


def error_of(run: StillsRun, data: SimulatedStills) -> np.ndarray:
    """float64 [images, 3], rad: of the orientations."""
    return Rotation.from_matrix(data.setting @ np.linalg.inv(run.images.setting)).as_rotvec()


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def test_orientations_come_back_and_are_integrated_again(tilted: Any, tmp_path: Path) -> None:
    folder, data, integrated = tilted
    output = run(0, "refine", folder / "integrated.h5", "-o", tmp_path / "refined.h5")
    assert f"{IMAGES} of {IMAGES} images turned by 0.0" in output
    assert f"centroids of {len(integrated.moments)} spots" in output
    assert "it helps: " in output
    refined = read_stills(tmp_path / "refined.h5")
    before, after = error_of(integrated, data), error_of(refined, data)
    assert rms(after) < 0.4 * rms(before)
    assert rms(after[:, 2]) < 0.1 * rms(before[:, 2])
    assert np.allclose(Rotation.from_rotvec(refined.extra["rotation"]).as_matrix() @ integrated.images.setting,
                       refined.images.setting, atol=1e-12)  # fmt: skip
    assert refined.observations is None
    assert refined.width is None  # the next integration measures it
    assert refined.provenance["settings"]["width"]["domain"] == 1e-3
    assert refined.images.source == integrated.images.source

    again = ("integrate", tmp_path / "refined.h5", folder / "frames.h5", "-o", tmp_path / "again.h5")
    assert "(measured)" in run(0, *again, "--d-min", D_MIN, "-q")
    moments = read_stills(tmp_path / "again.h5").moments
    assert moments is not None
    both = [set(zip(m.image.tolist(), map(tuple, m.hkl.tolist()))) for m in (moments, integrated.moments)]
    assert len(both[0] & both[1]) > 0.9 * len(both[1])
    twice = run(0, "refine", tmp_path / "again.h5", "-o", tmp_path / "twice.h5")
    assert "it does not help" in twice


def test_where_it_does_not_help_images_are_written_as_they_were(tilted: Any, tmp_path: Path) -> None:
    folder, _, integrated = tilted
    held = ("--prior-rotation", 1e-7)
    output = run(0, "refine", folder / "integrated.h5", "-o", tmp_path / "held.h5", *held)
    assert "it does not help" in output
    assert output.splitlines()[1].endswith("; all images are written as they were")
    written = read_stills(tmp_path / "held.h5")
    assert np.array_equal(written.images.setting, integrated.images.setting)
    assert not written.extra["helps"]


def test_distances_are_refined_where_that_is_asked_for(tmp_path: Path) -> None:
    data = simulated()
    detector = data.experiment.detectors[0]
    panel = detector.panels[0]
    near = replace(panel, origin=(*panel.origin[:2], panel.origin[2] * (1.0 - 4e-3)))
    wrong = replace(data.experiment, detectors=(replace(detector, panels=(near,)),))
    write_integrated(tmp_path / "i.h5", data, wrong)
    output = run(0, "refine", tmp_path / "i.h5", "-o", tmp_path / "r.h5", "--prior-distance", 1e-2)
    assert "distances changed by +0.4" in output
    assert "it helps" in output
    refined = read_stills(tmp_path / "r.h5")
    assert np.allclose(refined.extra["distance"], 4e-3, atol=1e-3)
    places = [refined.images.detectors[n].panels[0].origin[2] for n in refined.images.detector]
    assert np.allclose(places, panel.origin[2], rtol=1e-3)
    again = ("integrate", tmp_path / "r.h5", tmp_path / "frames.h5", "-o", tmp_path / "again.h5", "-q")
    assert f"on {IMAGES} of {IMAGES} images" in run(0, *again, "--d-min", 4.0, "--domain", 1e-3)


def test_images_and_spots_that_are_left_out_are_named(tilted: Any, tmp_path: Path) -> None:
    _, _, integrated = tilted
    moments = integrated.moments
    rows = np.flatnonzero((moments.image != 3) & ((moments.image != 5) | (np.cumsum(moments.image == 5) <= 4)))
    moments = moments.select(rows)
    slow, hkl = moments.centroid_slow.copy(), moments.hkl.copy()
    slow[:7], hkl[10] = np.nan, 0
    moments = replace(moments, centroid_slow=slow, hkl=hkl)
    write_stills(tmp_path / "some.h5", integrated, moments=moments)
    output = run(0, "refine", tmp_path / "some.h5", "-o", tmp_path / "r.h5")
    names = integrated.images.name
    assert f"{names[3]}: no centroids; left as it was" in output
    assert f"{names[5]}: 4 centroids, 10 needed to refine it; left as it was" in output
    assert "1 spot of hkl 0 0 0" in output
    assert f"{IMAGES - 2} of {IMAGES} images turned" in output
    assert "7 spots without a centroid not used" in output
    refined = read_stills(tmp_path / "r.h5")
    same = np.isclose(refined.images.setting, integrated.images.setting, rtol=0, atol=1e-12).all(axis=(1, 2))
    assert np.flatnonzero(same).tolist() == [3, 5] == sorted(refined.notes)
    assert any("hkl 0 0 0" in text for text in refined.extra["warnings"])
    with pytest.warns(CrystintWarning, match="hkl 0 0 0"):
        assert sorted(refine_files(tmp_path / "some.h5", [tmp_path / "m.h5"], min_spots=4).notes) == [3]
    error = run(1, "refine", tmp_path / "some.h5", "-o", tmp_path / "none.h5", "--min-spots", 100000)
    assert f"none of {IMAGES} images can be refined: {names[0]}: " in error
    assert not (tmp_path / "none.h5").exists()


def test_files_without_centroids_are_refused(tilted: Any, tmp_path: Path) -> None:
    folder, _, integrated = tilted
    write_stills(tmp_path / "scaled.h5", integrated, moments=None)
    for source in (tmp_path / "scaled.h5", folder / "frames.expt"):
        error = run(1, "refine", source, "-o", tmp_path / "o.h5")
        assert "holds no centroids of spots; expected an .h5 of crystint stills integrate" in error
    write_stills(tmp_path / "bare.h5", moments=integrated.moments)
    assert "holds no images" in run(1, "refine", tmp_path / "bare.h5", "-o", tmp_path / "o.h5")
    assert not (tmp_path / "o.h5").exists()
