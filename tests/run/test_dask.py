"""Runs on a dask cluster find what threads find, also when workers die."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crystint
from crystint.errors import ClusterError
from crystint.io.sparse.dense_file import DenseWriter
from crystint.run.execution import Execution
from crystint.run.journal import records_in
from crystint.separation.files import find_peaks, sparsify
from crystint.separation.settings import Settings
from crystint.simulate import Simulation, simulate
from tests.processes import LONG, after, started
from tests.run.test_long_runs import damage, equal

psutil = pytest.importorskip("psutil")
pytest.importorskip("distributed")

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")
"""Two frames are missing, and it is said."""
MANY = 240
DRIVER = """
import sys, warnings
from crystint.separation.settings import Settings
import crystint
from crystint.run.execution import Execution
from crystint.separation.files import find_peaks, sparsify

if __name__ == "__main__":
    what, source, target = sys.argv[1:]
    warnings.simplefilter("ignore", crystint.CrystintWarning)  # two frames are missing
    how = Execution(dask="local", threads=2, dask_frames=6)
    more = dict(settings=Settings(rings=60), command=["crystint", what], execution=how)
    if what == "peaks":
        summary = find_peaks([source], [target], **more)
    else:
        summary = sparsify([source], target, peaks=True, **more)
    print(summary.frames, tuple(summary.missing))
"""


@pytest.fixture(scope="module")
def data() -> Simulation:
    return simulate((150, 161), 5, dtype=np.uint16, background=6.0, peaks=15, intensity=3000.0, dead=20, seed=3)


@pytest.fixture(scope="module")
def source(data: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with frames that cannot be read, and a pixel that is unusable in the first one that can."""
    path = tmp_path_factory.mktemp("dask") / "run.h5"
    frames = data.frames.copy()
    frames[1, 40, 41] = 65535
    writer = DenseWriter(
        path, data.shape, data.dtype, geometry=data.geometry, mask=data.mask, saturation=None, provenance={}
    )
    with writer:
        for number in range(MANY):
            writer.write(frames[number % 5])
    damage(path, 0, 77)
    return path


def driven(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    (folder / "driver.py").write_text(DRIVER)
    return started([sys.executable, "driver.py", *map(str, arguments)], folder)


def workers(process: subprocess.Popen[str]) -> list[Any]:
    """The processes that do the work of a local cluster."""
    made = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):  # one that has just ended
            if "spawn_main" in " ".join(child.cmdline()):
                made.append(child)
    return made


@pytest.mark.parametrize("what", ["sparsify", "peaks"])
def test_a_worker_that_is_killed_costs_time_and_no_data(source, tmp_path, what):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    settings, command = Settings(rings=60), ["crystint", what]
    if what == "peaks":
        find_peaks([source], [one / "o.h5"], settings, command=command)
    else:
        sparsify([source], one / "o.h5", settings, peaks=True, command=command)
    process = driven(other, what, source, other / "o.h5")
    for done in (12, 60):
        after(process, other / "o.h5", done)
        assert len(workers(process)) >= 1
        workers(process)[0].send_signal(signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 0, stderr
    assert stdout == f"{MANY} (0, 77)\n"
    assert not stderr
    equal(one / "o.h5", other / "o.h5")
    assert sorted(os.listdir(other)) == ["driver.py", "o.h5"]


def test_a_second_cluster_on_a_machine_is_no_reason_to_warn(source, tmp_path):
    with socket.socket() as taken:
        with suppress(OSError):  # somebody else has it, which is as good
            taken.bind(("", 8787))
            taken.listen()
        process = driven(tmp_path, "sparsify", source, tmp_path / "o.h5")
        _, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 0, stderr
    assert not stderr


def test_ctrl_c_reaches_no_worker_and_resume_goes_on_without_dask(source, tmp_path):
    command = [sys.executable, "-m", "crystint", "sparsify", str(source), "-o", "o.h5", "--rings", "60"]
    process = started([*command, "--dask", "local", "--threads", "2", "--dask-frames", "5"], tmp_path)
    after(process, tmp_path / "o.h5", 20)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    done = records_in(tmp_path / "o.h5")
    assert 20 <= done < MANY
    assert f"interrupted after {done} of {MANY} frames" in stderr.splitlines()[-1]
    with crystint.open_sparse(tmp_path / "o.h5") as file:
        assert len(file) == done
        assert file.missing == ((0, 77) if done > 77 else (0,))
    process = started([*command, "--resume"], tmp_path)
    _, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 3, stderr
    with crystint.open_sparse(tmp_path / "o.h5") as file:
        assert len(file) == MANY
        assert file.missing == (0, 77)


def test_a_scheduler_that_is_lost_is_no_error_of_the_output(source, tmp_path, monkeypatch):
    from distributed import Client

    asked = Client.nthreads

    def nthreads(client: Client) -> dict[str, int]:
        if records_in(tmp_path / "o.h5") >= 20:
            raise OSError("TCP closed")
        return dict(asked(client))

    monkeypatch.setattr(Client, "nthreads", nthreads)
    monkeypatch.setattr("crystint.run.cluster_crew._ASK_S", 0.01)
    how = Execution(dask="local", threads=1, dask_frames=5)
    with (
        pytest.warns(crystint.CrystintWarning, match=r"o\.h5\.partial keeps the \d+ frames that are done; --resume"),
        pytest.raises(ClusterError, match=r"^the cluster is lost: OSError: TCP closed$"),
    ):
        sparsify([source], tmp_path / "o.h5", Settings(rings=60), execution=how)
    assert os.listdir(tmp_path) == ["o.h5.partial"]
    assert 0 < records_in(tmp_path / "o.h5") < MANY
    outcome = sparsify([source], tmp_path / "o.h5", Settings(rings=60), execution=Execution(resume=True))
    assert (outcome.frames, list(outcome.missing)) == (MANY, [0, 77])


def refused(source: Path, folder: Path, dask: str) -> str:
    """The message of a run whose cluster is not as it should be."""
    with pytest.raises(ClusterError) as caught:
        sparsify([source], folder / "o.h5", Settings(rings=60), execution=Execution(dask=dask))
    assert os.listdir(folder) == []
    return str(caught.value)


def test_a_cluster_that_is_not_there_is_named(source, tmp_path, monkeypatch):
    monkeypatch.setattr("crystint.run.cluster.ANSWER_S", 1)
    assert "no dask scheduler answers at tcp://127.0.0.1:9" in refused(source, tmp_path, "tcp://127.0.0.1:9")
    assert "no dask scheduler answers at nowhere" in refused(source, tmp_path, "nowhere://else")


def test_without_dask_it_says_what_to_install(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "crystint[dask]" in refused(source, tmp_path, "local")


STUCK = """
import os, sys
from pathlib import Path
from crystint.cli import main
import crystint.run.cluster_crew

crystint.run.cluster_crew._PATIENCE_S = 1.0
if __name__ == "__main__":
    main(sys.argv[1:])
"""


def test_sigterm_ends_a_run_with_a_stuck_worker(source, tmp_path):
    """The worker stops where a file system would: its process sleeps for good."""
    (tmp_path / "driver.py").write_text(STUCK)
    command = ["driver.py", "sparsify", str(source), "-o", "o.h5", "--rings", "60", "--dask", "local", "--threads", "1"]
    process = started([sys.executable, *command, "--dask-frames", "5"], tmp_path)
    after(process, tmp_path / "o.h5", 20)
    for worker in workers(process):
        worker.suspend()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 143, stderr
    done = records_in(tmp_path / "o.h5")
    assert f"interrupted after {done} of {MANY} frames" in stderr.splitlines()[-1]
    assert "s after the signal; it is given up" in stderr
    with crystint.open_sparse(tmp_path / "o.h5") as file:
        assert len(file) == done


SCHEDULER = """
import sys
{more}
from distributed import LocalCluster

if __name__ == "__main__":
    at = dict(protocol="tcp://", dashboard_address=None, scheduler_kwargs=dict(dashboard_address=":0"))
    cluster = LocalCluster(1, processes=False, threads_per_worker=1, **at)
    open(sys.argv[1], "w").write(cluster.scheduler_address)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("sys.modules['crystint'] = None", "has no crystint: install version"),
        ("import crystint; crystint.__version__ = '0.0.1'", "has crystint 0.0.1, this process"),
    ],
)
def test_workers_without_this_crystint_are_refused(source, tmp_path, more, message):
    (tmp_path / "scheduler.py").write_text(SCHEDULER.format(more=more))
    folder, place = tmp_path / "out", tmp_path / "address"
    folder.mkdir()
    process = started([sys.executable, "scheduler.py", str(place)], tmp_path)
    try:
        deadline = time.monotonic() + LONG
        while not (place.exists() and place.read_text()) and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        assert message in refused(source, folder, place.read_text())
    finally:
        process.communicate("", timeout=LONG)
