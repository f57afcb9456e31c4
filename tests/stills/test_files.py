"""The HDF5 file of a run on stills: exact, streamed, atomic, and clear about what it cannot read."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import gemmi
import h5py
import numpy as np
import pytest

from crystint.errors import FileError, SettingError
from crystint.io.hdf5.provenance import provenance
from crystint.io.reflections.stills_file import COLUMNS, StillsFile, StillsWriter
from crystint.model.experiment import Experiment
from crystint.model.observations import Observations
from crystint.prediction.partiality import RockingWidth
from crystint.stills.files import open_stills, read_stills, write_stills
from crystint.stills.integration.profile import ProfileWidths
from crystint.stills.merging.merge import merge
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.scales import Scales
from crystint.stills.scaling.wavelength_curve import WavelengthCurve
from crystint.stills.simulation.simulate import simulate_stills


def same(one, other):
    """Whether two things are equal in type, shape and every bit."""
    if is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, entry.name), getattr(other, entry.name)) for entry in fields(one)
        )
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, gemmi.SpaceGroup):
        return one.xhm() == other.xhm()
    if isinstance(one, gemmi.UnitCell):
        return one.parameters == other.parameters
    return type(one) is type(other) and (one == other or one != one)


@pytest.fixture(scope="module")
def data():
    return simulate_stills(12, d_min=3.5, shape=(600, 620), distance=0.07, second_lattice=0.2, seed=3)


@pytest.fixture(scope="module")
def parts(data):
    observations = data.observations()
    n = len(data.experiment)
    scales = Scales(
        ln_g=np.where(np.arange(n) == 2, np.nan, data.ln_g),
        b=data.b,
        covariance=np.zeros((n, 2, 2)),
        used=np.arange(n),
        chi2=np.linspace(0.5, 2, n),
        failed={2: "image 2: no usable reflection"},
        iterations=4,
        converged=True,
        error_model=ErrorModel(1.2, 0.03),
        curve=WavelengthCurve(np.array([0.9, 1.1]), np.array([0.1, -0.1])),
        note="a note, with ünicode",
    )
    merged = merge(observations, scales, space_group="P 21 21 21", cell=data.settings.crystal.cell, anomalous=True)
    return {
        "experiment": data.experiment,
        "observations": observations,
        "scales": scales,
        "error_model": merged.error_model,
        "merged": merged,
        "profile": ProfileWidths.constant(1e-3, 2e-3),
        "width": RockingWidth(1e-3, 2e-3),
        "reference": data.reference(0.3),
        "notes": {2: "image 2: no usable reflection", 7: "image 7: dark"},
        "extra": {"centroids": np.arange(5.0), "d_min": 3.5, "method": "profile"},
    }


def test_everything_comes_back_exactly(tmp_path, parts):
    path = tmp_path / "run.h5"
    record = provenance({"d_min": 3.5}, ["frames.h5"], ["crystint", "stills"])
    write_stills(path, **parts, provenance=record)
    found = read_stills(path)
    for name, wanted in parts.items():
        assert same(wanted, getattr(found, name)), name
    assert found.provenance == record
    assert np.isnan(found.scales.ln_g[2])
    first = path.read_bytes()
    write_stills(path, **parts, provenance=record, overwrite=True)
    assert path.read_bytes() == first


def test_parts_are_optional(tmp_path, parts):
    path = tmp_path / "little.h5"
    write_stills(path, error_model=ErrorModel(2.0, 0.1))
    found = read_stills(path)
    assert found.error_model == ErrorModel(2.0, 0.1)
    assert found.observations is None
    assert found.scales is None
    assert not found.notes
    with open_stills(path) as file:
        assert file.parts == ("error_model",)
        assert file.rows == len(file.observations()) == 0
        assert file.get("merged") is None
        assert list(file.blocks()) == []


def test_observations_are_appended_and_read_in_blocks(tmp_path, parts):
    path, table = tmp_path / "run.h5", parts["observations"]
    pieces = [table.select(part) for part in np.array_split(np.arange(len(table)), 7)]
    write_stills(path, observations=iter(pieces))
    assert same(read_stills(path).observations, table)
    with StillsFile(path) as file:
        assert file.rows == len(table)
        assert same(Observations.join(list(file.blocks(1000))), table)
        assert same(file.observations(10, 20), table.select(slice(10, 20)))
    write_stills(tmp_path / "none.h5", observations=table.select(slice(0, 0)))
    assert same(read_stills(tmp_path / "none.h5").observations, table.select(slice(0, 0)))


def test_columns_say_what_they_are(tmp_path, parts):
    path = tmp_path / "run.h5"
    write_stills(path, **parts)
    assert tuple(COLUMNS) == Observations.columns()
    with h5py.File(path) as file:
        data = file["entry/observations"]
        assert data.attrs["NX_class"] == "NXdata"
        assert data[data.attrs["signal"]].attrs["units"] == "count"
        assert data["excitation"].attrs["units"] == "1/angstrom"
        assert all(data[name].attrs["long_name"] for name in COLUMNS)
        assert "64 OUTLIER" in data["flags"].attrs["long_name"]
        shells = file["entry/shells"]
        statistics = parts["merged"].statistics
        assert np.array_equal(shells["r_meas"][()], statistics.column("r_meas"), equal_nan=True)
        assert len(shells[shells.attrs["axes"]]) == len(statistics.shells)
        assert len(file["entry/merged_intensities/intensity"]) == len(parts["merged"])
        assert not any("date" in name or "time" in name for name in file["entry/process"])


def test_foreign_damaged_and_newer_files_are_refused(tmp_path, parts):
    path = tmp_path / "run.h5"
    with pytest.raises(FileError, match="does not exist"):
        read_stills(path)
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(FileError, match="not an HDF5 file"):
        read_stills(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["entry/data"] = [1, 2]
    with pytest.raises(FileError, match="no file of crystint stills"):
        read_stills(tmp_path / "other.h5")
    write_stills(path, **parts)
    with pytest.raises(FileError, match="exists"):
        write_stills(path, **parts)

    def spoiled(change):
        copy = tmp_path / "spoiled.h5"
        copy.write_bytes(path.read_bytes())
        with h5py.File(copy, "r+") as file:
            change(file["entry"])
        return copy

    def newer(entry):
        entry.attrs["crystint_stills"] = 99

    def unknown(entry):
        entry["scales"].attrs["class_name"] = "Popen"

    def cut(entry):
        del entry["scales/b"]

    def column(entry):
        del entry["observations/sigma"]

    def short(entry):
        entry["observations/sigma"].resize(3, axis=0)

    def kind(entry):
        entry["error_model/a"].attrs["kind"] = "pickle"

    for change, message in (
        (newer, "version 99"),
        (unknown, "Popen, which this version"),
        (cut, "not the fields of a Scales"),
        (column, "observations: it is damaged"),
        (short, "observations: column sigma is"),
        (kind, "no known kind"),
    ):
        with pytest.raises(FileError, match=message):
            read_stills(spoiled(change))
    whole = path.read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="damaged"):
        read_stills(tmp_path / "cut.h5")


def test_a_failure_leaves_nothing(tmp_path, parts):
    path = tmp_path / "run.h5"

    def frames():
        yield parts["observations"]
        raise ValueError("the detector is gone")

    with pytest.raises(ValueError, match="gone"):
        write_stills(path, observations=frames())
    with pytest.raises(SettingError, match="cannot be stored"):
        write_stills(path, extra={"thing": object()})
    assert list(tmp_path.iterdir()) == []
    with StillsWriter(path) as writer:
        writer.put("extra", {"a": 1})
        with pytest.raises(SettingError, match="already"):
            writer.put("extra", {"a": 2})
    with pytest.raises(SettingError, match="not open"):
        writer.put("more", 1)


def test_odd_values_survive(tmp_path):
    path = tmp_path / "odd.h5"
    extra = {
        "none": None,
        "yes": True,
        "big": 2**40,
        "nan": float("nan"),
        "inf": float("inf"),
        "empty": (),
        "text": "",
        "nested": ((1, 2.5), ("a", None)),
        "names": ("a", "ö"),
        "zero": np.zeros((0, 3), np.int32),
        "bools": np.array([True, False]),
        "models": (ErrorModel(1.0, 0.2), ErrorModel(3.0, 0.0, False, "no")),
        "ints": {5: "five", -1: "minus"},
        "cell": gemmi.UnitCell(50, 60, 70, 90, 100, 90),
        "long": np.linspace(0, 1, 1001),
    }
    write_stills(path, extra=extra)
    found = read_stills(path).extra
    for name, wanted in extra.items():
        assert same(wanted, found[name]), name


def test_experiments_keep_their_sweeps_and_settings(tmp_path, data):
    e = data.experiment
    groups = (gemmi.SpaceGroup("R 3 2:R"), gemmi.SpaceGroup("P 1 21 1"), gemmi.SpaceGroup("B 1 1 2"))
    for number, space_group in enumerate(groups):
        kept = {
            name: getattr(e, name) for name in ("setting", "incident", "detectors", "cell", "frame", "group", "name")
        }
        given = Experiment(**kept, space_group=space_group, sweep=e.setting * 1e-3, bandwidth=0.01)
        write_stills(tmp_path / f"{number}.h5", experiment=given)
        assert same(read_stills(tmp_path / f"{number}.h5").experiment, given)
