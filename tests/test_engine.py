"""Devices, kernels, threads."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from crystint.engine import Engine, devices, find_device
from crystint.engine import engine as engine_module
from crystint.engine.source import read_kernel
from crystint.errors import CrystintError, DeviceError
from crystint.model.geometry import Geometry
from crystint.ops.separator import Separator


def test_every_device_is_found_by_its_number(engine):
    assert find_device(engine.device.id).id == engine.device.id


def test_a_kind_with_a_number_counts_from_the_best():
    cpus = [one for one in devices() if one.kind == "cpu"]
    if not cpus:
        pytest.skip("no CPU device")
    assert find_device("cpu") == cpus[0]
    for number, device in enumerate(cpus):
        assert find_device(f"cpu:{number}") == device


def test_platforms_of_one_name_are_told_apart():
    ids = [one.id for one in devices()]
    assert len(set(ids)) == len(ids)
    for one in devices():
        assert Engine(one.id).device.driver == one.driver


def test_the_environment_chooses(monkeypatch):
    monkeypatch.setenv("CRYSTINT_DEVICE", devices()[-1].id)
    assert find_device().id == devices()[-1].id
    monkeypatch.setenv("CRYSTINT_DEVICE", "no such thing")
    with pytest.raises(DeviceError, match=r"from CRYSTINT_DEVICE.*there are"):
        find_device()


@pytest.mark.parametrize("wanted", ["9:9", "cpu:77", "gpu:x", "abacus"])
def test_an_unknown_device_lists_those_there_are(wanted):
    with pytest.raises(DeviceError, match=f"there are: .*{devices()[0].id}"):
        find_device(wanted)


def test_no_device_at_all_says_what_to_install():
    code = "import crystint.engine.device as d; d._platforms = list; d.find_device()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 1
    assert "pip install 'crystint[cpu]'" in done.stderr


def test_a_kernel_that_does_not_build_says_where(engine, monkeypatch):
    monkeypatch.setattr(engine_module, "read_kernel", lambda name: "__kernel void broken( { ")
    with pytest.raises(DeviceError, match=r"broken\.cl did not build"):
        Engine(engine.device).kernel("broken.cl")


def test_what_a_compiler_says_is_no_warning(engine, monkeypatch):
    import pyopencl as cl

    monkeypatch.setattr(engine_module, "read_kernel", lambda name: "__kernel void quiet() {}")
    build = cl.Program.build

    def talking(*args: Any, **more: Any) -> Any:
        warnings.warn("compilation started", cl.CompilerWarning, stacklevel=2)
        return build(*args, **more)

    monkeypatch.setattr(cl.Program, "build", talking)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Engine(engine.device).kernel("quiet.cl")
        with pytest.raises(UserWarning, match="others"):
            warnings.warn("others are heard", UserWarning, stacklevel=1)


def test_includes_are_pasted_with_their_line_numbers():
    text = read_kernel("pick_pixels.cl")
    assert "#include" not in text
    assert '#line 1 "significance.h"' in text


def test_a_buffer_that_does_not_fit_is_refused_before_it_is_allocated(engine):
    with pytest.raises(DeviceError, match="does not fit"):
        engine.empty(engine.device.max_allocation // 4 + 1, np.float32)


def test_times_are_recorded_on_request(engine, rng):
    frame = rng.poisson(2.0, (60, 70)).astype(np.uint16)
    timed = Engine(engine.device, profile=True)
    Separator(_geometry(), rings=10, engine=timed).background(frame)
    assert timed.milliseconds()["ring_statistics"] > 0
    assert timed.milliseconds() == {}
    with pytest.raises(CrystintError, match="profile=True"):
        engine.milliseconds()


def test_threads_may_share_a_separator(engine, rng):
    frames = rng.poisson(3.0, (8, 60, 70)).astype(np.uint16)
    frames[:, 20:23, 30:33] += 60
    separator = Separator(_geometry(), rings=10, engine=engine)
    alone = [separator.peaks(frame).tobytes() for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda frame: separator.peaks(frame).tobytes(), frames)) == alone


def _geometry():
    return Geometry(shape=(60, 70), pixel_size=(1e-4, 1e-4), distance=0.1, beam_center=(30, 35), wavelength=1.0)


def test_threads_with_an_engine_each_agree_with_one(engine, rng):
    frames = rng.poisson(3.0, (6, 60, 70)).astype(np.uint16)
    frames[:, 20:23, 30:33] += 60

    def work(number):
        separator = Separator(_geometry(), rings=10, engine=Engine(engine.device))
        return separator.peaks(frames[number]).tobytes(), separator.sparsify(frames[number]).index.tobytes()

    alone = [work(i) for i in range(6)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(work, range(6)))
    assert alone == together
