"""What the page needs to show images, held against the code that it follows."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from crystint.model.peaks import ICE_D
from crystint.stream.packed_frame import PackedFrame

WEB = Path(__file__).resolve().parents[2] / "web"


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_colour_maps_of_the_page_are_those_of_matplotlib():
    import matplotlib

    text = (WEB / "src/image/color_tables.ts").read_text()
    tables = {name: base64.b64decode(data) for name, data in re.findall(r'(\w+): "([A-Za-z0-9+/=]+)"', text)}
    module = _module(WEB / "make_colors.py")
    assert tables.keys() == module.MAPS.keys()
    for name, data in tables.items():
        colors = matplotlib.colormaps[module.MAPS[name]](np.arange(256))[:, :3]
        made = np.frombuffer(data, np.uint8).reshape(256, 3)
        assert np.abs(made - 255.0 * colors).max() <= 0.5 + 1e-9


def test_ice_rings_of_the_page_are_those_of_crystint():
    text = (WEB / "src/image/spacings.ts").read_text()
    listed = re.search(r"ICE: readonly number\[\] = \[([^\]]*)\]", text)
    assert listed is not None
    assert tuple(float(part) for part in listed.group(1).split(",") if part.strip()) == ICE_D


def test_packed_vectors_of_the_page_are_what_detectors_send():
    vectors = json.loads((WEB / "tests/image/data/packed.json").read_text())
    assert {vector["dtype"][1:] for vector in vectors} == {"u1", "i1", "u2", "i2", "u4", "i4", "f4", "u8", "i8", "f8"}
    for vector in vectors:
        data = np.frombuffer(base64.b64decode(vector["packed"]), np.uint8)
        frame = PackedFrame(data, tuple(vector["shape"]), np.dtype(vector["dtype"]), "bslz4")
        assert frame.decode().tobytes() == base64.b64decode(vector["bytes"])


def test_geometries_of_the_page_are_those_of_crystint():
    written = json.loads((WEB / "tests/image/data/geometries.json").read_text())
    made = _module(WEB / "tests/image/make_data.py").geometries()
    assert [case["geometry"] for case in written] == json.loads(json.dumps([case["geometry"] for case in made]))
    for old, new in zip(written, made, strict=True):
        for key in ("two_theta", "q", "d", "direct_beam"):
            assert [value is None for value in old[key]] == [value is None for value in new[key]]
            pairs = np.array([pair for pair in zip(old[key], new[key], strict=True) if pair[0] is not None])
            assert np.allclose(*pairs.T, rtol=1e-12, atol=0) if len(pairs) else True
