"""crystint correlate center: from frames of simulated rings to geometries and pictures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from crystint.correlate import steps
from crystint.errors import CrystintWarning, FileError
from crystint.model.geometry import Geometry
from crystint.run.execution import Execution
from tests.correlate.case import damaged, refused, run
from tests.oracles import correlate_rings as oracle

SHAPE, CENTER = (230, 242), (118.4, 119.7)
OFF = "129.0,109.1"
"""15 px away"""
PIXEL, DISTANCE = 150e-6, 0.06


def frames_of(radius: np.ndarray, rings: list[float], count: int = 3, seed: int = 0) -> np.ndarray:
    """int32 [count, slow, fast]: rings on counts of 300, and hot pixels."""
    return np.array(
        [oracle.powder(np.random.default_rng([seed, n]), radius, rings, 2.0, 0.5, 300.0) for n in range(count)]
    ).astype(np.int32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """f.npy: circles; mask.npy; start.poni, off by 15 px: no test changes them."""
    folder = tmp_path_factory.mktemp("center")
    np.save(folder / "f.npy", frames_of(oracle.circle_radius(SHAPE, CENTER), [60.0, 90.0]))
    np.save(folder / "mask.npy", oracle.gaps(SHAPE).astype(np.uint8))
    Geometry(SHAPE, (PIXEL, PIXEL), DISTANCE, beam_center=(129.0, 109.1), wavelength=1.0).write(folder / "start.poni")
    return folder


def centre_of(text: str) -> np.ndarray:
    """[centre or error, slow or fast] of the line that tells it."""
    found = re.search(r"centre \(slow, fast\) +([\d.]+) ± ([\d.]+), ([\d.]+) ± ([\d.]+) px", text)
    assert found, text
    return np.array([float(part) for part in found.groups()]).reshape(2, 2).T


@pytest.mark.parametrize("mask", [False, True])
def test_the_centre_from_15_px_off(made: Path, mask: bool) -> None:
    more = ("-m", made / "mask.npy") if mask else ()
    text = run(0, "center", made / "f.npy", "--beam", OFF, *more, "-q").stdout
    place, error = centre_of(text)
    assert np.abs(place - CENTER).max() < 0.05
    assert (np.abs(place - CENTER) < 5 * error + 1e-3).all()
    radii = [float(one) for one in re.findall(r"^ +\d +([\d.]+) ±", text, re.M)]
    assert radii == pytest.approx([60, 90], abs=0.1)
    near = centre_of(run(0, "center", made / "f.npy", "--beam", "118,120", *more, "-q").stdout)
    assert np.abs(place - near[0]).max() < 0.02


def test_masked_pixels_take_no_part(made: Path, tmp_path: Path) -> None:
    frames = np.load(made / "f.npy")
    other = frames_of(oracle.circle_radius(SHAPE, (100.0, 140.0)), [60.0, 90.0])
    half = np.indices(SHAPE)[1] > 118
    np.save(tmp_path / "f.npy", np.where(half, 20 * other, frames))
    np.save(tmp_path / "half.npy", half.astype(np.uint8))
    right = centre_of(run(0, "center", tmp_path / "f.npy", "-m", tmp_path / "half.npy", "--beam", OFF, "-q").stdout)
    assert np.abs(right[0] - CENTER).max() < 0.1
    wrong = refused(tmp_path, 2, "center", tmp_path / "f.npy", "--beam", OFF, "-q")
    assert "whose rings lie about (100, 142)" in wrong


def test_geometries_and_pictures_are_written(made: Path, tmp_path: Path) -> None:
    names = [tmp_path / name for name in ("a.poni", "a.json", "a.png", "a.svg")]
    outputs = [part for name in names for part in ("-o", name)]
    text = run(0, "center", made / "f.npy", "-g", made / "start.poni", *outputs, "-q").stdout
    assert all(f"wrote {name}" in text for name in names)
    for name in names[:2]:
        found = Geometry.read(name, shape=SHAPE) if name.suffix == ".poni" else Geometry.read(name)
        assert np.abs(np.subtract(found.direct_beam, CENTER)).max() < 0.02
        assert (found.distance, found.wavelength) == pytest.approx((DISTANCE, 1.0), rel=1e-6)
        assert found.pixel_size == pytest.approx((PIXEL, PIXEL))
        assert found.rotation == pytest.approx((0, 0, 0), abs=1e-12)
    assert names[2].stat().st_size > 20_000
    assert names[2].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in names[3].read_bytes()
    given = ("--beam", OFF, "--distance", "60mm", "--pixel-size", "150um")
    run(0, "center", made / "f.npy", *given, "-o", tmp_path / "b.json", "-q")
    assert np.abs(np.subtract(Geometry.read(tmp_path / "b.json").direct_beam, CENTER)).max() < 0.02
    assert "exists" in refused(tmp_path, 1, "center", made / "f.npy", *given, "-o", tmp_path / "b.json")
    run(0, "center", made / "f.npy", *given, "-o", tmp_path / "b.json", "-q", "--overwrite")


def test_an_ellipse(tmp_path: Path) -> None:
    radius = oracle.ellipse_radius(SHAPE, CENTER, 1.04, 0.6)
    np.save(tmp_path / "f.npy", frames_of(radius, [60.0, 90.0]))
    text = run(
        0, "center", tmp_path / "f.npy", "--shape", "ellipse", "--beam", OFF, "-q", "-o", tmp_path / "e.png"
    ).stdout
    assert np.abs(centre_of(text)[0] - CENTER).max() < 0.05
    found = re.search(r"axis ratio +([\d.]+), long axis ([-\d.]+) deg", text)
    assert found
    assert float(found[1]) == pytest.approx(1.04, abs=1e-3)
    assert float(found[2]) % 180 == pytest.approx(np.degrees(0.6), abs=1)
    said = refused(tmp_path, 2, "center", tmp_path / "f.npy", "--shape", "ellipse", "-o", tmp_path / "e.poni")
    assert "an ellipse is no geometry" in said


TILT = (np.radians(2.0), np.radians(-1.2))


def calibrant(q: list[float], distance: float) -> tuple[np.ndarray, Geometry]:
    """Frames of a tilted detector, and its geometry."""
    poni = (116.0, 121.0)
    truth = Geometry(SHAPE, (PIXEL, PIXEL), distance, beam_center=poni, rotation=(*TILT, 0.0), wavelength=1.0)
    angle = oracle.two_theta(SHAPE, PIXEL, distance, poni, *TILT)
    along = truth.distance_along_beam / PIXEL
    rings = [along * np.tan(2 * np.arcsin(one / (4 * np.pi))) for one in q]
    return frames_of(along * np.tan(angle), rings, count=4), truth


def test_a_tilt(tmp_path: Path) -> None:
    frames, truth = calibrant([0.9, 1.2, 1.45], DISTANCE)
    np.save(tmp_path / "f.npy", frames)
    slow, fast = np.add(truth.direct_beam, (9.0, -9.0))
    start = ("--beam", f"{slow},{fast}", "--distance", f"{truth.distance_along_beam} m", "--pixel-size", "150um")
    options = ("--shape", "tilt", "-o", tmp_path / "t.json", "-o", tmp_path / "t.poni", "-o", tmp_path / "t.png")
    text = run(0, "center", tmp_path / "f.npy", *start, *options, "-q").stdout
    assert np.abs(centre_of(text)[0] - truth.direct_beam).max() < 0.3
    found = re.search(r"tilt \(rot1, rot2\) +([-\d.]+) ± ([\d.]+), ([-\d.]+) ± ([\d.]+) deg", text)
    assert found
    rot1, error1, rot2, error2 = map(float, found.groups())
    assert abs(rot1 - 2.0) < max(5 * error1, 0.02) < 0.6
    assert abs(rot2 + 1.2) < max(5 * error2, 0.02) < 0.6
    for written in (Geometry.read(tmp_path / "t.json"), Geometry.read(tmp_path / "t.poni", shape=SHAPE)):
        assert np.degrees(written.rotation[:2]) == pytest.approx((rot1, rot2), abs=1e-3)
        assert written.direct_beam == pytest.approx(tuple(centre_of(text)[0]), abs=2e-3)
        assert written.distance_along_beam == pytest.approx(truth.distance_along_beam, rel=1e-4)


@pytest.mark.parametrize("shape", ["tilt", "circle"])
def test_rings_of_a_calibrant_give_the_distance(tmp_path: Path, shape: str) -> None:
    q = [0.9, 1.2, 1.45]
    frames, truth = calibrant(q, DISTANCE)
    if shape == "circle":
        along = DISTANCE / PIXEL
        rings = [along * np.tan(2 * np.arcsin(one / (4 * np.pi))) for one in q]
        frames = frames_of(oracle.circle_radius(SHAPE, CENTER), rings)
        truth = Geometry(SHAPE, (PIXEL, PIXEL), DISTANCE, beam_center=CENTER, wavelength=1.0)
    np.save(tmp_path / "f.npy", frames)
    slow, fast = np.add(truth.direct_beam, (-8.0, 10.0))
    Geometry(SHAPE, (PIXEL, PIXEL), 1.04 * DISTANCE, beam_center=(slow, fast), wavelength=1.0).write(
        tmp_path / "s.json"
    )
    options = ("--shape", shape, "--ring-q", "0.9,1.2,1.45,2.5", "-o", tmp_path / "t.json")
    text = run(0, "center", tmp_path / "f.npy", "-g", tmp_path / "s.json", *options, "-q").stdout
    found = Geometry.read(tmp_path / "t.json")
    told = re.search(r"distance along beam +([\d.]+) ± ([\d.]+) mm", text)
    assert told
    assert float(told[1]) == pytest.approx(1e3 * truth.distance_along_beam, rel=2e-3)
    assert found.distance_along_beam == pytest.approx(1e-3 * float(told[1]), rel=1e-5)
    assert np.abs(centre_of(text)[0] - truth.direct_beam).max() < 0.3
    assert found.direct_beam == pytest.approx(tuple(centre_of(text)[0]), abs=2e-3)
    assert np.degrees(found.rotation[:2]) == pytest.approx(np.degrees(truth.rotation[:2]), abs=0.3)
    lines = re.findall(r"^ +(\d\.\d{4})  ([-+][\d.]+)$", text, re.M)
    assert [float(one) for one, _ in lines] == q
    assert max(abs(float(rest)) for _, rest in lines) < 0.1


def test_where_there_is_no_ring_it_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.random.default_rng(0).poisson(50.0, (120, 120)).astype(np.int32))
    said = refused(tmp_path, 2, "center", tmp_path / "f.npy", "-q")
    assert re.search("no .*ring", said)
    np.save(tmp_path / "zero.npy", np.zeros((120, 120), np.uint16))
    assert re.search("ring|pixel|count", refused(tmp_path, 2, "center", tmp_path / "zero.npy", "-q"))
    np.save(tmp_path / "all.npy", np.ones((120, 120), np.uint8))
    said = refused(tmp_path, 1, "center", tmp_path / "f.npy", "-m", tmp_path / "all.npy", "-q")
    assert "the mask covers the whole frame" in said
    frames, truth = calibrant([0.9, 1.2], DISTANCE)
    np.save(tmp_path / "c.npy", frames)
    truth.write(tmp_path / "g.json")
    said = refused(tmp_path, 2, "center", tmp_path / "c.npy", "-g", tmp_path / "g.json", "--ring-q", "1.6,1.7", "-q")
    assert "fit the calibrant's" in said


def test_the_middle_of_the_frame_is_a_start_and_rings_not_found_are_named(made: Path, tmp_path: Path) -> None:
    given = ("--distance", "60mm", "--pixel-size", "150um", "--reach", "10", "-q")
    result = run(0, "center", made / "f.npy", *given, "--radius", "30", "-o", tmp_path / "m.json")
    assert np.abs(np.subtract(Geometry.read(tmp_path / "m.json").direct_beam, CENTER)).max() < 0.02
    assert "no ring was found within 10 px of the radius 30 px" in result.stderr
    assert "radius 60" not in run(0, "center", made / "f.npy", *given, "--radius", "60").stderr
    assert "no ring of radius 400 px" in refused(tmp_path, 2, "center", made / "f.npy", *given, "--radius", "400")
    said = refused(tmp_path, 1, "center", made / "f.npy", "--pixel-size", "150um", "-o", tmp_path / "n.json")
    assert "--distance" in said


def test_the_picture_of_a_calibrant_shows_its_own_rings(made: Path, tmp_path: Path) -> None:
    q = 4 * np.pi * np.sin(0.5 * np.arctan(np.array([90.0, 112.0]) * PIXEL / DISTANCE))
    options = ("--ring-q", f"{q[0]:.5f},{q[1]:.5f}", "-o", tmp_path / "c.svg", "--radius", "112", "-q")
    result = run(0, "center", made / "f.npy", "-g", made / "start.poni", *options)
    assert re.search(rf"{q[1]:.4f}  not found at 11[12]\.\d px", result.stdout)
    assert "no ring of the calibrant was found within 10 px of the radius 112 px" in result.stderr
    settings = {"ring_q": q.tolist(), "geometry": made / "start.poni"}
    found = steps.CENTER([made / "f.npy"], settings=settings).result
    assert found.calibrated is not None
    assert found.rings is found.calibrated.rings
    assert found.rings.radius == pytest.approx([90.0], abs=0.1)  # 60 px is none of the calibrant's


def test_frames_are_added_up(tmp_path: Path) -> None:
    frames = frames_of(oracle.circle_radius(SHAPE, CENTER), [60.0, 90.0]).astype(np.float32)
    frames[0, 5, 7], frames[:, 9, 11] = np.nan, np.nan
    mask = np.zeros(SHAPE, np.uint32)
    mask[3, 4] = 1
    np.save(tmp_path / "f.npy", frames)
    np.save(tmp_path / "mask.npy", mask)
    outcome = steps.CENTER([tmp_path / "f.npy"], settings={"beam": CENTER, "mask": [tmp_path / "mask.npy"]})
    total = outcome.result.image
    assert np.isnan(total).sum() == 2
    assert np.isnan(total[[9, 3], [11, 4]]).all()
    assert total[5, 7] == pytest.approx(1.5 * frames[1:, 5, 7].sum())
    good = np.isfinite(frames).all(axis=0) & (mask == 0)
    np.testing.assert_allclose(total[good], frames.sum(axis=0)[good], rtol=1e-6)
    assert outcome.result.geometry is None
    assert (outcome.frames, outcome.of) == (3, 3)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_groups_of_frames_are_added_up_exactly(tmp_path: Path, dtype: type) -> None:
    """From 128 frames on, several are a unit of work; those that cannot be read are named one by one."""
    few = frames_of(oracle.circle_radius(SHAPE, CENTER), [60.0, 90.0], count=5).astype(dtype)
    if dtype == np.float32:
        few += np.float32(0.25)
    frames = few[np.arange(150) % 5]
    bad = (0, 77, 149)
    source = damaged(tmp_path / "f.h5", frames, bad)
    with pytest.warns(CrystintWarning, match=r"frame (0|77|149)\b"):
        outcome = steps.CENTER([source], settings={"beam": CENTER})
    left = np.delete(frames, bad, axis=0)
    np.testing.assert_array_equal(outcome.result.image, left.sum(axis=0, dtype=np.float64))
    assert list(outcome.missing) == list(bad)
    assert (outcome.frames, outcome.of) == (150, 150)
    with pytest.raises(FileError, match="frame 0"):
        steps.CENTER([source], settings={"beam": CENTER}, execution=Execution(strict=True))


def test_a_damaged_frame_is_left_out(made: Path, tmp_path: Path) -> None:
    source = damaged(tmp_path / "f.h5", np.load(made / "f.npy"), (1,))
    result = run(3, "center", source, "-g", made / "start.poni", "-q", "-o", tmp_path / "a.json")
    assert np.abs(centre_of(result.stdout)[0] - CENTER).max() < 0.05
    assert "1 of 3 frames could not be read and are recorded as missing: 1" in result.stderr
    assert np.abs(np.subtract(Geometry.read(tmp_path / "a.json").direct_beam, CENTER)).max() < 0.05
