"""What an audit says of simulated rotation data against what their truth says: the same, within the errors."""

from __future__ import annotations

import numpy as np
import pytest

import crystint
from crystint import stills
from crystint.compare.steps import COMPARE
from crystint.io.reflections.dials_table_out import write_table
from crystint.separation import sparsify
from crystint.summation.verdict import verdicts

HALF = 4
LIMITS = (1.0, 3.0, 10.0)


def table_of(truth, path):
    """The reflections of the truth as DIALS has them: boxes of 9 x 9 px; full ones have intensities."""
    low = np.floor(np.stack([truth["fast"], truth["slow"]], axis=1)).astype(np.int32) - HALF
    box = np.stack(
        [low[:, 0], low[:, 0] + 2 * HALF + 1, low[:, 1], low[:, 1] + 2 * HALF + 1, truth["first"], truth["last"]],
        axis=1,
    )
    columns = {
        "miller_index": ("cctbx::miller::index<>", truth["hkl"]),
        "id": ("int", np.zeros(len(truth))),
        "panel": ("std::size_t", np.zeros(len(truth))),
        "flags": ("std::size_t", np.full(len(truth), 1 | 256)),
        "bbox": ("int6", box),
        "d": ("double", truth["d"]),
        "xyzcal.px": ("vec3<double>", np.stack([truth["fast"], truth["slow"], truth["z"]], axis=1)),
    }
    columns["intensity.sum.value"] = ("double", truth["counts"])
    columns["intensity.sum.variance"] = ("double", np.where(truth["full"], truth["sigma"] ** 2, 0.0))
    write_table(path, columns, overwrite=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A scan, what is so in it, its audit by expected I/sigma, and its densified frames."""
    folder = tmp_path_factory.mktemp("truth")
    data = stills.simulate_rotation(10, shape=(380, 400), distance=0.1, d_min=2.8, seed=4)
    stills.write_rotation(data, folder / "scan.h5", compression="none")
    truth = data.truth[data.truth["last"] > data.truth["first"]]
    sparsify(folder / "scan.h5", folder / "sparse.h5", {"rings": 150})
    table_of(truth, folder / "true.refl")
    with pytest.warns(match="no .expt beside it"):
        outcome = COMPARE(folder / "scan.h5", folder / "sparse.h5", settings={"reflections": folder / "true.refl"})
    with crystint.open_sparse(folder / "sparse.h5") as file:
        dense = [crystint.densify(one) for one in file]
    return data, truth, outcome.result.reflections, dense


def classes_of(truth):
    return np.searchsorted(LIMITS, truth["counts"] / truth["sigma"], side="right")


def test_raw_intensities_are_those_of_the_truth(run):
    _, truth, audit, _ = run
    full = truth[truth["full"]]
    number = classes_of(full)
    sums = audit.by_class
    assert sums["reflections"].tolist() == np.bincount(number, minlength=4).tolist()  # none of them is cut off
    assert audit.cut == len(truth) - len(full)
    for i, counts in enumerate(np.bincount(number, full["counts"], 4)):
        assert sums["reflections"][i] > 15
        assert sums["raw"][i] == pytest.approx(counts, abs=3 * np.sqrt(sums["raw_variance"][i]) + 0.005 * counts)
    assert audit.expected
    assert not audit.selected


def lone(truth):
    """Rows of the full reflections whose boxes touch no other's."""
    rows = []
    for i in np.flatnonzero(truth["full"]):
        near = (np.abs(truth["slow"] - truth["slow"][i]) < 12) & (np.abs(truth["fast"] - truth["fast"][i]) < 12)
        near &= (truth["first"] < truth["last"][i]) & (truth["last"] > truth["first"][i])
        if near.sum() == 1:
            rows.append(i)
    return truth[rows]


def test_what_is_kept_is_what_the_truth_says(run):
    data, truth, audit, dense = run
    some = lone(truth)
    number, sums = classes_of(some), np.zeros(len(some))
    for i, row in enumerate(some):
        low = [int(np.floor(row[name])) - HALF for name in ("slow", "fast")]
        box = tuple(slice(at, at + 2 * HALF + 1) for at in low)
        frames = range(row["first"], row["last"])
        sums[i] = sum((dense[frame][box] - data.background[box]).sum() for frame in frames)
    share, error = audit.kept(audit.by_class), audit.kept_error(audit.by_class)
    for i, least in ((2, 30), (3, 60)):
        here = number == i
        assert here.sum() > least
        expected = sums[here].sum() / some["counts"][here].sum()
        spread = np.sqrt(np.sum((sums[here] - expected * some["counts"][here]) ** 2)) / some["counts"][here].sum()
        assert share[i] == pytest.approx(expected, abs=3 * np.hypot(error[i], spread))
        assert spread < 0.04
    assert 0.4 < share[2] < 0.75 < 0.88 < share[3] < 0.98
    weak = audit.by_class[1]  # nearly nothing is left of them
    assert weak["dense"] < 0.5 * weak["raw"]
    assert weak["missed"] > 0.5 * weak["reflections"]


def test_verdicts_say_what_the_figures_say(run):
    answers = {one.use.split(" ")[0]: one.answer for one in verdicts(run[2])}
    assert answers["strong"] == "with care"
    assert answers["medium"] == answers["weak"] == "not usable"


def test_in_python_reflections_are_those_of_the_command(run, tmp_path):
    data, truth, audit, _ = run
    frames = np.stack([data.image(number) for number in range(len(data))])
    separator = crystint.Separator(data.settings.geometry, rings=150)
    sparse = [separator.sparsify(frame, number=number) for number, frame in enumerate(frames)]
    table_of(truth, tmp_path / "true.refl")
    with pytest.warns(match="no .expt beside it"):
        again = crystint.compare.compare(frames, sparse, reflections=tmp_path / "true.refl").reflections
    assert (again.by_class["reflections"] == audit.by_class["reflections"]).all()
    np.testing.assert_allclose(again.by_class["raw"], audit.by_class["raw"], rtol=1e-9)
    np.testing.assert_allclose(again.total["dense"], audit.total["dense"], rtol=0.005)


def test_what_is_kept_whole_is_the_same(run, tmp_path):
    data, truth, *_ = run
    stills.write_rotation(data, tmp_path / "scan.h5", compression="none")
    table_of(truth, tmp_path / "true.refl")
    settings = {"rings": 150, "keep": tmp_path / "true.refl", "keep_margin": 5, "audit": True}
    with pytest.warns(match="no .expt beside it"):
        audit = sparsify(tmp_path / "scan.h5", tmp_path / "kept.h5", settings).result.audit
    share, error = audit.kept(audit.by_class), audit.kept_error(audit.by_class)
    assert audit.expected
    for i in (1, 2, 3):
        assert share[i] == pytest.approx(1.0, abs=max(3 * error[i], 1e-6)), i
    assert error[2] < 0.005
    assert audit.total["missed"][0] == 0
    answers = {one.use.split(" ")[0]: one.answer for one in verdicts(audit)}
    assert answers["strong"] == answers["medium"] == "safe"
