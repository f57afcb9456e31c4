"""The user's mask over HTTP, and files of the server that may be named."""

from __future__ import annotations

import io
import os

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.online.test_web_security import error

SHAPE = (40, 50)


@pytest.fixture
def pixels():
    return np.random.default_rng(3).random(SHAPE) < 0.1


def tiff(array, **more):
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **more)
    return stream.getvalue()


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def put(api, content, kind="image/tiff"):
    return api.put("/api/v1/mask", content=content, headers={"Content-Type": kind})


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", ">u2", ">i4"])
def test_a_mask_of_any_whole_numbers(api, control, pixels, dtype):
    response = put(api, tiff(pixels.astype(dtype), byteorder=">" if dtype[0] == ">" else "<"))
    assert response.status_code == 200, response.text
    assert np.array_equal(control.user == 0x100, pixels)
    assert set(response.json()) == {"first_image", "version", "revision", "details"}


def test_a_mask_as_numpy_by_pillow_and_with_a_wrong_media_type(api, control, pixels):
    assert put(api, npy(pixels), "application/x-npy").status_code == 200
    assert np.array_equal(control.user != 0, pixels)
    stream = io.BytesIO()
    Image.fromarray((~pixels).astype(np.uint8)).save(stream, "TIFF")
    assert put(api, stream.getvalue(), "application/octet-stream").status_code == 200
    assert np.array_equal(control.user == 0, pixels)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (npy(np.zeros((50, 40), bool)), r"\(50, 40\), expected \(40, 50\) .*transposed"),
        (tiff(np.zeros((41, 50), np.uint8)), r"\(41, 50\), expected \(40, 50\)"),
        (tiff(np.zeros((*SHAPE, 3), np.uint8), photometric="rgb"), ""),
        (tiff(np.zeros((3, *SHAPE), np.uint8), photometric="minisblack"), ""),
        (b"II*\0fake", ""),
        (b"II*\0", ""),
        (b"\x93NUMPY\x01\x00v\x00", ""),
        (npy(np.zeros(SHAPE, complex)), ""),
        (b"", "nothing"),
        (b"GIF89a", "47 49 46"),
    ],
)
def test_what_is_no_mask_is_a_400_that_says_why(api, control, content, why):
    import re

    message = error(put(api, content), 400, "bad_value")
    assert re.search(why, message)
    assert not control.user.any()


def test_pickles_are_not_read(api):
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    error(put(api, stream.getvalue(), "application/x-npy"), 400, "bad_value")


def test_a_mask_is_removed(api, control, pixels):
    put(api, npy(pixels))
    assert api.delete("/api/v1/mask").status_code == 200
    assert not control.user.any()


def test_the_layers_as_images_with_their_bits(api, pixels):
    put(api, npy(pixels))
    total = (pixels * 0x100).astype(np.uint32)
    total[0, 0] |= 1
    got = api.get("/api/v1/mask", headers={"Accept": "application/x-npy"})
    assert np.array_equal(np.load(io.BytesIO(got.content)), total)
    got = api.get("/api/v1/mask?layer=user", headers={"Accept": "image/tiff"})
    assert got.headers["content-type"] == "image/tiff"
    assert np.array_equal(tifffile.imread(io.BytesIO(got.content)), pixels * 0x100)
    got = api.get("/api/v1/mask?layer=detector", headers={"Accept": "application/x-hdf5"})
    with h5py.File(io.BytesIO(got.content)) as file:
        assert file["entry/instrument/detector/pixel_mask"][()].sum() == 1
    summary = api.get("/api/v1/mask").json()
    assert summary["shape"] == list(SHAPE)
    assert summary["masked"] == np.count_nonzero(total)
    assert summary["bits"] == {"0": 1, "8": int(pixels.sum())}
    error(api.get("/api/v1/mask?layer=other"), 400, "bad_value")


def test_shapes_are_masked(api, control):
    shapes = [
        {"type": "box", "slow_min": 1, "slow_max": 2, "fast_min": 3, "fast_max": 5},
        {"type": "circle", "center": [20.5, 20.5], "radius": 3.0},
    ]
    assert api.put("/api/v1/mask", json={"shapes": shapes}).status_code == 200
    slow, fast = np.indices(SHAPE)
    box = (slow >= 1) & (slow <= 2) & (fast >= 3) & (fast <= 5)
    circle = (slow - 20) ** 2 + (fast - 20) ** 2 <= 9
    assert np.array_equal(control.user != 0, box | circle)
    error(api.put("/api/v1/mask", json={"shapes": [{"type": "circle"}]}), 400, "bad_value")
    error(api.put("/api/v1/mask", json={"shaps": []}), 400, "bad_value")
    error(api.put("/api/v1/mask", json=[]), 400, "bad_value")
    assert "shapes.0" in error(api.put("/api/v1/mask", json={"shapes": [3]}), 400, "bad_value")


def test_shapes_are_added_to_the_mask_and_taken_out_of_it(api, control, pixels):
    put(api, npy(pixels.astype(np.uint8)), "application/x-npy")
    box = np.zeros(SHAPE, bool)
    box[5:30, 7:21] = True
    shapes = [{"type": "box", "slow_min": 5, "slow_max": 29, "fast_min": 7, "fast_max": 20}]
    assert api.put("/api/v1/mask", json={"shapes": shapes, "how": "add"}).status_code == 200
    assert np.array_equal(control.user != 0, pixels | box)
    assert api.put("/api/v1/mask", json={"shapes": shapes, "how": "remove"}).status_code == 200
    assert np.array_equal(control.user != 0, pixels & ~box)
    error(api.put("/api/v1/mask", json={"shapes": shapes, "how": "twice"}), 400, "bad_value")


def test_a_mask_of_a_file_below_the_data_root(api, control, pixels, tmp_path):
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file["a/mask"] = pixels.astype(np.uint8)
        file["a/other"] = np.zeros(SHAPE)
    for name in ("mask.h5", str(tmp_path / "mask.h5"), "./x/../mask.h5"):
        (tmp_path / "x").mkdir(exist_ok=True)
        control.user[:] = 0
        response = api.put("/api/v1/mask", json={"path": name, "dataset": "a/mask"})
        assert response.status_code == 200, response.text
        assert np.array_equal(control.user != 0, pixels)
    message = error(api.put("/api/v1/mask", json={"path": "mask.h5"}), 400, "bad_value")
    assert str(tmp_path) not in message
    error(api.put("/api/v1/mask", json={"path": "none.h5"}), 404, "not_found")


@pytest.fixture
def outside(tmp_path_factory):
    path = tmp_path_factory.mktemp("secret") / "secret.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.ones(SHAPE, np.uint8)
    (path.parent / "raw.bin").write_bytes(bytes(2000))
    return path


def link_external(path, secret):
    with h5py.File(path, "w") as file:
        file["data"] = h5py.ExternalLink(str(secret), "data")


def link_relative(path, secret):
    with h5py.File(path, "w") as file:
        file["data"] = h5py.ExternalLink(os.path.relpath(secret, path.parent), "data")


def link_virtual(path, secret):
    layout = h5py.VirtualLayout(SHAPE, "u1")
    layout[:] = h5py.VirtualSource(str(secret), "data", SHAPE)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout)


def link_storage(path, secret):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", SHAPE, "u1", external=[(str(secret.parent / "raw.bin"), 0, 2000)])


def link_through(path, secret):
    """By a file that is below the root itself."""
    link_virtual(path.parent / "between.h5", secret)
    link_external(path, path.parent / "between.h5")


def link_symbolic(path, secret):
    path.symlink_to(secret)


@pytest.mark.parametrize(
    "link", [link_external, link_relative, link_virtual, link_storage, link_through, link_symbolic]
)
def test_no_file_leads_out_of_the_data_root(api, control, tmp_path, outside, link):
    link(tmp_path / "crafted.h5", outside)
    message = error(api.put("/api/v1/mask", json={"path": "crafted.h5", "dataset": "data"}), 403, "forbidden")
    assert "outside" in message
    assert not control.user.any()


def test_no_name_leads_out_of_the_data_root(api, outside, tmp_path):
    for name in (str(outside), os.path.relpath(outside, tmp_path), "../x.h5", "/etc/passwd", "~/x"):
        response = api.put("/api/v1/mask", json={"path": name})
        assert response.status_code in (403, 404), name
        assert response.json()["reason"] in ("forbidden", "not_found")
    error(api.put("/api/v1/mask", json={"path": "a\0b"}), 400, "bad_value")
    error(api.put("/api/v1/mask", json={"path": "a" * 4000}), 400, "bad_value")
    (tmp_path / "mask.edf").write_bytes(b"{ EDF_BinaryFileName = /etc/passwd ; }")
    error(api.put("/api/v1/mask", json={"path": "mask.edf"}), 400, "bad_value")


def test_without_a_data_root_no_file_may_be_named(api, app):
    app.state.broker.data_root = None
    assert "--data-root" in error(api.put("/api/v1/mask", json={"path": "x.h5"}), 403, "forbidden")


def test_the_map_of_the_regions(api):
    box = {"type": "box", "slow_min": 1, "slow_max": 2, "fast_min": 3, "fast_max": 5}
    api.put("/api/v1/rois", json={"rois": [{**box, "name": "a"}, {**box, "name": "b"}]})
    got = api.get("/api/v1/rois/map")
    assert got.headers["x-names"] == "a,b"
    bits = np.load(io.BytesIO(got.content))
    assert np.array_equal(
        tifffile.imread(io.BytesIO(api.get("/api/v1/rois/map", headers={"Accept": "image/tiff"}).content)), bits
    )
    with h5py.File(io.BytesIO(api.get("/api/v1/rois/map", headers={"Accept": "application/x-hdf5"}).content)) as file:
        assert np.array_equal(file["entry/roi_defs/roi_map"][()], bits)
