"""CBCSetup: the rays of the case with known truth, of a skew geometry against the slow oracle, files and errors."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from crystint.cbc.simulation.simulate import simulate_cbc
from crystint.cbc.table.setup import CBCSetup
from crystint.cbc.table.table import CBCTable
from crystint.errors import CrystintError, FileError, GeometryError, SettingError, ShapeError
from tests.conftest import shared_data
from tests.oracles import cbc_setup as oracle


def rotation(rng: np.random.Generator) -> np.ndarray:
    q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return q * np.sign(np.linalg.det(q))


def skew(rng: np.random.Generator) -> CBCSetup:
    """Everything off axis: pixels not square, pupil and focus not in the middle, samples in different planes."""
    return CBCSetup(
        focus=np.array([0.03, 0.05, -0.12]),
        pupil=np.array([200.0, 240.0, 150.0, 230.0]),
        wavelength=1.1e-10,
        pixel_size=(2.5e-4, 1.5e-4),
        basis=np.linalg.qr(rng.normal(size=(3, 3)))[0] * [[0.02], [0.03], [0.05]] + 0.001,
        rotation=np.stack([rotation(rng) for _ in range(3)]),
        sample_z=np.array([-0.118, -0.117, -0.123]),
        frames=np.array([2, 5, 11]),
        shape=(400, 500),
        other={"rot_axis": np.array([0.1, 0.2])},
    )


def named(setup: CBCSetup) -> dict[str, Any]:
    return {
        "foc_pos": setup.focus,
        "pupil_roi": setup.pupil,
        "basis_mat": setup.basis,
        "sample_rmats": setup.rotation,
        "sample_z": setup.sample_z,
        "x_pixel_size": setup.pixel_size[1],
        "y_pixel_size": setup.pixel_size[0],
    }


@pytest.fixture(scope="module")
def case() -> tuple[CBCSetup, CBCTable, Path]:
    path = shared_data("cbc/cbc_case.h5")
    with h5py.File(path) as file:
        table = CBCTable.from_columns({name: values[()] for name, values in file["table"].items()})
    return CBCSetup.read(path), table, path


def test_rays_maps_and_grid_of_the_case_are_those_of_cbclib(case: tuple[CBCSetup, CBCTable, Path]) -> None:
    setup, table, path = case
    assert table.hkl is not None
    with h5py.File(path) as file:
        scaler, geometry = ({key: entry[()] for key, entry in file[name].items()} for name in ("scaler", "geometry"))
    kins = setup.k_in(table.x, table.y, table.hkl, table.frame)
    assert np.abs(kins - scaler["kins"]).max() < 1e-13
    assert np.abs(setup.xmap(table) - scaler["xmap"]).max() < 1e-13
    y, x = setup.grid(setup.u(table))
    assert np.abs(x - scaler["xtal_x"]).max() < 1e-15
    assert np.abs(y - scaler["xtal_y"]).max() < 1e-15
    assert np.allclose(setup.cell, [*geometry["cell_angstrom"], 90, 90, 90], rtol=1e-12)
    assert np.abs(setup.centre - geometry["kin_center"]).max() < 1e-15
    for found, expected in zip(setup.pupil_limits, (geometry["kin_min"], geometry["kin_max"])):
        assert np.abs(found - expected).max() < 1e-14
    assert setup.shape == (512, 512)
    length = np.linalg.norm(kins, axis=1)
    assert 0.9987 < length.min() < 1.0 < length.max() < 1.0013


def test_one_correction_is_nearly_all_of_the_way(case: tuple[CBCSetup, CBCTable, Path]) -> None:
    setup, table, _ = case
    limit = setup.u(table, corrections=8)
    errors = [np.abs(setup.u(table, corrections) - limit).max() for corrections in range(4)]
    assert 6e-4 < errors[0] < 8e-4
    assert errors[1] < 1.5e-5
    for first, second in pairwise(errors):
        assert second < first / 40  # (sample - focus) / distance = 1/49


def test_rays_of_a_skew_geometry_equal_the_oracle(rng: np.random.Generator) -> None:
    setup, n = skew(rng), 60
    x, y, hkl = rng.integers(0, 500, n), rng.integers(0, 400, n), rng.integers(-4, 5, (n, 3))
    index = rng.integers(0, 3, n)
    for corrections in (0, 1, 3):
        found = setup.k_in(x, y, hkl, setup.frames[index], corrections)
        expected = [
            oracle.incident(int(x[i]), int(y[i]), hkl[i].tolist(), named(setup), int(index[i]), corrections)
            for i in range(n)
        ]
        assert np.abs(found - expected).max() < 1e-14
    out = setup.k_out(x, y, setup.frames[index])
    assert np.allclose(np.linalg.norm(out, axis=1), 1.0, atol=1e-15)


def test_a_ray_that_meets_bragg_comes_back(rng: np.random.Generator) -> None:
    """Theory: take an incident ray of length 1, diffract it, find the pixel: the ray follows from the pixel."""
    setup = skew(rng)
    k_in = np.array([[0.05, -0.03, 0.0]])
    k_in[0, 2] = np.sqrt(1.0 - (k_in**2).sum())
    hkl, frame = np.array([[2, -1, 1]]), np.array([5])
    out = k_in + setup.g(hkl, frame)  # of any length: the direction counts, so scale g's error away
    point = setup.focus + (setup.sample_z[1] - setup.focus[2]) / k_in[0, 2] * k_in[0]
    pixel = point - point[2] / out[0, 2] * out[0]
    x, y = pixel[:1] / setup.pixel_size[1], pixel[1:2] / setup.pixel_size[0]
    found = setup.k_out(x, y, frame, k_in)
    assert np.abs(found - out / np.linalg.norm(out)).max() < 1e-15


def test_a_setup_comes_back_from_its_file(tmp_path: Path, rng: np.random.Generator) -> None:
    setup = skew(rng)
    setup.write(tmp_path / "setup.h5")
    back = CBCSetup.read(tmp_path / "setup.h5")
    for name in ("focus", "pupil", "basis", "rotation", "sample_z", "frames"):
        assert np.array_equal(getattr(back, name), getattr(setup, name)), name
        assert not getattr(back, name).flags.writeable
    assert (back.wavelength, back.pixel_size, back.shape) == (setup.wavelength, setup.pixel_size, setup.shape)
    assert back.other["rot_axis"].tolist() == [0.1, 0.2]
    assert set(back.other) == {"rot_axis"}
    with h5py.File(tmp_path / "setup.h5") as file:
        assert file["geometry/foc_pos"].attrs["units"] == "m"
    with pytest.raises(FileError, match="exists"):
        setup.write(tmp_path / "setup.h5")


def test_the_geometry_of_the_case_is_written_as_it_was(tmp_path: Path, case: tuple[CBCSetup, CBCTable, Path]) -> None:
    setup, _, path = case
    setup.write(tmp_path / "setup.h5")
    with h5py.File(path) as first, h5py.File(tmp_path / "setup.h5") as second:
        for name, values in first["geometry"].items():
            assert np.allclose(second["geometry"][name][()], values[()], rtol=1e-12, atol=1e-14), name


def test_files_without_a_geometry_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "setup.h5"
    skew(rng).write(path)
    with h5py.File(path, "a") as file:
        del file["geometry/basis_mat"]
    with pytest.raises(FileError, match="the group /geometry has no basis_mat"):
        CBCSetup.read(path)
    with pytest.raises(FileError, match="has no geometry: there is no group /other"):
        CBCSetup.read(path, "other")
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(FileError, match="truncated or damaged"):
        CBCSetup.read(path)


BAD: list[tuple[str, Any, type[CrystintError], str]] = [
    ("focus", np.zeros(2), ShapeError, r"focus of the setup is \(2,\), expected \(3,\)"),
    ("focus", np.array([0, 0, 0.1]), GeometryError, "before the detector"),
    ("focus", np.array([0, np.nan, -0.1]), GeometryError, "focus of the setup is not finite"),
    ("sample_z", np.array([-0.1, 0.1, -0.1]), GeometryError, "before the detector"),
    ("pupil", np.array([5, 5, 1, 2]), GeometryError, "expected y0 < y1"),
    ("wavelength", 0.0, GeometryError, "wavelength of the setup is 0.0"),
    ("pixel_size", (1e-4, -1e-4), GeometryError, "pixel_size of the setup is -0.0001"),
    ("basis", np.ones((3, 3)), GeometryError, "lie in a plane"),
    ("rotation", np.stack([np.eye(3), 2 * np.eye(3), np.eye(3)]), GeometryError, "rotation of frame 5 is no rotation"),
    ("rotation", np.stack([np.eye(3), np.eye(3), -np.eye(3)]), GeometryError, "rotation of frame 11 is no rotation"),
    ("rotation", np.eye(3), ShapeError, r"expected \(3, 3, 3\)"),
    ("frames", np.array([1, 1, 2]), GeometryError, "not in ascending order"),
]


@pytest.mark.parametrize(("name", "value", "kind", "message"), BAD)
def test_what_cannot_be_is_refused(
    name: str, value: Any, kind: type[CrystintError], message: str, rng: np.random.Generator
) -> None:
    with pytest.raises(kind, match=message):
        replace(skew(rng), **{name: value})


def test_tables_that_do_not_fit_are_refused(case: tuple[CBCSetup, CBCTable, Path]) -> None:
    setup, table, _ = case
    with pytest.raises(SettingError, match="no h, k, l"):
        setup.u(table.replace(hkl=None))
    with pytest.raises(SettingError, match="the setup has no frame 8; it has 8 frames, 0 to 7"):
        setup.u(table.replace(frame=table.frame + 1))
    with pytest.raises(GeometryError, match=r"row 0 \(frame 0, streak 0, hkl \[-1, -8, 1\]\): k_out - g is .* long"):
        replace(setup, basis=4.0 * setup.basis).u(table)
    with pytest.raises(SettingError, match="corrections is -1"):
        setup.u(table, corrections=-1)
    with pytest.raises(SettingError, match="the setup has no frame 3; it has 3 frames, 2 to 11"):
        skew(np.random.default_rng(0)).g([[1, 0, 0], [1, 0, 0]], [5, 3])
    u = setup.u(table)
    with pytest.raises(SettingError, match="two nodes or more"):
        setup.grid(u, (1, 40))
    with pytest.raises(SettingError, match="no rows"):
        setup.grid(u[:0])
    with pytest.raises(SettingError, match="expected some extent"):
        setup.grid(u[:1])
    assert np.array_equal(setup.with_u(table).u, u)


def test_columns_of_u_are_computed_in_parts_as_in_one(
    case: tuple[CBCSetup, CBCTable, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup, table, _ = case
    whole = setup.xmap(table)
    monkeypatch.setattr("crystint.cbc.table.setup._ROWS", 777)
    assert np.array_equal(setup.xmap(table), whole)


def test_a_setup_in_the_units_of_the_rest() -> None:
    setup = simulate_cbc(2, seed=1).setup
    assert setup.wavelength_angstrom == pytest.approx(0.73, rel=1e-15)
    slow, fast = setup.focus_from_corner
    assert (slow - 0.5) * setup.pixel_size[0] == pytest.approx(setup.focus[1], rel=1e-12)
    assert (fast - 0.5) * setup.pixel_size[1] == pytest.approx(setup.focus[0], rel=1e-12)
    assert repr(setup).startswith(
        "<CBCSetup: 2 frames, 0.73 angstrom, cell 22.1 27.3 33.7 90 90 90, focus 100 mm before"
    )
    assert "<td>0.73</td>" in setup._repr_html_()
