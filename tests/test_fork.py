"""OpenCL in other processes: refused in words after a fork, made anew where objects arrive by pickle."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest

import crystint
from crystint.errors import DeviceError
from tests.processes import LONG, end_all, started

BEGIN = """
import multiprocessing, os, sys, threading
import numpy as np
import crystint
data = crystint.simulate.simulate((64, 80), background=3.0, peaks=5, intensity=900.0, dtype="uint16", seed=1)
def count(separator):
    return len((separator or crystint.Separator(data.geometry, rings=20)).peaks(data[0]))
def of(work):
    try:
        return work()
    except crystint.DeviceError as error:
        return "spawn" in str(error)
def told_in_a_fork(work):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, repr(of(work)).encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return os.read(read, 100).decode()
"""

FORKED = """
assert told_in_a_fork(lambda: count(None) > 0) == "True", "no OpenCL was used before"
separator = crystint.Separator(data.geometry, rings=20)
sparse, engine = separator.sparsify(data[0]), separator.engine
densifier = crystint.Densifier(engine, separator.rings)
copy = __import__("pickle").dumps(separator)
works = dict(
    old=lambda: count(separator), new=lambda: count(None), devices=crystint.devices, engine=crystint.Engine,
    named=lambda: crystint.Engine(engine.device.id), densifier=lambda: densifier.run(sparse),
    densify=lambda: crystint.densify(sparse), pickled=lambda: count(__import__("pickle").loads(copy)),
    sent=lambda: engine.send(np.ones(3)), finish=engine.finish, kernel=lambda: engine.kernel("pick_pixels.cl"),
)
for name, work in works.items():
    print(name, told_in_a_fork(work))
with separator._lock:  # a thread that has a lock while another one forks
    print("locked", told_in_a_fork(lambda: count(separator)))
thread = threading.Thread(target=lambda: print("thread", told_in_a_fork(lambda: count(separator))))
thread.start()
thread.join()
assert count(separator) > 0, "the parent goes on"
"""

POOLS = """
if __name__ == "__main__":
    separator = crystint.Separator(data.geometry, rings=20)
    expected = count(separator)
    for argument in (separator, None):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            print(of(lambda: pool.map(count, [argument])))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(count, [separator, None]) == [expected, expected])
"""


def lines_of(script, folder):
    """What a script prints that ends well."""
    (folder / "script.py").write_text(BEGIN + script)
    process = started([sys.executable, "script.py"], folder)
    try:
        out, err = process.communicate(timeout=LONG)
    finally:
        end_all()
    assert process.returncode == 0, err
    return out.splitlines()


def test_a_forked_process_is_told_to_be_spawned(tmp_path):
    names = "old new devices engine named densifier densify pickled sent finish kernel locked thread"
    assert lines_of(FORKED, tmp_path) == [f"{name} True" for name in names.split()]


def test_pools_of_forked_processes_end_and_those_of_spawned_ones_work(tmp_path):
    assert lines_of(POOLS, tmp_path) == ["True", "True", "True"]


@pytest.fixture
def data():
    return crystint.simulate.simulate((70, 81), 2, background=3.0, peaks=9, intensity=900.0, dtype="uint16", seed=2)


def test_a_pickled_separator_gives_the_same(engine, data):
    made = {
        "error_model": "poisson",
        "snr_clip": 4.0,
        "cycles": 3,
        "saturation": 3000.0,
        "flat": np.full((70, 81), 0.9),
    }
    separator = crystint.Separator(data.geometry, data.mask, rings=25, engine=engine, **made)
    packed = pickle.dumps(separator)
    assert len(packed) < separator.rings.position.nbytes
    again = pickle.loads(packed)
    assert repr(again).startswith("<Separator: 25 rings, 70 x 81 px, poisson, ")
    assert (again.peaks(data[0]) == separator.peaks(data[0])).all()
    assert (again.background(data[1]).mean == separator.background(data[1]).mean).all()
    assert pickle.dumps(again) == packed
    assert not hasattr(again, "nonsense")


def test_pickled_frames_are_opened_anew_from_any_folder(data, tmp_path, monkeypatch):
    np.save(tmp_path / "frames.npy", data.frames)
    monkeypatch.chdir(tmp_path)
    with crystint.open_frames("frames.npy") as frames:
        packed = pickle.dumps(frames)
    monkeypatch.chdir("/")
    with pickle.loads(packed) as again:
        assert again.files == ["frames.npy"]
        assert (again[1] == data.frames[1]).all()
    array = pickle.loads(pickle.dumps(crystint.open_frames(data.frames)))
    assert (array[1] == data.frames[1]).all()


def test_what_belongs_to_a_process_says_so(engine, data):
    separator = crystint.Separator(data.geometry, rings=25, engine=engine)
    for each in (engine, crystint.Densifier(engine, separator.rings)):
        with pytest.raises(DeviceError, match="make one in the other process"):
            pickle.dumps(each)
