"""The file that stands for a run of an Eiger is what it claims to be; on a small detector."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from benchmarks.make_eiger import SATURATION, Eiger, images_needed, scene, write
from crystint import open_frames

SHAPE = (570, 1060)
FRAMES = 6


@pytest.fixture(scope="module")
def eiger():
    return Eiger(scene(3, SHAPE), FRAMES)


def test_pairs_are_enough_and_different(eiger):
    assert [images_needed(frames) for frames in (1, 2, 3, 4, 1000)] == [2, 3, 3, 4, 46]
    assert len(set(eiger.pairs)) == FRAMES
    assert all(first != second for first, second in eiger.pairs)


def test_the_file(tmp_path, eiger):
    path = tmp_path / "eiger.h5"
    write(path, eiger, processes=2)
    known = eiger.scene
    with h5py.File(path) as file:
        stored = file["entry/data/data"]
        assert stored.chunks == (1, *SHAPE)
        assert stored.id.get_create_plist().get_filter(0)[:1] == (32008,)
    with open_frames(path) as frames:
        assert (len(frames), frames.shape, frames.dtype) == (FRAMES, SHAPE, np.uint16)
        assert frames.geometry.beam_center == pytest.approx(known.geometry.beam_center)
        assert frames.saturation == SATURATION
        assert np.array_equal(frames.mask, known.mask)
        found = frames[:]
    assert len({frame.tobytes() for frame in found}) == FRAMES
    assert np.array_equal(found[4], eiger.frame(4))
    assert ((found == 65535) == (known.mask & 1 != 0)).all()
    assert not found[:, known.mask & 2 != 0].any()


def test_the_background_is_poisson(eiger):
    good = (eiger.scene.mask == 0) & (eiger.scene.background_mean > 0.1)
    for number in range(3):
        good &= eiger.scene.mean(number) < eiger.scene.background_mean + 1e-3
    mean = eiger.scene.background_mean[good]
    for number in range(3):
        off = eiger.frame(number)[good] - mean
        assert np.mean(off) == pytest.approx(0.0, abs=5 * np.sqrt(mean.mean() / mean.size))
        assert np.mean(off**2 / mean) == pytest.approx(1.0, abs=0.02)


def test_there_are_peaks(eiger):
    for number in range(3):
        truth = eiger.scene.truth(number)
        strong = truth[(truth["intensity"] > 200) & truth["isolated"]]
        assert len(strong) > 5
        frame = eiger.frame(number)
        row, column = strong["slow"].astype(int), strong["fast"].astype(int)
        assert (frame[row, column] > 3 * strong["background"]).mean() > 0.9
