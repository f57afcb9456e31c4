"""Routes of the last images, with a service, its ring and its history in this process."""

import io
import json

import numpy as np
import pytest

import crystint
from crystint.stream import PackedFrame
from tests.online.looking import FRAMES
from tests.online.streams import GEOMETRY, KEY


def test_numbers_that_are_held_are_told(images):
    assert images.get("/api/v1/images").json() == {"series": str(KEY), "images": [0, 1, 2]}
    answer = images.get("/api/v1/images/7")
    assert answer.status_code == 404
    assert "0 to 2 are" in answer.json()["msg"]
    assert images.get("/api/v1/images/-3").status_code == 400


def test_programs_get_exact_counts(images):
    import tifffile

    for number, expected in ((0, 0), (-1, 2), (-2, 2)):
        answer = images.get(f"/api/v1/images/{number}", headers={"Accept": "application/x-npy"})
        assert np.array_equal(np.load(io.BytesIO(answer.content)), FRAMES[expected])
        assert answer.headers["x-image"] == str(expected)
    answer = images.get("/api/v1/images/1", headers={"Accept": "image/tiff"})
    assert np.array_equal(tifffile.imread(io.BytesIO(answer.content)), FRAMES[1])


def test_the_message_has_pixels_and_spots(images, looked_at):
    cbor2 = pytest.importorskip("cbor2")
    answer = images.get("/api/v1/images/1", headers={"Accept": "application/cbor"})
    message = cbor2.loads(answer.content)
    assert (message["type"], message["image_id"]) == ("image", 1)
    peaks = looked_at[2][1].peaks
    assert [spot["x"] for spot in message["spots"]] == pytest.approx((peaks["fast"] - 0.5).tolist())


def test_pictures_are_pictures(images):
    from PIL import Image

    answer = images.get("/api/v1/images/-1?width=340&show_roi=true&show_res_ring=2&color=viridis&show_user_mask=true")
    assert answer.headers["content-type"] == "image/jpeg"
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.size == (340, 300)
    plain = images.get("/api/v1/images/0?show_spots=false&show_beam_center=false&color=bw&saturation=1000",
                       headers={"Accept": "image/png"})  # fmt: skip
    pixels = np.asarray(Image.open(io.BytesIO(plain.content)))[..., 0].astype(int)
    assert pixels.shape == FRAMES[0].shape
    at = np.unravel_index(FRAMES[0].argmax(), FRAMES[0].shape)
    assert pixels[at] == pixels.min()  # grey, dark is bright
    for query in ("color=blue", "jpeg_quality=0", "width=9", "show_res_ring=0", "nonsense=1"):
        assert images.get(f"/api/v1/images/0?{query}").status_code == 400


def test_a_view_is_the_region_in_blocks(images):
    answer = images.get("/api/v1/images/0/view?slow=10:70&fast=20:100&size=40x30&bin=max")
    about = json.loads(answer.headers["x-view"])
    assert (about["shape"], about["factor"], about["region"]) == ([30, 40], 2, [10, 70, 20, 100])
    packed = PackedFrame(np.frombuffer(answer.content, np.uint8), (30, 40), np.dtype(about["dtype"]), "bslz4")
    expected = FRAMES[0][10:70, 20:100].reshape(30, 2, 40, 2).max(axis=(1, 3))
    assert np.array_equal(packed.decode(), expected)


def test_layers_are_background_and_significance(images):
    def layer(name):
        answer = images.get(f"/api/v1/images/0/view?layer={name}&bin=mean", headers={"Accept": "application/x-npy"})
        assert answer.status_code == 200, answer.text
        return np.load(io.BytesIO(answer.content))

    separator = crystint.Separator(GEOMETRY, None, 60)
    background = separator.background(FRAMES[0])
    assert layer("background") == pytest.approx(background.image(), rel=1e-5, nan_ok=True)
    significance = layer("significance")
    picked = separator.sparsify(FRAMES[0], snr=5.0, background=background)
    strong = np.zeros(FRAMES[0].size, bool)
    strong[picked.index] = True
    clear = np.abs(significance.ravel() - 5.0) > 0.02
    assert np.array_equal((significance.ravel() > 5.0)[clear], strong[clear])


def test_what_other_settings_would_find(images, looked_at):
    service = looked_at[0]
    before = service.settings()["version"]
    separator = crystint.Separator(GEOMETRY, None, 60)
    for snr in (4.0, 20.0):
        answer = images.post("/api/v1/images/0/try", json={"snr": snr})
        assert answer.status_code == 200, answer.text
        expected = separator.peaks(FRAMES[0], snr=snr)
        assert answer.json()["n_spots"] == len(expected)
        assert answer.json()["spots"]["slow"] == pytest.approx(expected["slow"].tolist())
    assert service.settings()["version"] == before
    answer = images.post("/api/v1/images/0/try", json={"srn": 4})
    assert answer.status_code == 400
    assert "did you mean snr" in answer.json()["msg"]


def test_what_ifs_are_limited(images, app):
    app.state.broker.desk.tries.clear()
    codes = [images.post("/api/v1/images/0/try", json={"snr": 5.0}).status_code for _ in range(12)]
    assert codes[0] == 200
    assert 429 in codes or len(codes) > 5  # a slow machine takes more than a second for six


def test_without_a_ring_nothing_is_held(api, app):
    answer = api.get("/api/v1/images")
    assert answer.status_code == 404
    assert "no images are held" in answer.json()["msg"]
