"""Rings of ice: the flag is of rings that stand out of the background, in theory, in simulations and on real frames."""

from __future__ import annotations

import numpy as np
import pytest

from crystint import PeakFlag, Separator, open_frames
from crystint.model.peaks import ICE_D
from crystint.ops.ice import IceRings, on_ring
from crystint.simulate import ice_rings, simulate
from tests.conftest import shared_data

Q = np.linspace(0.3, 5.2, 700)
CREST = 2 * np.pi / np.array(ICE_D)


def smooth(q):
    """Air scatter, and the broad ring of water at 2 1/angstrom."""
    return 3.0 / (1.0 + q**2) + 2.0 * np.exp(-0.5 * ((q - 2.0) / 0.35) ** 2)


def with_ice(share, width=0.012):
    """Rings whose crests are a share of the background."""
    return smooth(Q) * (1.0 + share * np.exp(-0.5 * ((Q[:, None] - CREST) / width) ** 2).sum(axis=1))


@pytest.mark.parametrize(
    ("share", "error", "expected"), [(0.0, 1e-3, False), (0.03, 1e-4, False), (0.085, 1e-4, True), (0.2, 1e-3, True)]
)
def test_rings_stand_out_by_their_share(share, error, expected):
    variance = np.full(len(Q), error**2)
    assert np.all(IceRings(Q).standing_out(with_ice(share), variance) == expected)


def test_rings_stand_out_of_their_error():
    """A mean of n rings of error e over a parabola through many has an error of about e / sqrt(n)."""
    mean = with_ice(0.2)
    inside = np.abs(Q - CREST[3]) <= 0.02
    excess = float(np.mean(mean[inside] - smooth(Q[inside])))
    enough = excess / 5 * np.sqrt(np.count_nonzero(inside))
    rings = IceRings(Q)
    assert rings.standing_out(mean, np.full(len(Q), (0.7 * enough) ** 2))[3]
    assert not rings.standing_out(mean, np.full(len(Q), (1.2 * enough) ** 2))[3]


def test_one_ring_alone_stands_out():
    one = smooth(Q) * (1.0 + 0.3 * np.exp(-0.5 * ((Q - CREST[1]) / 0.01) ** 2))
    out = IceRings(Q).standing_out(one, np.full(len(Q), 1e-6))
    assert np.flatnonzero(out).tolist() == [1]
    assert on_ring(np.array([3.66, 3.895, 3.72]), out).tolist() == [True, False, False]


def test_without_background_or_wavelength_nothing_stands_out():
    mean = with_ice(0.3)
    mean[np.abs(Q - CREST[0]) < 0.03] = np.nan
    rings = IceRings(Q)
    assert np.flatnonzero(~rings.standing_out(mean, np.full(len(Q), 1e-6))).tolist() == [0]
    assert rings.standing_out(with_ice(0.3), np.full(len(Q), 1e-6)).all()  # the rings of another frame
    assert not IceRings(np.full(len(Q), np.nan)).standing_out(mean, mean).any()
    assert not IceRings(np.linspace(0.1, 0.6, 50)).standing_out(mean[:50], mean[:50]).any()


@pytest.mark.parametrize("model", ["poisson", "hybrid", "azimuthal"])
def test_simulated_ice_is_flagged_and_its_absence_is_not(engine, model):
    flagged = []
    for rings in (ice_rings(1.0), ()):
        data = simulate((600, 610), background=1.5, peaks=120, intensity=2000.0, dtype="uint16", seed=3, rings=rings)
        peaks = Separator(data.geometry, data.mask, rings=300, engine=engine, error_model=model).peaks(data[0])
        q = 2 * np.pi / peaks["d"]
        strong = (np.abs(q[:, None] - CREST[:5]) < 0.02).any(axis=1)
        flagged.append((peaks["flags"][strong] & PeakFlag.ICE) != 0)
    assert flagged[0].size > 3
    assert flagged[0].all()
    assert not flagged[1].any()


def test_a_real_frame_without_ice_has_no_spot_on_it():
    with open_frames(shared_data("thaumatin/thau_3_2_0003.cbf.bz2")) as frames:
        peaks = Separator(frames.geometry).peaks(frames[0])
    q = 2 * np.pi / peaks["d"]
    assert (np.abs(q[:, None] - CREST) < 0.02).any(axis=1).sum() > 100
    assert not np.any(peaks["flags"] & PeakFlag.ICE)
