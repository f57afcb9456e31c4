"""Crystals that turn: crossings of the Ewald sphere, places and sizes of spots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest

from crystint.io.reflections.dials_experiments import read_expt
from crystint.io.reflections.dials_sweeps import Sweep, read_sweeps
from crystint.io.reflections.dials_table import read_table
from crystint.prediction.rotation import Crossings, crossings, spot_boxes
from tests.conftest import shared_data
from tests.oracles import rotation_crossings as oracle
from tests.oracles.stills_predict import hit

P1 = gemmi.SpaceGroup("P 1")
EXPECTED = Path(__file__).parents[1] / "oracles" / "rotation_dials.json"


@pytest.fixture(scope="module")
def turning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Experiments whose crystal and beam change, as DIALS writes them."""
    path = tmp_path_factory.mktemp("turning") / "turning.expt"
    path.write_text(json.dumps(json.loads(EXPECTED.read_text())["experiments"]))
    return path


def wedge(suffix: str) -> Path:
    return shared_data(f"stills/l_cysteine_wedge/11_integrated.{suffix}")


def edited(path: Path, target: Path, **scan: Any) -> Path:
    """The experiments with another scan."""
    content = json.loads(path.read_text())
    content["scan"][0] |= scan
    images = content["scan"][0]["image_range"]
    content["scan"][0]["exposure_time"] = content["scan"][0]["epochs"] = [0.1] * (images[1] - images[0] + 1)
    target.write_text(json.dumps(content))
    return target


def by_index(spots: Crossings) -> list[tuple[int, int, int, float]]:
    return sorted((*hkl, z) for hkl, z in zip(spots.hkl.tolist(), spots.z.tolist(), strict=True))


def test_where_dials_predict_puts_them(turning: Path) -> None:
    """Models that change: what dials.predict lists, nothing more, nothing less; it goes in line between images."""
    content = json.loads(EXPECTED.read_text())
    (sweep,) = read_sweeps(turning)
    spots = crossings(sweep, 1.5, read_expt(turning).space_group)
    expected = sorted(content["predicted"])
    assert len(spots) == len(expected) == 461
    order = np.lexsort([spots.z, *spots.hkl.T[::-1]])
    np.testing.assert_array_equal(spots.hkl[order], np.array(expected)[:, :3])
    off = np.array(expected)[:, 3:] - np.stack([spots.fast, spots.slow, spots.z], axis=1)[order]
    assert np.abs(off).max(axis=0).max() < 0.02


def test_on_the_real_wedge() -> None:
    """Places as dials.integrate has them, and boxes as large."""
    table = read_table(wedge("refl"))
    (sweep,) = read_sweeps(wedge("expt"))
    assert sweep.constant
    assert sweep.sigma_b is not None
    assert sweep.sigma_m is not None
    reach = sweep.n_sigma * sweep.sigma_m[0]
    spots = crossings(sweep, 0.5, read_expt(wedge("expt")).space_group, reach, np.radians(1.0))
    where = {tuple(hkl): row for row, hkl in enumerate(spots.hkl.tolist())}
    ends = spot_boxes(spots, sweep, np.full(len(spots), 2 * sweep.n_sigma * sweep.sigma_b[0]))
    half = spots.half_width(reach, sweep)
    whole = ((table["flags"] & 1) > 0) & ((table["flags"] & 0x100) > 0)
    seen = 0
    for hkl, (x, y, z), box in zip(
        table["miller_index"][whole].tolist(), table["xyzcal.px"][whole], table["bbox"][whole], strict=True
    ):
        row = where[tuple(hkl)]
        seen += 1
        assert (spots.fast[row], spots.slow[row], spots.z[row]) == pytest.approx((x, y, z), abs=1e-6)
        low, high = ends[row, ::2], ends[row, 1::2]
        assert np.floor(low[1]) == box[0]
        assert np.ceil(high[1]) == box[1]
        assert np.floor(low[0]) == box[2]
        assert np.ceil(high[0]) == box[3]
        first = np.clip(np.floor(z - half[row]), 0, 9)
        assert first == box[4]
        assert np.clip(np.ceil(z + half[row]), first + 1, 10) == box[5]
    assert seen == 63


@pytest.mark.parametrize("constant", [True, False])
def test_all_of_them_step_by_step(turning: Path, tmp_path: Path, constant: bool) -> None:
    """No crossing is missed or made up, of a crystal that changes and of one that does not."""
    if constant:
        content = json.loads(turning.read_text())
        content["crystal"][0].pop("A_at_scan_points")
        content["beam"][0].pop("s0_at_scan_points")
        turning = tmp_path / "constant.expt"
        turning.write_text(json.dumps(content))
    (sweep,) = read_sweeps(turning)
    assert sweep.constant is constant
    spots = crossings(sweep, 3.0, P1)
    most = int(np.abs(spots.hkl).max()) + 1
    mine = by_index(spots)
    detector = sweep.detector
    panels = [(p.slow, p.fast, p.origin, p.slow_vector, p.fast_vector) for p in detector.panels]
    expected = []
    for *hkl, z, s1 in oracle.crossings(turning, 0, oracle.indices(most), 0.0, 40.0):
        d = 1.0 / np.linalg.norm(s1 - oracle.beam_at(turning, 0, z))
        if d >= 3.0 and hit(s1, panels, detector.thickness, detector.attenuation) is not None:
            expected.append((*hkl, z))
    expected.sort()
    assert [row[:3] for row in mine] == [row[:3] for row in expected]
    assert len(mine) > 60
    aslant = np.abs([spots.zeta[np.flatnonzero((spots.hkl == row[:3]).all(axis=1))[0]] for row in mine]) < 0.05
    off = np.abs(np.array([row[3] for row in mine]) - [row[3] for row in expected])
    assert off[~aslant].max() < 0.01


def test_more_than_a_turn(tmp_path: Path, turning: Path) -> None:
    """A reflection that crosses twice in a turn crosses four times in two."""
    content = json.loads(turning.read_text())
    content["crystal"][0].pop("A_at_scan_points")
    content["beam"][0].pop("s0_at_scan_points")
    turning = tmp_path / "constant.expt"
    turning.write_text(json.dumps(content))
    one, two, back = (
        crossings(read_sweeps(edited(turning, tmp_path / f"{name}.expt", **scan))[0], 5.0, P1)
        for name, scan in (
            ("one", {"image_range": [1, 72], "oscillation": [0.0, 5.0]}),
            ("two", {"image_range": [1, 144], "oscillation": [0.0, 5.0]}),
            ("back", {"image_range": [1, 72], "oscillation": [360.0, -5.0]}),
        )
    )
    assert len(one) > 50
    assert len(two) == 2 * len(one)
    np.testing.assert_allclose(np.sort(two.z), np.sort(np.concatenate([one.z, one.z + 72])), atol=1e-6)
    np.testing.assert_allclose(np.sort(back.z), np.sort(72 - one.z), atol=1e-6)


def test_centring_but_not_screw_axes(turning: Path) -> None:
    (sweep,) = read_sweeps(turning)
    every = {tuple(hkl) for hkl in crossings(sweep, 3.0, P1).hkl.tolist()}
    centred = {tuple(hkl) for hkl in crossings(sweep, 3.0, gemmi.SpaceGroup("C 2 2 21")).hkl.tolist()}
    screw = {tuple(hkl) for hkl in crossings(sweep, 3.0, gemmi.SpaceGroup("P 21 21 21")).hkl.tolist()}
    assert centred == {hkl for hkl in every if (hkl[0] + hkl[1]) % 2 == 0}
    assert screw == every


def test_blind_region_and_reach(turning: Path) -> None:
    """A point near the axis never crosses; one that crosses after the scan is there when its spot reaches into it."""
    (sweep,) = read_sweeps(turning)
    inside = crossings(sweep, 2.0, P1)
    reach = np.radians(0.3)
    more = crossings(sweep, 2.0, P1, reach)
    assert (inside.z >= 0.0).all()
    assert (inside.z <= sweep.images).all()
    beyond = (more.z < 0.0) | (more.z > sweep.images)
    assert beyond.any()
    half = more.half_width(reach, sweep)
    assert ((more.z + half > 0.0) & (more.z - half < sweep.images)).all()
    assert len(more) - beyond.sum() == len(inside)
    far = crossings(sweep, 2.0, P1, 0.0, np.radians(5.0))
    assert far.z.min() < -9.0
    assert far.z.max() > sweep.images + 9.0


def test_a_still_is_no_sweep(tmp_path: Path, turning: Path) -> None:
    assert read_sweeps(edited(turning, tmp_path / "still.expt", oscillation=[0.0, 0.0])) == []
    assert isinstance(read_sweeps(turning)[0], Sweep)
