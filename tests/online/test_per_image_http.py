"""Spots of an image over HTTP, asked for as clients of DIALS's server do."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from crystint.errors import SettingError
from crystint.model.peaks import empty_peaks
from crystint.online.per_image_http import PerImageServer, _of_dials
from crystint.separation import Settings, find_peaks
from crystint.simulate import simulate
from tests.online.made_up import made_up_run, result

NAMES = {
    "image", "n_spots_total", "n_spots_no_ice", "n_spots_4A", "total_intensity", "estimated_d_min",
    "d_min_distl_method_1", "d_min_distl_method_2", "noisiness_method_1", "noisiness_method_2",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Simulated frames, as a master of HDF5 and as a file of one image."""
    path = tmp_path_factory.mktemp("data")
    data = simulate((120, 110), 3, background=4.0, peaks=30, intensity=900.0, dtype="uint16", seed=3)
    with h5py.File(path / "run.h5", "w") as file:
        file["entry/data/data"] = np.stack(list(data))
    data.geometry.write(path / "detector.json")
    return path


def settings_of(folder):
    return Settings(rings=50, geometry=folder / "detector.json")


@pytest.fixture(scope="module")
def server(folder):
    made = PerImageServer(0, folder, settings_of(folder))
    yield made
    made.close()


def get(server, path):
    """Status and answer."""
    try:
        with urllib.request.urlopen(server.url + path, timeout=60) as response:
            assert response.headers["Content-Type"] == "application/json"
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_numbers_are_those_of_peaks(server, folder, tmp_path):
    find_peaks([folder / "run.h5"], tmp_path / "peaks.jsonl", settings_of(folder))
    lines = [json.loads(line) for line in (tmp_path / "peaks.jsonl").read_text().splitlines()]
    for number, line in enumerate(lines, start=1):
        status, answer = get(server, f"{folder}/run.h5;spotfinder.scan_range={number},{number}")
        assert status == 200, answer
        assert set(answer) >= NAMES
        row = line["results"]
        assert answer["n_spots_total"] == row["n_spots"] > 10
        assert answer["n_spots_no_ice"] == row["n_no_ice"]
        assert answer["total_intensity"] == row["total_intensity"]
        assert answer["estimated_d_min"] == row["d_min"]
        assert answer["n_spots_4A"] == sum(d > 4 for d in line["d"])
        assert answer["d_min_distl_method_1"] == -1.0
    assert len(server._searches) == 1  # one separator for all three


def test_resolution_limits_apply(server, folder):
    _, every = get(server, f"{folder}/run.h5;spotfinder.scan_range=1,1")
    _, some = get(server, f"{folder}/run.h5;spotfinder.scan_range=1,1;d_min=3")
    _, none = get(server, f"{folder}/run.h5;spotfinder.scan_range=1,1;spotfinder.filter.d_max=0.1")
    assert some["n_spots_total"] < every["n_spots_total"]
    assert none["n_spots_total"] == 0
    assert none["estimated_d_min"] == -1.0
    assert none["total_intensity"] == 0.0


@pytest.mark.parametrize(("spots", "resolution"), [(10, -1.0), (11, 1.75)])
def test_a_resolution_needs_more_than_ten_spots(spots, resolution):
    row = result(made_up_run(), 0, spots, d_min=1.75).row
    assert _of_dials(row, empty_peaks())["estimated_d_min"] == resolution


def test_what_changes_nothing_is_told(server, folder):
    _, answer = get(server, f"{folder}/run.h5;spotfinder.scan_range=1,1;spotfinder.threshold.algorithm=dispersion")
    assert answer["unused"] == ["spotfinder.threshold.algorithm=dispersion"]


@pytest.mark.parametrize(
    ("parameters", "status", "text"),
    [
        ("", 400, "3 images"),
        (";spotfinder.scan_range=1,2", 400, "expected one image"),
        (";spotfinder.scan_range=9,9", 404, "images 1 to 3"),
        (";scan_range=1,1;d_min=soon", 400, "expected a number"),
        (";scan_range=1,1;d_min=-3", 400, "greater than 0"),
        (";scan_range=1,1;min_spot_size=77", 400, "25"),
        (";nonsense", 400, "name=value"),
    ],
)
def test_wrong_requests_are_told_in_json(server, folder, parameters, status, text):
    code, answer = get(server, f"{folder}/run.h5{parameters}")
    assert (code, answer["image"]) == (status, f"{folder}/run.h5")
    assert text in answer["error"]


def test_nothing_outside_the_folder_is_opened(server, folder, tmp_path):
    secret = tmp_path / "secret.h5"
    secret.write_bytes((folder / "run.h5").read_bytes())
    os.symlink(secret, folder / "link.h5")
    os.symlink(folder / "run.h5", folder / "inside.h5")
    with h5py.File(folder / "master.h5", "w") as file:
        file.create_group("entry/data")["data_000001"] = h5py.ExternalLink(str(secret), "/entry/data/data")
    with h5py.File(folder / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((3, 120, 110), np.uint16)
        layout[:] = h5py.VirtualSource(str(secret), "/entry/data/data", (3, 120, 110))
        file.create_virtual_dataset("entry/data/data", layout)
    with h5py.File(folder / "external.h5", "w") as file:
        file.create_dataset("entry/data/data", (1, 120, 110), np.uint16, external=[(str(secret), 0, 120 * 110 * 2)])
    for name in ("link.h5", "master.h5", "virtual.h5", "external.h5"):
        code, answer = get(server, f"{folder}/{name};scan_range=1,1")
        assert code == 403, (name, answer)
        assert "outside of the data root" in answer["error"]
    above = f"{folder}/../{tmp_path.name}/secret.h5"
    for name in (str(secret), above, f"{folder}/%2e%2e/x", "/etc/passwd", str(folder)):
        assert get(server, f"{name};scan_range=1,1")[0] in (403, 404)
    assert get(server, f"{folder}/inside.h5;scan_range=1,1")[0] == 200


def test_other_kinds_of_files_and_damaged_ones(server, folder):
    (folder / "text.cbf").write_text("no image")
    (folder / "short.h5").write_bytes((folder / "run.h5").read_bytes()[:900])
    for name in ("text.cbf", "short.h5"):
        code, answer = get(server, f"{folder}/{name};scan_range=1,1")
        assert code == 500
        assert name in answer["error"]


def test_a_page_of_another_host_gets_nothing(server):
    connection = http.client.HTTPConnection(*server._server.server_address, timeout=30)
    connection.request("GET", "/", headers={"Host": "evil.example"})
    assert connection.getresponse().status == 403
    connection.close()
    assert get(server, "/") == (200, {"server": "crystint"})
    assert get(server, "/Ctrl-C")[0] == 403


def test_many_ask_at_once(server, folder):
    """As dials.find_spots_client does of many images."""
    paths = [f"{folder}/run.h5;spotfinder.scan_range={n % 3 + 1},{n % 3 + 1}" for n in range(40)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda path: get(server, path), paths))
    assert {status for status, _ in answers} == {200}
    assert len({(answer["n_spots_total"], answer["total_intensity"]) for _, answer in answers}) == 3


def test_what_cannot_be_served_is_refused(server, tmp_path):
    with pytest.raises(SettingError, match="no folder"):
        PerImageServer(0, tmp_path / "nowhere")
    with pytest.raises(SettingError, match="nothing can be bound"):
        PerImageServer(server._server.server_address[1], tmp_path)
