"""The table of reflections by class and shell: against plain sums, and its parts against the whole."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.errors import ShapeError
from crystint.summation.audit import PART_DTYPE, ReflectionAudit, joined


@pytest.fixture
def parts() -> np.ndarray:
    rng = np.random.default_rng(2)
    parts = np.zeros(400, PART_DTYPE)
    parts["reflection"] = rng.permutation(np.repeat(np.arange(200), 2))
    parts["place"] = 0.5 + 0.01 * parts["reflection"]
    parts["pixels"], parts["kept"] = 49, rng.integers(0, 3, 400)
    parts["raw"] = rng.exponential(40.0, 400) - 5
    parts["dense"] = 0.8 * parts["raw"] + rng.normal(0, 2, 400)
    parts["clean"] = 0.8 * parts["raw"]
    parts["raw_variance"], parts["dense_variance"] = rng.uniform(5, 50, (2, 400))
    return parts


EDGES = np.array([0.0, 1.0, 2.0, 3.0])


def test_the_table_is_the_sums_over_reflections(parts):
    whole = joined(parts)
    audit = ReflectionAudit(EDGES, "q").with_parts(whole)
    assert len(whole) == 200
    for number in (0, 57, 199):
        at = parts["reflection"] == number
        assert whole["raw"][number] == pytest.approx(parts["raw"][at].sum())
        assert whole["kept"][number] == parts["kept"][at].sum()
        assert whole["place"][number] == pytest.approx(0.5 + 0.01 * number)
    snr = whole["raw"] / np.sqrt(whole["raw_variance"])
    limits = [(-np.inf, 1), (1, 3), (3, 10), (10, np.inf)]
    for i, (low, high) in enumerate(limits):
        for j in range(3):
            at = (snr >= low) & (snr < high) & (whole["place"] >= EDGES[j]) & (whole["place"] < EDGES[j + 1])
            assert audit.sums["reflections"][i, j] == at.sum()
            assert audit.sums["missed"][i, j] == (whole["kept"][at] == 0).sum()
            assert audit.sums["raw"][i, j] == pytest.approx(whole["raw"][at].sum())
            assert audit.sums["dense_ratio"][i, j] == pytest.approx(
                (whole["dense"][at] / np.sqrt(whole["dense_variance"][at])).sum()
            )
    assert audit.cc(audit.total)[0] == pytest.approx(np.corrcoef(whole["raw"], whole["dense"])[0, 1])
    assert audit.kept(audit.total)[0] == pytest.approx(whole["dense"].sum() / whole["raw"].sum())
    assert audit.kept(audit.total, "clean")[0] == pytest.approx(0.8)


def test_parts_add(parts):
    whole = joined(parts)
    empty = ReflectionAudit(EDGES, "q")
    added = empty.with_parts(whole[:77]) + empty.with_parts(whole[77:]) + ReflectionAudit()
    one = empty.with_parts(whole)
    for name in one.sums.dtype.names:
        np.testing.assert_allclose(added.sums[name], one.sums[name])
    with pytest.raises(ShapeError, match="different resolution shells"):
        added + ReflectionAudit(EDGES * 2, "q").with_parts(whole)


def test_reflections_that_are_cut_on_one_frame_are_left_out(parts):
    parts["raw"][parts["reflection"] == 5] = [np.nan, 30.0]
    parts["dense"][parts["reflection"] == 9] = [7.0, np.nan]
    audit = ReflectionAudit(EDGES, "q").with_parts(joined(parts))
    assert audit.cut == 2
    assert audit.total["reflections"][0] == 198


def test_expected_ratios_make_the_classes(parts):
    whole = joined(parts)
    expected = np.repeat([0.5, 2.0, 5.0, 20.0], 50)
    audit = ReflectionAudit(EDGES, "q").with_parts(whole, expected)
    assert audit.by_class["reflections"].tolist() == [50, 50, 50, 50]
    assert audit.by_class["raw"][2] == pytest.approx(whole["raw"][100:150].sum())


def test_the_error_of_what_is_kept_is_its_scatter():
    rng = np.random.default_rng(4)
    kept, errors = [], []
    for _ in range(400):
        whole = np.zeros(60, PART_DTYPE)
        whole["place"] = 0.5
        whole["raw"] = rng.exponential(40.0, 60)
        whole["dense"] = 0.7 * whole["raw"] + rng.normal(0, 6, 60)
        audit = ReflectionAudit(np.array([0.0, 1.0]), "q").with_parts(whole)
        kept.append(audit.kept(audit.total)[0])
        errors.append(audit.kept_error(audit.total)[0])
    assert np.mean(kept) == pytest.approx(0.7, abs=4 * np.std(kept) / 20)
    assert np.mean(errors) == pytest.approx(np.std(kept), rel=0.2)


def test_nothing_at_all():
    audit = ReflectionAudit(EDGES, "q").with_parts(np.zeros(0, PART_DTYPE))
    assert audit.total["reflections"].tolist() == [0]
    assert np.isnan(audit.kept(audit.total)).all()
