"""``crystint view`` as people start it: what it prints, what it serves, how it ends."""

from __future__ import annotations

import json
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crystint
from tests.processes import LONG, end_all, first_line, started

pytest.importorskip("uvicorn", reason="the extra crystint[online] is not installed")


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = crystint.simulate.simulate(
        (100, 110), frames=3, background=5.0, peaks=12, intensity=900.0, dtype="uint16", seed=1
    )
    writer = crystint.DenseWriter(
        tmp_path / "run_master.h5", data.shape, data.dtype, geometry=data.geometry, mask=None, saturation=None,
        provenance={},
    )  # fmt: skip
    with writer:
        for frame in data:
            writer.write(frame)
    crystint.separation.find_peaks([tmp_path / "run_master.h5"], [tmp_path / "peaks.cxi"], {"rings": 30})
    return tmp_path


class Viewer:
    """A process of the command."""

    def __init__(self, folder: Path, *words: str) -> None:
        command = [sys.executable, "-m", "crystint", "view", "--no-open", "--rings", "30", *words]
        self.process = started(command, folder, DISPLAY="")
        self.url = first_line(self.process)

    def ask(self, path: str, body: Any = None) -> Any:
        base, _, token = self.url.partition("/#token=")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(base + path, data, headers), timeout=LONG) as answer:
            return json.loads(answer.read())

    def end(self, number: int = signal.SIGINT) -> tuple[str, str]:
        self.process.send_signal(number)
        return self.process.communicate(timeout=LONG)


def test_it_serves_files_until_ctrl_c(folder: Path) -> None:
    viewer = Viewer(folder, "run_master.h5", "peaks.cxi")
    (opened,) = viewer.ask("/api/v1/files/opened")
    assert (opened["series"], opened["images"]) == ("file:run_master.h5", 3)
    assert opened["overlays"] == [{"name": "peaks.cxi", "source": "file:peaks.cxi"}]
    rows = viewer.ask("/api/v1/results?columns=n_spots")["columns"]["n_spots"]
    assert rows == crystint.read_frame_table(folder / "peaks.cxi")["n_spots"].tolist()
    assert {each["name"] for each in viewer.ask("/api/v1/files")["entries"]} == {"run_master.h5", "peaks.cxi"}
    with pytest.raises(urllib.error.HTTPError, match="409"):
        viewer.ask("/api/v1/start", {})
    out, err = viewer.end()
    assert viewer.process.returncode == 0
    assert "ssh -L" in out
    assert "peaks.cxi: over file:run_master.h5" in err


def test_other_files_go_on_where_one_cannot_be_shown(folder: Path) -> None:
    (folder / "notes.txt").write_text("nothing of the kind\n")
    viewer = Viewer(folder, "notes.txt", "run_master.h5")
    assert [each["series"] for each in viewer.ask("/api/v1/files/opened")] == ["file:run_master.h5"]
    _, err = viewer.end(signal.SIGTERM)
    assert viewer.process.returncode == 1
    assert "not shown: notes.txt is of no kind that crystint knows" in err
    assert err.splitlines()[-1] == "crystint: error: some of the files could not be shown"


def test_settings_and_geometry_are_those_of_the_command_line(folder: Path) -> None:
    frame = np.asarray(crystint.open_frames(folder / "run_master.h5")[0])
    np.save(folder / "bare.npy", frame)
    viewer = Viewer(
        folder, "bare.npy", "--snr", "7", "--distance", "0.1", "--beam", "50,55", "--pixel-size", "172um",
        "--wavelength", "1.2",
    )  # fmt: skip
    (opened,) = viewer.ask("/api/v1/files/opened")
    geometry = opened["geometry"]
    assert (geometry["distance"], geometry["beam_center"], geometry["wavelength"]) == (0.1, [50.0, 55.0], 1.2)
    assert viewer.ask("/api/v1/settings")["values"]["snr"] == 7.0
    tried = viewer.ask("/api/v1/images/0/try", {"snr": 5.0})
    place = crystint.Geometry(frame.shape, (172e-6, 172e-6), 0.1, (50.0, 55.0), 1.2)
    assert tried["n_spots"] == len(crystint.Separator(place, None, rings=30).peaks(frame))
    viewer.end()
    assert viewer.process.returncode == 0


def test_files_lie_below_the_data_root(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    viewer = Viewer(folder, "run_master.h5", "--data-root", "elsewhere")
    _, err = viewer.process.communicate(timeout=LONG)
    assert viewer.process.returncode == 2
    assert "lies outside of the data root elsewhere" in err
