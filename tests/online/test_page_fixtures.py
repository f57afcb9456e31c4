"""What the unit tests of the page compare with is what crystint has now."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "web/tests/fixtures"


def test_places_and_regions_of_the_page_are_those_of_crystint():
    spec = importlib.util.spec_from_file_location("make_geometry", FOLDER / "make_geometry.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written, made = json.loads((FOLDER / "geometry.json").read_text()), json.loads(json.dumps(module.fixture()))
    assert written.keys() == made.keys()
    for name, case in made.items():
        assert {key: case[key] for key in ("slow", "fast", "inside")} == {
            key: written[name][key] for key in ("slow", "fast", "inside")
        }
        for key in ("x", "y", "z", "q", "d", "two_theta", "phi"):
            pairs = [(a, b) for a, b in zip(case[key], written[name][key], strict=True) if a is not None]
            assert [a for a, _ in pairs] == pytest.approx([b for _, b in pairs], rel=1e-12)
