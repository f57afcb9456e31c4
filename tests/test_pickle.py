"""Sparse frames and backgrounds on their way to another process."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import crystint
from crystint.errors import FileError
from crystint.io.sparse.writer import SparseWriter
from crystint.model import ring_pickle
from crystint.model.rings import RingMap
from tests.conftest import ROOT

SHAPE = (211, 307)
ELSEWHERE = """
import pickle, sys
import numpy as np
import crystint
sparse = pickle.load(open(sys.argv[1], "rb"))
background = sparse.background
np.savez(sys.argv[2], dense=crystint.densify(sparse, seed=5), image=background.image(), mask=background.rings.mask)
"""


@pytest.fixture
def forget():
    """As in a process that has no ring maps."""

    def clear():
        ring_pickle._alive.clear()
        ring_pickle._latest.clear()

    clear()
    yield clear
    clear()


def separator(**more):
    geometry = crystint.Geometry(
        shape=SHAPE, pixel_size=(1e-4, 1e-4), distance=0.05, beam_center=(100, 150), wavelength=1.0, polarization=0.9
    )
    mask = np.zeros(SHAPE, np.uint8)
    mask[40:60, 90:140] = 1
    return crystint.Separator(geometry, mask, rings=60, **more)


def frame(rng):
    counts = rng.poisson(4.0, SHAPE).astype(np.uint16)
    counts[10::17, 10::19] += 60
    counts[5, 7] = 65535
    return counts


def same(one, other):
    """Whether two ring maps hold the same, to the bit."""
    for name in ("position", "weight", "mask", "radius", "q", "dark"):
        mine, yours = getattr(one, name), getattr(other, name)
        assert (mine is None) == (yours is None)
        assert mine is None or (mine.dtype == yours.dtype and mine.tobytes() == yours.tobytes()), name


IMAGES = [
    {},
    {"solid_angle": False},
    {"dark": True},
    {"flat": True},
    {"dark": True, "flat": True, "normalization": True},
]


def images(rng, which):
    made = {name: rng.uniform(0.5, 1.5, SHAPE) if value is True else value for name, value in which.items()}
    for name, value in zip(made, (0.0, np.nan, np.inf)):
        if isinstance(made[name], np.ndarray):
            made[name][7, 11] = value
    return made


@pytest.mark.parametrize("which", IMAGES, ids=lambda which: "+".join(which) or "plain")
def test_a_map_is_made_anew_to_the_bit(rng, forget, which):
    rings = separator(**images(rng, which)).rings
    content = pickle.dumps(rings)
    assert pickle.loads(content) is rings
    forget()
    made = pickle.loads(content)
    assert made is not rings
    same(made, rings)
    assert pickle.dumps(made) == content


def test_a_frame_does_not_carry_its_map(rng):
    sparse = separator().sparsify(frame(rng))
    background = sparse.background
    own = sparse.index.nbytes + sparse.value.nbytes
    assert len(pickle.dumps(background)) < 6 * 8 * 60 + 3000
    assert len(pickle.dumps(sparse)) < own + 6 * 8 * 60 + 4000 < background.rings.position.nbytes / 10


def test_frames_in_this_process_share_their_map(rng):
    one = separator()
    sparse, back = one.sparsify(frame(rng)), pickle.loads(pickle.dumps(one.sparsify(frame(rng))))
    assert back.background.rings is sparse.background.rings is one.rings


def test_frames_that_arrive_share_one_map(rng, forget):
    one = separator()
    content = [pickle.dumps(one.sparsify(frame(rng), number=i)) for i in range(6)]
    forget()
    with ThreadPoolExecutor(3) as pool:
        frames = list(pool.map(pickle.loads, content))
    assert len({id(each.background.rings) for each in frames}) == 1
    assert [each.frame for each in frames] == list(range(6))


def test_another_process_densifies_and_draws(rng, tmp_path):
    sparse = separator(dark=rng.uniform(0, 2, SHAPE)).sparsify(frame(rng))
    (tmp_path / "sparse").write_bytes(pickle.dumps(sparse))
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "sparse"), str(tmp_path / "out.npz")]
    subprocess.run(command, check=True, cwd=ROOT)
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["dense"].tobytes() == crystint.densify(sparse, seed=5).tobytes()
        assert arrays["image"].tobytes() == sparse.background.image().tobytes()
        assert np.array_equal(arrays["mask"], sparse.background.rings.mask)


def test_a_map_of_a_file_is_read_from_there(rng, tmp_path, forget):
    one = separator()
    with SparseWriter(tmp_path / "sparse.h5", one.rings, np.uint16, geometry=None, provenance={}) as writer:
        writer.write(one.sparsify(frame(rng)))
    with crystint.open_sparse(tmp_path / "sparse.h5") as file:
        sparse = file[0]
    content = pickle.dumps(sparse)
    assert len(content) < sparse.background.rings.position.nbytes / 10
    forget()
    back = pickle.loads(content)
    same(back.background.rings, sparse.background.rings)
    assert crystint.densify(back, seed=1).tobytes() == crystint.densify(sparse, seed=1).tobytes()
    forget()
    (tmp_path / "sparse.h5").write_bytes((tmp_path / "sparse.h5").read_bytes() + b" ")
    with pytest.raises(FileError, match=r"sparse\.h5 has changed here"):
        pickle.loads(content)
    (tmp_path / "sparse.h5").unlink()
    with pytest.raises(FileError, match=r"sparse\.h5 cannot be read .* under that name"):
        pickle.loads(content)


def test_a_map_made_of_arrays_is_pickled_as_they_are(rng):
    rings = separator().rings
    plain = RingMap(rings.position, rings.weight, rings.mask, rings.radius, rings.q)
    same(pickle.loads(pickle.dumps(plain)), plain)
