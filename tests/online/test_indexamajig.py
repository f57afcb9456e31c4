"""CrystFEL itself takes images of a service, and sees in them what it sees in files."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time

import h5py
import pytest

from crystint.engine import Engine
from crystint.io.geometry.crystfel_out import geom_text
from crystint.online import Service
from crystint.online.crystfel import crystfel_setup
from crystint.online.settings import ServeSettings
from crystint.online.sinks import sinks_of
from crystint.separation import find_peaks
from tests.online.streams import GEOMETRY, frames_of, messages_of

N = 8

pytestmark = pytest.mark.skipif(shutil.which("indexamajig") is None, reason="CrystFEL's indexamajig is not installed")


def peaks_of(stream):
    """fs, ss, intensity of the peaks of each image, sorted."""
    chunks = re.findall(r"Peaks from peak search\n.*?\n(.*?)End of peak list", stream.read_text(), re.DOTALL)
    return sorted(tuple(tuple(map(float, line.split()[:4])) for line in chunk.splitlines()) for chunk in chunks)


def test_a_stream_and_a_file_are_the_same_to_indexamajig(tmp_path):
    frames = frames_of("u2", N)
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["entry/data/data"] = frames
    GEOMETRY.write(tmp_path / "geometry.json")
    common = {"rings": 60, "hit_peaks": 5, "geometry": tmp_path / "geometry.json"}
    find_peaks([tmp_path / "run.h5"], [tmp_path / "peaks.cxi"], common, device="cpu")
    (tmp_path / "file.geom").write_text(
        geom_text(GEOMETRY, data="/entry_1/data_1/data", peak_list="/entry_1/result_1", saturation=60000)
    )
    (tmp_path / "file.lst").write_text(f"{tmp_path / 'peaks.cxi'}\n")
    options = ["--indexing=none", "-j", "2"]
    subprocess.run(
        ["indexamajig", "-i", "file.lst", "-g", "file.geom", "-o", "file.stream", "--peaks=cxi", *options],
        cwd=tmp_path, check=True, capture_output=True, timeout=120,
    )  # fmt: skip

    settings = ServeSettings(crystfel="tcp://127.0.0.1:*", **common)
    service = Service(settings=settings, engine=Engine("cpu"))
    (server,) = sinks_of(settings, service.tell)
    service.add(server)
    setup = crystfel_setup(server.address, GEOMETRY, saturation=60000)
    (tmp_path / "crystint.geom").write_text(setup["geometry"])
    command = [*setup["command"].split(), *options]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with service:
                for message in messages_of(frames):
                    service.take(message)
                assert service.wait("idle")
                end = time.monotonic() + 60
                stream = tmp_path / "crystint.stream"
                while not stream.exists() or stream.read_text().count("End chunk") < N:
                    assert time.monotonic() < end
                    time.sleep(0.2)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    streamed = peaks_of(stream)
    assert len(streamed) == N
    assert streamed == peaks_of(tmp_path / "file.stream")
    assert sum(map(len, streamed)) > 5 * N
