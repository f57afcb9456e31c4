"""What other programs are told over HTTP."""

from __future__ import annotations

import pytest

import crystint
from tests.online.made_up import GEOMETRY, made_up_run
from tests.online.test_web_security import error


def test_crystfel_gets_a_geometry_and_a_command(api, control, history, tmp_path, monkeypatch):
    status = control.status()
    error(api.get("/api/v1/crystfel"), 404, "not_found")
    status["sinks"] = {"crystfel": {"address": "tcp://127.0.0.1:5603"}}
    monkeypatch.setattr(control, "status", lambda: status)
    error(api.get("/api/v1/crystfel"), 404, "not_found")
    history.begin(made_up_run().key, {"geometry": GEOMETRY.to_dict(), "shape": [40, 30]})
    answer = api.get("/api/v1/crystfel").json()
    assert answer["address"] in answer["command"]
    path = tmp_path / "crystint.geom"
    path.write_text(answer["geometry"])
    assert crystint.Geometry.read(path).beam_center == pytest.approx(GEOMETRY.beam_center)
