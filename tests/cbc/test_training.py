"""Alternation: extrapolation helps, what raises f is taken back, and pairs stay together."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from crystint.cbc.compat_cbclib import IntensityScaler
from crystint.cbc.scaling import training
from crystint.cbc.scaling.optimise import first_estimate
from crystint.cbc.scaling.training import Pair, Recipe, alternate
from crystint.cbc.simulation.simulate import simulate_streaks

RECIPE = Recipe(2e-3, 10, 0.0, 10, False, "poisson", "l2", "em")


def scripted(monkeypatch, answers):
    """`alternate` with iterations that answer so many f in turn; returns what each was asked to start from."""
    asked, left = [], list(answers)

    def iterate(layout, path, pair, recipe):
        asked.append(pair)
        f = left.pop(0)
        return Pair(None, None, pair.b, np.exp(np.array([0.1, 0.2]) * len(asked) ** 2)), f, pair.q2

    monkeypatch.setattr(training, "_iterate", iterate)
    model = SimpleNamespace(objective=lambda *_: (100.0, None, None))
    start = Pair(None, model, np.zeros(1), np.array([1.0, 1.0]))
    return asked, alternate(None, None, start, RECIPE)


def test_what_raises_f_is_not_taken(monkeypatch):
    _, (pair, trace) = scripted(monkeypatch, [50.0, 60.0])
    assert trace == (100.0, 50.0)
    np.testing.assert_allclose(np.log(pair.q2), [0.1, 0.2])


def test_an_extrapolation_that_raises_f_is_tried_again_without(monkeypatch):
    asked, (pair, trace) = scripted(monkeypatch, [50.0, 40.0, 45.0, 39.0, 41.0])
    assert trace == (100.0, 50.0, 40.0, 39.0)
    assert not np.array_equal(asked[2].q2, np.exp([0.4, 0.8])), "extrapolated"
    np.testing.assert_allclose(np.log(asked[3].q2), [0.4, 0.8], err_msg="the pair before, as it was")
    np.testing.assert_allclose(np.log(pair.q2), [1.6, 3.2])


@pytest.fixture(scope="module")
def crowded():
    return IntensityScaler.of(simulate_streaks(30_000, overlap=0.7, frames=4, seed=4).table).merge_hkl(None)


def trained(scaler, **options):
    start = Pair(scaler.xtal, scaler.scaler.model, *first_estimate(scaler.layout, False))
    return alternate(scaler.layout, scaler.scaler.backend, start, replace(RECIPE, **options))


def test_extrapolation_gets_further(crowded):
    _, plain = trained(crowded, n_iter=8, accelerate=False)
    _, fast = trained(crowded, n_iter=8)
    _, far = trained(crowded, n_iter=100)
    assert fast[1:3] == plain[1:3]
    assert fast[-1] - far[-1] < 0.5 * (plain[-1] - far[-1])


def test_reported_f_is_that_of_the_pair(crowded):
    seen = []
    start = Pair(crowded.xtal, crowded.scaler.model, *first_estimate(crowded.layout, False))
    pair, trace = alternate(crowded.layout, crowded.scaler.backend, start, RECIPE, lambda k, f: seen.append((k, f)))
    assert seen == list(enumerate(trace))[1:]
    assert pair.model.objective(pair.b, pair.q2, "poisson", "l2")[0] == trace[-1]
