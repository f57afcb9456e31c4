"""Pictures of convergent-beam scaling: what is drawn is what the run holds, whatever parts it has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystint.cbc.merging.result import CBCRun, ReferenceIntensities, agreement
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.simulation.simulate import simulate_cbc
from crystint.errors import SettingError, ShapeError
from crystint.plot import save_figure
from crystint.plot.cbc import plot_cbc


@pytest.fixture(scope="module")
def run():
    """A run whose |q|^2 are off by a known part of their sigma."""
    data = simulate_cbc(5, seed=2)
    truth = data.truth
    maps = ProjectionMap(truth.maps, truth.x, truth.y, np.arange(5))
    known = ReferenceIntensities(truth.hkl, truth.q2, "mmm", True, maps, truth.intercept)
    values = truth.maps.copy()
    values[0, :3] = np.nan
    deviate = np.random.default_rng(3).normal(size=len(truth.q2))
    return CBCRun(
        table=data.table,
        maps=replace(maps, values=values),
        hkl=truth.hkl,
        q2=2.0 * truth.q2 * np.exp(0.05 * deviate),
        sigma=2.0 * truth.q2 * 0.05,
        intercept=truth.intercept,
        trace=np.array([1000.0, 200.0, 50.0, 60.0, 49.0]),
        halves=np.stack([truth.q2, 1.1 * truth.q2]),
        rows=np.bincount(truth.family[data.table.streak], minlength=len(truth.q2)),
        settings={"symmetry": "mmm", "friedel": True, "bandwidth": 1.5e-3},
        reference=known,
    )


def titles(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}


def texts(axes):
    return "\n".join(text.get_text() for text in axes.texts)


def test_all_parts_are_drawn(run):
    found = titles(plot_cbc(run))
    assert {f"frame {n}" for n in range(5)} <= set(found)
    assert {"Recovered against true |q|²", "Errors against their σ", "Significance", "Convergence"} <= set(found)
    image = found["frame 0"].collections[0].get_array()
    np.testing.assert_array_equal(np.ma.filled(image, np.nan), run.maps.values[0])
    both = agreement(run.hkl, run.q2, run.reference, run.sigma)
    assert both.scale == pytest.approx(0.5, rel=0.05)
    dots = found["Recovered against true |q|²"].get_lines()[-1]
    np.testing.assert_allclose(np.sort(dots.get_ydata()), np.sort(both.scaled), rtol=1e-12)
    assert f"R {both.r:.4f}" in texts(found["Recovered against true |q|²"])
    inside = np.mean(np.abs(np.log(both.scaled / both.reference)) * both.scaled / both.sigma <= 1)
    assert f"{100 * inside:.0f} % within 1 σ" in texts(found["Errors against their σ"])
    marked = next(one for one in found["Convergence"].get_lines() if one.get_label() == "went up")
    assert marked.get_xdata().tolist() == [3]


def test_maps_and_their_truth_have_one_scale_of_grey(run):
    figure = plot_cbc(run)
    pictures = [axes.collections[0] for axes in figure.axes if axes.collections and axes.get_xlabel() != "iteration"]
    meshes = [one for one in pictures if type(one).__name__ == "QuadMesh"]
    assert len(meshes) == 10
    assert len({(one.norm.vmin, one.norm.vmax) for one in meshes[:10]}) == 1


@pytest.mark.parametrize("frames", [1, 2, 8])
def test_as_many_maps_as_asked_for(run, frames):
    shown = [name for name in titles(plot_cbc(run, frames=frames)) if name.startswith("frame ")]
    assert len(shown) == min(frames, 5)
    assert "frame 0" in shown


def test_a_run_with_little_in_it(run):
    bare = replace(
        run,
        reference=None,
        sigma=np.full(len(run.q2), np.nan),
        halves=np.zeros((2, 0)),
        trace=np.array([5.0]),
        settings={},
    )
    assert set(titles(plot_cbc(bare))) == {*(f"frame {n}" for n in range(5)), "Convergence", "χ"}
    found = titles(plot_cbc(replace(run, reference=None)))
    assert "Half sets" in found
    assert "CC½ 1.00000" in texts(found["Half sets"])
    dots = found["Half sets"].get_lines()[-1]
    np.testing.assert_allclose(dots.get_ydata(), dots.get_xdata(), rtol=1e-12)
    other = replace(run.reference, maps=None, name="reference")
    assert "Recovered against reference |q|²" in titles(plot_cbc(replace(run, reference=other)))


def test_values_that_have_no_logarithm_do_not_hurt(run, tmp_path):
    q2, sigma = run.q2.copy(), run.sigma.copy()
    q2[:3], sigma[2:5] = (0.0, np.nan, 1e-30), np.nan
    known = replace(run.reference, maps=replace(run.reference.maps, frames=np.array([0, 1, 2, 8, 9])))
    save_figure(plot_cbc(replace(run, q2=q2, sigma=sigma, reference=known)), tmp_path / "a.png")
    save_figure(plot_cbc(replace(run, q2=q2, sigma=sigma, reference=known)), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_agreement_is_by_family(run):
    both = agreement(-run.hkl[::-1] * [1, -1, 1], run.q2[::-1], run.reference)
    same = agreement(run.hkl, run.q2, run.reference)
    assert both.r == pytest.approx(same.r, rel=1e-12)
    assert both.cc == pytest.approx(np.corrcoef(run.q2, run.reference.q2)[0, 1], rel=1e-12)
    k = (run.q2 @ run.reference.q2) / (run.q2 @ run.q2)
    assert same.r == pytest.approx(np.abs(k * run.q2 - run.reference.q2).sum() / run.reference.q2.sum(), rel=1e-12)
    polar = replace(run.reference, symmetry="mm2")
    assert len(agreement(-run.hkl, run.q2, polar).scaled) == len(run.q2)
    assert len(agreement(-run.hkl, run.q2, replace(polar, friedel=False)).scaled) < len(run.q2)
    perfect = agreement(run.hkl, 7.0 * run.reference.q2, run.reference)
    assert (perfect.cc, perfect.cc_log, perfect.r) == pytest.approx((1.0, 1.0, 0.0), abs=1e-12)
    with pytest.raises(SettingError, match=r"^0 of \d+ reflections are among"):
        agreement(run.hkl + 50, run.q2, run.reference)


def test_columns_of_a_run_belong_together(run):
    with pytest.raises(ShapeError, match="sigma is"):
        replace(run, sigma=run.sigma[1:])


def test_a_panel_alone_goes_on_axes_of_the_users(run):
    from matplotlib.figure import Figure

    figure = Figure()
    first, second = figure.subplots(1, 2)
    assert plot_cbc(run, panel="agreement", ax=first, title="Mine") is figure
    assert plot_cbc(run, ax=second) is figure
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("Mine", "Convergence")
    assert titles(plot_cbc(run, panel="halves")).keys() == {"Half sets"}
    with pytest.raises(SettingError, match="panel is 'deviates', but this run has significance, halves, convergence"):
        plot_cbc(replace(run, reference=None), panel="deviates")


def test_results_are_shown_in_a_line_and_in_a_table(run):
    text = repr(run)
    assert text.startswith(f"<CBCRun: {len(run.table)} rows, 5 frames, ")
    assert repr(run.maps).startswith("<ProjectionMap: 5 frames, 40 x 40 nodes (y, x), u_x -0.033 to 0.033,")
    assert repr(run.reference) == f"<ReferenceIntensities: {len(run.q2)} true reflections, symmetry mmm>"
    for result in (run, run.maps, run.table):
        assert len(repr(result)) < 200
        assert result._repr_html_().startswith("<table>")
        assert len(result._repr_html_()) < 1500
    assert "<td>0.0015</td>" in run._repr_html_()
