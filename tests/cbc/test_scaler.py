"""IntensityScaler: its verbs, its results on the case with known truth, and what it refuses."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from crystint.cbc.compat_cbclib import IntensityScaler
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.optimise import choose_method, first_estimate, lbfgsb
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.sums import NumpyBackend, NumpyModel
from crystint.cbc.scaling.training import Recipe
from crystint.cbc.table.table import CBCTable
from crystint.errors import SettingError, ShapeError
from tests.cbc.case import agreement, case, small

WIDTH = 1e-3


@pytest.fixture(scope="module")
def trained():
    """The case, merged by mmm and trained with all defaults."""
    data = case()
    return IntensityScaler.of(data.table, data.u).merge_hkl("mmm").train(WIDTH)


@pytest.fixture
def scaler(rng):
    table, u, _ = small(rng, frames=3, length=15, shift=2)
    return IntensityScaler.of(table, u, grid=(4, 5)).merge_hkl(None)


H = 0.01


def test_the_criterion_at_the_truth():
    data = case()
    layout = Layout.of(data.table, data.u)
    chi = ProjectionMap(data.truth["chi"], data.truth["gx"], data.truth["gy"], layout.frames)
    scaler = IntensityScaler(data.table, layout, chi).merge_hkl("mmm")
    theta = [np.log(data.true[tuple(row)]) for row in np.abs(scaler.hkl).tolist()]
    x = np.concatenate([np.zeros(layout.n_streaks), theta])
    model = scaler.scaler.model
    model.amplitude[:] = data.truth["chi_at"] * layout.profile
    assert scaler.fitness(x)[0] == pytest.approx(-11_028_973.37, rel=1e-9)
    assert scaler.fitness(x, kind="least_squares")[0] == pytest.approx(layout.n_pixels, rel=0.02)


def test_default_training_meets_its_targets(trained):
    scaler, x = trained
    cc, log_cc, r = agreement(scaler.hkl, scaler.q2(x))
    assert cc >= 0.9995
    assert r <= 0.013
    assert log_cc >= 0.999
    assert len(scaler.trace) - 1 < 30, "it stops by itself"


def test_it_is_better_than_every_result_of_cbclib(trained):
    scaler, x = trained
    cc, _, r = agreement(scaler.hkl, scaler.q2(x))
    assert len(case().theirs) == 16
    for name, other in case().theirs.items():
        assert not other["cc"] >= cc, name
        assert not other["R"] <= r, name


def test_the_pair_belongs_together_and_f_only_falls(trained):
    scaler, x = trained
    assert (np.diff(scaler.trace) < 0.0).all()
    assert scaler.fitness(x)[0] == pytest.approx(scaler.trace[-1], rel=1e-14)
    assert scaler.xtal.mean == pytest.approx(1.0, rel=1e-12)
    fresh = IntensityScaler(scaler.table, scaler.layout, scaler.xtal)
    assert fresh.fitness(x)[0] == pytest.approx(scaler.trace[-1], rel=1e-12), "nothing hides in what is kept"


def test_training_asks_the_backend_a_few_dozen_times(monkeypatch):
    """What the time is proportional to, whatever the machine and its load: 31 calls, each over all pixels."""
    calls = []
    for name, method in vars(NumpyModel).items():
        if callable(method) and not name.startswith("_"):

            def counted(self, *arguments, _method=method, **more):
                calls.append(1)
                return _method(self, *arguments, **more)

            monkeypatch.setattr(NumpyModel, name, counted)
    data = case()
    IntensityScaler.of(data.table, data.u).merge_hkl("mmm").train(WIDTH)
    assert 0 < len(calls) < 60


def test_training_goes_on_where_it_ended(trained):
    scaler, x = trained
    further, y = scaler.train(WIDTH, x0=x)
    assert further.trace[0] == pytest.approx(scaler.trace[-1], rel=1e-12)
    assert len(further.trace) <= 4
    assert further.fitness(y)[0] <= scaler.trace[-1]


@pytest.mark.parametrize("loss", ["L2", "l1", "Huber"])
def test_least_squares_on_the_case(loss):
    data = case()
    scaler = IntensityScaler.of(data.table, data.u).merge_hkl("mmm")
    found, x = scaler.train(WIDTH, kind="least_squares", loss=loss, n_iter=6)
    cc, _, r = agreement(found.hkl, found.q2(x))
    assert cc > 0.999
    assert r < 0.02
    assert (np.diff(found.trace) < 0.0).all()


def test_both_optimisers_agree(scaler):
    one, x = scaler.train(H, f_tol=1e-13, max_iter=200, n_iter=100)
    other, y = scaler.train(H, f_tol=1e-13, max_iter=200, n_iter=100, method="L-BFGS-B")
    assert one.trace[-1] == pytest.approx(other.trace[-1], rel=1e-6)
    np.testing.assert_allclose(one.q2(x), other.q2(y), rtol=1e-2)


@pytest.mark.parametrize("method", ["em", "l-bfgs-b"])
@pytest.mark.parametrize("intercept", [True, False])
def test_at_fixed_chi_f_only_falls_and_nothing_is_negative(scaler, method, intercept):
    found, x = scaler.train(H, n_iter=5, fit_intercept=intercept, method=method)
    streaks = scaler.layout.n_streaks
    assert (x[:streaks] >= 0.0).all()
    assert (x[:streaks] > 0.0).any() == intercept
    assert (np.diff(found.trace) < 0.0).all()
    layout = found.layout
    b, q2 = x[:streaks], found.q2(x)
    before = found.fitness(x, intercept)[0]
    if method == "em":
        b, q2 = found.scaler.model.em(b, q2, 3, intercept)
    else:
        b, q2 = lbfgsb(layout, found.scaler.model, b, q2, 3, intercept, "poisson", "l2")
    assert found.scaler.model.objective(b, q2, "poisson", "l2")[0] <= before + 1e-9


def test_intercepts_are_found(rng):
    table, u, _ = small(rng, frames=6, length=40, width=7, shift=4, strength=200.0)
    raised = table.replace(background=np.maximum(table.background - 0.3, 0.0), counts=table.counts)
    counts = rng.poisson(50.0, len(table)).astype(float)
    layout = Layout.of(raised, u)
    counts = counts[np.unique(layout.pixel, return_index=True)[1]][layout.pixel]
    offset = IntensityScaler.of(raised.replace(counts=raised.counts + counts), u, grid=(4, 5)).merge_hkl(None)
    _, x = offset.train(H, fit_intercept=True, max_iter=100)
    levels = x[: offset.layout.n_streaks]
    alone = np.bincount(layout.streak[layout.multiplicity[layout.pixel] == 1], minlength=layout.n_streaks)
    assert np.median(levels[alone > alone.max() / 2]) == pytest.approx(50.0, rel=0.2)


def test_fitness_without_intercepts_leaves_x_alone(scaler):
    x = scaler.init_estimate()
    x[:3] = 5.0
    kept = x.copy()
    f, gradient = scaler.fitness(x, fit_intercept=False)
    assert np.array_equal(x, kept)
    assert (gradient[: scaler.layout.n_streaks] == 0.0).all()
    assert f != scaler.fitness(x)[0]


def test_the_gradient_by_log_q2(scaler):
    x = scaler.init_estimate(fit_intercept=True)
    _, gradient = scaler.fitness(x)
    for number in range(len(x)):
        step = np.zeros(len(x))
        step[number] = 1e-5
        slope = (scaler.fitness(x + step)[0] - scaler.fitness(x - step)[0]) / 2e-5
        assert gradient[number] == pytest.approx(slope, rel=1e-5, abs=1e-5)


def test_the_start_is_least_squares_at_even_maps(rng):
    table, u, _ = small(rng, shift=8)
    exact = table.replace(counts=table.background + 7.0 * table.profile + 3.0)
    layout = Layout.of(exact, u)
    b, q2 = first_estimate(layout, True)
    np.testing.assert_allclose(b, 3.0, rtol=1e-9)
    np.testing.assert_allclose(q2, 7.0, rtol=1e-9)
    b, q2 = first_estimate(Layout.of(table.replace(counts=table.background + 7.0 * table.profile), u), False)
    assert (b == 0.0).all()
    np.testing.assert_allclose(q2, 7.0, rtol=1e-9)


def test_gains_add_up(scaler):
    x = scaler.init_estimate()
    zero = np.zeros(len(x))
    gain = scaler.gain(x)
    assert gain.shape == (scaler.layout.n_reflections,)
    assert gain.sum() == pytest.approx(scaler.fitness(zero)[0] - scaler.fitness(x)[0], rel=1e-12)
    assert (scaler.gain(x, x0=x) == 0.0).all()
    part = scaler.gain(x, kind="least_squares", loss="HUBER")
    parts = [scaler.fitness(at, kind="least_squares", loss="huber")[0] for at in (zero, x)]
    assert part.sum() == pytest.approx(parts[0] - parts[1], rel=1e-12)


def test_merging_and_unmerging(scaler):
    assert scaler.hkl.shape == (3, 3)
    alone = scaler.unmerge_hkl()
    assert len(alone.hkl) == alone.layout.n_streaks == 12
    assert len(alone.init_estimate()) == 24
    assert np.array_equal(scaler.hkl[scaler.hkl_idxs], alone.hkl)
    with pytest.raises(ShapeError, match=r"x is \(24,\), expected \(15,\): 12 intercepts and 3"):
        scaler.fitness(alone.init_estimate())
    with pytest.raises(SettingError, match="symmetry"):
        scaler.merge_hkl("no such group")


def test_names_of_cbclib_under_merging():
    data = case()
    scaler = IntensityScaler.of(data.table, data.u)
    assert [len(scaler.merge_hkl(name).hkl) for name in (None, "mmm")] == [276, 142]
    assert len(scaler.hkl) == 718


def test_model_gives_q2_first(scaler):
    x = scaler.init_estimate()
    x[: scaler.layout.n_streaks] = np.arange(scaler.layout.n_streaks)
    q2, level = scaler.model(x)
    assert np.array_equal(level, scaler.idxs)
    np.testing.assert_allclose(q2, scaler.q2(x)[scaler.layout.reflection])


def test_a_reflection_seen_nowhere_is_nan(scaler):
    hkl = np.vstack([scaler.hkl, [9, 9, 9]])
    more = scaler.replace(layout=scaler.layout.merged(scaler.hkl_idxs, hkl))
    found, x = more.train(H)
    assert np.isnan(x[-1])
    assert np.isnan(found.q2(x)).tolist() == [False, False, False, True]
    assert np.isnan(found.gain(x)[-1])
    f, gradient = found.fitness(x)
    assert np.isfinite(f)
    assert gradient[-1] == 0.0
    again, y = found.train(H, x0=x, method="l-bfgs-b", fit_intercept=True)
    assert np.isnan(again.q2(y)[-1])
    plain, z = scaler.train(H)
    np.testing.assert_allclose(z, x[:-1], rtol=1e-9)
    assert np.isfinite(plain.q2(z)).all()


def test_update_table_gives_a_new_table(scaler):
    found, x = scaler.train(H, fit_intercept=True)
    table = found.update_table(x)
    assert table is not scaler.table
    assert scaler.table.q2 is None
    q2, level = found.model(x)
    assert np.array_equal(table.q2, q2)
    assert np.array_equal(table.extra["intercept"], level)
    assert np.array_equal(table.chi, found.xtal_bi)
    assert np.array_equal(table.counts, scaler.table.counts)
    again = found.replace(table=table).update_table(x)
    assert set(again.extra) == {"intercept"}


def test_update_xtal_normalises(scaler):
    x = scaler.init_estimate()
    found, y = scaler.update_xtal(x, H)
    assert found.xtal.mean == pytest.approx(1.0)
    assert found.bandwidth == H
    shift = (y - x)[scaler.layout.n_streaks :]
    np.testing.assert_allclose(shift, shift[0])
    values = scaler.scaler.model.regress(np.zeros(scaler.layout.n_streaks), scaler.q2(x), H)
    np.testing.assert_allclose(found.xtal.values * np.exp(shift[0]), values, rtol=1e-12)


def test_container_verbs(scaler):
    assert list(dict(scaler.items())) == scaler.keys()
    assert len(scaler.values()) == len(scaler.keys())
    assert set(scaler.keys()) - set(scaler.contents()) == {"bandwidth", "symmetry"}
    assert scaler.get("bandwidth", 3) == 3
    assert scaler.get("nothing") is None
    assert np.array_equal(scaler.get("I_raw"), scaler.table.counts)
    assert np.array_equal(scaler.get("bgd"), scaler.table.background)
    assert np.array_equal(scaler.get("xmap")[:, 2], scaler.table.frame)
    assert scaler.get("fidxs")[-1] == scaler.get("iidxs")[-1] == len(scaler.table)
    np.testing.assert_allclose(scaler.get("xtal_bi"), 1.0, rtol=1e-14)
    other = scaler.replace(bandwidth=2.0)
    assert (other.bandwidth, scaler.bandwidth) == (2.0, None)
    with pytest.raises(SettingError, match="nonsense cannot be replaced"):
        scaler.replace(nonsense=1)
    with pytest.raises(AttributeError, match="cannot be changed"):
        scaler.bandwidth = 1.0


def test_replace_takes_arrays_under_the_names_of_cbclib(scaler):
    """Every one that can be replaced gives the scaler that a table with such columns gives."""
    table, layout = scaler.table, scaler.layout
    counts, background, profile = 2.0 * scaler.I_raw, 3.0 * scaler.bgd, 0.5 * scaler.prof
    made = scaler.replace(I_raw=counts, bgd=background, prof=profile, bandwidth=0.1)
    other = table.replace(counts=counts, background=background, profile=profile).scale(layout.u, grid=(4, 5))
    other = other.merge_hkl(None)
    for name in ("I_raw", "bgd", "prof", "hkl", "hkl_idxs", "xmap", "idxs"):
        assert np.array_equal(made.get(name), other.get(name)), name
    assert (made.bandwidth, made.symmetry) == (0.1, None)
    assert np.array_equal(made.table.counts, counts)
    assert np.array_equal(made.train(H)[1], other.train(H)[1])
    xmap = scaler.xmap * [1.0, 0.5, 1.0]
    moved = scaler.replace(xmap=xmap)
    assert np.array_equal(moved.xmap, xmap)
    assert np.array_equal(moved.table.u, xmap[:, :2])
    merged = scaler.unmerge_hkl().replace(hkl=scaler.hkl, hkl_idxs=scaler.hkl_idxs)
    assert np.array_equal(merged.fitness(scaler.init_estimate())[1], scaler.fitness(scaler.init_estimate())[1])
    chi = np.full(scaler.xtal.values.shape, 2.0)
    np.testing.assert_allclose(scaler.replace(xtal=chi).xtal_bi, 2.0, rtol=1e-14)
    for wrong, text in (
        ({"idxs": scaler.idxs}, "idxs cannot be replaced: it follows"),
        ({"xmap": xmap[:, :2]}, "xmap is"),
        ({"xmap": xmap + 1.0}, "other frames"),
        ({"hkl_idxs": scaler.hkl_idxs[1:]}, "reflection is"),
        ({"I_raw": counts, "layout": layout.merged(scaler.hkl_idxs, scaler.hkl)}, "together with I_raw"),
    ):
        with pytest.raises((SettingError, ShapeError), match=text):
            scaler.replace(**wrong)


def test_a_scaler_says_what_it_is_and_can_be_pickled(trained):
    scaler, x = trained
    assert repr(scaler).startswith("<IntensityScaler: ")
    assert repr(scaler).endswith("142 reflections (symmetry mmm), bandwidth 0.001>")
    assert "<td>142</td>" in scaler._repr_html_()
    again = pickle.loads(pickle.dumps(scaler))
    assert again.trace == scaler.trace
    assert np.array_equal(again.fitness(x)[1], scaler.fitness(x)[1])


def test_training_an_iteration_at_a_time(scaler):
    training = scaler.training(H, n_iter=5)
    seen = list(training)
    made, x = training.result()
    whole, y = scaler.train(H, n_iter=5)
    assert [f for _, f in seen] == list(made.trace[1:]) == list(whole.trace[1:])
    assert np.array_equal(x, y)


def test_order_of_rows_within_streaks_does_not_matter(rng):
    table = small(rng, frames=3, length=15)[0]
    order = np.lexsort([rng.random(len(table)), table.streak])
    columns = {name: values[order] for name, values in table.to_columns().items()}
    shuffled = CBCTable.from_columns(columns)
    found = [IntensityScaler.of(each, grid=(4, 5)).merge_hkl(None).train(H) for each in (table, shuffled)]
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-9)
    np.testing.assert_allclose(found[0][0].xtal.values, found[1][0].xtal.values, rtol=1e-9)


def test_progress_and_lines(scaler, capsys):
    seen = []
    found, _ = scaler.train(H, n_iter=3, f_tol=0.0, verbose=True, progress=lambda k, f: seen.append((k, f)))
    assert [f for _, f in seen] == list(found.trace[1:])
    assert [k for k, _ in seen] == list(range(1, len(seen) + 1))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("iteration") == len(seen)


def test_f_tol_stops(scaler):
    loose, _ = scaler.train(H, f_tol=0.5)
    tight, _ = scaler.train(H, f_tol=1e-12)
    assert len(loose.trace) < len(tight.trace)


def test_negative_counts_need_lbfgsb(rng):
    table, u, _ = small(rng)
    less = table.replace(counts=table.counts - 40.25)
    scaler = IntensityScaler.of(less, u, grid=(4, 5)).merge_hkl(None)
    with pytest.raises(SettingError, match=r"counts of 0 or more, but \d+ pixels are below.*l-bfgs-b"):
        scaler.train(H, method="em")
    found, x = scaler.train(H)
    assert np.isfinite(found.q2(x)).all()
    assert choose_method("auto", "poisson", scaler.layout) == "l-bfgs-b"
    fractional = IntensityScaler.of(table.replace(counts=table.counts * 0.5), u, grid=(4, 5)).merge_hkl(None)
    assert choose_method("auto", "poisson", fractional.layout) == "em"
    half, y = fractional.train(H, method="em")
    assert np.isfinite(half.q2(y)).all()
    assert fractional.train(H, method="em", kind="least_squares")[0].trace == half.trace  # of l2 it is the same
    with pytest.raises(SettingError, match="kind='poisson', and for least squares with loss='l2', only"):
        fractional.train(H, method="em", kind="least_squares", loss="huber")


def test_impossible_settings(scaler, rng):
    for wrong, text in (
        ({"bandwidth": 0.0}, "bandwidth is 0.0"),
        ({"bandwidth": 1e-7}, "without a node of chi in reach"),
        ({"bandwidth": H, "n_iter": 0}, "n_iter is 0"),
        ({"bandwidth": H, "f_tol": np.nan}, "f_tol is nan"),
        ({"bandwidth": H, "method": "newton"}, "method is 'newton'"),
        ({"bandwidth": H, "x0": np.full(15, -1.0)}, "intercept of streak 0 is -1"),
        ({"bandwidth": H, "x0": np.full(15, np.nan)}, "intercept in x is not finite"),
    ):
        with pytest.raises(SettingError, match=text):
            scaler.train(**wrong)
    table = scaler.table
    with pytest.raises(SettingError, match="path is 'cuda'"):
        IntensityScaler.of(table, path="cuda")
    with pytest.raises(SettingError, match="grid of chi in y covers"):
        IntensityScaler.of(table, grid=(np.linspace(0.0, 1e-3, 5), 5))
    with pytest.raises(SettingError, match="frame 7 has no rows"):
        IntensityScaler.of(table, frames=[7, 100, 102, 104])
    with pytest.raises(SettingError, match="table has no u"):
        IntensityScaler.of(table.replace(u=None))


def test_backends_are_interchangeable(scaler):
    """A model of another backend is asked the same questions and believed."""

    class Counting(NumpyBackend):
        asked = 0

        def bind(self, chi):
            Counting.asked += 1
            return super().bind(chi)

    counting = replace(scaler.scaler, backend=Counting(scaler.layout))
    start = counting.model.em(*first_estimate(scaler.layout, False), 1, False)
    recipe = Recipe(H, 2, 0.0, 10, False, "poisson", "l2", "em")
    assert len(list(counting.training(*start, recipe))) == 2
    assert Counting.asked >= 3


def test_merged_q2_has_honest_uncertainties(trained):
    """As trained; the pull against the truth, one scale taken out."""
    scaler, x = trained
    merged = scaler.merge_sfac(x)
    assert np.array_equal(merged["hkl"], scaler.hkl)
    np.testing.assert_allclose(merged["sfac"], scaler.q2(x), rtol=1e-12)
    assert merged["cnts"].sum() == 718
    true = np.array([case().true[tuple(row)] for row in np.abs(merged["hkl"]).tolist()])
    relative = merged["serr"] / merged["sfac"]
    off = np.log(merged["sfac"] / true)
    pull = (off - np.average(off, weights=relative**-2)) / relative
    assert 0.85 < np.sqrt(np.mean(pull**2)) < 1.2


def test_equal_indices_merge_to_families(rng):
    table, u, _ = small(rng, frames=3, length=15)
    signs = np.where(np.arange(len(table)) // 45 % 2, -1, 1)[:, None]
    scaler = table.replace(hkl=table.hkl * signs).scale(u, grid=(4, 5)).merge_hkl(None)
    assert len(scaler.hkl) > 3
    found, x = scaler.train(H)
    apart, together = found.merge_sfac(x), found.merge_sfac(x, "mmm")
    assert len(apart["hkl"]) == len(scaler.hkl)
    assert len(together["hkl"]) == 3
    assert together["cnts"].sum() == apart["cnts"].sum() == 12
    family = np.abs(apart["hkl"])
    for hkl, q2, sigma in zip(together["hkl"], together["sfac"], together["serr"]):
        own = (family == hkl).all(axis=1)
        assert apart["sfac"][own].min() <= q2 <= apart["sfac"][own].max()
        assert sigma < 1.5 * apart["serr"][own].max()
    coarse, y = scaler.merge_hkl("mmm").train(H)
    with pytest.raises(SettingError, match="not equivalent under '1'"):
        coarse.merge_sfac(y, "1", friedel=False)
    named, same, none = coarse.merge_sfac(y, "mmm"), coarse.merge_sfac(y, "same"), coarse.merge_sfac(y, symmetry=None)
    for name in named:
        assert np.array_equal(named[name], same[name])
        assert np.array_equal(named[name], none[name])


def test_the_weighted_mean_by_hand(scaler, monkeypatch):
    """Weights are those of the information at the mean; the covariance enters with all its terms."""
    from crystint.cbc.merging import merging

    layout = scaler.layout
    hkl = np.array([[1, 2, 3], [-1, 2, 3], [1, 1, 1]])
    layout = replace(layout.merged(scaler.hkl_idxs, hkl), streak_hkl=hkl[scaler.hkl_idxs])
    apart = scaler.replace(layout=layout)
    covariance = np.array([[4.0, 1.0, 0.0], [1.0, 9.0, 0.5], [0.0, 0.5, 1.0]])
    monkeypatch.setattr(merging, "_covariance", lambda *_: covariance)
    q2 = np.array([30.0, 90.0, 50.0])
    x = np.concatenate([np.full(layout.n_streaks, 0.25), np.log(q2)])
    a = layout.profile
    exposure = np.bincount(layout.reflection, a)
    mean = (exposure * q2)[:2].sum() / exposure[:2].sum()
    level = np.array([mean, mean, 50.0])[layout.reflection]
    lam = layout.background + np.bincount(layout.pixel, level * a + 0.25)
    weight = np.bincount(layout.reflection, a * a / lam[layout.pixel])[:2]
    weight /= weight.sum()
    merged = apart.merge_sfac(x, "mmm")
    place = merged["hkl"].tolist().index([1, 2, 3])
    assert merged["sfac"][place] == pytest.approx(weight @ q2[:2])
    assert merged["serr"][place] == pytest.approx(np.sqrt(weight @ covariance[:2, :2] @ weight))
    covariance[1, :] = covariance[:, 1] = np.nan
    assert np.isnan(apart.merge_sfac(x, "mmm")["serr"]).sum() == 1


def test_merged_reflections_seen_nowhere_are_nan(scaler):
    hkl = np.vstack([scaler.hkl, [9, 9, 9]])
    found, x = scaler.replace(layout=scaler.layout.merged(scaler.hkl_idxs, hkl)).train(H)
    merged = found.merge_sfac(x)
    assert merged["hkl"][-1].tolist() == [9, 9, 9]
    assert np.isnan(merged["sfac"]).tolist() == np.isnan(merged["serr"]).tolist() == [False] * 3 + [True]
    assert merged["cnts"][-1] == 0


def test_files_by_suffix(scaler, tmp_path):
    found, x = scaler.merge_hkl("mmm").train(H)
    cell = (22.0, 27.0, 33.0, 90.0, 90.0, 90.0)
    for suffix in ("mtz", "hkl", "txt"):
        found.export_sfac(x, tmp_path / f"sfac.{suffix}", cell=cell)
        assert (tmp_path / f"sfac.{suffix}").stat().st_size > 0
    with pytest.raises(SettingError, match=r"not to \.csv"):
        found.export_sfac(x, tmp_path / "sfac.csv")
